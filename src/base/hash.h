/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 64-bit hash for telling damaged data from whole data, faster than memory is read. It does not
 * withstand an attacker: whoever can write the data can write the hash, too.
 */
#ifndef MS_BASE_HASH_H
#define MS_BASE_HASH_H

#include "base/bytes.h"

#include <stddef.h>

#define HASH_ODD_1 UINT64_C(0x9e3779b97f4a7c15) /* 2^64 divided by the golden ratio */
#define HASH_ODD_2 UINT64_C(0xd6e8feb86659fd93)

static inline uint64_t hash_mix(uint64_t value)
{
	value ^= value >> 32;
	value *= HASH_ODD_2;
	value ^= value >> 29;
	return value;
}

static inline uint64_t hash_step(uint64_t lane, uint64_t word)
{
	lane = (lane ^ word) * HASH_ODD_1;
	return lane << 29 | lane >> 35;
}

/* A seed continues an earlier hash; 0 begins one. */
static inline uint64_t hash_bytes(uint64_t seed, const void *data, size_t size)
{
	const uint8_t *at = (const uint8_t *)data, *end = at + size;
	uint64_t lanes[4] = {seed, seed + 1, seed + 2, seed + 3};

	for (; end - at >= 32; at += 32)
		for (int i = 0; i < 4; i++)
			lanes[i] = hash_step(lanes[i], load_u64(at + 8 * i, false));
	for (; end - at >= 8; at += 8)
		lanes[0] = hash_step(lanes[0], load_u64(at, false));
	for (; at < end; at++)
		lanes[1] = hash_step(lanes[1], *at + 1u);
	for (int i = 1; i < 4; i++)
		lanes[0] = hash_step(hash_mix(lanes[0]), lanes[i]);
	return hash_mix(lanes[0] ^ hash_mix(size + HASH_ODD_1));
}

#endif
