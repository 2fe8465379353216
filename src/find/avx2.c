/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels for x86-64 processors with AVX2 (2013 and later). */
#include "find/part.h"

#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))

typedef __m256i vec;

static inline TARGET vec load(const uint8_t *from)
{
	return _mm256_loadu_si256((const __m256i *)from);
}

static inline TARGET vec splat(uint8_t byte)
{
	return _mm256_set1_epi8((char)byte);
}

static inline TARGET uint64_t zero_bits(const vec v[2])
{
	__m256i low = _mm256_cmpeq_epi8(v[0], _mm256_setzero_si256());
	__m256i high = _mm256_cmpeq_epi8(v[1], _mm256_setzero_si256());

	return (uint64_t)(unsigned)_mm256_movemask_epi8(high) << 32 |
	       (unsigned)_mm256_movemask_epi8(low);
}

static inline TARGET vec spread(const uint8_t table[16])
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

static inline TARGET vec lookup(vec table, vec nibbles)
{
	return _mm256_shuffle_epi8(table, nibbles);
}

static inline TARGET vec low_nibbles(vec v)
{
	return v & splat(15);
}

static inline TARGET vec high_nibbles(vec v)
{
	return _mm256_srli_epi16(v, 4) & splat(15);
}

#include "find/pair.inc.h"
#include "find/teddy.inc.h"

static bool usable(void)
{
	return __builtin_cpu_supports("avx2");
}

const struct find_kernel find_avx2 = {
	.name = "avx2",
	.usable = usable,
	.pair = pair_filter,
	.teddy = teddy_filter,
	.classify = classify_avx2,
};
