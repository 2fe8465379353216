/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From regions to chunks worth reading: the filter takes out whole regions and ranges, the
 * backend tells which pages hold data, adjacent stretches of data are joined whatever mapping
 * they belong to, and the result is cut into chunks. What is left out goes to the coverage. The
 * plan is made as it is used, so its own memory does not grow with the target.
 */
#ifndef MS_CORE_PLAN_H
#define MS_CORE_PLAN_H

#include "core/coverage.h"
#include "core/filter.h"
#include "core/host.h"

enum {
	PLAN_RUNS = 1024,
	PLAN_ABSENT_ROOM = 1 << 20, /* shorter stretches without data take part in positions */
};

/* Bytes of a region that the backend is first asked about. */
#define PLAN_WINDOW (UINT64_C(32) << 20)

/*
 * A stretch of data. Its position is where a dump puts it: the sum of the data before it and of
 * the short stretches without data, which keep their room so that a file shows them as zeros.
 */
struct planned {
	uint64_t base, size, position;
};

struct plan {
	struct ms_source *src;
	const struct ms_filter *filter;
	struct coverage *coverage;
	uint64_t bytes_max; /* of data to plan; UINT64_MAX for no limit */
	bool canonical;	    /* cut chunks so that shared pages are cut alike everywhere */

	/* Whether there is no more time to walk; asked on the way. NULL: there is. */
	bool (*stopped)(void *ctx);
	void *ctx;

	/* Where in the regions the walk is. */
	size_t region;
	uint64_t at;	      /* next byte of the region to look at */
	bool in_region;	      /* the region passed the filter and `at` is inside it */
	uint64_t walked;      /* the position of `at` */
	struct run runs[PLAN_RUNS];
	size_t run, run_count;
	uint64_t window;      /* last asked about */

	/* The stretch of joined data being cut into chunks. */
	uint64_t base, end;   /* known so far */
	uint64_t next;	      /* first byte not handed out */
	bool closed;	      /* does not go on at end */
	uint64_t position;    /* of `next` */
	uint64_t handed_out;  /* bytes of data */
	struct planned pending; /* data found behind a closed stretch */

	/* After plan_freeze(): all data there is, in place of asking the backend. */
	VEC(struct planned) frozen;
	size_t frozen_next;
	bool is_frozen;
};

struct chunk {
	uint64_t base;	   /* first fresh byte */
	size_t fresh;	   /* bytes to account for and to look at */
	size_t before;	   /* readable bytes in front of base */
	size_t after;	   /* readable bytes behind the fresh ones */
	uint64_t position; /* where it comes in a dump; see struct planned */
};

/* src->regions must be fresh; they and the filter are borrowed for the plan's life. */
void plan_init(struct plan *plan, struct ms_source *src, const struct ms_filter *filter,
	struct coverage *coverage, uint64_t bytes_max);

/*
 * Makes the whole plan now, so that positions are known before anything is read. Its memory
 * grows with the number of stretches. *ret_end is the position behind the last byte. When it is
 * stopped, what it did not come to is accounted for as late.
 */
int plan_freeze(struct plan *plan, uint64_t *ret_end);

void plan_done(struct plan *plan);

/*
 * Hands out the next chunk of at most `fresh` bytes with at most `before` and `after` bytes
 * around it. Returns 1, 0 at the end, or a negative status: MS_ERR_STOPPED, without a text, when
 * it is stopped; it may be asked again.
 */
int plan_next(struct plan *plan, size_t fresh, size_t before, size_t after, struct chunk *ret_chunk);

/* Accounts for everything not handed out yet as skipped for that reason; the plan is over. */
void plan_abandon(struct plan *plan, enum ms_state why);

#endif
