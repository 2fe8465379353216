/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduling. Workers take chunks of the first target that has any left, opening the next target
 * when they find none; results wait in their target's queue until their turn, and whichever
 * worker completes the front of the line hands it out. Own memory is bounded: a worker whose
 * hits pile up waits for its turn, and no chunk is begun far ahead of the front.
 *
 * An engine that judges whole sources gets one more piece of work for each target: when the last
 * of its chunks is done, some worker hands the target over, with what was read and marked. What
 * comes of that waits for its turn like the hits of a chunk.
 */
#include "core/scan.h"

#include "base/err.h"
#include "base/os.h"
#include "core/scan_state.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

static void result_free(struct result *result)
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

static void stop_with(struct run_state *state, enum stop stop)
{
	if (run_going_on(state))
		state->stop = stop;
	pthread_cond_broadcast(&state->changed);
}

/* Keeps the thread's error text: the caller of scan_run() is another thread. */
static void stop_fault(struct run_state *state, int status)
{
	if (state->stop != STOP_FAULT) {
		state->status = status;
		snprintf(state->error, sizeof(state->error), "%s", ms_error());
		state->stop = STOP_FAULT;
	}
	pthread_cond_broadcast(&state->changed);
}

/* ---- Handing out results, in order ------------------------------------------------------ */

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

	for (result->passed_on = 0; result->passed_on < count; result->passed_on++) {
		int r = scan->hit(scan->ctx, index, state->slots[index].src,
			&result->hits.data[result->passed_on]);

		if (r < 0)
			return r;
	}
	result->hits.count = 0;
	arena_reset(&result->bytes);
	return 0;
}

static void count_hits(struct run_state *state, const struct result *result)
{
	state->hits += result->passed_on;
	if (state->scan->job->hits_max && state->hits >= state->scan->job->hits_max)
		stop_with(state, STOP_HITS);
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
static void drain(struct run_state *state)
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
		if (r < 0)
			stop_fault(state, r);
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
	if (r < 0)
		stop_fault(state, r);
	count_hits(state, worker->result);
	r = run_going_on(state) ? 0 : MS_ERR_STOPPED;
	pthread_cond_broadcast(&state->changed);
	pthread_mutex_unlock(&state->lock);
	return r;
}

/* Adds a hit whose bytes are kept already. */
static int push_hit(struct worker *worker, const struct ms_hit *kept)
{
	struct result *result = worker->result;

	if (!vec_push(&result->hits, *kept))
		return err_nomem();
	if (result_size(result) > RESULT_MAX)
		return hand_out_early(worker);
	return 0;
}

static int keep_hit(struct ms_emit *emit, const struct ms_hit *hit)
{
	struct worker *worker = (struct worker *)((char *)emit - offsetof(struct worker, emit));
	struct result *result = worker->result;
	const struct ms_span *span = worker->span;
	size_t context = worker->state->scan->context;
	struct ms_hit kept = *hit;

	if (!span)
		return hit_copy(&kept, hit, &result->bytes) ? push_hit(worker, &kept) : err_nomem();
	if (context) {
		size_t at = (size_t)(hit->address - span->address);
		size_t back = (size_t)min_u64(context, at + span->before);
		size_t shown = (size_t)min_u64(hit->size, MS_CONTEXT_MAX);
		size_t size = (size_t)min_u64(back + shown + context, back + span->size - at);

		kept.context = arena_alloc(&result->bytes, size);
		if (!kept.context)
			return err_nomem();
		memcpy((void *)kept.context, span->data + at - back, size);
		kept.context_size = size;
		kept.context_before = back;
	}
	if (hit->bytes_size) {
		kept.bytes = arena_alloc(&result->bytes, hit->bytes_size);
		if (!kept.bytes)
			return err_nomem();
		memcpy((void *)kept.bytes, hit->bytes, hit->bytes_size);
	}
	if (hit->text == (const char *)hit->bytes)
		kept.text = (const char *)kept.bytes;
	else if (hit->text)
		kept.text = arena_copy(&result->bytes, hit->text, hit->text_size);
	if (hit->text && !kept.text)
		return err_nomem();
	return push_hit(worker, &kept);
}

/* ---- Taking chunks ---------------------------------------------------------------------- */

static uint64_t region_estimate(const struct run_state *state, const struct ms_source *src)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < src->regions.items.count; i++) {
		const struct ms_region *region = &src->regions.items.data[i];

		if (ms_filter_match(state->scan->filter, region))
			sum += min_u64(region->resident, region->size);
	}
	return sum;
}

