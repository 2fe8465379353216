/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making system calls inside a live process, and that it is none the worse for it: whatever the
 * target was doing, it goes on doing, and nothing is left behind.
 */
#include "linux_puppets.h"

#include "backend/linux_inject.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/user.h>

enum { TIMES = 30 };

static ms_host *host;
static ms_source *src;

static void open_source(pid_t pid)
{
	const struct ms_region *list;
	size_t count;

	ms_source_free(src);
	src = NULL;
	if (!host)
		check_ok(ms_host_open("local", &host));
	check_ok(ms_source_open(host, (uint32_t)pid, &src));
	check_ok(ms_source_regions(src, &list, &count));
}

/* How many entries a folder of /proc/PID has. */
static size_t entries(pid_t pid, const char *folder)
{
	char path[64];
	size_t count = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, folder);
	DIR *dir = opendir(path);
	check(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static uint64_t status_number(pid_t pid, const char *key, int base)
{
	char path[64];
	uint64_t value = UINT64_MAX;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	check(linux_status_number(AT_FDCWD, path, key, base, &value));
	return value;
}

/* No tracer, no descriptor, no thread and no child more than before. */
static void check_clean(pid_t pid, size_t descriptors, size_t tasks)
{
	char path[96], children[256];
	ssize_t size;

	check_u64(status_number(pid, "TracerPid", 10), 0);
	check_u64(entries(pid, "fd"), descriptors);
	check_u64(entries(pid, "task"), tasks);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	size = linux_read_at(AT_FDCWD, path, children, sizeof(children));
	if (size >= 0)
		check_text(children, "");
}

/* Has the target make a userfaultfd many times, and looks what that did. */
static void borrow(pid_t pid, int times)
{
	size_t descriptors = entries(pid, "fd"), tasks = entries(pid, "task");
	uint64_t blocked = status_number(pid, "SigBlk", 16);

	open_source(pid);
	for (int i = 0; i < times; i++) {
		uint64_t stop_ns = 0;
		int fd = -1, r = linux_inject_userfaultfd(src, &fd, &stop_ns);

		if (r == MS_ERR_UNSUPPORTED)
			skip("%s", ms_error());
		check_ok(r);
		check(fd >= 0 && stop_ns > 0);
		close(fd);
	}
	check_clean(pid, descriptors, tasks);
	check_u64(status_number(pid, "SigBlk", 16), blocked);
}

/* ---- What targets do -------------------------------------------------------------------- */

/* Computes something that a changed register would spoil, and counts how often it was right. */
static void *run_sums(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&shared->ready, 1);
	for (;;) {
		uint64_t state = 42, sum = 0;
		double product = 1;

		for (int i = 0; i < 5000; i++) {
			sum ^= test_random(&state);
			product *= 1.0000001;
		}
		if (sum != 0x7bd7e31a9d80e0e2u && atomic_load(&shared->frames[0]) == 0)
			atomic_store(&shared->frames[0], sum);
		if (sum != atomic_load(&shared->frames[0]) || product < 1.0004 || product > 1.0006)
			_exit(9);
		atomic_fetch_add(&shared->count, 1);
	}
	return NULL;
}

static void run_busy(void)
{
	start_thread(run_sums, NULL);
	start_thread(run_sums, NULL);
	run_sums(NULL);
}

static void test_busy(void)
{
	unsigned long long before;
	pid_t pid;

	begin();
	pid = start(run_busy);
	wait_until(atomic_load(&shared->ready) == 3 && atomic_load(&shared->count) > 10);
	borrow(pid, TIMES);
	before = atomic_load(&shared->count);
	wait_until(atomic_load(&shared->count) > before + 10);
}

static void check_call(bool right)
{
	if (!right)
		_exit(8);
}

/* Each blocks for a while in a call, and takes it amiss if that does not end as it should. */
static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum { NAP_MS = 300 };

static void do_nanosleep(void)
{
	struct timespec nap = {.tv_nsec = NAP_MS * 1000 * 1000};

	check_call(nanosleep(&nap, NULL) == 0);
}

static void do_futex(void)
{
	struct timespec nap = {.tv_nsec = NAP_MS * 1000 * 1000};
	static int word;

	errno = 0;
	check_call(syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &nap, NULL, 0) == -1 &&
		   errno == ETIMEDOUT);
}

static void do_poll(void)
{
	check_call(poll(NULL, 0, NAP_MS) == 0);
}

