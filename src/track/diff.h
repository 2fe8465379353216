/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the diff share: diff.c runs the loop over the pair and puts what comes out of
 * it in order, diff_engine.c compares.
 */
#ifndef MS_TRACK_DIFF_H
#define MS_TRACK_DIFF_H

#include "memsift_track.h"

#include "core/engine.h"

/* What the engine compares with; its private state points to it. */
struct diff_query {
	size_t bytes_max; /* of old and of new to show */
};

/*
 * Its hits are runs of changed bytes. `value` is how many bytes in front of the run both sides
 * are known to have, at most PAGEDIFF_JOIN: a run that ended in the chunk before may go on here.
 * `bytes` are those of the old side and then as many of the new one, from the run's first on;
 * they reach beyond the run's end where it may be joined with the next.
 */
extern const struct ms_engine_ops diff_bytes_engine;

#endif
