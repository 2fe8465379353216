/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The detector on a live process that does as it is told: by dirty tracking, by soft-dirty bits and
 * by comparing it must tell the very same changes, and all of them. Each test is run with the
 * methods that this kernel has; "has ..." says which.
 */
#include "linux_puppets.h"

#include "backend/linux.h"
#include "memsift_track.h"
#include "track/change_stats.h"
#include "track/mirror.h"

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
static void run_laps(void)
{
	for (uint64_t n = 1; !atomic_load(&order->stop); n++) {
		uint64_t *page = (uint64_t *)(arena + n * 7 % LAP_PAGES * PAGE);

		page[n % 64] = n;
		for (volatile int i = 0; i < 20000; i++)
			;
	}
}

static void obey(void)
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

static void run_obedient(void)
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

static void command(enum command what, uint64_t offset, uint64_t size, unsigned char value)
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

static int take(void *ctx, const struct ms_record *record)
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

static void detect(bool update)
{
	struct ms_sink sink = {take, NULL};

	told_count = 0;
	check_ok(ms_detector_detect(detector, update, &sink, &round_info));
}

static pid_t set_up(enum ms_method method, size_t bytes_max, bool statistics)
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

static uint64_t at(uint64_t offset)
{
	return (uintptr_t)arena + offset;
}

static const enum ms_method methods[] = {MS_METHOD_DIRTY, MS_METHOD_SOFT_DIRTY, MS_METHOD_COMPARE};

/* Whether the kernel has a method; ms_error() says why not. */
static bool can(enum ms_method method)
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

static void check_told(size_t i, const char *change, uint64_t offset, uint64_t size)
{
	check_that(i < told_count, "only %zu changes", told_count);
	check_text(told[i].change, change);
	check_u64(told[i].address, at(offset));
	check_u64(told[i].size, size);
}

/* ---- Tests ------------------------------------------------------------------------------ */

static void test_has_dirty(void)
{
	if (!can(MS_METHOD_DIRTY))
		skip("%s", ms_error());
}

static void test_has_softdirty(void)
{
	if (!can(MS_METHOD_SOFT_DIRTY))
		skip("%s", ms_error());
}

static void test_writes(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		detect(true);
		check_u64(told_count, 0);
		command(DO_WRITE, 100, 3, 'b');
		command(DO_WRITE, 9 * PAGE + 8, 4, 'c');
		detect(true);
		check_u64(told_count, 2);
		check_told(0, "write", 100, 3);
		check(memcmp(told[0].old, "aaa", 3) == 0 && memcmp(told[0].now, "bbb", 3) == 0);
		check_told(1, "write", 9 * PAGE + 8, 4);
		check(memcmp(told[1].old, "\0\0\0\0", 4) == 0 &&
			memcmp(told[1].now, "cccc", 4) == 0);
		detect(true);
		check_u64(told_count, 0);
		/* The same bytes again are no change. */
		command(DO_WRITE, 100, 3, 'b');
		detect(true);
		check_u64(told_count, 0);
		/* What is ignored is. */
		command(DO_WRITE, 499 * PAGE, 2 * PAGE, 'd');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 499 * PAGE, PAGE);
	}
}

/* Without an update the picture stays as it was. */
static void test_detect_without_update(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		check_ok(ms_detector_initialize(detector));
		command(DO_WRITE, 5 * PAGE, 1, 'x');
		detect(false);
		check_told(0, "write", 5 * PAGE, 1);
		command(DO_WRITE, 7 * PAGE, 1, 'y');
		detect(false);
		check_u64(told_count, 2);
		check_told(0, "write", 5 * PAGE, 1);
		command(DO_WRITE, 5 * PAGE, 1, 0);
		detect(false);
		check_u64(told_count, 1);
		check_told(0, "write", 7 * PAGE, 1);
		check_ok(ms_detector_update(detector));
		detect(false);
		check_u64(told_count, 0);
	}
}

