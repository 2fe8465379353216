/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compares two stretches of bytes of the same size: are they equal, and if not, which runs of
 * bytes changed. Any size, any alignment; never reads outside either stretch.
 */
#ifndef MS_TRACK_PAGEDIFF_H
#define MS_TRACK_PAGEDIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs with fewer equal bytes than this between them are one run. */
enum { PAGEDIFF_JOIN = 8 };

/* Its first and its last byte differ. */
struct pagediff_run {
	size_t offset, size;
};

bool pagediff_equal(const void *old, const void *now, size_t size);

/*
 * Finds the first run that begins at `from` or later; false when the rest is equal. Walk all runs
 * by going on from the end of the one before:
 *
 *	for (at = 0; pagediff_next(old, now, size, at, &run); at = run.offset + run.size)
 */
bool pagediff_next(
	const void *old, const void *now, size_t size, size_t from, struct pagediff_run *ret_run);

#endif
