/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk: next_run() yields stretches of data in ascending order and accounts for everything
 * it passes over; extend() joins them; plan_next() cuts. A stretch is known a little further
 * than the chunk being cut, so that the chunk can say how far the bytes behind it reach.
 */
#include "core/plan.h"

#include "base/err.h"

#include <assert.h>

void plan_init(struct plan *plan, struct ms_source *src, const struct ms_filter *filter,
	struct coverage *coverage, uint64_t bytes_max)
{
	plan->src = src;
	plan->filter = filter;
	plan->coverage = coverage;
	plan->bytes_max = bytes_max;
	plan->canonical = false;
	plan->stopped = NULL;
	plan->region = 0;
	plan->at = 0;
	plan->in_region = false;
	plan->run = plan->run_count = 0;
	plan->window = PLAN_WINDOW;
	plan->base = plan->end = plan->next = 0;
	plan->closed = true;
	plan->position = plan->handed_out = plan->walked = 0;
	plan->pending = (struct planned){0};
	memset(&plan->frozen, 0, sizeof(plan->frozen));
	plan->frozen_next = 0;
	plan->is_frozen = false;
	for (size_t i = 0; i < src->regions.items.count; i++)
		coverage->sums.total += src->regions.items.data[i].size;
}

/* The filter does not want it. */
static void leave_out(struct plan *plan, uint64_t base, uint64_t size)
{
	struct coverage *coverage = plan->coverage;
	struct absent absent = {base, size, MS_STATE_LEFT_OUT, UINT64_MAX};

	coverage->sums.filtered += size;
	if (size && coverage->keep_absent && !vec_push(&coverage->absents, absent))
		coverage->failed = true;
}

static const struct ms_region *plan_region(const struct plan *plan)
{
	return &plan->src->regions.items.data[plan->region];
}

/* Goes on to the first region from plan->region that is wanted; false at the end. */
static bool enter_region(struct plan *plan)
{
	for (; plan->region < plan->src->regions.items.count; plan->region++) {
		const struct ms_region *region = plan_region(plan);

		if (!ms_filter_match(plan->filter, region))
			leave_out(plan, region->base, region->size);
		else if ((region->flags & MS_REGION_DEVICE) && !plan->filter->device)
			coverage_add(plan->coverage, region->base, region->size, MS_STATE_DEVICE);
		else {
			plan->in_region = true;
			plan->at = region->base;
			plan->run = plan->run_count = 0;
			return true;
		}
	}
	return false;
}

/* Narrows the rest of the region to the filter's next address range; false if none is left. */
static bool clip_region(struct plan *plan, uint64_t *ret_size)
{
	const struct ms_region *region = plan_region(plan);
	uint64_t left = region->base + region->size - plan->at;
	uint64_t base, size;

	if (left && filter_clip(plan->filter, plan->at, left, &base, &size)) {
		leave_out(plan, plan->at, base - plan->at);
		plan->at = base;
		*ret_size = size;
		return true;
	}
	leave_out(plan, plan->at, left);
	plan->in_region = false;
	plan->region++;
	return false;
}

/* Cuts the runs, which lie on pages, down to [base, base + size). */
static void clip_runs(struct plan *plan, uint64_t base, uint64_t size)
{
	struct run *first = &plan->runs[0], *last = &plan->runs[plan->run_count - 1];
	uint64_t end = base + size;

	if (first->base < base) {
		first->size -= base - first->base;
		first->base = base;
	}
	if (last->base + last->size > end)
		last->size = end - last->base;
}

/*
 * How much of the region to ask about: not all of a large one at once, as workers wait meanwhile,
 * but more and more of one that seems to hold nothing to read. Where stretches without data are
 * kept, they are kept whole.
 */
static uint64_t next_window(struct plan *plan, uint64_t size)
{
	bool uniform = plan->run_count == 1 && plan->runs[0].state != MS_STATE_DATA;
	uint64_t window = plan->window;

	if (plan->coverage->keep_absent)
		return size;
	plan->window = uniform ? max_u64(window, 2 * window) : PLAN_WINDOW;
	return min_u64(size, plan->window);
}

/*
 * One that the backend may have cut, as it stopped early, is asked about again, unless there is
 * nothing else. The parts of such a long one are joined in pass_over().
 */
static void leave_cut(struct plan *plan, uint64_t left)
{
	const struct run *last = &plan->runs[plan->run_count - 1];

	if (plan->coverage->keep_absent && plan->run_count > 1 &&
		last->base + last->size < plan->at + left)
		plan->run_count--;
}

