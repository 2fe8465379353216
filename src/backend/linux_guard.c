/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows is how to borrow a thread.
 *
 * It is stopped by PTRACE_INTERRUPT, which leaves an interrupted system call for the kernel to
 * restart when the thread goes on: the registers say so (-ERESTARTSYS and the like), and
 * timeouts keep their end. They must be put back while the thread is in the same kind of stop, as
 * only there the kernel looks at them again (get_signal() in kernel/signal.c,
 * arch_do_signal_or_restart()); so the thread is interrupted once more before it is let go. A few
 * calls (epoll_wait() is one, see signal(7)) fail with EINTR on any stop; the thread enters those
 * again, unless a signal is waiting that may be meant to end them.
 *
 * Calls are followed with PTRACE_SYSCALL, never by single steps: those would force a SIGTRAP on
 * the thread, which resets its handling where that is blocked or ignored
 * (force_sig_info_to_task()). Signals are blocked meanwhile but for those that a fault would force,
 * for the same reason.
 *
 * A thread inside a restartable sequence (rseq) is let go on until it has left it: the kernel looks
 * at where it is when it is scheduled, and would be misled by the borrowed program counter.
 */
#include "backend/linux_guard.h"

#include "backend/linux.h"
#include "backend/linux_check.h"
#include "backend/linux_proc.h"
#include "backend/linux_regs.h"
#include "backend/linux_threads.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define STOP_LIMIT_NS UINT64_C(2000000000)  /* for all threads */
#define THREAD_LIMIT_NS UINT64_C(200000000) /* for one of which there may be others */

enum {
	/* Of linux/ptrace.h, which glibc's header clashes with. */
	EVENT_STOP = 128,
	GET_RSEQ = 0x420f,     /* PTRACE_GET_RSEQ_CONFIGURATION, since 5.13 */
	GET_DISPATCH = 0x4211, /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, since 6.4 */
	GET_SIGMASK = 0x420a,
	SET_SIGMASK = 0x420b,
	OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE,
	SYSCALL_STOP = SIGTRAP | 0x80,
	CLONE_STOP = SIGTRAP | PTRACE_EVENT_CLONE << 8,
	TRIES = 64, /* to find a thread outside of a restartable sequence, or a thread at all */
	/* What next_stop() returns other than a stop's status. */
	ENDED = -1,
	LATE = -2,
};

/* Signals that the kernel forces on a thread. */
#define FAULTS                                                                                     \
	(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGILL - 1) |                     \
		1ull << (SIGFPE - 1) | 1ull << (SIGTRAP - 1) | 1ull << (SIGSYS - 1))

static int gone(const struct guard *guard)
{
	return err_set(MS_ERR_GONE, "pid %u ended, or the thread that was stopped did", guard->pid);
}

/* Requests that glibc's ptrace() does not know by name. */
static long trace_by_number(int request, pid_t tid, size_t size, void *data)
{
	return syscall(SYS_ptrace, (long)request, (long)tid, size, data);
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

/* The status of a task's next stop, ENDED, or LATE after the deadline (0: none). */
static int next_stop(pid_t tid, uint64_t deadline_ns)
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
			return ENDED;
		if (info.si_pid)
			return info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED
				       ? info.si_status
				       : ENDED;
		if (ended)
			return ENDED;
		if (deadline_ns && os_clock_ns() >= deadline_ns)
			return LATE;
		/* Asked once more then: what is left unreaped its parent would wait for in vain. */
		ended = sigtimedwait(&child, NULL, &nap) < 0 && has_ended(tid);
	}
}

/* ---- Stopping --------------------------------------------------------------------------- */

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
		int status = next_stop(tid, deadline_ns);

		if (status < 0 || status >> 8 == EVENT_STOP)
			return status;
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)(status >> 8 ? 0 : status & 0xff));
	}
}

static bool read_word(const struct guard *guard, uint64_t address, void *ret, size_t size)
{
	return pread(guard->mem, ret, size, (off_t)address) == (ssize_t)size;
}

/* Whether a stopped thread is inside a restartable sequence. */
static bool in_sequence(const struct guard *guard, pid_t tid, uint64_t pc)
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

