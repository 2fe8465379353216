/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tracked mirrors of a child's memory: they read what was written and nothing else, by whatever way
 * to track this kernel has, and miss nothing.
 */
#include "mapping_child.h"

#include "track/mapping.h"

static const struct kind tracked = {
	"tracked", no_file, MAP_PRIVATE | MAP_ANONYMOUS, MS_MAPPING_TRACKED, true};

static uint64_t bytes_read; /* of any source whose reads are counted */
static const struct ms_source_ops *counted;

static int counting_read(
	struct ms_source *src, uint64_t base, void *buf, size_t size, size_t *ret_size)
{
	int r = counted->read(src, base, buf, size, ret_size);

	bytes_read += r == 0 ? *ret_size : 0;
	return r;
}

static void count_reads(ms_source *source)
{
	static struct ms_source_ops ops;

	counted = source->ops;
	ops = *counted;
	ops.read = counting_read;
	source->ops = &ops;
}

/* By soft-dirty bits a page that was written is told more than once. */
static bool piles_up(const ms_mapping *mapping)
{
	return mapping->tracker && mapping->tracker->piles_up;
}

/* Refreshes, and checks how many pages were read to do it. */
static void check_refresh(ms_mapping *mapping, uint64_t pages)
{
	uint64_t read;

	bytes_read = 0;
	check_ok(ms_mapping_refresh(mapping, &read));
	check_u64(bytes_read, read);
	if (piles_up(mapping))
		check(read >= pages * PAGE);
	else
		check_u64(read, pages * PAGE);
}

static void as_many_pages_as_were_written(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &tracked);
	count_reads(child.source);
	mapping = view_new(&child, &tracked, address(&child), PAGES * PAGE);
	check_refresh(mapping, 0);
	for (size_t count = 1; count <= 16; count++) {
		for (size_t i = 0; i < count; i++)
			wish(&child, WISH_WRITE, i * PAGE + 10 * i, 1, (int)(0x80 + count));
		check_refresh(mapping, count);
		check_refresh(mapping, 0);
		for (size_t i = 0; i < 16; i++)
			check_bytes(mapping, i * PAGE + 10 * i, 1,
				(uint8_t)(i < count ? 0x80 + count : 0x11));
	}
	/* Written over with what was there. */
	wish(&child, WISH_WRITE, 15 * PAGE, 5, 0x11);
	check_refresh(mapping, 1);
	/* Pages that come into being, and all of them. */
	wish(&child, WISH_WRITE, 20 * PAGE + 5, 3 * PAGE, 0x23);
	check_refresh(mapping, 4);
	check_bytes(mapping, 20 * PAGE + 5, 3 * PAGE, 0x23);
	wish(&child, WISH_WRITE, 0, PAGES * PAGE, 0x24);
	check_refresh(mapping, PAGES);
	/* Given back, which is no write, and costs no read. */
	wish(&child, WISH_DROP, 7 * PAGE, 3 * PAGE, 0);
	check_refresh(mapping, 0);
	check_bytes(mapping, 6 * PAGE, PAGE, 0x24);
	check_bytes(mapping, 7 * PAGE, 3 * PAGE, 0);
	check_bytes(mapping, 10 * PAGE, PAGE, 0x24);
	wish(&child, WISH_WRITE, 8 * PAGE, 1, 0x25);
	check_refresh(mapping, 1);
	check_bytes(mapping, 8 * PAGE, 1, 0x25);
	view_free(&child, mapping);
	child_stop(&child);
}

static void check_gap(const ms_mapping *mapping, uint64_t base, uint64_t size)
{
	const struct ms_gap *gaps;
	size_t count;

	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, size ? 1 : 0);
	if (size) {
		check_u64(gaps[0].base, base);
		check_u64(gaps[0].size, size);
	}
}

static void gaps_are_kept(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &tracked);
	count_reads(child.source);
	mapping = view_new(&child, &tracked, address(&child), PAGES * PAGE);
	wish(&child, WISH_UNMAP, 4 * PAGE, 2 * PAGE, 0);
	check_refresh(mapping, 0);
	check_gap(mapping, address(&child) + 4 * PAGE, 2 * PAGE);
	check_bytes(mapping, 4 * PAGE, 2 * PAGE, 0);
	for (int i = 0; i < 3; i++) {
		wish(&child, WISH_WRITE, 12 * PAGE, 1, i);
		check_refresh(mapping, 1);
		check_gap(mapping, address(&child) + 4 * PAGE, 2 * PAGE);
		check_bytes(mapping, 12 * PAGE, 1, (uint8_t)i);
	}
	check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
	/* Other memory: what was told of the old says nothing, so that all is read once. */
	wish(&child, WISH_REPLACE, 0, PAGES * PAGE, 0);
	check_refresh(mapping, 1);
	check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
	check_gap(mapping, 0, 0);
	check_bytes(mapping, 0, PAGE, 0x77);
	check_bytes(mapping, PAGE, PAGE, 0);
	check_bytes(mapping, 12 * PAGE, PAGE, 0);
	wish(&child, WISH_WRITE, 4 * PAGE, 2, 0x78);
	check_refresh(mapping, 1);
	check_bytes(mapping, 4 * PAGE, 2, 0x78);
	/* The same text in the memory map, again and again. */
	for (int i = 0; i < 5; i++) {
		wish(&child, WISH_WRITE, 0, 3 * PAGE, 0x79);
		wish(&child, WISH_REPLACE, 0, PAGES * PAGE, 0);
		check_refresh(mapping, 1);
		check_bytes(mapping, 0, PAGE, 0x77);
		check_bytes(mapping, PAGE, 2 * PAGE, 0);
	}
	view_free(&child, mapping);
	child_stop(&child);
}

