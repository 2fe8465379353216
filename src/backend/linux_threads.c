/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows: which stops a thread may report before the one that was asked for.
 *
 * After PTRACE_INTERRUPT a thread stops with PTRACE_EVENT_STOP, except when it was about to take
 * a signal: then it stops for that first, and the stop cancels the interrupt (ptrace_stop() in
 * kernel/signal.c: "any trap clears pending STOP trap"). Such a signal is handed over at once
 * and the interrupt repeated: the thread then stops before it runs anything. Keeping the signal
 * until the end would lose it if memsift were killed meanwhile.
 *
 * Only stops are waited for (WSTOPPED), never ends: a target may be a child of the program that
 * uses this library, which wants to see its exit status. That a thread has ended shows in /proc.
 * A thread that never stops cannot be let go either, as PTRACE_DETACH works on stopped threads
 * only; the end of the tracing thread does it.
 */
#include "backend/linux_threads.h"

#include "backend/linux_check.h"
#include "backend/linux_procfs.h"
#include "backend/linux_regs.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/os.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define STOP_LIMIT_NS UINT64_C(5000000000)

enum {
	EVENT_STOP = 128, /* PTRACE_EVENT_STOP, which glibc's header does not have */
	NAP_MIN_NS = 20 * 1000,
	NAP_MAX_NS = 2 * 1000 * 1000,
};

struct register_set {
	const void *data;
	size_t size;
};

struct tracee {
	uint32_t tid;
	bool stopped, ended;
	struct register_set sets[LINUX_REGISTER_SETS];
};

struct linux_pause {
	uint32_t pid;
	int dir; /* /proc/PID */
	pthread_t thread;
	sem_t ready;   /* the tracing thread has stopped the target, or failed */
	sem_t release; /* the tracing thread is to let it go */
	int status;
	char error[ERR_TEXT_MAX];
	/* The tracing thread's own until it is ready; it only reads them afterwards. */
	VEC(struct tracee) tracees;
	size_t hint;  /* where the thread that is listed next is likely to be */
	size_t fresh; /* threads met for the first time in the current round */
	uint64_t deadline_ns;
	struct arena registers;
	char *scratch; /* LINUX_REGISTER_SET_MAX bytes */
};

/* ---- Listing --------------------------------------------------------------------------- */

uint64_t linux_syscall_stack_pointer(const char *text)
{
	/* "NR A1 .. A6 SP PC", "-1 SP PC" or "running": it is the last word but one. */
	const char *word[2] = {NULL, NULL};

	for (const char *at = text; *at; at++)
		if (!is_blank(*at) && (at == text || is_blank(at[-1]))) {
			word[0] = word[1];
			word[1] = at;
		}
	return word[0] ? strtoull(word[0], NULL, 16) : 0;
}

struct thread_lister {
	int task;
	struct thread_list *out;
};

int linux_thread_name(int task, uint32_t tid, struct arena *strings, const char **ret_name)
{
	char path[32], text[64];
	ssize_t size;

	snprintf(path, sizeof(path), "%u/comm", tid);
	size = linux_read_at(task, path, text, sizeof(text));
	if (size < 0)
		return MS_ERR_NOT_FOUND;
	if (size > 0 && text[size - 1] == '\n')
		size--;
	*ret_name = arena_copy(strings, text, (size_t)size);
	return *ret_name ? 0 : err_nomem();
}

static int add_thread(void *ctx, uint32_t tid)
{
	struct thread_lister *lister = ctx;
	struct ms_thread thread = {.tid = tid};
	char path[32], text[512];
	int r = linux_thread_name(lister->task, tid, &lister->out->strings, &thread.name);

	if (r < 0)
		return r == MS_ERR_NOT_FOUND ? 0 : r;
	snprintf(path, sizeof(path), "%u/syscall", tid);
	if (linux_read_at(lister->task, path, text, sizeof(text)) > 0)
		thread.stack_pointer = linux_syscall_stack_pointer(text);
	return vec_push(&lister->out->items, thread) ? 0 : err_nomem();
}

static int gone(uint32_t pid)
{
	return err_set(MS_ERR_GONE, "pid %u has ended", pid);
}

static int open_task(int pid_dirfd, uint32_t pid, int *ret_fd)
{
	int fd = openat(pid_dirfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ESRCH))
		return gone(pid);
	if (fd < 0)
		return err_errno(
			err_from_errno(errno), errno, "pid %u: cannot list its threads", pid);
	*ret_fd = fd;
	return 0;
}

