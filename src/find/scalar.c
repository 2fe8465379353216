/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels for any processor: a 64-bit word serves as a vector of eight bytes. A word has no
 * shuffle, so teddy looks whole bytes up in tables instead of nibbles.
 */
#include "find/part.h"

#define TARGET

typedef uint64_t vec;

static inline vec load(const uint8_t *from)
{
	return load_u64(from, false);
}

static inline vec splat(uint8_t byte)
{
	return byte * UINT64_C(0x0101010101010101);
}

static inline uint64_t zero_bits(const vec v[8])
{
	const uint64_t low7 = UINT64_C(0x7f7f7f7f7f7f7f7f);
	uint64_t bits = 0;

	for (size_t i = 0; i < 8; i++) {
		/* The top bit of each byte that is zero; no carry leaves a byte. */
		uint64_t tops = ~(((v[i] & low7) + low7) | v[i] | low7);

		/* The product brings the eight of them together in the top byte. */
		bits |= ((tops >> 7) * UINT64_C(0x0102040810204080) >> 56) << 8 * i;
	}
	return bits;
}

#include "find/pair.inc.h"

uint64_t scalar_teddy(const struct part *part, const uint8_t *data, size_t words, uint64_t *bits)
{
	const struct teddy *teddy = part->teddy;
	uint64_t any = 0;

	for (size_t w = 0; w < words; w++, data += 64) {
		uint64_t word = 0;

		for (size_t i = 0; i < 64; i++) {
			unsigned hit = teddy->whole[0][data[i]] & teddy->whole[1][data[i + 1]] &
				       teddy->whole[2][data[i + 2]] & teddy->whole[3][data[i + 3]];

			word |= (uint64_t)(hit != 0) << i;
		}
		bits[w] = word;
		any |= word;
	}
	return any;
}

static bool usable(void)
{
	return true;
}

const struct find_kernel find_scalar = {
	.name = "scalar",
	.usable = usable,
	.pair = pair_filter,
	.teddy = scalar_teddy,
	.classify = classify_scalar,
};
