/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How matches are kept: a cell has the matches that begin on one page, with the bytes they had.
 * It stands for itself, wherever it is kept, in memory or in a file: a head and then one of
 *	ALL	every value of the stretch matches; its bytes
 *	BITS	a bit for each value of the stretch, lowest first; its bytes
 *	LIST	16-bit numbers of the values that match, ascending; those values
 * Bytes that are all zero are left out and marked. The smallest form is taken.
 */
#ifndef MS_TRACK_CELL_H
#define MS_TRACK_CELL_H

#include "base/mem.h"
#include "track/value_type.h"

enum { CELL_PAGE = 4096, CELL_ALL = 0, CELL_BITS = 1, CELL_LIST = 2, CELL_ZERO = 4 };

struct cell {
	uint64_t base;	 /* of the stretch */
	uint16_t extent; /* bytes of it; the last value ends there or before */
	uint16_t count;	 /* of matches, at least 1 */
	uint8_t form, unused[3];
};

enum {
	CELL_EXTENT_MAX = CELL_PAGE + VALUE_SIZE_MAX - 1,
	CELL_MAX = sizeof(struct cell) + CELL_PAGE / 8 + CELL_EXTENT_MAX,
};

/* A cell taken apart; points into it. */
struct cell_view {
	struct cell head;
	size_t first;	      /* offset of the first value in the stretch */
	size_t slots;	      /* values in the stretch, matching or not */
	const uint8_t *bits;  /* CELL_BITS */
	const uint8_t *list;  /* CELL_LIST: 16 bits each, at any alignment */
	const uint8_t *bytes; /* of the stretch, or the values of the list; NULL: all zero */
	size_t size;	      /* of the whole cell */
};

/* Where the first value at or behind base lies, as an offset; and how many there are. */
size_t slot_first(const struct layout *layout, uint64_t base);
size_t slot_count(const struct layout *layout, uint64_t base, size_t extent);

/* The address behind the last one at which a value of the cell may begin. */
static inline uint64_t cell_end(const struct layout *layout, const struct cell *head)
{
	return head->base + head->extent - layout->size + 1;
}

/*
 * Takes the cell apart that data begins with. False if it is damaged: then the view is not to be
 * used. What it points to lies within the size given, whatever the data; numbers of a list may
 * still be wrong.
 */
bool cell_open(
	const struct layout *layout, const uint8_t *data, size_t size, struct cell_view *ret_view);

/* Whether the bits or the list of an opened cell are right, to the last one. */
bool cell_check(const struct layout *layout, const struct cell_view *view);

/* The number of the i-th match in the list of the cell; at least view->slots if it is damaged. */
static inline size_t cell_listed(const struct cell_view *view, size_t i)
{
	uint16_t number;

	memcpy(&number, view->list + 2 * i, sizeof(number));
	return number;
}

/* Puts 1 or 0 for each value of the stretch into mask, which has room for CELL_PAGE. */
void cell_mask(const struct cell_view *view, uint8_t *mask);

/*
 * Writes a cell of the values for which mask has 1 (NULL: all of them) and returns its size, at
 * most CELL_MAX; 0 if there are none. The mask has room for 8 bytes more than it has values.
 */
size_t cell_put(const struct layout *layout, uint64_t base, size_t extent, const uint8_t *bytes,
	uint8_t *mask, uint8_t *ret_data);

/* Whether a list of so many values is no longer than bits and bytes would be. */
bool cell_list_fits(const struct layout *layout, size_t slots, size_t extent, size_t count);

/*
 * The same as cell_put() from a list of numbers, ascending, and their values side by side (NULL:
 * all zero); at least one, and cell_list_fits().
 */
size_t cell_put_list(const struct layout *layout, uint64_t base, size_t extent,
	const uint16_t *numbers, const uint8_t *values, size_t count, uint8_t *ret_data);

#endif
