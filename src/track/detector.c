/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rounds of a detector. Two things only this file knows:
 *
 * A page is protected before it is read. What is written between the two is read, and counts as
 * written once more in the next round, where it proves to be known; nothing is lost. Where what
 * was told piles up, it is told anew in every round. Once more was looked at because of that than
 * the picture has, it pays to have it forgotten, which asks for one round that reads everything.
 *
 * A page that is given back (MADV_DONTNEED) reads as zeros, but nobody wrote it. So every
 * GIVEN_BACK_ROUNDS rounds the pages of the picture are looked up: whether they are still there.
 */
#include "memsift_track.h"

#include "base/err.h"
#include "base/os.h"
#include "core/filter.h"
#include "core/plan.h"
#include "core/record.h"
#include "track/change_stats.h"
#include "track/mirror.h"
#include "track/pagediff.h"
#include "track/pair.h"
#include "track/tracker.h"

enum {
	RUNS = 512,
	PIECE = 256 * 1024, /* read at once; stays in the cache while it is compared */
	GIVEN_BACK_ROUNDS = 16,
};

/* A watched stretch of one region. */
struct area {
	uint64_t base, end;
	bool dirty; /* the kernel tells what is written */
	bool fresh; /* not in the picture yet: goes in without a word */
	bool lost;  /* what was told in this round is not enough */
	bool plain; /* what was never touched reads as zeros */
};

struct ms_detector {
	ms_source *source;
	enum ms_method wanted, method;
	struct ms_filter filter;
	char why[ERR_TEXT_MAX];
	uint64_t stop_ns, arm_ns, map, compared, watched;
	size_t shown_max;
	bool limited, begun;
	bool piles_up;	/* what was told is told again until it is renewed */
	uint64_t piled; /* bytes that were told since */

	struct mirror mirror;
	struct region_list picture; /* regions of the picture */
	VEC(struct area) areas;
	VEC(uint64_t) suspects; /* pages that may differ; unordered until a round sorts them */
	struct stats *stats;
	struct ms_change_stat *listed;
	uint8_t *buffer; /* PIECE bytes */
	uint8_t *zeros;	 /* a page */

	/* Of the round that runs. */
	const struct ms_sink *sink;
	bool update;
	struct ms_round round;
	int64_t time;
	uint64_t time_ns, number;
};

/* ---- Making one ------------------------------------------------------------------------- */

/* Copies what ranges and glob a filter has, as the caller's may go. */
static int filter_copy(struct ms_filter *to, const struct ms_filter *from)
{
	*to = *from;
	to->path = NULL;
	to->ranges = to->ignored = (struct filter_ranges){0};
	for (size_t i = 0; i < from->ranges.count; i++)
		if (!vec_push(&to->ranges, from->ranges.data[i]))
			return err_nomem();
	for (size_t i = 0; i < from->ignored.count; i++)
		if (!vec_push(&to->ignored, from->ignored.data[i]))
			return err_nomem();
	if (from->path && !(to->path = strdup(from->path)))
		return err_nomem();
	return 0;
}

/* Begins tracking if it is wanted and to be had; says why not. */
static int choose_method(struct ms_detector *det)
{
	struct dirty_request request = {
		.what = DIRTY_BEGIN, .softdirty_only = det->wanted == MS_METHOD_SOFT_DIRTY};
	ms_source *src = det->source;
	int r = MS_ERR_UNSUPPORTED;

	det->method = MS_METHOD_COMPARE;
	if (det->wanted == MS_METHOD_COMPARE)
		return 0;
	if (!src->ops->dirty)
		err_set(r, "writes are told only of live processes");
	else
		r = src->ops->dirty(src, &request);
	if (r == 0) {
		det->piles_up = request.ret_piles_up;
		det->method = det->piles_up ? MS_METHOD_SOFT_DIRTY : MS_METHOD_DIRTY;
		det->stop_ns = request.ret_stop_ns;
		if (!det->piles_up || det->wanted == MS_METHOD_SOFT_DIRTY)
			return 0;
	} else if (det->wanted != MS_METHOD_AUTO || r == MS_ERR_GONE) {
		return r;
	}
	snprintf(det->why, sizeof(det->why), "%s", ms_error());
	return 0;
}