int linux_threads(int pid_dirfd, uint32_t pid, struct thread_list *out)
{
	AUTO_CLOSE int task = -1;
	int r = open_task(pid_dirfd, pid, &task);

	if (r == 0)
		r = linux_numbers(task, add_thread, &(struct thread_lister){task, out});
	return r == MS_ERR_GONE ? gone(pid) : r;
}

/* ---- Stopping -------------------------------------------------------------------------- */

/* The state letter of a thread in /proc; 'X' when it is no more. */
static char thread_state(const struct linux_pause *pause, uint32_t tid)
{
	char path[48], text[4096];
	struct linux_stat stat;
	ssize_t size;

	snprintf(path, sizeof(path), "task/%u/stat", tid);
	size = linux_read_at(pause->dir, path, text, sizeof(text));
	if (size <= 0 || linux_stat_parse(text, (size_t)size, &stat) < 0)
		return 'X';
	return stat.state;
}

static bool has_ended(const struct linux_pause *pause, uint32_t tid)
{
	char state = thread_state(pause, tid);

	return state == 'Z' || state == 'X';
}

int linux_trace_refused(int pid_dirfd, uint32_t pid, uint32_t tid, int errnum)
{
	char path[64], name[64];
	uint64_t tracer = 0;
	ssize_t size;

	snprintf(path, sizeof(path), "task/%u/status", tid);
	if (!linux_status_number(pid_dirfd, path, "TracerPid", 10, &tracer) || tracer == 0)
		return linux_access_error(pid, errnum, "stop its threads");
	snprintf(path, sizeof(path), "/proc/%u/comm", (unsigned)tracer);
	size = linux_read_at(AT_FDCWD, path, name, sizeof(name));
	return err_set(MS_ERR_ACCESS, "pid %u is traced by PID %u (%.*s) already; stop that first",
		pid, (unsigned)tracer, size > 1 ? (int)size - 1 : 1, size > 1 ? name : "?");
}

static struct tracee *find_tracee(struct linux_pause *pause, uint32_t tid)
{
	/* Threads are listed in the order in which they were found the last time. */
	for (size_t i = 0; i < pause->tracees.count; i++) {
		size_t at = (pause->hint + i) % pause->tracees.count;

		if (pause->tracees.data[at].tid == tid) {
			pause->hint = at + 1;
			return &pause->tracees.data[at];
		}
	}
	return NULL;
}

static int seize(void *ctx, uint32_t tid)
{
	struct linux_pause *pause = ctx;
	struct tracee *known = find_tracee(pause, tid);
	struct tracee tracee = {.tid = tid};
	siginfo_t info;

	/* One that has ended and is back is a new thread with a recycled tid. */
	if (known && (!known->ended || has_ended(pause, tid))) {
		/*
		 * It may vanish just now, and hide those behind it; if it was seized, it stays
		 * until it is waited for. A first thread stays as long as others run.
		 */
		if (known->ended && tid != pause->pid) {
			waitid(P_PID, tid, &info, WEXITED | WNOHANG | __WALL | __WNOTHREAD);
			pause->fresh++;
		}
		return 0;
	}
	if (ptrace(PTRACE_SEIZE, (pid_t)tid, NULL, NULL) != 0) {
		int errnum = errno;

		/* A leader that has ended before its threads is listed but cannot be traced. */
		tracee.ended = errnum == ESRCH || has_ended(pause, tid);
		if (!tracee.ended)
			return linux_trace_refused(pause->dir, pause->pid, tid, errnum);
	} else {
		/* From here on the tid cannot be recycled; it may have been until now. */
		if (thread_state(pause, tid) == 'X')
			return gone(pause->pid);
		ptrace(PTRACE_INTERRUPT, (pid_t)tid, NULL, NULL);
	}
	pause->fresh++;
	if (known)
		*known = tracee;
	return known || vec_push(&pause->tracees, tracee) ? 0 : err_nomem();
}

/* Takes the thread's next stop if there is one, and deals with it. */
static void take_stop(struct tracee *tracee)
{
	siginfo_t info = {0};
	pid_t tid = (pid_t)tracee->tid;
	int how = WSTOPPED | WNOHANG | __WALL | __WNOTHREAD;

	if (waitid(P_PID, tracee->tid, &info, how) != 0) {
		tracee->ended = errno == ECHILD;
		return;
	}
	if (info.si_pid == 0)
		return;
	if (info.si_status >> 8 == EVENT_STOP) {
		tracee->stopped = true;
		return;
	}
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)(info.si_status & 0xff));
}

