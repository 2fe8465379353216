/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guardian: a process of memsift's own that stops a target's threads, has them make a few
 * system calls and puts everything back. It is a process because memsift may be killed at any
 * moment: a tracer that ends lets its tracees run on with whatever registers they have, so
 * whoever changes registers must live until they are back. The guardian has its own memory, its
 * own session and all signals blocked, and shares the table of descriptors, so that what it opens
 * is memsift's, too. Only a SIGKILL that is meant for the guardian itself could hurt, within the
 * part of a millisecond in which registers are not the thread's own.
 *
 * Nothing is written to the target's memory: calls are made through a system call instruction
 * that is there, and none takes a pointer.
 */
#ifndef MS_BACKEND_LINUX_GUARD_H
#define MS_BACKEND_LINUX_GUARD_H

#include "backend/linux_regs.h"
#include "base/err.h"

#include <signal.h>
#include <sys/types.h>

enum {
	GUARD_THREADS_MAX = 32768,
	GUARD_REGISTERS_MAX = 64 << 20, /* bytes; threads beyond are kept without */
	GUARD_PENDING = 1,
};

/* A task that is stopped and makes calls. */
struct guard_task {
	pid_t tid;
	struct inject_regs saved;
	uint64_t mask;	 /* of blocked signals; bit n - 1 is signal n */
	uint64_t caught; /* signals that arrived meanwhile and are to be sent again */
	pid_t child;	 /* that its last call made, as memsift numbers it */
	bool called;
};

struct guard_thread {
	pid_t tid;
	bool stopped, ended;
	size_t registers; /* where they are in guard->registers, one set behind the other */
	size_t sizes[LINUX_REGISTER_SETS];
};

/* In memory that memsift and the guardian share. */
struct guard {
	uint32_t pid;
	int dir, mem; /* /proc/PID and its mem */
	uint64_t pc;  /* of a system call instruction in the target */
	int (*job)(struct guard *guard);

	pid_t guardian;
	int pidfd;  /* of the guardian; polls as readable when it has ended */
	int status; /* GUARD_PENDING until the job has returned */
	char error[ERR_TEXT_MAX];
	uint64_t stop_ns; /* how long the job stopped the target */

	/* of single jobs */
	int fd, ready, release, parent;
	pid_t twin;

	uint64_t deadline_ns;	    /* for threads to stop */
	size_t thread_count, fresh; /* fresh: met for the first time in the current round */
	struct guard_thread threads[GUARD_THREADS_MAX];
	size_t registers_used;
	uint8_t registers[GUARD_REGISTERS_MAX]; /* takes memory as far as it is written to */
};

struct ms_source;

/*
 * Prepares a guardian for a live source. Fails with MS_ERR_UNSUPPORTED if calls cannot be made in
 * this target. guard_free() waits for the guardian to end.
 */
int guard_new(struct ms_source *src, int (*job)(struct guard *guard), struct guard **ret_guard);
void guard_free(struct guard *guard);

static inline void guard_cleanup(struct guard **guard)
{
	guard_free(*guard);
}

/* Starts the guardian, and with it the job. */
int guard_start(struct guard *guard);

/* Waits for the guardian to end; what its job returned, with its sentence. */
int guard_result(struct guard *guard);

/* ---- For jobs: called in the guardian, where nothing may allocate memory ---------------- */

/* Stops one thread that may make calls, or all and says which one may. */
int guard_stop_one(struct guard *guard, struct guard_task *ret_task);
int guard_stop_all(struct guard *guard, struct guard_task *ret_task);

/* Keeps the registers of all threads that guard_stop_all() stopped, before any call is made. */
void guard_keep_registers(struct guard *guard);

/* Waits until a child that a call made has stopped, and takes it for a task. */
int guard_take_child(struct guard *guard, pid_t child, struct guard_task *ret_task);

/* Makes a call; fails when the task is no more, or the call could not be made. */
int guard_call(struct guard *guard, struct guard_task *task, long number,
	const uint64_t args[INJECT_ARGS], int64_t *ret_result);

/* Has the task call exit(), which only ends that task, and waits for its end. */
void guard_exit(struct guard *guard, struct guard_task *task);

/* Gives a thread back all that it had, and lets it go. */
void guard_leave(struct guard *guard, struct guard_task *task);

/* Lets all threads go that guard_stop_all() stopped, but for the task. */
void guard_resume(struct guard *guard, const struct guard_task *task);

/* Ends a child by SIGKILL, and waits for its end. */
void guard_kill(struct guard *guard, pid_t pid);

#endif
