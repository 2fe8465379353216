/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduling. Workers take chunks of a target of their own, or help where chunks are left, and open
 * the next target when they find none. Own memory is bounded: no chunk is begun far ahead of the
 * one whose results are handed out (scan_emit.c).
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

/* For a plan being made, with or without the lock: whether the job ends before it. */
static bool is_late(void *ctx)
{
	const struct run_state *state = ctx;
	const struct ms_job *job = state->scan->job;

	return os_clock_ns() >= state->deadline_ns || (job->cancelled && job->cancelled(job->ctx));
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
	const struct scan *scan = state->scan;
	const struct ms_job *job = scan->job;
	int r = 0;

	if (scan->source)
		slot->src = scan->source;
	else
		r = scan->open(scan->ctx, index, &slot->src);
	if (r == 0)
		r = source_refresh(slot->src);
	if (r == 0 && !(slot->plan = malloc(sizeof(*slot->plan))))
		r = err_nomem();
	if (r == 0) {
		plan_init(slot->plan, slot->src, scan->filter, &slot->coverage,
			job->process_bytes_max ? job->process_bytes_max : UINT64_MAX);
		slot->plan->canonical = state->share;
		slot->plan->stopped = is_late;
		slot->plan->ctx = state;
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
	run_drain(state);
	pthread_cond_broadcast(&state->changed);
}

static size_t bytes_left(const struct run_state *state)
{
	uint64_t max = state->scan->job->bytes_max;

	return max ? (size_t)min_u64(SCAN_CHUNK, max - state->bytes_planned) : SCAN_CHUNK;
}

static void move_to(struct worker *worker, struct slot *slot)
{
	if (worker->slot)
		worker->slot->workers--;
	slot->workers++;
	worker->slot = slot;
}

/* Begins the next chunk of those taken. */
static void begin_chunk(struct worker *worker)
{
	size_t index = worker->batch_count - worker->batch_left--;

	worker->chunk = worker->batch[index];
	worker->result->number = worker->batch_number + index;
}

/*
 * Whether the plan goes on, right behind the chunk, within the memory that one page table of the
 * target describes (2 MiB with pages of 4 KiB). Workers that read from the same table wait for
 * its lock at every page, so such chunks go to one worker.
 */
static bool belongs_to_batch(const struct plan *plan, const struct chunk *chunk)
{
	return plan->next < plan->end && plan->next == chunk->base + chunk->fresh &&
	       plan->next / BATCH_SPAN == chunk->base / BATCH_SPAN;
}

/* Cuts the next chunks of an open target; false when it has none left. Locked. */
static bool take_chunks(struct worker *worker, struct slot *slot)
{
	struct run_state *state = worker->state;
	struct chunk *batch = worker->batch;
	size_t count = 0;
	int r;

	do {
		r = plan_next(slot->plan, bytes_left(state), state->before, state->after,
			&batch[count]);
		if (r == 1)
			state->bytes_planned += batch[count++].fresh;
	} while (r == 1 && count < BATCH && bytes_left(state) &&
		 belongs_to_batch(slot->plan, &batch[count - 1]));

	if (count) {
		move_to(worker, slot);
		worker->batch_count = worker->batch_left = count;
		worker->batch_number = slot->handed_out;
		worker->pages_known = false;
		slot->handed_out += count;
		begin_chunk(worker);
		return true;
	}
	if (r == MS_ERR_STOPPED) {
		run_stop(state,
			os_clock_ns() >= state->deadline_ns ? STOP_DEADLINE : STOP_CANCELLED);
		return false;
	}
	if (r == MS_ERR_MEMORY) {
		run_fail(state, r);
	} else if (r < 0) {
		/* The process went while its pages were being counted, or they are not for us. */
		slot->coverage.sums.gone |= r == MS_ERR_GONE;
		plan_abandon(slot->plan, r == MS_ERR_GONE     ? MS_STATE_VANISHED
					 : r == MS_ERR_ACCESS ? MS_STATE_NO_ACCESS
							      : MS_STATE_IO_ERROR);
	}
	slot->state = SLOT_PLANNED;
	run_drain(state);
	return false;
}

/* Accounts for chunks taken that a stop left undone. Locked. */
static void leave_batch(struct worker *worker)
{
	const struct run_state *state = worker->state;

	for (; worker->batch_left; worker->batch_left--) {
		const struct chunk *chunk = &worker->batch[worker->batch_count - worker->batch_left];

		coverage_add(&worker->slot->coverage, chunk->base, chunk->fresh, undone_state(state));
	}
}

/* The front of the line may always go on, or nothing would ever run_drain. */
static bool must_wait(const struct run_state *state, const struct slot *slot)
{
	return state->pending_bytes > PENDING_MAX &&
	       !(&state->slots[state->first] == slot && slot->emitted == slot->handed_out);
}

void run_check_limits(struct run_state *state)
{
	const struct ms_job *job = state->scan->job;

	if (os_clock_ns() >= state->deadline_ns)
		run_stop(state, STOP_DEADLINE);
	if (job->cancelled && job->cancelled(job->ctx))
		run_stop(state, STOP_CANCELLED);
	if (job->bytes_max && state->bytes_planned >= job->bytes_max)
		run_stop(state, STOP_BYTES);
}

/*
 * A worker stays with its target while that has chunks, and then takes one that nobody works on:
 * two that look into the same address space wait for the locks of its page tables. But bytes of
 * which there are not enough for all go to the targets in order.
 */
static bool take_alone(struct worker *worker)
{
	struct run_state *state = worker->state;
	struct slot *own = worker->slot;

	if (state->scan->job->bytes_max)
		return false;
	if (own && own->state == SLOT_OPEN && !must_wait(state, own) && take_chunks(worker, own))
		return true;
	for (size_t i = state->first; i < state->next_closed; i++) {
		struct slot *slot = &state->slots[i];

		if (slot->state == SLOT_OPEN && !slot->workers && !must_wait(state, slot) &&
			take_chunks(worker, slot))
			return true;
	}
	return false;
}

static bool may_open(const struct run_state *state)
{
	return state->next_closed < state->scan->target_count &&
	       state->open_count < 2 * state->threads + 2;
}

/* Rather a target of one's own than to help with another's. */
static bool opens_ahead(const struct run_state *state)
{
	return state->stop == STOP_NOT && !state->scan->job->bytes_max &&
	       state->pending_bytes <= PENDING_MAX && may_open(state);
}

/* Helps with the first target that has chunks left; *ret_waiting: some may have, soon. */
static bool take_any(struct worker *worker, bool *ret_waiting)
{
	struct run_state *state = worker->state;

	for (size_t i = state->first; i < state->next_closed; i++) {
		struct slot *slot = &state->slots[i];

		if (slot->state == SLOT_OPEN && must_wait(state, slot)) {
			*ret_waiting = true;
			return false;
		}
		if (slot->state == SLOT_OPEN && take_chunks(worker, slot))
			return true;
		*ret_waiting |= slot->state == SLOT_OPENING;
	}
	return false;
}

/* No more chunks of the target will be handed out. */
static bool slot_is_cut(const struct run_state *state, const struct slot *slot)
{
	return slot->state == SLOT_PLANNED || (slot->state == SLOT_OPEN && state->stop != STOP_NOT);
}

/*
 * Whoever judges a target with very many hits waits until those before it are done. So the front
 * of the line is only left by a worker if another one stays with it; else all might wait for it.
 */
static bool front_is_left_alone(const struct worker *worker)
{
	const struct run_state *state = worker->state;
	const struct slot *front = &state->slots[state->first];

	return front->state == SLOT_OPEN && !slot_is_cut(state, front) &&
	       front->workers == (worker->slot == front ? 1 : 0);
}

/* Takes a target whose chunks are all done and that is to be judged. Locked. */
static bool take_target(struct worker *worker, bool *ret_waiting)
{
	struct run_state *state = worker->state;

	if (!judges(state) || front_is_left_alone(worker))
		return false;
	for (size_t i = state->first; i < state->next_closed; i++) {
		struct slot *slot = &state->slots[i];

		if (slot->judged || !slot_is_cut(state, slot))
			continue;
		if (slot->worked < slot->handed_out) {
			*ret_waiting = true;
			continue;
		}
		slot->judged = true;
		move_to(worker, slot);
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
		if (worker->batch_left) {
			begin_chunk(worker);
			return WORK_CHUNK;
		}
		if (take_target(worker, &waiting))
			return WORK_TARGET;
		if (state->stop == STOP_BYTES && waiting) {
			pthread_cond_wait(&state->changed, &state->lock);
			continue;
		}
		if (state->stop != STOP_NOT)
			return WORK_NONE;
		if (take_alone(worker))
			return WORK_CHUNK;
		if (opens_ahead(state)) {
			open_next(state);
			continue;
		}
		if (take_any(worker, &waiting))
			return WORK_CHUNK;
		/* One may have had no chunk at all. */
		if (take_target(worker, &waiting))
			return WORK_TARGET;
		if (state->stop != STOP_NOT)
			continue;
		if (!waiting && may_open(state))
			open_next(state);
		else if (waiting || state->next_closed < state->scan->target_count)
			pthread_cond_wait(&state->changed, &state->lock);
		else
			return WORK_NONE;
	}
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

/* Room for a chunk and what lies around it; *ret_data is where the chunk begins. */
static uint8_t *chunk_room(const struct run_state *state, uint8_t **ret_data)
{
	size_t before = (size_t)align_up(state->before, 64);
	uint8_t *room = malloc(before + SCAN_CHUNK + state->after + 64);

	*ret_data = room ? (uint8_t *)align_up((uintptr_t)room, 64) + before : NULL;
	return room;
}

static int worker_init(struct worker *worker, struct run_state *state)
{
	const struct ms_engine_ops *ops = state->scan->engine->ops;
	struct ms_source *twin = state->scan->twin;

	*worker = (struct worker){.state = state, .emit = {worker_keep_hit, worker_keep_mark}};
	worker->buffer = chunk_room(state, &worker->data);
	if (twin)
		worker->twin_buffer = chunk_room(state, &worker->twin_data);
	reader_init(&worker->twin_reader, twin);
	worker->scratch = calloc(1, ops->scratch_size ? ops->scratch_size : 1);
	if (!worker->buffer || !worker->scratch || (twin && !worker->twin_buffer))
		return err_nomem();
	return 0;
}

static void worker_done(struct worker *worker)
{
	reader_done(&worker->reader);
	reader_done(&worker->twin_reader);
	coverage_done(&worker->coverage);
	ranges_done(&worker->seen);
	ranges_done(&worker->marks);
	result_free(worker->result);
	free(worker->scratch);
	free(worker->twin_buffer);
	free(worker->buffer);
}

static void *worker_main(void *ctx)
{
	struct run_state *state = ctx;
	struct worker worker;
	int r = worker_init(&worker, state);

	pthread_mutex_lock(&state->lock);
	if (r < 0)
		run_fail(state, r);
	for (;;) {
		if (!worker.result && !(worker.result = take_spare(state))) {
			run_fail(state, err_nomem());
			break;
		}
		enum work work = next_work(&worker);

		if (work == WORK_NONE)
			break;
		pthread_mutex_unlock(&state->lock);
		if (work == WORK_CHUNK)
			worker_chunk(&worker);
		else
			worker_target(&worker);
		pthread_mutex_lock(&state->lock);
	}
	leave_batch(&worker);
	state->running--;
	pthread_cond_broadcast(&state->changed);
	pthread_cond_signal(&state->ended);
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
		.hits = state->scan->copies ? 0 : state->hits,
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
		pthread_cond_timedwait(&state->ended, &state->lock, &until);
		if (state->running)
			run_check_limits(state);
		if (now - reported >= 2 * TICK_NS) {
			reported = now;
			report_progress(state);
		}
	}
	pthread_mutex_unlock(&state->lock);
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
	pthread_cond_init(&state->changed, NULL);
	pthread_cond_init(&state->ended, &attr);
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
	pthread_cond_destroy(&state->ended);
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
	if (r == 0 && scan->target_count > 1)
		r = share_new(&state.share);
	if (r == 0)
		r = run_workers(&state);
	if (r == 0) {
		run_wind_up(&state);
		if (state.stop == STOP_FAULT)
			r = err_set(state.status, "%s", state.error);
	}
	*ret_hit_limit = state.stop == STOP_HITS;
	*ret_stopped = state.stop == STOP_CANCELLED;
	state_done(&state);
	return r;
}

int scan_run_whole(const struct scan *scan)
{
	struct ms_job job = *scan->job;
	struct scan whole = *scan;
	bool limit, stopped;

	job.hits_max = 0;
	if (job.bytes_max && (!job.process_bytes_max || job.bytes_max < job.process_bytes_max))
		job.process_bytes_max = job.bytes_max;
	job.bytes_max = 0;
	whole.job = &job;
	whole.copies = true;
	whole.target_count = 1;
	return scan_run(&whole, &limit, &stopped);
}
