/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plans of regions far larger than what a backend looks at in one go: stretches without data are
 * kept whole, and a walk that is stopped accounts for the rest.
 */
#include "test.h"

#include "base/mem.h"
#include "core/plan.h"
#include "memsift.h"

#include <stdatomic.h>
#include <time.h>

enum { RANGES = 300, PAGE = 4096 };

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define STRETCH (16 * GIB) /* the backend looks at so much at once */

struct range {
	uint64_t base, size;
};

static struct range ranges[RANGES]; /* of data; the rest of the region holds none */
static uint64_t region_end;

static int resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	uint64_t at = base, end = base + min_u64(size, STRETCH);
	size_t count = 0, i = 0;

	(void)src;
	check(size && base + size <= region->base + region->size);
	while (at < end && count < room) {
		bool data;
		uint64_t next;

		while (i < RANGES && ranges[i].base + ranges[i].size <= at)
			i++;
		data = i < RANGES && ranges[i].base <= at;
		next = data ? ranges[i].base + ranges[i].size : i < RANGES ? ranges[i].base : end;
		next = min_u64(next, end);
		runs[count++] = (struct run){at, next - at, data ? MS_STATE_DATA : MS_STATE_ABSENT};
		at = next;
	}
	*ret_count = count;
	return 0;
}

/* Data and none in turn, the latter so long that it fits between two windows, or into none. */
static uint64_t ranges_make(uint64_t *random)
{
	static const uint64_t gaps[] = {PAGE, MIB - PAGE, MIB, MIB + PAGE, 16 * GIB - 2 * MIB,
		16 * GIB - PAGE, 16 * GIB, 16 * GIB + PAGE, 16 * GIB + MIB, 40 * GIB};
	static const uint64_t sizes[] = {PAGE, PAGE, 64 * PAGE, MIB, 3 * GIB, 17 * GIB};
	uint64_t at = PAGE;

	for (size_t i = 0; i < RANGES; i++) {
		at += gaps[test_random(random) % ARRAY_SIZE(gaps)];
		ranges[i] = (struct range){at, sizes[test_random(random) % ARRAY_SIZE(sizes)]};
		at += ranges[i].size;
	}
	region_end = at + gaps[test_random(random) % ARRAY_SIZE(gaps)];
	return region_end - PAGE;
}

/* ---- A bench: one region, one plan ------------------------------------------------------- */

static struct ms_segment segment;
static struct ms_source_ops ops;
static struct coverage coverage;
static struct plan plan;
static ms_host *host;
static ms_source *src;
static size_t asked, asks_max;

static bool stopped(void *ctx)
{
	return ctx && ++asked > asks_max;
}

static void bench_new(uint64_t *random, size_t stop_after)
{
	const struct ms_region *list;
	size_t count;

	segment = (struct ms_segment){
		.base = PAGE, .size = ranges_make(random), .perm = 3, .state = MS_STATE_ABSENT};
	check_ok(ms_host_open_memory(&segment, 1, &host));
	check_ok(ms_source_open(host, 0, &src));
	check_ok(ms_source_regions(src, &list, &count));
	ops = *src->ops;
	ops.resident = resident;
	src->ops = &ops;
	coverage = (struct coverage){.keep_absent = true};
	plan_init(&plan, src, &filter_default, &coverage, UINT64_MAX);
	plan.stopped = stopped;
	plan.ctx = stop_after ? &asks_max : NULL;
	asks_max = stop_after;
	asked = 0;
}

static void bench_free(void)
{
	free(plan.frozen.data);
	plan.frozen.data = NULL;
	coverage_done(&coverage);
	ms_source_free(src);
	ms_host_free(host);
}

/* The stretches of data one after the other; two side by side are one. */
static bool next_stretch(size_t *at, struct planned *ret)
{
	if (*at == plan.frozen.count)
		return false;
	*ret = plan.frozen.data[(*at)++];
	while (*at < plan.frozen.count && plan.frozen.data[*at].base == ret->base + ret->size) {
		check_u64(plan.frozen.data[*at].position, ret->position + ret->size);
		ret->size += plan.frozen.data[(*at)++].size;
	}
	return true;
}

static uint64_t planned_bytes(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < plan.frozen.count; i++)
		sum += plan.frozen.data[i].size;
	return sum;
}

/* Checks one stretch without data and returns the position behind it. */
static uint64_t check_absent(size_t index, uint64_t base, uint64_t end, uint64_t position)
{
	const struct absent *absent = &coverage.absents.data[index];
	bool has_room = end - base <= PLAN_ABSENT_ROOM;

	check(index < coverage.absents.count);
	check_u64(absent->base, base);
	check_u64(absent->size, end - base);
	check_u64(absent->position, has_room ? position : UINT64_MAX);
	return has_room ? position + (end - base) : position;
}

/* ---- Tests ------------------------------------------------------------------------------ */