static size_t take_stops(struct linux_pause *pause, bool look)
{
	size_t waiting = 0;

	for (size_t i = 0; i < pause->tracees.count; i++) {
		struct tracee *tracee = &pause->tracees.data[i];

		if (tracee->stopped || tracee->ended)
			continue;
		take_stop(tracee);
		if (look && !tracee->stopped && !tracee->ended)
			tracee->ended = has_ended(pause, tracee->tid);
		waiting += !tracee->stopped && !tracee->ended;
	}
	return waiting;
}

static int too_slow(const struct linux_pause *pause)
{
	for (size_t i = 0; i < pause->tracees.count; i++) {
		const struct tracee *tracee = &pause->tracees.data[i];

		if (!tracee->stopped && !tracee->ended)
			return err_set(MS_ERR_TIMEOUT,
				"pid %u: its thread %u did not stop within 5 seconds (state %c); "
				"it was not paused",
				pause->pid, tracee->tid, thread_state(pause, tracee->tid));
	}
	return err_set(MS_ERR_TIMEOUT,
		"pid %u starts threads faster than they can be stopped; it was not paused",
		pause->pid);
}

/* Waits until every thread known so far has stopped or ended. */
static int wait_for_stops(struct linux_pause *pause)
{
	struct timespec nap = {.tv_nsec = NAP_MIN_NS};

	/* A look at /proc costs more than asking for a stop, so it is for late ones only. */
	while (take_stops(pause, nap.tv_nsec >= NAP_MAX_NS / 2)) {
		if (os_clock_ns() >= pause->deadline_ns)
			return too_slow(pause);
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < NAP_MAX_NS)
			nap.tv_nsec *= 2;
	}
	return os_clock_ns() < pause->deadline_ns ? 0 : too_slow(pause);
}

/* Keeps the thread's registers. One that proves not to be stopped after all is waited for anew. */
static int keep_registers(struct linux_pause *pause, struct tracee *tracee)
{
	for (size_t i = 0; i < LINUX_REGISTER_SETS; i++) {
		struct register_set *set = &tracee->sets[i];

		set->size = linux_register_set(
			(pid_t)tracee->tid, i, pause->scratch, LINUX_REGISTER_SET_MAX);
		if (!set->size) {
			tracee->stopped &= errno != ESRCH;
			continue;
		}
		set->data = arena_copy(&pause->registers, pause->scratch, set->size);
		if (!set->data)
			return err_nomem();
	}
	return 0;
}

/* *ret_all tells whether every thread was indeed stopped, and at least one was. */
static int keep_all_registers(struct linux_pause *pause, bool *ret_all)
{
	bool all = true, any = false;

	for (size_t i = 0; i < pause->tracees.count; i++) {
		struct tracee *tracee = &pause->tracees.data[i];

		if (tracee->ended)
			continue;
		if (!tracee->sets[0].data && keep_registers(pause, tracee) < 0)
			return err_nomem();
		any = true;
		all &= tracee->stopped;
	}
	*ret_all = all;
	return any ? 0 : gone(pause->pid);
}

/*
 * Whether there are no more threads than those known. A thread that ends while /proc is walked
 * hides those behind it (next_tid() in fs/proc/base.c), and if it ends at the wrong moment it is
 * not even listed itself; but the number of threads is kept apart. A thread that ended counts as
 * long as somebody has to wait for it, as does a first thread until all have ended.
 */
static bool knows_all(const struct linux_pause *pause)
{
	uint64_t threads, known = 0;

	if (!linux_status_number(pause->dir, "status", "Threads", 10, &threads))
		return true; /* it is gone, which keep_all_registers() finds out */
	for (size_t i = 0; i < pause->tracees.count; i++)
		known += !pause->tracees.data[i].ended || pause->tracees.data[i].tid == pause->pid;
	return threads <= known;
}

/*
 * Stops threads in rounds until one meets no thread that is new: only a running one can start
 * others. One that ends before it can be seized counts as new, too: it may have started another.
 */
static int stop_all(struct linux_pause *pause)
{
	bool all = false;
	int r;

	pause->deadline_ns = os_clock_ns() + STOP_LIMIT_NS;
	do {
		AUTO_CLOSE int task = -1;

		pause->fresh = pause->hint = 0;
		if ((r = open_task(pause->dir, pause->pid, &task)) < 0)
			return r;
		if ((r = linux_numbers(task, seize, pause)) < 0)
			return r == MS_ERR_GONE ? gone(pause->pid) : r;
		if ((r = wait_for_stops(pause)) < 0)
			return r;
		if (pause->fresh == 0 && knows_all(pause) &&
			(r = keep_all_registers(pause, &all)) < 0)
			return r;
	} while (!all);
	return 0;
}

