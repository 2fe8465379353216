/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels for the first x86-64 processors. They have no byte shuffle (it came with SSSE3), so
 * teddy is the scalar one.
 */
#include "find/part.h"

#include <emmintrin.h>

#define TARGET __attribute__((target("sse2")))

typedef __m128i vec;

static inline TARGET vec load(const uint8_t *from)
{
	return _mm_loadu_si128((const __m128i *)from);
}

static inline TARGET vec splat(uint8_t byte)
{
	return _mm_set1_epi8((char)byte);
}

static inline TARGET uint64_t zero_bits(const vec v[4])
{
	uint64_t bits = 0;

#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++) {
		__m128i zero = _mm_cmpeq_epi8(v[i], _mm_setzero_si128());

		bits |= (uint64_t)(unsigned)_mm_movemask_epi8(zero) << 16 * i;
	}
	return bits;
}

#include "find/pair.inc.h"

static bool usable(void)
{
	return __builtin_cpu_supports("sse2");
}

const struct find_kernel find_sse2 = {
	.name = "sse2",
	.usable = usable,
	.pair = pair_filter,
	.teddy = scalar_teddy,
	.classify = classify_sse2,
};
