/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scan loop over many targets: order, limits, deadlines, stopping and faults. Targets are
 * memory hosts; what a live one might do in the middle of a scan is put in place of its read and
 * resident functions. That memory is bounded, however many hits there are, is tested by
 * scan_flood.c.
 */
#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/scan.h"
#include "memsift.h"

#include <stdatomic.h>
#include <time.h>

enum {
	TARGETS = 24,
	HITS_KEPT = 4096,
	CHUNKS = 3, /* of an ordinary target */
	TARGET_SIZE = (CHUNKS - 1) * SCAN_CHUNK + 10000,
	TARGET_HITS = 5,
	SLOW_NS = 2 * 1000 * 1000,
};

#define MIB (1024ull * 1024)

struct kept {
	size_t index;
	uint64_t address;
};

/* What came out for a target. */
struct outcome {
	bool done;
	int status;
	char error[64];
	struct ms_coverage sums;
	uint64_t gap_bytes[MS_STATE_COUNT];
	uint64_t in_gap; /* of the hits every target has, how many lie in a gap */
	bool adds_up, gaps_in_order;
};

struct bench {
	struct ms_segment segments[TARGETS][2];
	ms_host *hosts[TARGETS];
	size_t count;
	ms_engine *engine;
	struct ms_source_ops ops;
	size_t odd_index; /* the target that gets ops, or all of them */
	bool all_odd;
	unsigned fail_every; /* opening each so manyth target fails */
	bool slow;	     /* opening the first target takes its time */

	atomic_uint opened, freed;
	struct kept hits[HITS_KEPT];
	size_t hit_count;
	uint64_t stop_after; /* hits, after which the sink says stop */
	uint64_t cancel_after;
	atomic_bool cancel;
	bool after_stop; /* called once more nevertheless */
	uint64_t next;	 /* target whose end is to come next */
	bool out_of_order;
	struct outcome outcomes[TARGETS];

	struct ms_job job;
	bool hit_limit, stopped;
};

static uint8_t *shared_bytes; /* the memory of every target */
static const uint64_t hit_at[TARGET_HITS] = {
	0, 4096, SCAN_CHUNK - 3, 2 * SCAN_CHUNK - 1, TARGET_SIZE - 6};
static const struct ms_source_ops *memory_ops;
static struct bench *bench; /* for functions of a source, which know nothing else */

/* ---- A bench of targets ----------------------------------------------------------------- */

static void bench_new(size_t count)
{
	static const struct ms_arg needle = {"text", "needle"};

	if (!shared_bytes) {
		shared_bytes = calloc(1, TARGET_SIZE);
		check(shared_bytes);
		for (size_t i = 0; i < TARGET_HITS; i++)
			memcpy(shared_bytes + hit_at[i], "needle", 6);
	}
	bench = calloc(1, sizeof(*bench));
	check(bench && count <= TARGETS);
	bench->count = count;
	bench->job.size = sizeof(bench->job);
	for (size_t i = 0; i < count; i++) {
		/* Two regions side by side, so that borders of both kinds are met. */
		bench->segments[i][0] = (struct ms_segment){
			.base = MIB, .size = SCAN_CHUNK, .data = shared_bytes, .perm = 1};
		bench->segments[i][1] = (struct ms_segment){.base = MIB + SCAN_CHUNK,
			.size = TARGET_SIZE - SCAN_CHUNK,
			.data = shared_bytes + SCAN_CHUNK,
			.perm = 3};
		check_ok(ms_host_open_memory(bench->segments[i], 2, &bench->hosts[i]));
	}
	check_ok(ms_engine_new("bytes", &needle, 1, &bench->engine));
}

static void bench_free(void)
{
	check_u64(bench->freed, bench->opened);
	for (size_t i = 0; i < bench->count; i++)
		ms_host_free(bench->hosts[i]);
	ms_engine_free(bench->engine);
	free(bench);
	bench = NULL;
}

