/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The comparison of two stretches against an oracle that looks at each byte, for all small sizes
 * and many alignments, with a page that cannot be touched right behind either stretch.
 */
#include "track/pagediff.h"

#include "tests/test.h"

#include <sys/mman.h>
#include <unistd.h>

enum { ROOM = 64 * 1024 };

/* ROOM bytes that end where a page begins that cannot be touched. */
static uint8_t *fenced(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *at =
		mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(at != MAP_FAILED);
	check(mprotect(at + ROOM, page, PROT_NONE) == 0);
	return at;
}

static uint8_t *left, *right;

static void setup(uint64_t seed)
{
	left = left ? left : fenced();
	right = right ? right : fenced();
	for (size_t i = 0; i < ROOM; i++)
		left[i] = right[i] = (uint8_t)test_random(&seed);
}

static bool oracle_next(const uint8_t *old, const uint8_t *now, size_t size, size_t from,
	struct pagediff_run *ret_run)
{
	size_t first = from, last, equal = 0;

	while (first < size && old[first] == now[first])
		first++;
	if (first == size)
		return false;
	last = first;
	for (size_t i = first + 1; i < size && equal < PAGEDIFF_JOIN; i++) {
		equal = old[i] == now[i] ? equal + 1 : 0;
		last = equal ? last : i;
	}
	*ret_run = (struct pagediff_run){first, last - first + 1};
	return true;
}

/* Compares all runs, and those from somewhere in the middle on; returns how many there are. */
static size_t compare(const uint8_t *old, const uint8_t *now, size_t size, size_t from)
{
	struct pagediff_run is = {0}, should = {0};
	size_t count = 0;

	check(pagediff_equal(old + from, now + from, size - from) ==
		!oracle_next(old, now, size, from, &should));
	for (size_t at = from;; at = is.offset + is.size, count++) {
		bool more = pagediff_next(old, now, size, at, &is);

		check(more == oracle_next(old, now, size, at, &should));
		if (!more)
			return count;
		check_u64(is.offset, should.offset);
		check_u64(is.size, should.size);
	}
}

static void test_equal(void)
{
	setup(1);
	for (size_t size = 0; size <= ROOM; size += size < 600 ? 1 : 4001)
		check_u64(compare(left + ROOM - size, right + ROOM - size, size, 0), 0);
}

static void test_one_byte(void)
{
	setup(2);
	for (size_t size = 1; size < 300; size++)
		for (size_t at = 0; at < size; at++) {
			uint8_t *old = left + ROOM - size, *now = right + ROOM - size;
			struct pagediff_run run;

			now[at] ^= 0x10;
			check(pagediff_next(old, now, size, 0, &run));
			check_u64(run.offset, at);
			check_u64(run.size, 1);
			check(!pagediff_next(old, now, size, at + 1, &run));
			check(pagediff_equal(old, now, at));
			check(!pagediff_equal(old, now, size));
			now[at] ^= 0x10;
		}
}

/* Two changed bytes are one run if fewer than PAGEDIFF_JOIN equal ones lie between them. */
static void test_joining(void)
{
	setup(3);
	for (size_t gap = 0; gap < 3 * PAGEDIFF_JOIN; gap++)
		for (size_t at = 0; at < 80; at++) {
			uint8_t *old = left + ROOM - 128, *now = right + ROOM - 128;
			struct pagediff_run run;

			now[at] ^= 1;
			now[at + 1 + gap] ^= 1;
			check(pagediff_next(old, now, 128, 0, &run));
			check_u64(run.size, gap < PAGEDIFF_JOIN ? gap + 2 : 1);
			check_u64(compare(old, now, 128, 0), gap < PAGEDIFF_JOIN ? 1 : 2);
			now[at] ^= 1;
			now[at + 1 + gap] ^= 1;
		}
}

static void test_random_changes(void)
{
	uint64_t seed = 4;

	for (unsigned round = 0; round < 4000; round++) {
		size_t size = test_random(&seed) % (round % 40 ? 700 : 20000);
		size_t skew = test_random(&seed) % 64;
		uint8_t *old = left + ROOM - size - skew, *now = right + ROOM - size;
		size_t changes = test_random(&seed) % 12;

		setup(round);
		memcpy(old, now, size);
		for (size_t i = 0; size && i < changes; i++) {
			size_t at = test_random(&seed) % size;
			size_t many = 1 + test_random(&seed) % (i % 3 ? 3 : 90);

			for (size_t j = at; j < at + many && j < size; j++)
				now[j] ^= (uint8_t)(test_random(&seed) % 4);
		}
		compare(old, now, size, 0);
		compare(old, now, size, size ? test_random(&seed) % size : 0);
	}
}

static void test_all_changed(void)
{
	struct pagediff_run run;

	setup(5);
	for (size_t i = 0; i < ROOM; i++)
		right[i] = (uint8_t)~left[i];
	for (size_t size = 1; size < ROOM; size = size * 3 / 2 + 1) {
		check(pagediff_next(left + ROOM - size, right + ROOM - size, size, 0, &run));
		check_u64(run.offset, 0);
		check_u64(run.size, size);
	}
}

static const struct test tests[] = {
	{"equal stretches have no runs", test_equal},
	{"one changed byte is found wherever it is", test_one_byte},
	{"runs that are close are joined", test_joining},
	{"random changes are those of the oracle", test_random_changes},
	{"what changed all over is one run", test_all_changed},
};

TEST_MAIN(tests)