int ms_detector_new(
	ms_source *source, const struct ms_detector_options *options, ms_detector **ret_detector)
{
	struct ms_detector *det = calloc(1, sizeof(*det));
	size_t shown = options->shown_max ? options->shown_max : MS_CHANGE_BYTES;
	int r;

	if (!det)
		return err_nomem();
	det->source = source;
	det->wanted = options->method;
	det->shown_max = shown < MS_CHANGE_BYTES_MAX ? shown : MS_CHANGE_BYTES_MAX;
	det->mirror.page = source->page_size;
	det->mirror.max = options->bytes_max ? options->bytes_max : UINT64_MAX;
	det->buffer = malloc(PIECE);
	det->zeros = calloc(1, source->page_size);
	if (options->statistics)
		det->stats = stats_new(source->page_size);
	r = filter_copy(&det->filter, options->filter ? options->filter : &filter_default);
	if (!det->buffer || !det->zeros || (options->statistics && !det->stats))
		r = err_nomem();
	if (r == 0)
		r = choose_method(det);
	if (r < 0)
		ms_detector_free(det);
	else
		*ret_detector = det;
	return r;
}

void ms_detector_free(ms_detector *det)
{
	struct dirty_request request = {.what = DIRTY_END};

	if (!det)
		return;
	if (det->method != MS_METHOD_COMPARE)
		det->source->ops->dirty(det->source, &request);
	free(det->filter.path);
	free(det->filter.ranges.data);
	free(det->filter.ignored.data);
	mirror_done(&det->mirror);
	region_list_done(&det->picture);
	free(det->areas.data);
	free(det->suspects.data);
	stats_free(det->stats);
	free(det->listed);
	free(det->buffer);
	free(det->zeros);
	free(det);
}

/* ---- Telling ---------------------------------------------------------------------------- */

static int tell(struct ms_detector *det, struct change *change)
{
	bool gone = change->kind == CHANGE_UNMAP;
	const struct region_list *list = gone ? &det->picture : &det->source->regions;
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_record record = {&ms_schema_change, values};

	det->round.changes += change->kind == CHANGE_WRITE;
	det->round.map_changes += change->kind != CHANGE_WRITE;
	if (!det->sink)
		return 0;
	change->round = det->round.number;
	change->time = det->time;
	record_change(
		&det->source->process, change, region_find(list, change->address), NULL, values);
	return det->sink->record(det->sink->ctx, &record)
		       ? err_set(MS_ERR_STOPPED, "stopped by its caller")
		       : 0;
}

/* Tells how a page differs from its picture; `limit` bytes of it are watched, from `from` on. */
static int tell_page(struct ms_detector *det, uint64_t address, const uint8_t *old,
	const uint8_t *now, size_t from, size_t limit)
{
	struct pagediff_run run;
	int r = 0;

	for (size_t at = from; r == 0 && pagediff_next(old, now, limit, at, &run);
		at = run.offset + run.size) {
		struct change change = {
			.kind = CHANGE_WRITE,
			.address = address + run.offset,
			.size = run.size,
			.old = old + run.offset,
			.now = now + run.offset,
			.shown = (size_t)min_u64(run.size, det->shown_max),
		};

		if (det->stats && det->update)
			stats_add(det->stats, change.address, change.size, old, now, det->time_ns,
				det->round.number);
		r = tell(det, &change);
	}
	return r;
}

/* ---- Pages ------------------------------------------------------------------------------ */

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Puts a page into the picture. A page of zeros takes no room where zeros go without saying. */
static int keep(
	struct ms_detector *det, const struct area *area, uint64_t address, const uint8_t *now)
{
	uint8_t *copy = mirror_find(&det->mirror, address);

	if (!copy && area->plain && !mirror_marked(&det->mirror, address) &&
		is_zero(now, det->mirror.page))
		return 0;
	if (!copy && !(copy = mirror_put(&det->mirror, address))) {
		det->limited = true;
		return mirror_mark(&det->mirror, address) ? 0 : err_nomem();
	}
	memcpy(copy, now, det->mirror.page);
	return 0;
}