static void test_map(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, 4 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		command(DO_UNMAP, 2 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "unmap", 2 * PAGE, PAGE);
		command(DO_MAP, 2 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "map", 2 * PAGE, PAGE);
		detect(true);
		check_u64(told_count, 0);
		/* What is mapped anew is watched. */
		command(DO_WRITE, 2 * PAGE + 5, 2, 'n');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 2 * PAGE + 5, 2);
		command(DO_PROTECT, 3 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "protect", 3 * PAGE, PAGE);
		/* What is mapped over it shows no trace in the map, but its bytes are others. */
		command(DO_MAP, 0, PAGE, 0);
		told_count = 0;
		for (int i = 0; i < 17 && told_count != 1; i++)
			detect(true);
		check_told(0, "write", 0, PAGE);
		command(DO_WRITE, 9, 1, 'z');
		detect(true);
		check_told(0, "write", 9, 1);
	}
}

static void test_given_back(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 10 * PAGE, 2 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		command(DO_GIVE_BACK, 10 * PAGE, PAGE, 0);
		told_count = 0;
		for (int i = 0; i < 17 && told_count == 0; i++)
			detect(true);
		check_told(0, "write", 10 * PAGE, PAGE);
		check(told[0].old[0] == 'a' && told[0].now[0] == 0);
		command(DO_WRITE, 10 * PAGE, 1, 'q');
		detect(true);
		check_told(0, "write", 10 * PAGE, 1);
	}
}

/* What was given back and then read is there, but nobody wrote it. */
static void test_given_back_and_read(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 10 * PAGE, 2 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		detect(true);
		command(DO_GIVE_BACK_AND_READ, 10 * PAGE, PAGE, 0);
		check_u64(order->value, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 10 * PAGE, PAGE);
	}
}

static unsigned char model[ARENA_PAGES * PAGE];

/* Applies what is told to the model, which must be as it was before. */
static int follow(void *ctx, const struct ms_record *record)
{
	const struct ms_value *values = record->values;
	uint64_t offset = values[4].v.u - at(0);
	int *bad = ctx;

	if (offset + values[6].size > sizeof(model) || values[6].size != values[5].v.u)
		return 1;
	*bad += memcmp(model + offset, values[6].v.data, values[6].size) != 0;
	memcpy(model + offset, values[7].v.data, values[7].size);
	return 0;
}

static const struct ms_source_ops *real_ops;

/* Somebody else meddles all the time, so it is renewed all the time. */
static int dirty_disturbed(struct ms_source *source, struct dirty_request *request)
{
	static unsigned calls;
	int r = real_ops->dirty(source, request);

	if (request->what == DIRTY_MAP)
		request->ret_disturbed = calls++ % 3 == 0;
	return r;
}

/*
 * A target that never stops to write, now and then renewed: whatever was written last to a page,
 * at any moment of a round, is in the model in the end.
 */
static void test_loses_nothing(void)
{
	enum { ROUNDS = 150, LAPS = 4 };

	FOR_METHODS(method)
	for (int lap = 0; lap < LAPS; lap++) {
		struct ms_source_ops ops;
		int bad = 0;
		struct ms_sink sink = {follow, &bad};

		set_up(method, 0, false);
		memset(model, 0, sizeof(model));
		real_ops = src->ops;
		ops = *real_ops;
		if (method == MS_METHOD_SOFT_DIRTY)
			ops.dirty = dirty_disturbed;
		src->ops = &ops;
		check_ok(ms_detector_initialize(detector));
		atomic_store(&order->stop, 0);
		atomic_store(&order->command, DO_LAPS);
		for (int i = 0; i < ROUNDS; i++)
			check_ok(ms_detector_detect(detector, true, &sink, &round_info));
		atomic_store(&order->stop, 1);
		wait_until(atomic_load(&order->command) == DO_NOTHING);
		src->ops = real_ops;
		check_ok(ms_detector_detect(detector, true, &sink, &round_info));
		check_u64(bad, 0);
		for (size_t i = 0; i < LAP_PAGES; i++) {
			unsigned char now[PAGE] = {0};

			ms_source_read(src, at(i * PAGE), now, PAGE, &(size_t){0}, NULL);
			check_that(memcmp(model + i * PAGE, now, PAGE) == 0, "page %zu, method %d",
				i, method);
		}
	}
}

