/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy of this process that tries something out and is thrown away.
 *
 * fork() would let the program that uses the library know of a child that is none of its business:
 * by a SIGCHLD, and by any wait() of its own. A bare clone() without a signal does not, but it has
 * only the calling thread, and a lock of malloc() that another thread held at that moment is never
 * let go in the copy. So a copy that does not end soon is given up for another one, which then has
 * more time. Its verdict lies in a page that both have, in case somebody waits for all children
 * there are (__WALL).
 *
 * The copy leaves no trace: no core dump, nothing on stdout or stderr, no handlers of signals, no
 * function of atexit(), and it ends with the thread that made it.
 */
#include "base/os.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum {
	ATTEMPTS = 3, /* the last one has all the time, those before a half and a quarter of it */
	NAP_FIRST_NS = 100 * 1000,
	NAP_MAX_NS = 5 * 1000 * 1000,
};

enum { TRIAL_OPEN, TRIAL_PASSED, TRIAL_FAILED };

struct trial {
	bool (*job)(void *ctx);
	bool (*cancelled)(void *ctx);
	void *ctx;
	size_t memory_max;
	uint64_t time_max_ns;
	pid_t parent;
	atomic_int *verdict;
};

/* ---- In the copy ---- */

static void limit(int resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) == 0 && limit.rlim_max < value)
		value = limit.rlim_max;
	limit.rlim_cur = limit.rlim_max = value;
	setrlimit(resource, &limit);
}

/* All the addresses in use now, in bytes. */
static uint64_t addresses_used(void)
{
	char text[64] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return got > 0 ? strtoull(text, NULL, 10) * os_page_size() : 0;
}

static void limits_set(const struct trial *trial)
{
	uint64_t used = addresses_used(), all;

	limit(RLIMIT_CORE, 0);
	prctl(PR_SET_DUMPABLE, 0);
	limit(RLIMIT_CPU, trial->time_max_ns / 1000000000 + 1);
	if (used && add_u64(used, trial->memory_max, &all))
		limit(RLIMIT_AS, all);
}

static void signals_reset(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void outputs_close(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd <= 2; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			close(fd);
}

static void live(const struct trial *trial)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == trial->parent) {
		/* What a terminal sends is not meant for it. */
		syscall(SYS_setsid);
		signals_reset();
		outputs_close();
		limits_set(trial);
		atomic_store(trial->verdict, trial->job(trial->ctx) ? TRIAL_PASSED : TRIAL_FAILED);
	}
	for (;;)
		syscall(SYS_exit_group, 0);
}

/* ---- In the original ---- */

static int copy_start(const struct trial *trial, pid_t *ret_pid)
{
	sigset_t all, before;
	long pid;

	/* No handler of the program is to run in the copy. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
	if (pid == 0)
		live(trial);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return err_errno(MS_ERR_MEMORY, errno, "cannot start a process");
	*ret_pid = (pid_t)pid;
	return 0;
}

/* Whether the copy has ended; it is then gone for good. */
static bool copy_ended(pid_t pid, int options)
{
	siginfo_t info = {0};

	while (waitid(P_PID, (id_t)pid, &info, WEXITED | __WCLONE | options) < 0)
		if (errno != EINTR)
			return true;
	return info.si_pid == pid;
}

static void copy_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	copy_ended(pid, 0);
}

/* Waits until it has ended, or ends it: in time for *ret_ended, too late or when cancelled. */
static int copy_wait(const struct trial *trial, pid_t pid, uint64_t max_ns, bool *ret_ended)
{
	uint64_t started = os_clock_ns(), nap = NAP_FIRST_NS;

	*ret_ended = false;
	while (!copy_ended(pid, WNOHANG)) {
		bool cancelled = trial->cancelled && trial->cancelled(trial->ctx);

		if (cancelled || os_clock_ns() - started > max_ns) {
			copy_kill(pid);
			return cancelled ? err_set(MS_ERR_STOPPED, "stopped by its caller") : 0;
		}
		nanosleep(&(struct timespec){.tv_nsec = (long)nap}, NULL);
		nap = min_u64(nap * 2, NAP_MAX_NS);
	}
	*ret_ended = true;
	return 0;
}

int os_trial(bool (*job)(void *ctx), bool (*cancelled)(void *ctx), void *ctx, size_t memory_max,
	uint64_t time_max_ns, bool *ret_passed)
{
	struct trial trial = {job, cancelled, ctx, memory_max, time_max_ns, getpid(), NULL};
	bool ended = false;
	int r = 0;

	trial.verdict = mmap(NULL, sizeof(*trial.verdict), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (trial.verdict == MAP_FAILED)
		return err_nomem();
	atomic_store(trial.verdict, TRIAL_OPEN);
	for (int i = ATTEMPTS; i-- > 0 && r == 0 && !ended;) {
		pid_t pid = -1;

		r = copy_start(&trial, &pid);
		if (r == 0)
			r = copy_wait(&trial, pid, time_max_ns >> i, &ended);
	}
	if (r == 0)
		*ret_passed = atomic_load(trial.verdict) == TRIAL_PASSED;
	munmap(trial.verdict, sizeof(*trial.verdict));
	return r;
}
