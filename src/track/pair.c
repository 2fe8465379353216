/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The view is a source, so that plan, reader and loop need not know of it: its regions are the
 * stretches that both sides have, a page holds data if it does on either side, and if one side
 * cannot be read there, neither can the view. A read that comes back short may have met a page
 * without data: only then are the pages looked at.
 */
#include "track/pair.h"

#include "base/err.h"

enum { SIDE_RUNS = 256, READ_RUNS = 16 };

struct pair_host {
	ms_source *sides[2]; /* old and now */
	ms_source *bytes;    /* the one of them that is read */
};

static const struct pair_host *pair_of(const struct ms_source *src)
{
	return src->host->priv;
}

/* ---- Regions ---------------------------------------------------------------------------- */

static uint64_t region_end(const struct ms_region *region)
{
	return region->base + region->size;
}

/* The region of a list that the walk has come to, or NULL. */
static const struct ms_region *region_at(const struct region_list *list, size_t *next, uint64_t at)
{
	while (*next < list->items.count && region_end(&list->items.data[*next]) <= at)
		(*next)++;
	return *next < list->items.count ? &list->items.data[*next] : NULL;
}

/* Whether two mappings of files show other parts, or another file. */
static bool is_replaced(const struct ms_region *old, const struct ms_region *now)
{
	if (!old->inode || !now->inode)
		return false;
	return old->inode != now->inode || old->dev_major != now->dev_major ||
	       old->dev_minor != now->dev_minor ||
	       old->offset - old->base != now->offset - now->base;
}

bool pair_next(struct pair_walk *walk, struct pair_part *ret_part)
{
	const struct ms_region *old = region_at(walk->old, &walk->old_next, walk->at);
	const struct ms_region *now = region_at(walk->now, &walk->now_next, walk->at);
	uint64_t base = UINT64_MAX, end = UINT64_MAX;

	if (!old && !now)
		return false;
	base = old ? old->base : base;
	base = max_u64(now ? min_u64(base, now->base) : base, walk->at);
	if (old)
		end = old->base <= base ? region_end(old) : old->base;
	if (now)
		end = min_u64(end, now->base <= base ? region_end(now) : now->base);
	old = old && old->base <= base ? old : NULL;
	now = now && now->base <= base ? now : NULL;
	*ret_part = (struct pair_part){
		base, end - base, old, now, old && now && !is_replaced(old, now)};
	walk->at = end;
	return true;
}

static int list_add(struct region_list *out, const struct pair_part *part)
{
	struct ms_region region = *part->now;

	region.base = part->base;
	region.size = part->size;
	region.offset += part->base - part->now->base;
	region.resident = min_u64(region.resident, part->size);
	region.flags |= part->old->flags & MS_REGION_DEVICE;
	region.path = arena_string(&out->strings, part->now->path);
	return region.path && vec_push(&out->items, region) ? 0 : err_nomem();
}

/* Both views of a pair may be asked at once, each by a thread of its own. */
static int side_regions(ms_source *side, struct region_list *out)
{
	int r;

	pthread_mutex_lock(&side->relist);
	r = side->ops->regions(side, out);
	pthread_mutex_unlock(&side->relist);
	return r;
}

static int pair_regions(struct ms_source *src, struct region_list *out)
{
	const struct pair_host *host = pair_of(src);
	struct region_list lists[2] = {0};
	struct pair_walk walk = {.old = &lists[0], .now = &lists[1]};
	struct pair_part part;
	int r = 0;

	for (size_t i = 0; i < 2 && r == 0; i++)
		r = side_regions(host->sides[i], &lists[i]);
	while (r == 0 && pair_next(&walk, &part))
		r = part.same ? list_add(out, &part) : 0;
	region_list_done(&lists[0]);
	region_list_done(&lists[1]);
	return r;
}

/* ---- Which pages hold data -------------------------------------------------------------- */

/* What is known of one side, some stretches ahead. */
struct side {
	ms_source *src;
	const struct ms_region *region;
	struct run runs[SIDE_RUNS];
	size_t next, count;
};

static int side_fetch(struct side *side, uint64_t at, uint64_t end)
{
	ms_source *src = side->src;
	uint64_t base = align_down(at, src->page_size);
	uint64_t limit = min_u64(align_up(end, src->page_size), region_end(side->region));
	int r;

	side->next = side->count = 0;
	base = max_u64(base, side->region->base);
	if (!src->ops->resident) {
		side->runs[side->count++] = (struct run){at, end - at, MS_STATE_DATA};
		return 0;
	}
	r = src->ops->resident(
		src, side->region, base, limit - base, side->runs, SIDE_RUNS, &side->count);
	if (r == 0 && !side->count)
		side->runs[side->count++] = (struct run){at, end - at, MS_STATE_IO_ERROR};
	return r;
}

/* What the side has at `at`, and up to where that holds, at most to `end`. */
static int side_at(struct side *side, uint64_t at, uint64_t end, struct run *ret_run)
{
	const struct run *run;
	int r = 0;

	while (side->next < side->count &&
		side->runs[side->next].base + side->runs[side->next].size <= at)
		side->next++;
	if (side->next == side->count)
		r = side_fetch(side, at, end);
	if (r < 0)
		return r;
	while (side->next + 1 < side->count &&
		side->runs[side->next].base + side->runs[side->next].size <= at)
		side->next++;
	run = &side->runs[side->next];
	*ret_run = (struct run){at, end - at, MS_STATE_IO_ERROR};
	if (run->base <= at && run->base + run->size > at)
		*ret_run = (struct run){at, min_u64(end, run->base + run->size) - at, run->state};
	return 0;
}

