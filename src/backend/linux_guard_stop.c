/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows is which threads may be stopped, and how to wait for it.
 *
 * A thread is stopped by PTRACE_INTERRUPT, which leaves an interrupted system call for the kernel
 * to restart when the thread goes on.
 *
 * A thread inside a restartable sequence (rseq) is let go on until it has left it: the kernel looks
 * at where it is when it is scheduled, and would be misled by the borrowed program counter.
 */
#include "backend/linux_guard_thread.h"

#include "backend/linux_check.h"
#include "backend/linux_procfs.h"
#include "backend/linux_regs.h"
#include "backend/linux_threads.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define STOP_LIMIT_NS UINT64_C(2000000000)  /* for all threads */
#define THREAD_LIMIT_NS UINT64_C(200000000) /* for one of which there may be others */

enum { TRIES = 64 }; /* to find a thread outside of a restartable sequence, or a thread at all */

int guard_gone(const struct guard *guard)
{
	return err_set(MS_ERR_GONE, "pid %u ended, or the thread that was stopped did", guard->pid);
}

/* ---- Waiting ---------------------------------------------------------------------------- */

/* Whether a task has ended: the end of a first thread cannot be waited for before the others'. */
static bool has_ended(pid_t tid)
{
	char path[32], text[1024];
	struct linux_stat stat;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	size = linux_read_at(AT_FDCWD, path, text, sizeof(text));
	return size <= 0 || linux_stat_parse(text, (size_t)size, &stat) < 0 || stat.state == 'Z' ||
	       stat.state == 'X';
}

int guard_next_stop(pid_t tid, uint64_t deadline_ns)
{
	/* SIGCHLD tells of stops; it is blocked, so it waits for whoever asks for it. */
	struct timespec nap = {.tv_nsec = 5 * 1000 * 1000};
	bool ended = false;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		siginfo_t info = {0};

		if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WEXITED | WNOHANG | __WALL) != 0 &&
			errno != EINTR)
			return GUARD_ENDED;
		if (info.si_pid)
			return info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED
				       ? info.si_status
				       : GUARD_ENDED;
		if (ended)
			return GUARD_ENDED;
		if (deadline_ns && os_clock_ns() >= deadline_ns)
			return GUARD_LATE;
		/* Asked once more then: what is left unreaped its parent would wait for in vain. */
		ended = sigtimedwait(&child, NULL, &nap) < 0 && has_ended(tid);
	}
}

/* ---- One thread ------------------------------------------------------------------------- */

static int seize(struct guard *guard, pid_t tid)
{
	int errnum;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0) {
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		return 0;
	}
	errnum = errno;
	/* One that is about to go is refused with EPERM (ptrace_attach() in kernel/ptrace.c). */
	if (errnum == ESRCH || has_ended(tid))
		return MS_ERR_NOT_FOUND;
	return linux_trace_refused(guard->dir, guard->pid, (uint32_t)tid, errnum);
}

/* Waits for the stop that was asked for; a signal that comes first is handed over. */
static int wait_interrupted(pid_t tid, uint64_t deadline_ns)
{
	for (;;) {
		int status = guard_next_stop(tid, deadline_ns);

		if (status < 0 || status >> 8 == GUARD_EVENT_STOP)
			return status;
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)(status >> 8 ? 0 : status & 0xff));
	}
}
/* Whether calls may be made in a thread at all; looks at /proc only. */
static int check_thread(const struct guard *guard, pid_t tid)
{
	if (linux_thread_status(guard->dir, tid, "Seccomp", 10, 0))
		return err_set(MS_ERR_UNSUPPORTED,
			"pid %u is under a seccomp filter, which might end it for a system call "
			"that it does not expect",
			guard->pid);
	return 0;
}

/* Lets a thread go on until it is outside of restartable sequences, as the kernel then sees to. */
static int leave_sequence(struct guard *guard, pid_t tid, uint64_t deadline_ns)
{
	struct inject_regs regs;

	for (int i = 0; i < TRIES; i++) {
		int status;

		if (!linux_regs_get(tid, &regs))
			return guard_gone(guard);
		if (!inject_regs_native(&regs) ||
			!guard_in_sequence(guard, tid, inject_regs_pc(&regs)))
			return 0;
		ptrace(PTRACE_CONT, tid, NULL, NULL);
		sched_yield();
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		if ((status = wait_interrupted(tid, deadline_ns)) < 0)
			return status == GUARD_ENDED ? guard_gone(guard) : MS_ERR_TIMEOUT;
	}
	return err_set(
		MS_ERR_UNSUPPORTED, "pid %u does not leave a restartable sequence", guard->pid);
}