/* Where part of it is mapped anew, what was told of the rest is not lost. */
static void partly_mapped_anew(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &tracked);
	mapping = view_new(&child, &tracked, address(&child), PAGES * PAGE);
	for (int i = 0; i < 3; i++) {
		wish(&child, WISH_WRITE, 3 * PAGE, 10, 0x41 + i);
		wish(&child, WISH_WRITE, 15 * PAGE, 10, 0x51 + i);
		wish(&child, WISH_REPLACE, (5 + i) * PAGE, 2 * PAGE, 0);
		check_ok(ms_mapping_refresh(mapping, NULL));
		check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
		check_bytes(mapping, 3 * PAGE, 10, (uint8_t)(0x41 + i));
		check_bytes(mapping, 15 * PAGE, 10, (uint8_t)(0x51 + i));
		check_bytes(mapping, (5 + i) * PAGE, PAGE, 0x77);
		check_bytes(mapping, (6 + i) * PAGE, PAGE, 0);
	}
	view_free(&child, mapping);
	child_stop(&child);
}

/* Says that pages are swapped out; a machine of which tests may swap pages out is rare. */
static int all_swapped(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	(void)src;
	(void)region;
	*ret_count = room ? 1 : 0;
	if (room)
		runs[0] = (struct run){base, size, MS_STATE_SWAPPED};
	return 0;
}

/* To come in is no write, so nobody tells it. */
static void swapped_pages_come_in(void)
{
	const struct ms_source_ops *ops;
	struct ms_source_ops swapped;
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &tracked);
	count_reads(child.source);
	mapping = view_new(&child, &tracked, address(&child), 8 * PAGE);
	ops = child.source->ops;
	swapped = *ops;
	swapped.resident = all_swapped;
	child.source->ops = &swapped;
	check_refresh(mapping, 0);
	check_gap(mapping, address(&child), 8 * PAGE);
	check_bytes(mapping, 0, PAGE, 0);
	child.source->ops = ops;
	check_refresh(mapping, 8);
	check_gap(mapping, 0, 0);
	check_bytes(mapping, 0, PAGE, 0x11);
	check_bytes(mapping, 7 * PAGE, PAGE, 0x11);
	check_refresh(mapping, 0);
	view_free(&child, mapping);
	child_stop(&child);
}

/* Whatever a child does, the mirror is what it has. */
static void many_changes_at_random(void)
{
	struct child child;
	ms_mapping *mapping, *plain;
	unsigned random = 12345;

	child_start(&child, &tracked);
	mapping = view_new(&child, &tracked, address(&child) + 5, PAGES * PAGE - 10);
	check_ok(ms_mapping_new(child.source, address(&child) + 5, PAGES * PAGE - 10, &plain));
	for (int round = 0; round < 300; round++) {
		const struct ms_gap *gaps;
		size_t count;

		for (int i = 0; i < round % 4; i++) {
			uint64_t page, pages;

			random = random * 1103515245 + 12345;
			page = (random >> 16) % PAGES;
			pages = 1 + (random >> 24) % 3;
			pages = page + pages > PAGES ? 1 : pages;
			if ((random >> 8) % 16 == 0)
				wish(&child, WISH_REPLACE, page * PAGE, pages * PAGE, 0);
			else if ((random >> 8) % 4 == 0)
				wish(&child, WISH_DROP, page * PAGE, pages * PAGE, 0);
			else
				wish(&child, WISH_WRITE, page * PAGE, pages * PAGE,
					(int)(random >> 4));
		}
		check_ok(ms_mapping_refresh(mapping, NULL));
		check_ok(ms_mapping_refresh(plain, NULL));
		check(memcmp(ms_mapping_data(plain), ms_mapping_data(mapping), PAGES * PAGE - 10) ==
			0);
		ms_mapping_gaps(mapping, &gaps, &count);
		check_u64(count, 0);
	}
	check(ms_mapping_kind(plain) == MS_MAPPING_MIRROR);
	ms_mapping_free(plain);
	view_free(&child, mapping);
	child_stop(&child);
}

