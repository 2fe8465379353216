/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads of live processes on Linux, and stopping them for a while. */
#include "linux_puppets.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/user.h>

/* ---- Threads --------------------------------------------------------------------------- */

static void *run_worker(void *ctx)
{
	size_t index = (size_t)(uintptr_t)ctx;
	char name[16];

	snprintf(name, sizeof(name), "worker %zu)", index);
	prctl(PR_SET_NAME, name);
	atomic_store(&shared->frames[index], (uintptr_t)__builtin_frame_address(0));
	atomic_fetch_add(&shared->ready, 1);
	wait_for_ever();
	return NULL;
}

static void run_workers(void)
{
	for (size_t i = 0; i < WORKERS; i++)
		start_thread(run_worker, (void *)(uintptr_t)i);
	wait_for_ever();
}

/* Whether an address lies in a mapping with these permissions. */
static bool mapped_as(pid_t pid, uint64_t address, const char *perm)
{
	char path[32], line[4096], found[8];
	unsigned long long from, to;
	bool is = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx-%llx %7s", &from, &to, found) == 3 && address >= from &&
			address < to)
			is = strncmp(found, perm, strlen(perm)) == 0;
	if (file)
		fclose(file);
	return is;
}

static const struct ms_thread *thread_named(const char *name)
{
	for (size_t i = 0; i < threads.items.count; i++)
		if (strcmp(threads.items.data[i].name, name) == 0)
			return &threads.items.data[i];
	return NULL;
}

/* All of them wait in the kernel, so that their stack pointers can be seen. */
static bool list_waiting(pid_t pid)
{
	threads.items.count = 0;
	if (linux_threads(puppet_dir, (uint32_t)pid, &threads) < 0)
		return false;
	for (size_t i = 0; i < threads.items.count; i++)
		if (threads.items.data[i].stack_pointer == 0)
			return false;
	return true;
}

static void test_threads(void)
{
	pid_t pid;

	begin();
	pid = start(run_workers);
	wait_until(atomic_load(&shared->ready) == WORKERS);
	wait_until(list_waiting(pid));
	check(threads.items.count >= WORKERS + 1);
	check_u64(threads.items.data[0].tid, (uint64_t)pid);
	for (size_t i = 0; i < WORKERS; i++) {
		uint64_t frame = atomic_load(&shared->frames[i]);
		const struct ms_thread *thread;
		char name[16];

		snprintf(name, sizeof(name), "worker %zu)", i);
		check((thread = thread_named(name)));
		check(!thread->gregs && mapped_as(pid, thread->stack_pointer, "rw"));
		check(thread->stack_pointer <= frame && frame - thread->stack_pointer < 65536);
		check(linux_process_one(thread->tid, &processes) == MS_ERR_NOT_FOUND);
		check(strstr(ms_error(), "is a thread of process"));
	}
}

static void test_threads_of_ended(void)
{
	pid_t pid;
	int dir;

	begin();
	pid = start(wait_for_ever);
	check((dir = dup(puppet_dir)) >= 0);
	begin();
	check(linux_threads(dir, (uint32_t)pid, &threads) == MS_ERR_GONE);
	check(linux_pause((uint32_t)pid, dir, &paused) == MS_ERR_GONE);
	close(dir);
}

/* ---- Pausing --------------------------------------------------------------------------- */

static void *run_counter(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&shared->ready, 1);
	for (;;)
		atomic_fetch_add(&shared->count, 1);
	return NULL;
}

static void run_busy(void)
{
	for (size_t i = 0; i < WORKERS; i++)
		start_thread(run_counter, NULL);
	run_counter(NULL);
}

static pid_t start_busy(void)
{
	pid_t pid = start(run_busy);

	wait_until(atomic_load(&shared->ready) == WORKERS + 1);
	return pid;
}

static bool count_stands_still(void)
{
	uint64_t before = atomic_load(&shared->count);

	for (int i = 0; i < 20; i++)
		nap();
	return atomic_load(&shared->count) == before;
}

static void check_runs(void)
{
	uint64_t before = atomic_load(&shared->count);

	wait_until(atomic_load(&shared->count) != before);
}

static void check_registers(pid_t pid, const struct ms_thread *thread)
{
	check(thread->gregs && thread->fpregs && mapped_as(pid, thread->stack_pointer, "rw"));
#if defined(__x86_64__)
	struct user_regs_struct registers;

	check_u64(thread->gregs_size, sizeof(registers));
	check_u64(thread->fpregs_size, sizeof(struct user_fpregs_struct));
	check(thread->xstate && thread->xstate_size >= 512);
	memcpy(&registers, thread->gregs, sizeof(registers));
	check_u64(registers.rsp, thread->stack_pointer);
	check(mapped_as(pid, registers.rip, "r-x"));
#endif
}

