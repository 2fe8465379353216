/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures detectors and twins on a child of its own, and prints a line of JSON:
 *
 *	track MIB ROUNDS
 *
 * The child has MIB of memory in pages of 4 KiB and writes as it is told; times are medians in
 * milliseconds of ROUNDS rounds, of CPU for rounds of a detector, else of the clock.
 */
#include "memsift_track.h"

#include <err.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, ROUNDS_MAX = 1000, SCATTERED = 100, INTERVAL_US = 10000 };

enum { IDLE, SPIN, SCATTER, STAMP, WRITE_ALL };

struct shared {
	atomic_int order; /* IDLE again once SCATTER and STAMP are done */
	atomic_ullong stamp_ns, count, gap_ns;
};

static struct shared *shared;
static char *memory;
static size_t size;

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

/* ---- The child -------------------------------------------------------------------------- */

/* Looks at the clock all the time: the longest while it could not is how long it stood still. */
static void spin(void)
{
	double last = now(CLOCK_MONOTONIC);

	while (atomic_load(&shared->order) == SPIN) {
		double time = now(CLOCK_MONOTONIC);
		unsigned long long gap = (unsigned long long)((time - last) * 1e6);

		if (gap > atomic_load(&shared->gap_ns))
			atomic_store(&shared->gap_ns, gap);
		last = time;
	}
}

static void obey(void)
{
	static unsigned char value;

	for (;;) {
		int order = atomic_load(&shared->order);

		value++;
		if (order == SPIN)
			spin();
		for (size_t i = 0; order == SCATTER && i < SCATTERED; i++)
			memory[size / SCATTERED * i] = (char)value;
		for (size_t at = 0; order == WRITE_ALL && at < size; at += PAGE)
			memory[at + 8]++;
		if (order == WRITE_ALL)
			atomic_fetch_add(&shared->count, size / PAGE);
		if (order == STAMP) {
			memory[size / 2] = (char)(memory[size / 2] + 1);
			atomic_store(&shared->stamp_ns,
				(unsigned long long)(now(CLOCK_MONOTONIC) * 1e6));
		}
		if (order == SCATTER || order == STAMP)
			atomic_compare_exchange_strong(&shared->order, &order, IDLE);
		if (order == IDLE)
			usleep(100);
	}
}

static pid_t start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		err(1, "cannot fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		madvise(memory, size, MADV_NOHUGEPAGE);
		for (size_t at = 0; at < size; at += 8)
			memcpy(memory + at, &(uint64_t){at * 0x9e3779b97f4a7c15u}, 8);
		atomic_store(&shared->count, 1);
		obey();
	}
	while (!atomic_load(&shared->count))
		usleep(1000);
	return pid;
}

static void tell(int order)
{
	atomic_store(&shared->order, order);
	while (order != SPIN && order != WRITE_ALL && atomic_load(&shared->order) != IDLE)
		usleep(50);
}

/* ---- The measurements ------------------------------------------------------------------- */

static void check(int r)
{
	if (r < 0)
		errx(1, "%s", ms_error());
}

static ms_detector *detector(ms_source *src, enum ms_method method)
{
	struct ms_detector_options options = {.size = sizeof(options), .method = method};
	ms_detector *det;

	check(ms_detector_new(src, &options, &det));
	return det;
}

/* The CPU that a round takes when the child has done as told before. */
static double round_cost(ms_detector *det, int order, int rounds)
{
	double times[ROUNDS_MAX];

	for (int i = 0; i < rounds; i++) {
		struct ms_round round;
		double began;

		if (order)
			tell(order);
		began = now(CLOCK_PROCESS_CPUTIME_ID);
		check(ms_detector_detect(det, true, NULL, &round));
		times[i] = now(CLOCK_PROCESS_CPUTIME_ID) - began;
	}
	return median(times, (size_t)rounds);
}

/* What the least costs that a comparison can do: reading all, and memcmp() with a copy. */
static double plain_cost(pid_t pid, int rounds)
{
	enum { PIECE = 1 << 20 };
	static char piece[PIECE];
	double times[ROUNDS_MAX];
	char *copy = malloc(size);

	if (!copy)
		err(1, "no memory");
	for (int i = 0; i <= rounds; i++) {
		double began = now(CLOCK_PROCESS_CPUTIME_ID);

		for (size_t at = 0; at < size; at += PIECE) {
			struct iovec to = {i ? piece : copy + at, PIECE},
				     from = {memory + at, PIECE};

			if (process_vm_readv(pid, &to, 1, &from, 1, 0) != PIECE)
				err(1, "cannot read");
			if (i && memcmp(copy + at, piece, PIECE) != 0)
				errx(1, "the child wrote");
		}
		if (i)
			times[i - 1] = now(CLOCK_PROCESS_CPUTIME_ID) - began;
	}
	free(copy);
	return median(times, (size_t)rounds);
}

/* From a write to the end of the round that tells it, with rounds at a fixed interval. */
static double latency(ms_detector *det, int rounds)
{
	double times[ROUNDS_MAX];

	for (int i = 0; i < rounds; i++) {
		struct ms_round round = {0};
		unsigned long long before = atomic_load(&shared->stamp_ns);

		atomic_store(&shared->order, STAMP);
		/* The write may come at any time between two rounds. */
		usleep((useconds_t)(i * 700 % INTERVAL_US));
		while (!round.changes || atomic_load(&shared->stamp_ns) == before) {
			check(ms_detector_detect(det, true, NULL, &round));
			if (!round.changes)
				usleep(INTERVAL_US);
		}
		times[i] = now(CLOCK_MONOTONIC) - (double)atomic_load(&shared->stamp_ns) / 1e6;
		tell(STAMP);
		check(ms_detector_update(det));
	}
	return median(times, (size_t)rounds);
}

