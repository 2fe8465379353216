/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building a part: the chains that every part has, and the tables of the filter that suits the
 * number of its literals.
 */
#include "find/part.h"

#include "base/err.h"

/* Sizes of a hashed filter's table, as powers of two; the largest is 32 MiB. */
enum { TABLE_BITS_MIN = 12, TABLE_BITS_MAX = 25, TABLE_BITS_PER_ENTRY = 6 };

/* Members of a part while it is built. */
struct members {
	const struct find *find;
	const uint32_t *index;
	size_t count;
};

static uint32_t member_window(const struct members *members, size_t n, size_t at)
{
	uint32_t index = members->index[n];

	return window_load(
		literal_value(members->find, index), members->find->literals[index].size, at);
}

static uint32_t member_mask(const struct members *members, size_t n, size_t at)
{
	uint32_t index = members->index[n];

	return window_load(
		literal_mask(members->find, index), members->find->literals[index].size, at);
}

/* The least n with 1 << n >= value. */
static unsigned log2_up(size_t value)
{
	unsigned bits = 0;

	while ((size_t)1 << bits < value)
		bits++;
	return bits;
}

/*
 * The bits that all members fix in their window. A window that may be any of four must be masked
 * in the same way wherever it lies, so all its bytes get what the worst of the seven has; the
 * first and the last byte between them have seen all seven.
 */
static uint32_t common_mask(const struct members *members, const struct part *part)
{
	uint32_t mask = UINT32_MAX;

	for (size_t n = 0; n < members->count; n++)
		for (size_t phase = 0; phase < part->stride; phase++)
			mask &= member_mask(members, n, part->at + phase);
	if (part->stride == 1)
		return mask;
	return (mask & mask >> 24 & 0xff) * 0x01010101u;
}

/* ---- Chains ---------------------------------------------------------------------------- */

/*
 * A counting sort by chain: members come by ascending index, so each chain is in that order, too.
 */
static int chains_build(struct part *part, const struct members *members)
{
	unsigned bits = log2_up(members->count > 2 ? members->count : 2);
	size_t count = ((size_t)1 << bits) * part->stride, total = 0;

	part->shift = 32 - bits;
	part->first = calloc(count + 1, sizeof(*part->first));
	part->entries = calloc(members->count * part->stride, sizeof(*part->entries));
	if (!part->first || !part->entries)
		return err_nomem();
	for (size_t n = 0; n < members->count; n++)
		for (size_t phase = 0; phase < part->stride; phase++) {
			uint32_t key = member_window(members, n, part->at + phase) & part->mask;

			part->first[chain_number(part, key, phase)]++;
		}
	for (size_t i = 0; i <= count; i++) {
		total += part->first[i];
		part->first[i] = (uint32_t)total;
	}
	/* Filled from behind, which leaves first[] at the beginning of each chain. */
	for (size_t n = members->count; n-- > 0;)
		for (size_t phase = 0; phase < part->stride; phase++) {
			uint32_t key = member_window(members, n, part->at + phase) & part->mask;
			size_t chain = chain_number(part, key, phase);

			part->entries[--part->first[chain]] =
				(struct entry){key, members->index[n]};
		}
	return 0;
}

/* ---- Filters --------------------------------------------------------------------------- */

/* The position of the rarest byte in [from, to), other than `except`. */
static size_t rarest(
	const uint8_t *value, const uint8_t *mask, size_t from, size_t to, size_t except)
{
	size_t best = except;
	unsigned rate, best_rate = UINT32_MAX;

	for (size_t i = from; i < to; i++) {
		if (i == except || (rate = byte_rate(value[i], mask[i])) >= best_rate)
			continue;
		best = i;
		best_rate = rate;
	}
	return best;
}

/*
 * Picks the two bytes to compare: the rarest of all, and the rarest of those so near that one
 * window of FIND_REACH bytes holds both. A literal of one byte has that byte twice.
 */