static int freeze_slot(struct run_state *state, size_t index, struct slot *slot)
{
	const struct scan *scan = state->scan;
	uint64_t end;
	int r;

	if (!scan->planned)
		return 0;
	slot->coverage.keep_absent = true;
	r = plan_freeze(slot->plan, &end);
	if (r == 0)
		r = scan->planned(scan->ctx, index, slot->src, &slot->coverage, end);
	return r;
}

/* Opens a target; called unlocked, the slot is SLOT_OPENING. */
static int open_slot(struct run_state *state, size_t index, struct slot *slot)
{
	const struct ms_job *job = state->scan->job;
	int r = state->scan->open(state->scan->ctx, index, &slot->src);

	if (r == 0)
		r = source_refresh(slot->src);
	if (r == 0 && !(slot->plan = malloc(sizeof(*slot->plan))))
		r = err_nomem();
	if (r == 0) {
		plan_init(slot->plan, slot->src, state->scan->filter, &slot->coverage,
			job->process_bytes_max ? job->process_bytes_max : UINT64_MAX);
		slot->plan->canonical = state->share;
		r = freeze_slot(state, index, slot);
	}
	if (r < 0)
		slot->error = strdup(ms_error());
	return r;
}

static void open_next(struct run_state *state)
{
	size_t index = state->next_closed++;
	struct slot *slot = &state->slots[index];
	int r;

	slot->state = SLOT_OPENING;
	state->open_count++;
	pthread_mutex_unlock(&state->lock);
	r = open_slot(state, index, slot);
	pthread_mutex_lock(&state->lock);
	slot->status = r;
	slot->state = r < 0 ? SLOT_FAILED : SLOT_OPEN;
	if (r < 0)
		state->open_count--;
	else
		state->bytes_total += region_estimate(state, slot->src);
	drain(state);
	pthread_cond_broadcast(&state->changed);
}

static size_t bytes_left(const struct run_state *state)
{
	uint64_t max = state->scan->job->bytes_max;

	return max ? (size_t)min_u64(SCAN_CHUNK, max - state->bytes_planned) : SCAN_CHUNK;
}

/* Cuts the next chunk of an open target; false when it has none left. Locked. */
static bool take_chunk(struct worker *worker, struct slot *slot)
{
	struct run_state *state = worker->state;
	int r = plan_next(
		slot->plan, bytes_left(state), state->before, state->after, &worker->chunk);

	if (r == 1) {
		worker->slot = slot;
		worker->result->number = slot->handed_out++;
		state->bytes_planned += worker->chunk.fresh;
		return true;
	}
	if (r == MS_ERR_MEMORY) {
		stop_fault(state, r);
	} else if (r < 0) {
		/* The process went while its pages were being counted, or they are not for us. */
		slot->coverage.sums.gone |= r == MS_ERR_GONE;
		plan_abandon(slot->plan, r == MS_ERR_GONE     ? MS_STATE_VANISHED
					 : r == MS_ERR_ACCESS ? MS_STATE_NO_ACCESS
							      : MS_STATE_IO_ERROR);
	}
	slot->state = SLOT_PLANNED;
	drain(state);
	return false;
}

/* The front of the line may always go on, or nothing would ever drain. */
static bool must_wait(const struct run_state *state, const struct slot *slot)
{
	return state->pending_bytes > PENDING_MAX &&
	       !(&state->slots[state->first] == slot && slot->emitted == slot->handed_out);
}

void run_check_limits(struct run_state *state)
{
	const struct ms_job *job = state->scan->job;

	if (os_clock_ns() >= state->deadline_ns)
		stop_with(state, STOP_DEADLINE);
	if (job->cancelled && job->cancelled(job->ctx))
		stop_with(state, STOP_CANCELLED);
	if (job->bytes_max && state->bytes_planned >= job->bytes_max)
		stop_with(state, STOP_BYTES);
}

/* No more chunks of the target will be handed out. */
static bool slot_is_cut(const struct run_state *state, const struct slot *slot)
{
	return slot->state == SLOT_PLANNED || (slot->state == SLOT_OPEN && state->stop != STOP_NOT);
}

