/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes of this machine, out of /proc. Each one is pinned by an open /proc/PID before
 * anything of it is read, so that what is listed always belongs to one and the same process: an
 * open /proc/PID never turns into another process, not even when the pid is recycled. A process
 * that ends meanwhile is left out of the list.
 *
 * What counts as a system process (ms_process.system):
 *  - Kernel threads and pid 1 do.
 *  - Where systemd runs the machine, so does every member of a control group whose path begins
 *    with /system.slice/ and whose last component ends in .service, and of /init.scope.
 *  - Where there is no systemd, or a process is in the root control group only, so do daemons: a
 *    session leader without controlling terminal whose parent is pid 1, whose user id is below
 *    1000 and whose program lies under /usr/sbin, /sbin, /usr/lib/systemd or /lib/systemd.
 * Nothing else does: not what a person started, not a container, not a user's own services.
 */
#ifndef MS_BACKEND_LINUX_PROC_H
#define MS_BACKEND_LINUX_PROC_H

#include "core/host.h"

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

/* Appends all processes, kernel threads included, by ascending pid. */
int linux_processes(struct process_list *out);

/* Appends one process; fails with MS_ERR_NOT_FOUND if none has that pid. */
int linux_process_one(uint32_t pid, struct process_list *out);

/* The account's name in /etc/passwd, or its number; asks no directory service. */
void linux_user_name(uint32_t uid, char *ret_name, size_t size);

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

#endif