static bool is_known(enum ms_state state)
{
	return state == MS_STATE_DATA || state == MS_STATE_ABSENT;
}

/* What can be told of a stretch of which the sides have this. */
static enum ms_state state_of_both(enum ms_state old, enum ms_state now)
{
	if (is_known(old) && is_known(now))
		return old == MS_STATE_ABSENT ? now : old;
	/* Swapped pages are read if the filter says so; what else is missing stays missing. */
	if (is_known(old) || (old == MS_STATE_SWAPPED && !is_known(now)))
		return now;
	return old;
}

/* Appends a stretch; false when there is no room for it. */
static bool runs_add(struct run *runs, size_t room, size_t *count, struct run run)
{
	struct run *last = *count ? &runs[*count - 1] : NULL;

	if (last && last->state == run.state) {
		last->size += run.size;
		return true;
	}
	if (*count == room)
		return false;
	runs[(*count)++] = run;
	return true;
}

static int pair_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	const struct pair_host *host = pair_of(src);
	struct side sides[2];
	struct run old, now;
	size_t count = 0;

	(void)region;
	for (size_t i = 0; i < 2; i++) {
		sides[i].src = host->sides[i];
		sides[i].next = sides[i].count = 0;
		sides[i].region = region_find(&host->sides[i]->regions, base);
	}
	/* One of them has gone since the regions were listed. */
	if (!sides[0].region || !sides[1].region) {
		*ret_count =
			runs_add(runs, room, &count, (struct run){base, size, MS_STATE_VANISHED});
		return 0;
	}
	for (uint64_t at = base, end = base + size; at < end; at += old.size) {
		int r = side_at(&sides[0], at, end, &old);

		if (r == 0)
			r = side_at(&sides[1], at, at + old.size, &now);
		if (r < 0)
			return r;
		old.size = now.size;
		old.state = state_of_both(old.state, now.state);
		if (!runs_add(runs, room, &count, old))
			break;
	}
	*ret_count = count;
	return 0;
}

/* ---- Reading ---------------------------------------------------------------------------- */

/* How many bytes from addr on were never touched and so are zeros. */
static int zeros_at(ms_source *src, uint64_t addr, size_t size, size_t *ret_size)
{
	const struct ms_region *region = region_find(&src->regions, addr);
	struct run runs[READ_RUNS];
	uint64_t base = align_down(addr, src->page_size), end;
	size_t count = 0;
	int r;

	*ret_size = 0;
	if (!region || !src->ops->resident)
		return 0;
	base = max_u64(base, region->base);
	end = min_u64(align_up(addr + size, src->page_size), region_end(region));
	r = src->ops->resident(src, region, base, end - base, runs, 1, &count);
	if (r == 0 && count && runs[0].state == MS_STATE_ABSENT)
		*ret_size = (size_t)min_u64(size, runs[0].base + runs[0].size - addr);
	return r;
}

static int pair_read(struct ms_source *src, uint64_t addr, void *buf, size_t size, size_t *ret_size)
{
	ms_source *from = pair_of(src)->bytes;
	size_t done = 0, got;
	int r;

	/* There is nothing to read: whoever looks at it goes by the hashes of both sides. */
	if (from->ops->hashed) {
		memset(buf, 0, size);
		*ret_size = size;
		return 0;
	}
	do {
		got = 0;
		r = from->ops->read(from, addr + done, (char *)buf + done, size - done, &got);
		done += got;
		if (r == 0 && done < size) {
			r = zeros_at(from, addr + done, size - done, &got);
			if (r == 0 && got)
				memset((char *)buf + done, 0, got);
			done += r == 0 ? got : 0;
		}
	} while (r == 0 && got && done < size);
	if (r < 0)
		return r;
	*ret_size = done;
	return 0;
}

static const void *pair_view(struct ms_source *src, uint64_t addr, size_t size, size_t *ret_size)
{
	ms_source *from = pair_of(src)->bytes;

	return from->ops->view ? from->ops->view(from, addr, size, ret_size) : NULL;
}

/* ---- Opening ---------------------------------------------------------------------------- */

static int pair_processes(struct ms_host *host, struct process_list *out)
{
	const struct pair_host *pair = host->priv;

	return process_list_add(out, &pair->bytes->process) ? 0 : err_nomem();
}

static int pair_attach(struct ms_host *host, struct ms_source *src)
{
	const struct pair_host *pair = host->priv;

	src->page_size = (size_t)min_u64(pair->sides[0]->page_size, pair->sides[1]->page_size);
	return 0;
}

static const struct ms_source_ops pair_source = {
	.regions = pair_regions,
	.read = pair_read,
	.view = pair_view,
	.resident = pair_resident,
};

static const struct ms_host_ops pair_host = {
	.scheme = "pair",
	.summary = "what two address spaces have in common",
	.priv_size = sizeof(struct pair_host),
	.processes = pair_processes,
	.attach = pair_attach,
	.source = &pair_source,
};

int pair_open(ms_source *old, ms_source *now, bool bytes_of_now, struct pair *ret_pair)
{
	struct pair pair = {0};
	struct pair_host *host;
	int r = host_new(&pair_host, "pair", &pair.host);

	if (r < 0)
		return r;
	host = pair.host->priv;
	*host = (struct pair_host){{old, now}, bytes_of_now ? now : old};
	r = ms_source_open_process(pair.host, &now->process, &pair.source);
	if (r < 0) {
		pair_close(&pair);
		return r;
	}
	*ret_pair = pair;
	return 0;
}

void pair_close(struct pair *pair)
{
	ms_source_free(pair->source);
	ms_host_free(pair->host);
	*pair = (struct pair){0};
}
