/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process worth looking into, for ./demo: what makes other tools stumble, and what an intruder
 * leaves behind. The secrets are put together at run time, so that they are found where they are
 * used and not in the program's constants as well.
 *
 *	sample FILE PIDFILE [small]
 *
 * FILE is made, mapped and deleted; "small" leaves out the mapping of 1 TiB. Once all is in place
 * the pid is written to PIDFILE; then it waits to be ended.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	STACK_SIZE = 256 * 1024,
	GUARD_INSTALL = 102, /* MADV_GUARD_INSTALL, Linux >= 6.13 (include/uapi/asm-generic) */
	SECRET_MAX = 64,
};

#define SPARSE_SIZE (UINT64_C(1) << 40)

static void secret(char *into, const char *where)
{
	snprintf(into, SECRET_MAX, "%s_%s=%s-in-%s", "demo", "token", "hunter2", where);
}

static void *map(uint64_t size, int perm)
{
	void *base = mmap(NULL, size, perm, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		err(1, "cannot map memory");
	return base;
}

/* Its secret is a local variable. */
static void *thread_main(void *ready)
{
	volatile char local[SECRET_MAX];

	secret((char *)local, "a-thread's-stack");
	pthread_barrier_wait(ready);
	while (local[0])
		pause();
	return NULL;
}

/* The lowest page of the stack is a guard, made as glibc 2.42 makes it: invisible in maps. */
static void start_thread(void)
{
	static pthread_barrier_t ready;
	char *stack = map(STACK_SIZE, PROT_READ | PROT_WRITE);
	pthread_attr_t attributes;
	pthread_t thread;

	if (madvise(stack, PAGE, GUARD_INSTALL) != 0)
		mprotect(stack, PAGE, PROT_NONE);
	pthread_barrier_init(&ready, NULL, 2);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, STACK_SIZE);
	if (pthread_create(&thread, &attributes, thread_main, &ready) != 0)
		errx(1, "cannot start a thread");
	pthread_barrier_wait(&ready);
}

/* What shellcode looks like: anonymous memory that may be written and executed. */
static void plant_code(void)
{
	static const unsigned char code[] = {0x90, 0x90, 0x90, 0x90, 0xcc, 0xc3};

	memcpy(map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), code, sizeof(code));
}

/* A library that was loaded and then removed leaves the same trace. */
static void plant_deleted(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char *base;

	if (fd < 0 || ftruncate(fd, PAGE) != 0)
		err(1, "%s", path);
	base = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		err(1, "%s", path);
	secret(base, "a-deleted-file");
	close(fd);
	unlink(path);
}

/* Two pages, of which the second becomes a mapping of its own; the secret lies across. */
static void plant_border(void)
{
	char *base = map(2 * PAGE, PROT_READ | PROT_WRITE);

	secret(base + PAGE - 12, "two-mappings");
	mprotect(base + PAGE, PAGE, PROT_READ);
}

/* What runtimes and databases do: reserve a lot, use next to nothing. */
static void plant_sparse(void)
{
	char *base = map(SPARSE_SIZE, PROT_READ | PROT_WRITE);

	secret(base + SPARSE_SIZE / 2, "one-page-of-a-tebibyte");
}

int main(int argc, char **argv)
{
	FILE *out;
	char *heap;

	if (argc < 3)
		errx(2, "wanted are FILE PIDFILE [small]");
	/* Yama lets only a parent look, unless a process says otherwise. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	heap = malloc(SECRET_MAX);
	if (!heap)
		err(1, "no memory");
	secret(heap, "the-heap");
	start_thread();
	plant_code();
	plant_deleted(argv[1]);
	plant_border();
	if (argc < 4)
		plant_sparse();
	out = fopen(argv[2], "w");
	if (!out || fprintf(out, "%d\n", getpid()) < 0 || fclose(out) != 0)
		err(1, "%s", argv[2]);
	for (;;)
		pause();
}
