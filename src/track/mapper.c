/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/err.h"
#include "core/filter.h"
#include "track/mapping.h"

struct ms_mapper {
	ms_source *src;
	VEC(ms_mapping *) items;
	bool track; /* wanted; whether it can be is for the tracker to say */
	struct tracker tracker;
};

int ms_mapper_new(
	ms_source *source, const struct ms_mapper_options *options, ms_mapper **ret_mapper)
{
	struct ms_mapper *mapper = calloc(1, sizeof(*mapper));
	int r = 0;

	if (!mapper)
		return err_nomem();
	mapper->src = source;
	mapper->track = options && options->track;
	if (mapper->track)
		r = tracker_begin(&mapper->tracker, source);
	if (r < 0) {
		ms_mapper_free(mapper);
		return r;
	}
	*ret_mapper = mapper;
	return 0;
}

void ms_mapper_free(ms_mapper *mapper)
{
	if (!mapper)
		return;
	for (size_t i = 0; i < mapper->items.count; i++)
		ms_mapping_free(mapper->items.data[i]);
	free(mapper->items.data);
	tracker_end(&mapper->tracker);
	free(mapper);
}

/* A page that was written is told once, so only one mapping may ask for it. */
static const char *cannot_track(const ms_mapper *mapper, uint64_t base, size_t size)
{
	uint64_t end;

	if (!mapper->tracker.on)
		return mapper->tracker.why;
	for (size_t i = 0; i < mapper->items.count; i++) {
		const ms_mapping *other = mapper->items.data[i];

		if (other && other->tracker && add_u64(base, size, &end) && end > other->first &&
			base < other->first + other->room)
			return "another mapping of this mapper has pages of it";
	}
	return NULL;
}

int ms_mapper_add(ms_mapper *mapper, uint64_t base, size_t size, size_t *ret_index)
{
	const char *why = mapper->track ? cannot_track(mapper, base, size) : NULL;
	struct tracker *tracker = mapper->track && !why ? &mapper->tracker : NULL;
	ms_mapping *mapping;
	int r = mapping_new(mapper->src, base, size, tracker, why, &mapping);

	if (r < 0)
		return r;
	if (!vec_push(&mapper->items, mapping)) {
		ms_mapping_free(mapping);
		return err_nomem();
	}
	if (ret_index)
		*ret_index = mapper->items.count - 1;
	return 0;
}

static int add_region(
	ms_mapper *mapper, const ms_filter *filter, struct filter_range region, size_t *count)
{
	uint64_t at = region.base, end = region.base + region.size, base, size;

	while (at < end && filter_clip(filter, at, end - at, &base, &size)) {
		int r = size > SIZE_MAX ? MS_ERR_MEMORY
					: ms_mapper_add(mapper, base, (size_t)size, NULL);

		if (r < 0)
			return r;
		(*count)++;
		at = base + size;
	}
	return 0;
}

int ms_mapper_add_regions(ms_mapper *mapper, const ms_filter *filter, size_t *ret_count)
{
	VEC(struct filter_range) wanted = {0};
	const struct ms_region *list;
	size_t count, added = 0;
	int r = ms_source_regions(mapper->src, &list, &count);

	filter = filter ? filter : &filter_default;
	/* The list does not outlive the first mapping. */
	for (size_t i = 0; i < count && r == 0; i++) {
		bool device = (list[i].flags & MS_REGION_DEVICE) && !filter->device;

		if (!device && ms_filter_match(filter, &list[i]) &&
			!vec_push(&wanted, (struct filter_range){list[i].base, list[i].size}))
			r = err_nomem();
	}
	for (size_t i = 0; i < wanted.count && r == 0; i++)
		r = add_region(mapper, filter, wanted.data[i], &added);
	free(wanted.data);
	if (r == 0)
		*ret_count = added;
	return r;
}

size_t ms_mapper_count(const ms_mapper *mapper)
{
	return mapper->items.count;
}

ms_mapping *ms_mapper_get(const ms_mapper *mapper, size_t index)
{
	return index < mapper->items.count ? mapper->items.data[index] : NULL;
}

ms_mapping *ms_mapper_find(const ms_mapper *mapper, uint64_t address)
{
	for (size_t i = 0; i < mapper->items.count; i++) {
		ms_mapping *mapping = mapper->items.data[i];

		if (mapping && address - ms_mapping_base(mapping) < ms_mapping_size(mapping))
			return mapping;
	}
	return NULL;
}

void ms_mapper_remove(ms_mapper *mapper, size_t index)
{
	if (index >= mapper->items.count)
		return;
	ms_mapping_free(mapper->items.data[index]);
	mapper->items.data[index] = NULL;
}

static int refresh_each(ms_mapper *mapper, uint64_t *sum)
{
	for (size_t i = 0; i < mapper->items.count; i++) {
		uint64_t read = 0;
		int r = mapper->items.data[i] ? ms_mapping_refresh(mapper->items.data[i], &read)
					      : 0;

		if (r < 0)
			return r;
		*sum += read;
	}
	return 0;
}

int ms_mapper_refresh(ms_mapper *mapper, uint64_t *ret_read)
{
	struct tracker *tracker = &mapper->tracker;
	uint64_t sum = 0;
	int r = tracker->on ? tracker_look(tracker) : 0;

	/* Once is enough for all of them. */
	tracker->held = r == 0;
	if (r == 0)
		r = refresh_each(mapper, &sum);
	tracker->held = false;
	if (r == 0 && ret_read)
		*ret_read = sum;
	return r;
}
