/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mirror must be what the target has, so only memory is tracked that changes by the target's own
 * writes alone: neither shared memory nor files, which others may write.
 */
#include "track/tracker.h"

enum { RUNS = 512 };

int tracker_begin(struct tracker *tracker, struct ms_source *src)
{
	struct dirty_request request = {.what = DIRTY_BEGIN};
	int r = MS_ERR_UNSUPPORTED;

	*tracker = (struct tracker){.src = src};
	if (!src->ops->dirty)
		err_set(r, "writes are told only of live processes");
	else
		r = src->ops->dirty(src, &request);
	tracker->on = r == 0;
	tracker->piles_up = r == 0 && request.ret_piles_up;
	if (r < 0)
		snprintf(tracker->why, sizeof(tracker->why), "%s", ms_error());
	return r == MS_ERR_GONE ? r : 0;
}

void tracker_end(struct tracker *tracker)
{
	struct dirty_request request = {.what = DIRTY_END};

	if (tracker->on)
		tracker->src->ops->dirty(tracker->src, &request);
	tracker->on = false;
}

static int renew(struct tracker *tracker)
{
	struct dirty_request request = {.what = DIRTY_RENEW};
	int r = tracker->src->ops->dirty(tracker->src, &request);

	tracker->piled = 0;
	tracker->renewals++;
	return r;
}

int tracker_look(struct tracker *tracker)
{
	struct dirty_request request = {.what = DIRTY_MAP};
	struct ms_source *src = tracker->src;
	int r;

	if (tracker->held)
		return 0;
	r = src->ops->dirty(src, &request);
	if (r == 0 && (request.ret_disturbed ||
			      (tracker->piles_up && pile_is_high(tracker->piled, tracker->room))))
		r = renew(tracker);
	if (r < 0 || (tracker->version && request.ret_map == tracker->map && src->regions_known))
		return r;
	r = source_refresh(src);
	if (r < 0)
		return r;
	tracker->map = request.ret_map;
	tracker->version++;
	return 0;
}

/* Why writes to a region are not the whole story, or NULL. */
static const char *written_otherwise(const struct ms_region *region)
{
	if (region->flags & MS_REGION_DEVICE)
		return "the memory of a device changes by itself";
	if (region->perm & MS_PERM_SHARED)
		return "shared memory is written by others, too";
	if (region->inode || region->dev_major || region->dev_minor)
		return "the pages of a file change with it";
	return NULL;
}

const char *tracker_watch(struct tracker *tracker, uint64_t base, uint64_t end)
{
	struct ms_source *src = tracker->src;
	const struct ms_region *region;
	const char *why;

	for (uint64_t at = base; at < end; at = region->base + region->size) {
		struct dirty_request request = {.what = DIRTY_WATCH};

		region = region_find_from(&src->regions, at);
		if (!region || region->base >= end)
			return NULL;
		why = written_otherwise(region);
		if (why)
			return why;
		request.base = max_u64(at, region->base);
		request.end = min_u64(end, region->base + region->size);
		if (src->ops->dirty(src, &request) < 0)
			return "the kernel does not track writes there";
	}
	return NULL;
}

int tracker_written(struct tracker *tracker, uint64_t base, uint64_t end, struct run_list *written)
{
	struct run runs[RUNS];
	struct dirty_request request = {
		.what = DIRTY_SCAN, .base = base, .end = end, .runs = runs, .room = RUNS};

	while (request.base < end) {
		int r = tracker->src->ops->dirty(tracker->src, &request);

		if (r < 0)
			return r;
		for (size_t i = 0; i < request.ret_count; i++) {
			if (!vec_push(&written->items, runs[i]))
				return err_nomem();
			tracker->piled += runs[i].size;
		}
		if (request.ret_reached <= request.base)
			return err_set(MS_ERR_IO, "nothing is told of address 0x%llx",
				(unsigned long long)request.base);
		request.base = request.ret_reached;
	}
	return 0;
}