/* Takes a target whose chunks are all done and that is to be judged. Locked. */
static bool take_target(struct worker *worker, bool *ret_waiting)
{
	struct run_state *state = worker->state;

	for (size_t i = state->first; judges(state) && i < state->next_closed; i++) {
		struct slot *slot = &state->slots[i];

		if (slot->judged || !slot_is_cut(state, slot))
			continue;
		if (slot->worked < slot->handed_out) {
			*ret_waiting = true;
			continue;
		}
		slot->judged = true;
		worker->slot = slot;
		worker->result->number = slot->handed_out++;
		return true;
	}
	return false;
}

enum work { WORK_NONE, WORK_CHUNK, WORK_TARGET };

/* Finds work for a worker; none when there will be no more. Locked. */
static enum work next_work(struct worker *worker)
{
	struct run_state *state = worker->state;

	for (;;) {
		bool waiting = false;

		run_check_limits(state);
		if (!run_going_on(state))
			return WORK_NONE;
		if (take_target(worker, &waiting))
			return WORK_TARGET;
		if (state->stop == STOP_BYTES && waiting) {
			pthread_cond_wait(&state->changed, &state->lock);
			continue;
		}
		if (state->stop != STOP_NOT)
			return WORK_NONE;
		for (size_t i = state->first; i < state->next_closed; i++) {
			struct slot *slot = &state->slots[i];

			if (slot->state == SLOT_OPEN && must_wait(state, slot)) {
				waiting = true;
				break;
			}
			if (slot->state == SLOT_OPEN && take_chunk(worker, slot))
				return WORK_CHUNK;
			waiting |= slot->state == SLOT_OPENING;
			/* It may have had no chunk at all. */
			if (judges(state) && slot->state == SLOT_PLANNED && !slot->judged &&
				take_target(worker, &waiting))
				return WORK_TARGET;
		}
		if (state->stop != STOP_NOT)
			continue;
		if (!waiting && state->next_closed < state->scan->target_count &&
			state->open_count < 2 * state->threads + 2)
			open_next(state);
		else if (waiting || state->next_closed < state->scan->target_count)
			pthread_cond_wait(&state->changed, &state->lock);
		else
			return WORK_NONE;
	}
}

/* ---- Working on a chunk ----------------------------------------------------------------- */

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
		.data = worker->data + (first - chunk->base),
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

static void queue_result(struct run_state *state, struct slot *slot, struct result *result)
{
	struct result **at = &slot->pending;

	while (*at && (*at)->number < result->number)
		at = &(*at)->next;
	result->next = *at;
	*at = result;
	state->pending_bytes += result_size(result);
}

/* Reports the hits that the same pages had elsewhere. */
static int repeat_hits(struct worker *worker, const struct share_entry *entry)
{
	const struct chunk *chunk = &worker->chunk;

	for (size_t i = 0; i < entry->count; i++) {
		struct ms_hit hit;
		int r = 0;

		if (!hit_copy(&hit, &entry->hits[i], &worker->result->bytes))
			return err_nomem();
		hit.address += chunk->base;
		r = push_hit(worker, &hit);
		if (r < 0)
			return r;
	}
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

	worker_turn(worker);
	worker->whole = true;
	return reader_read(&worker->reader, chunk->base - chunk->before,
		worker->data - chunk->before, chunk->before + chunk->fresh + chunk->after,
		work_piece, worker);
}

/* The same, but looks first whether these pages were searched already. */
static int search_shared(struct worker *worker)
{
	struct run_state *state = worker->state;
	const struct chunk *chunk = &worker->chunk;
	uint64_t period = engine_period(state->scan->engine);
	const struct share_entry *entry;
	struct share_key key;
	int r;

	if (!state->share || !share_key_make(state->share, worker->slot->src, chunk, period, &key))
		return search_chunk(worker);
	entry = share_find(state->share, key);
	if (entry)
		return repeat_hits(worker, entry);
	r = search_chunk(worker);
	/* The pages may have been others by the time they were read. */
	if (r == 0 && worker->whole &&
		share_key_is(state->share, worker->slot->src, chunk, period, key))
		share_add(state->share, key, chunk->base, worker->result->hits.data,
			worker->result->hits.count);
	return r;
}

