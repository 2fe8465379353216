/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Views of a child's memory. The same checks run over all kinds: memory that only a mirror can
 * show, tracked or not, and memory that can be shared; then what each kind alone has to do. More of
 * tracked mirrors is tested by mapping_tracked.c.
 */
#include "mapping_child.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>

enum { LOOK_US = 25000, TRACKED = 6 };

static int full_memfd(void)
{
	static const uint8_t ones[PAGES * PAGE] = {1};
	int fd = memfd_create("memsift-mapping", MFD_CLOEXEC);

	check(fd >= 0 && write(fd, ones, sizeof(ones)) == sizeof(ones));
	return fd;
}

static int sparse_memfd(void)
{
	int fd = memfd_create("memsift-sparse", MFD_CLOEXEC);

	check(fd >= 0 && ftruncate(fd, PAGES * PAGE) == 0);
	return fd;
}

static int disk_file(void)
{
	char path[] = "/var/tmp/memsift-mapping-XXXXXX";
	static const uint8_t ones[PAGES * PAGE] = {1};
	int fd = mkstemp(path);

	check(fd >= 0 && unlink(path) == 0);
	check(write(fd, ones, sizeof(ones)) == sizeof(ones));
	return fd;
}

static const struct kind kinds[] = {
	{"anonymous", no_file, MAP_PRIVATE | MAP_ANONYMOUS, MS_MAPPING_MIRROR, false},
	{"private memfd", full_memfd, MAP_PRIVATE, MS_MAPPING_MIRROR, false},
	{"private file", disk_file, MAP_PRIVATE, MS_MAPPING_MIRROR, false},
	{"shared memfd with holes", sparse_memfd, MAP_SHARED, MS_MAPPING_MIRROR, false},
	{"shared memfd", full_memfd, MAP_SHARED, MS_MAPPING_SHARED, false},
	{"shared file", disk_file, MAP_SHARED, MS_MAPPING_SHARED, false},
	{"tracked", no_file, MAP_PRIVATE | MAP_ANONYMOUS, MS_MAPPING_TRACKED, true},
	{"private file, tracking", disk_file, MAP_PRIVATE, MS_MAPPING_MIRROR, true},
	{"holes, tracking", sparse_memfd, MAP_SHARED, MS_MAPPING_MIRROR, true},
	{"shared memfd, tracking", full_memfd, MAP_SHARED, MS_MAPPING_SHARED, true},
};

/* Runs a check over every kind of memory. */
static void each_kind(void (*examine)(struct child *child, const struct kind *kind))
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct child child;

		test_name = kinds[i].name;
		child_start(&child, &kinds[i]);
		examine(&child, &kinds[i]);
		child_stop(&child);
	}
}

/* ---- What holds for all kinds ---------------------------------------------------------- */

static void examine_answers(struct child *child, const struct kind *kind)
{
	ms_mapping *mapping = view_new(child, kind, address(child), PAGES * PAGE);
	const struct ms_gap *gaps;
	size_t count, got;
	uint64_t read;
	char byte;

	check((ms_mapping_why(mapping) != NULL) ==
		(kind->track && kind->kind == MS_MAPPING_MIRROR));
	check(ms_mapping_kind(mapping) == kind->kind);
	check_u64(ms_mapping_base(mapping), address(child));
	check_u64(ms_mapping_size(mapping), PAGES * PAGE);
	check_bytes(mapping, 5 * PAGE, PAGE, 0x11);
	wish(child, WISH_WRITE, 5 * PAGE + 10, 20, 0x22);
	check_ok(ms_mapping_refresh(mapping, &read));
	check(kind->kind == MS_MAPPING_SHARED ? read == 0 : read > 0);
	check_bytes(mapping, 5 * PAGE, 10, 0x11);
	check_bytes(mapping, 5 * PAGE + 10, 20, 0x22);
	check_bytes(mapping, 5 * PAGE + 30, 2 * PAGE, 0x11);
	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, 0);
	check_ok(ms_mapping_read(mapping, PAGES * PAGE - 1, &byte, 5, &got));
	check_u64(got, 1);
	check_ok(ms_mapping_read(mapping, PAGES * PAGE, &byte, 5, &got));
	check_u64(got, 0);
	view_free(child, mapping);
}

