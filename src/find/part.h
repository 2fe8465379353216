/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a set of literals is searched. The set is split into parts (partition.c). A part looks at
 * one window of four bytes, `at` bytes into each of its literals, in two steps:
 *
 *  1. A filter runs over the data and sets a bit for each offset where a literal of the part may
 *     start. It may err, but only by setting a bit too many. There are three: "pair" compares two
 *     rare bytes of a lone literal, "teddy" looks up the nibbles of the four bytes for up to
 *     TEDDY_MAX literals, and "hashed" looks windows up in a table for any number of them.
 *  2. For each bit, a chain of a hash table lists the literals with that window, by ascending
 *     index; each is compared in full.
 *
 * Bits of all parts are walked together, so hits come out in order without being kept anywhere.
 */
#ifndef MS_FIND_PART_H
#define MS_FIND_PART_H

#include "find/classify.h"
#include "find/find.h"

#include "base/bytes.h"
#include "base/mem.h"

enum {
	FIND_WINDOW = 4,  /* bytes of data that make the key of a chain */
	FIND_STRIDE = 4,  /* the wide hashed filter looks at every fourth window only */
	FIND_REACH = 64,  /* a filter reads up to this many bytes behind the last offset */
	FIND_AT_MAX = 32, /* windows begin in the first so many bytes, except for lone literals */
	FIND_PARTS_MAX = 12,
	TEDDY_MAX = 64,	   /* literals; with more the tables let too much through */
	TEDDY_BUCKETS = 8, /* a bit each */
};

/* A literal as it is kept: size bytes of value, then size bytes of mask, at `offset`. */
struct literal {
	size_t offset, size;
};

/* A link of a chain: a literal, and what the window must be for it. */
struct entry {
	uint32_t key, literal;
};

struct probe {
	uint8_t at, value, mask;
};

/*
 * For each column of the window and each nibble (or byte) of data, which buckets hold a literal
 * that allows it there.
 */
struct teddy {
	uint8_t low[FIND_WINDOW][16], high[FIND_WINDOW][16];
	uint8_t whole[FIND_WINDOW][256];
};

struct part;

/*
 * Looks at offsets 0 .. 64 * words of data, which has FIND_REACH bytes more; data has been moved
 * on by part->at. Sets bit i of bits[w] when a literal may start at offset 64 * w + i and clears
 * it otherwise. Returns zero when no bit is set.
 */
typedef uint64_t part_filter(
	const struct part *part, const uint8_t *data, size_t words, uint64_t *bits);

struct part {
	part_filter *filter;
	size_t at;

	/*
	 * Chain number n is entries[first[n] .. first[n + 1]). With a stride of 1 the window of a
	 * start s is the one at s + at. With FIND_STRIDE it is the only one out of the four from
	 * s + at on whose offset, less `at`, leaves a remainder of 3.
	 */
	uint32_t mask; /* of the window: bits that every literal of the part fixes */
	unsigned stride;
	unsigned shift; /* from the hash of a key to the number of its chain */
	uint32_t *first;
	struct entry *entries;

	struct probe probes[2]; /* pair */
	struct teddy *teddy;
	uint8_t *table; /* hashed: bit b is set when a literal may start 3 - b bytes earlier */
	unsigned table_shift;
};

/* The functions of one processor family; usable() tells whether this processor has it. */
struct find_kernel {
	const char *name;
	bool (*usable)(void);
	part_filter *pair, *teddy;
	classify_words *classify;
};

struct find {
	const struct find_kernel *kernel;
	struct literal *literals;
	size_t count, size_min; /* of the shortest literal */
	uint8_t *bytes;
	struct part parts[FIND_PARTS_MAX];
	size_t part_count;
};

/* Best first; the last is scalar, the one after it NULL. The build picks the file for the CPU. */
extern const struct find_kernel *const find_kernels[];

const struct find_kernel *find_kernel_choose(void);

extern const struct find_kernel find_scalar, find_sse2, find_avx2, find_avx512, find_neon;

part_filter scalar_teddy, hashed_filter, hashed_stride_filter;

static inline const uint8_t *literal_value(const struct find *find, size_t index)
{
	return find->bytes + find->literals[index].offset;
}

static inline const uint8_t *literal_mask(const struct find *find, size_t index)
{
	return literal_value(find, index) + find->literals[index].size;
}

/* The four bytes at data[at], the first one lowest; bytes behind the end are zero. */
static inline uint32_t window_load(const uint8_t *data, size_t size, size_t at)
{
	uint32_t window = 0;

	if (size >= FIND_WINDOW && at <= size - FIND_WINDOW)
		return load_u32(data + at, false);
	for (size_t i = 0; i < FIND_WINDOW && at + i < size; i++)
		window |= (uint32_t)data[at + i] << 8 * i;
	return window;
}

/* Knuth's multiplicative hash; the high bits are the good ones. */
static inline uint32_t window_hash(uint32_t key)
{
	return key * 0x9e3779b1u;
}

/* The chain for a key; `phase` is how far the window lies behind its first place. */
static inline size_t chain_number(const struct part *part, uint32_t key, size_t phase)
{
	return (window_hash(key) >> part->shift) * (size_t)part->stride + phase;
}

/*
 * How often, out of 65,536 bytes of a process's memory, one matches value under mask; never 0.
 */
unsigned byte_rate(uint8_t value, uint8_t mask);

/* Splits find's literals into find->parts and builds each; MS_ERR_MEMORY or 0. */
int partition(struct find *find);

/*
 * Builds a part from the literals whose indices are listed in ascending order. With a stride of
 * FIND_STRIDE each literal has seven bytes at `at` whose masks hold 0xdf.
 */
int part_init(struct part *part, const struct find *find, const uint32_t *members, size_t count,
	size_t at, bool wide);
void part_done(struct part *part);

#endif