static void work_chunk(struct worker *worker)
{
	struct run_state *state = worker->state;
	struct slot *slot = worker->slot;
	const struct chunk *chunk = &worker->chunk;
	uint64_t done;
	int r = search_shared(worker);

	pthread_mutex_lock(&state->lock);
	slot->coverage.sums.gone |= worker->read_slot == slot && worker->reader.gone;
	done = worker->coverage.sums.read + worker->coverage.sums.absent +
	       worker->coverage.sums.unreadable + worker->coverage.sums.skipped;
	/* Stopped in the middle: the rest of the chunk was read but not looked at. */
	if (done < chunk->fresh)
		coverage_add(&worker->coverage, chunk->base + done, chunk->fresh - done,
			state->stop == STOP_DEADLINE || state->stop == STOP_CANCELLED
				? MS_STATE_DEADLINE
				: MS_STATE_LIMIT);
	merge_coverage(slot, &worker->coverage);
	if (judges(state)) {
		int merged = slot_merge_marks(slot, worker);

		r = r < 0 ? r : merged;
	}
	state->bytes_done += chunk->fresh;
	if (r < 0 && r != MS_ERR_STOPPED)
		stop_fault(state, r);
	queue_result(state, slot, worker->result);
	worker->result = NULL;
	drain(state);
	pthread_mutex_unlock(&state->lock);
}

static void work_target(struct worker *worker)
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
		stop_fault(state, r);
	}
	queue_result(state, slot, worker->result);
	worker->result = NULL;
	drain(state);
	pthread_mutex_unlock(&state->lock);
}

/* ---- Workers ---------------------------------------------------------------------------- */

static struct result *take_spare(struct run_state *state)
{
	struct result *result = state->spare;

	if (!result)
		return calloc(1, sizeof(*result));
	state->spare = result->next;
	return result;
}

static int worker_init(struct worker *worker, struct run_state *state)
{
	const struct ms_engine_ops *ops = state->scan->engine->ops;
	size_t before = (size_t)align_up(state->before, 64);

	*worker = (struct worker){.state = state, .emit = {keep_hit, worker_keep_mark}};
	worker->buffer = malloc(before + SCAN_CHUNK + state->after + 64);
	worker->scratch = calloc(1, ops->scratch_size ? ops->scratch_size : 1);
	if (!worker->buffer || !worker->scratch)
		return err_nomem();
	worker->data = (uint8_t *)align_up((uintptr_t)worker->buffer, 64) + before;
	return 0;
}

static void worker_done(struct worker *worker)
{
	reader_done(&worker->reader);
	coverage_done(&worker->coverage);
	ranges_done(&worker->seen);
	ranges_done(&worker->marks);
	result_free(worker->result);
	free(worker->scratch);
	free(worker->buffer);
}

static void *worker_main(void *ctx)
{
	struct run_state *state = ctx;
	struct worker worker;
	int r = worker_init(&worker, state);

	pthread_mutex_lock(&state->lock);
	if (r < 0)
		stop_fault(state, r);
	for (;;) {
		if (!worker.result && !(worker.result = take_spare(state))) {
			stop_fault(state, err_nomem());
			break;
		}
		enum work work = next_work(&worker);

		if (work == WORK_NONE)
			break;
		pthread_mutex_unlock(&state->lock);
		if (work == WORK_CHUNK)
			work_chunk(&worker);
		else
			work_target(&worker);
		pthread_mutex_lock(&state->lock);
	}
	state->running--;
	pthread_cond_broadcast(&state->changed);
	pthread_mutex_unlock(&state->lock);
	worker_done(&worker);
	return NULL;
}

/* ---- Running it all --------------------------------------------------------------------- */

static void report_progress(struct run_state *state)
{
	const struct ms_job *job = state->scan->job;
	struct ms_progress progress = {
		.bytes_done = state->bytes_done,
		.bytes_total = max_u64(state->bytes_total, state->bytes_done),
		.hits = state->hits,
		.targets_done = state->first,
		.targets_total = state->scan->target_count,
	};

	if (!job->progress)
		return;
	pthread_mutex_unlock(&state->lock);
	job->progress(job->ctx, &progress);
	pthread_mutex_lock(&state->lock);
}

/* Waits for the workers; wakes now and then for the deadline and for progress. */
static void supervise(struct run_state *state)
{
	uint64_t reported = os_clock_ns();

	pthread_mutex_lock(&state->lock);
	while (state->running) {
		struct timespec until;
		uint64_t now = os_clock_ns(), wake = now + TICK_NS;

		until = (struct timespec){(time_t)(wake / 1000000000), (long)(wake % 1000000000)};
		pthread_cond_timedwait(&state->changed, &state->lock, &until);
		if (state->running)
			run_check_limits(state);
		if (now - reported >= 2 * TICK_NS) {
			reported = now;
			report_progress(state);
		}
	}
	pthread_mutex_unlock(&state->lock);
}