/* Whoever tracks first goes on to be told everything; the other is refused or reads it all. */
static void one_owner(void)
{
	struct ms_detector_options options = {.size = sizeof(options), .method = MS_METHOD_DIRTY};
	struct ms_detector_info info;
	struct child child;
	ms_mapper *first, *second;
	ms_mapping *mapping, *other;
	ms_detector *detector;
	ms_source *source;

	child_start(&child, &tracked);
	first = new_tracking(&child);
	mapping = add(first, address(&child), PAGES * PAGE);
	need_tracking(mapping);
	check(ms_detector_new(child.source, &options, &detector) == MS_ERR_ARGUMENT);
	check(strstr(ms_error(), "another"));
	options.method = MS_METHOD_AUTO;
	check_ok(ms_detector_new(child.source, &options, &detector));
	ms_detector_info(detector, &info);
	check(info.method == MS_METHOD_COMPARE && strstr(info.why, "another"));
	second = new_tracking(&child);
	other = add(second, address(&child), PAGES * PAGE);
	check(ms_mapping_kind(other) == MS_MAPPING_MIRROR);
	check(strstr(ms_mapping_why(other), "another"));
	/* Overlapping mappings of one mapper, and through another source, which the kernel refuses.
	 */
	ms_mapper_free(second);
	other = add(first, address(&child) + 3 * PAGE + 5, 1);
	check(ms_mapping_kind(other) == MS_MAPPING_MIRROR);
	check(strstr(ms_mapping_why(other), "another"));
	check_ok(ms_source_open(child.host, (uint32_t)child.pid, &source));
	check_ok(ms_mapper_new(source,
		&(struct ms_mapper_options){
			.size = sizeof(struct ms_mapper_options), .track = true},
		&second));
	check(ms_mapping_kind(add(second, address(&child), PAGE)) == MS_MAPPING_MIRROR);
	check_ok(ms_detector_initialize(detector));
	for (int i = 0; i < 5; i++) {
		struct ms_round told;

		wish(&child, WISH_WRITE, 3 * PAGE + 5, 1, i);
		check_ok(ms_detector_detect(detector, true, NULL, &told));
		check(told.changes >= 1);
		check_ok(ms_mapper_refresh(second, NULL));
		check_ok(ms_mapper_refresh(first, NULL));
		check_bytes(mapping, 3 * PAGE + 5, 1, (uint8_t)i);
		check_bytes(other, 0, 1, (uint8_t)i);
	}
	ms_detector_free(detector);
	/* The end of one that was refused ends nothing. */
	count_reads(child.source);
	wish(&child, WISH_WRITE, 3 * PAGE, 1, 0x32);
	check_refresh(mapping, 1);
	ms_mapper_free(first);
	ms_mapper_free(second);
	ms_source_free(source);
	/* And then it is free again. */
	options.method = MS_METHOD_DIRTY;
	check_ok(ms_detector_new(child.source, &options, &detector));
	first = new_tracking(&child);
	mapping = add(first, address(&child), PAGES * PAGE);
	check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
	wish(&child, WISH_WRITE, 3 * PAGE, 1, 0x33);
	check_ok(ms_mapper_refresh(first, NULL));
	check_bytes(mapping, 3 * PAGE, 1, 0x33);
	ms_mapper_free(first);
	ms_detector_free(detector);
	child_stop(&child);
}

/* A filter that lets everything pass is enough for memsift to keep its hands off. */
static void cannot_be_tracked(void)
{
	struct child child;
	ms_mapper *mapper;
	ms_mapping *mapping;
	uint64_t read;

	child_start(&child, &tracked);
	wish(&child, WISH_FILTER, 0, 0, 0);
	mapper = new_tracking(&child);
	mapping = add(mapper, address(&child), PAGES * PAGE);
	/* Soft-dirty bits take no call in the target. */
	if (piles_up(mapping)) {
		check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
	} else {
		check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
		check_that(
			strstr(ms_mapping_why(mapping), "seccomp"), "%s", ms_mapping_why(mapping));
	}
	wish(&child, WISH_WRITE, 5 * PAGE, PAGE, 0x26);
	check_ok(ms_mapper_refresh(mapper, &read));
	check(read >= (piles_up(mapping) ? PAGE : 16 * PAGE));
	check_bytes(mapping, 5 * PAGE, PAGE, 0x26);
	ms_mapper_free(mapper);
	child_stop(&child);
}

static const struct test tests[] = {
	{"as many pages as were written", as_many_pages_as_were_written},
	{"gaps are kept", gaps_are_kept},
	{"partly mapped anew", partly_mapped_anew},
	{"swapped pages come in", swapped_pages_come_in},
	{"many changes at random", many_changes_at_random},
	{"one owner", one_owner},
	{"cannot be tracked", cannot_be_tracked},
};

TEST_MAIN(tests)
