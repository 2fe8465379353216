/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sorts bytes into classes, 64 at a time: the groundwork for finding text. Each kernel of find.h
 * has its way of doing it.
 */
#ifndef MS_FIND_CLASSIFY_H
#define MS_FIND_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLASSIFY_RANGES = 3, CLASSIFY_CLASSES_MAX = 16 };

/* Bytes from low to high, both included, of any of the ranges. */
struct byte_class {
	struct byte_range {
		uint8_t low, high;
	} ranges[CLASSIFY_RANGES];
	size_t count;
};

/*
 * Looks at 64 * words bytes. Bit i of masks[w * count + c] tells whether byte 64 * w + i is in
 * classes[c]; count is at most CLASSIFY_CLASSES_MAX.
 */
typedef void classify_words(const struct byte_class *classes, size_t count, const uint8_t *data,
	size_t words, uint64_t *masks);

classify_words classify_scalar, classify_sse2, classify_avx2, classify_avx512;

/* The one of the kernel in use. */
classify_words *classify_choose(void);

#endif
