/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children of a test of the Linux backend ("puppets"): they share a page with it and die with it.
 * Included by the test programs that need them, once each.
 */
#ifndef MS_TESTS_UNIT_LINUX_PUPPETS_H
#define MS_TESTS_UNIT_LINUX_PUPPETS_H

#include "test.h"

#include "backend/linux_proc.h"
#include "backend/linux_procfs.h"
#include "backend/linux_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 3, PUPPETS_MAX = 48, PATIENCE = 20000 };

struct shared {
	atomic_uint ready;	       /* how many threads have begun */
	atomic_ullong count;	       /* of whatever the puppet does */
	atomic_ullong frames[WORKERS]; /* an address on each worker's stack */
	atomic_int other;	       /* the pid of a process the puppet started */
};

static struct shared *shared;
static pid_t puppets[PUPPETS_MAX];
static size_t puppet_count;
static int puppet_dir = -1;
static struct process_list processes;
static struct thread_list threads;
static struct linux_pause *paused;

static inline void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

/* Gives up only when something is badly wrong. */
#define wait_until(condition)                                                                      \
	do {                                                                                       \
		int left_ = PATIENCE;                                                              \
		while (!(condition) && left_-- > 0)                                                \
			nap();                                                                     \
		check_that(left_ > 0, "waited in vain for %s", #condition);                        \
	} while (0)

static inline void puppet_die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static inline void resume(void)
{
	linux_resume(paused);
	paused = NULL;
}

/* Ends what the last test left behind and starts anew. */
static inline void begin(void)
{
	resume();
	/* One may trace another, whose end then shows only after its own. */
	for (size_t i = 0; i < puppet_count; i++)
		kill(puppets[i], SIGKILL);
	for (size_t i = 0; i < puppet_count; i++)
		waitpid(puppets[i], NULL, __WALL);
	puppet_count = 0;
	if (puppet_dir >= 0)
		close(puppet_dir);
	puppet_dir = -1;
	if (!shared)
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(shared != MAP_FAILED);
	memset(shared, 0, sizeof(*shared));
	free(processes.items.data);
	arena_done(&processes.strings);
	processes = (struct process_list){0};
	free(threads.items.data);
	arena_done(&threads.strings);
	threads = (struct thread_list){0};
}

static inline int open_dir(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static inline pid_t start(void (*run)(void))
{
	pid_t parent = getpid(), pid = fork();

	check(pid >= 0 && puppet_count < PUPPETS_MAX);
	if (pid == 0) {
		puppet_die_with(parent);
		run();
		_exit(0);
	}
	puppets[puppet_count++] = pid;
	if (puppet_dir >= 0)
		close(puppet_dir);
	puppet_dir = open_dir(pid);
	check(puppet_dir >= 0);
	return pid;
}

static inline void wait_for_ever(void)
{
	for (;;)
		pause();
}

static inline void start_thread(void *(*run)(void *), void *ctx)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, ctx) != 0)
		_exit(1);
	pthread_detach(thread);
}

static inline char state_of(pid_t pid)
{
	char path[32], text[4096];
	struct linux_stat stat;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	size = linux_read_at(AT_FDCWD, path, text, sizeof(text));
	if (size <= 0 || linux_stat_parse(text, (size_t)size, &stat) < 0)
		return '?';
	return stat.state;
}

static inline const struct ms_process *listed(pid_t pid)
{
	check_ok(linux_process_one((uint32_t)pid, &processes));
	return &processes.items.data[processes.items.count - 1];
}

#endif