/* Another program clears the bits: what was written before is found all the same. */
static void test_meddler(void)
{
	char path[64];
	FILE *clear;

	if (!can(MS_METHOD_SOFT_DIRTY))
		skip("%s", ms_error());
	pid_t pid = set_up(MS_METHOD_SOFT_DIRTY, 0, false);
	check_ok(ms_detector_initialize(detector));
	command(DO_WRITE, 5, 1, 'a');
	detect(true);
	check_u64(told_count, 1);
	for (int i = 0; i < 3; i++) {
		command(DO_WRITE, 20 * PAGE + 5, 1, (unsigned char)('b' + i));
		snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
		clear = fopen(path, "w");
		check(clear && fputs("4", clear) > 0 && fclose(clear) == 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 20 * PAGE + 5, 1);
		/* The next one is noticed by a page that is told from now on. */
		command(DO_WRITE, 7, 1, (unsigned char)('b' + i));
		detect(true);
		check_u64(told_count, 1);
	}
}

/* What piled up is renewed once it is a lot: then a page that was written once is told no more. */
static void test_pile(void)
{
	if (!can(MS_METHOD_SOFT_DIRTY))
		skip("%s", ms_error());
	set_up(MS_METHOD_SOFT_DIRTY, 0, false);
	command(DO_WRITE, 0, 400 * PAGE, 'a');
	check_ok(ms_detector_initialize(detector));
	detect(true);
	check_u64(round_info.pages_written, 0);
	command(DO_WRITE, 0, 400 * PAGE, 'b');
	detect(true);
	check_u64(round_info.pages_changed, 400);
	detect(true);
	check_u64(round_info.pages_changed, 0);
	check(round_info.pages_written >= 400);
	for (int i = 0; i < 10 && round_info.pages_written; i++)
		detect(true);
	check_u64(round_info.pages_written, 0);
	command(DO_WRITE, 3 * PAGE, 1, 'c');
	detect(true);
	check_u64(told_count, 1);
	check_told(0, "write", 3 * PAGE, 1);
}

/* Whatever is written, by applying what is told the copy becomes what memory is. */
static void test_any_writes(void)
{
	uint64_t seed = 5;

	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		memset(model, 0, sizeof(model));
		check_ok(ms_detector_initialize(detector));
		for (int i = 0; i < 60; i++) {
			uint64_t offset = test_random(&seed) % (499 * PAGE);
			uint64_t size = 1 + test_random(&seed) % 16;
			unsigned char value = (unsigned char)test_random(&seed);
			bool update = test_random(&seed) % 4;

			command(DO_WRITE, offset, size, value);
			detect(update);
			for (size_t k = 0; k < told_count && update; k++) {
				check_text(told[k].change, "write");
				check(told[k].size <= 16);
				check(memcmp(model + (told[k].address - at(0)), told[k].old,
					      told[k].shown) == 0);
				memcpy(model + (told[k].address - at(0)), told[k].now,
					told[k].shown);
			}
			if (!update)
				continue;
			for (uint64_t b = 0; b < size; b++)
				check(model[offset + b] == value);
		}
	}
}

static void test_thousands_of_regions(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, 400 * PAGE, 'a');
		command(DO_MANY, 0, 400 * PAGE, 0);
		check_ok(ms_detector_initialize(detector));
		command(DO_WRITE, 333 * PAGE + 1, 1, 'r');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 333 * PAGE + 1, 1);
	}
}

/* A child that writes into its copy is not the target. */
static void test_forks(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, 8 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		command(DO_FORK, 0, 8 * PAGE, 0);
		detect(true);
		check_u64(told_count, 0);
		command(DO_WRITE, 3 * PAGE, 1, 'b');
		detect(true);
		check_u64(told_count, 1);
	}
}

