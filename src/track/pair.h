/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two address spaces seen as one: what both have mapped at the same addresses. Whose bytes are
 * read is chosen when such a view is opened; a page that one of them has never touched reads as
 * the zeros that its owner would see.
 */
#ifndef MS_TRACK_PAIR_H
#define MS_TRACK_PAIR_H

#include "core/host.h"

/* A stretch of addresses, and the regions that it lies in. */
struct pair_part {
	uint64_t base, size;
	const struct ms_region *old, *now; /* either may be NULL, never both */
	bool same;			   /* both, and no other file was mapped in its place */
};

/* Walks two lists of regions; begin with zeros behind the lists. */
struct pair_walk {
	const struct region_list *old, *now;
	size_t old_next, now_next;
	uint64_t at;
};

/* The next stretch that any of the two has mapped, by ascending address; false at the end. */
bool pair_next(struct pair_walk *walk, struct pair_part *ret_part);

/* A view of two sources, which must outlive it, with the bytes of the one or the other. */
struct pair {
	ms_host *host;
	ms_source *source;
};

/* The regions of both sources must have been listed, and stay so. */
int pair_open(ms_source *old, ms_source *now, bool bytes_of_now, struct pair *ret_pair);
void pair_close(struct pair *pair);

#endif
