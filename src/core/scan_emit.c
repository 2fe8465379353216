/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handing out what workers found, in order: results wait in their target's queue until their
 * turn, and whichever worker completes the front of the line hands it out. A worker whose hits
 * pile up waits for its turn, and hands them out before the chunk is done.
 */
#include "core/scan_state.h"

#include "base/err.h"

void result_free(struct result *result)
{
	if (!result)
		return;
	free(result->hits.data);
	arena_done(&result->bytes);
	free(result);
}

/* A limit on bytes only ends the planning: what was planned is still worked on. */
bool run_going_on(const struct run_state *state)
{
	return state->stop == STOP_NOT || state->stop == STOP_BYTES;
}

void run_stop(struct run_state *state, enum stop stop)
{
	if (run_going_on(state))
		state->stop = stop;
	pthread_cond_broadcast(&state->changed);
}

/* Keeps the thread's error text: the caller of scan_run() is another thread. */
void run_fail(struct run_state *state, int status)
{
	if (state->stop != STOP_FAULT) {
		state->status = status;
		snprintf(state->error, sizeof(state->error), "%s", ms_error());
		state->stop = STOP_FAULT;
	}
	pthread_cond_broadcast(&state->changed);
}

static size_t result_size(const struct result *result)
{
	return result->bytes.total + result->hits.count * sizeof(*result->hits.data);
}

/*
 * Called unlocked by the one thread that has `emitting`; count_hits() follows, locked, since
 * progress looks at the number of hits meanwhile.
 */
static int hand_out_hits(struct run_state *state, size_t index, struct result *result)
{
	const struct scan *scan = state->scan;
	uint64_t left = scan->job->hits_max ? scan->job->hits_max - state->hits : UINT64_MAX;
	size_t count = (size_t)min_u64(result->hits.count, left);
	int r = 0;

	for (result->passed_on = 0; result->passed_on < count && r == 0; result->passed_on++)
		r = scan->hit(scan->ctx, index, state->slots[index].src,
			&result->hits.data[result->passed_on]);
	if (r < 0)
		return r;
	result->hits.count = 0;
	arena_reset(&result->bytes);
	return r;
}

/* What a callback asked for. */
static void heed(struct run_state *state, int r)
{
	if (r < 0)
		run_fail(state, r);
	else if (r == SCAN_ENOUGH)
		run_stop(state, STOP_HITS);
}

static void count_hits(struct run_state *state, const struct result *result)
{
	state->hits += result->passed_on;
	if (state->scan->job->hits_max && state->hits >= state->scan->job->hits_max)
		run_stop(state, STOP_HITS);
}

static void slot_done(struct slot *slot)
{
	coverage_done(&slot->coverage);
	plan_done(slot->plan);
	ranges_done(&slot->data);
	ranges_done(&slot->marks);
	free(slot->error);
	free(slot->verdict);
	slot->verdict = NULL;
	slot->plan = NULL;
	slot->error = NULL;
	slot->src = NULL;
}

static int finish_slot(struct run_state *state, size_t index)
{
	const struct scan *scan = state->scan;
	struct slot *slot = &state->slots[index];
	bool failed = slot->state == SLOT_FAILED;
	int r;

	coverage_finish(&slot->coverage);
	r = slot->coverage.failed ? err_nomem() : 0;
	if (r == 0 && slot->verdict && scan->troubled)
		r = scan->troubled(scan->ctx, index, slot->src, slot->verdict);
	if (r == 0)
		r = scan->done(scan->ctx, index, slot->src, &slot->coverage,
			failed ? slot->status : 0, slot->error);
	else if (slot->src)
		scan->done(scan->ctx, index, slot->src, NULL, r, NULL);
	slot_done(slot);
	return r;
}

/* Ends a target of a job that failed: only its source goes back. */
static void drop_slot(struct run_state *state, size_t index)
{
	const struct scan *scan = state->scan;
	struct slot *slot = &state->slots[index];

	if (slot->src)
		scan->done(scan->ctx, index, slot->src, NULL, state->status, NULL);
	slot_done(slot);
}

static bool slot_complete(const struct run_state *state, const struct slot *slot)
{
	return slot->state == SLOT_FAILED ||
	       (slot->state == SLOT_PLANNED && slot->emitted == slot->handed_out &&
		       (slot->judged || !judges(state)));
}

/* Takes the result whose turn it is, or returns NULL. */
static struct result *take_result(struct run_state *state, struct slot *slot)
{
	struct result *result = slot->pending;

	if (!result || result->number != slot->emitted)
		return NULL;
	slot->pending = result->next;
	state->pending_bytes -= result_size(result);
	return result;
}

/* Hands out what is at the front of the line; locked. */
void run_drain(struct run_state *state)
{
	if (state->emitting)
		return;
	state->emitting = true;
	while (state->first < state->scan->target_count && state->stop != STOP_FAULT) {
		struct slot *slot = &state->slots[state->first];
		struct result *result = take_result(state, slot);
		int r;

		if (!result && !slot_complete(state, slot))
			break;
		pthread_mutex_unlock(&state->lock);
		r = result ? hand_out_hits(state, state->first, result)
			   : finish_slot(state, state->first);
		pthread_mutex_lock(&state->lock);
		heed(state, r);
		if (result) {
			count_hits(state, result);
			slot->emitted++;
			result->next = state->spare;
			state->spare = result;
		} else {
			if (slot->state == SLOT_PLANNED)
				state->open_count--;
			slot->state = SLOT_DONE;
			state->first++;
		}
	}
	state->emitting = false;
	pthread_cond_broadcast(&state->changed);
}

