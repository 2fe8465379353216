/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/kept.h"

bool kept_add(struct kept_list *list, struct kept kept)
{
	struct kept *last = list->items.count ? &list->items.data[list->items.count - 1] : NULL;

	if (!kept.size)
		return true;
	if (last && last->state == MS_STATE_DATA && kept.state == MS_STATE_DATA &&
		last->base + last->size == kept.base && last->at + last->size == kept.at) {
		last->size += kept.size;
		return true;
	}
	return vec_push(&list->items, kept);
}

static int kept_order(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

/* What was kept reaches into what a limit left undone if a block did: it counts as kept. */
static void kept_trim(struct kept_list *list)
{
	struct kept *items = list->items.data;
	uint64_t end = 0;
	size_t count = 0;

	for (size_t i = 0; i < list->items.count; i++) {
		struct kept kept = items[i];

		if (kept.base < end) {
			uint64_t less = min_u64(kept.size, end - kept.base);

			kept.base += less;
			kept.size -= less;
		}
		if (!kept.size)
			continue;
		end = kept.base + kept.size;
		items[count++] = kept;
	}
	list->items.count = count;
}

bool kept_account(struct kept_list *list, const struct coverage *coverage)
{
	for (size_t i = 0; i < coverage->sums.gap_count; i++) {
		const struct ms_gap *gap = &coverage->sums.gaps[i];

		if (!kept_add(list, (struct kept){gap->base, gap->size, gap->state, 0}))
			return false;
	}
	for (size_t i = 0; i < coverage->absents.count; i++) {
		const struct absent *absent = &coverage->absents.data[i];

		if (!kept_add(list, (struct kept){absent->base, absent->size, absent->state, 0}))
			return false;
	}
	vec_sort(&list->items, kept_order);
	kept_trim(list);
	return true;
}

size_t kept_from(const struct kept_list *list, uint64_t address)
{
	size_t i;

	bisect(i, list->items.count, list->items.data[i].base + list->items.data[i].size > address);
	return i;
}

const struct kept *kept_data(const struct kept_list *list, uint64_t address)
{
	size_t i = kept_from(list, address);
	const struct kept *kept = i < list->items.count ? &list->items.data[i] : NULL;

	return kept && kept->base <= address && kept->state == MS_STATE_DATA ? kept : NULL;
}

size_t kept_runs(
	const struct kept_list *list, uint64_t base, uint64_t size, struct run *runs, size_t room)
{
	uint64_t at = base, end = base + size;
	size_t count = 0;

	for (size_t i = kept_from(list, base); at < end && count < room;) {
		const struct kept *kept = i < list->items.count ? &list->items.data[i] : NULL;
		struct run run = {at, end - at, MS_STATE_VANISHED};

		if (kept && kept->base > at)
			run.size = min_u64(run.size, kept->base - at);
		else if (kept)
			run = (struct run){
				at, min_u64(end, kept->base + kept->size) - at, kept->state};
		i += kept && kept->base <= at;
		at += run.size;
		if (count && runs[count - 1].state == run.state)
			runs[count - 1].size += run.size;
		else
			runs[count++] = run;
	}
	return count;
}