/* Asks the backend about the next stretch of the region. */
static int fetch_runs(struct plan *plan, uint64_t size)
{
	struct ms_source *src = plan->src;
	const struct ms_region *region = plan_region(plan);
	uint64_t base, end, left = size;
	int r;

	if (!src->ops->resident || (src->ops->counts_resident && region->resident == region->size)) {
		plan->runs[0] = (struct run){plan->at, size, MS_STATE_DATA};
		plan->run = 0;
		plan->run_count = 1;
		plan->at += size;
		return 0;
	}
	size = next_window(plan, size);
	base = align_down(plan->at, src->page_size);
	end = min_u64(align_up(plan->at + size, src->page_size), region->base + region->size);
	plan->run = 0;
	plan->run_count = 0;
	r = src->ops->resident(
		src, region, base, end - base, plan->runs, PLAN_RUNS, &plan->run_count);
	if (r < 0)
		return r;
	assert(plan->run_count > 0 && plan->runs[0].base == base);
	clip_runs(plan, plan->at, size);
	leave_cut(plan, left);
	plan->at = plan->runs[plan->run_count - 1].base + plan->runs[plan->run_count - 1].size;
	return 0;
}

/* The stretch without data, kept and without room, of which this one is the next part; or NULL. */
static struct absent *absent_begun(const struct plan *plan, const struct run *run)
{
	const struct coverage *coverage = plan->coverage;
	size_t count = coverage->absents.count;
	struct absent *last = count ? &coverage->absents.data[count - 1] : NULL;
	bool begun = last && last->state == MS_STATE_ABSENT && last->position == UINT64_MAX &&
		     last->base + last->size == run->base && plan_region(plan)->base < run->base;

	return begun ? last : NULL;
}

/* Accounts for a stretch that is not read. */
static void pass_over(struct plan *plan, const struct run *run)
{
	struct coverage *coverage = plan->coverage;
	struct absent absent = {run->base, run->size, MS_STATE_ABSENT, UINT64_MAX};
	struct absent *begun;

	coverage_add(coverage, run->base, run->size, run->state);
	if (run->state != MS_STATE_ABSENT)
		return;
	begun = absent_begun(plan, run);
	if (begun) {
		begun->size += run->size;
		return;
	}
	if (run->size <= PLAN_ABSENT_ROOM) {
		absent.position = plan->walked;
		plan->walked += run->size;
	}
	if (coverage->keep_absent && !vec_push(&coverage->absents, absent))
		coverage->failed = true;
}

/* The next stretch of data; returns 1, 0 at the end of all regions, or a negative status. */
static int walk_run(struct plan *plan, struct planned *ret_run)
{
	for (;;) {
		uint64_t size;
		int r;

		while (plan->run < plan->run_count) {
			struct run run = plan->runs[plan->run++];

			if (run.state == MS_STATE_SWAPPED && plan->filter->swapped)
				run.state = MS_STATE_DATA;
			if (run.state == MS_STATE_DATA) {
				*ret_run = (struct planned){run.base, run.size, plan->walked};
				plan->walked += run.size;
				return 1;
			}
			pass_over(plan, &run);
		}
		if (!plan->in_region && !enter_region(plan))
			return 0;
		if (!clip_region(plan, &size))
			continue;
		if (plan->stopped && plan->stopped(plan->ctx))
			return MS_ERR_STOPPED;
		r = fetch_runs(plan, size);
		if (r < 0)
			return r;
	}
}

/* The same from the frozen plan, if there is one. */
static int next_run(struct plan *plan, struct planned *ret_run)
{
	if (!plan->is_frozen)
		return walk_run(plan, ret_run);
	if (plan->frozen_next == plan->frozen.count)
		return 0;
	*ret_run = plan->frozen.data[plan->frozen_next++];
	return 1;
}

/* Learns of so much of the stretch behind plan->next, or to its end. */
static int extend(struct plan *plan, size_t far)
{
	uint64_t upto;

	if (!add_u64(plan->next, far, &upto))
		upto = UINT64_MAX;
	while (!plan->closed && plan->end < upto) {
		struct planned run;
		int r = next_run(plan, &run);

		if (r < 0)
			return r;
		if (r == 0)
			plan->closed = true;
		else if (run.base == plan->end)
			plan->end += run.size;
		else {
			plan->closed = true;
			plan->pending = run;
		}
	}
	return 0;
}

