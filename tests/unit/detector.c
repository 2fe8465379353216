/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The detector on a live process that does as it is told: by dirty tracking, by soft-dirty bits and
 * by comparing it must tell the very same changes, and all of them. Each test is run with the
 * methods that this kernel has; "has ..." says which. That nothing is lost, whoever else is at
 * work, is tested by detector_loss.c.
 */
#include "detector_puppet.h"

static void test_has_dirty(void)
{
	if (!can(MS_METHOD_DIRTY))
		skip("%s", ms_error());
}

static void test_has_softdirty(void)
{
	if (!can(MS_METHOD_SOFT_DIRTY))
		skip("%s", ms_error());
}

static void test_writes(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		detect(true);
		check_u64(told_count, 0);
		command(DO_WRITE, 100, 3, 'b');
		command(DO_WRITE, 9 * PAGE + 8, 4, 'c');
		detect(true);
		check_u64(told_count, 2);
		check_told(0, "write", 100, 3);
		check(memcmp(told[0].old, "aaa", 3) == 0 && memcmp(told[0].now, "bbb", 3) == 0);
		check_told(1, "write", 9 * PAGE + 8, 4);
		check(memcmp(told[1].old, "\0\0\0\0", 4) == 0 &&
			memcmp(told[1].now, "cccc", 4) == 0);
		detect(true);
		check_u64(told_count, 0);
		/* The same bytes again are no change. */
		command(DO_WRITE, 100, 3, 'b');
		detect(true);
		check_u64(told_count, 0);
		/* What is ignored is. */
		command(DO_WRITE, 499 * PAGE, 2 * PAGE, 'd');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 499 * PAGE, PAGE);
	}
}

/* Without an update the picture stays as it was. */
static void test_detect_without_update(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		check_ok(ms_detector_initialize(detector));
		command(DO_WRITE, 5 * PAGE, 1, 'x');
		detect(false);
		check_told(0, "write", 5 * PAGE, 1);
		command(DO_WRITE, 7 * PAGE, 1, 'y');
		detect(false);
		check_u64(told_count, 2);
		check_told(0, "write", 5 * PAGE, 1);
		command(DO_WRITE, 5 * PAGE, 1, 0);
		detect(false);
		check_u64(told_count, 1);
		check_told(0, "write", 7 * PAGE, 1);
		check_ok(ms_detector_update(detector));
		detect(false);
		check_u64(told_count, 0);
	}
}

static void test_map(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, 4 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		command(DO_UNMAP, 2 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "unmap", 2 * PAGE, PAGE);
		command(DO_MAP, 2 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "map", 2 * PAGE, PAGE);
		detect(true);
		check_u64(told_count, 0);
		/* What is mapped anew is watched. */
		command(DO_WRITE, 2 * PAGE + 5, 2, 'n');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 2 * PAGE + 5, 2);
		command(DO_PROTECT, 3 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "protect", 3 * PAGE, PAGE);
		/* What is mapped over it shows no trace in the map, but its bytes are others. */
		command(DO_MAP, 0, PAGE, 0);
		told_count = 0;
		for (int i = 0; i < 17 && told_count != 1; i++)
			detect(true);
		check_told(0, "write", 0, PAGE);
		command(DO_WRITE, 9, 1, 'z');
		detect(true);
		check_told(0, "write", 9, 1);
	}
}

static void test_given_back(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 10 * PAGE, 2 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		command(DO_GIVE_BACK, 10 * PAGE, PAGE, 0);
		told_count = 0;
		for (int i = 0; i < 17 && told_count == 0; i++)
			detect(true);
		check_told(0, "write", 10 * PAGE, PAGE);
		check(told[0].old[0] == 'a' && told[0].now[0] == 0);
		command(DO_WRITE, 10 * PAGE, 1, 'q');
		detect(true);
		check_told(0, "write", 10 * PAGE, 1);
	}
}

/* What was given back and then read is there, but nobody wrote it. */
static void test_given_back_and_read(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 10 * PAGE, 2 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		detect(true);
		command(DO_GIVE_BACK_AND_READ, 10 * PAGE, PAGE, 0);
		check_u64(order->value, 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 10 * PAGE, PAGE);
	}
}

static void test_thousands_of_regions(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, 400 * PAGE, 'a');
		command(DO_MANY, 0, 400 * PAGE, 0);
		check_ok(ms_detector_initialize(detector));
		command(DO_WRITE, 333 * PAGE + 1, 1, 'r');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 333 * PAGE + 1, 1);
	}
}

/* A child that writes into its copy is not the target. */
static void test_forks(void)
{
	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		command(DO_WRITE, 0, 8 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		command(DO_FORK, 0, 8 * PAGE, 0);
		detect(true);
		check_u64(told_count, 0);
		command(DO_WRITE, 3 * PAGE, 1, 'b');
		detect(true);
		check_u64(told_count, 1);
	}
}

static void test_ends(void)
{
	struct ms_sink sink = {take, NULL};

	FOR_METHODS(method)
	for (int exec = 0; exec < 2; exec++) {
		int r, left = PATIENCE;

		pid_t pid = set_up(method, 0, false);
		check_ok(ms_detector_initialize(detector));
		order->offset = order->size = 0;
		atomic_store(&order->command, exec ? DO_EXEC : DO_EXIT);
		do {
			r = ms_detector_detect(detector, true, &sink, &round_info);
			nap();
		} while (r == 0 && left--);
		check_that(r == MS_ERR_GONE, "%d: %s", r, ms_error());
		kill(pid, SIGKILL);
	}
}

