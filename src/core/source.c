/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One opened address space: what the public functions do around a backend's operations, with the
 * fallbacks for those that a backend leaves out.
 */
#include "core/host.h"

#include "base/err.h"
#include "core/filter.h"
#include "core/reader.h"

void region_list_clear(struct region_list *list)
{
	list->items.count = 0;
	arena_reset(&list->strings);
}

void region_list_done(struct region_list *list)
{
	free(list->items.data);
	arena_done(&list->strings);
	*list = (struct region_list){0};
}

const struct ms_region *region_find_from(const struct region_list *list, uint64_t address)
{
	const struct ms_region *regions = list->items.data;
	size_t i;

	bisect(i, list->items.count,
		address < regions[i].base || address - regions[i].base < regions[i].size);
	return i < list->items.count ? &regions[i] : NULL;
}

const struct ms_region *region_find(const struct region_list *list, uint64_t address)
{
	const struct ms_region *region = region_find_from(list, address);

	return region && region->base <= address ? region : NULL;
}

static int open_source(
	ms_host *host, const struct ms_process *process, bool map_only, ms_source **ret_source)
{
	struct ms_source *src = calloc(1, sizeof(*src));
	int r;

	if (!src)
		return err_nomem();
	src->host = host;
	src->ops = host->ops->source;
	src->page_size = 4096;
	src->map_only = map_only;
	pthread_mutex_init(&src->relist, NULL);
	src->priv = calloc(1, src->ops->priv_size ? src->ops->priv_size : 1);
	r = src->priv && process_copy(&src->process, process, &src->strings) ? 0 : err_nomem();
	if (r == 0)
		r = host->ops->attach(host, src);
	if (r < 0) {
		ms_source_free(src);
		return r;
	}
	*ret_source = src;
	return 0;
}

int ms_source_open_process(ms_host *host, const struct ms_process *process, ms_source **ret_source)
{
	return open_source(host, process, false, ret_source);
}

int ms_source_open_map(ms_host *host, const struct ms_process *process, ms_source **ret_source)
{
	return open_source(host, process, true, ret_source);
}

int ms_source_open(ms_host *host, uint32_t pid, ms_source **ret_source)
{
	const struct ms_process *list;
	size_t count;
	int r = ms_host_processes(host, &list, &count);

	if (r < 0)
		return r;
	if (pid == 0 && count == 1)
		return ms_source_open_process(host, &list[0], ret_source);
	if (pid == 0)
		return err_set(
			MS_ERR_ARGUMENT, "%s has %zu processes; say which", host->name, count);
	for (size_t i = 0; i < count; i++)
		if (list[i].pid == pid)
			return ms_source_open_process(host, &list[i], ret_source);
	return err_set(MS_ERR_NOT_FOUND, "no process has the pid %u", pid);
}

void ms_source_free(ms_source *src)
{
	if (!src)
		return;
	if (src->paused)
		src->ops->pause(src, MS_PAUSE_NONE);
	if (src->ops->close && src->priv)
		src->ops->close(src);
	region_list_done(&src->regions);
	free(src->modules.items.data);
	arena_done(&src->modules.strings);
	free(src->threads.items.data);
	arena_done(&src->threads.strings);
	arena_done(&src->kept);
	pthread_mutex_destroy(&src->relist);
	arena_done(&src->strings);
	free(src->priv);
	free(src);
}

const struct ms_process *ms_source_process(const ms_source *src)
{
	return &src->process;
}

int source_refresh(struct ms_source *src)
{
	int r;

	region_list_clear(&src->regions);
	src->regions_known = false;
	r = src->ops->regions(src, &src->regions);
	if (r == 0)
		src->regions_known = true;
	return r;
}

int ms_source_regions(ms_source *src, const struct ms_region **ret_list, size_t *ret_count)
{
	int r = source_refresh(src);

	if (r < 0)
		return r;
	*ret_list = src->regions.items.data;
	*ret_count = src->regions.items.count;
	return 0;
}

int ms_source_modules(ms_source *src, const struct ms_module **ret_list, size_t *ret_count)
{
	int r = src->regions_known ? 0 : source_refresh(src);

	if (r < 0)
		return r;
	src->modules.items.count = 0;
	arena_reset(&src->modules.strings);
	r = src->ops->modules ? src->ops->modules(src, &src->modules)
			      : modules_from_elf(src, &src->modules);
	if (r < 0)
		return r;
	*ret_list = src->modules.items.data;
	*ret_count = src->modules.items.count;
	return 0;
}

