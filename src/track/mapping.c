/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mapping has whole pages of its own for its life, so that its bytes stay where they are: those
 * of a file, shared, or anonymous ones, into which a mirror is read. A shared view becomes a
 * mirror by new pages in its place.
 */
#include "track/mapping.h"

#include "base/os.h"

enum { LOOK_NS = 20 * 1000 * 1000 };

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

int mapping_new(ms_source *source, uint64_t base, size_t size, struct tracker *tracker,
	const char *why, ms_mapping **ret_mapping)
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
	*mapping = (struct ms_mapping){.src = source,
		.base = base,
		.size = size,
		.fd = -1,
		.tracker = tracker,
		.why = why};
	mapping->first = align_down(base, page);
	mapping->room = align_up(end, page) - mapping->first;
	if (tracker)
		tracker->room += mapping->room;
	reader_init(&mapping->reader, source);
	r = mapping_fill(mapping);
	if (r < 0) {
		ms_mapping_free(mapping);
		return r;
	}
	*ret_mapping = mapping;
	return 0;
}

int ms_mapping_new(ms_source *source, uint64_t base, size_t size, ms_mapping **ret_mapping)
{
	return mapping_new(source, base, size, NULL, NULL, ret_mapping);
}

void ms_mapping_free(ms_mapping *mapping)
{
	if (!mapping)
		return;
	if (mapping->tracker)
		mapping->tracker->room -= mapping->room;
	os_pages_free(mapping->pages, (size_t)mapping->room);
	cleanup_close(&mapping->fd);
	reader_done(&mapping->reader);
	free(mapping->gaps.data);
	free(mapping->blank.items.data);
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
	if (mapping->shared)
		return MS_MAPPING_SHARED;
	return mapping->tracked ? MS_MAPPING_TRACKED : MS_MAPPING_MIRROR;
}

const char *ms_mapping_why(const ms_mapping *mapping)
{
	return mapping->shared ? NULL : mapping->why;
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
	else if (!mapping->shared && !mapping->tracker)
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
