/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A refresh goes through what the system says of the pages, which costs next to nothing, and reads
 * those with data: all of them, or of a tracked mirror what was written and what was no data the
 * last time. That a page was given back or has come in from swap is no write, so nobody tells it.
 *
 * A page is protected before it is read. What is written between the two is read, and told once
 * more at the next refresh; nothing is lost.
 */
#include "track/mapping.h"

#include "base/err.h"
#include "base/os.h"

enum {
	CLEAR_SIZE = 256 * 1024,
	TRIES = 2,
};

struct sweep {
	struct ms_mapping *mapping;
	struct run_list old; /* the stretches without data of the last refresh */
	struct run_list todo;
	size_t old_next, todo_next;
	uint64_t read;
};

static uint64_t end_of(const struct run *run)
{
	return run->base + run->size;
}

/* ---- What is to be read ----------------------------------------------------------------- */

static void watch(struct ms_mapping *mapping)
{
	mapping->why =
		tracker_watch(mapping->tracker, mapping->first, mapping->first + mapping->room);
	mapping->tracked = !mapping->why;
	mapping->stale = true;
	mapping->version = mapping->tracker->version;
}

/* Takes what was written, and begins again where other memory was mapped. */
static int take_written(struct ms_mapping *mapping, struct run_list *written)
{
	struct tracker *tracker = mapping->tracker;

	for (int i = 0; i < TRIES; i++) {
		int r = tracker_look(tracker);

		if (r == 0 && !mapping->tracked && mapping->version != tracker->version)
			watch(mapping);
		if (r < 0 || !mapping->tracked)
			return r;
		mapping->stale |= mapping->renewals != tracker->renewals;
		mapping->renewals = tracker->renewals;
		r = tracker_written(
			tracker, mapping->first, mapping->first + mapping->room, written);
		if (r != MS_ERR_NOT_FOUND)
			return r;
		mapping->tracked = false;
		mapping->version = 0;
		tracker->held = false;
	}
	mapping->why = "the memory map changes all the time";
	return 0;
}

