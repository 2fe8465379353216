/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * General registers of threads that are traced and stopped, and letting such a thread go without
 * its noticing that it stood still.
 */
#ifndef MS_BACKEND_LINUX_REGS_H
#define MS_BACKEND_LINUX_REGS_H

#include "backend/linux_inject_cpu.h"

#include <sys/types.h>

/* False when the thread is no more. */
bool linux_regs_get(pid_t tid, struct inject_regs *ret_regs);
bool linux_regs_set(pid_t tid, const struct inject_regs *regs);

/*
 * The register sets of struct ms_thread, in its order, each in the layout of its ELF note. Returns
 * how many bytes a set has, at most size; 0 for one that the processor does not have, with errno
 * ESRCH when the thread is no more.
 */
enum { LINUX_REGISTER_SETS = 3, LINUX_REGISTER_SET_MAX = 64 * 1024 }; /* AMX takes about 11 KiB */
size_t linux_register_set(pid_t tid, size_t set, void *buf, size_t size);

/* A field of task/TID/status under the open folder of its process. */
uint64_t linux_thread_status(
	int pid_dirfd, pid_t tid, const char *key, int base, uint64_t otherwise);

/*
 * Whether a signal waits for the thread that this mask does not block. Such a one may be meant to
 * end the call that the thread is in.
 */
bool linux_signal_waits(int pid_dirfd, pid_t tid, uint64_t mask);

/*
 * Lets a thread go that stands in a PTRACE_EVENT_STOP. A system call that the stop broke off
 * with EINTR is entered again, unless a signal waits.
 */
void linux_let_go(int pid_dirfd, pid_t tid);

#endif