/* Any byte may be the first and the last. */
static void examine_borders(struct child *child, const struct kind *kind)
{
	/* The holes lie further behind. */
	bool shared = kind->flags & MAP_SHARED;

	wish(child, WISH_WRITE, 2 * PAGE + 7, 100, 0x33);
	for (size_t base = 2 * PAGE + 5; base < 2 * PAGE + 9; base++)
		for (size_t size = 1; size < 3 * PAGE; size = size * 3 + 1) {
			ms_mapping *mapping = view_new(child, kind, address(child) + base, size);
			const uint8_t *data;

			check(ms_mapping_kind(mapping) ==
				(shared ? MS_MAPPING_SHARED : kind->kind));
			data = ms_mapping_data(mapping);
			for (size_t i = 0; i < size; i++) {
				size_t at = base + i;
				bool in = at >= 2 * PAGE + 7 && at < 2 * PAGE + 107;

				check(data[i] == (in ? 0x33 : 0x11));
			}
			view_free(child, mapping);
		}
}

/* Part of it is unmapped, then all of it is something else. */
static void examine_changes_of_the_map(struct child *child, const struct kind *kind)
{
	ms_mapping *mapping = view_new(child, kind, address(child), PAGES * PAGE);
	const struct ms_gap *gaps;
	size_t count;

	wish(child, WISH_UNMAP, 4 * PAGE, 2 * PAGE, 0);
	usleep(LOOK_US);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check(ms_mapping_kind(mapping) ==
		(kind->kind == MS_MAPPING_SHARED ? MS_MAPPING_MIRROR : kind->kind));
	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, 1);
	check_u64(gaps[0].base, address(child) + 4 * PAGE);
	check_u64(gaps[0].size, 2 * PAGE);
	check_bytes(mapping, 3 * PAGE, PAGE, 0x11);
	check_bytes(mapping, 4 * PAGE, 2 * PAGE, 0);
	check_bytes(mapping, 6 * PAGE, PAGE, 0x11);
	wish(child, WISH_REPLACE, 0, PAGES * PAGE, 0);
	usleep(LOOK_US);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check_bytes(mapping, 0, PAGE, 0x77);
	check_bytes(mapping, PAGE, PAGE, 0);
	/* It is private memory now, and again as easy to track as any. */
	if (kind->track && ms_mapping_kind(mapping) != MS_MAPPING_TRACKED)
		skip("%s", ms_mapping_why(mapping));
	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, 0);
	view_free(child, mapping);
}

static void examine_the_end(struct child *child, const struct kind *kind)
{
	ms_mapping *mapping = view_new(child, kind, address(child), PAGES * PAGE);

	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	usleep(LOOK_US);
	check(ms_mapping_refresh(mapping, NULL) == MS_ERR_GONE);
	check_bytes(mapping, 2 * PAGE, PAGE, 0x11);
	view_free(child, mapping);
	check(ms_mapping_new(child->source, address(child), PAGE, &mapping) == MS_ERR_GONE);
}

static void all_kinds_answer_alike(void)
{
	each_kind(examine_answers);
}

static void borders_at_any_byte(void)
{
	each_kind(examine_borders);
}

static void changes_of_the_map(void)
{
	each_kind(examine_changes_of_the_map);
}

static void the_target_ends(void)
{
	each_kind(examine_the_end);
}

/* ---- What each kind has to do ----------------------------------------------------------- */

static void shared_views_need_no_refresh(void)
{
	for (size_t i = 4; i < TRACKED; i++) {
		struct child child;
		ms_mapping *mapping;

		child_start(&child, &kinds[i]);
		check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
		check(ms_mapping_kind(mapping) == MS_MAPPING_SHARED);
		wish(&child, WISH_WRITE, 9 * PAGE, 5, 0x44);
		check_bytes(mapping, 9 * PAGE, 5, 0x44);
		ms_mapping_free(mapping);
		child_stop(&child);
	}
}

static sigjmp_buf bus_jump;

static void on_bus(int number)
{
	(void)number;
	siglongjmp(bus_jump, 1);
}