/* A page that was read: tells how it changed and keeps it, as the round goes. */
static int look_at_page(
	struct ms_detector *det, const struct area *area, uint64_t address, const uint8_t *now)
{
	size_t page = det->mirror.page;
	const uint8_t *old = mirror_find(&det->mirror, address);
	uint64_t first = max_u64(area->base, address), last = min_u64(area->end, address + page);
	int r = 0;

	det->round.pages_written++;
	if (!old && area->plain && !mirror_marked(&det->mirror, address))
		old = det->zeros;
	if (old && pagediff_equal(old, now, page))
		return 0;
	if (old && !area->fresh) {
		det->round.pages_changed++;
		r = tell_page(det, address, old, now, (size_t)(first - address),
			(size_t)(last - address));
		if (r == 0 && !det->update && !vec_push(&det->suspects, address))
			r = err_nomem();
	}
	return r == 0 && (det->update || area->fresh) ? keep(det, area, address, now) : r;
}

/* Reads whole pages of an area and looks at each. */
static int look_at(struct ms_detector *det, const struct area *area, uint64_t base, uint64_t end)
{
	ms_source *src = det->source;
	size_t page = det->mirror.page;

	while (base < end) {
		size_t want = (size_t)min_u64(end - base, PIECE), got = 0;
		int r = src->ops->read(src, base, det->buffer, want, &got);

		if (r < 0)
			return r;
		got -= got % page;
		det->round.bytes_read += got;
		for (size_t at = 0; at < got && r == 0; at += page)
			r = look_at_page(det, area, base + at, det->buffer + at);
		if (r < 0)
			return r;
		/* A page that cannot be read is passed over; it was given back, or is a guard. */
		base += got ? got : page;
	}
	return 0;
}

/* Pages of the picture that are not there any more read as zeros. */
static int look_at_absent(
	struct ms_detector *det, const struct area *area, uint64_t base, uint64_t end)
{
	uint64_t at = base;
	int r = 0;

	while (r == 0 && area->plain && mirror_next(&det->mirror, at, end, &at)) {
		uint64_t address = at;

		at += det->mirror.page;
		r = look_at_page(det, area, address, det->zeros);
		if (r == 0 && det->update)
			mirror_drop(&det->mirror, address, at);
	}
	return r;
}

static const struct ms_region *region_of(const struct ms_detector *det, const struct area *area)
{
	return region_find(&det->source->regions, area->base);
}

/* Goes through what the system says of an area's pages. */
static int walk_area(struct ms_detector *det, const struct area *area, bool read)
{
	ms_source *src = det->source;
	const struct ms_region *region = region_of(det, area);
	uint64_t page = src->page_size;
	uint64_t at = align_down(area->base, page), end = align_up(area->end, page);
	struct run runs[RUNS];
	int r = 0;

	if (!src->ops->resident)
		return read ? look_at(det, area, at, end) : 0;
	while (region && at < end && r == 0) {
		size_t count = 0;

		r = src->ops->resident(src, region, at, end - at, runs, RUNS, &count);
		if (r < 0 || !count)
			return r;
		for (size_t i = 0; i < count && r == 0; i++) {
			const struct run *run = &runs[i];
			bool data = run->state == MS_STATE_DATA ||
				    (run->state == MS_STATE_SWAPPED && det->filter.swapped);

			if (data && read)
				r = look_at(det, area, run->base, run->base + run->size);
			else if (run->state == MS_STATE_ABSENT && !area->fresh)
				r = look_at_absent(det, area, run->base, run->base + run->size);
			else if (run->state == MS_STATE_SWAPPED && area->fresh)
				for (uint64_t p = 0; p < run->size; p += page)
					mirror_mark(&det->mirror, run->base + p);
		}
		at = runs[count - 1].base + runs[count - 1].size;
	}
	return r;
}

/* ---- Areas ------------------------------------------------------------------------------ */

static int suspect_runs(struct ms_detector *det, const struct run *runs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = 0; at < runs[i].size; at += det->mirror.page)
			if (!vec_push(&det->suspects, runs[i].base + at))
				return err_nomem();
	return 0;
}