static int open_target(void *ctx, size_t index, struct ms_source **ret_source)
{
	struct bench *b = ctx;
	int r;

	if (b->slow && index == 0)
		nanosleep(&(struct timespec){.tv_nsec = 5 * SLOW_NS}, NULL);
	if (b->fail_every && index % b->fail_every == 1)
		return err_set(MS_ERR_ACCESS, "target %zu says no", index);
	r = ms_source_open(b->hosts[index], 0, ret_source);
	if (r < 0)
		return r;
	b->opened++;
	if (b->all_odd || (b->ops.read && index == b->odd_index))
		(*ret_source)->ops = &b->ops;
	return 0;
}

static int take_hit(void *ctx, size_t index, struct ms_source *src, const struct ms_hit *hit)
{
	struct bench *b = ctx;

	if (b->stop_after && b->hit_count >= b->stop_after) {
		b->after_stop |= b->hit_count > b->stop_after;
		b->hit_count++;
		return err_set(MS_ERR_STOPPED, "enough");
	}
	b->out_of_order |= index != b->next || !src;
	if (b->hit_count < HITS_KEPT)
		b->hits[b->hit_count] = (struct kept){index, hit->address};
	b->hit_count++;
	if (b->cancel_after && b->hit_count >= b->cancel_after)
		b->cancel = true;
	return 0;
}

static bool lies_in(const struct coverage *coverage, uint64_t address)
{
	for (size_t i = 0; i < coverage->sums.gap_count; i++)
		if (address - coverage->sums.gaps[i].base < coverage->sums.gaps[i].size)
			return true;
	return false;
}

static void keep_outcome(struct outcome *o, const struct coverage *coverage)
{
	const struct ms_coverage *s = &coverage->sums;
	uint64_t end = 0;

	o->sums = *s;
	o->adds_up = s->total == s->filtered + s->absent + s->read + s->unreadable + s->skipped;
	o->gaps_in_order = true;
	for (size_t i = 0; i < s->gap_count; i++) {
		o->gap_bytes[s->gaps[i].state] += s->gaps[i].size;
		o->gaps_in_order &= s->gaps[i].base >= end;
		end = s->gaps[i].base + s->gaps[i].size;
	}
	for (size_t i = 0; i < TARGET_HITS; i++)
		o->in_gap += lies_in(coverage, MIB + hit_at[i]);
}

static int take_done(void *ctx, size_t index, struct ms_source *src, struct coverage *coverage,
	int status, const char *error)
{
	struct bench *b = ctx;
	struct outcome *o = &b->outcomes[index];

	b->out_of_order |= index != b->next || o->done;
	b->next = index + 1;
	o->done = true;
	o->status = status;
	snprintf(o->error, sizeof(o->error), "%s", error ? error : "");
	if (coverage && status == 0)
		keep_outcome(o, coverage);
	if (src)
		b->freed++;
	ms_source_free(src);
	return 0;
}

static bool is_cancelled(void *ctx)
{
	return ((struct bench *)ctx)->cancel;
}

static int run(unsigned threads)
{
	struct scan scan = {
		.engine = bench->engine,
		.filter = &filter_default,
		.job = &bench->job,
		.target_count = bench->count,
		.open = open_target,
		.hit = take_hit,
		.done = take_done,
		.ctx = bench,
	};

	bench->hit_count = 0;
	bench->next = 0;
	bench->cancel = false;
	memset(bench->outcomes, 0, sizeof(bench->outcomes));
	bench->job.threads = threads;
	bench->job.ctx = bench;
	return scan_run(&scan, &bench->hit_limit, &bench->stopped);
}

static void check_outcomes(void)
{
	check(!bench->out_of_order);
	for (size_t i = 0; i < bench->count; i++) {
		const struct outcome *o = &bench->outcomes[i];

		check_that(o->done, "target %zu is not accounted for", i);
		check_that(o->status < 0 || o->adds_up, "target %zu does not add up", i);
		check_that(o->status < 0 || o->gaps_in_order, "gaps of target %zu", i);
	}
}

/* Hit number n of a scan of ordinary targets. */
static void check_hit(size_t n, size_t index, size_t which)
{
	check_u64(bench->hits[n].index, index);
	check_u64(bench->hits[n].address, MIB + hit_at[which]);
}

/* The first `count` hits are the first there are, whatever else. */
static void check_first_hits(size_t count)
{
	check_u64(bench->hit_count, count);
	for (size_t n = 0; n < count; n++)
		check_hit(n, n / TARGET_HITS, n % TARGET_HITS);
}

