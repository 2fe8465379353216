/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mapping has whole pages of its own for its life, so that its bytes stay where they are: those
 * of a file, shared, or anonymous ones, into which a mirror is read. A shared view becomes a
 * mirror by new pages in its place.
 */
#include "memsift_track.h"

#include "base/err.h"
#include "base/os.h"
#include "core/host.h"
#include "core/reader.h"

enum {
	CLEAR_SIZE = 256 * 1024,
	LOOK_NS = 20 * 1000 * 1000,
};

struct ms_mapping {
	ms_source *src;
	uint64_t base, size;
	uint64_t first, room; /* the whole pages around it */
	uint8_t *pages;	      /* room bytes; NULL: the source's own, at view */
	const uint8_t *view;
	struct reader reader;
	VEC(struct ms_gap) gaps;

	/* Of a shared view. */
	bool shared;
	int fd;
	uint64_t offset;	 /* of pages in the file */
	struct ms_region region; /* as it was; without its path */
	uint64_t looked_ns;
};

/* ---- Mirrors ---------------------------------------------------------------------------- */

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

struct piece_sink {
	struct ms_mapping *mapping;
	uint64_t read;
};

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

static int gone(const struct ms_mapping *mapping)
{
	return err_set(MS_ERR_GONE, "pid %u ended", mapping->src->process.pid);
}

static int piece_take(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct piece_sink *sink = ctx;
	struct ms_mapping *mapping = sink->mapping;
	int r;

	if (mapping->reader.gone)
		return gone(mapping);
	if (state == MS_STATE_DATA) {
		sink->read += size;
		return 0;
	}
	r = clear(mapping, base, size);
	return r < 0 || state == MS_STATE_ABSENT ? r : gap_add(mapping, base, size, state);
}