/* Asks the kernel what was written in an area, and has that watched anew. */
static int scan_area(struct ms_detector *det, const struct area *area, bool suspect)
{
	ms_source *src = det->source;
	struct run runs[RUNS];
	struct dirty_request request = {
		.what = DIRTY_SCAN,
		.base = align_down(area->base, src->page_size),
		.end = align_up(area->end, src->page_size),
		.runs = runs,
		.room = RUNS,
	};
	int r = 0;

	while (r == 0 && request.base < request.end) {
		r = src->ops->dirty(src, &request);
		if (r == 0 && suspect)
			r = suspect_runs(det, runs, request.ret_count);
		if (r == 0 && request.ret_reached <= request.base)
			break;
		request.base = request.ret_reached;
	}
	return r;
}

/*
 * Has the kernel watch an area; where it cannot, the area is compared. Of a fresh one nothing that
 * was written before counts.
 */
static void watch(struct ms_detector *det, struct area *area)
{
	const struct ms_region *region = region_of(det, area);
	uint64_t page = det->source->page_size;
	struct dirty_request request = {
		.what = DIRTY_WATCH,
		.base = align_down(area->base, page),
		.end = align_up(area->end, page),
	};

	area->dirty = det->method != MS_METHOD_COMPARE && region &&
		      !(region->perm & MS_PERM_SHARED) &&
		      det->source->ops->dirty(det->source, &request) == 0;
	if (area->dirty && area->fresh && !det->piles_up)
		area->dirty = scan_area(det, area, false) == 0;
}

static bool was_watched(const struct area *areas, size_t count, uint64_t base, uint64_t end)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (areas[middle].end > base)
			high = middle;
		else
			low = middle + 1;
	}
	return low < count && areas[low].base <= base && areas[low].end >= end && areas[low].dirty;
}

static int add_area(struct ms_detector *det, const struct ms_region *region, uint64_t base,
	uint64_t size, bool fresh)
{
	struct area area = {.base = base, .end = base + size, .fresh = fresh};

	area.plain = (region->flags & MS_REGION_ANONYMOUS) ||
		     (!region->inode && !region->dev_major && !region->dev_minor);
	return vec_push(&det->areas, area) ? 0 : err_nomem();
}

/* Adds what the filter lets through of a stretch. */
static int add_part(struct ms_detector *det, const struct pair_part *part)
{
	const struct ms_region *region = part->now;
	uint64_t at = part->base, end = part->base + part->size, base, size;
	int r = 0;

	if (!region || !ms_filter_match(&det->filter, region) ||
		((region->flags & MS_REGION_DEVICE) && !det->filter.device))
		return 0;
	while (r == 0 && at < end && filter_clip(&det->filter, at, end - at, &base, &size)) {
		r = add_area(det, region, base, size, !part->old || !part->same);
		at = base + size;
	}
	return r;
}

static int tell_part(struct ms_detector *det, const struct pair_part *part)
{
	struct change change = {.address = part->base, .size = part->size};
	const struct ms_region *region = part->now ? part->now : part->old;
	unsigned rights = MS_PERM_READ | MS_PERM_WRITE | MS_PERM_EXEC;
	uint64_t base, size;
	int r = 0;

	if (!ms_filter_match(&det->filter, region) ||
		!filter_clip(&det->filter, part->base, part->size, &base, &size))
		return 0;
	if (part->old && !part->same) {
		change.kind = CHANGE_UNMAP;
		r = tell(det, &change);
	}
	if (r == 0 && part->now && !part->same) {
		change.kind = CHANGE_MAP;
		r = tell(det, &change);
	}
	if (r == 0 && part->same && ((part->old->perm ^ part->now->perm) & rights)) {
		change.kind = CHANGE_PROTECT;
		change.old_perm = part->old->perm;
		r = tell(det, &change);
	}
	return r;
}

/* Compares the memory map with that of the picture, and makes the areas anew. */
static int remap(struct ms_detector *det, bool silent)
{
	struct pair_walk walk = {.old = &det->picture, .now = &det->source->regions};
	AUTO_FREE struct area *before = det->areas.data;
	size_t count_before = det->areas.count;
	struct pair_part part;
	int r = 0;

	memset(&det->areas, 0, sizeof(det->areas));
	while (r == 0 && pair_next(&walk, &part)) {
		if (!silent)
			r = tell_part(det, &part);
		/* Other memory in the same place: the picture of the old is of no use. */
		if (r == 0 && part.old && !part.same)
			mirror_drop(&det->mirror, part.base, part.base + part.size);
		if (r == 0)
			r = add_part(det, &part);
	}
	det->watched = det->compared = 0;
	for (size_t i = 0; i < det->areas.count; i++) {
		struct area *area = &det->areas.data[i];

		if (!area->fresh && was_watched(before, count_before, area->base, area->end))
			area->dirty = true;
		else
			watch(det, area);
		det->watched += area->end - area->base;
		det->compared += area->dirty ? 0 : area->end - area->base;
	}
	return r;
}

