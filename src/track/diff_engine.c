/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing is a span engine: the loop shows it the bytes of both sides. It reports runs only as
 * far as the fresh bytes go, since a run may be longer than any overlap; whoever takes the hits
 * joins what a border of chunks cut, as if there had been none.
 */
#include "track/diff.h"

#include "base/mem.h"
#include "core/hashfile.h"
#include "core/host.h"
#include "core/pagehash.h"
#include "track/pagediff.h"

struct diff_scratch {
	uint8_t bytes[2 * MS_CHANGE_BYTES_MAX];
};

static const struct diff_query *query_of(const struct ms_engine *engine)
{
	return *(const struct diff_query **)engine->priv;
}

static size_t diff_overlap(const struct ms_engine *engine)
{
	return query_of(engine)->bytes_max + PAGEDIFF_JOIN;
}

static size_t diff_behind(const struct ms_engine *engine)
{
	(void)engine;
	return PAGEDIFF_JOIN;
}

static int run_emit(const struct diff_query *query, struct diff_scratch *scratch,
	const struct ms_span *span, struct pagediff_run run, struct ms_emit *emit)
{
	bool may_go_on = span->fresh - (run.offset + run.size) < PAGEDIFF_JOIN;
	size_t known = may_go_on ? span->size - run.offset : run.size;
	size_t shown = (size_t)min_u64(query->bytes_max, known);
	struct ms_hit hit = {
		.address = span->address + run.offset,
		.size = run.size,
		.value = min_u64(PAGEDIFF_JOIN, run.offset + span->before),
		.bytes = scratch->bytes,
		.bytes_size = 2 * shown,
	};

	memcpy(scratch->bytes, span->twin + run.offset, shown);
	memcpy(scratch->bytes + shown, span->data + run.offset, shown);
	return emit->hit(emit, &hit);
}

static int diff_bytes_span(const struct ms_engine *engine, void *scratch,
	const struct ms_span *span, struct ms_emit *emit)
{
	const struct diff_query *query = query_of(engine);
	struct pagediff_run run;
	int r = 0;

	for (size_t at = 0; r == 0 && pagediff_next(span->twin, span->data, span->fresh, at, &run);
		at = run.offset + run.size)
		r = run_emit(query, scratch, span, run, emit);
	return r;
}

const struct ms_engine_ops diff_bytes_engine = {
	.name = "diff",
	.summary = "compares two sources byte by byte",
	.priv_size = sizeof(struct diff_query *),
	.scratch_size = sizeof(struct diff_scratch),
	.overlap = diff_overlap,
	.behind = diff_behind,
	.span = diff_bytes_span,
};

/* ---- Hashes ----------------------------------------------------------------------------- */

enum block_state { BLOCK_SAME, BLOCK_CHANGED, BLOCK_UNKNOWN };

static size_t hashes_overlap(const struct ms_engine *engine)
{
	(void)engine;
	return PAGEHASH_BLOCK;
}

/* Whether the source says of all these bytes that they were never touched. */
static bool is_absent(ms_source *src, uint64_t address, size_t size)
{
	const struct ms_region *region = region_find(&src->regions, address);
	struct run run;
	size_t count = 0;

	return region && region->base + region->size - address >= size &&
	       src->ops->resident(src, region, address, size, &run, 1, &count) == 0 && count &&
	       run.state == MS_STATE_ABSENT && run.size >= size;
}

/* The hash of a block as a side knows it; false when that covers other bytes. */
static bool block_hash(ms_source *src, uint64_t address, const uint8_t *bytes, size_t size,
	struct pagehash *ret_hash)
{
	static const uint8_t zeros[PAGEHASH_BLOCK];
	struct page_id id = {0};

	if (!src->ops->hashed) {
		*ret_hash = pagehash_make(bytes, size);
		return true;
	}
	if (src->ops->identify(src, address, 1, &id) < 0)
		return false;
	*ret_hash = id.kind ? (struct pagehash){id.object, id.index} : pagehash_make(zeros, size);
	return id.kind ? id.frame == size : is_absent(src, address, size);
}

static enum block_state block_compare(
	const struct diff_query *query, uint64_t address, const uint8_t *bytes, size_t size)
{
	struct pagehash old, now;

	if (!block_hash(query->old, address, bytes, size, &old) ||
		!block_hash(query->now, address, bytes, size, &now))
		return BLOCK_UNKNOWN;
	return old.low == now.low && old.high == now.high ? BLOCK_SAME : BLOCK_CHANGED;
}

static int diff_hashes_span(const struct ms_engine *engine, void *scratch,
	const struct ms_span *span, struct ms_emit *emit)
{
	const struct diff_query *query = query_of(engine);
	struct diff_scratch *room = scratch;
	size_t size;
	int r = 0;

	for (size_t at = 0; r == 0 && pagehash_block(span, &at, &size); at += size) {
		size_t shown = (size_t)min_u64(query->bytes_max, size);
		struct ms_hit hit = {.address = span->address + at,
			.size = size,
			.bytes = room->bytes,
			.bytes_size = 2 * shown};
		enum block_state state = block_compare(query, hit.address, span->data + at, size);

		if (state == BLOCK_SAME)
			continue;
		hit.value = state == BLOCK_UNKNOWN ? DIFF_UNKNOWN : 0;
		memcpy(room->bytes, span->data + at, shown);
		memcpy(room->bytes + shown, span->data + at, shown);
		r = emit->hit(emit, &hit);
	}
	return r;
}

const struct ms_engine_ops diff_hashes_engine = {
	.name = "diff-hashes",
	.summary = "compares two sources by hashes",
	.priv_size = sizeof(struct diff_query *),
	.scratch_size = sizeof(struct diff_scratch),
	.overlap = hashes_overlap,
	.behind = diff_behind,
	.span = diff_hashes_span,
};
