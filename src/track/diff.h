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
	ms_source *old, *now;
};

/*
 * Its hits are runs of changed bytes. `value` is how many bytes in front of the run both sides
 * are known to have, at most PAGEDIFF_JOIN: a run that ended in the chunk before may go on here.
 * `bytes` are those of the old side and then as many of the new one, from the run's first on;
 * they reach beyond the run's end where it may be joined with the next.
 */
extern const struct ms_engine_ops diff_bytes_engine;

/*
 * The same where at least one of the two sources keeps only hashes. Its hits are blocks, with the
 * bytes of the other side, if that has any, at both places. The value DIFF_UNKNOWN marks a block
 * of which the hash covers more or less than the other side has: nothing can be told of it.
 */
extern const struct ms_engine_ops diff_hashes_engine;

#define DIFF_UNKNOWN UINT64_MAX

#endif