/* Reading never kills; a refresh makes the view safe again. */
static void files_that_become_shorter(void)
{
	struct child child;
	ms_mapping *mapping;
	uint8_t bytes[4 * PAGE];
	volatile bool bus = false;
	size_t got;

	child_start(&child, &kinds[5]);
	check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
	check(ms_mapping_kind(mapping) == MS_MAPPING_SHARED);
	check(ftruncate(child.fd, 3 * PAGE + 100) == 0);
	check_ok(ms_mapping_read(mapping, 2 * PAGE, bytes, sizeof(bytes), &got));
	check_u64(got, 2 * PAGE);
	check(bytes[0] == 0x11 && bytes[PAGE + 99] == 0x11 && bytes[PAGE + 100] == 0);
	signal(SIGBUS, on_bus);
	if (sigsetjmp(bus_jump, 1) == 0)
		bytes[0] = ((const volatile uint8_t *)ms_mapping_data(mapping))[10 * PAGE];
	else
		bus = true;
	signal(SIGBUS, SIG_DFL);
	check(bus);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
	check_bytes(mapping, 2 * PAGE, PAGE, 0x11);
	check_bytes(mapping, 10 * PAGE, PAGE, 0);
	ms_mapping_free(mapping);
	child_stop(&child);
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	check(fstat(fd, &st) == 0);
	return (uint64_t)st.st_blocks;
}

/* Holes stay holes. */
static void looking_fills_no_holes(void)
{
	struct child child;
	ms_mapping *mapping;
	uint64_t blocks;

	child_start(&child, &kinds[3]);
	blocks = blocks_of(child.fd);
	check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
	for (size_t i = 0; i < PAGES * PAGE; i++)
		check(((const uint8_t *)ms_mapping_data(mapping))[i] == (i < 16 * PAGE ? 0x11 : 0));
	check_u64(blocks_of(child.fd), blocks);
	ms_mapping_free(mapping);
	child_stop(&child);
}

/* What is given back reads as zeros again. */
static void dropped_pages_are_zeros(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[0]);
	check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
	check_bytes(mapping, 5 * PAGE, PAGE, 0x11);
	wish(&child, WISH_DROP, 5 * PAGE, PAGE, 0);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check_bytes(mapping, 5 * PAGE, PAGE, 0);
	check_bytes(mapping, 6 * PAGE, PAGE, 0x11);
	ms_mapping_free(mapping);
	child_stop(&child);
}

static void wrong_ranges(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[0]);
	check(ms_mapping_new(child.source, address(&child), 0, &mapping) == MS_ERR_ARGUMENT);
	check(ms_mapping_new(child.source, UINT64_MAX - 10, 5, &mapping) == MS_ERR_ARGUMENT);
	check(ms_mapping_new(child.source, 10, SIZE_MAX, &mapping) == MS_ERR_ARGUMENT);
	/* Nothing is there: a view of nothing but a gap. */
	check_ok(ms_mapping_new(child.source, 0x1000, PAGE, &mapping));
	check_bytes(mapping, 0, PAGE, 0);
	ms_mapping_free(mapping);
	ms_mapping_free(NULL);
	child_stop(&child);
}

static size_t descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* How often this process has mapped memfds. */
static size_t mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	size_t count = 0;

	check(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "/memfd:memsift-mapping") != NULL;
	fclose(maps);
	return count;
}

