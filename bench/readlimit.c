/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast this machine lets one process read another one at all: process_vm_readv() in pieces
 * that fit a core's cache, and nothing done with what was read. Each thread takes as much at once
 * as one page table of the target describes, for whose lock it would wait otherwise. Prints the
 * seconds it took.
 *
 *	readlimit PID ADDRESS SIZE THREADS
 */
#include <err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

enum { PIECE = 512 * 1024, SHARE = 4 * PIECE, THREADS_MAX = 64 };

static struct {
	pid_t pid;
	uint64_t base, size;
	atomic_ullong next;
} job;

static void read_piece(char *buf, uint64_t at, uint64_t end)
{
	size_t size = end - at < PIECE ? (size_t)(end - at) : PIECE;
	struct iovec local = {buf, size};
	struct iovec remote = {(void *)(uintptr_t)(job.base + at), size};

	if (process_vm_readv(job.pid, &local, 1, &remote, 1, 0) != (ssize_t)size)
		err(1, "process_vm_readv");
}

static void *read_pieces(void *ctx)
{
	char *buf = aligned_alloc(4096, PIECE);
	uint64_t at;

	(void)ctx;
	while (buf && (at = atomic_fetch_add(&job.next, SHARE)) < job.size) {
		uint64_t end = job.size - at < SHARE ? job.size : at + SHARE;

		for (; at < end; at += PIECE)
			read_piece(buf, at, end);
	}
	free(buf);
	return NULL;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	double start;
	int count;

	if (argc != 5)
		errx(2, "wanted are PID ADDRESS SIZE THREADS");
	job.pid = atoi(argv[1]);
	job.base = strtoull(argv[2], NULL, 0);
	job.size = strtoull(argv[3], NULL, 0);
	count = atoi(argv[4]);
	if (count < 1 || count > THREADS_MAX)
		errx(2, "1 to %d threads", THREADS_MAX);
	start = now();
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, read_pieces, NULL) != 0)
			errx(1, "cannot start a thread");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%.6f\n", now() - start);
	return 0;
}
