/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker does with a chunk: it is read, or taken from memory of our own, or recognized as
 * the same pages that were searched elsewhere; each stretch of it is shown to the engine.
 */
#include "core/scan_state.h"

#include "base/err.h"

static const uint8_t *shown_twin(const struct worker *worker, uint64_t address)
{
	const struct shown *twin = &worker->twin_shown;

	return worker->twin_data ? twin->bytes + (address - twin->base) : NULL;
}

/* A stretch of the chunk that was read, of both sources if there are two, or was not. */
static int work_piece(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct worker *worker = ctx;
	const struct ms_engine *engine = worker->state->scan->engine;
	const struct chunk *chunk = &worker->chunk;
	uint64_t first = max_u64(base, chunk->base);
	uint64_t last = min_u64(base + size, chunk->base + chunk->fresh);
	struct ms_span span;
	int r;

	if (state != MS_STATE_DATA)
		worker->whole = false;
	if (first >= last)
		return 0;
	if (state != MS_STATE_DATA) {
		coverage_add(&worker->coverage, first, last - first, state);
		return 0;
	}
	span = (struct ms_span){
		.data = worker->shown.bytes + (first - worker->shown.base),
		.twin = shown_twin(worker, first),
		.size = (size_t)(base + size - first),
		.fresh = (size_t)(last - first),
		.before = (size_t)(first - base),
		.address = first,
		.position = chunk->position + (first - chunk->base),
	};
	worker->span = &span;
	r = engine->ops->span(engine, worker->scratch, &span, &worker->emit);
	if (r == 0 && engine->ops->source && !ranges_add(&worker->seen, first, last - first))
		r = err_nomem();
	/* Bytes of which hits were dropped were not looked at. */
	if (r == 0)
		coverage_add(&worker->coverage, first, last - first, MS_STATE_DATA);
	return r;
}

/* Bytes that need not be copied, all of them or none. */
static const uint8_t *view_all(ms_source *src, uint64_t base, size_t size)
{
	size_t got = 0;
	const void *bytes = src->ops->view ? src->ops->view(src, base, size, &got) : NULL;

	return got == size ? bytes : NULL;
}

/* A stretch that the first of two sources has: on to the second. */
static int work_twin(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct worker *worker = ctx;
	uint64_t from = worker->chunk.base - worker->chunk.before;
	uint8_t *to = worker->twin_data - worker->chunk.before + (base - from);
	const uint8_t *view;

	if (state != MS_STATE_DATA)
		return work_piece(worker, base, size, state);
	view = view_all(worker->state->scan->twin, base, size);
	worker->twin_shown = (struct shown){view ? view : to, base};
	if (view)
		return work_piece(worker, base, size, state);
	return reader_read(&worker->twin_reader, base, to, size, work_piece, worker);
}

/* Adds the chunk's account to its target's; locked. */
static void merge_coverage(struct slot *slot, struct coverage *chunk)
{
	slot->coverage.sums.read += chunk->sums.read;
	for (size_t i = 0; i < chunk->gaps.count; i++)
		coverage_add(&slot->coverage, chunk->gaps.data[i].base, chunk->gaps.data[i].size,
			chunk->gaps.data[i].state);
	slot->coverage.sums.absent += chunk->sums.absent;
	slot->coverage.failed |= chunk->failed;
	chunk->sums = (struct ms_coverage){0};
	chunk->gaps.count = 0;
}

/* Reports the hits and marks that the same pages had elsewhere. */
static int repeat_hits(struct worker *worker, const struct share_entry *entry)
{
	const struct chunk *chunk = &worker->chunk;

	for (size_t i = 0; i < entry->count; i++) {
		struct ms_hit hit;
		int r = 0;

		if (!hit_copy(&hit, &entry->hits[i], &worker->result->bytes))
			return err_nomem();
		hit.address += chunk->base;
		r = worker_push_hit(worker, &hit);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < entry->mark_count; i++)
		if (!ranges_add(&worker->marks, chunk->base + entry->marks[i].base,
			    entry->marks[i].size))
			return err_nomem();
	if (judges(worker->state) && !ranges_add(&worker->seen, chunk->base, chunk->fresh))
		return err_nomem();
	coverage_add(&worker->coverage, chunk->base, chunk->fresh, MS_STATE_DATA);
	return 0;
}

