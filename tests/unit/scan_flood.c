/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scans with millions of hits: they come in order and complete, up to limits to the hit and to the
 * byte, and take little memory.
 */
#include "test.h"

#include "base/mem.h"
#include "core/scan.h"
#include "memsift.h"

#include <malloc.h>
#include <stdatomic.h>
#include <time.h>

#define MIB (1024ull * 1024)

static const struct ms_source_ops *memory_ops;

struct flood {
	uint64_t bytes_max;
	uint64_t hits, base, next, stop_at;
	bool in_order, gapless;
	atomic_bool cancel;
	size_t heap_max;
	struct ms_coverage sums;
};

static void note_heap(struct flood *flood)
{
	struct mallinfo2 info = mallinfo2();
	size_t used = info.uordblks + info.hblkhd;

	if (used > flood->heap_max)
		flood->heap_max = used;
}

static int flood_record(void *ctx, const struct ms_record *record)
{
	struct flood *flood = ctx;
	const struct ms_value *v = record->values;

	if (record->schema == &ms_schema_coverage) {
		flood->sums.read = v[5].v.u;
		flood->sums.skipped = v[7].v.u;
		flood->sums.total = v[2].v.u;
		return 0;
	}
	flood->in_order &= v[2].v.u >= flood->next;
	flood->gapless &= v[2].v.u == flood->base + flood->hits;
	flood->next = v[2].v.u + 1;
	flood->hits++;
	if (flood->stop_at && flood->hits == flood->stop_at)
		flood->cancel = true;
	if (flood->hits % 10000 == 0)
		note_heap(flood);
	return 0;
}

static bool flood_cancelled(void *ctx)
{
	return ((struct flood *)ctx)->cancel;
}

static void run_flood(struct flood *flood, unsigned threads, uint64_t size, uint64_t hits_max,
	struct ms_total *ret_total)
{
	static const struct ms_arg zero = {"hex", "00"};
	uint8_t *zeros = calloc(1, size);
	struct ms_segment segment = {.base = 4096, .size = size, .data = zeros, .perm = 3};
	struct ms_scan scan = {
		.size = sizeof(scan),
		.job = {.size = sizeof(scan.job),
			.threads = threads,
			.hits_max = hits_max,
			.bytes_max = flood->bytes_max,
			.cancelled = flood_cancelled,
			.ctx = flood},
		.sink = {flood_record, flood},
	};
	ms_engine *engine;
	ms_host *host;
	ms_source *src;

	check(zeros);
	flood->base = segment.base;
	flood->in_order = flood->gapless = true;
	check_ok(ms_engine_new("bytes", &zero, 1, &engine));
	scan.engine = engine;
	check_ok(ms_host_open_memory(&segment, 1, &host));
	check_ok(ms_source_open(host, 0, &src));
	check_ok(ms_scan_source(src, &scan, ret_total));
	ms_source_free(src);
	ms_host_free(host);
	ms_engine_free(engine);
	free(zeros);
	check(flood->in_order);
	check_u64(flood->sums.read + flood->sums.skipped, size);
}

static void millions_of_hits_in_little_memory(void)
{
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		struct flood flood = {0};
		struct ms_total total;

		run_flood(&flood, threads, 8 * MIB, 0, &total);
		check_u64(flood.hits, 8 * MIB);
		check(flood.gapless);
		check_u64(flood.sums.read, 8 * MIB);
		/* All of them at once would take 700 MiB. Of a sanitizer's heap this says nothing.
		 */
		check_that(
			flood.heap_max < 64 * MIB, "%zu MiB of heap", flood.heap_max / (size_t)MIB);
	}
}

static int read_first_slowly(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	if (address == MIB)
		nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
	return memory_ops->read(src, address, buf, size, ret_size);
}

static int count_hit(void *ctx, const struct ms_record *record)
{
	struct flood *flood = ctx;

	flood->hits += record->schema == &ms_schema_hit;
	if (flood->hits % 10000 == 0)
		note_heap(flood);
	return 0;
}

/* The first chunk keeps all others waiting: they must not pile up. */
static void results_do_not_pile_up(void)
{
	enum { MANY = 128, STEP = 128 };
	static const struct ms_arg one = {"hex", "01"};
	static uint8_t ones[1 << 20]; /* one in each STEP */
	struct ms_segment segments[MANY];
	struct ms_source_ops ops;
	struct flood flood = {0};
	struct ms_scan scan = {.size = sizeof(scan),
		.job = {.size = sizeof(scan.job), .threads = 4},
		.sink = {count_hit, &flood}};
	struct ms_total total;
	ms_engine *engine;
	ms_host *host;
	ms_source *src;

	for (size_t i = 0; i < sizeof(ones); i += STEP)
		ones[i] = 1;
	for (size_t i = 0; i < MANY; i++)
		segments[i] = (struct ms_segment){
			.base = MIB + i * sizeof(ones), .size = sizeof(ones), .data = ones};
	check_ok(ms_engine_new("bytes", &one, 1, &engine));
	scan.engine = engine;
	check_ok(ms_host_open_memory(segments, MANY, &host));
	check_ok(ms_source_open(host, 0, &src));
	memory_ops = src->ops;
	ops = *src->ops;
	ops.read = read_first_slowly;
	src->ops = &ops;
	check_ok(ms_scan_source(src, &scan, &total));
	src->ops = memory_ops;
	ms_source_free(src);
	ms_host_free(host);
	ms_engine_free(engine);
	check_u64(flood.hits, MANY * sizeof(ones) / STEP);
	check_that(flood.heap_max < 64 * MIB, "%zu MiB of heap", flood.heap_max / (size_t)MIB);
}

static void millions_of_hits_to_a_limit(void)
{
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		struct flood flood = {0};
		struct ms_total total;

		run_flood(&flood, threads, 2 * MIB, 700001, &total);
		check_u64(flood.hits, 700001);
		check(flood.gapless);
		check(total.hit_limit);
	}
}

/* A limit on bytes does not drop hits of the bytes it allows. */
static void millions_of_hits_in_limited_bytes(void)
{
	for (unsigned threads = 1; threads <= 4; threads++) {
		struct flood flood = {.bytes_max = 3 * SCAN_CHUNK + 5};
		struct ms_total total;

		run_flood(&flood, threads, 4 * MIB, 0, &total);
		check_u64(flood.hits, flood.bytes_max);
		check_u64(flood.sums.read, flood.bytes_max);
	}
}

/* Cancelled within a chunk: no byte counts as looked at whose hits were dropped. */
static void millions_of_hits_cancelled(void)
{
	for (unsigned threads = 1; threads <= 4; threads++) {
		struct flood flood = {.stop_at = 600000};
		struct ms_total total;

		run_flood(&flood, threads, 4 * MIB, 0, &total);
		check(total.stopped && flood.sums.skipped > 0);
		check_that(flood.hits >= flood.sums.read,
			"%llu hits, but %llu bytes were looked at", (unsigned long long)flood.hits,
			(unsigned long long)flood.sums.read);
	}
}

static const struct test tests[] = {
	{"millions of hits in little memory", millions_of_hits_in_little_memory},
	{"results do not pile up", results_do_not_pile_up},
	{"millions of hits to a limit", millions_of_hits_to_a_limit},
	{"millions of hits in limited bytes", millions_of_hits_in_limited_bytes},
	{"millions of hits, cancelled", millions_of_hits_cancelled},
};

int main(int argc, char **argv)
{
	/* mallinfo2() knows of the first arena only, so that must be the one of every thread. */
	mallopt(M_ARENA_MAX, 1);
	return test_run(tests, ARRAY_SIZE(tests), argc, argv);
}