/* ---- Order ------------------------------------------------------------------------------ */

static const unsigned thread_counts[] = {1, 2, 3, 8, 64};

static void many_targets_come_in_order(void)
{
	bench_new(TARGETS);
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		check_ok(run(thread_counts[t]));
		check_outcomes();
		check_first_hits(TARGETS * TARGET_HITS);
		check(!bench->hit_limit && !bench->stopped);
		for (size_t i = 0; i < TARGETS; i++) {
			check_u64(bench->outcomes[i].sums.read, TARGET_SIZE);
			check(!bench->outcomes[i].sums.partial);
		}
	}
	bench_free();
}

static void targets_that_do_not_open_keep_their_place(void)
{
	bench_new(TARGETS);
	bench->fail_every = 3;
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		check_ok(run(thread_counts[t]));
		check_outcomes();
		for (size_t i = 0; i < TARGETS; i++) {
			bool fails = i % 3 == 1;

			check_u64((uint64_t)-bench->outcomes[i].status, fails ? -MS_ERR_ACCESS : 0);
			check(!fails || strstr(bench->outcomes[i].error, "says no"));
		}
		check_u64(bench->hit_count, TARGETS / 3 * 2 * TARGET_HITS);
	}
	bench_free();
}

static void no_targets_and_more_threads_than_chunks(void)
{
	bench_new(1);
	check_ok(run(256));
	check_outcomes();
	check_first_hits(TARGET_HITS);
	bench->count = 0;
	check_ok(run(4));
	check_u64(bench->hit_count, 0);
	bench->count = 1;
	bench_free();
}

/* ---- Limits ----------------------------------------------------------------------------- */

static void enough_hits_are_the_first_ones(void)
{
	static const uint64_t limits[] = {1, 2, TARGET_HITS, TARGET_HITS + 1, 7 * TARGET_HITS - 1};

	bench_new(TARGETS);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
			bench->job.hits_max = limits[i];
			check_ok(run(thread_counts[t]));
			check_outcomes();
			check(bench->hit_limit && !bench->stopped);
			check_first_hits(limits[i]);
		}
	bench_free();
}

static void bytes_are_limited_to_the_byte(void)
{
	static const uint64_t limits[] = {1, 4096, SCAN_CHUNK, SCAN_CHUNK + 1, TARGET_SIZE,
		3 * TARGET_SIZE + SCAN_CHUNK + 77};

	bench_new(TARGETS);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
			uint64_t read = 0;

			bench->job.bytes_max = limits[i];
			check_ok(run(thread_counts[t]));
			check_outcomes();
			for (size_t k = 0; k < TARGETS; k++) {
				const struct outcome *o = &bench->outcomes[k];

				read += o->sums.read;
				check_u64(o->sums.skipped, o->gap_bytes[MS_STATE_LIMIT]);
				check(o->status < 0 || o->sums.partial == (o->sums.skipped > 0));
			}
			check_u64(read, limits[i]);
		}
	bench_free();
}

/* Which bytes are the first ones does not depend on the number of threads. */
static void a_limit_on_bytes_takes_targets_in_order(void)
{
	bench_new(TARGETS);
	bench->slow = true;
	bench->job.bytes_max = 3 * TARGET_SIZE + 4097;
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		check_ok(run(thread_counts[t]));
		check_first_hits(3 * TARGET_HITS + 2);
		for (size_t i = 0; i < 3; i++)
			check_u64(bench->outcomes[i].sums.read, TARGET_SIZE);
		check_u64(bench->outcomes[3].sums.read, 4097);
	}
	bench_free();
}

static void each_target_has_its_own_limit(void)
{
	bench_new(TARGETS);
	bench->job.process_bytes_max = SCAN_CHUNK + 1;
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		check_ok(run(thread_counts[t]));
		check_outcomes();
		check_u64(bench->hit_count, TARGETS * 3);
		for (size_t i = 0; i < TARGETS; i++) {
			check_u64(bench->outcomes[i].sums.read, SCAN_CHUNK + 1);
			check_u64(bench->outcomes[i].gap_bytes[MS_STATE_LIMIT],
				TARGET_SIZE - SCAN_CHUNK - 1);
			check(bench->outcomes[i].sums.partial);
		}
	}
	bench_free();
}