/* Begins the next stretch; returns 1, 0 at the end, or a negative status. */
static int begin_stretch(struct plan *plan)
{
	struct planned run = plan->pending;

	plan->pending = (struct planned){0};
	if (!run.size) {
		int r = next_run(plan, &run);

		if (r <= 0)
			return r;
	}
	plan->position = run.position;
	plan->base = plan->next = run.base;
	plan->end = run.base + run.size;
	plan->closed = false;
	return 1;
}

/* The rest of the regions without asking which pages hold data: quick, whatever is left. */
static void abandon_regions(struct plan *plan, enum ms_state why)
{
	for (; plan->run < plan->run_count; plan->run++) {
		struct run run = plan->runs[plan->run];

		bool wanted = run.state == MS_STATE_DATA ||
			      (run.state == MS_STATE_SWAPPED && plan->filter->swapped);

		coverage_add(plan->coverage, run.base, run.size, wanted ? why : run.state);
	}
	while (plan->in_region || enter_region(plan)) {
		uint64_t size;

		if (!clip_region(plan, &size))
			continue;
		coverage_add(plan->coverage, plan->at, size, why);
		plan->at += size;
	}
}

int plan_freeze(struct plan *plan, uint64_t *ret_end)
{
	uint64_t total = 0, end = 0;
	struct planned run;
	int r;

	while ((r = walk_run(plan, &run)) > 0) {
		uint64_t left = plan->bytes_max - total;

		if (run.size > left) {
			coverage_add(
				plan->coverage, run.base + left, run.size - left, MS_STATE_LIMIT);
			run.size = left;
		}
		if (run.size && !vec_push(&plan->frozen, run))
			return err_nomem();
		total += run.size;
		if (run.size)
			end = run.position + run.size;
	}
	if (r == MS_ERR_STOPPED)
		abandon_regions(plan, MS_STATE_DEADLINE);
	else if (r < 0)
		return r;
	plan->is_frozen = true;
	*ret_end = end;
	return 0;
}

void plan_done(struct plan *plan)
{
	if (plan)
		free(plan->frozen.data);
	free(plan);
}

/*
 * How far a chunk of at most `size` bytes may reach from plan->next: to the end of its region,
 * and not across a multiple of the size, counted in the file where there is one, else in
 * addresses. The same pages are then cut alike wherever they are mapped.
 */
static size_t canonical_size(const struct plan *plan, size_t size)
{
	const struct ms_region *region = region_find(&plan->src->regions, plan->next);
	uint64_t at = plan->next;

	if (!region || !size)
		return size;
	if (region->inode)
		at = plan->next - region->base + region->offset;
	return (size_t)min_u64(size - at % size, region->base + region->size - plan->next);
}

int plan_next(struct plan *plan, size_t fresh, size_t before, size_t after, struct chunk *ret_chunk)
{
	uint64_t left = plan->bytes_max - plan->handed_out;
	int r = 0;

	if (!left) {
		plan_abandon(plan, MS_STATE_LIMIT);
		return 0;
	}
	/* Further than needed, so that a stretch that ends just there is seen to end. */
	r = extend(plan, fresh + after + 1);
	if (r == 0 && plan->next == plan->end) {
		r = begin_stretch(plan);
		if (r <= 0)
			return r;
		r = extend(plan, fresh + after + 1);
	}
	if (r < 0)
		return r;
	if (plan->canonical)
		fresh = canonical_size(plan, fresh);
	fresh = (size_t)min_u64(min_u64(fresh, left), plan->end - plan->next);
	*ret_chunk = (struct chunk){
		.base = plan->next,
		.fresh = fresh,
		.before = (size_t)min_u64(before, plan->next - plan->base),
		.after = (size_t)min_u64(after, plan->end - plan->next - fresh),
		.position = plan->position,
	};
	plan->next += fresh;
	plan->position += fresh;
	plan->handed_out += fresh;
	return 1;
}

void plan_abandon(struct plan *plan, enum ms_state why)
{
	struct planned run;

	coverage_add(plan->coverage, plan->next, plan->end - plan->next, why);
	coverage_add(plan->coverage, plan->pending.base, plan->pending.size, why);
	plan->next = plan->end;
	plan->pending = (struct planned){0};
	plan->closed = true;
	for (; plan->frozen_next < plan->frozen.count; plan->frozen_next++) {
		run = plan->frozen.data[plan->frozen_next];
		coverage_add(plan->coverage, run.base, run.size, why);
	}
	plan->is_frozen = false;
	/* A byte limit leaves time to tell what holds no data; a deadline does not. */
	while (why == MS_STATE_LIMIT && next_run(plan, &run) > 0)
		coverage_add(plan->coverage, run.base, run.size, why);
	abandon_regions(plan, why);
}