int ms_source_threads(ms_source *src, const struct ms_thread **ret_list, size_t *ret_count)
{
	int r = 0;

	src->threads.items.count = 0;
	arena_reset(&src->threads.strings);
	if (src->ops->threads)
		r = src->ops->threads(src, &src->threads);
	if (r < 0)
		return r;
	*ret_list = src->threads.items.data;
	*ret_count = src->threads.items.count;
	return 0;
}

int ms_source_pause(ms_source *src, enum ms_pause how)
{
	int r = 0;

	if (how == src->paused || !src->ops->pause)
		return 0;
	/* From one way to another there is no way but by letting go. */
	if (src->paused && how)
		r = ms_source_pause(src, MS_PAUSE_NONE);
	if (r == 0)
		r = src->ops->pause(src, how);
	if (r == 0) {
		src->paused = how;
		src->regions_known = false;
	}
	return r;
}

uint64_t ms_source_stop_ns(const ms_source *src)
{
	return src->stop_ns;
}

struct first_piece {
	uint64_t address;
	size_t read;
	struct ms_gap gap;
};

static int first_piece(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct first_piece *first = ctx;

	if (state == MS_STATE_DATA && base == first->address + first->read) {
		first->read += size;
		return 0;
	}
	if (first->read == 0 && first->gap.size == 0)
		first->gap = (struct ms_gap){base, size, state};
	return MS_ERR_STOPPED;
}

/* What is known of [address, ...) before reading: a state and how far it goes. */
static int state_at(struct ms_source *src, const struct ms_filter *filter, uint64_t address,
	size_t size, struct run *ret_run)
{
	const struct ms_region *region = region_find_from(&src->regions, address);
	uint64_t left, wanted, wanted_size;
	size_t count = 0;
	int r;

	if (!region || region->base > address) {
		uint64_t gap = region ? region->base - address : UINT64_MAX - address;

		*ret_run = (struct run){address, gap, MS_STATE_VANISHED};
		return 0;
	}
	left = min_u64(size, region->base + region->size - address);
	*ret_run = (struct run){address, left, MS_STATE_LEFT_OUT};
	if (!ms_filter_match(filter, region) ||
		!filter_clip(filter, address, left, &wanted, &wanted_size))
		return 0;
	if (wanted > address) {
		ret_run->size = wanted - address;
		return 0;
	}
	left = wanted_size;
	*ret_run = (struct run){address, left, MS_STATE_DATA};
	if ((region->flags & MS_REGION_DEVICE) && !filter->device) {
		ret_run->state = MS_STATE_DEVICE;
		return 0;
	}
	if (!src->ops->resident)
		return 0;
	uint64_t page = align_down(address, src->page_size);
	uint64_t end =
		min_u64(align_up(address + left, src->page_size), region->base + region->size);

	r = src->ops->resident(src, region, page, end - page, ret_run, 1, &count);
	if (r < 0 || !count)
		return r < 0 ? r
			     : err_set(MS_ERR_IO, "nothing is known of address 0x%llx",
				       (unsigned long long)address);
	left = min_u64(left, ret_run->base + ret_run->size - address);
	*ret_run = (struct run){address, left, ret_run->state};
	if (ret_run->state == MS_STATE_SWAPPED && filter->swapped)
		ret_run->state = MS_STATE_DATA;
	return 0;
}

int ms_source_read(ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size,
	struct ms_gap *ret_gap)
{
	return ms_source_read_filtered(src, NULL, address, buf, size, ret_size, ret_gap);
}

int ms_source_read_filtered(ms_source *src, const ms_filter *filter, uint64_t address, void *buf,
	size_t size, size_t *ret_size, struct ms_gap *ret_gap)
{
	struct first_piece first = {.address = address};
	struct reader reader;
	struct run run;
	int r = src->regions_known ? 0 : source_refresh(src);

	while (r == 0 && first.read < size) {
		r = state_at(src, filter ? filter : &filter_default, address + first.read,
			size - first.read, &run);
		if (r < 0)
			break;
		if (run.state != MS_STATE_DATA) {
			if (!first.read)
				first.gap = (struct ms_gap){run.base, run.size, run.state};
			break;
		}
		size_t want = (size_t)min_u64(run.size, size - first.read);

		reader_init(&reader, src);
		r = reader_read(&reader, address + first.read, (char *)buf + first.read, want,
			first_piece, &first);
		if (reader.gone && !first.read)
			r = err_set(MS_ERR_GONE, "pid %u ended", src->process.pid);
		reader_done(&reader);
	}
	if (r < 0 && r != MS_ERR_STOPPED)
		return r;
	*ret_size = first.read;
	if (ret_gap)
		*ret_gap = first.gap;
	return 0;
}