static void do_epoll(void)
{
	struct epoll_event event;
	static int fd = -1;

	if (fd < 0)
		fd = epoll_create1(0);
	check_call(epoll_wait(fd, &event, 1, NAP_MS) == 0);
}

static void do_sigtimedwait(void)
{
	struct timespec nap = {.tv_nsec = NAP_MS * 1000 * 1000};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	errno = 0;
	check_call(sigtimedwait(&set, NULL, &nap) == -1 && errno == EAGAIN);
}

static void do_recv(void)
{
	struct timeval wait = {.tv_usec = NAP_MS * 1000};
	static int fds[2] = {-1, -1};
	char byte;

	if (fds[0] < 0) {
		check_call(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
		check_call(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0);
	}
	errno = 0;
	check_call(recv(fds[0], &byte, 1, 0) == -1 && errno == EAGAIN);
}

/* A mask of its own for the time of the call. */
static void do_ppoll(void)
{
	struct timespec nap = {.tv_nsec = NAP_MS * 1000 * 1000};
	sigset_t set;

	sigemptyset(&set);
	check_call(ppoll(NULL, 0, &nap, &set) == 0);
}

static void do_read(void)
{
	int fds[2];
	char byte = 0;
	pid_t child;

	check_call(pipe(fds) == 0);
	if ((child = fork()) == 0) {
		nap();
		poll(NULL, 0, NAP_MS);
		check_call(write(fds[1], "x", 1) == 1);
		_exit(0);
	}
	check_call(read(fds[0], &byte, 1) == 1 && byte == 'x');
	close(fds[0]);
	close(fds[1]);
	check_call(waitpid(child, NULL, 0) == child);
}

static void (*blocking)(void);

static void run_blocking(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	atomic_store(&shared->ready, 1);
	for (;;) {
		uint64_t began = now_ms();

		blocking();
		/* None may end early; how late is the scheduler's affair. */
		check_call(now_ms() - began + 2 >= NAP_MS);
		atomic_fetch_add(&shared->count, 1);
	}
}

static void test_blocked(void)
{
	static void (*const calls[])(void) = {
		do_nanosleep, do_futex, do_poll, do_epoll, do_sigtimedwait, do_ppoll, do_read};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		unsigned long long before;
		bool forks = calls[i] == do_read;
		pid_t pid;

		begin();
		blocking = calls[i];
		pid = start(run_blocking);
		wait_until(atomic_load(&shared->ready) == 1);
		nap();
		if (forks) {
			int fd;

			wait_until(state_of(pid) == 'S');
			open_source(pid);
			check_ok(linux_inject_userfaultfd(src, &fd, NULL));
			close(fd);
		} else {
			borrow(pid, 5);
		}
		before = atomic_load(&shared->count);
		wait_until(atomic_load(&shared->count) > before + 1);
		check(state_of(pid) != 'Z');
	}
}

/* One without privileges, which may not make a userfaultfd of the full kind. */
static void run_nobody(void)
{
	if (setgid(65534) != 0 || setuid(65534) != 0)
		_exit(3);
	run_busy();
}

static void test_nobody(void)
{
	pid_t pid;

	if (geteuid() != 0)
		skip("only root can be somebody else");
	begin();
	pid = start(run_nobody);
	wait_until(atomic_load(&shared->ready) == 3 && atomic_load(&shared->count) > 10);
	borrow(pid, 3);
}

/* ---- Signals ---------------------------------------------------------------------------- */

static void on_signal(int number)
{
	atomic_fetch_add(number == SIGTRAP ? &shared->frames[1] : &shared->frames[0], 1);
}

static void run_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t set;

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTRAP, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	atomic_store(&shared->ready, 1);
	for (;;)
		pause();
}

static void test_signals(void)
{
	int sent = 0, fd;
	pid_t pid;

	begin();
	pid = start(run_signals);
	wait_until(atomic_load(&shared->ready) == 1);
	open_source(pid);
	for (; sent < TIMES; sent++) {
		int r;

		kill(pid, SIGUSR1);
		r = linux_inject_userfaultfd(src, &fd, NULL);
		if (r == MS_ERR_UNSUPPORTED)
			skip("%s", ms_error());
		check_ok(r);
		close(fd);
		wait_until(atomic_load(&shared->frames[0]) == (unsigned)sent + 1);
	}
	/* SIGTRAP is still blocked and its handler still there. */
	check(status_number(pid, "SigBlk", 16) >> (SIGTRAP - 1) & 1);
	check(status_number(pid, "SigCgt", 16) >> (SIGTRAP - 1) & 1);
	kill(pid, SIGTRAP);
	nap();
	check_u64(atomic_load(&shared->frames[1]), 0);
	check(state_of(pid) == 'S');
}