static void pair_init(struct part *part, const struct find *find, size_t index)
{
	const uint8_t *value = literal_value(find, index), *mask = literal_mask(find, index);
	size_t size = find->literals[index].size;
	size_t one = rarest(value, mask, 0, size, SIZE_MAX);
	size_t from = one < FIND_REACH ? 0 : one - FIND_REACH + 1;
	size_t to = (size_t)min_u64(size, one + FIND_REACH);
	size_t two = rarest(value, mask, from, to, one);

	part->at = one < two ? one : two;
	part->probes[0] = (struct probe){(uint8_t)(one - part->at), value[one], mask[one]};
	part->probes[1] = (struct probe){(uint8_t)(two - part->at), value[two], mask[two]};
	part->filter = find->kernel->pair;
}

static void teddy_allow(struct teddy *teddy, uint32_t value, uint32_t mask, uint8_t bucket)
{
	for (size_t c = 0; c < FIND_WINDOW; c++, value >>= 8, mask >>= 8) {
		for (unsigned byte = 0; byte < 256; byte++)
			if (((byte ^ value) & mask & 0xff) == 0)
				teddy->whole[c][byte] |= bucket;
		for (unsigned nibble = 0; nibble < 16; nibble++) {
			if (((nibble ^ value) & mask & 0x0f) == 0)
				teddy->low[c][nibble] |= bucket;
			if (((nibble << 4 ^ value) & mask & 0xf0) == 0)
				teddy->high[c][nibble] |= bucket;
		}
	}
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *one = a, *two = b;

	return (one->key > two->key) - (one->key < two->key);
}

/*
 * Deals the literals out to the buckets by the order of their windows: neighbours have nibbles
 * in common, and the fewer nibbles a bucket allows, the less gets through it.
 */
static int teddy_init(struct part *part, const struct members *members)
{
	struct entry sorted[TEDDY_MAX];

	part->teddy = calloc(1, sizeof(*part->teddy));
	if (!part->teddy)
		return err_nomem();
	for (size_t n = 0; n < members->count; n++)
		sorted[n] = (struct entry){member_window(members, n, part->at), (uint32_t)n};
	qsort(sorted, members->count, sizeof(sorted[0]), compare_entries);
	for (size_t n = 0; n < members->count; n++)
		teddy_allow(part->teddy, sorted[n].key,
			member_mask(members, sorted[n].literal, part->at),
			(uint8_t)(1u << n * TEDDY_BUCKETS / members->count));
	part->filter = members->find->kernel->teddy;
	return 0;
}

static int table_init(struct part *part, const struct members *members)
{
	unsigned bits = log2_up(members->count * part->stride) + TABLE_BITS_PER_ENTRY;

	bits = bits < TABLE_BITS_MIN   ? TABLE_BITS_MIN
	       : bits > TABLE_BITS_MAX ? TABLE_BITS_MAX
				       : bits;
	part->table_shift = 32 - bits;
	part->table = calloc((size_t)1 << bits, 1);
	if (!part->table)
		return err_nomem();
	for (size_t n = 0; n < members->count; n++)
		for (unsigned phase = 0; phase < part->stride; phase++) {
			uint32_t key = member_window(members, n, part->at + phase) & part->mask;
			unsigned bit = part->stride - 1 - phase;

			part->table[window_hash(key) >> part->table_shift] |= (uint8_t)(1u << bit);
		}
	part->filter = part->stride == 1 ? hashed_filter : hashed_stride_filter;
	return 0;
}

int part_init(struct part *part, const struct find *find, const uint32_t *index, size_t count,
	size_t at, bool wide)
{
	const struct members members = {find, index, count};
	int r;

	part->at = at;
	part->stride = wide && count > TEDDY_MAX ? FIND_STRIDE : 1;
	if (count == 1)
		pair_init(part, find, index[0]);
	part->mask = common_mask(&members, part);
	r = chains_build(part, &members);
	if (r < 0 || count == 1)
		return r;
	return count <= TEDDY_MAX ? teddy_init(part, &members) : table_init(part, &members);
}

void part_done(struct part *part)
{
	free(part->first);
	free(part->entries);
	free(part->teddy);
	free(part->table);
}