static void test_pause(void)
{
	pid_t pid;

	begin();
	pid = start_busy();
	for (int round = 0; round < 10; round++) {
		check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
		check(count_stands_still());
		threads.items.count = 0;
		check_ok(linux_pause_threads(paused, &threads));
		check(threads.items.count >= WORKERS + 1);
		for (size_t i = 0; i < threads.items.count; i++)
			check_registers(pid, &threads.items.data[i]);
		resume();
		check_registers(pid, &threads.items.data[0]); /* they outlive the pause */
		check_runs();
	}
}

static void test_pause_waiting(void)
{
	pid_t pid;

	begin();
	pid = start(run_workers);
	wait_until(atomic_load(&shared->ready) == WORKERS);
	check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
	check_ok(linux_pause_threads(paused, &threads));
	for (size_t i = 0; i < threads.items.count; i++)
		check_registers(pid, &threads.items.data[i]);
	resume();
	wait_until(state_of(pid) == 'S');
}

static void test_pause_stopped(void)
{
	int status;
	pid_t pid;

	begin();
	pid = start_busy();
	kill(pid, SIGSTOP);
	check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
	check(state_of(pid) == 't');
	resume();
	wait_until(state_of(pid) == 'T');
	check(count_stands_still() && state_of(pid) == 'T');
	kill(pid, SIGCONT);
	check_runs();
}

static void on_signal(int number)
{
	(void)number;
	atomic_fetch_add(&shared->count, 1);
}

static void run_handler(void)
{
	sigaction(SIGRTMIN, &(struct sigaction){.sa_handler = on_signal}, NULL);
	atomic_store(&shared->ready, 1);
	for (;;)
		nap();
}

static void test_signal_while_paused(void)
{
	pid_t pid;

	begin();
	pid = start(run_handler);
	wait_until(atomic_load(&shared->ready));
	check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
	kill(pid, SIGRTMIN);
	check(count_stands_still());
	check_u64(atomic_load(&shared->count), 0);
	resume();
	wait_until(atomic_load(&shared->count) == 1);
}

static pid_t storm_target;

enum { STORM = 3000 };

