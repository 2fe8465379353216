/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * changes MIB: measures what bench/run cannot by starting programs, since it is the library's:
 * diffs of snapshots in memory against memcmp() on all cores, and mapped memory against reading
 * it with process_vm_readv() each time. The target is a child that writes when it is told to.
 * Prints a line a case: its name, seconds of memsift, the name of the peer, its seconds.
 */
#include "memsift_track.h"

#include <err.h>
#include <pthread.h>
#include <sched.h>
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

enum { PAGE = 4096, THREADS_MAX = 64, ROUNDS = 5 };

/* Where the child takes orders: change one page in so many, and say when it is done. */
struct desk {
	atomic_uint order, done;
	uint64_t every;
};

struct target {
	pid_t pid;
	uint8_t *memory, *shared; /* at the same addresses in the child */
	size_t size, shared_size;
	struct desk *desk;
	ms_host *host;
	ms_source *source;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *pages(size_t size, int flags)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		err(1, "no memory for %zu bytes", size);
	return at;
}

static void must(int r)
{
	if (r < 0)
		errx(1, "%s", ms_error());
}

/* ---- The target ------------------------------------------------------------------------- */

static void child_run(struct target *target)
{
	struct desk *desk = target->desk;
	uint64_t random = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < target->size; i += 8) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		memcpy(target->memory + i, &random, 8);
	}
	memset(target->shared, 1, target->shared_size);
	for (;;) {
		desk->done = desk->order;
		while (desk->done == desk->order)
			usleep(200);
		for (uint64_t at = 0; desk->every && at < target->size / PAGE; at += desk->every)
			target->memory[at * PAGE + at % PAGE]++;
	}
}

static void target_order(struct target *target, uint64_t every)
{
	target->desk->every = every;
	target->desk->order++;
	while (target->desk->done != target->desk->order)
		usleep(200);
}

static void target_start(struct target *target, size_t size)
{
	target->size = size;
	target->shared_size = size / 16;
	target->memory = pages(size, MAP_PRIVATE | MAP_NORESERVE);
	target->shared = pages(target->shared_size, MAP_SHARED);
	target->desk = pages(PAGE, MAP_SHARED);
	target->desk->order = 1;
	target->pid = fork();
	if (target->pid < 0)
		err(1, "cannot fork");
	if (target->pid == 0)
		child_run(target);
	while (target->desk->done != 1)
		usleep(1000);
	must(ms_host_open(NULL, &target->host));
	must(ms_source_open(target->host, (uint32_t)target->pid, &target->source));
}

static void target_stop(struct target *target)
{
	ms_source_free(target->source);
	ms_host_free(target->host);
	kill(target->pid, SIGKILL);
	waitpid(target->pid, NULL, 0);
}

/* ---- Diffs ------------------------------------------------------------------------------ */

struct half {
	const uint8_t *old, *now;
	size_t size, changed;
};

static void *compare(void *ctx)
{
	struct half *half = ctx;

	for (size_t at = 0; at < half->size; at += PAGE)
		half->changed += memcmp(half->old + at, half->now + at, PAGE) != 0;
	return NULL;
}

static size_t compare_all(const uint8_t *old, const uint8_t *new, size_t size)
{
	cpu_set_t set;
	size_t count, changed = 0, part;
	pthread_t threads[THREADS_MAX];
	struct half halves[THREADS_MAX];

	sched_getaffinity(0, sizeof(set), &set);
	count = (size_t)CPU_COUNT(&set);
	count = count > THREADS_MAX ? THREADS_MAX : count;
	part = size / count / PAGE * PAGE;
	for (size_t i = 0; i < count; i++) {
		halves[i] = (struct half){
			old + i * part, new + i *part, i + 1 == count ? size - i *part : part, 0};
		if (pthread_create(&threads[i], NULL, compare, &halves[i]))
			errx(1, "cannot start a thread");
	}
	for (size_t i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		changed += halves[i].changed;
	}
	return changed;
}

static int take(void *ctx, const struct ms_record *record)
{
	*(size_t *)ctx += record->schema == &ms_schema_change;
	return 0;
}

