/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that does as it is told, and a detector of what it does, for the tests of detectors.
 * Included by the test programs that need them, once each.
 */
#ifndef MS_TESTS_UNIT_DETECTOR_PUPPET_H
#define MS_TESTS_UNIT_DETECTOR_PUPPET_H

#include "linux_puppets.h"

#include "backend/linux.h"
#include "memsift_track.h"

enum { PAGE = 4096, ARENA_PAGES = 512, LAP_PAGES = 412, CHANGES_MAX = 4096 };

/* ---- The puppet ------------------------------------------------------------------------- */

enum command {
	DO_NOTHING,
	DO_WRITE,
	DO_GIVE_BACK,
	DO_GIVE_BACK_AND_READ,
	DO_LAPS,
	DO_MAP,
	DO_UNMAP,
	DO_PROTECT,
	DO_MANY,
	DO_EXIT,
	DO_EXEC,
	DO_FORK
};

struct order {
	atomic_int command; /* DO_NOTHING once it is done */
	atomic_int stop;    /* ends DO_LAPS */
	uint64_t offset, size;
	unsigned char value;
};

static struct order *order;
static unsigned char *arena; /* private, at the same address in the puppet */

/* Writes page after page, a little into each, slowly enough for many rounds in one lap. */
static inline void run_laps(void)
{
	for (uint64_t n = 1; !atomic_load(&order->stop); n++) {
		uint64_t *page = (uint64_t *)(arena + n * 7 % LAP_PAGES * PAGE);

		page[n % 64] = n;
		for (volatile int i = 0; i < 20000; i++)
			;
	}
}

