/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The filter for many literals: a table of bytes, indexed by a hash of four bytes of data, tells
 * whether some literal may be there. It needs nothing but loads and multiplies, so there is one
 * version for all processors. What makes it fast is looking at every fourth window only: a
 * literal with seven good bytes has a whole window at one of the four places, whatever its
 * alignment, and each of the four is in the table.
 */
#include "find/part.h"

static inline uint64_t sample(const struct part *part, const uint8_t *data)
{
	return part->table[window_hash(load_u32(data, false) & part->mask) >> part->table_shift];
}

uint64_t hashed_filter(const struct part *part, const uint8_t *data, size_t words, uint64_t *bits)
{
	uint64_t any = 0;

	for (size_t w = 0; w < words; w++, data += 64) {
		uint64_t word = 0;

#pragma GCC unroll 16
		for (size_t i = 0; i < 64; i += 4)
			word |= (sample(part, data + i) | sample(part, data + i + 1) << 1 |
					sample(part, data + i + 2) << 2 |
					sample(part, data + i + 3) << 3)
				<< i;
		bits[w] = word;
		any |= word;
	}
	return any;
}

uint64_t hashed_stride_filter(
	const struct part *part, const uint8_t *data, size_t words, uint64_t *bits)
{
	uint64_t any = 0;

	/* The window at offset 3 stands for starts 0 to 3, the next for 4 to 7, and so on. */
	data += FIND_STRIDE - 1;
	for (size_t w = 0; w < words; w++, data += 64) {
		uint64_t word = 0;

#pragma GCC unroll 16
		for (size_t i = 0; i < 64; i += 16)
			word |= (sample(part, data + i) | sample(part, data + i + 4) << 4 |
					sample(part, data + i + 8) << 8 |
					sample(part, data + i + 12) << 12)
				<< i;
		bits[w] = word;
		any |= word;
	}
	return any;
}