/* Tries to stop and take one thread; MS_ERR_NOT_FOUND and _TIMEOUT mean to try another. */
static int stop_thread(struct guard *guard, pid_t tid, struct guard_task *ret_task)
{
	uint64_t deadline_ns = os_clock_ns() + THREAD_LIMIT_NS;
	int status, r = check_thread(guard, tid);

	if (r < 0 || (r = seize(guard, tid)) < 0)
		return r;
	guard->stop_ns = os_clock_ns();
	status = wait_interrupted(tid, deadline_ns);
	if (status < 0)
		return status == GUARD_ENDED ? MS_ERR_NOT_FOUND : MS_ERR_TIMEOUT;
	if ((status & 0xff) != SIGTRAP)
		r = err_set(MS_ERR_UNSUPPORTED, "pid %u is stopped by a signal", guard->pid);
	if (r == 0)
		r = leave_sequence(guard, tid, deadline_ns);
	if (r == 0)
		r = guard_enter(guard, tid, ret_task);
	if (r < 0)
		linux_let_go(guard->dir, tid);
	return r;
}

/*
 * How good a thread is to be stopped: 0 if it runs or waits in a call that goes on where it was,
 * 1 if a stop would break its call off, 2 if it can hardly be stopped.
 */
static int rank(const struct guard *guard, pid_t tid)
{
	static const long fragile[] = {SYS_epoll_pwait, SYS_semtimedop, SYS_rt_sigtimedwait,
		SYS_io_getevents,
#ifdef SYS_epoll_wait
		SYS_epoll_wait,
#endif
#ifdef SYS_epoll_pwait2
		SYS_epoll_pwait2,
#endif
		SYS_semop};
	char path[48], text[512];
	long number;

	snprintf(path, sizeof(path), "task/%d/syscall", tid);
	if (linux_read_at(guard->dir, path, text, sizeof(text)) <= 0)
		return 2;
	if (text[0] == 'r' || text[0] == '-')
		return 0;
	number = strtol(text, NULL, 10);
	for (size_t i = 0; i < sizeof(fragile) / sizeof(*fragile); i++)
		if (number == fragile[i])
			return 1;
#ifdef SYS_vfork
	if (number == SYS_vfork)
		return 2;
#endif
	return 0;
}

static int note_thread(void *ctx, uint32_t tid)
{
	struct guard *guard = ctx;

	if (guard->thread_count == GUARD_THREADS_MAX)
		return 1;
	guard->threads[guard->thread_count++] = (struct guard_thread){.tid = (pid_t)tid};
	return guard->thread_count == TRIES;
}

