/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process with values to be found. Each line on stdin changes one of them:
 *
 *	health 42	an int32_t
 *	speed 1.5	a float
 *	name abc	eight bytes
 *	exec		makes the page "code" executable
 *	noexec		makes it writable again
 *	drop		takes away the page that has the second copy of health
 *
 * Their addresses are told first, then "ready"; every line is answered with "done".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>

enum { PAGE = 4096 };

/* Values no other memory of the process has by chance are set by the test. */
struct values {
	int32_t health;
	float speed;
	char name[8];
};

int main(void)
{
	struct values *values =
		mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int32_t *copy = (int32_t *)((char *)values + 32 * PAGE + 100);
	char line[128], word[16], argument[64];

	if (values == MAP_FAILED)
		return 1;
	((char *)values)[48 * PAGE] = 1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	printf("health %p\ncopy %p\nspeed %p\nname %p\ncode %p\nready\n", (void *)&values->health,
		(void *)copy, (void *)&values->speed, (void *)values->name,
		(void *)((char *)values + 48 * PAGE));
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		argument[0] = '\0';
		if (sscanf(line, "%15s %63s", word, argument) < 1)
			continue;
		if (strcmp(word, "health") == 0)
			values->health = *copy = (int32_t)strtol(argument, NULL, 10);
		else if (strcmp(word, "speed") == 0)
			values->speed = strtof(argument, NULL);
		else if (strcmp(word, "name") == 0)
			memcpy(values->name, argument, sizeof(values->name));
		else if (strcmp(word, "exec") == 0)
			mprotect((char *)values + 48 * PAGE, PAGE, PROT_READ | PROT_EXEC);
		else if (strcmp(word, "noexec") == 0)
			mprotect((char *)values + 48 * PAGE, PAGE, PROT_READ | PROT_WRITE);
		else if (strcmp(word, "drop") == 0)
			munmap((char *)values + 32 * PAGE, PAGE);
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