/* What has no room is not watched, and said to be so. */
static void test_limit(void)
{
	struct ms_detector_info info;

	FOR_METHODS(method)
	{
		set_up(method, 256 * 1024, false);
		command(DO_WRITE, 0, 400 * PAGE, 'a');
		check_ok(ms_detector_initialize(detector));
		ms_detector_info(detector, &info);
		check(info.limited);
		check(info.bytes_kept <= 256 * 1024 + 128 * 1024);
		command(DO_WRITE, 0, 1, 'b');
		command(DO_WRITE, 399 * PAGE, 1, 'b');
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 0, 1);
	}
}

/* A terabyte that is hardly touched; also as it is on a kernel without PAGEMAP_SCAN. */
static void check_sparse(bool old_kernel)
{
	struct ms_detector_options options = {.size = sizeof(options)};
	size_t size = (size_t)1 << 40;
	unsigned char *sparse = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sparse == MAP_FAILED)
		skip("this system gives no terabyte of addresses");
	FOR_METHODS(method)
	{
		if (old_kernel && method == MS_METHOD_DIRTY)
			continue;
		set_up(method, 0, false);
		ms_detector_free(detector);
		detector = NULL;
		options.method = method;
		linux_of(src)->pages.scan &= !old_kernel;
		linux_of(src)->smaps_always |= old_kernel;
		check_ok(ms_detector_new(src, &options, &detector));
		check_ok(ms_detector_initialize(detector));
		command(DO_WRITE, (uint64_t)(sparse - arena) + size / 2 + 77, 1, 's');
		detect(true);
		bool found = false;
		for (size_t i = 0; i < told_count; i++)
			found |= told[i].address == (uintptr_t)sparse + size / 2 + 77;
		check(found);
	}
	munmap(sparse, size);
}

static void test_sparse(void)
{
	check_sparse(false);
}

static void test_sparse_on_old_kernel(void)
{
	check_sparse(true);
}

static void test_statistics(void)
{
	const struct ms_change_stat *list;
	size_t count;

	FOR_METHODS(method)
	{
		set_up(method, 0, true);
		check_ok(ms_detector_initialize(detector));
		for (int i = 1; i <= 6; i++) {
			command(DO_WRITE, 64, 1, (unsigned char)i);
			command(DO_WRITE, PAGE + 20, 1, i % 2 ? 0xff : 0);
			detect(true);
		}
		check_ok(ms_detector_stats(detector, false, 10, &list, &count));
		check_u64(count, 2);
		check_u64(list[0].address, at(64));
		check_u64(list[0].count, 6);
		check_u64(list[0].value, 6);
		check_text(list[0].pattern, "counter");
		check_u64(list[1].address, at(PAGE + 20));
		check_text(list[1].pattern, "flag");
		check_ok(ms_detector_stats(detector, true, 10, &list, &count));
		check_u64(count, 2);
		check_u64(list[0].count, 6);
		check_u64(list[0].first_round, 1);
		check_u64(list[0].last_round, 6);
	}
}

static void test_auto(void)
{
	struct ms_detector_options options = {.size = sizeof(options)};
	struct ms_segment segment = {.base = 0x1000, .size = PAGE, .perm = 3};
	static unsigned char bytes[PAGE];
	struct ms_detector_info info;
	ms_detector *det;
	ms_source *memory;
	ms_host *other;

	segment.data = bytes;
	check_ok(ms_host_open_memory(&segment, 1, &other));
	check_ok(ms_source_open(other, 0, &memory));
	check_ok(ms_detector_new(memory, &options, &det));
	ms_detector_info(det, &info);
	check(info.method == MS_METHOD_COMPARE && info.why && strstr(info.why, "live"));
	check(ms_detector_detect(det, true, NULL, NULL) == MS_ERR_ARGUMENT);
	check_ok(ms_detector_initialize(det));
	bytes[77] = 1;
	check_ok(ms_detector_detect(det, true, &(struct ms_sink){take, NULL}, &round_info));
	check_u64(round_info.changes, 1);
	ms_detector_free(det);
	options.method = MS_METHOD_DIRTY;
	check(ms_detector_new(memory, &options, &det) == MS_ERR_UNSUPPORTED);
	options.method = MS_METHOD_SOFT_DIRTY;
	check(ms_detector_new(memory, &options, &det) == MS_ERR_UNSUPPORTED);
	ms_source_free(memory);
	ms_host_free(other);
}

static const struct test tests[] = {
	{"has dirty tracking", test_has_dirty},
	{"has soft-dirty bits", test_has_softdirty},
	{"writes", test_writes},
	{"detect without update", test_detect_without_update},
	{"the memory map", test_map},
	{"memory given back", test_given_back},
	{"memory given back and read", test_given_back_and_read},
	{"thousands of regions", test_thousands_of_regions},
	{"forks", test_forks},
	{"ends and execs", test_ends},
	{"a limit", test_limit},
	{"sparse", test_sparse},
	{"sparse, on an old kernel", test_sparse_on_old_kernel},
	{"statistics", test_statistics},
	{"auto", test_auto},
};

TEST_MAIN(tests)
