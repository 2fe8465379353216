/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows is how to borrow a thread.
 *
 * The registers of a thread that is stopped say whether the kernel is to restart a system call
 * (-ERESTARTSYS and the like), and timeouts keep their end. They must be put back while the thread
 * is in the same kind of stop, as only there the kernel looks at them again (get_signal() in
 * kernel/signal.c, arch_do_signal_or_restart()); so the thread is interrupted once more before it
 * is let go. A few calls (epoll_wait() is one, see signal(7)) fail with EINTR on any stop; the
 * thread enters those again, unless a signal is waiting that may be meant to end them.
 *
 * Calls are followed with PTRACE_SYSCALL, never by single steps: those would force a SIGTRAP on
 * the thread, which resets its handling where that is blocked or ignored
 * (force_sig_info_to_task()). Signals are blocked meanwhile but for those that a fault would force,
 * for the same reason.
 */
#include "backend/linux_guard_thread.h"

#include "backend/linux_regs.h"
#include "base/os.h"

#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

enum {
	/* Of linux/ptrace.h, which glibc's header clashes with. */
	GET_RSEQ = 0x420f,     /* PTRACE_GET_RSEQ_CONFIGURATION, since 5.13 */
	GET_DISPATCH = 0x4211, /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, since 6.4 */
	GET_SIGMASK = 0x420a,
	SET_SIGMASK = 0x420b,
	OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE,
	SYSCALL_STOP = SIGTRAP | 0x80,
	CLONE_STOP = SIGTRAP | PTRACE_EVENT_CLONE << 8,
};

#define FAULTS                                                                                     \
	(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGILL - 1) |                     \
		1ull << (SIGFPE - 1) | 1ull << (SIGTRAP - 1) | 1ull << (SIGSYS - 1))

/* Requests that glibc's ptrace() does not know by name. */
static long trace_by_number(int request, pid_t tid, size_t size, void *data)
{
	return syscall(SYS_ptrace, (long)request, (long)tid, size, data);
}

/* ---- Taking a thread -------------------------------------------------------------------- */

static bool read_word(const struct guard *guard, uint64_t address, void *ret, size_t size)
{
	return pread(guard->mem, ret, size, (off_t)address) == (ssize_t)size;
}

bool guard_in_sequence(const struct guard *guard, pid_t tid, uint64_t pc)
{
	struct {
		uint64_t area;
		uint32_t size, signature, flags, pad;
	} config;
	struct {
		uint32_t version, flags;
		uint64_t start, length, abort;
	} sequence;
	uint64_t pointer;

	if (trace_by_number(GET_RSEQ, tid, sizeof(config), &config) <= 0 || !config.area)
		return false;
	/* struct rseq: two numbers of the CPU, then the address of the current sequence. */
	if (!read_word(guard, config.area + 8, &pointer, sizeof(pointer)) || !pointer)
		return false;
	return read_word(guard, pointer, &sequence, sizeof(sequence)) &&
	       pc - sequence.start < sequence.length;
}

static bool dispatches(pid_t tid)
{
	struct {
		uint64_t mode, selector, offset, length;
	} config;

	return trace_by_number(GET_DISPATCH, tid, sizeof(config), &config) == 0 && config.mode;
}

/* Whether calls may be made in a thread at all; looks at /proc only. */ int guard_enter(
	struct guard *guard, pid_t tid, struct guard_task *ret_task)
{
	uint64_t blocked = ~FAULTS;
	uint8_t opcode[INJECT_OPCODE_MAX];

	*ret_task = (struct guard_task){.tid = tid};
	if (!linux_regs_get(tid, &ret_task->saved))
		return guard_gone(guard);
	if (!inject_regs_native(&ret_task->saved))
		return err_set(MS_ERR_UNSUPPORTED,
			"pid %u runs 32-bit code; memsift makes system calls only in programs of "
			"its "
			"own kind",
			guard->pid);
	if (dispatches(tid))
		return err_set(MS_ERR_UNSUPPORTED,
			"pid %u has its system calls dispatched to itself (as Wine does)",
			guard->pid);
	if (!read_word(guard, guard->pc, opcode, inject_opcode_size) ||
		memcmp(opcode, inject_opcode, inject_opcode_size) != 0)
		return err_set(MS_ERR_UNSUPPORTED,
			"pid %u: the system call instruction is not where it was", guard->pid);
	/* Not before: what it made of its own until it stopped is none of memsift's. */
	if (ptrace(PTRACE_SETOPTIONS, tid, NULL, (void *)(intptr_t)OPTIONS) != 0)
		return guard_gone(guard);
	if (trace_by_number(GET_SIGMASK, tid, 8, &ret_task->mask) != 0 ||
		trace_by_number(SET_SIGMASK, tid, 8, &blocked) != 0)
		return guard_gone(guard);
	return 0;
}