/* ---- Ending early ----------------------------------------------------------------------- */

/* What is not in a gap was looked at, so its hits came out. */
static void check_honest(void)
{
	uint64_t expected = 0;

	for (size_t i = 0; i < bench->count; i++)
		if (bench->outcomes[i].status == 0)
			expected += TARGET_HITS - bench->outcomes[i].in_gap;
	check_u64(bench->hit_count, expected);
}

static void a_deadline_that_is_over_at_once(void)
{
	bench_new(TARGETS);
	bench->job.timeout_ns = 1;
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		check_ok(run(thread_counts[t]));
		check_outcomes();
		check_honest();
		check(bench->outcomes[TARGETS - 1].status == MS_ERR_TIMEOUT);
		check(!bench->hit_limit && !bench->stopped);
	}
	bench_free();
}

static int read_slowly(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	nanosleep(&(struct timespec){.tv_nsec = SLOW_NS}, NULL);
	return memory_ops->read(src, address, buf, size, ret_size);
}

/* Makes every target read by that function. */
static void all_read(int (*read)(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size))
{
	ms_source *src;

	check_ok(ms_source_open(bench->hosts[0], 0, &src));
	memory_ops = src->ops;
	bench->ops = *src->ops;
	bench->ops.read = read;
	bench->ops.view = NULL;
	bench->all_odd = true;
	ms_source_free(src);
}

static void a_deadline_in_the_middle(void)
{
	bench_new(TARGETS);
	all_read(read_slowly);
	bench->job.timeout_ns = 10 * SLOW_NS;
	for (size_t t = 0; t < 4; t++) {
		uint64_t late = 0;

		check_ok(run(thread_counts[t]));
		check_outcomes();
		check_honest();
		for (size_t i = 0; i < TARGETS; i++) {
			const struct outcome *o = &bench->outcomes[i];

			late += o->gap_bytes[MS_STATE_DEADLINE] + (o->status == MS_ERR_TIMEOUT);
			check_u64(o->sums.skipped, o->gap_bytes[MS_STATE_DEADLINE]);
		}
		check(late > 0 || thread_counts[t] > 3);
	}
	bench_free();
}

static void cancelled_in_the_middle(void)
{
	bench_new(TARGETS);
	all_read(read_slowly);
	bench->job.cancelled = is_cancelled;
	bench->cancel_after = 2 * TARGET_HITS + 1;
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts) - 1; t++) {
		check_ok(run(thread_counts[t]));
		check(bench->stopped && !bench->hit_limit);
		check_outcomes();
		check_honest();
		check(bench->hit_count >= bench->cancel_after);
	}
	bench_free();
}

static void a_sink_that_stops_is_not_asked_again(void)
{
	bench_new(TARGETS);
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++)
		for (bench->stop_after = 1; bench->stop_after < 14; bench->stop_after += 4) {
			check_u64((uint64_t)-run(thread_counts[t]), -MS_ERR_STOPPED);
			check_text(ms_error(), "enough");
			check(!bench->after_stop);
			check_u64(bench->hit_count, bench->stop_after + 1);
		}
	bench_free();
}

static int refuse(void *ctx, const struct ms_record *record)
{
	(void)record;
	++*(int *)ctx;
	return 1;
}

/* The source of ms_scan_source() stays its caller's, come what may. */
static void a_stopped_scan_leaves_the_source_alone(void)
{
	int calls = 0;
	struct ms_scan scan = {.size = sizeof(scan), .sink = {refuse, &calls}};
	struct ms_total total;
	ms_source *src;
	char byte;
	size_t got;

	bench_new(1);
	scan.engine = bench->engine;
	check_ok(ms_source_open(bench->hosts[0], 0, &src));
	check_u64((uint64_t)-ms_scan_source(src, &scan, &total), -MS_ERR_STOPPED);
	check_u64((uint64_t)calls, 1);
	check_ok(ms_source_read(src, MIB, &byte, 1, &got, NULL));
	check(got == 1 && byte == 'n');
	ms_source_free(src);
	bench_free();
}

static int broken_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	(void)engine, (void)scratch, (void)span, (void)emit;
	return err_set(MS_ERR_MEMORY, "the engine broke");
}