static int by_base(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

static void merge(struct run_list *list)
{
	struct run *runs = list->items.data;
	size_t count = 0;

	vec_sort(&list->items, by_base);
	for (size_t i = 0; i < list->items.count; i++)
		if (count && runs[i].base <= end_of(&runs[count - 1]))
			runs[count - 1].size = max_u64(end_of(&runs[count - 1]), end_of(&runs[i])) -
					       runs[count - 1].base;
		else
			runs[count++] = runs[i];
	list->items.count = count;
}

static int choose(struct sweep *sweep)
{
	struct ms_mapping *mapping = sweep->mapping;
	struct run_list *todo = &sweep->todo;
	const struct run all = {mapping->base, mapping->size, MS_STATE_DATA};
	int r = mapping->tracker ? take_written(mapping, todo) : 0;

	if (r < 0)
		return r;
	if (!mapping->tracked || mapping->stale) {
		todo->items.count = 0;
		return vec_push(&todo->items, all) ? 0 : err_nomem();
	}
	for (size_t i = 0; i < sweep->old.items.count; i++)
		if (!vec_push(&todo->items, sweep->old.items.data[i]))
			return err_nomem();
	merge(todo);
	return 0;
}

/* ---- What holds no data ----------------------------------------------------------------- */

static int gap_add(struct ms_mapping *mapping, uint64_t base, uint64_t size, enum ms_state state)
{
	struct ms_gap *last =
		mapping->gaps.count ? &mapping->gaps.data[mapping->gaps.count - 1] : NULL;

	if (last && last->state == state && last->base + last->size == base)
		last->size += size;
	else if (!vec_push(&mapping->gaps, (struct ms_gap){base, size, state}))
		return err_nomem();
	return 0;
}

static int blank_add(struct ms_mapping *mapping, uint64_t base, uint64_t size, enum ms_state state)
{
	struct run_list *blank = &mapping->blank;
	size_t count = blank->items.count;
	struct run *last = count ? &blank->items.data[count - 1] : NULL;

	if (last && end_of(last) == base)
		last->size += size;
	else if (!vec_push(&blank->items, (struct run){base, size, state}))
		return err_nomem();
	return state == MS_STATE_ABSENT ? 0 : gap_add(mapping, base, size, state);
}

/* Zeros; of large stretches by new pages, so that they cost nothing. */
static int clear(struct ms_mapping *mapping, uint64_t base, uint64_t size)
{
	uint64_t page = os_page_size(), end = base + size;
	uint64_t first = align_up(base, page), last = align_down(end, page);
	uint8_t *pages = mapping->pages;

	if (size < CLEAR_SIZE) {
		memset(pages + (base - mapping->first), 0, (size_t)size);
		return 0;
	}
	memset(pages + (base - mapping->first), 0, (size_t)(first - base));
	memset(pages + (last - mapping->first), 0, (size_t)(end - last));
	return os_pages_renew(pages + (first - mapping->first), (size_t)(last - first))
		       ? 0
		       : err_nomem();
}

/* Whether all of it was no data at the last refresh, and so is zeros already. */
static bool is_clear(struct sweep *sweep, const struct run *run)
{
	const struct run *old = sweep->old.items.data;

	while (sweep->old_next < sweep->old.items.count &&
		end_of(&old[sweep->old_next]) <= run->base)
		sweep->old_next++;
	return sweep->old_next < sweep->old.items.count && old[sweep->old_next].base <= run->base &&
	       end_of(&old[sweep->old_next]) >= end_of(run);
}

/* ---- Reading ---------------------------------------------------------------------------- */

static int piece_take(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct sweep *sweep = ctx;
	struct ms_mapping *mapping = sweep->mapping;
	int r;

	if (mapping->reader.gone)
		return err_set(MS_ERR_GONE, "pid %u ended", mapping->src->process.pid);
	if (state == MS_STATE_DATA) {
		sweep->read += size;
		return 0;
	}
	r = clear(mapping, base, size);
	return r < 0 ? r : blank_add(mapping, base, size, state);
}

/* Reads what is to be read of a stretch with data. */
static int data_take(struct sweep *sweep, const struct run *run)
{
	struct ms_mapping *mapping = sweep->mapping;
	const struct run *todo = sweep->todo.items.data;
	int r = 0;

	while (r == 0 && sweep->todo_next < sweep->todo.items.count) {
		const struct run *next = &todo[sweep->todo_next];
		uint64_t base = max_u64(next->base, run->base);
		uint64_t end = min_u64(end_of(next), end_of(run));

		if (next->base >= end_of(run))
			break;
		if (base < end)
			r = reader_read(&mapping->reader, base,
				mapping->pages + (base - mapping->first), (size_t)(end - base),
				piece_take, sweep);
		if (end_of(next) > end_of(run))
			break;
		sweep->todo_next++;
	}
	return r;
}

/* A stretch of one state, as the pages are known to be before reading. */
static int stretch_take(struct sweep *sweep, const struct run *run)
{
	if (run->state == MS_STATE_DATA)
		return data_take(sweep, run);
	if (is_clear(sweep, run))
		return blank_add(sweep->mapping, run->base, run->size, run->state);
	return piece_take(sweep, run->base, (size_t)run->size, run->state);
}

/* Goes on from the stretch of one region, or of none, at `at`; *ret_run is what is known of it. */
static int next_run(struct ms_mapping *mapping, uint64_t at, uint64_t end, struct run *ret_run)
{
	ms_source *src = mapping->src;
	const struct ms_region *region = region_find_from(&src->regions, at);
	uint64_t page, limit;
	struct run run;
	size_t count = 0;
	int r;

	if (!region || region->base > at) {
		limit = region ? min_u64(end, region->base) : end;
		*ret_run = (struct run){at, limit - at, MS_STATE_VANISHED};
		return 0;
	}
	limit = min_u64(end, region->base + region->size);
	*ret_run = (struct run){at, limit - at, MS_STATE_DATA};
	if (region->flags & MS_REGION_DEVICE)
		ret_run->state = MS_STATE_DEVICE;
	if (!src->ops->resident || (region->flags & MS_REGION_DEVICE))
		return 0;
	page = max_u64(align_down(at, src->page_size), region->base);
	limit = min_u64(align_up(limit, src->page_size), region->base + region->size);
	r = src->ops->resident(src, region, page, limit - page, &run, 1, &count);
	if (r < 0 || !count || run.base + run.size <= at)
		return r < 0 ? r
			     : err_set(MS_ERR_IO, "nothing is known of address 0x%llx",
				       (unsigned long long)at);
	*ret_run = (struct run){at, min_u64(end, run.base + run.size) - at, run.state};
	return 0;
}

static int read_all(struct sweep *sweep)
{
	struct ms_mapping *mapping = sweep->mapping;
	uint64_t at = mapping->base, end = at + mapping->size;
	int r = 0;

	while (r == 0 && at < end) {
		struct run run;

		r = next_run(mapping, at, end, &run);
		if (r == 0)
			r = stretch_take(sweep, &run);
		at += r == 0 ? run.size : 0;
	}
	return r;
}

int mirror_refresh(struct ms_mapping *mapping, uint64_t *read)
{
	struct sweep sweep = {.mapping = mapping, .old = mapping->blank};
	int r = choose(&sweep);

	if (r == 0) {
		mapping->blank = (struct run_list){0};
		mapping->gaps.count = 0;
		mapping->reader.gone = false;
		r = read_all(&sweep);
		free(sweep.old.items.data);
	}
	/* What was told is told no more. */
	mapping->stale = r < 0;
	free(sweep.todo.items.data);
	*read += sweep.read;
	return r;
}