static void test_ends(void)
{
	struct ms_sink sink = {take, NULL};

	FOR_METHODS(method)
	for (int exec = 0; exec < 2; exec++) {
		int r, left = PATIENCE;

		pid_t pid = set_up(method, 0, false);
		check_ok(ms_detector_initialize(detector));
		order->offset = order->size = 0;
		atomic_store(&order->command, exec ? DO_EXEC : DO_EXIT);
		do {
			r = ms_detector_detect(detector, true, &sink, &round_info);
			nap();
		} while (r == 0 && left--);
		check_that(r == MS_ERR_GONE, "%d: %s", r, ms_error());
		kill(pid, SIGKILL);
	}
}

/* What has no room is not watched, and said to be so. */
static void test_limit(void)
{
	struct ms_detector_info info;

	FOR_METHODS(method)
	{
		set_up(method, 256 * 1024, false);
		command(DO_WRITE, 0, 400 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		ms_detector_info(detector, &info);
		check(info.limited);
		check(info.bytes_kept <= 256 * 1024 + 128 * 1024);
		command(DO_WRITE, 0, 1, 'b');
		command(DO_WRITE, 399 * PAGE, 1, 'b');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 0, 1);
	}
}

/* A terabyte that is hardly touched; also as it is on a kernel without PAGEMAP_SCAN. */
static void check_sparse(bool old_kernel)
{
	struct ms_detector_options options = {.size = sizeof(options)};
	size_t size = (size_t)1 << 40;
	unsigned char *sparse = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sparse == MAP_FAILED)
		skip("this system gives no terabyte of addresses");
	FOR_METHODS(method)
	{
		if (old_kernel && method == MS_METHOD_DIRTY)
			continue;
		set_up(method, 0, false);
		ms_detector_free(detector);
		detector = NULL;
		options.method = method;
		linux_of(src)->pages.scan &= !old_kernel;
		linux_of(src)->smaps_always |= old_kernel;
		check_ok(ms_detector_new(src, &options, &detector));
		check_ok(ms_detector_initialize(detector));
		command(DO_WRITE, (uint64_t)(sparse - arena) + size / 2 + 77, 1, 's');
		detect(true);
		bool found = false;
		for (size_t i = 0; i < told_count; i++)
			found |= told[i].address == (uintptr_t)sparse + size / 2 + 77;
		check(found);
	}
	munmap(sparse, size);
}

static void test_sparse(void)
{
	check_sparse(false);
}

static void test_sparse_on_old_kernel(void)
{
	check_sparse(true);
}

static void test_statistics(void)
{
	const struct ms_change_stat *list;
	size_t count;

	FOR_METHODS(method)
	{
		set_up(method, 0, true);
		check_ok(ms_detector_initialize(detector));
		for (int i = 1; i <= 6; i++) {
			command(DO_WRITE, 64, 1, (unsigned char)i);
			command(DO_WRITE, PAGE + 20, 1, i % 2 ? 0xff : 0);
			detect(true);
		}
		check_ok(ms_detector_stats(detector, false, 10, &list, &count));
		check_u64(count, 2);
		check_u64(list[0].address, at(64));
		check_u64(list[0].count, 6);
		check_u64(list[0].value, 6);
		check_text(list[0].pattern, "counter");
		check_u64(list[1].address, at(PAGE + 20));
		check_text(list[1].pattern, "flag");
		check_ok(ms_detector_stats(detector, true, 10, &list, &count));
		check_u64(count, 2);
		check_u64(list[0].count, 6);
		check_u64(list[0].first_round, 1);
		check_u64(list[0].last_round, 6);
	}
}

static bool in_mapped(const void *ctx, uint64_t address)
{
	return address - *(const uint64_t *)ctx < 0x100000000;
}

static uint64_t bits(double value)
{
	uint64_t u;

	memcpy(&u, &value, sizeof(u));
	return u;
}

