/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding out why bytes are missing: the system says "bad address" for a guard page, a page that
 * was taken away since, and memory it will not show. Only then are the regions and pages looked
 * at again; a read that goes well costs nothing more.
 */
#include "core/reader.h"

#include "base/err.h"
#include "base/os.h"

enum { FRESH_NS = 20 * 1000 * 1000 };

void reader_init(struct reader *reader, struct ms_source *src)
{
	*reader = (struct reader){.src = src};
}

void reader_done(struct reader *reader)
{
	region_list_done(&reader->fresh);
}

/* Lists the regions as they are now, unless that was done a moment ago. */
static int refresh(struct reader *reader)
{
	struct ms_source *src = reader->src;
	uint64_t now = os_clock_ns();
	int r;

	if (reader->fresh_ns && now - reader->fresh_ns < FRESH_NS)
		return 0;
	region_list_clear(&reader->fresh);
	pthread_mutex_lock(&src->relist);
	r = src->ops->regions(src, &reader->fresh);
	pthread_mutex_unlock(&src->relist);
	reader->fresh_ns = r == 0 ? now : 0;
	return r;
}

/* Why the byte at addr cannot be read, and how far from there that holds (at most size). */
static int gap_find(struct reader *reader, uint64_t addr, size_t size, struct run *ret_run)
{
	struct ms_source *src = reader->src;
	const struct ms_region *region;
	uint64_t page = align_down(addr, src->page_size);
	uint64_t end;
	struct run run = {0};
	size_t count = 0;
	int r = refresh(reader);

	if (r < 0)
		return r;
	region = region_find_from(&reader->fresh, addr);
	if (!region || region->base > addr) {
		uint64_t gap = region ? region->base - addr : size;

		*ret_run = (struct run){addr, min_u64(gap, size), MS_STATE_VANISHED};
		return 0;
	}
	end = min_u64(align_up(addr + size, src->page_size), region->base + region->size);
	*ret_run = (struct run){addr, min_u64(page + src->page_size - addr, size),
		src->unread != MS_STATE_DATA ? src->unread
		: src->ops->resident	     ? MS_STATE_NO_ACCESS
					     : MS_STATE_IO_ERROR};
	if (!src->ops->resident)
		return 0;
	r = src->ops->resident(src, region, page, end - page, &run, 1, &count);
	if (r < 0)
		return r;
	if (count && run.state != MS_STATE_DATA)
		*ret_run = (struct run){
			addr, min_u64(run.base + run.size - addr, size), run.state};
	return 0;
}

int reader_read(struct reader *reader, uint64_t addr, void *buf, size_t size,
	int (*piece)(void *ctx, uint64_t base, size_t size, enum ms_state state), void *ctx)
{
	struct ms_source *src = reader->src;
	size_t at = 0, data = 0; /* data: read, lies in front of `at`, not reported yet */
	int r = 0;

	while (at < size && r == 0) {
		struct run gap = {addr + at, size - at, MS_STATE_VANISHED};
		size_t got = 0;

		r = reader->gone ? MS_ERR_GONE
				 : src->ops->read(src, addr + at, (char *)buf + at, size - at, &got);
		if (r == 0 && got) {
			at += got;
			data += got;
			continue;
		}
		if (r == 0)
			r = gap_find(reader, addr + at, size - at, &gap);
		reader->gone |= r == MS_ERR_GONE;
		if (r < 0 && r != MS_ERR_MEMORY) {
			/* Nothing more is known of this target; others may do better. */
			gap = (struct run){addr + at, size - at,
				reader->gone	      ? MS_STATE_VANISHED
				: r == MS_ERR_ACCESS ? MS_STATE_NO_ACCESS
						     : MS_STATE_IO_ERROR};
			r = 0;
		}
		if (r == 0 && data)
			r = piece(ctx, addr + at - data, data, MS_STATE_DATA);
		if (r == 0)
			r = piece(ctx, gap.base, (size_t)gap.size, gap.state);
		at += (size_t)gap.size;
		data = 0;
	}
	if (r == 0 && data)
		r = piece(ctx, addr + at - data, data, MS_STATE_DATA);
	return r;
}