static void run_storm(void)
{
	for (int i = 0; i < STORM; i++) {
		while (sigqueue(storm_target, SIGRTMIN, (union sigval){0}) != 0 && errno == EAGAIN)
			sched_yield();
		if (i % 8 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	}
	atomic_store(&shared->ready, 2);
	wait_for_ever();
}

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER true
#elif defined(__has_feature)
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define THREAD_SANITIZER false
#endif

/* Whatever the moment a signal comes at, it is neither lost nor seen twice. */
static void test_signals_while_pausing(void)
{
	int dir, rounds = 0;
	pid_t pid;

	if (THREAD_SANITIZER)
		skip("the thread sanitizer drops a signal that comes before the last one's "
		     "handler");
	begin();
	pid = storm_target = start(run_handler);
	wait_until(atomic_load(&shared->ready));
	check((dir = dup(puppet_dir)) >= 0);
	start(run_storm);
	while (atomic_load(&shared->ready) != 2 || rounds < 20) {
		check_ok(linux_pause((uint32_t)pid, dir, &paused));
		resume();
		rounds++;
	}
	close(dir);
	wait_until(atomic_load(&shared->count) >= STORM);
	check(count_stands_still());
	check_u64(atomic_load(&shared->count), STORM);
}

static void test_killed_while_paused(void)
{
	int status = 0;
	pid_t pid;

	begin();
	pid = start_busy();
	check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
	kill(pid, SIGKILL);
	wait_until(state_of(pid) == 'Z');
	linux_pause_threads(paused, &threads);
	resume();
	check(waitpid(pid, &status, 0) == pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	puppet_count = 0;
}

/* Each thread starts the next one and ends: whoever misses one does not stop the relay. */
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
	atomic_store(&shared->ready, 1);
	wait_for_ever();
}

static void test_pause_relay(void)
{
	pid_t pid;

	begin();
	pid = start(run_relays);
	wait_until(atomic_load(&shared->ready));
	for (int round = 0; round < 20; round++) {
		check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
		check(count_stands_still());
		resume();
		check_runs();
	}
}

static void run_without_leader(void)
{
	start_thread(run_counter, NULL);
	syscall(SYS_exit, 0); /* of this thread alone */
}

static void test_pause_without_leader(void)
{
	pid_t pid;

	begin();
	pid = start(run_without_leader);
	wait_until(atomic_load(&shared->ready) && state_of(pid) == 'Z');
	check_ok(linux_pause((uint32_t)pid, puppet_dir, &paused));
	check(count_stands_still());
	resume();
	check_runs();
}

/* ---- Pauses that cannot be ------------------------------------------------------------- */

static pid_t traced;

static void run_tracer(void)
{
	if (ptrace(PTRACE_SEIZE, traced, NULL, NULL) != 0)
		_exit(1);
	prctl(PR_SET_NAME, "rival");
	atomic_store(&shared->other, getpid());
	wait_for_ever();
}

static void test_traced_already(void)
{
	char expected[128];
	int dir;

	begin();
	traced = start_busy();
	check((dir = dup(puppet_dir)) >= 0);
	start(run_tracer);
	wait_until(atomic_load(&shared->other));
	snprintf(expected, sizeof(expected),
		"pid %d is traced by PID %d (rival) already; stop that first", traced,
		atomic_load(&shared->other));
	check(linux_pause((uint32_t)traced, dir, &paused) == MS_ERR_ACCESS);
	check_text(ms_error(), expected);
	close(dir);
	check_runs();
}

static void run_pauser(void)
{
	int dir = open_dir(traced);

	if (linux_pause((uint32_t)traced, dir, &paused) < 0)
		_exit(1);
	atomic_store(&shared->other, getpid());
	wait_for_ever();
}

static void test_pauser_is_killed(void)
{
	pid_t pauser;

	begin();
	traced = start_busy();
	pauser = start(run_pauser);
	wait_until(atomic_load(&shared->other));
	check(count_stands_still());
	kill(pauser, SIGKILL);
	check_runs();
}

/* One thread waits for a child that does not go on, as after vfork(), the others count. */
static void run_vfork_parent(void)
{
	pid_t parent = getpid();

	start_thread(run_counter, NULL);
	if (syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0) {
		puppet_die_with(parent);
		atomic_store(&shared->other, getpid());
		for (;;)
			syscall(SYS_pause);
	}
	wait_for_ever();
}

static void test_unstoppable(void)
{
	uint64_t tracer = 1;
	pid_t pid;

	begin();
	pid = start(run_vfork_parent);
	wait_until(atomic_load(&shared->other) && atomic_load(&shared->ready));
	check(linux_pause((uint32_t)pid, puppet_dir, &paused) == MS_ERR_TIMEOUT);
	check(strstr(ms_error(), "did not stop within 5 seconds"));
	wait_until(linux_status_number(puppet_dir, "status", "TracerPid", 10, &tracer) && !tracer);
	check_runs();
	kill(atomic_load(&shared->other), SIGKILL);
	wait_until(state_of(pid) == 'S');
}

static void test_pause_self(void)
{
	int dir = open_dir(getpid());

	check(linux_pause((uint32_t)getpid(), dir, &paused) == MS_ERR_ARGUMENT);
	close(dir);
}

static void run_stranger(void)
{
	int dir = open_dir(traced);

	if (setuid(65534) != 0 || linux_pause((uint32_t)traced, dir, &paused) != MS_ERR_ACCESS)
		_exit(1);
	if (!strstr(ms_error(), "(root): cannot stop its threads: permission denied; run as root"))
		_exit(2);
	_exit(0);
}

static void test_no_permission(void)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip("needs root to give up");
	begin();
	traced = start_busy();
	pid = start(run_stranger);
	check(waitpid(pid, &status, 0) == pid);
	puppet_count--;
	check_u64((unsigned)status, 0);
	check_runs();
}

static const struct test tests[] = {
	{"threads", test_threads},
	{"threads: of an ended process", test_threads_of_ended},
	{"pause", test_pause},
	{"pause: waiting threads", test_pause_waiting},
	{"pause: a stopped process", test_pause_stopped},
	{"pause: signal meanwhile", test_signal_while_paused},
	{"pause: signals all the time", test_signals_while_pausing},
	{"pause: killed meanwhile", test_killed_while_paused},
	{"pause: threads come and go", test_pause_relay},
	{"pause: leader has ended", test_pause_without_leader},
	{"pause: traced already", test_traced_already},
	{"pause: memsift is killed", test_pauser_is_killed},
	{"pause: unstoppable", test_unstoppable},
	{"pause: ourselves", test_pause_self},
	{"pause: no permission", test_no_permission},
};

TEST_MAIN(tests)
