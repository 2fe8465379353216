/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the guardian share. linux_guard.c has its life, linux_guard_stop.c stops
 * threads and waits for them, linux_guard_task.c has a stopped one make calls.
 */
#ifndef MS_BACKEND_LINUX_GUARD_THREAD_H
#define MS_BACKEND_LINUX_GUARD_THREAD_H

#include "backend/linux_guard.h"

enum {
	GUARD_EVENT_STOP = 128, /* of linux/ptrace.h, which glibc's header clashes with */
	/* What guard_next_stop() returns other than a stop's status. */
	GUARD_ENDED = -1,
	GUARD_LATE = -2,
};

/* Sets the sentence for a target, or a thread, that is no more. */
int guard_gone(const struct guard *guard);

/* The status of a task's next stop, GUARD_ENDED, or GUARD_LATE after the deadline (0: none). */
int guard_next_stop(pid_t tid, uint64_t deadline_ns);

/* Whether a stopped thread, whose program counter is pc, is inside a restartable sequence. */
bool guard_in_sequence(const struct guard *guard, pid_t tid, uint64_t pc);

/* Takes a stopped thread for a task: keeps what it had, and blocks signals. */
int guard_enter(struct guard *guard, pid_t tid, struct guard_task *ret_task);

#endif