/* A stretch of one state, as the pages are known to be before reading. */
static int stretch_take(struct piece_sink *sink, const struct run *run)
{
	struct ms_mapping *mapping = sink->mapping;

	if (run->state == MS_STATE_DATA)
		return reader_read(&mapping->reader, run->base,
			mapping->pages + (run->base - mapping->first), (size_t)run->size,
			piece_take, sink);
	return piece_take(sink, run->base, (size_t)run->size, run->state);
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

/* Reads [at, end) anew. */
static int mirror_read(struct ms_mapping *mapping, uint64_t at, uint64_t end, uint64_t *read)
{
	struct piece_sink sink = {.mapping = mapping};
	int r = 0;

	while (r == 0 && at < end) {
		struct run run;

		r = next_run(mapping, at, end, &run);
		if (r == 0)
			r = stretch_take(&sink, &run);
		at += r == 0 ? run.size : 0;
	}
	*read += sink.read;
	return r;
}

static int mirror_refresh(struct ms_mapping *mapping, uint64_t *read)
{
	mapping->gaps.count = 0;
	mapping->reader.gone = false;
	return mirror_read(mapping, mapping->base, mapping->base + mapping->size, read);
}

/* Lists the regions anew, but not again and again; true in *ret_new if it did. */
static int look(struct ms_mapping *mapping, bool *ret_new)
{
	uint64_t now = os_clock_ns();
	int r;

	*ret_new = false;
	if (now - mapping->looked_ns < LOOK_NS)
		return 0;
	r = source_refresh(mapping->src);
	mapping->looked_ns = r == 0 ? now : 0;
	*ret_new = r == 0;
	return r;
}

/* ---- Shared views ----------------------------------------------------------------------- */

/* Whether the target still has there what it had when the view was made. */
static bool is_still_mapped(const struct ms_mapping *mapping)
{
	const struct ms_region *was = &mapping->region;
	const struct ms_region *is = region_find(&mapping->src->regions, mapping->first);

	return is && is->inode == was->inode && is->dev_major == was->dev_major &&
	       is->dev_minor == was->dev_minor && (is->perm & MS_PERM_SHARED) &&
	       is->offset - is->base == was->offset - was->base &&
	       is->base + is->size - mapping->first >= mapping->room;
}

/* A file that became too short is seen each time. */
static int shared_check(struct ms_mapping *mapping, bool *ret_good)
{
	bool anew;
	int r;

	*ret_good = align_up(os_file_size(mapping->fd), os_page_size()) >=
		    mapping->offset + mapping->room;
	if (!*ret_good)
		return 0;
	r = look(mapping, &anew);
	if (r == 0 && anew)
		*ret_good = is_still_mapped(mapping);
	return r;
}

static int shared_end(struct ms_mapping *mapping)
{
	if (!os_pages_renew(mapping->pages, (size_t)mapping->room))
		return err_nomem();
	cleanup_close(&mapping->fd);
	mapping->fd = -1;
	mapping->shared = false;
	return 0;
}

/* Tries to have the pages themselves; false: it has to be a mirror. */
static bool shared_begin(struct ms_mapping *mapping)
{
	ms_source *src = mapping->src;
	const struct ms_region *region = region_find(&src->regions, mapping->first);
	struct source_map map;
	size_t got = 0;

	if (src->ops->view) {
		mapping->view = src->ops->view(src, mapping->base, (size_t)mapping->size, &got);
		mapping->shared = mapping->view && got == mapping->size;
		mapping->view = mapping->shared ? mapping->view : NULL;
		return mapping->shared;
	}
	if (!region || !src->ops->map ||
		src->ops->map(src, mapping->first, mapping->room, &map) < 0)
		return false;
	mapping->pages = (uint8_t *)map.data;
	mapping->fd = map.fd;
	mapping->offset = map.offset;
	mapping->region = *region;
	mapping->region.path = NULL;
	mapping->shared = true;
	return true;
}

/* ---- The public functions --------------------------------------------------------------- */

static int mapping_fill(struct ms_mapping *mapping)
{
	int r = source_refresh(mapping->src);

	mapping->looked_ns = os_clock_ns();
	if (r < 0 || shared_begin(mapping))
		return r;
	mapping->pages = os_pages_new((size_t)mapping->room);
	if (!mapping->pages)
		return err_nomem();
	return mirror_refresh(mapping, &(uint64_t){0});
}

int ms_mapping_new(ms_source *source, uint64_t base, size_t size, ms_mapping **ret_mapping)
{
	struct ms_mapping *mapping;
	uint64_t end, page = max_u64(os_page_size(), 1);
	int r;

	if (!size || !add_u64(base, size, &end) || end > align_down(UINT64_MAX, page))
		return err_set(MS_ERR_ARGUMENT, "0x%llx and %zu bytes: this is no range of memory",
			(unsigned long long)base, size);
	mapping = calloc(1, sizeof(*mapping));
	if (!mapping)
		return err_nomem();
	*mapping = (struct ms_mapping){.src = source, .base = base, .size = size, .fd = -1};
	mapping->first = align_down(base, page);
	mapping->room = align_up(end, page) - mapping->first;
	reader_init(&mapping->reader, source);
	r = mapping_fill(mapping);
	if (r < 0) {
		ms_mapping_free(mapping);
		return r;
	}
	*ret_mapping = mapping;
	return 0;
}

void ms_mapping_free(ms_mapping *mapping)
{
	if (!mapping)
		return;
	os_pages_free(mapping->pages, (size_t)mapping->room);
	cleanup_close(&mapping->fd);
	reader_done(&mapping->reader);
	free(mapping->gaps.data);
	free(mapping);
}

uint64_t ms_mapping_base(const ms_mapping *mapping)
{
	return mapping->base;
}

size_t ms_mapping_size(const ms_mapping *mapping)
{
	return (size_t)mapping->size;
}

enum ms_mapping_kind ms_mapping_kind(const ms_mapping *mapping)
{
	return mapping->shared ? MS_MAPPING_SHARED : MS_MAPPING_MIRROR;
}

const void *ms_mapping_data(const ms_mapping *mapping)
{
	return mapping->view ? mapping->view : mapping->pages + (mapping->base - mapping->first);
}

/* The file has the bytes of its view, and to read it past its end is no fault. */
static int shared_read(
	const struct ms_mapping *mapping, uint64_t offset, void *buf, size_t size, size_t *ret_size)
{
	uint64_t at = mapping->offset + (mapping->base - mapping->first) + offset;
	uint64_t end = align_up(os_file_size(mapping->fd), os_page_size());
	size_t got;
	int r = os_file_read(mapping->fd, buf, size, at, &got);

	if (r < 0)
		return r;
	/* Behind its end, a file's last page has zeros. */
	if (got < size && at + got < end) {
		size_t zeros = (size_t)min_u64(size - got, end - at - got);

		memset((char *)buf + got, 0, zeros);
		got += zeros;
	}
	*ret_size = got;
	return 0;
}

int ms_mapping_read(
	const ms_mapping *mapping, size_t offset, void *buf, size_t size, size_t *ret_size)
{
	size = offset < mapping->size ? (size_t)min_u64(size, mapping->size - offset) : 0;
	if (mapping->fd >= 0)
		return shared_read(mapping, offset, buf, size, ret_size);
	if (size)
		memcpy(buf, (const uint8_t *)ms_mapping_data(mapping) + offset, size);
	*ret_size = size;
	return 0;
}

int ms_mapping_refresh(ms_mapping *mapping, uint64_t *ret_read)
{
	uint64_t read = 0;
	bool good = true, anew;
	int r = 0;

	if (mapping->fd >= 0)
		r = shared_check(mapping, &good);
	else if (!mapping->shared)
		r = look(mapping, &anew);
	if (r == 0 && !good)
		r = shared_end(mapping);
	if (r == 0 && !mapping->shared)
		r = mirror_refresh(mapping, &read);
	if (r == 0 && ret_read)
		*ret_read = read;
	return r;
}

void ms_mapping_gaps(const ms_mapping *mapping, const struct ms_gap **ret_list, size_t *ret_count)
{
	*ret_list = mapping->gaps.data;
	*ret_count = mapping->gaps.count;
}
