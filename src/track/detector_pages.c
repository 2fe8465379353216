/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a page was and what it has become. What only this file knows is which pages need no room in
 * the picture: those that read as zeros where zeros go without saying.
 */
#include "track/detector.h"

#include "track/pagediff.h"

/* ---- Telling ---------------------------------------------------------------------------- */

int detector_tell(struct ms_detector *det, struct change *change)
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
		r = detector_tell(det, &change);
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

/* How many of the bytes, in whole pages, are those of the picture and need no closer look. */
static size_t known(const struct ms_detector *det, const struct area *area, uint64_t address,
	const uint8_t *now, size_t size)
{
	size_t there;
	const uint8_t *old = area->fresh ? NULL : mirror_view(&det->mirror, address, &there);

	there = old ? (size_t)min_u64(there, size) : 0;
	return there && pagediff_equal(old, now, there) ? there : 0;
}

/* Looks at whole pages that were read. */
static int look_at_pages(struct ms_detector *det, const struct area *area, uint64_t address,
	const uint8_t *now, size_t size)
{
	size_t page = det->mirror.page, step;
	int r = 0;

	for (size_t at = 0; at < size && r == 0; at += step) {
		step = known(det, area, address + at, now + at, size - at);
		det->round.pages_written += step / page;
		if (step)
			continue;
		step = page;
		r = look_at_page(det, area, address + at, now + at);
	}
	return r;
}

int detector_look_at(struct ms_detector *det, const struct area *area, uint64_t base, uint64_t end)
{
	ms_source *src = det->source;
	size_t page = det->mirror.page;

	while (base < end) {
		size_t want = (size_t)min_u64(end - base, DETECTOR_PIECE), got = 0;
		int r = src->ops->read(src, base, det->buffer, want, &got);

		if (r < 0)
			return r;
		got -= got % page;
		det->round.bytes_read += got;
		r = look_at_pages(det, area, base, det->buffer, got);
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

const struct ms_region *detector_region_of(const struct ms_detector *det, const struct area *area)
{
	return region_find(&det->source->regions, area->base);
}

int detector_walk(struct ms_detector *det, const struct area *area, bool read)
{
	ms_source *src = det->source;
	const struct ms_region *region = detector_region_of(det, area);
	uint64_t page = src->page_size;
	uint64_t at = align_down(area->base, page), end = align_up(area->end, page);
	struct run runs[DETECTOR_RUNS];
	int r = 0;

	if (!src->ops->resident)
		return read ? detector_look_at(det, area, at, end) : 0;
	while (region && at < end && r == 0) {
		size_t count = 0;

		r = src->ops->resident(src, region, at, end - at, runs, DETECTOR_RUNS, &count);
		if (r < 0 || !count)
			return r;
		for (size_t i = 0; i < count && r == 0; i++) {
			const struct run *run = &runs[i];
			bool data = run->state == MS_STATE_DATA ||
				    (run->state == MS_STATE_SWAPPED && det->filter.swapped);

			if (data && read)
				r = detector_look_at(det, area, run->base, run->base + run->size);
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
