/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process to measure on: random anonymous memory with a needle at known places. The needle
 * comes from stdin straight into that memory, so that no other copy of it is in the process.
 *
 *	target MIB PAGES SPARSE CHILDREN
 *
 * MIB of memory in PAGES "small" (4 KiB only), "huge" (transparent huge pages wanted) or "any";
 * SPARSE is 1 for a mapping of 1 TiB with a single touched page beside it; CHILDREN are forked
 * off and share it all. One line tells what is there, and everything ends with stdin.
 */
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PLACES = 8, NEEDLE_MAX = 64, CHUNK = 512 * 1024 };

#define SPARSE_SIZE (UINT64_C(1) << 40)

static char *map(uint64_t size, const char *pages)
{
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		err(1, "cannot map %llu bytes", (unsigned long long)size);
	if (strcmp(pages, "small") == 0)
		madvise(base, size, MADV_NOHUGEPAGE);
	else if (strcmp(pages, "huge") == 0)
		madvise(base, size, MADV_HUGEPAGE);
	return base;
}

static void fill(char *base, uint64_t size)
{
	uint64_t state = 0x9e3779b97f4a7c15u;

	for (uint64_t at = 0; at < size; at += sizeof(state)) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(base + at, &state, sizeof(state));
	}
}

/* Spread over the memory; every other one lies across the border of a chunk. */
static uint64_t place(uint64_t size, unsigned number)
{
	uint64_t at = size / PLACES * number + CHUNK;

	return number % 2 ? at - 5 : at + 1000 + number;
}

static void plant(char *base, uint64_t size)
{
	ssize_t length = read(STDIN_FILENO, base + place(size, 0), NEEDLE_MAX);

	if (length <= 0)
		errx(1, "no needle came on stdin");
	for (unsigned i = 1; i < PLACES; i++)
		memcpy(base + place(size, i), base + place(size, 0), (size_t)length);
}

/* One page in the middle, with the needle. */
static void plant_sparse(const char *from)
{
	char *base = map(SPARSE_SIZE, "small");

	memcpy(base + SPARSE_SIZE / 2 + 100, from, NEEDLE_MAX);
}

static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "cannot fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	uint64_t size;
	char *base, end;

	if (argc != 5)
		errx(2, "wanted are MIB PAGES SPARSE CHILDREN");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	size = strtoull(argv[1], NULL, 10) << 20;
	base = map(size, argv[2]);
	fill(base, size);
	plant(base, size);
	if (atoi(argv[3]))
		plant_sparse(base + place(size, 0));
	printf("%d %p %llu", getpid(), (void *)base, (unsigned long long)size);
	for (int i = atoi(argv[4]); i > 0; i--)
		printf(" %d", child());
	printf("\n");
	fflush(stdout);
	return read(STDIN_FILENO, &end, 1) < 0;
}
