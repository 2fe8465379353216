/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/coverage.h"

/* Which sum a state belongs to, and whether it means that something wanted is missing. */
static const struct {
	size_t sum;
	bool gap, loss;
	const char *name;
} states[MS_STATE_COUNT] = {
	[MS_STATE_DATA] = {offsetof(struct ms_coverage, read), false, false, "data"},
	[MS_STATE_ABSENT] = {offsetof(struct ms_coverage, absent), false, false, "absent"},
	[MS_STATE_GUARD] = {offsetof(struct ms_coverage, unreadable), true, false, "guard"},
	[MS_STATE_NO_ACCESS] = {offsetof(struct ms_coverage, unreadable), true, true, "no-access"},
	[MS_STATE_DEVICE] = {offsetof(struct ms_coverage, skipped), true, false, "device"},
	[MS_STATE_SWAPPED] = {offsetof(struct ms_coverage, skipped), true, false, "swapped"},
	[MS_STATE_REMOTE_FILE] = {offsetof(struct ms_coverage, skipped), true, false, "remote-file"},
	[MS_STATE_VANISHED] = {offsetof(struct ms_coverage, unreadable), true, true, "vanished"},
	[MS_STATE_IO_ERROR] = {offsetof(struct ms_coverage, unreadable), true, true, "io-error"},
	[MS_STATE_LIMIT] = {offsetof(struct ms_coverage, skipped), true, true, "limit"},
	[MS_STATE_DEADLINE] = {offsetof(struct ms_coverage, skipped), true, true, "deadline"},
	[MS_STATE_LEFT_OUT] = {offsetof(struct ms_coverage, skipped), true, false, "left-out"},
};

const char *ms_state_name(enum ms_state state)
{
	return (unsigned)state < MS_STATE_COUNT ? states[state].name : "unknown";
}

bool state_is_loss(enum ms_state state)
{
	return states[state].loss;
}

void coverage_add(struct coverage *coverage, uint64_t base, uint64_t size, enum ms_state state)
{
	struct ms_gap *last = coverage->gaps.count ? &coverage->gaps.data[coverage->gaps.count - 1]
						   : NULL;

	if (!size)
		return;
	*(uint64_t *)((char *)&coverage->sums + states[state].sum) += size;
	coverage->sums.partial |= states[state].loss;
	if (!states[state].gap)
		return;
	if (last && last->state == state && last->base + last->size == base)
		last->size += size;
	else if (coverage->gaps.count >= MS_GAPS_MAX)
		coverage->sums.gaps_dropped++;
	else if (!vec_push(&coverage->gaps, (struct ms_gap){base, size, state}))
		coverage->failed = true;
}

static int gap_order(const void *a, const void *b)
{
	const struct ms_gap *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

void coverage_finish(struct coverage *coverage)
{
	struct ms_gap *gaps = coverage->gaps.data;
	size_t kept = 0;

	vec_sort(&coverage->gaps, gap_order);
	for (size_t i = 0; i < coverage->gaps.count; i++) {
		struct ms_gap *last = kept ? &gaps[kept - 1] : NULL;

		if (last && last->state == gaps[i].state && last->base + last->size == gaps[i].base)
			last->size += gaps[i].size;
		else
			gaps[kept++] = gaps[i];
	}
	coverage->gaps.count = kept;
	coverage->sums.gaps = gaps;
	coverage->sums.gap_count = kept;
}

void coverage_done(struct coverage *coverage)
{
	free(coverage->gaps.data);
	free(coverage->absents.data);
	*coverage = (struct coverage){0};
}
