/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watched stretches of a target's memory map: how they follow the map, and which of them the
 * kernel watches. Only what a filter lets through is an area, so a region may have several, and two
 * of them may share a page.
 */
#include "track/detector.h"

#include "core/plan.h"
#include "track/pair.h"

static int suspect_runs(struct ms_detector *det, const struct run *runs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = 0; at < runs[i].size; at += det->mirror.page)
			if (!vec_push(&det->suspects, runs[i].base + at))
				return err_nomem();
	return 0;
}

int detector_scan(struct ms_detector *det, const struct area *area, bool suspect)
{
	ms_source *src = det->source;
	struct run runs[DETECTOR_RUNS];
	struct dirty_request request = {
		.what = DIRTY_SCAN,
		.base = align_down(area->base, src->page_size),
		.end = align_up(area->end, src->page_size),
		.runs = runs,
		.room = DETECTOR_RUNS,
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

void detector_watch(struct ms_detector *det, struct area *area)
{
	const struct ms_region *region = detector_region_of(det, area);
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
		area->dirty = detector_scan(det, area, false) == 0;
}

static bool was_watched(const struct area *areas, size_t count, uint64_t base, uint64_t end)
{
	size_t i;

	bisect(i, count, areas[i].end > base);
	return i < count && areas[i].base <= base && areas[i].end >= end && areas[i].dirty;
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
		r = detector_tell(det, &change);
	}
	if (r == 0 && part->now && !part->same) {
		change.kind = CHANGE_MAP;
		r = detector_tell(det, &change);
	}
	if (r == 0 && part->same && ((part->old->perm ^ part->now->perm) & rights)) {
		change.kind = CHANGE_PROTECT;
		change.old_perm = part->old->perm;
		r = detector_tell(det, &change);
	}
	return r;
}

int detector_remap(struct ms_detector *det, bool silent)
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
			detector_watch(det, area);
		det->watched += area->end - area->base;
		det->compared += area->dirty ? 0 : area->end - area->base;
	}
	return r;
}

int detector_keep_regions(struct ms_detector *det)
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

int detector_look_at_map(struct ms_detector *det, bool *ret_changed, bool *ret_disturbed)
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