/* Takes a stopped thread for a task: keeps what it had, and blocks signals. */
static int enter(struct guard *guard, pid_t tid, struct guard_task *ret_task)
{
	uint64_t blocked = ~FAULTS;
	uint8_t opcode[INJECT_OPCODE_MAX];

	*ret_task = (struct guard_task){.tid = tid};
	if (!linux_regs_get(tid, &ret_task->saved))
		return gone(guard);
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
		return gone(guard);
	if (trace_by_number(GET_SIGMASK, tid, 8, &ret_task->mask) != 0 ||
		trace_by_number(SET_SIGMASK, tid, 8, &blocked) != 0)
		return gone(guard);
	return 0;
}

/* Lets a thread go on until it is outside of restartable sequences, as the kernel then sees to. */
static int leave_sequence(struct guard *guard, pid_t tid, uint64_t deadline_ns)
{
	struct inject_regs regs;

	for (int i = 0; i < TRIES; i++) {
		int status;

		if (!linux_regs_get(tid, &regs))
			return gone(guard);
		if (!inject_regs_native(&regs) || !in_sequence(guard, tid, inject_regs_pc(&regs)))
			return 0;
		ptrace(PTRACE_CONT, tid, NULL, NULL);
		sched_yield();
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		if ((status = wait_interrupted(tid, deadline_ns)) < 0)
			return status == ENDED ? gone(guard) : MS_ERR_TIMEOUT;
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
		return status == ENDED ? MS_ERR_NOT_FOUND : MS_ERR_TIMEOUT;
	if ((status & 0xff) != SIGTRAP)
		r = err_set(MS_ERR_UNSUPPORTED, "pid %u is stopped by a signal", guard->pid);
	if (r == 0)
		r = leave_sequence(guard, tid, deadline_ns);
	if (r == 0)
		r = enter(guard, tid, ret_task);
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
	int r = task < 0 ? gone(guard) : linux_numbers(task, each, guard);

	if (task >= 0)
		close(task);
	return r == MS_ERR_GONE ? gone(guard) : r;
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
		       : gone(guard);
}

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
		if (status == LATE)
			return err_set(MS_ERR_TIMEOUT,
				"pid %u: its thread %d did not stop within 2 seconds", guard->pid,
				thread->tid);
		thread->ended = status == ENDED;
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
			in_sequence(guard, thread->tid, inject_regs_pc(&regs)))
			continue;
		return enter(guard, thread->tid, ret_task);
	}
	return gone(guard);
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

void guard_resume(struct guard *guard, const struct guard_task *task)
{
	for (size_t i = 0; i < guard->thread_count; i++)
		if (guard->threads[i].stopped && (!task || guard->threads[i].tid != task->tid))
			linux_let_go(guard->dir, guard->threads[i].tid);
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
			return gone(guard);
		status = next_stop(task->tid, 0);
		if (status < 0)
			return gone(guard);
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
		return gone(guard);
	task->called = true;
	/* Once in, once out. */
	if ((r = run_to_edge(guard, task)) < 0 || (r = run_to_edge(guard, task)) < 0)
		return r;
	if (!linux_regs_get(task->tid, &regs))
		return gone(guard);
	*ret_result = inject_regs_result(&regs);
	return 0;
}

int guard_take_child(struct guard *guard, pid_t child, struct guard_task *ret_task)
{
	*ret_task = (struct guard_task){.tid = child};
	if (next_stop(child, 0) < 0 || !linux_regs_get(child, &ret_task->saved))
		return gone(guard);
	return 0;
}

void guard_exit(struct guard *guard, struct guard_task *task)
{
	static const uint64_t args[INJECT_ARGS];
	struct inject_regs regs = task->saved;
	int status = 0;

	inject_regs_call(&regs, guard->pc, SYS_exit, args);
	linux_regs_set(task->tid, &regs);
	while (status != ENDED && ptrace(PTRACE_CONT, task->tid, NULL, NULL) == 0)
		status = next_stop(task->tid, 0);
}

