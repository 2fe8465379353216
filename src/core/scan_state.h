/* SPDX-License-Identifier: BSD-2-Clause */
/* What scan.c and scan_judge.c share: a scan under way. */
#ifndef MS_CORE_SCAN_STATE_H
#define MS_CORE_SCAN_STATE_H

#include "core/scan.h"

#include "base/err.h"
#include "core/plan.h"
#include "core/ranges.h"
#include "core/reader.h"
#include "core/share.h"

#include <pthread.h>

enum {
	RESULT_MAX = 1 << 20, /* bytes of hits in one chunk before its worker waits for its turn */
	PENDING_MAX = 16 << 20, /* bytes of hits that wait for their turn in all */
	TICK_NS = 50 * 1000 * 1000,
	BATCH = 4, /* chunks at most that a worker takes at once */
	BATCH_SPAN = 2 * 1024 * 1024,
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
	unsigned workers;	      /* whose last piece of work was of it */
	struct result *pending;	      /* ascending by number */

	/* For an engine that judges sources: */
	uint64_t worked;	   /* chunks that were searched */
	bool judged;		   /* or being judged */
	struct ranges data, marks; /* read; marked */
	char *verdict;		   /* why the target could not be judged */
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
	struct chunk batch[BATCH]; /* those taken and not begun: the last batch_left */
	size_t batch_count, batch_left;
	uint64_t batch_number; /* of the first of them within the target */
	bool pages_known;      /* what the batch's pages are was asked */
	struct share_pages pages;
	struct result *result;
	uint8_t *buffer, *data; /* data: where chunk.base is read to */
	uint8_t *twin_buffer, *twin_data;
	struct shown shown, twin_shown; /* what an engine is shown of the chunk */
	void *scratch;
	struct ms_emit emit;
	struct coverage coverage;   /* of the chunk */
	const struct ms_span *span; /* NULL: a source is being judged */
	struct ms_view view;
	struct ranges seen, marks; /* of the chunk: read; marked */
	bool whole; /* nothing of the chunk was missing, and all its hits are in result */
};

/* A limit on bytes only ends the planning: what was planned is still worked on. */
bool run_going_on(const struct run_state *state);

/* Ends the job, unless it has ended already; locked. */
void run_stop(struct run_state *state, enum stop stop);

/* The same for a failure, with the calling thread's error text; locked. */
void run_fail(struct run_state *state, int status);

void result_free(struct result *result);

/* Puts a result where it waits for its turn; locked. */
void run_queue(struct run_state *state, struct slot *slot, struct result *result);

/* Hands out what is at the front of the line; locked, but not while it hands out. */
void run_drain(struct run_state *state);

/* Hands out the rest when no worker is left, and accounts for what a stop left undone. */
void run_wind_up(struct run_state *state);

/* Adds a hit whose bytes are kept already. */
int worker_push_hit(struct worker *worker, const struct ms_hit *kept);

/* The `hit` of struct ms_emit. */
int worker_keep_hit(struct ms_emit *emit, const struct ms_hit *hit);

/* Searches the worker's chunk; has the engine judge its target. Not locked. */
void worker_chunk(struct worker *worker);
void worker_target(struct worker *worker);

/* Sees whether the job is to end; locked. */
void run_check_limits(struct run_state *state);

/* Has the worker's reader read the target it works on. */
void worker_turn(struct worker *worker);

/* What becomes of bytes that a stop left undone. */
static inline enum ms_state undone_state(const struct run_state *state)
{
	return state->stop == STOP_DEADLINE || state->stop == STOP_CANCELLED ? MS_STATE_DEADLINE
									      : MS_STATE_LIMIT;
}

/* Whether targets are judged when their chunks are done. */
static inline bool judges(const struct run_state *state)
{
	return state->scan->engine->ops->source;
}

/* The `mark` of struct ms_emit. */
int worker_keep_mark(struct ms_emit *emit, uint64_t base, uint64_t size);

/* Adds what a chunk was read and marked of to its target's; locked. */
int slot_merge_marks(struct slot *slot, struct worker *worker);

/* Has the engine judge the worker's target. */
int worker_judge(struct worker *worker);

/* A target that nobody came to judge: that its bytes were read says nothing. */
void slot_leave_unjudged(struct slot *slot, enum ms_state why);

#endif
