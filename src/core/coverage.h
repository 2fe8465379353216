/* SPDX-License-Identifier: BSD-2-Clause */
/* The account of a target: where every byte went. */
#ifndef MS_CORE_COVERAGE_H
#define MS_CORE_COVERAGE_H

#include "memsift.h"

#include "base/vec.h"

/* A stretch that is not read, though not for want of anything. */
struct absent {
	uint64_t base, size;
	enum ms_state state; /* MS_STATE_ABSENT, or MS_STATE_LEFT_OUT by the filter */
	uint64_t position; /* where a dump has room for it, as chunk.position; UINT64_MAX: nowhere */
};

struct coverage {
	struct ms_coverage sums; /* gaps is set by coverage_finish() */
	VEC(struct ms_gap) gaps;
	bool failed; /* memory ran out while keeping gaps */
	bool keep_absent;
	VEC(struct absent) absents; /* only with keep_absent; ascending */
};

/* Adds size bytes at base that were met in a state; MS_STATE_DATA counts as read. */
void coverage_add(struct coverage *coverage, uint64_t base, uint64_t size, enum ms_state state);

/* Sorts and joins the gaps and points sums.gaps at them. */
void coverage_finish(struct coverage *coverage);

/* True for states that mean something wanted is missing. */
bool state_is_loss(enum ms_state state);

void coverage_done(struct coverage *coverage);

#endif
