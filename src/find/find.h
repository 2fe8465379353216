/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte-search kernels: find where any of a set of literals may start. Chosen once at run time
 * for the processor; the environment variable MEMSIFT_FIND forces one by name for tests
 * ("scalar", "sse2", "avx2", "avx512", "neon"; one that the processor lacks is ignored).
 */
#ifndef MS_FIND_FIND_H
#define MS_FIND_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A literal with don't-care bits: position i matches when (byte & mask[i]) == value[i]. A fully
 * fixed literal has 0xff everywhere; an ASCII letter in either case has mask 0xdf. value has no
 * bits outside mask. size is 1 to FIND_LITERAL_MAX.
 */
struct find_literal {
	const uint8_t *value, *mask; /* borrowed for the call of find_new() */
	size_t size;
};

enum { FIND_LITERAL_MAX = 65536, FIND_COUNT_MAX = 1 << 20 };

/* A compiled set of literals; immutable, shared by threads. */
struct find;

/* Fails with MS_ERR_MEMORY or MS_ERR_ARGUMENT (a literal without any fixed bit, or too large). */
int find_new(const struct find_literal *literals, size_t count, struct find **ret_find);
void find_free(struct find *find);

/*
 * Calls found() for every offset at which a literal matches wholly within data[0..size), by
 * ascending offset, and at equal offsets by ascending index. Only offsets below `starts` are
 * reported. Never reads outside data[0..size). Returns the first non-zero return of found(),
 * else 0.
 */
int find_all(const struct find *find, const uint8_t *data, size_t size, size_t starts,
	int (*found)(void *ctx, size_t offset, size_t index), void *ctx);

/* The name of the kernel in use. */
const char *find_kernel(void);

#endif
