/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How often, when and in which way memory changes: by page, and by cells of eight bytes, whose last
 * values tell the pattern. Both lists have a limit; what comes after is counted as dropped.
 */
#ifndef MS_TRACK_CHANGE_STATS_H
#define MS_TRACK_CHANGE_STATS_H

#include "memsift_track.h"

#include <stdbool.h>

enum {
	STATS_SAMPLES = 16, /* values that are kept of a cell */
	STATS_CELLS_MAX = 1 << 16,
	STATS_PAGES_MAX = 1 << 18,
	STATS_CELL = 8,
};

struct stats_sample {
	uint64_t value;
	uint64_t time_ns;
};

/* Tells whether a value is an address that is mapped. */
struct stats_map {
	bool (*mapped)(const void *ctx, uint64_t address);
	const void *ctx;
};

/*
 * The pattern of a value of 4 or 8 bytes, given its last samples, oldest first. The first of
 * these that holds:
 *  - fewer than 4 samples: nothing is said (NULL).
 *  - "flag": no more than two different values.
 *  - "pointer": 8 bytes, and every value but 0 is a mapped address.
 *  - "counter": it goes up by the same small step (at most 65536) each time.
 *  - "float": read as a floating-point number of its size, every value is 0 or between 1e-6 and
 *    1e12 in size, and no step is larger than half of the larger of its two values.
 *  - "timer": it goes up, and by the same amount in the same time: the fastest step is at most
 *    1.5 times as fast as the slowest.
 *  - "counter": it goes up all the time. "decreasing": it goes down all the time.
 *  - "noise": anything else.
 */
const char *stats_pattern(
	const struct stats_sample *samples, size_t count, size_t size, const struct stats_map *map);

struct stats;

/* `page` is the size of one. NULL when memory runs out. */
struct stats *stats_new(size_t page);
void stats_free(struct stats *stats);

/* Takes note of a run of changed bytes; `now` are those of the whole page it begins in. */
bool stats_add(struct stats *stats, uint64_t address, uint64_t size, const uint8_t *old_page,
	const uint8_t *now_page, uint64_t time_ns, uint64_t round);

/* The `count_max` that changed most often, in an array to be freed; pages, or cells. */
int stats_list(const struct stats *stats, bool pages, size_t count_max, const struct stats_map *map,
	struct ms_change_stat **ret_list, size_t *ret_count);

uint64_t stats_dropped(const struct stats *stats);

#endif