static void stretches_are_kept_whole(void)
{
	uint64_t random = 7;

	for (size_t round = 0; round < 50; round++) {
		uint64_t at = PAGE, position = 0, end;
		struct planned stretch;
		size_t next = 0;

		bench_new(&random, 0);
		check_ok(plan_freeze(&plan, &end));
		for (size_t i = 0; i < RANGES; i++) {
			position = check_absent(i, at, ranges[i].base, position);
			check(next_stretch(&next, &stretch));
			check_u64(stretch.base, ranges[i].base);
			check_u64(stretch.size, ranges[i].size);
			check_u64(stretch.position, position);
			position += stretch.size;
			at = stretch.base + stretch.size;
		}
		check_u64(end, position);
		check_absent(RANGES, at, region_end, position);
		check(!next_stretch(&next, &stretch));
		check_u64(coverage.absents.count, RANGES + 1);
		check_u64(coverage.sums.absent + planned_bytes(), segment.size);
		bench_free();
	}
}

static void what_a_stop_leaves_is_accounted_for(void)
{
	uint64_t random = 8;

	for (size_t stop_after = 1; stop_after < 20; stop_after++) {
		uint64_t end, walked, late;
		struct chunk chunk;

		bench_new(&random, stop_after);
		check_ok(plan_freeze(&plan, &end));
		check_u64(asked, stop_after + 1);
		walked = coverage.sums.absent + planned_bytes();
		late = coverage.sums.skipped;
		check(walked > 0 && late > 0 && coverage.sums.partial);
		check_u64(walked + late, segment.size);
		/* What it came to is there to be read, or to be left. */
		if (plan.frozen.count) {
			check_u64(plan_next(&plan, PAGE, 0, 0, &chunk), 1);
			check_u64(chunk.base, ranges[0].base);
			late += planned_bytes() - chunk.fresh;
		}
		plan_abandon(&plan, MS_STATE_DEADLINE);
		check_u64(coverage.sums.skipped, late);
		bench_free();
	}
}

static void a_plan_that_was_stopped_goes_on(void)
{
	uint64_t random = 9, planned = 0;
	struct chunk chunk;
	size_t stops = 0;
	int r;

	bench_new(&random, 1);
	while ((r = plan_next(&plan, (size_t)(8 * GIB), 0, 0, &chunk)) != 0) {
		planned += r == 1 ? chunk.fresh : 0;
		stops += r == MS_ERR_STOPPED;
		check(r == 1 || r == MS_ERR_STOPPED);
		asked = 0;
	}
	check(stops > 10);
	check_u64(coverage.sums.absent + planned, segment.size);
	check_u64(coverage.sums.skipped, 0);
	bench_free();
}

/* ---- In a scan -------------------------------------------------------------------------- */

enum { ASKS = 3 };

static atomic_uint walked;
static atomic_bool cancel;
static uint64_t linger_ns, told_absent, told_skipped;

/* With the third time there is no more time. */
static int resident_nowhere(struct ms_source *source, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	(void)source, (void)region, (void)room;
	runs[0] = (struct run){base, min_u64(size, STRETCH), MS_STATE_ABSENT};
	*ret_count = 1;
	if (++walked < ASKS)
		return 0;
	cancel = true;
	nanosleep(&(struct timespec){.tv_nsec = (long)linger_ns}, NULL);
	return 0;
}

static bool is_cancelled(void *ctx)
{
	(void)ctx;
	return cancel;
}

static int record_take(void *ctx, const struct ms_record *record)
{
	(void)ctx;
	check(record->schema == &ms_schema_coverage);
	told_absent = record->values[4].v.u;
	told_skipped = record->values[7].v.u;
	return 0;
}

static void scan_nowhere(unsigned threads, uint64_t timeout_ns)
{
	static const struct ms_arg needle = {"text", "needle"};
	struct ms_scan scan = {.size = sizeof(scan),
		.job = {.size = sizeof(scan.job),
			.threads = threads,
			.timeout_ns = timeout_ns,
			.cancelled = timeout_ns ? NULL : is_cancelled},
		.sink = {record_take, NULL}};
	struct ms_total total;
	ms_engine *engine;

	check_ok(ms_engine_new("bytes", &needle, 1, &engine));
	scan.engine = engine;
	walked = 0;
	cancel = false;
	linger_ns = 2 * timeout_ns;
	told_absent = told_skipped = 0;
	check_ok(ms_scan_source(src, &scan, &total));
	check(walked <= ASKS && total.partial && total.stopped == !timeout_ns);
	check(told_skipped > 0);
	check_u64(told_absent + told_skipped, segment.size);
	ms_engine_free(engine);
}

static void nothing_is_walked_for_long(void)
{
	uint64_t random = 10;

	bench_new(&random, 0);
	ops.resident = resident_nowhere;
	for (unsigned threads = 1; threads <= 4; threads++) {
		scan_nowhere(threads, 0);
		scan_nowhere(threads, 50000000);
	}
	bench_free();
}

static const struct test tests[] = {
	{"stretches are kept whole", stretches_are_kept_whole},
	{"what a stop leaves is accounted for", what_a_stop_leaves_is_accounted_for},
	{"a plan that was stopped goes on", a_plan_that_was_stopped_goes_on},
	{"nothing is walked for long", nothing_is_walked_for_long},
};

TEST_MAIN(tests)