static void mappers_hold_many(void)
{
	struct child child;
	ms_mapper *mapper;
	ms_filter *filter;
	size_t index, count, fds, maps;
	char range[64];

	child_start(&child, &kinds[4]);
	fds = descriptors();
	maps = mappings();
	check_ok(ms_mapper_new(child.source, NULL, &mapper));
	for (size_t i = 0; i < 10; i++) {
		check_ok(ms_mapper_add(mapper, address(&child) + i * PAGE, PAGE, &index));
		check_u64(index, i);
	}
	check_u64(ms_mapper_count(mapper), 10);
	check(ms_mapper_find(mapper, address(&child) + 3 * PAGE + 5) == ms_mapper_get(mapper, 3));
	check(!ms_mapper_find(mapper, address(&child) + 10 * PAGE));
	check(!ms_mapper_get(mapper, 10));
	ms_mapper_remove(mapper, 3);
	ms_mapper_remove(mapper, 3);
	ms_mapper_remove(mapper, 77);
	check(!ms_mapper_get(mapper, 3) && !ms_mapper_find(mapper, address(&child) + 3 * PAGE));
	check_u64(ms_mapper_count(mapper), 10);
	check_ok(ms_filter_new(&filter));
	snprintf(range, sizeof(range), "%llx-%llx", (unsigned long long)address(&child) + 100,
		(unsigned long long)address(&child) + 2 * PAGE);
	check_ok(ms_filter_set(filter, "address", range));
	check_ok(ms_mapper_add_regions(mapper, filter, &count));
	check_u64(count, 1);
	check_u64(ms_mapping_base(ms_mapper_get(mapper, 10)), address(&child) + 100);
	wish(&child, WISH_WRITE, 0, PAGE, 0x55);
	check_ok(ms_mapper_refresh(mapper, NULL));
	check_bytes(ms_mapper_get(mapper, 0), 0, PAGE, 0x55);
	check_bytes(ms_mapper_get(mapper, 10), 0, PAGE - 100, 0x55);
	ms_mapper_free(mapper);
	ms_filter_free(filter);
	check_u64(descriptors(), fds);
	check_u64(mappings(), maps);
	child_stop(&child);
}

/* A terabyte without data is mapped like anything else, and nothing comes of it. */
static void huge_and_sparse(void)
{
	const uint64_t size = 1ull << 40;
	void *space = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct child child;
	ms_mapping *mapping;

	if (space == MAP_FAILED)
		skip("no terabyte of addresses");
	*((volatile uint8_t *)space + size / 2) = 9;
	child_start(&child, &kinds[0]);
	check_ok(ms_mapping_new(child.source, (uintptr_t)space, size, &mapping));
	check(((const uint8_t *)ms_mapping_data(mapping))[size / 2] == 9);
	check(((const uint8_t *)ms_mapping_data(mapping))[size / 3] == 0);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check(((const uint8_t *)ms_mapping_data(mapping))[size / 2] == 9);
	ms_mapping_free(mapping);
	child_stop(&child);
	munmap(space, size);
}

/* What is in this process already is shown where it is. */
static void snapshots_are_shown_as_they_are(void)
{
	struct child child;
	ms_snapshot *snapshot;
	ms_mapping *mapping;

	child_start(&child, &kinds[0]);
	check_ok(ms_snapshot_take(child.source, NULL, &snapshot));
	wish(&child, WISH_WRITE, 0, PAGE, 0x66);
	check_ok(
		ms_mapping_new(ms_snapshot_source(snapshot), address(&child), 16 * PAGE, &mapping));
	check(ms_mapping_kind(mapping) == MS_MAPPING_SHARED);
	check_bytes(mapping, 0, PAGE, 0x11);
	check_ok(ms_mapping_refresh(mapping, NULL));
	ms_mapping_free(mapping);
	check_ok(ms_mapping_new(
		ms_snapshot_source(snapshot), address(&child), PAGES * PAGE, &mapping));
	check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
	check_bytes(mapping, 15 * PAGE, PAGE, 0x11);
	check_bytes(mapping, 16 * PAGE, PAGE, 0);
	ms_mapping_free(mapping);
	ms_snapshot_free(snapshot);
	child_stop(&child);
}

static const struct test tests[] = {
	{"all kinds answer alike", all_kinds_answer_alike},
	{"borders at any byte", borders_at_any_byte},
	{"changes of the map", changes_of_the_map},
	{"the target ends", the_target_ends},
	{"shared views need no refresh", shared_views_need_no_refresh},
	{"files that become shorter", files_that_become_shorter},
	{"looking fills no holes", looking_fills_no_holes},
	{"dropped pages are zeros", dropped_pages_are_zeros},
	{"wrong ranges", wrong_ranges},
	{"mappers hold many", mappers_hold_many},
	{"huge and sparse", huge_and_sparse},
	{"snapshots are shown as they are", snapshots_are_shown_as_they_are},
};

TEST_MAIN(tests)
