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
#include "track/detector.h"

#include "base/os.h"
#include "track/tracker.h"

enum { GIVEN_BACK_ROUNDS = 16 };

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
	det->buffer = malloc(DETECTOR_PIECE);
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

/* ---- Rounds ----------------------------------------------------------------------------- */

/*
 * Other memory may have come into its place since the map was looked at. What the kernel told of
 * the rest of it is lost then, so the area is watched anew, and compared once.
 */
static int scan_round(struct ms_detector *det, struct area *area)
{
	int r = detector_scan(det, area, true);

	area->lost = r == MS_ERR_NOT_FOUND;
	if (!area->lost)
		return r;
	detector_watch(det, area);
	r = area->dirty && !det->piles_up ? detector_scan(det, area, false) : 0;
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
		r = detector_look_at(det, area, first, end);
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
	array_sort(suspects, count, sizeof(*suspects), by_address);
	for (size_t i = 0; i < det->areas.count && r == 0; i++) {
		struct area *area = &det->areas.data[i];

		if (!area->dirty || area->fresh || area->lost)
			r = detector_walk(det, area, true);
		else
			r = look_at_suspects(det, area, suspects, count, &next);
		if (r == 0 && area->dirty && !area->fresh && given_back)
			r = detector_walk(det, area, false);
	}
	return r;
}

static int run_round(struct ms_detector *det)
{
	bool changed = false, renewed = false;
	int r = detector_look_at_map(det, &changed, &renewed);

	renewed |= det->piles_up && pile_is_high(det->piled, det->mirror.bytes);
	if (r == 0 && changed)
		r = detector_remap(det, false);
	if (r == 0 && renewed)
		r = renew(det);
	if (r == 0)
		r = run_areas(det, renewed);
	if (r < 0)
		return r;
	if (changed && det->update)
		r = detector_keep_regions(det);
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
	r = detector_look_at_map(det, &changed, &disturbed);
	if (r == 0 && det->piles_up)
		r = renew(det);
	began_ns = os_clock_ns();
	if (r == 0)
		r = detector_remap(det, true);
	det->arm_ns = os_clock_ns() - began_ns;
	for (size_t i = 0; i < det->areas.count && r == 0; i++)
		r = detector_walk(det, &det->areas.data[i], true);
	if (r == 0)
		r = detector_keep_regions(det);
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
