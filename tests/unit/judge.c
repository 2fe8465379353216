/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Engines that judge a target as a whole: what they are handed, in which order their hits come
 * out, and that the account adds up however the job ends. And the sets of ranges behind it.
 */
#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/engine.h"
#include "core/ranges.h"
#include "core/scan.h"
#include "memsift.h"

#include <stdatomic.h>
#include <time.h>

enum { TARGETS = 12, SEGMENTS = 3, SIZE = 3 * SCAN_CHUNK + 777, REACH = 10 };
enum { BASE = 0x10000, FIRST_BASE = 0x8000 }; /* of the first target: so it can be told */

/* ---- Sets of ranges -------------------------------------------------------------------- */

static void ranges_put(struct ranges *ranges, const uint64_t (*list)[2], size_t count)
{
	for (size_t i = 0; i < count; i++)
		check(ranges_add(ranges, list[i][0], list[i][1] - list[i][0]));
}

static void ranges_are(const struct ranges *ranges, const uint64_t (*list)[2], size_t count)
{
	check_u64(ranges->items.count, count);
	for (size_t i = 0; i < count; i++) {
		check_u64(ranges->items.data[i].base, list[i][0]);
		check_u64(ranges->items.data[i].base + ranges->items.data[i].size, list[i][1]);
	}
}

static void test_ranges_are_sorted_and_joined(void)
{
	static const uint64_t in[][2] = {
		{50, 60}, {10, 20}, {20, 25}, {55, 70}, {12, 14}, {90, 91}};
	static const uint64_t out[][2] = {{10, 25}, {50, 70}, {90, 91}};
	static const uint64_t near[][2] = {{10, 25}, {50, 91}};
	struct ranges ranges = {0};

	ranges_put(&ranges, in, ARRAY_SIZE(in));
	ranges_join(&ranges, 0);
	ranges_are(&ranges, out, ARRAY_SIZE(out));
	ranges_join(&ranges, 19);
	ranges_are(&ranges, out, ARRAY_SIZE(out));
	ranges_join(&ranges, 20);
	ranges_are(&ranges, near, ARRAY_SIZE(near));
	ranges_done(&ranges);
}

static void test_ranges_in_common(void)
{
	static const uint64_t a[][2] = {{0, 10}, {20, 40}, {50, 60}, {70, 80}};
	static const uint64_t b[][2] = {{5, 25}, {30, 35}, {38, 55}, {60, 70}};
	static const uint64_t both[][2] = {{5, 10}, {20, 25}, {30, 35}, {38, 40}, {50, 55}};
	struct ranges left = {0}, right = {0}, out = {0};

	ranges_put(&left, a, ARRAY_SIZE(a));
	ranges_put(&right, b, ARRAY_SIZE(b));
	check(ranges_common(&left, &right, &out));
	ranges_are(&out, both, ARRAY_SIZE(both));
	ranges_done(&left);
	ranges_done(&right);
	ranges_done(&out);
}

static void test_too_many_ranges_become_coarser(void)
{
	struct ranges ranges = {0};
	uint64_t first, end;

	for (uint64_t i = 0; i < 5000; i++)
		check(ranges_add(&ranges, (i * 7919) % 5000 * 1000, 1 + i % 3));
	ranges_coarsen(&ranges, 100);
	check(ranges.items.count > 0 && ranges.items.count <= 100);
	first = ranges.items.data[0].base;
	end = ranges.items.data[ranges.items.count - 1].base +
	      ranges.items.data[ranges.items.count - 1].size;
	check_u64(first, 0);
	check(end > 4999 * 1000);
	ranges_done(&ranges);
}

/* ---- An engine that judges ------------------------------------------------------------- */

struct bench {
	struct ms_segment segments[TARGETS][SEGMENTS];
	ms_host *hosts[TARGETS];
	ms_engine *engine;
	struct ms_job job;
	int verdict;	 /* what judging returns */
	bool misses;	 /* says of each mark that it could not be judged */
	bool waits;	 /* judges until it is told to stop */
	bool first_goes; /* but for the first target, as soon as there is another */
	atomic_int why;	 /* it was told to */
	bool all_marked; /* marks reach far beyond the data */
	bool floods;	 /* hits throughout each mark, and chunks that take unequally long */
	atomic_uint spans, judged, at_once, most_at_once;
	size_t hits, next, last_target, troubled;
	uint64_t last_address;
	uint64_t read, total, gaps[MS_STATE_COUNT];
	bool hit_limit, stopped;
	char trouble[64];
};