static bool at_front(const struct run_state *state, const struct slot *slot, uint64_t number)
{
	return &state->slots[state->first] == slot && slot->emitted == number && !state->emitting;
}

/* A chunk with very many hits: waits for its turn and hands out what it has so far. */
static int hand_out_early(struct worker *worker)
{
	struct run_state *state = worker->state;
	int r;

	worker->whole = false;
	pthread_mutex_lock(&state->lock);
	while (!at_front(state, worker->slot, worker->result->number) && run_going_on(state))
		pthread_cond_wait(&state->changed, &state->lock);
	if (!run_going_on(state)) {
		pthread_mutex_unlock(&state->lock);
		return MS_ERR_STOPPED;
	}
	state->emitting = true;
	pthread_mutex_unlock(&state->lock);
	r = hand_out_hits(state, (size_t)(worker->slot - state->slots), worker->result);
	pthread_mutex_lock(&state->lock);
	state->emitting = false;
	heed(state, r);
	count_hits(state, worker->result);
	r = run_going_on(state) ? 0 : MS_ERR_STOPPED;
	pthread_cond_broadcast(&state->changed);
	pthread_mutex_unlock(&state->lock);
	return r;
}

/* Counts the hit that was written behind the last one. */
static int hit_added(struct worker *worker)
{
	worker->result->hits.count++;
	return result_size(worker->result) > RESULT_MAX ? hand_out_early(worker) : 0;
}

/* Room for a hit behind the last one; NULL when memory runs out. */
static struct ms_hit *hit_room(struct result *result)
{
	return vec_grow((void **)&result->hits.data, result->hits.count, &result->hits.room,
		       sizeof(*result->hits.data))
		       ? &result->hits.data[result->hits.count]
		       : NULL;
}

/* Adds a hit whose bytes are kept already. */
int worker_push_hit(struct worker *worker, const struct ms_hit *kept)
{
	struct ms_hit *to = hit_room(worker->result);

	if (!to)
		return err_nomem();
	*to = *kept;
	return hit_added(worker);
}

/* Keeps what lies around a hit of a span. */
static bool context_keep(
	const struct ms_span *span, size_t context, struct ms_hit *hit, struct arena *bytes)
{
	size_t at = (size_t)(hit->address - span->address);
	size_t back = (size_t)min_u64(context, at + span->before);
	size_t shown = (size_t)min_u64(hit->size, MS_CONTEXT_MAX);

	hit->context_size = (size_t)min_u64(back + shown + context, back + span->size - at);
	hit->context_before = back;
	hit->context = (uint8_t *)arena_copy(bytes, span->data + at - back, hit->context_size);
	return hit->context;
}

int worker_keep_hit(struct ms_emit *emit, const struct ms_hit *hit)
{
	struct worker *worker = (struct worker *)((char *)emit - offsetof(struct worker, emit));
	struct result *result = worker->result;
	size_t context = worker->span ? worker->state->scan->context : 0;
	struct ms_hit *to = hit_room(result);

	if (!to || !hit_copy(to, hit, &result->bytes) ||
		(context && !context_keep(worker->span, context, to, &result->bytes)))
		return err_nomem();
	return hit_added(worker);
}

void run_queue(struct run_state *state, struct slot *slot, struct result *result)
{
	struct result **at = &slot->pending;

	while (*at && (*at)->number < result->number)
		at = &(*at)->next;
	result->next = *at;
	*at = result;
	state->pending_bytes += result_size(result);
}

/* Hands out what waits, unless the job failed, and lets go of it. */
static void finish_pending(struct run_state *state, size_t index)
{
	struct slot *slot = &state->slots[index];

	while (slot->pending) {
		struct result *result = slot->pending;

		slot->pending = result->next;
		if (state->stop != STOP_FAULT) {
			heed(state, hand_out_hits(state, index, result));
			count_hits(state, result);
		}
		result_free(result);
	}
}

/* Accounts for what a stop left undone, target by target. */
void run_wind_up(struct run_state *state)
{
	enum ms_state undone = undone_state(state);
	bool late = undone == MS_STATE_DEADLINE;

	for (; state->first < state->scan->target_count; state->first++) {
		struct slot *slot = &state->slots[state->first];
		int r;

		finish_pending(state, state->first);
		if (state->stop == STOP_FAULT) {
			drop_slot(state, state->first);
			continue;
		}
		if (slot->state == SLOT_OPEN)
			plan_abandon(slot->plan, undone);
		if (judges(state) && !slot->judged)
			slot_leave_unjudged(slot, undone);
		if (slot->state == SLOT_CLOSED) {
			slot->state = SLOT_FAILED;
			slot->status = late ? MS_ERR_TIMEOUT : MS_ERR_STOPPED;
			slot->error = strdup(late ? "not reached before the end of the job"
						  : "not reached: a limit ended the job");
		}
		r = finish_slot(state, state->first);
		if (r < 0)
			run_fail(state, r);
	}
}