static void a_fault_of_the_engine_ends_the_job(void)
{
	static const struct ms_engine_ops ops = {.name = "broken", .span = broken_span};
	ms_engine *good;

	bench_new(TARGETS);
	good = bench->engine;
	check_ok(engine_new(&ops, &bench->engine));
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		check_u64((uint64_t)-run(thread_counts[t]), -MS_ERR_MEMORY);
		check_text(ms_error(), "the engine broke");
	}
	ms_engine_free(bench->engine);
	bench->engine = good;
	bench_free();
}

/* ---- Targets that change under way ------------------------------------------------------ */

static int read_until_gone(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	if (address >= MIB + SCAN_CHUNK)
		return err_set(MS_ERR_GONE, "it ended");
	return memory_ops->read(
		src, address, buf, min_u64(size, MIB + SCAN_CHUNK - address), ret_size);
}

static void one_odd_target(void)
{
	bench_new(TARGETS);
	all_read(NULL);
	bench->ops.read = memory_ops->read;
	bench->all_odd = false;
	bench->odd_index = 5;
}

static void a_target_that_ends_in_the_middle(void)
{
	one_odd_target();
	bench->ops.read = read_until_gone;
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		const struct outcome *o = &bench->outcomes[bench->odd_index];

		check_ok(run(thread_counts[t]));
		check_outcomes();
		check(o->status == 0 && o->sums.partial && o->sums.gone);
		check_u64(o->sums.read, SCAN_CHUNK);
		check_u64(o->gap_bytes[MS_STATE_VANISHED], TARGET_SIZE - SCAN_CHUNK);
		/* The third hit lies over the border and went with what is behind it. */
		check_u64(bench->hit_count, (TARGETS - 1) * TARGET_HITS + 2);
	}
	bench_free();
}

static int resident_status;

static int resident_until(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	if (base >= MIB + SCAN_CHUNK)
		return err_set(resident_status, "nobody may know");
	return memory_ops->resident(src, region, base, size, runs, room, ret_count);
}

/* What goes wrong with one target is no fault of the job. */
static void pages_that_nobody_may_count(void)
{
	static const int statuses[] = {MS_ERR_GONE, MS_ERR_ACCESS, MS_ERR_IO};

	one_odd_target();
	bench->ops.resident = resident_until;
	for (size_t s = 0; s < ARRAY_SIZE(statuses); s++)
		for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
			const struct outcome *o = &bench->outcomes[bench->odd_index];

			resident_status = statuses[s];
			check_ok(run(thread_counts[t]));
			check_outcomes();
			check(o->status == 0 && o->sums.partial);
			check_u64(o->sums.gone, resident_status == MS_ERR_GONE);
			check(o->sums.read <= SCAN_CHUNK);
			check(bench->hit_count >= (TARGETS - 1) * TARGET_HITS);
		}
	bench_free();
}

static int read_nothing(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	(void)src, (void)address, (void)buf, (void)size;
	*ret_size = 0;
	return 0;
}

static int regions_once(struct ms_source *src, struct region_list *out)
{
	if (src->regions_known)
		return err_set(resident_status, "no list");
	return memory_ops->regions(src, out);
}

/* Nor when it cannot even be told why a byte is missing. */
static void regions_that_cannot_be_listed_again(void)
{
	static const int statuses[] = {MS_ERR_GONE, MS_ERR_ACCESS, MS_ERR_IO};

	one_odd_target();
	bench->ops.read = read_nothing;
	bench->ops.regions = regions_once;
	for (size_t s = 0; s < ARRAY_SIZE(statuses); s++)
		for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
			const struct outcome *o = &bench->outcomes[bench->odd_index];

			resident_status = statuses[s];
			check_ok(run(thread_counts[t]));
			check_outcomes();
			check(o->status == 0 && o->sums.partial);
			check_u64(o->sums.unreadable, TARGET_SIZE);
			check_u64(bench->hit_count, (TARGETS - 1) * TARGET_HITS);
		}
	bench_free();
}

static int regions_never(struct ms_source *src, struct region_list *out)
{
	(void)src, (void)out;
	return err_set(MS_ERR_ACCESS, "no list");
}