static int list_threads(struct guard *guard, int (*each)(void *ctx, uint32_t tid))
{
	int task = openat(guard->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = task < 0 ? guard_gone(guard) : linux_numbers(task, each, guard);

	if (task >= 0)
		close(task);
	return r == MS_ERR_GONE ? guard_gone(guard) : r;
}

int guard_stop_one(struct guard *guard, struct guard_task *ret_task)
{
	int r = list_threads(guard, note_thread);

	if (r < 0)
		return r;
	r = MS_ERR_NOT_FOUND;
	for (int wanted = 0; wanted <= 2; wanted++)
		for (size_t i = 0; i < guard->thread_count; i++) {
			pid_t tid = guard->threads[i].tid;

			if (guard->threads[i].ended || rank(guard, tid) > wanted)
				continue;
			r = stop_thread(guard, tid, ret_task);
			if (r != MS_ERR_NOT_FOUND && r != MS_ERR_TIMEOUT)
				return r;
			guard->threads[i].ended = true;
		}
	return r == MS_ERR_TIMEOUT
		       ? err_set(r, "pid %u: no thread of it could be stopped (state D)",
				 guard->pid)
		       : guard_gone(guard);
}

/* ---- All threads ------------------------------------------------------------------------ */

static struct guard_thread *find_thread(struct guard *guard, uint32_t tid)
{
	for (size_t i = 0; i < guard->thread_count; i++)
		if (guard->threads[i].tid == (pid_t)tid)
			return &guard->threads[i];
	return NULL;
}

static int seize_new(void *ctx, uint32_t tid)
{
	struct guard *guard = ctx;
	struct guard_thread *known = find_thread(guard, tid);
	int r;

	/* One that has ended and is back is a new thread with a recycled tid. */
	if (known && !known->ended)
		return 0;
	if (!known && guard->thread_count == GUARD_THREADS_MAX)
		return err_set(MS_ERR_UNSUPPORTED, "pid %u has more than %d threads", guard->pid,
			GUARD_THREADS_MAX);
	if ((r = check_thread(guard, (pid_t)tid)) < 0)
		return r;
	r = seize(guard, (pid_t)tid);
	if (r < 0 && (r != MS_ERR_NOT_FOUND || known))
		return r == MS_ERR_NOT_FOUND ? 0 : r;
	/* One that has ended since it was listed is news, too: it may have started another. */
	guard->fresh++;
	known = known ? known : &guard->threads[guard->thread_count++];
	*known = (struct guard_thread){.tid = (pid_t)tid, .ended = r < 0};
	return 0;
}

/* Waits for every thread that was seized to stop. */
static int wait_all(struct guard *guard)
{
	for (size_t i = 0; i < guard->thread_count; i++) {
		struct guard_thread *thread = &guard->threads[i];
		int status;

		if (thread->stopped || thread->ended)
			continue;
		status = wait_interrupted(thread->tid, guard->deadline_ns);
		if (status == GUARD_LATE)
			return err_set(MS_ERR_TIMEOUT,
				"pid %u: its thread %d did not stop within 2 seconds", guard->pid,
				thread->tid);
		thread->ended = status == GUARD_ENDED;
		thread->stopped = status >= 0;
		if (status >= 0 && (status & 0xff) != SIGTRAP)
			return err_set(
				MS_ERR_UNSUPPORTED, "pid %u is stopped by a signal", guard->pid);
	}
	return 0;
}

static int try_all(struct guard *guard, struct guard_task *ret_task)
{
	int r;

	/* Until no thread is new: only one that runs can start another. */
	do {
		guard->fresh = 0;
		if ((r = list_threads(guard, seize_new)) < 0 || (r = wait_all(guard)) < 0)
			return r;
	} while (guard->fresh);
	for (size_t i = 0; i < guard->thread_count; i++) {
		struct guard_thread *thread = &guard->threads[i];
		struct inject_regs regs;

		if (!thread->stopped || !linux_regs_get(thread->tid, &regs))
			continue;
		if (inject_regs_native(&regs) &&
			guard_in_sequence(guard, thread->tid, inject_regs_pc(&regs)))
			continue;
		return guard_enter(guard, thread->tid, ret_task);
	}
	return guard_gone(guard);
}

int guard_stop_all(struct guard *guard, struct guard_task *ret_task)
{
	int r;

	guard->stop_ns = os_clock_ns();
	guard->deadline_ns = guard->stop_ns + STOP_LIMIT_NS;
	r = try_all(guard, ret_task);
	if (r < 0)
		guard_resume(guard, NULL);
	return r;
}

void guard_keep_registers(struct guard *guard)
{
	for (size_t i = 0; i < guard->thread_count; i++) {
		struct guard_thread *thread = &guard->threads[i];

		thread->registers = guard->registers_used;
		for (size_t set = 0; set < LINUX_REGISTER_SETS && thread->stopped; set++) {
			size_t at = guard->registers_used;

			if (GUARD_REGISTERS_MAX - at < LINUX_REGISTER_SET_MAX)
				return;
			thread->sizes[set] = linux_register_set(
				thread->tid, set, guard->registers + at, LINUX_REGISTER_SET_MAX);
			guard->registers_used += thread->sizes[set];
		}
	}
}

void guard_resume(struct guard *guard, const struct guard_task *task)
{
	for (size_t i = 0; i < guard->thread_count; i++)
		if (guard->threads[i].stopped && (!task || guard->threads[i].tid != task->tid))
			linux_let_go(guard->dir, guard->threads[i].tid);
}
