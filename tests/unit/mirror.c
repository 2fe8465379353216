/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mirror of a target's pages by itself: what is in it, in order, and what lies side by side.
 */
#include "test.h"

#include "memsift.h"
#include "track/mirror.h"

enum { PAGE = 4096 };

/* However far apart the pages of a mirror are, the next one is found, and in order. */
static void test_order(void)
{
	static const uint64_t pages[] = {
		0x7fffffffe000, 0x1000, 0x400000000000, 0x3000, 0x10000, 0x400000011000};
	static const uint64_t ordered[] = {
		0x1000, 0x3000, 0x10000, 0x400000000000, 0x400000011000, 0x7fffffffe000};
	struct mirror mirror = {.page = PAGE, .max = UINT64_MAX};
	uint64_t at = 0;

	check(!mirror_next(&mirror, 0, UINT64_MAX, &at));
	for (size_t i = 0; i < 6; i++) {
		check(mirror_put(&mirror, pages[i]));
		/* Marked only: not there. */
		check(mirror_mark(&mirror, pages[i] + 0x100000));
		check(mirror_next(&mirror, pages[i], UINT64_MAX, &at) && at == pages[i]);
	}
	at = 0;
	for (size_t i = 0; i < 6; i++, at += PAGE) {
		check(mirror_next(&mirror, at, UINT64_MAX, &at));
		check_u64(at, ordered[i]);
	}
	check(!mirror_next(&mirror, at, UINT64_MAX, &at));
	check(!mirror_next(&mirror, 0x4000, 0x10000, &at));
	mirror_drop(&mirror, 0x1000, 0x400000000000);
	check(mirror_next(&mirror, 0, UINT64_MAX, &at));
	check_u64(at, 0x400000000000);
	mirror_done(&mirror);
}

/* Pages that were put side by side are seen side by side, as far as they go. */
static void test_view(void)
{
	struct mirror mirror = {.page = PAGE, .max = UINT64_MAX};
	size_t there;

	check(!mirror_view(&mirror, 0x1000, &there));
	for (uint64_t at = 0x1000; at < 0x22000; at += PAGE)
		if (at != 0x5000)
			memset(mirror_put(&mirror, at), (int)(at >> 12), PAGE);
	check(!mirror_view(&mirror, 0x5000, &there));
	for (uint64_t at = 0x1000; at < 0x22000; at += there) {
		const uint8_t *view = mirror_view(&mirror, at, &there);

		check_u64(at + there, at < 0x6000    ? 0x5000
				      : at < 0x10000 ? 0x10000
				      : at < 0x20000 ? 0x20000
						     : 0x22000);
		for (size_t i = 0; i < there; i++)
			check_u64(view[i], (at + i) >> 12);
		there = view ? there : PAGE;
	}
	mirror_done(&mirror);
}

static const struct test tests[] = {
	{"order", test_order},
	{"view", test_view},
};

TEST_MAIN(tests)