static struct bench *bench;
static uint8_t *bytes;

static int judge_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	unsigned number = bench->spans++;

	(void)engine, (void)scratch;
	if (bench->floods)
		nanosleep(&(struct timespec){.tv_nsec = number * 7919 % 16 * 50000}, NULL);
	for (size_t i = 0; i < span->fresh; i++) {
		uint64_t address = span->address + i, reach = bench->all_marked ? 1 << 30 : REACH;
		uint64_t base = address > reach ? address - reach : 0;

		if (span->data[i] == 'X')
			check(emit->mark(emit, base, address + reach - base) == 0);
	}
	return 0;
}

static int piece_check(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	const struct ms_range *mark = ctx;

	check_u64(base, mark->base);
	check_u64(size, mark->size);
	check_u64(state, MS_STATE_DATA);
	return 0;
}

static int judge_source(
	const struct ms_engine *engine, void *scratch, struct ms_view *view, struct ms_emit *emit)
{
	static const struct ms_rule rule = {.name = "rule", .space = "space"};
	unsigned now = ++bench->at_once;
	bool waits = bench->waits;
	int r = 0;

	(void)engine, (void)scratch;
	bench->judged++;
	if (bench->first_goes && view->data[0].base == FIRST_BASE) {
		waits = false;
		while (bench->judged < 2 && !view->stopped(view))
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	if (now > bench->most_at_once)
		bench->most_at_once = now;
	while (waits) {
		int why = (int)view->stopped(view);

		bench->why = why;
		if (why)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	for (size_t i = 0; i < view->mark_count && r == 0; i++) {
		struct ms_range mark = view->marks[i];
		uint8_t *copy = malloc(mark.size);
		struct ms_hit hit = {.address = mark.base,
			.size = 3,
			.rule = &rule,
			.string = "$a",
			.xor_key = -1,
			.bytes = copy,
			.bytes_size = 3};

		check(copy);
		check(view->read(view, mark.base, copy, mark.size, piece_check, &mark) == 0);
		if (bench->misses)
			view->missed(view, mark.base, mark.size, MS_STATE_VANISHED);
		for (size_t at = 0; r == 0 && (!at || (bench->floods && at < mark.size));
			at += 64) {
			hit.address = mark.base + at;
			r = emit->hit(emit, &hit);
		}
		free(copy);
	}
	bench->at_once--;
	return r < 0 ? r : bench->verdict ? err_set(bench->verdict, "no verdict") : 0;
}

static const struct ms_engine_ops judge_ops = {.name = "judge",
	.span = judge_span,
	.source = judge_source};

static void bench_new(void)
{
	static struct bench fresh;

	if (!bytes) {
		bytes = calloc(1, SIZE);
		check(bytes);
		bytes[0] = bytes[SCAN_CHUNK - 1] = bytes[SCAN_CHUNK + 5] = 'X';
		bytes[2 * SCAN_CHUNK + 100] = bytes[SIZE - 1] = 'X';
	}
	fresh = (struct bench){.job = {.size = sizeof(fresh.job)}};
	bench = &fresh;
	for (size_t i = 0; i < TARGETS; i++) {
		uint64_t base = i ? BASE : FIRST_BASE;

		bench->segments[i][0] = (struct ms_segment){
			.base = base, .size = SCAN_CHUNK, .data = bytes, .perm = 1};
		bench->segments[i][1] = (struct ms_segment){.base = base + SCAN_CHUNK,
			.size = SCAN_CHUNK,
			.data = bytes + SCAN_CHUNK,
			.perm = 1};
		/* Behind a hole. */
		bench->segments[i][2] = (struct ms_segment){.base = base + 2 * SCAN_CHUNK + 4096,
			.size = SIZE - 2 * SCAN_CHUNK,
			.data = bytes + 2 * SCAN_CHUNK,
			.perm = 1};
		check_ok(ms_host_open_memory(bench->segments[i], SEGMENTS, &bench->hosts[i]));
	}
	check_ok(engine_new(&judge_ops, &bench->engine));
}

static void bench_free(void)
{
	for (size_t i = 0; i < TARGETS; i++)
		ms_host_free(bench->hosts[i]);
	ms_engine_free(bench->engine);
}

static int target_open(void *ctx, size_t index, struct ms_source **ret_source)
{
	(void)ctx;
	return ms_source_open(bench->hosts[index], 0, ret_source);
}

static int hit_out(void *ctx, size_t index, struct ms_source *src, const struct ms_hit *hit)
{
	(void)ctx, (void)src;
	check_u64(index, bench->next);
	check(index != bench->last_target || !bench->hits || hit->address > bench->last_address);
	check_text(hit->string, "$a");
	bench->last_target = index;
	bench->last_address = hit->address;
	bench->hits++;
	return 0;
}

static int trouble_out(void *ctx, size_t index, struct ms_source *src, const char *error)
{
	(void)ctx, (void)src;
	check_u64(index, bench->next);
	bench->troubled++;
	snprintf(bench->trouble, sizeof(bench->trouble), "%s", error);
	return 0;
}

static int done_out(void *ctx, size_t index, struct ms_source *src, struct coverage *coverage,
	int status, const char *error)
{
	(void)ctx, (void)error;
	if (coverage && status == 0) {
		const struct ms_coverage *sums = &coverage->sums;

		check_u64(index, bench->next);
		check_u64(sums->total, sums->filtered + sums->absent + sums->read +
					       sums->unreadable + sums->skipped);
		bench->total += sums->total;
		bench->read += sums->read;
		for (size_t i = 0; i < sums->gap_count; i++)
			bench->gaps[sums->gaps[i].state] += sums->gaps[i].size;
	}
	bench->next++;
	ms_source_free(src);
	return 0;
}

static void bench_run(unsigned threads)
{
	struct scan scan = {
		.engine = bench->engine,
		.filter = &filter_default,
		.job = &bench->job,
		.target_count = TARGETS,
		.open = target_open,
		.hit = hit_out,
		.troubled = trouble_out,
		.done = done_out,
	};

	bench->job.threads = threads;
	check_ok(scan_run(&scan, &bench->hit_limit, &bench->stopped));
	check_u64(bench->next, TARGETS);
}

/* The two marks around the border of the first chunks are one. */
enum { MARKS = 4 };

static void test_each_target_is_judged_once_and_in_order(void)
{
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		bench_new();
		bench_run(threads);
		check_u64(bench->judged, TARGETS);
		check_u64(bench->hits, TARGETS * MARKS);
		check_u64(bench->read, TARGETS * (uint64_t)SIZE);
		check(threads > 1 || bench->most_at_once == 1);
		bench_free();
	}
}

/* Workers that hold more hits than they may keep wait for their turn: someone must bring it. */
static void test_targets_with_many_hits_do_not_wait_for_each_other(void)
{
	uint64_t each = (2 * SCAN_CHUNK + 63) / 64 + (SIZE - 2 * SCAN_CHUNK + 63) / 64;

	for (unsigned round = 0; round < 10; round++) {
		bench_new();
		bench->all_marked = bench->floods = true;
		bench->spans = round;
		bench->job.timeout_ns = 30 * UINT64_C(1000000000);
		bench_run(2 + round % 5);
		check_u64(bench->judged, TARGETS);
		check_u64(bench->hits, TARGETS * each);
		bench_free();
	}
}

static void test_marks_stay_within_the_data(void)
{
	bench_new();
	bench->all_marked = true;
	bench_run(3);
	/* One for each stretch; reading it gives all of it, as piece_check() sees. */
	check_u64(bench->hits, TARGETS * 2);
	bench_free();
}

static void test_what_was_missed_was_not_read(void)
{
	bench_new();
	bench->misses = true;
	bench_run(2);
	check(bench->gaps[MS_STATE_VANISHED] > 0);
	check_u64(bench->read + bench->gaps[MS_STATE_VANISHED], TARGETS * (uint64_t)SIZE);
	bench_free();
}

static void test_an_error_is_the_targets_own(void)
{
	bench_new();
	bench->verdict = MS_ERR_UNSUPPORTED;
	bench_run(3);
	check_u64(bench->troubled, TARGETS);
	check_text(bench->trouble, "no verdict");
	check_u64(bench->hits, TARGETS * MARKS);
	bench_free();
}

static void test_hits_have_a_limit(void)
{
	bench_new();
	bench->job.hits_max = 7;
	bench_run(3);
	check(bench->hit_limit);
	check_u64(bench->hits, 7);
	check(bench->read <= bench->judged * (uint64_t)SIZE);
	bench_free();
}

/* Whoever is judging another target meanwhile hears the true reason. */
static void test_a_limit_on_hits_is_told_as_a_limit(void)
{
	bench_new();
	bench->waits = bench->first_goes = true;
	bench->job.hits_max = 1;
	bench->job.timeout_ns = 30 * UINT64_C(1000000000);
	bench_run(2);
	check(bench->hit_limit);
	check_u64(bench->judged, 2);
	check_u64((unsigned)bench->why, MS_STATE_LIMIT);
	bench_free();
}

/* Of a target that was not judged, nothing counts as looked at. */
static void test_a_deadline_leaves_no_judgement_open(void)
{
	bench_new();
	bench->waits = true;
	bench->job.timeout_ns = 1000 * 1000 * 1000;
	bench_run(2);
	check(bench->judged <= 2 && bench->judged > 0);
	check(bench->read <= bench->judged * (uint64_t)SIZE);
	check_u64(bench->read + bench->gaps[MS_STATE_DEADLINE], bench->total);
	check_u64((unsigned)bench->why, MS_STATE_DEADLINE);
	bench_free();
}

static bool cancel_now(void *ctx)
{
	(void)ctx;
	return bench->judged > 0;
}

static void test_it_can_be_cancelled(void)
{
	bench_new();
	bench->waits = true;
	bench->job.cancelled = cancel_now;
	bench_run(2);
	check(bench->stopped);
	bench_free();
}

static bool cancel_after_two(void *ctx)
{
	(void)ctx;
	return bench->spans >= 2;
}

/* Chunks that were read of a target that nobody came to judge are no part of what was read. */
static void test_what_was_read_but_not_judged_is_a_gap(void)
{
	bench_new();
	bench->job.cancelled = cancel_after_two;
	bench_run(1);
	check_u64(bench->spans, 2);
	check_u64(bench->judged, 0);
	check_u64(bench->read, 0);
	check_u64(bench->gaps[MS_STATE_DEADLINE], SIZE);
	bench_free();
}

/* What was planned before a limit on bytes is still judged. */
static void test_a_limit_on_bytes_is_judged_up_to_there(void)
{
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		bench_new();
		bench->job.bytes_max = SIZE + SCAN_CHUNK;
		bench_run(threads);
		check_u64(bench->read, SIZE + SCAN_CHUNK);
		check(bench->hits >= MARKS);
		check(bench->gaps[MS_STATE_LIMIT] > 0);
		bench_free();
	}
	bench_new();
	bench->job.process_bytes_max = SCAN_CHUNK;
	bench_run(2);
	check_u64(bench->judged, TARGETS);
	check_u64(bench->read, TARGETS * (uint64_t)SCAN_CHUNK);
	bench_free();
}

