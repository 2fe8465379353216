/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels for AArch64, where NEON is always there. */
#include "find/part.h"

#include <arm_neon.h>

#define TARGET

typedef uint8x16_t vec;

static inline vec load(const uint8_t *from)
{
	return vld1q_u8(from);
}

static inline vec splat(uint8_t byte)
{
	return vdupq_n_u8(byte);
}

/*
 * NEON cannot gather top bits. Each byte of a compare keeps the one bit that is its place among
 * eight; three rounds of adding neighbours leave a byte for each eight.
 */
static inline uint64_t gather_bits(const vec is[4])
{
	const vec places = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
	vec left = vpaddq_u8(is[0] & places, is[1] & places);
	vec right = vpaddq_u8(is[2] & places, is[3] & places);
	vec all = vpaddq_u8(left, right);

	return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

static inline uint64_t zero_bits(const vec v[4])
{
	const vec is[4] = {vceqzq_u8(v[0]), vceqzq_u8(v[1]), vceqzq_u8(v[2]), vceqzq_u8(v[3])};

	return gather_bits(is);
}

static inline vec spread(const uint8_t table[16])
{
	return vld1q_u8(table);
}

static inline vec lookup(vec table, vec nibbles)
{
	return vqtbl1q_u8(table, nibbles);
}

static inline vec low_nibbles(vec v)
{
	return v & splat(15);
}

static inline vec high_nibbles(vec v)
{
	return vshrq_n_u8(v, 4);
}

#include "find/pair.inc.h"
#include "find/teddy.inc.h"

/* A byte is in a range when, counted from the low end, it is no greater than the size. */
static uint64_t class_bits(const vec bytes[4], const struct byte_class *class)
{
	vec is[4] = {splat(0), splat(0), splat(0), splat(0)};

	for (size_t r = 0; r < class->count; r++) {
		vec low = splat(class->ranges[r].low);
		vec size = splat((uint8_t)(class->ranges[r].high - class->ranges[r].low));

		for (size_t i = 0; i < 4; i++)
			is[i] |= vcleq_u8(vsubq_u8(bytes[i], low), size);
	}
	return gather_bits(is);
}

static void classify_neon(const struct byte_class *classes, size_t count, const uint8_t *data,
	size_t words, uint64_t *masks)
{
	for (size_t w = 0; w < words; w++, data += 64, masks += count) {
		const vec bytes[4] = {
			load(data), load(data + 16), load(data + 32), load(data + 48)};

		for (size_t c = 0; c < count; c++)
			masks[c] = class_bits(bytes, &classes[c]);
	}
}

static bool usable(void)
{
	return true;
}

const struct find_kernel find_neon = {
	.name = "neon",
	.usable = usable,
	.pair = pair_filter,
	.teddy = teddy_filter,
	.classify = classify_neon,
};