static void report(const char *name, size_t size, const char *what, double ours, const char *peer,
	double theirs)
{
	printf("%s, ", name);
	if (size >> 30)
		printf("%zu GiB", size >> 30);
	else if (size >> 20)
		printf("%zu MiB", size >> 20);
	else
		printf("%zu KiB", size >> 10);
	printf("%s\t%.9f\t%s\t%.9f\n", what, ours, peer, theirs);
	fflush(stdout);
}

static void bench_diff(struct target *target, uint64_t every, const char *what)
{
	size_t found = 0, changed = 0;
	struct ms_diff options = {.size = sizeof(options), .sink = {take, &found}};
	uint64_t base = (uintptr_t)target->memory;
	ms_snapshot *before, *after;
	ms_mapping *old, *new;
	struct ms_filter *filter;
	struct ms_total total;
	double ours = 1e9, theirs = 1e9;
	char range[64];

	must(ms_filter_new(&filter));
	snprintf(range, sizeof(range), "%llx-%llx", (unsigned long long)base,
		(unsigned long long)base + target->size);
	must(ms_filter_set(filter, "address", range));
	options.filter = filter;
	must(ms_snapshot_take(target->source, NULL, &before));
	target_order(target, every);
	must(ms_snapshot_take(target->source, NULL, &after));
	/* The snapshots' own bytes, for memcmp(). */
	must(ms_mapping_new(ms_snapshot_source(before), base, target->size, &old));
	must(ms_mapping_new(ms_snapshot_source(after), base, target->size, &new));
	for (int round = 0; round < ROUNDS; round++) {
		double start = now(), middle;

		found = 0;
		must(ms_diff_sources(
			ms_snapshot_source(before), ms_snapshot_source(after), &options, &total));
		middle = now();
		changed = compare_all(ms_mapping_data(old), ms_mapping_data(new), target->size);
		ours = middle - start < ours ? middle - start : ours;
		theirs = now() - middle < theirs ? now() - middle : theirs;
		if (found != changed)
			errx(1, "%zu changes, but %zu pages differ", found, changed);
	}
	report("diff of two snapshots", target->size, what, ours, "memcmp on all cores", theirs);
	ms_mapping_free(old);
	ms_mapping_free(new);
	ms_snapshot_free(before);
	ms_snapshot_free(after);
	ms_filter_free(filter);
}

/* ---- Mapped memory ---------------------------------------------------------------------- */

static void read_all(const struct target *target, const void *from, uint8_t *to, size_t size)
{
	for (size_t at = 0; at < size;) {
		struct iovec local = {to + at, size - at};
		struct iovec remote = {(char *)from + at, size - at};
		ssize_t got = process_vm_readv(target->pid, &local, 1, &remote, 1, 0);

		if (got <= 0)
			err(1, "process_vm_readv");
		at += (size_t)got;
	}
}

/* So many times that a clock can tell. */
static unsigned times_of(size_t size)
{
	size_t times = (64 << 20) / size;

	return times > 2000 ? 2000 : times < 1 ? 1 : (unsigned)times;
}

static void bench_refresh(struct target *target, size_t size, uint64_t every, const char *what)
{
	uint8_t *buffer = pages(size, MAP_PRIVATE);
	unsigned times = times_of(size);
	double ours = 1e9, theirs = 1e9;
	ms_mapping *mapping;

	must(ms_mapping_new(target->source, (uintptr_t)target->memory, size, &mapping));
	read_all(target, target->memory, buffer, size);
	for (int round = 0; round < ROUNDS; round++) {
		double start, middle, end;

		target_order(target, every);
		start = now();
		for (unsigned i = 0; i < times; i++)
			must(ms_mapping_refresh(mapping, NULL));
		middle = now();
		for (unsigned i = 0; i < times; i++)
			read_all(target, target->memory, buffer, size);
		end = now();
		if (memcmp(buffer, ms_mapping_data(mapping), size) != 0)
			errx(1, "the mirror is not what was read");
		ours = middle - start < ours ? middle - start : ours;
		theirs = end - middle < theirs ? end - middle : theirs;
	}
	report("refresh a mirror", size, what, ours / times, "process_vm_readv", theirs / times);
	ms_mapping_free(mapping);
	munmap(buffer, size);
}

