/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy of pages of a target, found by address. Pages are kept sixteen together, so what it takes
 * is at most sixteen times the pages that were put in, and about as much as them where they lie
 * side by side.
 */
#ifndef MS_TRACK_MIRROR_H
#define MS_TRACK_MIRROR_H

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mirror_block;

struct mirror {
	size_t page;		     /* bytes of one */
	uint64_t max;		     /* bytes that it may take; UINT64_MAX for no limit */
	uint64_t bytes;		     /* that it takes */
	struct mirror_block *blocks; /* an open table with room for `room` */
	size_t count, room;
	VEC(uint64_t) numbers; /* of the blocks, for mirror_next() */
	size_t sorted;	       /* how many of them are in order */
};

/* The copy of a page, or NULL. The address is a multiple of the page size. */
uint8_t *mirror_find(const struct mirror *mirror, uint64_t address);

/*
 * The copies of pages from a page on that lie side by side, and of how many bytes; NULL if there is
 * none of the first.
 */
const uint8_t *mirror_view(const struct mirror *mirror, uint64_t address, size_t *ret_size);

/* Makes room for a page, or finds it; NULL when the limit or memory does not allow it. */
uint8_t *mirror_put(struct mirror *mirror, uint64_t address);

/* Marks a page of which nothing is known: it is not there, but does not count as zeros. */
bool mirror_mark(struct mirror *mirror, uint64_t address);
bool mirror_marked(const struct mirror *mirror, uint64_t address);

/* Forgets the pages of [base, end), and marks. */
void mirror_drop(struct mirror *mirror, uint64_t base, uint64_t end);

/*
 * The first page from address on that is there, below end; false if there is none. How wide the
 * range is does not matter.
 */
bool mirror_next(struct mirror *mirror, uint64_t address, uint64_t end, uint64_t *ret_address);

void mirror_done(struct mirror *mirror);

#endif
