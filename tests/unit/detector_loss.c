/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * That a detector loses nothing: whoever applies what it tells has what the target has, though the
 * target never stops to write, the memory map changes meanwhile, or somebody else clears the bits.
 */
#include "detector_puppet.h"

static unsigned char model[ARENA_PAGES * PAGE];

/* Applies what is told to the model, which must be as it was before. */
static int follow(void *ctx, const struct ms_record *record)
{
	const struct ms_value *values = record->values;
	uint64_t offset = values[4].v.u - at(0);
	int *bad = ctx;

	if (offset + values[6].size > sizeof(model) || values[6].size != values[5].v.u)
		return 1;
	*bad += memcmp(model + offset, values[6].v.data, values[6].size) != 0;
	memcpy(model + offset, values[7].v.data, values[7].size);
	return 0;
}

static const struct ms_source_ops *real_ops;

/* Somebody else meddles all the time, so it is renewed all the time. */
static int dirty_disturbed(struct ms_source *source, struct dirty_request *request)
{
	static unsigned calls;
	int r = real_ops->dirty(source, request);

	if (request->what == DIRTY_MAP)
		request->ret_disturbed = calls++ % 3 == 0;
	return r;
}

/*
 * A target that never stops to write, now and then renewed: whatever was written last to a page,
 * at any moment of a round, is in the model in the end.
 */
static void test_loses_nothing(void)
{
	enum { ROUNDS = 150, LAPS = 4 };

	FOR_METHODS(method)
	for (int lap = 0; lap < LAPS; lap++) {
		struct ms_source_ops ops;
		int bad = 0;
		struct ms_sink sink = {follow, &bad};

		set_up(method, 0, false);
		memset(model, 0, sizeof(model));
		real_ops = src->ops;
		ops = *real_ops;
		if (method == MS_METHOD_SOFT_DIRTY)
			ops.dirty = dirty_disturbed;
		src->ops = &ops;
		check_ok(ms_detector_initialize(detector));
		atomic_store(&order->stop, 0);
		atomic_store(&order->command, DO_LAPS);
		for (int i = 0; i < ROUNDS; i++)
			check_ok(ms_detector_detect(detector, true, &sink, &round_info));
		atomic_store(&order->stop, 1);
		wait_until(atomic_load(&order->command) == DO_NOTHING);
		src->ops = real_ops;
		check_ok(ms_detector_detect(detector, true, &sink, &round_info));
		check_u64(bad, 0);
		for (size_t i = 0; i < LAP_PAGES; i++) {
			unsigned char now[PAGE] = {0};

			ms_source_read(src, at(i * PAGE), now, PAGE, &(size_t){0}, NULL);
			check_that(memcmp(model + i * PAGE, now, PAGE) == 0, "page %zu, method %d",
				i, method);
		}
	}
}

/* Another program clears the bits: what was written before is found all the same. */
static void test_meddler(void)
{
	char path[64];
	FILE *clear;

	if (!can(MS_METHOD_SOFT_DIRTY))
		skip("%s", ms_error());
	pid_t pid = set_up(MS_METHOD_SOFT_DIRTY, 0, false);
	check_ok(ms_detector_initialize(detector));
	command(DO_WRITE, 5, 1, 'a');
	detect(true);
	check_u64(told_count, 1);
	for (int i = 0; i < 3; i++) {
		command(DO_WRITE, 20 * PAGE + 5, 1, (unsigned char)('b' + i));
		snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
		clear = fopen(path, "w");
		check(clear && fputs("4", clear) > 0 && fclose(clear) == 0);
		detect(true);
		check_u64(told_count, 1);
		check_told(0, "write", 20 * PAGE + 5, 1);
		/* The next one is noticed by a page that is told from now on. */
		command(DO_WRITE, 7, 1, (unsigned char)('b' + i));
		detect(true);
		check_u64(told_count, 1);
	}
}