/* ---- Refusals --------------------------------------------------------------------------- */

static void run_seccomp(void)
{
	struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {1, filter};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(3);
	atomic_store(&shared->ready, 1);
	wait_for_ever();
}

static void test_seccomp(void)
{
	struct linux_twin *twin = NULL;
	int fd;
	pid_t pid;

	begin();
	pid = start(run_seccomp);
	wait_until(atomic_load(&shared->ready) == 1 || state_of(pid) == 'Z');
	if (state_of(pid) == 'Z')
		skip("this system has no seccomp");
	open_source(pid);
	check(linux_inject_userfaultfd(src, &fd, NULL) == MS_ERR_UNSUPPORTED);
	check(strstr(ms_error(), "seccomp"));
	check(linux_twin_new(src, &twin) == MS_ERR_UNSUPPORTED);
	check(strstr(ms_error(), "seccomp"));
	check_u64(status_number(pid, "TracerPid", 10), 0);
}

static void run_tracer(void)
{
	pid_t pid = atomic_load(&shared->other);

	prctl(PR_SET_NAME, "old tracer");
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0)
		_exit(3);
	atomic_store(&shared->ready, 2);
	wait_for_ever();
}

static void test_traced(void)
{
	char expected[64];
	pid_t pid, tracer;
	int fd;

	begin();
	pid = start(wait_for_ever);
	atomic_store(&shared->other, pid);
	tracer = start(run_tracer);
	wait_until(atomic_load(&shared->ready) == 2);
	open_source(pid);
	check(linux_inject_userfaultfd(src, &fd, NULL) == MS_ERR_ACCESS);
	snprintf(expected, sizeof(expected), "traced by PID %d (old tracer)", tracer);
	check_that(strstr(ms_error(), expected), "%s", ms_error());
}

static void test_stopped(void)
{
	pid_t pid;
	int fd;

	begin();
	pid = start(wait_for_ever);
	open_source(pid);
	kill(pid, SIGSTOP);
	wait_until(state_of(pid) == 'T');
	check(linux_inject_userfaultfd(src, &fd, NULL) == MS_ERR_UNSUPPORTED);
	check_that(strstr(ms_error(), "stopped"), "%s", ms_error());
	wait_until(state_of(pid) == 'T');
	check_u64(status_number(pid, "TracerPid", 10), 0);
	kill(pid, SIGCONT);
	wait_until(state_of(pid) == 'S');
}

static void test_ended(void)
{
	pid_t pid;
	int fd;

	begin();
	pid = start(wait_for_ever);
	open_source(pid);
	kill(pid, SIGKILL);
	wait_until(state_of(pid) == 'Z');
	check(linux_inject_userfaultfd(src, &fd, NULL) < 0);
}

/* Ends while calls are made in it, again and again. */
static void test_dying(void)
{
	uint64_t seed = 7;

	for (int i = 0; i < TIMES; i++) {
		struct timespec delay = {.tv_nsec = (long)(test_random(&seed) % 1500000)};
		pid_t pid, killer;
		int fd = -1, r;

		begin();
		pid = start(wait_for_ever);
		open_source(pid);
		if ((killer = fork()) == 0) {
			nanosleep(&delay, NULL);
			kill(pid, SIGKILL);
			_exit(0);
		}
		while ((r = linux_inject_userfaultfd(src, &fd, NULL)) == 0)
			close(fd);
		check(waitpid(killer, NULL, 0) == killer);
		wait_until(state_of(pid) == 'Z');
	}
}

/* ---- The twin --------------------------------------------------------------------------- */

static char pattern[64 * 1024];

static void on_child(int number)
{
	(void)number;
	atomic_fetch_add(&shared->frames[2], 1);
}

/* Has no child, and says so without end; any other answer is counted. */
static void *run_waiter(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&shared->ready, 1);
	for (;;) {
		if (waitpid(-1, NULL, __WALL) >= 0 || errno != ECHILD)
			atomic_fetch_add(&shared->frames[1], 1);
		atomic_fetch_add(&shared->count, 1);
	}
	return NULL;
}