/* ---- The tracing thread ---------------------------------------------------------------- */

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0)
		;
}

static void *trace(void *ctx)
{
	struct linux_pause *pause = ctx;

	pause->status = stop_all(pause);
	if (pause->status < 0)
		snprintf(pause->error, sizeof(pause->error), "%s", ms_error());
	sem_post(&pause->ready);
	wait_for(&pause->release);
	for (size_t i = 0; i < pause->tracees.count; i++)
		if (pause->tracees.data[i].stopped)
			linux_let_go(pause->dir, (pid_t)pause->tracees.data[i].tid);
	return NULL;
}

static void pause_free(struct linux_pause *pause)
{
	if (!pause)
		return;
	cleanup_close(&pause->dir);
	sem_destroy(&pause->ready);
	sem_destroy(&pause->release);
	arena_done(&pause->registers);
	free(pause->tracees.data);
	free(pause->scratch);
	free(pause);
}

/* Starts the tracing thread with all signals blocked: they are for the program's own threads. */
static int start_thread(struct linux_pause *pause)
{
	sigset_t all, before;
	int errnum;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errnum = pthread_create(&pause->thread, NULL, trace, pause);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return errnum ? err_errno(MS_ERR_MEMORY, errnum, "cannot start a thread") : 0;
}

static int pause_new(uint32_t pid, int pid_dirfd, struct linux_pause **ret_pause)
{
	struct linux_pause *pause = calloc(1, sizeof(*pause));

	if (!pause)
		return err_nomem();
	pause->pid = pid;
	pause->dir = fcntl(pid_dirfd, F_DUPFD_CLOEXEC, 0);
	pause->scratch = malloc(LINUX_REGISTER_SET_MAX);
	sem_init(&pause->ready, 0, 0);
	sem_init(&pause->release, 0, 0);
	*ret_pause = pause;
	if (pause->dir < 0)
		return err_errno(MS_ERR_IO, errno, "cannot keep /proc/%u open", pid);
	return pause->scratch ? start_thread(pause) : err_nomem();
}

int linux_pause(uint32_t pid, int pid_dirfd, struct linux_pause **ret_pause)
{
	struct linux_pause *pause = NULL;
	int r;

	if (pid == (uint32_t)getpid())
		return err_set(MS_ERR_ARGUMENT, "memsift cannot pause itself");
	if ((r = pause_new(pid, pid_dirfd, &pause)) < 0) {
		pause_free(pause);
		return r;
	}
	wait_for(&pause->ready);
	if (pause->status < 0) {
		r = err_set(pause->status, "%s", pause->error);
		linux_resume(pause);
		return r;
	}
	*ret_pause = pause;
	return 0;
}

void linux_resume(struct linux_pause *pause)
{
	if (!pause)
		return;
	sem_post(&pause->release);
	pthread_join(pause->thread, NULL);
	pause_free(pause);
}

/* Copies them, as the list outlives the pause; false when memory runs out. */
static bool add_registers(
	struct linux_pause *pause, struct ms_thread *thread, struct arena *strings)
{
	const struct tracee *tracee = find_tracee(pause, thread->tid);
	void *copies[LINUX_REGISTER_SETS] = {NULL};

	if (!tracee || !tracee->stopped)
		return true;
	for (size_t i = 0; i < LINUX_REGISTER_SETS; i++) {
		const struct register_set *set = &tracee->sets[i];

		if (set->data && !(copies[i] = arena_copy(strings, set->data, set->size)))
			return false;
	}
	thread->gregs = copies[0];
	thread->gregs_size = tracee->sets[0].size;
	thread->fpregs = copies[1];
	thread->fpregs_size = tracee->sets[1].size;
	thread->xstate = copies[2];
	thread->xstate_size = tracee->sets[2].size;
	return true;
}

int linux_pause_threads(struct linux_pause *pause, struct thread_list *out)
{
	size_t before = out->items.count;
	int r = linux_threads(pause->dir, pause->pid, out);

	pause->hint = 0;
	for (size_t i = before; r == 0 && i < out->items.count; i++)
		if (!add_registers(pause, &out->items.data[i], &out->strings))
			r = err_nomem();
	return r;
}
