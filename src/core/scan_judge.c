/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For engines that judge a target as a whole: what spans marked and what was read is gathered
 * target by target, and handed to the engine when the last chunk is done. What the engine then
 * cannot look at after all becomes a gap in an account that had it as read.
 */
#include "core/scan_state.h"

enum { DATA_MAX = 4 << 20 }; /* stretches of a target: 64 MiB of them */

int worker_keep_mark(struct ms_emit *emit, uint64_t base, uint64_t size)
{
	struct worker *worker = (struct worker *)((char *)emit - offsetof(struct worker, emit));

	return ranges_add(&worker->marks, base, size) ? 0 : err_nomem();
}

/* Turns bytes that count as read into a gap; locked. */
static void unread(struct slot *slot, uint64_t base, uint64_t size, enum ms_state state)
{
	slot->coverage.sums.read -= min_u64(size, slot->coverage.sums.read);
	coverage_add(&slot->coverage, base, size, state);
}

/* Memory in more pieces than can be kept is not judged: widening them would touch what is not
 * there. */
static bool merge_data(struct slot *slot, struct ranges *chunk)
{
	bool added = true;

	for (size_t i = 0; i < chunk->items.count && added; i++) {
		const struct ms_range *range = &chunk->items.data[i];

		if (slot->data.items.count < DATA_MAX)
			added = ranges_add(&slot->data, range->base, range->size);
		else
			unread(slot, range->base, range->size, MS_STATE_LIMIT);
	}
	chunk->items.count = 0;
	ranges_tidy(&slot->data);
	return added;
}

/* Marks may be widened: they are cut down to the data in the end. */
static bool merge_marks(struct slot *slot, struct ranges *chunk)
{
	bool added = true;

	for (size_t i = 0; i < chunk->items.count && added; i++)
		added = ranges_add(
			&slot->marks, chunk->items.data[i].base, chunk->items.data[i].size);
	chunk->items.count = 0;
	ranges_tidy(&slot->marks);
	if (slot->marks.items.count > RANGES_MAX)
		ranges_coarsen(&slot->marks, RANGES_MAX / 2);
	return added;
}

int slot_merge_marks(struct slot *slot, struct worker *worker)
{
	slot->worked++;
	return merge_data(slot, &worker->seen) && merge_marks(slot, &worker->marks) ? 0
										    : err_nomem();
}

static struct worker *view_worker(const struct ms_view *view)
{
	return (struct worker *)((char *)view - offsetof(struct worker, view));
}

static int view_read(struct ms_view *view, uint64_t base, void *buf, size_t size,
	int (*piece)(void *ctx, uint64_t base, size_t size, enum ms_state state), void *ctx)
{
	return reader_read(&view_worker(view)->reader, base, buf, size, piece, ctx);
}

static void view_missed(struct ms_view *view, uint64_t base, uint64_t size, enum ms_state state)
{
	struct worker *worker = view_worker(view);

	pthread_mutex_lock(&worker->state->lock);
	unread(worker->slot, base, size, state);
	pthread_mutex_unlock(&worker->state->lock);
}

static enum ms_state view_stopped(const struct ms_view *view)
{
	struct run_state *state = view_worker(view)->state;
	enum ms_state why = MS_STATE_DATA;

	pthread_mutex_lock(&state->lock);
	run_check_limits(state);
	if (!run_going_on(state))
		why = undone_state(state);
	pthread_mutex_unlock(&state->lock);
	return why;
}

int worker_judge(struct worker *worker)
{
	struct run_state *state = worker->state;
	struct slot *slot = worker->slot;
	struct ranges marks = {0};
	int r;

	ranges_join(&slot->data, 0);
	ranges_join(&slot->marks, 0);
	if (!ranges_common(&slot->marks, &slot->data, &marks)) {
		ranges_done(&marks);
		return err_nomem();
	}
	worker->view = (struct ms_view){
		.data = slot->data.items.data,
		.data_count = slot->data.items.count,
		.marks = marks.items.data,
		.mark_count = marks.items.count,
		.context = state->scan->context,
		.read = view_read,
		.missed = view_missed,
		.stopped = view_stopped,
	};
	worker->span = NULL;
	worker_turn(worker);
	r = state->scan->engine->ops->source(
		state->scan->engine, worker->scratch, &worker->view, &worker->emit);
	ranges_done(&marks);
	return r;
}

void slot_leave_unjudged(struct slot *slot, enum ms_state why)
{
	ranges_join(&slot->data, 0);
	for (size_t i = 0; i < slot->data.items.count; i++)
		unread(slot, slot->data.items.data[i].base, slot->data.items.data[i].size, why);
}