/* Has the worker's reader read the target it works on. */
void worker_turn(struct worker *worker)
{
	if (worker->read_slot == worker->slot)
		return;
	reader_done(&worker->reader);
	reader_init(&worker->reader, worker->slot->src);
	worker->read_slot = worker->slot;
}

/* Reads and searches the chunk. */
static int search_chunk(struct worker *worker)
{
	const struct chunk *chunk = &worker->chunk;
	uint64_t base = chunk->base - chunk->before;
	size_t size = chunk->before + chunk->fresh + chunk->after;
	uint8_t *to = worker->data - chunk->before;
	const uint8_t *view = view_all(worker->slot->src, base, size);

	worker_turn(worker);
	worker->whole = true;
	worker->shown = (struct shown){view ? view : to, base};
	if (view)
		return (worker->twin_data ? work_twin : work_piece)(
			worker, base, size, MS_STATE_DATA);
	return reader_read(&worker->reader, base, to, size,
		worker->twin_data ? work_twin : work_piece, worker);
}

/* The key of the chunk; what its pages are is asked once for all chunks taken together. */
static bool chunk_key(struct worker *worker, uint64_t period, struct share_key *ret_key)
{
	const struct share *share = worker->state->share;
	struct ms_source *src = worker->slot->src;

	if (!share || !period)
		return false;
	if (!worker->pages_known)
		share_pages_learn(&worker->pages, src, worker->batch, worker->batch_count);
	worker->pages_known = true;
	return share_key_make(share, &worker->pages, src, &worker->chunk, period, ret_key);
}

/* Searches the chunk, unless these pages were searched already. */
static int search_shared(struct worker *worker)
{
	struct run_state *state = worker->state;
	const struct chunk *chunk = &worker->chunk;
	uint64_t period = engine_period(state->scan->engine);
	const struct share_entry *entry;
	struct share_key key;
	int r;

	if (!chunk_key(worker, period, &key))
		return search_chunk(worker);
	entry = share_find(state->share, key);
	if (entry)
		return repeat_hits(worker, entry);
	r = search_chunk(worker);
	/* The pages may have been others by the time they were read. */
	if (r == 0 && worker->whole &&
		share_key_is(state->share, worker->slot->src, chunk, period, key))
		share_add(state->share, key, chunk->base, worker->result->hits.data,
			worker->result->hits.count, worker->marks.items.data,
			worker->marks.items.count);
	return r;
}

void worker_chunk(struct worker *worker)
{
	struct run_state *state = worker->state;
	struct slot *slot = worker->slot;
	const struct chunk *chunk = &worker->chunk;
	uint64_t done;
	int r = search_shared(worker);

	pthread_mutex_lock(&state->lock);
	slot->coverage.sums.gone |= worker->read_slot == slot && worker->reader.gone;
	slot->coverage.sums.gone |= worker->twin_reader.gone;
	done = worker->coverage.sums.read + worker->coverage.sums.absent +
	       worker->coverage.sums.unreadable + worker->coverage.sums.skipped;
	/* Stopped in the middle: the rest of the chunk was read but not looked at. */
	if (done < chunk->fresh)
		coverage_add(&worker->coverage, chunk->base + done, chunk->fresh - done,
			undone_state(state));
	merge_coverage(slot, &worker->coverage);
	if (judges(state)) {
		int merged = slot_merge_marks(slot, worker);

		r = r < 0 ? r : merged;
	}
	state->bytes_done += chunk->fresh;
	if (r < 0 && r != MS_ERR_STOPPED)
		run_fail(state, r);
	run_queue(state, slot, worker->result);
	worker->result = NULL;
	run_drain(state);
	pthread_mutex_unlock(&state->lock);
}

void worker_target(struct worker *worker)
{
	struct run_state *state = worker->state;
	struct slot *slot = worker->slot;
	int r = worker_judge(worker);

	pthread_mutex_lock(&state->lock);
	slot->coverage.sums.gone |= worker->reader.gone;
	if (r < 0 && r != MS_ERR_STOPPED && r != MS_ERR_MEMORY) {
		slot->verdict = strdup(ms_error());
		slot->coverage.sums.partial = true;
	} else if (r < 0 && r != MS_ERR_STOPPED) {
		run_fail(state, r);
	}
	run_queue(state, slot, worker->result);
	worker->result = NULL;
	run_drain(state);
	pthread_mutex_unlock(&state->lock);
}
