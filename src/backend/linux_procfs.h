/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small files of /proc and what is in them. A name in them may hold any byte but NUL: whoever
 * names a process chooses it.
 */
#ifndef MS_BACKEND_LINUX_PROCFS_H
#define MS_BACKEND_LINUX_PROCFS_H

#include "base/mem.h"

#include <sys/types.h>

/*
 * Reads a small file below dirfd: up to size - 1 bytes and a NUL. Returns how many bytes, or
 * -errno. Sets no error text.
 */
ssize_t linux_read_at(int dirfd, const char *path, char *buf, size_t size);

/*
 * The number behind "KEY:" in the status file at path, such as 12 for "Tgid"; false if there is
 * none.
 */
bool linux_status_number(
	int dirfd, const char *path, const char *key, int number_base, uint64_t *ret_value);

/*
 * Calls each() for every entry of an open folder whose name is a number, such as the processes in
 * /proc, and passes on its first non-zero return. Fails with MS_ERR_GONE when the folder's process
 * has ended. Goes to the kernel itself: a preloaded library that hides processes from readdir()
 * has no say here.
 */
int linux_numbers(int fd, int (*each)(void *ctx, uint32_t number), void *ctx);

/* A decimal number of 32 bits and nothing else; false for anything else. */
bool linux_number(const char *text, uint32_t *ret_number);

/* What memsift uses of /proc/PID/stat and /proc/PID/task/TID/stat. */
struct linux_stat {
	uint32_t pid, ppid, session;
	char state;	      /* 'R', 'S', 'D', 'Z', 'T', 't', 'X'... */
	bool terminal;	      /* it has a controlling terminal */
	bool kernel;	      /* a kernel thread */
	uint64_t start_ticks; /* since boot, in sysconf(_SC_CLK_TCK) */
	uint64_t rss_pages;
	uint64_t arg_start, arg_end; /* 0 without permission to examine the process */
	const char *name;	     /* points into the text; may hold any byte but NUL */
	size_t name_size;
};

/* Reads the text of a stat file. Fails with MS_ERR_FORMAT, and then leaves *ret_stat alone. */
int linux_stat_parse(const char *text, size_t size, struct linux_stat *ret_stat);

#endif
