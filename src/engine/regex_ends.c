/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * First libhs marks where matches end. Then starts are tried in ascending order, each with an
 * expression that must match right there: every end that one has and no earlier one had is its
 * own. Only starts are tried that lie within the width of an end that is still unclaimed, so
 * where nothing matches nothing is tried, and no start is tried twice.
 */
#include "engine/regex_ends.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>

hs_error_t ends_init(struct ends *ends, const char *expression, unsigned flags, size_t width,
	hs_scratch_t **scratch, hs_compile_error_t **ret_error)
{
	hs_error_t r = hs_compile(expression, flags, HS_MODE_BLOCK, NULL, &ends->ends, ret_error);
	struct buf anchored = {0};

	ends->width = width;
	if (r != HS_SUCCESS)
		return r;
	/* The byte in front tells whether a word or a line begins at the start. */
	buf_format(&anchored, "\\A(?s:.)(?:%s)", expression);
	r = HS_NOMEM;
	if (!anchored.failed)
		r = hs_compile(anchored.data, flags, HS_MODE_BLOCK, NULL, &ends->starts, ret_error);
	buf_done(&anchored);
	if (r == HS_SUCCESS)
		r = hs_alloc_scratch(ends->ends, scratch);
	return r == HS_SUCCESS ? hs_alloc_scratch(ends->starts, scratch) : r;
}

void ends_done(struct ends *ends)
{
	hs_free_database(ends->ends);
	hs_free_database(ends->starts);
}

/* Bit i of marks stands for an end at place base + i. */
struct search {
	const struct ends *ends;
	const struct ends_range *range;
	hs_scratch_t *scratch;
	uint64_t *marks;
	ptrdiff_t base;
	size_t count; /* of marks */

	ptrdiff_t start;   /* being tried */
	ptrdiff_t longest; /* its farthest end that no earlier start has; or `start` */
};

static int end_mark(
	unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	struct search *s = ctx;

	(void)id, (void)from, (void)flags;
	assert(to < s->count);
	s->marks[to / 64] |= UINT64_C(1) << to % 64;
	return 0;
}

static int end_claim(
	unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	struct search *s = ctx;
	/* The byte in front of the start was shown as well. */
	ptrdiff_t end = s->start - 1 + (ptrdiff_t)to;
	size_t mark = (size_t)(end - s->base);
	uint64_t bit = UINT64_C(1) << mark % 64;

	(void)id, (void)from, (void)flags;
	if (end - s->start > (ptrdiff_t)s->ends->width || mark >= s->count ||
		!(s->marks[mark / 64] & bit))
		return 0;
	s->marks[mark / 64] &= ~bit;
	s->longest = end > s->longest ? end : s->longest;
	return 0;
}

static int scan_failed(hs_error_t r)
{
	return err_set(MS_ERR_UNSUPPORTED, "libhs could not search: error %d", r);
}

static int ends_mark(struct search *s, size_t shown)
{
	hs_error_t r;

	memset(s->marks, 0, (s->count + 63) / 64 * sizeof(*s->marks));
	r = hs_scan(s->ends->ends, (const char *)s->range->data + s->base, (unsigned)shown, 0,
		s->scratch, end_mark, s);
	return r == HS_SUCCESS ? 0 : scan_failed(r);
}

/* The first place behind `at` where an end is still marked; false if there is none. */
static bool mark_next(const struct search *s, ptrdiff_t at, ptrdiff_t *ret_end)
{
	size_t from = (size_t)(at + 1 - s->base);
	size_t words = (s->count + 63) / 64;

	for (size_t w = from / 64; w < words; w++) {
		uint64_t word = s->marks[w];

		if (w == from / 64)
			word &= UINT64_MAX << from % 64;
		if (!word)
			continue;
		*ret_end = s->base + (ptrdiff_t)(w * 64 + (unsigned)__builtin_ctzll(word));
		return true;
	}
	return false;
}

/* Looks for the ends of one start. */
static int start_try(struct search *s, ptrdiff_t start)
{
	const struct ends_range *range = s->range;
	const uint8_t *data = range->data + start;
	size_t size =
		(size_t)min_u64((size_t)((ptrdiff_t)range->size - start), ends_reach(s->ends));
	AUTO_FREE uint8_t *copy = NULL;
	hs_error_t r;

	s->start = s->longest = start;
	if (start == -(ptrdiff_t)range->before) {
		/* Where memory begins there is no byte in front: a line's end will do. */
		copy = malloc(size + 1);
		if (!copy)
			return err_nomem();
		copy[0] = '\n';
		memcpy(copy + 1, data, size);
		data = copy + 1;
	}
	r = hs_scan(s->ends->starts, (const char *)data - 1, (unsigned)size + 1, 0, s->scratch,
		end_claim, s);
	return r == HS_SUCCESS ? 0 : scan_failed(r);
}

int ends_search(const struct ends *ends, hs_scratch_t *scratch, uint64_t *marks,
	const struct ends_range *range, int (*found)(void *ctx, size_t start, size_t end),
	void *ctx)
{
	size_t reach = ends_reach(ends);
	size_t back = (size_t)min_u64(range->before + range->first, reach);
	size_t shown = back + (size_t)min_u64(range->size - range->first, range->count + reach);
	struct search s = {.ends = ends,
		.range = range,
		.scratch = scratch,
		.marks = marks,
		.base = (ptrdiff_t)range->first - (ptrdiff_t)back,
		.count = shown + 1};
	ptrdiff_t at = s.base, end, last = (ptrdiff_t)(range->first + range->count);
	int r = ends_mark(&s, shown);

	for (; r == 0 && mark_next(&s, at, &end); at++) {
		if (at < end - (ptrdiff_t)ends->width)
			at = end - (ptrdiff_t)ends->width;
		if (at >= last)
			break;
		r = start_try(&s, at);
		if (r == 0 && s.longest > at && at >= (ptrdiff_t)range->first)
			r = found(ctx, (size_t)at, (size_t)s.longest);
	}
	return r;
}