static void test_patterns(void)
{
	static const uint64_t first_mapped = 0x7f0000000000;
	const struct stats_map map = {in_mapped, &first_mapped};
	const struct {
		const char *pattern;
		size_t size;
		uint64_t values[6];
	} table[] = {
		{"flag", 4, {0, 1, 0, 1, 0, 1}},
		{"counter", 4, {1, 2, 3, 4, 5, 6}},
		{"counter", 8, {100, 164, 228, 292, 356, 420}},
		{"counter", 8, {1, 100000, 100001, 900000, 900001, 900009}},
		{"timer", 8, {1000000, 2000000, 3000001, 4000000, 5000000, 6000003}},
		{"decreasing", 4, {90, 80, 77, 60, 50, 49}},
		{"decreasing", 4, {5, 0xfffffffe, 0xfffffff0, 0xffffff00, 0xfffffe00, 0xfffffd00}},
		{"pointer", 8,
			{0x7f0000001000, 0x7f0000005000, 0, 0x7f0000001000, 0x7f0000002000,
				0x7f0000001000}},
		{"float", 8, {bits(1.5), bits(1.6), bits(1.4), bits(1.55), bits(1.7), bits(1.65)}},
		{"noise", 8, {7, 0x9999999999, 12, 3, 0xffff00000000, 1}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct stats_sample samples[6];
		const char *found;

		for (size_t k = 0; k < 6; k++)
			samples[k] = (struct stats_sample){table[i].values[k], k * 1000000};
		found = stats_pattern(samples, 6, table[i].size, &map);
		check_that(found && strcmp(found, table[i].pattern) == 0, "row %zu is %s, not %s",
			i, found ? found : "(none)", table[i].pattern);
		check(!stats_pattern(samples, 3, table[i].size, &map));
	}
}

static void test_auto(void)
{
	struct ms_detector_options options = {.size = sizeof(options)};
	struct ms_segment segment = {.base = 0x1000, .size = PAGE, .perm = 3};
	static unsigned char bytes[PAGE];
	struct ms_detector_info info;
	ms_detector *det;
	ms_source *memory;
	ms_host *other;

	segment.data = bytes;
	check_ok(ms_host_open_memory(&segment, 1, &other));
	check_ok(ms_source_open(other, 0, &memory));
	check_ok(ms_detector_new(memory, &options, &det));
	ms_detector_info(det, &info);
	check(info.method == MS_METHOD_COMPARE && info.why && strstr(info.why, "live"));
	check(ms_detector_detect(det, true, NULL, NULL) == MS_ERR_ARGUMENT);
	check_ok(ms_detector_initialize(det));
	bytes[77] = 1;
	check_ok(ms_detector_detect(det, true, &(struct ms_sink){take, NULL}, &round_info));
	check_u64(round_info.changes, 1);
	ms_detector_free(det);
	options.method = MS_METHOD_DIRTY;
	check(ms_detector_new(memory, &options, &det) == MS_ERR_UNSUPPORTED);
	options.method = MS_METHOD_SOFT_DIRTY;
	check(ms_detector_new(memory, &options, &det) == MS_ERR_UNSUPPORTED);
	ms_source_free(memory);
	ms_host_free(other);
}

/* As if the map had not changed yet when it was looked at. */
static int dirty_of_old_map(struct ms_source *source, struct dirty_request *request)
{
	static uint64_t map;
	int r = real_ops->dirty(source, request);

	if (request->what == DIRTY_MAP && !map)
		map = request->ret_map;
	request->ret_map = map;
	return r;
}

/* What the kernel tells of an area before it finds other memory in there is lost. */
static void test_map_changes_meanwhile(void)
{
	struct ms_source_ops ops;

	if (!can(MS_METHOD_DIRTY))
		skip("%s", ms_error());
	set_up(MS_METHOD_DIRTY, 0, false);
	command(DO_WRITE, 0, 8 * PAGE, 'a');
	real_ops = src->ops;
	ops = *real_ops;
	ops.dirty = dirty_of_old_map;
	src->ops = &ops;
	check_ok(ms_detector_initialize(detector));
	detect(true);
	check_u64(told_count, 0);
	for (int i = 0; i < 3; i++) {
		command(DO_WRITE, PAGE + 5, 2, (unsigned char)('b' + i));
		command(DO_WRITE, 7 * PAGE + 5, 2, (unsigned char)('b' + i));
		command(DO_MAP, 4 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, i ? 2 : 3);
		check_told(0, "write", PAGE + 5, 2);
		check_told(told_count - 1, "write", 7 * PAGE + 5, 2);
		detect(true);
		check_u64(told_count, 0);
	}
	src->ops = real_ops;
}

/* However far apart the pages of a mirror are, the next one is found, and in order. */
static void test_mirror_order(void)
{
	static const uint64_t pages[] = {
		0x7fffffffe000, 0x1000, 0x400000000000, 0x3000, 0x10000, 0x400000011000};
	static const uint64_t ordered[] = {
		0x1000, 0x3000, 0x10000, 0x400000000000, 0x400000011000, 0x7fffffffe000};
	struct mirror mirror = {.page = PAGE, .max = UINT64_MAX};
	uint64_t at = 0;

	check(!mirror_next(&mirror, 0, UINT64_MAX, &at));
	for (size_t i = 0; i < 6; i++) {
		check(mirror_put(&mirror, pages[i]));
		/* Marked only: not there. */
		check(mirror_mark(&mirror, pages[i] + 0x100000));
		check(mirror_next(&mirror, pages[i], UINT64_MAX, &at) && at == pages[i]);
	}
	at = 0;
	for (size_t i = 0; i < 6; i++, at += PAGE) {
		check(mirror_next(&mirror, at, UINT64_MAX, &at));
		check_u64(at, ordered[i]);
	}
	check(!mirror_next(&mirror, at, UINT64_MAX, &at));
	check(!mirror_next(&mirror, 0x4000, 0x10000, &at));
	mirror_drop(&mirror, 0x1000, 0x400000000000);
	check(mirror_next(&mirror, 0, UINT64_MAX, &at));
	check_u64(at, 0x400000000000);
	mirror_done(&mirror);
}

/* Pages that were put side by side are seen side by side, as far as they go. */
static void test_mirror_view(void)
{
	struct mirror mirror = {.page = PAGE, .max = UINT64_MAX};
	size_t there;

	check(!mirror_view(&mirror, 0x1000, &there));
	for (uint64_t at = 0x1000; at < 0x22000; at += PAGE)
		if (at != 0x5000)
			memset(mirror_put(&mirror, at), (int)(at >> 12), PAGE);
	check(!mirror_view(&mirror, 0x5000, &there));
	for (uint64_t at = 0x1000; at < 0x22000; at += there) {
		const uint8_t *view = mirror_view(&mirror, at, &there);

		check_u64(at + there, at < 0x6000    ? 0x5000
				      : at < 0x10000 ? 0x10000
				      : at < 0x20000 ? 0x20000
						     : 0x22000);
		for (size_t i = 0; i < there; i++)
			check_u64(view[i], (at + i) >> 12);
		there = view ? there : PAGE;
	}
	mirror_done(&mirror);
}

static const struct test tests[] = {
	{"has dirty tracking", test_has_dirty},
	{"has soft-dirty bits", test_has_softdirty},
	{"writes", test_writes},
	{"detect without update", test_detect_without_update},
	{"the memory map", test_map},
	{"the map changes meanwhile", test_map_changes_meanwhile},
	{"memory given back", test_given_back},
	{"memory given back and read", test_given_back_and_read},
	{"any writes", test_any_writes},
	{"nothing is lost", test_loses_nothing},
	{"a meddler", test_meddler},
	{"what piles up", test_pile},
	{"thousands of regions", test_thousands_of_regions},
	{"forks", test_forks},
	{"ends and execs", test_ends},
	{"a limit", test_limit},
	{"sparse", test_sparse},
	{"sparse, on an old kernel", test_sparse_on_old_kernel},
	{"statistics", test_statistics},
	{"patterns", test_patterns},
	{"auto", test_auto},
	{"the order of a mirror", test_mirror_order},
	{"a view of a mirror", test_mirror_view},
};

TEST_MAIN(tests)