static void run_waiters(void)
{
	struct sigaction action = {.sa_handler = on_child};

	sigaction(SIGCHLD, &action, NULL);
	memset(pattern, 'a', sizeof(pattern));
	start_thread(run_waiter, NULL);
	start_thread(run_waiter, NULL);
	wait_until(atomic_load(&shared->ready) == 2);
	memset(pattern, 'b', sizeof(pattern));
	atomic_store(&shared->ready, 3);
	for (;;) {
		memset(pattern, 'c', sizeof(pattern));
		memset(pattern, 'b', sizeof(pattern));
	}
}

/* Reads the pattern from a process's memory; it must be of one moment. */
static void check_pattern(pid_t pid)
{
	static char copy[sizeof(pattern)];
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0);
	check(pread(fd, copy, sizeof(copy), (off_t)(uintptr_t)pattern) == sizeof(copy));
	close(fd);
	for (size_t i = 1, edges = 0; i < sizeof(copy); i++) {
		edges += copy[i] != copy[i - 1];
		check(edges <= 1 && (copy[i] == 'b' || copy[i] == 'c'));
	}
}

static void test_twin(void)
{
	pid_t pid, twin_pid = 0;

	begin();
	pid = start(run_waiters);
	wait_until(atomic_load(&shared->ready) == 3);
	size_t descriptors = entries(pid, "fd"), tasks = entries(pid, "task");
	open_source(pid);
	for (int i = 0; i < TIMES; i++) {
		struct linux_twin *twin = NULL;
		char path[64];

		int r = linux_twin_new(src, &twin);
		if (r == MS_ERR_UNSUPPORTED)
			skip("%s", ms_error());
		check_ok(r);
		twin_pid = linux_twin_pid(twin);
		check(status_number(twin_pid, "PPid", 10) != (uint64_t)pid);
		check_u64(entries(twin_pid, "fd"), 2); /* . and .. */
		check_pattern(twin_pid);
		check_pattern(twin_pid);
		check_clean(pid, descriptors, tasks);
		linux_twin_free(twin);
		snprintf(path, sizeof(path), "/proc/%d", twin_pid);
		wait_until(access(path, F_OK) != 0 || state_of(twin_pid) == 'Z');
		check_clean(pid, descriptors, tasks);
	}
	check_u64(atomic_load(&shared->frames[1]), 0);
	check_u64(atomic_load(&shared->frames[2]), 0);
}

/* Each in a thread of its own, so that all but one only stand still. */
static void *run_broken_off(void *ctx)
{
	void (*const calls[])(void) = {do_epoll, do_sigtimedwait, do_recv};

	atomic_fetch_add(&shared->ready, 1);
	for (;;) {
		uint64_t began = now_ms();

		calls[(size_t)ctx]();
		check_call(now_ms() - began + 2 >= NAP_MS);
		atomic_fetch_add(&shared->frames[(size_t)ctx], 1);
	}
	return NULL;
}

static void run_all_broken_off(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < 3; i++)
		start_thread(run_broken_off, (void *)i);
	for (;;)
		do_nanosleep();
}

/* Calls that fail with EINTR on any stop do not: neither by a twin nor by a pause. */
static void test_broken_off(void)
{
	unsigned long long before[3];
	pid_t pid;

	begin();
	pid = start(run_all_broken_off);
	wait_until(atomic_load(&shared->ready) == 3);
	open_source(pid);
	for (int i = 0; i < 10; i++) {
		struct linux_twin *twin = NULL;
		int r;

		nap();
		check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
		resume();
		nap();
		r = linux_twin_new(src, &twin);
		if (r == MS_ERR_UNSUPPORTED)
			skip("%s", ms_error());
		check_ok(r);
		linux_twin_free(twin);
	}
	for (size_t i = 0; i < 3; i++)
		before[i] = atomic_load(&shared->frames[i]);
	for (size_t i = 0; i < 3; i++)
		wait_until(atomic_load(&shared->frames[i]) > before[i] + 1 || state_of(pid) == 'Z');
	check(state_of(pid) != 'Z');
}

/* Each thread starts the next one and ends, so there is always one about to go. */
static void *run_relay(void *ctx)
{
	atomic_fetch_add(&shared->count, 1);
	start_thread(run_relay, ctx);
	return ctx;
}

static void run_relays(void)
{
	for (size_t i = 0; i < WORKERS; i++)
		start_thread(run_relay, NULL);
	wait_for_ever();
}