static inline void obey(void)
{
	unsigned char *at = arena + order->offset;

	switch (atomic_load(&order->command)) {
	case DO_WRITE:
		memset(at, order->value, order->size);
		break;
	case DO_GIVE_BACK:
		madvise(at, order->size, MADV_DONTNEED);
		break;
	case DO_GIVE_BACK_AND_READ:
		madvise(at, order->size, MADV_DONTNEED);
		order->value = *(volatile unsigned char *)at;
		break;
	case DO_LAPS:
		run_laps();
		break;
	case DO_MAP:
		if (mmap(at, order->size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
			_exit(3);
		break;
	case DO_UNMAP:
		munmap(at, order->size);
		break;
	case DO_PROTECT:
		mprotect(at, order->size, PROT_READ | PROT_EXEC);
		break;
	case DO_MANY:
		/* Every other page of another kind is a region of its own. */
		for (uint64_t i = 0; i < order->size; i += 2 * PAGE)
			mprotect(at + i, PAGE, PROT_READ);
		break;
	case DO_FORK:
		if (fork() == 0) {
			memset(at, 'X', order->size);
			_exit(0);
		}
		wait(NULL);
		break;
	case DO_EXEC:
		execl("/bin/sleep", "sleep", "100", (char *)NULL);
		_exit(4);
	case DO_EXIT:
		_exit(0);
	}
}

static inline void run_obedient(void)
{
	atomic_store(&shared->ready, 1);
	for (;;) {
		if (atomic_load(&order->command)) {
			obey();
			atomic_store(&order->command, DO_NOTHING);
		}
		nap();
	}
}

static inline void command(enum command what, uint64_t offset, uint64_t size, unsigned char value)
{
	order->offset = offset;
	order->size = size;
	order->value = value;
	atomic_store(&order->command, what);
	wait_until(atomic_load(&order->command) == DO_NOTHING);
}

/* ---- The detector ----------------------------------------------------------------------- */

struct told {
	char change[8];
	uint64_t address, size;
	unsigned char old[16], now[16];
	size_t shown;
};

static struct told told[CHANGES_MAX];
static size_t told_count;
static ms_host *host;
static ms_source *src;
static ms_detector *detector;
static struct ms_round round_info;

static inline int take(void *ctx, const struct ms_record *record)
{
	const struct ms_value *values = record->values;
	struct told *to = &told[told_count];
	char kind[16] = "";

	(void)ctx;
	if (told_count == CHANGES_MAX || strcmp(record->schema->type, "change") != 0)
		return 1;
	*to = (struct told){.address = values[4].v.u, .size = values[5].v.u};
	memcpy(kind, values[8].v.data, values[8].size < 8 ? values[8].size : 7);
	memcpy(to->change, kind, 8);
	if (values[6].present) {
		to->shown = values[6].size < 16 ? values[6].size : 16;
		memcpy(to->old, values[6].v.data, to->shown);
		memcpy(to->now, values[7].v.data, to->shown);
	}
	told_count++;
	return 0;
}

static inline void detect(bool update)
{
	struct ms_sink sink = {take, NULL};

	told_count = 0;
	check_ok(ms_detector_detect(detector, update, &sink, &round_info));
}

static inline pid_t set_up(enum ms_method method, size_t bytes_max, bool statistics)
{
	struct ms_detector_options options = {.size = sizeof(options),
		.method = method,
		.bytes_max = bytes_max,
		.statistics = statistics};
	struct ms_detector_info info;
	ms_filter *filter;
	char range[64];
	pid_t pid;
	int r;

	alarm(600);
	ms_detector_free(detector);
	detector = NULL;
	ms_source_free(src);
	src = NULL;
	begin();
	if (arena)
		munmap(arena, ARENA_PAGES * PAGE);
	arena = mmap(NULL, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!order)
		order = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	atomic_store(&order->command, DO_NOTHING);
	pid = start(run_obedient);
	wait_until(atomic_load(&shared->ready) == 1);
	if (!host)
		check_ok(ms_host_open("local", &host));
	check_ok(ms_source_open(host, (uint32_t)pid, &src));
	check_ok(ms_filter_new(&filter));
	snprintf(
		range, sizeof(range), "%p-%p", (void *)arena, (void *)(arena + ARENA_PAGES * PAGE));
	check_ok(ms_filter_set(filter, "address", range));
	snprintf(range, sizeof(range), "%p-%p", (void *)(arena + 500 * PAGE),
		(void *)(arena + 501 * PAGE));
	check_ok(ms_filter_set(filter, "ignore", range));
	options.filter = filter;
	r = ms_detector_new(src, &options, &detector);
	ms_filter_free(filter);
	if (r == MS_ERR_UNSUPPORTED)
		skip("%s", ms_error());
	check_ok(r);
	ms_detector_info(detector, &info);
	check(info.method == method);
	return pid;
}

static inline uint64_t at(uint64_t offset)
{
	return (uintptr_t)arena + offset;
}

static const enum ms_method methods[] = {MS_METHOD_DIRTY, MS_METHOD_SOFT_DIRTY, MS_METHOD_COMPARE};

/* Whether the kernel has a method; ms_error() says why not. */
static inline bool can(enum ms_method method)
{
	struct ms_detector_options options = {.size = sizeof(options), .method = method};
	struct ms_detector_info info = {0};
	ms_detector *det = NULL;
	ms_source *source;

	begin();
	if (!host)
		check_ok(ms_host_open("local", &host));
	check_ok(ms_source_open(host, (uint32_t)start(wait_for_ever), &source));
	if (ms_detector_new(source, &options, &det) == 0)
		ms_detector_info(det, &info);
	ms_detector_free(det);
	ms_source_free(source);
	return det && info.method == method;
}

#define FOR_METHODS(method)                                                                        \
	for (size_t m_ = 0; m_ < 3; m_++)                                                          \
		for (enum ms_method method = methods[m_], once_ = can(method); once_; once_ = 0)

static inline void check_told(size_t i, const char *change, uint64_t offset, uint64_t size)
{
	check_that(i < told_count, "only %zu changes", told_count);
	check_text(told[i].change, change);
	check_u64(told[i].address, at(offset));
	check_u64(told[i].size, size);
}

#endif
