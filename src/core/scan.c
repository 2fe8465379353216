/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduling. Workers take chunks of the first target that has any left, opening the next target
 * when they find none; results wait in their target's queue until their turn, and whichever
 * worker completes the front of the line hands it out. Own memory is bounded: a worker whose
 * hits pile up waits for its turn, and no chunk is begun far ahead of the front.
 */
#include "core/scan.h"

#include "base/err.h"
#include "base/os.h"
#include "core/plan.h"
#include "core/reader.h"
#include "core/share.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

enum {
	RESULT_MAX = 1 << 20, /* bytes of hits in one chunk before its worker waits for its turn */
	PENDING_MAX = 16 << 20, /* bytes of hits that wait for their turn in all */
	TICK_NS = 50 * 1000 * 1000,
};

enum slot_state { SLOT_CLOSED, SLOT_OPENING, SLOT_OPEN, SLOT_PLANNED, SLOT_FAILED, SLOT_DONE };

/* The hits of one chunk. */
struct result {
	struct result *next;
	uint64_t number; /* of the chunk within its target */
	VEC(struct ms_hit) hits;
	struct arena bytes;
	size_t passed_on; /* by the last hand_out_hits() */
};

/* A target. */
struct slot {
	enum slot_state state;
	int status; /* why it could not be opened, and the text */
	char *error;
	struct ms_source *src;
	struct plan *plan;
	struct coverage coverage;
	uint64_t handed_out, emitted; /* chunks */
	unsigned workers;	      /* whose last chunk was of it */
	struct result *pending;	      /* ascending by number */
};

enum stop { STOP_NOT, STOP_HITS, STOP_BYTES, STOP_DEADLINE, STOP_CANCELLED, STOP_FAULT };

struct run_state {
	const struct scan *scan;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* for workers */
	pthread_cond_t ended;	/* the last worker, for whoever started them */
	struct slot *slots;
	size_t first;	    /* the target at the front of the line */
	size_t next_closed; /* the first target nobody has opened */
	size_t open_count;
	bool emitting; /* someone is handing out results */
	enum stop stop;
	int status; /* with STOP_FAULT */
	char error[ERR_TEXT_MAX];
	size_t pending_bytes;
	uint64_t hits, bytes_planned, bytes_done, bytes_total;
	uint64_t deadline_ns; /* UINT64_MAX for none */
	size_t before, after;
	unsigned threads, running;
	struct result *spare;
	struct share *share; /* NULL: one target, nothing to share */
};

/* Bytes of a source, and the address of the first. */
struct shown {
	const uint8_t *bytes;
	uint64_t base;
};

struct worker {
	struct run_state *state;
	struct reader reader, twin_reader;
	struct slot *read_slot; /* whose source the reader reads */
	struct slot *slot;
	struct chunk chunk;
	struct result *result;
	uint8_t *buffer, *data; /* data: where chunk.base is read to */
	uint8_t *twin_buffer, *twin_data;
	struct shown shown, twin_shown; /* what an engine is shown of the chunk */
	void *scratch;
	struct ms_emit emit;
	struct coverage coverage; /* of the chunk */
	const struct ms_span *span;
	bool whole; /* nothing of the chunk was missing, and all its hits are in result */
};

static void result_free(struct result *result)
{
	if (!result)
		return;
	free(result->hits.data);
	arena_done(&result->bytes);
	free(result);
}

/* A limit on bytes only ends the planning: what was planned is still worked on. */
static bool going_on(const struct run_state *state)
{
	return state->stop == STOP_NOT || state->stop == STOP_BYTES;
}