static void regions_that_cannot_be_listed(void)
{
	one_odd_target();
	bench->ops.regions = regions_never;
	for (size_t t = 0; t < ARRAY_SIZE(thread_counts); t++) {
		check_ok(run(thread_counts[t]));
		check_outcomes();
		check_u64((uint64_t)-bench->outcomes[5].status, -MS_ERR_ACCESS);
		check_text(bench->outcomes[5].error, "no list");
		check_u64(bench->hit_count, (TARGETS - 1) * TARGET_HITS);
	}
	bench_free();
}

/* ---- Progress --------------------------------------------------------------------------- */

static _Atomic uint64_t progress_hits;

static void note_progress(void *ctx, const struct ms_progress *progress)
{
	(void)ctx;
	progress_hits = progress->hits;
}

/* It is told while workers work: what matters is that the thread sanitizer stays quiet. */
static void progress_is_told_beside_the_work(void)
{
	bench_new(TARGETS);
	all_read(read_slowly);
	bench->job.progress = note_progress;
	check_ok(run(2));
	check_outcomes();
	check_first_hits(TARGETS * TARGET_HITS);
	check(progress_hits <= TARGETS * TARGET_HITS);
	bench_free();
}

/* ---- The public functions --------------------------------------------------------------- */

static int count_record(void *ctx, const struct ms_record *record)
{
	size_t *counts = ctx;

	counts[record->schema == &ms_schema_hit		? 0
		: record->schema == &ms_schema_coverage ? 1
							: 2]++;
	return 0;
}

static void processes_of_a_host(void)
{
	const struct ms_process *list;
	struct ms_process three[3];
	size_t count, counts[3] = {0};
	struct ms_scan scan = {.size = sizeof(scan), .sink = {count_record, counts}};
	struct ms_total total;

	bench_new(1);
	scan.engine = bench->engine;
	check_ok(ms_host_processes(bench->hosts[0], &list, &count));
	for (size_t i = 0; i < 3; i++)
		three[i] = list[0];
	check_ok(ms_scan_processes(bench->hosts[0], three, 3, &scan, &total));
	check_u64(total.targets, 3);
	check_u64(total.targets_failed, 0);
	check_u64(total.hits, 3 * TARGET_HITS);
	check_u64(total.bytes_read, 3 * TARGET_SIZE);
	check(!total.partial);
	check(counts[0] == 3 * TARGET_HITS && counts[1] == 3 && counts[2] == 0);
	scan.job.hits_max = 1;
	check_ok(ms_scan_processes(bench->hosts[0], three, 3, &scan, &total));
	check(total.hit_limit && total.hits == 1);
	check_ok(ms_scan_processes(bench->hosts[0], three, 0, &scan, &total));
	check(total.targets == 0 && total.hits == 0);
	bench_free();
}

static const struct test tests[] = {
	{"many targets come in order", many_targets_come_in_order},
	{"targets that do not open keep their place", targets_that_do_not_open_keep_their_place},
	{"no targets, and more threads than chunks", no_targets_and_more_threads_than_chunks},
	{"enough hits are the first ones", enough_hits_are_the_first_ones},
	{"bytes are limited to the byte", bytes_are_limited_to_the_byte},
	{"a limit on bytes takes targets in order", a_limit_on_bytes_takes_targets_in_order},
	{"each target has its own limit", each_target_has_its_own_limit},
	{"a deadline that is over at once", a_deadline_that_is_over_at_once},
	{"a deadline in the middle", a_deadline_in_the_middle},
	{"cancelled in the middle", cancelled_in_the_middle},
	{"a sink that stops is not asked again", a_sink_that_stops_is_not_asked_again},
	{"a stopped scan leaves the source alone", a_stopped_scan_leaves_the_source_alone},
	{"a fault of the engine ends the job", a_fault_of_the_engine_ends_the_job},
	{"a target that ends in the middle", a_target_that_ends_in_the_middle},
	{"pages that nobody may count", pages_that_nobody_may_count},
	{"regions that cannot be listed again", regions_that_cannot_be_listed_again},
	{"regions that cannot be listed", regions_that_cannot_be_listed},
	{"progress is told beside the work", progress_is_told_beside_the_work},
	{"processes of a host", processes_of_a_host},
};

TEST_MAIN(tests)