/* ---- Calling ---------------------------------------------------------------------------- */

/* Deals with a stop that is not the one waited for; false if the thread met a fault. */
static bool pass_by(struct guard_task *task, int status)
{
	siginfo_t info = {0};
	int number = status & 0xff;
	unsigned long child = 0;

	if (status == CLONE_STOP && ptrace(PTRACE_GETEVENTMSG, task->tid, NULL, &child) == 0)
		task->child = (pid_t)child;
	if (status >> 8)
		return true;
	if (ptrace(PTRACE_GETSIGINFO, task->tid, NULL, &info) == 0 && info.si_code > 0 &&
		(FAULTS >> (number - 1) & 1))
		return false;
	task->caught |= 1ull << (number - 1);
	return true;
}

/* Lets the task run to the next edge of a system call. */
static int run_to_edge(struct guard *guard, struct guard_task *task)
{
	for (;;) {
		int status;

		if (ptrace(PTRACE_SYSCALL, task->tid, NULL, NULL) != 0)
			return guard_gone(guard);
		status = guard_next_stop(task->tid, 0);
		if (status < 0)
			return guard_gone(guard);
		if (status == SYSCALL_STOP)
			return 0;
		if (!pass_by(task, status))
			return err_set(
				MS_ERR_IO, "pid %u: a system call could not be made", guard->pid);
	}
}

int guard_call(struct guard *guard, struct guard_task *task, long number,
	const uint64_t args[INJECT_ARGS], int64_t *ret_result)
{
	struct inject_regs regs = task->saved;
	int r;

	inject_regs_call(&regs, guard->pc, number, args);
	if (!linux_regs_set(task->tid, &regs))
		return guard_gone(guard);
	task->called = true;
	/* Once in, once out. */
	if ((r = run_to_edge(guard, task)) < 0 || (r = run_to_edge(guard, task)) < 0)
		return r;
	if (!linux_regs_get(task->tid, &regs))
		return guard_gone(guard);
	*ret_result = inject_regs_result(&regs);
	return 0;
}

int guard_take_child(struct guard *guard, pid_t child, struct guard_task *ret_task)
{
	*ret_task = (struct guard_task){.tid = child};
	if (guard_next_stop(child, 0) < 0 || !linux_regs_get(child, &ret_task->saved))
		return guard_gone(guard);
	return 0;
}

void guard_exit(struct guard *guard, struct guard_task *task)
{
	static const uint64_t args[INJECT_ARGS];
	struct inject_regs regs = task->saved;
	int status = 0;

	inject_regs_call(&regs, guard->pc, SYS_exit, args);
	linux_regs_set(task->tid, &regs);
	while (status != GUARD_ENDED && ptrace(PTRACE_CONT, task->tid, NULL, NULL) == 0)
		status = guard_next_stop(task->tid, 0);
}

void guard_kill(struct guard *guard, pid_t pid)
{
	(void)guard;
	kill(pid, SIGKILL);
	while (guard_next_stop(pid, 0) != GUARD_ENDED)
		;
}

/* Brings the thread back into the kind of stop in which the kernel sees to interrupted calls. */
static bool interrupt_again(struct guard_task *task)
{
	ptrace(PTRACE_INTERRUPT, task->tid, NULL, NULL);
	for (;;) {
		int status;

		if (ptrace(PTRACE_CONT, task->tid, NULL, NULL) != 0)
			return false;
		status = guard_next_stop(task->tid, 0);
		if (status < 0)
			return false;
		if (status >> 8 == GUARD_EVENT_STOP)
			return true;
		pass_by(task, status);
	}
}

void guard_leave(struct guard *guard, struct guard_task *task)
{
	if (task->called && !interrupt_again(task))
		return;
	if (inject_regs_broken_off(&task->saved) >= 0 && !(task->caught & ~task->mask) &&
		!linux_signal_waits(guard->dir, task->tid, task->mask))
		inject_regs_again(&task->saved);
	linux_regs_set(task->tid, &task->saved);
	trace_by_number(SET_SIGMASK, task->tid, 8, &task->mask);
	for (int number = 1; number <= 64; number++)
		if (task->caught >> (number - 1) & 1)
			syscall(SYS_tgkill, (pid_t)guard->pid, task->tid, number);
	ptrace(PTRACE_DETACH, task->tid, NULL, NULL);
	guard->stop_ns = os_clock_ns() - guard->stop_ns;
}
