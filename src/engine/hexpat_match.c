/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The matcher goes through the nodes backwards and keeps, for each position of the data, the
 * least end of a match of what it has gone through so far. A run then is a lookup, a jump the
 * least of a window and an alternative the least of its branches: no data can make it go back and
 * try again, however jumps and alternatives are nested.
 */
#include "engine/hexpat_node.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>

enum { NO_END = UINT32_MAX };

/*
 * Positions are counted from the first start. ends[p] is the least end of a match, beginning at
 * p, of the nodes behind the one at hand; what was known behind each open alternative, and the
 * least of its branches so far, are two more rows for each level.
 */
struct match {
	const struct hexpat *pattern;
	const uint8_t *data;
	uint32_t width; /* the last start */
	uint32_t limit; /* no match ends behind this */
	uint32_t *ends;
	unsigned level;
	const struct hexpat_node *close[HEXPAT_DEPTH_MAX + 1]; /* of each level */
};

static uint32_t *row(const struct match *m, unsigned index)
{
	return m->ends + (size_t)index * (m->limit + 1);
}

/* One more than the last position that a match can be at after `max` bytes. */
static uint32_t position_end(const struct match *m, uint32_t max)
{
	return (uint32_t)min_u64((uint64_t)max + m->width, m->limit) + 1;
}

static bool run_matches(const uint8_t *data, const uint8_t *value, const uint8_t *mask, size_t size)
{
	size_t i = 0;

	for (; i + 8 <= size; i += 8)
		if ((load_u64(data + i, false) ^ load_u64(value + i, false)) &
			load_u64(mask + i, false))
			return false;
	for (; i < size; i++)
		if ((data[i] ^ value[i]) & mask[i])
			return false;
	return true;
}

/* Returns whether there is an end for any position. */
static bool match_run(const struct match *m, const struct hexpat_node *node)
{
	const uint8_t *value = m->pattern->value + node->from;
	const uint8_t *mask = m->pattern->mask + node->from;
	uint32_t *ends = m->ends, stop = position_end(m, node->max), size = node->size;
	bool any = false;

	for (uint32_t p = node->min; p < stop; p++) {
		bool found = p + size <= m->limit && ends[p + size] != NO_END &&
			     run_matches(m->data + p, value, mask, size);

		ends[p] = found ? ends[p + size] : NO_END;
		any |= found;
	}
	return any;
}

/* Puts the least of ends[i..i + width) into each ends[i], doubling the windows step by step. */
static void window_least(uint32_t *ends, size_t count, size_t width)
{
	for (size_t done = 1, step; done < width && done < count; done += step) {
		step = min_u64(done, width - done);
		for (size_t i = 0; i + step < count; i++)
			ends[i] = ends[i] < ends[i + step] ? ends[i] : ends[i + step];
	}
}

static void match_jump(const struct match *m, const struct hexpat_node *node)
{
	uint32_t from = node->min + node->least, stop = position_end(m, node->max);
	uint32_t reach = position_end(m, node->max + node->most);

	if (from < reach)
		window_least(m->ends + from, reach - from, node->most - node->least + 1);
	for (uint32_t p = node->min; p < stop; p++)
		m->ends[p] = p + node->least <= m->limit ? m->ends[p + node->least] : NO_END;
}

/* Copies what is known of the positions that `node` may lie at. */
static void row_copy(
	const struct match *m, const struct hexpat_node *node, unsigned to, unsigned from)
{
	uint32_t stop = position_end(m, node->max);

	if (node->min < stop)
		memcpy(row(m, to) + node->min, row(m, from) + node->min,
			(stop - node->min) * sizeof(uint32_t));
}

static void match_close(struct match *m, const struct hexpat_node *node)
{
	const struct hexpat_node *open = &m->pattern->nodes[node->open];
	uint32_t stop = position_end(m, open->max);
	uint32_t *least;

	m->close[++m->level] = node;
	row_copy(m, node, 2 * m->level - 1, 0);
	least = row(m, 2 * m->level);
	for (uint32_t p = open->min; p < stop; p++)
		least[p] = NO_END;
}

/* A branch has been gone through: keeps the least, and goes back behind the alternative. */
static void match_branch(struct match *m, const struct hexpat_node *node)
{
	uint32_t stop = position_end(m, node->max), *least = row(m, 2 * m->level);

	for (uint32_t p = node->min; p < stop; p++)
		least[p] = (uint32_t)min_u64(least[p], m->ends[p]);
	if (node->type == NODE_OPEN) {
		row_copy(m, node, 0, 2 * m->level);
		m->level--;
	} else {
		row_copy(m, m->close[m->level], 0, 2 * m->level - 1);
	}
}

/* Returns false when no start has a match. */
static bool match_nodes(struct match *m)
{
	const struct hexpat *pattern = m->pattern;
	uint32_t stop = position_end(m, (uint32_t)pattern->size_max);

	for (uint32_t p = (uint32_t)pattern->size_min; p < stop; p++)
		m->ends[p] = p;
	for (size_t i = pattern->node_count; i-- > 0;) {
		const struct hexpat_node *node = &pattern->nodes[i];

		if (node->type == NODE_RUN) {
			if (!match_run(m, node) && !m->level)
				return false;
		} else if (node->type == NODE_JUMP)
			match_jump(m, node);
		else if (node->type == NODE_CLOSE)
			match_close(m, node);
		else
			match_branch(m, node);
	}
	return true;
}

static int work_grow(struct hexpat_work *work, size_t count)
{
	uint32_t *grown;

	if (count <= work->room)
		return 0;
	grown = realloc(work->ends, count * sizeof(*grown));
	if (!grown)
		return err_nomem();
	work->ends = grown;
	work->room = count;
	return 0;
}

void hexpat_work_done(struct hexpat_work *work)
{
	free(work->ends);
	*work = (struct hexpat_work){0};
}

int hexpat_match(const struct hexpat *pattern, struct hexpat_work *work, const uint8_t *data,
	size_t size, size_t first, size_t last,
	int (*matched)(void *ctx, size_t offset, size_t size), void *ctx)
{
	size_t limit = min_u64(size - first, last - first + pattern->size_max);
	struct match m = {.pattern = pattern, .data = data + first};
	int r;

	assert(first <= last && last < size && limit < UINT32_MAX);
	r = work_grow(work, (2 * (size_t)pattern->depth + 1) * (limit + 1));
	if (r < 0)
		return r;
	m.width = (uint32_t)(last - first);
	m.limit = (uint32_t)limit;
	m.ends = work->ends;
	if (!match_nodes(&m))
		return 0;
	for (uint32_t p = 0; p <= m.width && r == 0; p++)
		if (m.ends[p] != NO_END)
			r = matched(ctx, first + p, m.ends[p] - p);
	return r;
}