static const struct test tests[] = {
	{"ranges_are_sorted_and_joined", test_ranges_are_sorted_and_joined},
	{"ranges_in_common", test_ranges_in_common},
	{"too_many_ranges_become_coarser", test_too_many_ranges_become_coarser},
	{"each_target_is_judged_once_and_in_order", test_each_target_is_judged_once_and_in_order},
	{"targets_with_many_hits_do_not_wait_for_each_other",
		test_targets_with_many_hits_do_not_wait_for_each_other},
	{"marks_stay_within_the_data", test_marks_stay_within_the_data},
	{"what_was_missed_was_not_read", test_what_was_missed_was_not_read},
	{"an_error_is_the_targets_own", test_an_error_is_the_targets_own},
	{"hits_have_a_limit", test_hits_have_a_limit},
	{"a_limit_on_hits_is_told_as_a_limit", test_a_limit_on_hits_is_told_as_a_limit},
	{"a_deadline_leaves_no_judgement_open", test_a_deadline_leaves_no_judgement_open},
	{"it_can_be_cancelled", test_it_can_be_cancelled},
	{"what_was_read_but_not_judged_is_a_gap", test_what_was_read_but_not_judged_is_a_gap},
	{"a_limit_on_bytes_is_judged_up_to_there", test_a_limit_on_bytes_is_judged_up_to_there},
};

TEST_MAIN(tests)