/* Pages a second that the child can write. */
static double write_rate(ms_detector *det)
{
	unsigned long long before;
	double began;

	atomic_store(&shared->order, WRITE_ALL);
	usleep(50000);
	before = atomic_load(&shared->count);
	began = now(CLOCK_MONOTONIC);
	while (now(CLOCK_MONOTONIC) - began < 2000) {
		if (det)
			check(ms_detector_update(det));
		usleep(1000000);
	}
	before = atomic_load(&shared->count) - before;
	atomic_store(&shared->order, IDLE);
	return (double)before / (now(CLOCK_MONOTONIC) - began) * 1e3;
}

static double arm_stop(ms_source *src, int rounds, double *ret_gap)
{
	double times[ROUNDS_MAX], gaps[ROUNDS_MAX];

	tell(SPIN);
	for (int i = 0; i < rounds; i++) {
		struct ms_detector_info info;

		usleep(20000);
		atomic_store(&shared->gap_ns, 0);
		ms_detector *det = detector(src, MS_METHOD_DIRTY);
		ms_detector_info(det, &info);
		times[i] = (double)info.stop_ns / 1e6;
		gaps[i] = (double)atomic_load(&shared->gap_ns) / 1e6;
		ms_detector_free(det);
	}
	atomic_store(&shared->order, IDLE);
	*ret_gap = median(gaps, (size_t)rounds);
	return median(times, (size_t)rounds);
}

static double fork_stop(ms_source *src, int rounds)
{
	double times[ROUNDS_MAX];

	for (int i = 0; i < rounds; i++) {
		tell(SPIN);
		usleep(20000);
		atomic_store(&shared->gap_ns, 0);
		check(ms_source_pause(src, MS_PAUSE_FORK));
		usleep(20000);
		times[i] = (double)atomic_load(&shared->gap_ns) / 1e6;
		check(ms_source_pause(src, MS_PAUSE_NONE));
		atomic_store(&shared->order, IDLE);
	}
	return median(times, (size_t)rounds);
}

/* How long gcore makes the child stand still; 0 where there is none. */
static double gcore_stop(pid_t pid)
{
	char command[128];
	double gap = 0;

	snprintf(command, sizeof(command),
		"gcore -o /dev/shm/memsift-bench-track %d >/dev/null 2>&1", pid);
	tell(SPIN);
	usleep(20000);
	atomic_store(&shared->gap_ns, 0);
	if (system(command) == 0)
		gap = (double)atomic_load(&shared->gap_ns) / 1e6;
	atomic_store(&shared->order, IDLE);
	snprintf(command, sizeof(command), "/dev/shm/memsift-bench-track.%d", pid);
	unlink(command);
	return gap;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 21;
	double stop, gap, first, idle, scattered, compare, plain, late, free_rate, watched_rate;
	ms_source *src;
	ms_host *host;
	ms_detector *det;
	pid_t pid;

	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX)
		errx(2, "wanted are MIB ROUNDS");
	size = strtoull(argv[1], NULL, 10) << 20;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || shared == MAP_FAILED)
		err(1, "cannot map memory");
	pid = start();
	check(ms_host_open("local", &host));
	check(ms_source_open(host, (uint32_t)pid, &src));
	stop = arm_stop(src, rounds, &gap);
	double forked = fork_stop(src, rounds < 5 ? rounds : 5), gcore = gcore_stop(pid);

	free_rate = write_rate(NULL);
	det = detector(src, MS_METHOD_DIRTY);
	check(ms_detector_initialize(det));
	struct ms_detector_info info;
	ms_detector_info(det, &info);
	first = (double)info.arm_ns / 1e6;
	idle = round_cost(det, IDLE, rounds);
	scattered = round_cost(det, SCATTER, rounds);
	late = latency(det, rounds);
	watched_rate = write_rate(det);
	ms_detector_free(det);
	det = detector(src, MS_METHOD_COMPARE);
	check(ms_detector_initialize(det));
	compare = round_cost(det, IDLE, rounds < 5 ? rounds : 5);
	plain = plain_cost(pid, rounds < 5 ? rounds : 5);
	ms_detector_free(det);
	printf("{\"mib\": %s, \"arm_stop_ms\": %.3f, \"arm_stall_ms\": %.3f, \"first_arming_ms\": "
	       "%.3f, "
	       "\"round_idle_ms\": %.4f, \"round_100_pages_ms\": %.4f, \"round_compare_ms\": %.3f, "
	       "\"plain_compare_ms\": %.3f, "
	       "\"latency_ms\": %.3f, \"interval_ms\": %d, \"writer_slowdown\": %.4f, "
	       "\"fork_stall_ms\": %.3f, \"gcore_stall_ms\": %.3f}\n",
		argv[1], stop, gap, first, idle, scattered, compare, plain, late,
		INTERVAL_US / 1000, 1 - watched_rate / free_rate, forked, gcore);
	ms_source_free(src);
	ms_host_free(host);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
