/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing is a span engine: the loop shows it the bytes of both sides. It reports runs only as
 * far as the fresh bytes go, since a run may be longer than any overlap; whoever takes the hits
 * joins what a border of chunks cut, as if there had been none.
 */
#include "track/diff.h"

#include "base/mem.h"
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