/* Keeps the list of regions as part of the picture. */
static int keep_regions(struct ms_detector *det)
{
	const struct region_list *now = &det->source->regions;

	region_list_clear(&det->picture);
	for (size_t i = 0; i < now->items.count; i++) {
		struct ms_region region = now->items.data[i];

		region.path = arena_string(&det->picture.strings, region.path);
		if (!region.path || !vec_push(&det->picture.items, region))
			return err_nomem();
	}
	return 0;
}

/* Lists regions anew if the map has changed; *ret_changed tells. */
static int look_at_map(struct ms_detector *det, bool *ret_changed, bool *ret_disturbed)
{
	struct dirty_request request = {.what = DIRTY_MAP};
	ms_source *src = det->source;
	bool cheap = src->ops->dirty;
	int r = cheap ? src->ops->dirty(src, &request) : 0;

	if (r < 0)
		return r;
	*ret_disturbed = request.ret_disturbed;
	*ret_changed = !cheap || request.ret_map != det->map || !src->regions_known;
	if (!*ret_changed)
		return 0;
	det->map = request.ret_map;
	return source_refresh(src);
}

/* ---- Rounds ----------------------------------------------------------------------------- */

/*
 * Other memory may have come into its place since the map was looked at. What the kernel told of
 * the rest of it is lost then, so the area is watched anew, and compared once.
 */
static int scan_round(struct ms_detector *det, struct area *area)
{
	int r = scan_area(det, area, true);

	area->lost = r == MS_ERR_NOT_FOUND;
	if (!area->lost)
		return r;
	watch(det, area);
	r = area->dirty && !det->piles_up ? scan_area(det, area, false) : 0;
	return r == MS_ERR_NOT_FOUND ? 0 : r;
}

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Looks at the suspects in [base, end) from *next on; both the list and the areas ascend. */
static int look_at_suspects(struct ms_detector *det, const struct area *area,
	const uint64_t *suspects, size_t count, size_t *next)
{
	uint64_t page = det->mirror.page, base = align_down(area->base, page);
	size_t i = *next;
	int r = 0;

	while (i < count && suspects[i] < base)
		i++;
	while (r == 0 && i < count && suspects[i] < area->end) {
		uint64_t first = suspects[i], end = first;

		while (i < count && suspects[i] < area->end && suspects[i] <= end) {
			if (suspects[i] == end)
				end += page;
			i++;
		}
		r = look_at(det, area, first, end);
	}
	/* A page may belong to two areas. */
	*next = i && i <= count && suspects[i - 1] + page > area->end ? i - 1 : i;
	return r;
}

/* Has all that was told forgotten; every area is compared once then. */
static int renew(struct ms_detector *det)
{
	struct dirty_request request = {.what = DIRTY_RENEW};
	int r = det->source->ops->dirty(det->source, &request);

	det->piled = 0;
	return r;
}

/* Finds out what was written in the watched areas, into the suspects. */
static int scan_areas(struct ms_detector *det, bool renewed)
{
	size_t before = det->suspects.count;
	int r = 0;

	for (size_t i = 0; i < det->areas.count && r == 0; i++) {
		struct area *area = &det->areas.data[i];

		area->lost = renewed;
		if (area->dirty && !area->fresh && !renewed)
			r = scan_round(det, area);
	}
	det->piled += (det->suspects.count - before) * det->mirror.page;
	return r;
}

