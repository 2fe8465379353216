/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Equal bytes are for memcmp(), which the C library writes with the widest vectors that the
 * processor has: it reads both sides as fast as memory delivers them, so a loop of our own could
 * only be as fast. It tells that a block differs, but not where; within the block words of eight
 * bytes do. A run is followed a word at a time, too: a word without a difference right behind a
 * changed byte is PAGEDIFF_JOIN equal bytes, the end of the run.
 */
#include "track/pagediff.h"

#include "base/bytes.h"
#include "base/mem.h"

enum { BLOCK = 4096, NEAR = 64 };

_Static_assert(PAGEDIFF_JOIN == sizeof(uint64_t), "a run ends where a word is equal");

bool pagediff_equal(const void *old, const void *now, size_t size)
{
	return memcmp(old, now, size) == 0;
}

/* The lowest byte in memory is the lowest of the word. */
static uint64_t word_difference(const uint8_t *old, const uint8_t *now)
{
	return load_u64(old, false) ^ load_u64(now, false);
}

/* The first byte from `at` on that differs, or `end`. */
static size_t first_within(const uint8_t *old, const uint8_t *now, size_t at, size_t end)
{
	for (; end - at >= 8; at += 8) {
		uint64_t difference = word_difference(old + at, now + at);

		if (difference)
			return at + (size_t)__builtin_ctzll(difference) / 8;
	}
	while (at < end && old[at] == now[at])
		at++;
	return at;
}

static size_t first_difference(const uint8_t *old, const uint8_t *now, size_t at, size_t size)
{
	/* Changes come in groups: look close by before setting out for the far. */
	size_t end = at + (size_t)min_u64(NEAR, size - at);

	at = first_within(old, now, at, end);
	while (at == end && end < size) {
		end = at + (size_t)min_u64(BLOCK, size - at);
		at = memcmp(old + at, now + at, end - at) ? first_within(old, now, at, end) : end;
	}
	return at;
}

/* The byte behind the run that `at` begins. */
static size_t run_end(const uint8_t *old, const uint8_t *now, size_t at, size_t size)
{
	size_t end = at + 1;

	while (size - end >= 8) {
		uint64_t difference = word_difference(old + end, now + end);

		if (!difference)
			return end;
		/* Apart from the other case, so that the processor need not wait for the count. */
		if (difference >> 56)
			end += 8;
		else
			end += 8 - (size_t)__builtin_clzll(difference) / 8;
	}
	for (at = end; at < size; at++)
		if (old[at] != now[at])
			end = at + 1;
	return end;
}

bool pagediff_next(
	const void *old, const void *now, size_t size, size_t from, struct pagediff_run *ret_run)
{
	size_t at = first_difference(old, now, from, size);

	if (at == size)
		return false;
	*ret_run = (struct pagediff_run){at, run_end(old, now, at, size) - at};
	return true;
}