/* Hands out what waits, unless the job failed, and lets go of it. */
static void finish_pending(struct run_state *state, size_t index)
{
	struct slot *slot = &state->slots[index];

	while (slot->pending) {
		struct result *result = slot->pending;

		slot->pending = result->next;
		if (state->stop != STOP_FAULT) {
			int r = hand_out_hits(state, index, result);

			if (r < 0)
				stop_fault(state, r);
			count_hits(state, result);
		}
		result_free(result);
	}
}

/* Accounts for what a stop left undone, target by target. */
static void wind_up(struct run_state *state)
{
	bool late = state->stop == STOP_DEADLINE || state->stop == STOP_CANCELLED;

	for (; state->first < state->scan->target_count; state->first++) {
		struct slot *slot = &state->slots[state->first];
		int r;

		finish_pending(state, state->first);
		if (state->stop == STOP_FAULT) {
			drop_slot(state, state->first);
			continue;
		}
		if (slot->state == SLOT_OPEN)
			plan_abandon(slot->plan, late ? MS_STATE_DEADLINE : MS_STATE_LIMIT);
		if (judges(state) && !slot->judged)
			slot_leave_unjudged(slot, late ? MS_STATE_DEADLINE : MS_STATE_LIMIT);
		if (slot->state == SLOT_CLOSED) {
			slot->state = SLOT_FAILED;
			slot->status = late ? MS_ERR_TIMEOUT : MS_ERR_STOPPED;
			slot->error = strdup(late ? "not reached before the end of the job"
						  : "not reached: a limit ended the job");
		}
		r = finish_slot(state, state->first);
		if (r < 0)
			stop_fault(state, r);
	}
}

static int start_workers(struct run_state *state, pthread_t *threads)
{
	unsigned started = 0;
	int e = 0;

	state->running = state->threads;
	while (started < state->threads &&
		(e = pthread_create(&threads[started], NULL, worker_main, state)) == 0)
		started++;
	if (started < state->threads) {
		pthread_mutex_lock(&state->lock);
		state->running -= state->threads - started;
		pthread_mutex_unlock(&state->lock);
		state->threads = started;
	}
	return started ? 0 : err_errno(MS_ERR_MEMORY, e, "cannot start a thread");
}

static int run_workers(struct run_state *state)
{
	pthread_t threads[SCAN_THREADS_MAX];
	int r = start_workers(state, threads);

	if (r < 0)
		return r;
	supervise(state);
	for (unsigned i = 0; i < state->threads; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static void state_init(struct run_state *state, const struct scan *scan)
{
	pthread_condattr_t attr;
	const struct ms_job *job = scan->job;

	*state = (struct run_state){.scan = scan, .deadline_ns = UINT64_MAX};
	if (job->timeout_ns && !add_u64(os_clock_ns(), job->timeout_ns, &state->deadline_ns))
		state->deadline_ns = UINT64_MAX;
	state->threads = job->threads ? job->threads : os_core_count();
	if (state->threads > SCAN_THREADS_MAX)
		state->threads = SCAN_THREADS_MAX;
	state->before = max_u64(engine_behind(scan->engine), scan->context);
	state->after = max_u64(
		engine_overlap(scan->engine), scan->context ? scan->context + MS_CONTEXT_MAX : 0);
	pthread_mutex_init(&state->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&state->changed, &attr);
	pthread_condattr_destroy(&attr);
}

static void state_done(struct run_state *state)
{
	while (state->spare) {
		struct result *next = state->spare->next;

		result_free(state->spare);
		state->spare = next;
	}
	share_free(state->share);
	pthread_cond_destroy(&state->changed);
	pthread_mutex_destroy(&state->lock);
	free(state->slots);
}

int scan_run(const struct scan *scan, bool *ret_hit_limit, bool *ret_stopped)
{
	struct run_state state;
	int r;

	state_init(&state, scan);
	state.slots = calloc(scan->target_count + 1, sizeof(*state.slots));
	r = state.slots ? 0 : err_nomem();
	/* Marks are not hits: they are not remembered. */
	if (r == 0 && scan->target_count > 1 && !scan->engine->ops->source)
		r = share_new(&state.share);
	if (r == 0)
		r = run_workers(&state);
	if (r == 0) {
		wind_up(&state);
		if (state.stop == STOP_FAULT)
			r = err_set(state.status, "%s", state.error);
	}
	*ret_hit_limit = state.stop == STOP_HITS;
	*ret_stopped = state.stop == STOP_CANCELLED;
	state_done(&state);
	return r;
}