/* What the target writes to is tracked, so a refresh reads that alone. */
static void bench_tracked(struct target *target, uint64_t every, const char *what)
{
	const struct ms_mapper_options options = {.size = sizeof(options), .track = true};
	uint8_t *buffer = pages(target->size, MAP_PRIVATE);
	double ours = 1e9, theirs = 1e9;
	uint64_t read = 0, wanted = every ? (target->size / PAGE + every - 1) / every * PAGE : 0;
	ms_mapping *mapping;
	ms_mapper *mapper;

	must(ms_mapper_new(target->source, &options, &mapper));
	must(ms_mapper_add(mapper, (uintptr_t)target->memory, target->size, NULL));
	mapping = ms_mapper_get(mapper, 0);
	if (ms_mapping_kind(mapping) != MS_MAPPING_TRACKED)
		errx(1, "not tracked: %s", ms_mapping_why(mapping));
	read_all(target, target->memory, buffer, target->size);
	for (int round = 0; round < ROUNDS; round++) {
		double start, middle, end;

		target_order(target, every);
		start = now();
		must(ms_mapper_refresh(mapper, &read));
		middle = now();
		read_all(target, target->memory, buffer, target->size);
		end = now();
		if (memcmp(buffer, ms_mapping_data(mapping), target->size) != 0 || read != wanted)
			errx(1, "the mirror is not what was read");
		ours = middle - start < ours ? middle - start : ours;
		theirs = end - middle < theirs ? end - middle : theirs;
	}
	report("refresh a tracked mirror", target->size, what, ours, "process_vm_readv", theirs);
	ms_mapper_free(mapper);
	munmap(buffer, target->size);
}

static uint64_t sum(const uint8_t *data, size_t size)
{
	uint64_t total = 0, word;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		memcpy(&word, data + i, 8);
		total += word;
	}
	return total;
}

static void bench_shared(struct target *target, size_t size)
{
	uint8_t *buffer = pages(size, MAP_PRIVATE);
	unsigned times = times_of(size);
	double ours = 1e9, theirs = 1e9;
	volatile uint64_t seen = 0;
	ms_mapping *mapping;

	must(ms_mapping_new(target->source, (uintptr_t)target->shared, size, &mapping));
	if (ms_mapping_kind(mapping) != MS_MAPPING_SHARED)
		errx(1, "shared memory is not shared here");
	for (int round = 0; round < ROUNDS; round++) {
		double start = now(), middle, end;

		for (unsigned i = 0; i < times; i++)
			seen += sum(ms_mapping_data(mapping), size);
		middle = now();
		for (unsigned i = 0; i < times; i++) {
			read_all(target, target->shared, buffer, size);
			seen -= sum(buffer, size);
		}
		end = now();
		if (seen)
			errx(1, "the view is not what was read");
		ours = middle - start < ours ? middle - start : ours;
		theirs = end - middle < theirs ? end - middle : theirs;
	}
	report("add up shared memory", size, "", ours / times, "process_vm_readv first",
		theirs / times);
	ms_mapping_free(mapping);
	munmap(buffer, size);
}

int main(int argc, char **argv)
{
	static const struct {
		uint64_t every;
		const char *what;
	} changes[] = {{0, ", nothing changed"}, {1000, ", 1 page in 1,000 changed"},
		{4, ", every 4th page changed"}};
	struct target target;
	size_t size = (size_t)(argc > 1 ? atoi(argv[1]) : 1024) << 20;

	target_start(&target, size);
	for (size_t each = 1 << 10; each <= size; each <<= 5)
		for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
			bench_refresh(&target, each, changes[i].every, changes[i].what);
	bench_tracked(&target, 0, ", nothing changed");
	/* Rounded up, or it would be 101 pages. */
	bench_tracked(&target, size / PAGE / 100 + 1, ", 100 pages changed");
	for (size_t each = 1 << 10; each <= target.shared_size; each <<= 5)
		bench_shared(&target, each);
	bench_diff(&target, 100, ", 1 % of pages changed");
	bench_diff(&target, 0, ", nothing changed");
	target_stop(&target);
	return 0;
}