static void test_relays(void)
{
	pid_t pid;

	begin();
	pid = start(run_relays);
	wait_until(atomic_load(&shared->count) > 100);
	open_source(pid);
	for (int i = 0; i < TIMES * 4; i++) {
		struct linux_twin *twin = NULL;
		unsigned long long before;
		int r = linux_twin_new(src, &twin);

		if (r == MS_ERR_UNSUPPORTED)
			skip("%s", ms_error());
		check_ok(r);
		linux_twin_free(twin);
		before = atomic_load(&shared->count);
		wait_until(atomic_load(&shared->count) > before);
	}
}

/* ---- Being killed ----------------------------------------------------------------------- */

enum { KILLS = 200 };

/* What memsift does, in a process of its own that is killed. */
static void run_victim(void)
{
	pid_t pid = atomic_load(&shared->other);
	bool twin = atomic_load(&shared->frames[2]) != 0;

	open_source(pid);
	atomic_store(&shared->ready, 99);
	for (;;) {
		struct linux_twin *copy;
		int fd;

		if (!twin && linux_inject_userfaultfd(src, &fd, NULL) == 0)
			close(fd);
		if (twin && linux_twin_new(src, &copy) == 0)
			linux_twin_free(copy);
	}
}

static bool is_free(pid_t pid, size_t descriptors, size_t tasks)
{
	return status_number(pid, "TracerPid", 10) == 0 && entries(pid, "fd") == descriptors &&
	       entries(pid, "task") == tasks;
}

static void run_named(void)
{
	char name[16];

	snprintf(name, sizeof(name), "tw%d", getpid());
	prctl(PR_SET_NAME, name);
	run_busy();
}

/* How many processes have the name that a puppet gave itself; its twins have it, too. */
static size_t count_named(pid_t pid)
{
	char name[16];
	size_t count = 0;

	snprintf(name, sizeof(name), "tw%d", pid);
	check_ok(linux_processes(&processes, NULL));
	for (size_t i = 0; i < processes.items.count; i++)
		count += strcmp(processes.items.data[i].name, name) == 0 &&
			 state_of((pid_t)processes.items.data[i].pid) != 'Z';
	processes.items.count = 0;
	return count;
}

static void kill_often(void (*run)(void), bool twin)
{
	uint64_t seed = 11;
	pid_t pid;

	begin();
	pid = start(run);
	wait_until(atomic_load(&shared->ready) == 3 && atomic_load(&shared->count) > 10);
	size_t descriptors = entries(pid, "fd"), tasks = entries(pid, "task");
	atomic_store(&shared->other, pid);
	atomic_store(&shared->frames[2], twin);
	for (int i = 0; i < KILLS; i++) {
		struct timespec delay = {.tv_nsec = (long)(test_random(&seed) % 1500000)};
		unsigned long long before;
		pid_t victim;

		atomic_store(&shared->ready, 0);
		victim = start(run_victim);
		wait_until(atomic_load(&shared->ready) == 99);
		nanosleep(&delay, NULL);
		kill(victim, SIGKILL);
		check(waitpid(victim, NULL, 0) == victim);
		puppet_count--;
		wait_until(is_free(pid, descriptors, tasks));
		before = atomic_load(&shared->count);
		wait_until(atomic_load(&shared->count) > before);
	}
	/* The last guardian may have been on its way to begin. */
	for (int i = 0; i < 20; i++)
		nap();
	wait_until(is_free(pid, descriptors, tasks));
	check_clean(pid, descriptors, tasks);
	if (run == run_named)
		wait_until(count_named(pid) == 1);
}

static void test_killed(void)
{
	kill_often(run_busy, false);
}

static void test_killed_twin(void)
{
	kill_often(run_named, true);
}

static const struct test tests[] = {
	{"a busy program", test_busy},
	{"blocked in calls", test_blocked},
	{"without privileges", test_nobody},
	{"signals", test_signals},
	{"a seccomp filter", test_seccomp},
	{"a tracer already", test_traced},
	{"stopped", test_stopped},
	{"ended", test_ended},
	{"dying", test_dying},
	{"the twin", test_twin},
	{"calls that a stop breaks off", test_broken_off},
	{"threads that come and go", test_relays},
	{"killed while it borrows", test_killed},
	{"killed while it has a twin", test_killed_twin},
};

TEST_MAIN(tests)
