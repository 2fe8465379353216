/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a command and writes its exit status, seconds and peak resident size in KiB to a file.
 * The kernel counts the memory of whatever process calls exec into the peak of the command
 * (exec_mmap() in fs/exec.c), so a small program has to do it: a script interpreter is larger
 * than what is measured here.
 *
 *	timed FILE COMMAND...
 */
#include <err.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double start = now();
	struct rusage usage;
	int status;
	FILE *out;
	pid_t pid;

	if (argc < 3)
		errx(2, "wanted are FILE COMMAND...");
	pid = fork();
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		err(1, "cannot run %s", argv[2]);
	start = now() - start;
	out = fopen(argv[1], "w");
	if (!out)
		err(1, "%s", argv[1]);
	fprintf(out, "%d %.6f %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1, start,
		usage.ru_maxrss);
	return fclose(out) != 0;
}
