/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pair filter, written once for every vector width. The including file defines, as functions
 * with the attribute TARGET:
 *
 *	vec                         a type with the operators & | ^
 *	vec load(const uint8_t *)   at any alignment
 *	vec splat(uint8_t)
 *	uint64_t zero_bits(const vec v[WORD_VECS])   bit i: byte i of the 64 is zero
 */
enum { WORD_VECS = 64 / sizeof(vec) };

static TARGET uint64_t pair_filter(
	const struct part *part, const uint8_t *data, size_t words, uint64_t *bits)
{
	const struct probe *probe = part->probes;
	const uint8_t *one = data + probe[0].at, *two = data + probe[1].at;
	const vec value1 = splat(probe[0].value), mask1 = splat(probe[0].mask);
	const vec value2 = splat(probe[1].value), mask2 = splat(probe[1].mask);
	uint64_t any = 0;

	for (size_t w = 0; w < words; w++, one += 64, two += 64) {
		vec miss[WORD_VECS];

#pragma GCC unroll 8
		for (size_t i = 0; i < WORD_VECS; i++)
			miss[i] = ((load(one + i * sizeof(vec)) ^ value1) & mask1) |
				  ((load(two + i * sizeof(vec)) ^ value2) & mask2);
		bits[w] = zero_bits(miss);
		any |= bits[w];
	}
	return any;
}
