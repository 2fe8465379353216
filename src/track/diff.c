/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A diff is a scan of the pair: the loop reads both sides and shows their bytes to an engine that
 * compares, and its hits come here by ascending address. Here runs that were cut at the border of
 * two chunks are put together again, and changes of the memory map, known from the lists of
 * regions before the first byte is read, are put in between where their address belongs.
 */
#include "track/diff.h"

#include "base/err.h"
#include "core/pagehash.h"
#include "core/record.h"
#include "core/scan.h"
#include "track/pagediff.h"
#include "track/pair.h"

struct diff {
	ms_source *old, *now;
	const struct ms_diff *options;
	const struct ms_filter *filter;
	struct pair pairs[2]; /* with the bytes of old, and of now */

	/* Of the memory map, by ascending address; the first map_next are handed out. */
	VEC(struct change) map;
	size_t map_next;

	VEC(struct ms_gap) unknown; /* blocks that hashes tell nothing of */

	/* A run that may go on; size 0: there is none. */
	struct change run;
	uint8_t bytes[2 * MS_CHANGE_BYTES_MAX];
	size_t bytes_each;

	const struct ms_module *modules;
	size_t module_count, module_next;
	bool modules_known;
	struct ms_total total;
};

/* ---- Records ---------------------------------------------------------------------------- */

static const struct ms_module *module_at(struct diff *diff, uint64_t address)
{
	const struct ms_module *module;

	if (!diff->modules_known &&
		ms_source_modules(diff->now, &diff->modules, &diff->module_count) < 0)
		diff->module_count = 0;
	diff->modules_known = true;
	while (diff->module_next < diff->module_count) {
		module = &diff->modules[diff->module_next];
		if (module->base + module->size > address)
			return module->base <= address ? module : NULL;
		diff->module_next++;
	}
	return NULL;
}

static int change_out(struct diff *diff, const struct change *change)
{
	const struct ms_sink *sink = &diff->options->sink;
	uint64_t max = diff->options->job.hits_max;
	bool gone = change->kind == CHANGE_UNMAP;
	ms_source *src = gone ? diff->old : diff->now;
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_record record = {&ms_schema_change, values};

	record_change(&diff->now->process, change, region_find(&src->regions, change->address),
		gone ? NULL : module_at(diff, change->address), values);
	if (sink->record(sink->ctx, &record))
		return err_set(MS_ERR_STOPPED, "stopped by its caller");
	diff->total.hits++;
	diff->total.hit_limit = max && diff->total.hits >= max;
	return diff->total.hit_limit ? SCAN_ENOUGH : 0;
}

/* Hands out the changes of the map up to an address. */
static int map_out(struct diff *diff, uint64_t upto)
{
	int r = diff->total.hit_limit ? SCAN_ENOUGH : 0;

	while (r == 0 && diff->map_next < diff->map.count &&
		diff->map.data[diff->map_next].address <= upto)
		r = change_out(diff, &diff->map.data[diff->map_next++]);
	return r;
}

/* Hands out the run that was put off, and what comes before it. */
static int run_flush(struct diff *diff)
{
	struct change *run = &diff->run;
	int r;

	if (!run->size)
		return diff->total.hit_limit ? SCAN_ENOUGH : 0;
	r = map_out(diff, run->address);
	if (r == 0) {
		run->shown = (size_t)min_u64(run->size, diff->bytes_each);
		run->old = diff->old->ops->hashed ? NULL : diff->bytes;
		run->now = diff->now->ops->hashed ? NULL : diff->bytes + diff->bytes_each;
		r = change_out(diff, run);
	}
	run->size = 0;
	return r;
}

static int unknown_add(struct diff *diff, const struct ms_hit *hit)
{
	struct ms_gap gap = {hit->address, hit->size, MS_STATE_NO_ACCESS};

	return vec_push(&diff->unknown, gap) ? 0 : err_nomem();
}

/* The loop counted them as read. */
static void unknown_account(const struct diff *diff, struct coverage *coverage)
{
	for (size_t i = 0; i < diff->unknown.count; i++) {
		const struct ms_gap *gap = &diff->unknown.data[i];

		coverage->sums.read -= min_u64(gap->size, coverage->sums.read);
		coverage_add(coverage, gap->base, gap->size, gap->state);
	}
	coverage_finish(coverage);
}

static int run_take(void *ctx, size_t index, ms_source *src, const struct ms_hit *hit)
{
	struct diff *diff = ctx;
	struct change *run = &diff->run;
	uint64_t equal = hit->address - (run->address + run->size);
	int r;

	(void)index, (void)src;
	if (hit->value == DIFF_UNKNOWN)
		return unknown_add(diff, hit);
	if (run->size && equal < PAGEDIFF_JOIN && equal <= hit->value) {
		run->size = hit->address + hit->size - run->address;
		return 0;
	}
	r = run_flush(diff);
	if (r != 0)
		return r;
	*run = (struct change){.kind = CHANGE_WRITE, .address = hit->address, .size = hit->size};
	diff->bytes_each = hit->bytes_size / 2;
	memcpy(diff->bytes, hit->bytes, hit->bytes_size);
	return 0;
}

