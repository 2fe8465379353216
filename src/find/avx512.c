/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels for x86-64 processors with AVX-512BW, which has byte compares into mask registers: a
 * vector is one word of bits.
 */
#include "find/part.h"

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw")))

typedef __m512i vec;

static inline TARGET vec load(const uint8_t *from)
{
	return _mm512_loadu_si512(from);
}

static inline TARGET vec splat(uint8_t byte)
{
	return _mm512_set1_epi8((char)byte);
}

static inline TARGET uint64_t zero_bits(const vec v[1])
{
	return _mm512_testn_epi8_mask(v[0], v[0]);
}

static inline TARGET vec spread(const uint8_t table[16])
{
	return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}

static inline TARGET vec lookup(vec table, vec nibbles)
{
	return _mm512_shuffle_epi8(table, nibbles);
}

static inline TARGET vec low_nibbles(vec v)
{
	return v & splat(15);
}

static inline TARGET vec high_nibbles(vec v)
{
	return _mm512_srli_epi16(v, 4) & splat(15);
}

#include "find/pair.inc.h"
#include "find/teddy.inc.h"

static bool usable(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

const struct find_kernel find_avx512 = {
	.name = "avx512",
	.usable = usable,
	.pair = pair_filter,
	.teddy = teddy_filter,
	.classify = classify_avx512,
};
