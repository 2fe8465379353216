/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of a live target were written, for the mirrors of one mapper. What the kernel tells
 * it tells once, so each page may be asked for by one mirror alone, and a source has one tracker
 * or detector at a time.
 */
#ifndef MS_TRACK_TRACKER_H
#define MS_TRACK_TRACKER_H

#include "core/host.h"

#include "base/bytes.h"
#include "base/err.h"

struct run_list {
	VEC(struct run) items; /* ascending */
};

struct tracker {
	struct ms_source *src;
	bool on;		/* the kernel tells */
	char why[ERR_TEXT_MAX]; /* it does not */
	uint64_t map;	  /* a number for the memory map that src->regions is of, or an older one */
	uint64_t version; /* goes up whenever they were listed anew; from 1 */
	bool held;	  /* they were looked at a moment ago */
	bool piles_up;	  /* what was told is told again, until it is renewed */
	uint64_t piled;	  /* bytes that were told since */
	uint64_t room;	  /* bytes of the mirrors that ask */
	uint64_t renewals; /* a mirror that has not seen the last of them is to be read whole */
};

/*
 * Whether what was told and piled up has cost more looks than to read all of it once would; but a
 * little is not worth protecting the target's pages again.
 */
static inline bool pile_is_high(uint64_t piled, uint64_t whole)
{
	return piled > max_u64(whole, 4 * 1024 * 1024);
}

/* Fails only when the target is gone; otherwise tracker->on tells. */
int tracker_begin(struct tracker *tracker, struct ms_source *src);
void tracker_end(struct tracker *tracker);

/* Lists the source's regions anew if the memory map has changed; renews what has piled up. */
int tracker_look(struct tracker *tracker);

/*
 * Has the writes told to what is mapped of [base, end), whole pages. Returns NULL, or why that
 * cannot be for all of it: a text that stays.
 */
const char *tracker_watch(struct tracker *tracker, uint64_t base, uint64_t end);

/*
 * Adds the pages of [base, end) that were written since they were last told. MS_ERR_NOT_FOUND:
 * part of it is not watched any more, and what was told of the rest may be lost.
 */
int tracker_written(struct tracker *tracker, uint64_t base, uint64_t end, struct run_list *written);

#endif
