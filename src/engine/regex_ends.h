/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Expressions of which libhs can tell where matches end, but not where they start: counts in
 * braces beside much else, mostly. Where they may have started is then tried out.
 */
#ifndef MS_ENGINE_REGEX_ENDS_H
#define MS_ENGINE_REGEX_ENDS_H

#include "engine/regex_lib.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ends {
	hs_database_t *ends;   /* finds where matches end */
	hs_database_t *starts; /* shown the byte before a start, finds the ends for that start */
	size_t width;	       /* matches have at most so many bytes */
};

/*
 * Compiles an expression and makes the scratch fit. Returns what libhs does; *ret_error is then
 * to be freed. ends_done() is due in any case.
 */
hs_error_t ends_init(struct ends *ends, const char *expression, unsigned flags, size_t width,
	hs_scratch_t **scratch, hs_compile_error_t **ret_error);
void ends_done(struct ends *ends);

/* Bytes around the starts in question that matter. */
static inline size_t ends_reach(const struct ends *ends)
{
	return ends->width + 1;
}

/* What is searched; places count from data. */
struct ends_range {
	const uint8_t *data;
	size_t size;	     /* no byte behind it is looked at... */
	size_t before;	     /* ...and none but so many in front of data */
	size_t first, count; /* the starts in question */
};

/*
 * Calls found() for each start that is the leftmost one, within the width, of some end; by
 * ascending start, with the farthest such end. marks has room for a bit for each of count +
 * 2 * reach + 64 places. Returns the first non-zero return of found(), a negative status, or 0.
 */
int ends_search(const struct ends *ends, hs_scratch_t *scratch, uint64_t *marks,
	const struct ends_range *range, int (*found)(void *ctx, size_t start, size_t end),
	void *ctx);

#endif