/* What piled up is renewed once it is a lot: then a page that was written once is told no more. */
static void test_pile(void)
{
	if (!can(MS_METHOD_SOFT_DIRTY))
		skip("%s", ms_error());
	set_up(MS_METHOD_SOFT_DIRTY, 0, false);
	command(DO_WRITE, 0, 400 * PAGE, 'a');
	check_ok(ms_detector_initialize(detector));
	detect(true);
	check_u64(round_info.pages_written, 0);
	command(DO_WRITE, 0, 400 * PAGE, 'b');
	detect(true);
	check_u64(round_info.pages_changed, 400);
	detect(true);
	check_u64(round_info.pages_changed, 0);
	check(round_info.pages_written >= 400);
	for (int i = 0; i < 10 && round_info.pages_written; i++)
		detect(true);
	check_u64(round_info.pages_written, 0);
	command(DO_WRITE, 3 * PAGE, 1, 'c');
	detect(true);
	check_u64(told_count, 1);
	check_told(0, "write", 3 * PAGE, 1);
}

/* Whatever is written, by applying what is told the copy becomes what memory is. */
static void test_any_writes(void)
{
	uint64_t seed = 5;

	FOR_METHODS(method)
	{
		set_up(method, 0, false);
		memset(model, 0, sizeof(model));
		check_ok(ms_detector_initialize(detector));
		for (int i = 0; i < 60; i++) {
			uint64_t offset = test_random(&seed) % (499 * PAGE);
			uint64_t size = 1 + test_random(&seed) % 16;
			unsigned char value = (unsigned char)test_random(&seed);
			bool update = test_random(&seed) % 4;

			command(DO_WRITE, offset, size, value);
			detect(update);
			for (size_t k = 0; k < told_count && update; k++) {
				check_text(told[k].change, "write");
				check(told[k].size <= 16);
				check(memcmp(model + (told[k].address - at(0)), told[k].old,
					      told[k].shown) == 0);
				memcpy(model + (told[k].address - at(0)), told[k].now,
					told[k].shown);
			}
			if (!update)
				continue;
			for (uint64_t b = 0; b < size; b++)
				check(model[offset + b] == value);
		}
	}
}

/* As if the map had not changed yet when it was looked at. */
static int dirty_of_old_map(struct ms_source *source, struct dirty_request *request)
{
	static uint64_t map;
	int r = real_ops->dirty(source, request);

	if (request->what == DIRTY_MAP && !map)
		map = request->ret_map;
	request->ret_map = map;
	return r;
}

/* What the kernel tells of an area before it finds other memory in there is lost. */
static void test_map_changes_meanwhile(void)
{
	struct ms_source_ops ops;

	if (!can(MS_METHOD_DIRTY))
		skip("%s", ms_error());
	set_up(MS_METHOD_DIRTY, 0, false);
	command(DO_WRITE, 0, 8 * PAGE, 'a');
	real_ops = src->ops;
	ops = *real_ops;
	ops.dirty = dirty_of_old_map;
	src->ops = &ops;
	check_ok(ms_detector_initialize(detector));
	detect(true);
	check_u64(told_count, 0);
	for (int i = 0; i < 3; i++) {
		command(DO_WRITE, PAGE + 5, 2, (unsigned char)('b' + i));
		command(DO_WRITE, 7 * PAGE + 5, 2, (unsigned char)('b' + i));
		command(DO_MAP, 4 * PAGE, PAGE, 0);
		detect(true);
		check_u64(told_count, i ? 2 : 3);
		check_told(0, "write", PAGE + 5, 2);
		check_told(told_count - 1, "write", 7 * PAGE + 5, 2);
		detect(true);
		check_u64(told_count, 0);
	}
	src->ops = real_ops;
}

static const struct test tests[] = {
	{"the map changes meanwhile", test_map_changes_meanwhile},
	{"any writes", test_any_writes},
	{"nothing is lost", test_loses_nothing},
	{"a meddler", test_meddler},
	{"what piles up", test_pile},
};

TEST_MAIN(tests)