/* ---- The memory map --------------------------------------------------------------------- */

/* Adds what the filter lets through of a stretch of a region. */
static int map_add(struct diff *diff, enum change_kind kind, const struct pair_part *part,
	const struct ms_region *region)
{
	uint64_t at = part->base, end = part->base + part->size, base, size;

	if (!ms_filter_match(diff->filter, region))
		return 0;
	while (at < end && filter_clip(diff->filter, at, end - at, &base, &size)) {
		struct change change = {.kind = kind, .address = base, .size = size};

		if (kind == CHANGE_PROTECT)
			change.old_perm = part->old->perm;
		if (!vec_push(&diff->map, change))
			return err_nomem();
		at = base + size;
	}
	return 0;
}

static bool is_protected(const struct pair_part *part)
{
	/* Whether it is shared is no protection, and a core does not tell. */
	return part->same && ((part->old->perm ^ part->now->perm) &
				     (MS_PERM_READ | MS_PERM_WRITE | MS_PERM_EXEC));
}

static int map_compare(struct diff *diff)
{
	struct pair_walk walk = {.old = &diff->old->regions, .now = &diff->now->regions};
	struct pair_part part;
	int r = 0;

	while (r == 0 && pair_next(&walk, &part)) {
		if (part.old && !part.same)
			r = map_add(diff, CHANGE_UNMAP, &part, part.old);
		if (r == 0 && part.now && !part.same)
			r = map_add(diff, CHANGE_MAP, &part, part.now);
		if (r == 0 && is_protected(&part))
			r = map_add(diff, CHANGE_PROTECT, &part, part.now);
	}
	return r;
}

/* ---- The loop's callbacks --------------------------------------------------------------- */

static int target_done(void *ctx, size_t index, ms_source *src, struct coverage *coverage,
	int status, const char *error)
{
	struct diff *diff = ctx;
	int r;

	(void)index, (void)src;
	if (!coverage)
		return 0;
	if (status < 0)
		return err_set(status, "%s", error ? error : "out of memory");
	r = run_flush(diff);
	if (r == 0)
		r = map_out(diff, UINT64_MAX);
	if (r < 0)
		return r;
	unknown_account(diff, coverage);
	if (coverage->failed)
		return err_nomem();
	diff->total.targets++;
	diff->total.bytes_read += coverage->sums.read;
	diff->total.partial |= coverage->sums.partial;
	return ms_sink_coverage(&diff->options->sink, &diff->now->process, &coverage->sums);
}

static int run_scan(struct diff *diff)
{
	size_t bytes_max = diff->options->bytes_max;
	bool hashed = diff->old->ops->hashed || diff->now->ops->hashed;
	struct diff_query query = {.old = diff->old,
		.now = diff->now,
		.bytes_max = bytes_max ? min_u64(bytes_max, MS_CHANGE_BYTES_MAX) : MS_CHANGE_BYTES};
	const struct diff_query *query_at = &query;
	struct ms_engine engine = {hashed ? &diff_hashes_engine : &diff_bytes_engine, &query_at};
	struct ms_job job = diff->options->job;
	struct scan scan = {
		.engine = &engine,
		.filter = diff->filter,
		.job = &job,
		.target_count = 1,
		.twin = hashed ? NULL : diff->pairs[0].source,
		.source = diff->pairs[diff->now->ops->hashed ? 0 : 1].source,
		.hit = run_take,
		.done = target_done,
		.ctx = diff,
	};
	bool limit;

	/* What counts is what comes out, runs that go on counted once. */
	job.hits_max = 0;
	return scan_run(&scan, &limit, &diff->total.stopped);
}

static int diff_run(struct diff *diff)
{
	int r = source_refresh(diff->old);

	if (r == 0 && diff->now != diff->old)
		r = source_refresh(diff->now);
	if (r == 0 && (diff->old->ops->hashed || diff->now->ops->hashed))
		r = pagehash_check();
	if (r == 0)
		r = map_compare(diff);
	for (size_t i = 0; i < 2 && r == 0; i++)
		r = pair_open(diff->old, diff->now, i == 1, &diff->pairs[i]);
	/* The reader of the twin asks for its regions only when something is missing. */
	if (r == 0)
		r = source_refresh(diff->pairs[0].source);
	return r < 0 ? r : run_scan(diff);
}

static void diff_done(struct diff *diff)
{
	pair_close(&diff->pairs[0]);
	pair_close(&diff->pairs[1]);
	free(diff->map.data);
	free(diff->unknown.data);
	free(diff);
}

int ms_diff_sources(ms_source *before, ms_source *after, const struct ms_diff *options,
	struct ms_total *ret_total)
{
	struct diff *diff = calloc(1, sizeof(*diff));
	int r;

	if (!diff)
		return err_nomem();
	diff->old = before;
	diff->now = after;
	diff->options = options;
	diff->filter = options->filter ? options->filter : &filter_default;
	r = diff_run(diff);
	if (r == 0)
		*ret_total = diff->total;
	diff_done(diff);
	return r;
}