static void stop_with(struct run_state *state, enum stop stop)
{
	if (going_on(state))
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
		stop_fault(state, r);
	else if (r == SCAN_ENOUGH)
		stop_with(state, STOP_HITS);
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
	free(slot->error);
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

static bool slot_complete(const struct slot *slot)
{
	return slot->state == SLOT_FAILED ||
	       (slot->state == SLOT_PLANNED && slot->emitted == slot->handed_out);
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

		if (!result && !slot_complete(slot))
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
	while (!at_front(state, worker->slot, worker->result->number) && going_on(state))
		pthread_cond_wait(&state->changed, &state->lock);
	if (!going_on(state)) {
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
	r = going_on(state) ? 0 : MS_ERR_STOPPED;
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
	struct ms_hit kept;

	if (!hit_copy(&kept, hit, &result->bytes))
		return err_nomem();
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

static void move_to(struct worker *worker, struct slot *slot)
{
	if (worker->slot)
		worker->slot->workers--;
	slot->workers++;
	worker->slot = slot;
}

/* Cuts the next chunk of an open target; false when it has none left. Locked. */
static bool take_chunk(struct worker *worker, struct slot *slot)
{
	struct run_state *state = worker->state;
	int r = plan_next(
		slot->plan, bytes_left(state), state->before, state->after, &worker->chunk);

	if (r == 1) {
		move_to(worker, slot);
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

static void check_limits(struct run_state *state)
{
	const struct ms_job *job = state->scan->job;

	if (os_clock_ns() >= state->deadline_ns)
		stop_with(state, STOP_DEADLINE);
	if (job->cancelled && job->cancelled(job->ctx))
		stop_with(state, STOP_CANCELLED);
	if (job->bytes_max && state->bytes_planned >= job->bytes_max)
		stop_with(state, STOP_BYTES);
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
	if (own && own->state == SLOT_OPEN && !must_wait(state, own) && take_chunk(worker, own))
		return true;
	for (size_t i = state->first; i < state->next_closed; i++) {
		struct slot *slot = &state->slots[i];

		if (slot->state == SLOT_OPEN && !slot->workers && !must_wait(state, slot) &&
			take_chunk(worker, slot))
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
		if (slot->state == SLOT_OPEN && take_chunk(worker, slot))
			return true;
		*ret_waiting |= slot->state == SLOT_OPENING;
	}
	return false;
}

/* Finds work for a worker; false when there will be no more. Locked. */
static bool next_chunk(struct worker *worker)
{
	struct run_state *state = worker->state;

	for (;;) {
		bool waiting = false;

		check_limits(state);
		if (state->stop != STOP_NOT)
			return false;
		if (take_alone(worker))
			return true;
		if (opens_ahead(state)) {
			open_next(state);
			continue;
		}
		if (take_any(worker, &waiting))
			return true;
		if (state->stop != STOP_NOT)
			continue;
		if (!waiting && may_open(state))
			open_next(state);
		else if (waiting || state->next_closed < state->scan->target_count)
			pthread_cond_wait(&state->changed, &state->lock);
		else
			return false;
	}
}

/* ---- Working on a chunk ----------------------------------------------------------------- */

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

/* Reads and searches the chunk. */
static int search_chunk(struct worker *worker)
{
	struct slot *slot = worker->slot;
	const struct chunk *chunk = &worker->chunk;
	uint64_t base = chunk->base - chunk->before;
	size_t size = chunk->before + chunk->fresh + chunk->after;
	uint8_t *to = worker->data - chunk->before;
	const uint8_t *view = view_all(slot->src, base, size);

	if (worker->read_slot != slot) {
		reader_done(&worker->reader);
		reader_init(&worker->reader, slot->src);
		worker->read_slot = slot;
	}
	worker->whole = true;
	worker->shown = (struct shown){view ? view : to, base};
	if (view)
		return (worker->twin_data ? work_twin : work_piece)(
			worker, base, size, MS_STATE_DATA);
	return reader_read(&worker->reader, base, to, size,
		worker->twin_data ? work_twin : work_piece, worker);
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
	slot->coverage.sums.gone |= worker->twin_reader.gone;
	done = worker->coverage.sums.read + worker->coverage.sums.absent +
	       worker->coverage.sums.unreadable + worker->coverage.sums.skipped;
	/* Stopped in the middle: the rest of the chunk was read but not looked at. */
	if (done < chunk->fresh)
		coverage_add(&worker->coverage, chunk->base + done, chunk->fresh - done,
			state->stop == STOP_DEADLINE || state->stop == STOP_CANCELLED
				? MS_STATE_DEADLINE
				: MS_STATE_LIMIT);
	merge_coverage(slot, &worker->coverage);
	state->bytes_done += chunk->fresh;
	if (r < 0 && r != MS_ERR_STOPPED)
		stop_fault(state, r);
	queue_result(state, slot, worker->result);
	worker->result = NULL;
	drain(state);
	pthread_mutex_unlock(&state->lock);
}

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

	*worker = (struct worker){.state = state, .emit = {keep_hit}};
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
		stop_fault(state, r);
	for (;;) {
		if (!worker.result && !(worker.result = take_spare(state))) {
			stop_fault(state, err_nomem());
			break;
		}
		if (!next_chunk(&worker))
			break;
		pthread_mutex_unlock(&state->lock);
		work_chunk(&worker);
		pthread_mutex_lock(&state->lock);
	}
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
		pthread_cond_timedwait(&state->ended, &state->lock, &until);
		if (state->running)
			check_limits(state);
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
			heed(state, hand_out_hits(state, index, result));
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
		wind_up(&state);
		if (state.stop == STOP_FAULT)
			r = err_set(state.status, "%s", state.error);
	}
	*ret_hit_limit = state.stop == STOP_HITS;
	*ret_stopped = state.stop == STOP_CANCELLED;
	state_done(&state);
	return r;
}