static int run_areas(struct ms_detector *det, bool renewed)
{
	bool given_back = det->number % GIVEN_BACK_ROUNDS == 0;
	AUTO_FREE uint64_t *suspects = NULL;
	size_t count, next = 0;
	int r = scan_areas(det, renewed);

	/* Those that differ still come into a list of their own. */
	suspects = det->suspects.data;
	count = det->suspects.count;
	memset(&det->suspects, 0, sizeof(det->suspects));
	if (count)
		qsort(suspects, count, sizeof(*suspects), by_address);
	for (size_t i = 0; i < det->areas.count && r == 0; i++) {
		struct area *area = &det->areas.data[i];

		if (!area->dirty || area->fresh || area->lost)
			r = walk_area(det, area, true);
		else
			r = look_at_suspects(det, area, suspects, count, &next);
		if (r == 0 && area->dirty && !area->fresh && given_back)
			r = walk_area(det, area, false);
	}
	return r;
}

static int run_round(struct ms_detector *det)
{
	bool changed = false, renewed = false;
	int r = look_at_map(det, &changed, &renewed);

	renewed |= det->piles_up && pile_is_high(det->piled, det->mirror.bytes);
	if (r == 0 && changed)
		r = remap(det, false);
	if (r == 0 && renewed)
		r = renew(det);
	if (r == 0)
		r = run_areas(det, renewed);
	if (r < 0)
		return r;
	if (changed && det->update)
		r = keep_regions(det);
	/* Without an update the map is compared with that of the picture again. */
	if (changed && !det->update)
		det->map = 0;
	for (size_t i = 0; i < det->areas.count && (det->update || !changed); i++)
		det->areas.data[i].fresh = false;
	return r;
}

int ms_detector_initialize(ms_detector *det)
{
	uint64_t began_ns;
	bool changed, disturbed;
	int r;

	mirror_drop(&det->mirror, 0, UINT64_MAX);
	region_list_clear(&det->picture);
	det->areas.count = det->suspects.count = 0;
	det->map = 0;
	det->source->regions_known = false;
	det->limited = false;
	det->number = 0;
	det->round = (struct ms_round){0};
	r = look_at_map(det, &changed, &disturbed);
	if (r == 0 && det->piles_up)
		r = renew(det);
	began_ns = os_clock_ns();
	if (r == 0)
		r = remap(det, true);
	det->arm_ns = os_clock_ns() - began_ns;
	for (size_t i = 0; i < det->areas.count && r == 0; i++)
		r = walk_area(det, &det->areas.data[i], true);
	if (r == 0)
		r = keep_regions(det);
	for (size_t i = 0; i < det->areas.count; i++)
		det->areas.data[i].fresh = false;
	det->begun = r == 0;
	return r;
}

int ms_detector_detect(
	ms_detector *det, bool update, const struct ms_sink *sink, struct ms_round *ret_round)
{
	int r;

	if (!det->begun)
		return err_set(MS_ERR_ARGUMENT, "a detector must be initialized first");
	det->number++;
	det->round = (struct ms_round){.number = det->number};
	det->sink = sink;
	det->update = update;
	det->time = os_time();
	det->time_ns = os_clock_ns();
	r = run_round(det);
	det->sink = NULL;
	if (r == 0 && ret_round)
		*ret_round = det->round;
	return r;
}

int ms_detector_update(ms_detector *det)
{
	return ms_detector_detect(det, true, NULL, NULL);
}

void ms_detector_info(const ms_detector *det, struct ms_detector_info *ret_info)
{
	*ret_info = (struct ms_detector_info){
		.method = det->method,
		.why = *det->why ? det->why : NULL,
		.stop_ns = det->stop_ns,
		.arm_ns = det->arm_ns,
		.watched = det->watched,
		.compared = det->compared,
		.bytes_kept = det->mirror.bytes,
		.limited = det->limited,
	};
}

static bool is_mapped(const void *ctx, uint64_t address)
{
	return region_find(&((const struct ms_source *)ctx)->regions, address);
}

int ms_detector_stats(ms_detector *det, bool pages, size_t count_max,
	const struct ms_change_stat **ret_list, size_t *ret_count)
{
	const struct stats_map map = {is_mapped, det->source};
	struct ms_change_stat *list;
	int r;

	if (!det->stats)
		return err_set(MS_ERR_ARGUMENT, "this detector keeps no statistics");
	r = stats_list(det->stats, pages, count_max, &map, &list, ret_count);
	if (r < 0)
		return r;
	free(det->listed);
	det->listed = list;
	*ret_list = list;
	return 0;
}
