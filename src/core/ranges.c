/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ranges are kept as they come, which is nearly in order, and sorted when somebody asks.
 */
#include "core/ranges.h"

enum { TIDY_LEAST = 4096 };

bool ranges_add(struct ranges *ranges, uint64_t base, uint64_t size)
{
	struct ms_range *last =
		ranges->items.count ? &ranges->items.data[ranges->items.count - 1] : NULL;
	uint64_t end = base + size;

	if (!size)
		return true;
	if (last && base >= last->base && base <= last->base + last->size) {
		last->size = max_u64(end, last->base + last->size) - last->base;
		return true;
	}
	return vec_push(&ranges->items, (struct ms_range){base, size});
}

static int range_compare(const void *left, const void *right)
{
	const struct ms_range *a = left, *b = right;

	return a->base < b->base ? -1 : a->base > b->base;
}

void ranges_join(struct ranges *ranges, uint64_t gap)
{
	struct ms_range *list = ranges->items.data;
	size_t kept = 0;

	vec_sort(&ranges->items, range_compare);
	for (size_t i = 0; i < ranges->items.count; i++) {
		uint64_t end = list[i].base + list[i].size;
		struct ms_range *last = kept ? &list[kept - 1] : NULL;

		if (last && (list[i].base <= last->base + last->size ||
				    list[i].base - (last->base + last->size) <= gap))
			last->size = max_u64(end, last->base + last->size) - last->base;
		else
			list[kept++] = list[i];
	}
	ranges->items.count = kept;
}

void ranges_tidy(struct ranges *ranges)
{
	if (ranges->items.count < 2 * ranges->joined + TIDY_LEAST)
		return;
	ranges_join(ranges, 0);
	ranges->joined = ranges->items.count;
}

void ranges_coarsen(struct ranges *ranges, size_t max)
{
	ranges_join(ranges, 0);
	for (uint64_t gap = 64; ranges->items.count > max; gap *= 2)
		ranges_join(ranges, gap);
}

bool ranges_common(const struct ranges *a, const struct ranges *b, struct ranges *out)
{
	size_t i = 0, k = 0;

	out->items.count = 0;
	while (i < a->items.count && k < b->items.count) {
		const struct ms_range *x = &a->items.data[i], *y = &b->items.data[k];
		uint64_t base = max_u64(x->base, y->base);
		uint64_t end = min_u64(x->base + x->size, y->base + y->size);

		if (base < end && !vec_push(&out->items, (struct ms_range){base, end - base}))
			return false;
		if (x->base + x->size < y->base + y->size)
			i++;
		else
			k++;
	}
	return true;
}

void ranges_done(struct ranges *ranges)
{
	free(ranges->items.data);
	*ranges = (struct ranges){0};
}
