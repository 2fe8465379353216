/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The classifying kernels of an x86-64 build. A byte is in a range when, counted from the low
 * end and without a sign, it is no greater than the size: one subtraction, one minimum and one
 * comparison for 16 or 32 bytes; AVX-512 compares 64 bytes without a sign at once.
 */
#include "find/classify.h"

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw")))

static uint64_t sse2_bits(const __m128i bytes[4], struct byte_range range)
{
	__m128i low = _mm_set1_epi8((char)range.low);
	__m128i size = _mm_set1_epi8((char)(range.high - range.low));
	uint64_t bits = 0;

	for (unsigned i = 0; i < 4; i++) {
		__m128i from_low = _mm_sub_epi8(bytes[i], low);
		__m128i in = _mm_cmpeq_epi8(_mm_min_epu8(from_low, size), from_low);

		bits |= (uint64_t)(unsigned)_mm_movemask_epi8(in) << 16 * i;
	}
	return bits;
}

void classify_sse2(const struct byte_class *classes, size_t count, const uint8_t *data,
	size_t words, uint64_t *masks)
{
	__m128i bytes[4];

	for (size_t w = 0; w < words; w++, data += 64, masks += count) {
		for (unsigned i = 0; i < 4; i++)
			bytes[i] = _mm_loadu_si128((const __m128i *)(data + 16 * i));
		for (size_t c = 0; c < count; c++) {
			masks[c] = 0;
			for (size_t r = 0; r < classes[c].count; r++)
				masks[c] |= sse2_bits(bytes, classes[c].ranges[r]);
		}
	}
}

static inline AVX2 uint64_t avx2_bits(__m256i first, __m256i second, struct byte_range range)
{
	__m256i low = _mm256_set1_epi8((char)range.low);
	__m256i size = _mm256_set1_epi8((char)(range.high - range.low));
	__m256i a = _mm256_sub_epi8(first, low), b = _mm256_sub_epi8(second, low);

	a = _mm256_cmpeq_epi8(_mm256_min_epu8(a, size), a);
	b = _mm256_cmpeq_epi8(_mm256_min_epu8(b, size), b);
	return (uint64_t)(unsigned)_mm256_movemask_epi8(b) << 32 |
	       (unsigned)_mm256_movemask_epi8(a);
}

AVX2 void classify_avx2(const struct byte_class *classes, size_t count, const uint8_t *data,
	size_t words, uint64_t *masks)
{
	for (size_t w = 0; w < words; w++, data += 64, masks += count) {
		__m256i first = _mm256_loadu_si256((const __m256i *)data);
		__m256i second = _mm256_loadu_si256((const __m256i *)(data + 32));

		for (size_t c = 0; c < count; c++) {
			uint64_t mask = 0;

			for (size_t r = 0; r < classes[c].count; r++)
				mask |= avx2_bits(first, second, classes[c].ranges[r]);
			masks[c] = mask;
		}
	}
}

AVX512 void classify_avx512(const struct byte_class *classes, size_t count, const uint8_t *data,
	size_t words, uint64_t *masks)
{
	for (size_t w = 0; w < words; w++, data += 64, masks += count) {
		__m512i bytes = _mm512_loadu_si512(data);

		for (size_t c = 0; c < count; c++) {
			uint64_t mask = 0;

			for (size_t r = 0; r < classes[c].count; r++) {
				struct byte_range range = classes[c].ranges[r];
				__m512i low = _mm512_set1_epi8((char)range.low);
				__m512i size = _mm512_set1_epi8((char)(range.high - range.low));

				mask |= _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, low), size);
			}
			masks[c] = mask;
		}
	}
}