void guard_kill(struct guard *guard, pid_t pid)
{
	(void)guard;
	kill(pid, SIGKILL);
	while (next_stop(pid, 0) != ENDED)
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
		status = next_stop(task->tid, 0);
		if (status < 0)
			return false;
		if (status >> 8 == EVENT_STOP)
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

/* ---- The guardian's life ---------------------------------------------------------------- */

/* Never returns. */
static void live(struct guard *guard)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	syscall(SYS_setsid);
	/* A target stands still while this runs: it had better run at once, if that is allowed. */
	setpriority(PRIO_PROCESS, 0, -20);
	prctl(PR_SET_NAME, "memsift-guard");
	sigaction(SIGCHLD, &action, NULL);
	guard->status = guard->job(guard);
	if (guard->status < 0)
		snprintf(guard->error, sizeof(guard->error), "%s", ms_error());
	for (;;)
		syscall(SYS_exit_group, 0);
}

int guard_start(struct guard *guard)
{
	sigset_t all, before;
	long pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Like fork(), but for the shared descriptors, and no signal tells of the end. */
	pid = syscall(SYS_clone, CLONE_FILES, NULL, NULL, NULL, NULL);
	if (pid == 0)
		live(guard);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return err_errno(MS_ERR_MEMORY, errno, "cannot start a process");
	guard->guardian = (pid_t)pid;
	guard->pidfd = (int)syscall(SYS_pidfd_open, guard->guardian, 0);
	return 0;
}

/* Finds the instruction in the vDSO, which every process has unless it took it away. */
static int find_instruction(struct ms_source *src, uint64_t *ret_pc)
{
	uint8_t page[4096];

	if (!inject_opcode_size)
		return err_set(MS_ERR_UNSUPPORTED,
			"memsift cannot make system calls in other processes on this processor");
	for (size_t i = 0; i < src->regions.items.count; i++) {
		const struct ms_region *region = &src->regions.items.data[i];
		size_t got = 0;

		if (strcmp(region->path, "[vdso]") != 0)
			continue;
		for (uint64_t at = 0; at < region->size; at += sizeof(page)) {
			if (src->ops->read(src, region->base + at, page, sizeof(page), &got) < 0)
				return MS_ERR_GONE;
			const uint8_t *found = memmem(page, got, inject_opcode, inject_opcode_size);

			if (found) {
				*ret_pc = region->base + at + (uint64_t)(found - page);
				return 0;
			}
		}
	}
	return err_set(MS_ERR_UNSUPPORTED, "pid %u has no vDSO with a system call instruction",
		src->process.pid);
}

int guard_new(struct ms_source *src, int (*job)(struct guard *guard), struct guard **ret_guard)
{
	struct linux_source *ls = linux_of(src);
	struct guard *guard;
	uint64_t pc = 0;
	int r = src->regions_known ? 0 : source_refresh(src);

	if (r < 0 || (r = find_instruction(src, &pc)) < 0)
		return r;
	if (src->process.pid == (uint32_t)getpid())
		return err_set(MS_ERR_ARGUMENT, "memsift cannot do this to itself");
	guard = mmap(NULL, sizeof(*guard), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (guard == MAP_FAILED)
		return err_nomem();
	guard->pid = src->process.pid;
	guard->dir = ls->dir;
	guard->mem = ls->mem;
	guard->pc = pc;
	guard->job = job;
	guard->status = GUARD_PENDING;
	guard->pidfd = guard->fd = guard->ready = guard->release = guard->parent = -1;
	*ret_guard = guard;
	return 0;
}

/* Whether the guardian is still there; waits for its end if told to. */
static bool guardian_ended(const struct guard *guard, bool wait)
{
	siginfo_t info = {0};
	int how = WEXITED | WNOWAIT | __WALL | (wait ? 0 : WNOHANG);

	while (waitid(P_PID, (id_t)guard->guardian, &info, how) != 0)
		if (errno != EINTR)
			return true;
	return info.si_pid != 0;
}

int guard_result(struct guard *guard)
{
	if (guard->guardian && guardian_ended(guard, true) && guard->status == GUARD_PENDING)
		return err_set(
			MS_ERR_IO, "pid %u: memsift's guardian process was killed", guard->pid);
	return guard->status < 0 ? err_set(guard->status, "%s", guard->error) : 0;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	while (guard->guardian &&
		waitid(P_PID, (id_t)guard->guardian, NULL, WEXITED | __WALL) != 0 && errno == EINTR)
		;
	cleanup_close(&guard->pidfd);
	munmap(guard, sizeof(*guard));
}
