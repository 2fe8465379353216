/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One address space: finding regions, reading over gaps, what the reader makes of a source that
 * misbehaves, the account of where bytes went, and the plan where a random layout seldom gets.
 */
#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/coverage.h"
#include "core/plan.h"
#include "core/reader.h"
#include "memsift.h"

enum { PAGE = 4096 };

static uint8_t bytes[16 * PAGE];

static void fill_bytes(void)
{
	uint64_t state = 7;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)test_random(&state);
}

struct opened {
	ms_host *host;
	ms_source *src;
};

static struct opened open_memory(const struct ms_segment *segments, size_t count)
{
	struct opened o;

	fill_bytes();
	check_ok(ms_host_open_memory(segments, count, &o.host));
	check_ok(ms_source_open(o.host, 0, &o.src));
	return o;
}

static void close_memory(struct opened *o)
{
	ms_source_free(o->src);
	ms_host_free(o->host);
}

/* ---- Finding regions -------------------------------------------------------------------- */

static void regions_are_found_by_address(void)
{
	struct ms_region regions[] = {
		{.base = 0, .size = 1},
		{.base = 1, .size = 9},
		{.base = 0x1000, .size = 0x1000},
		{.base = UINT64_MAX - 9, .size = 9},
	};
	struct region_list list = {.items = {regions, ARRAY_SIZE(regions), ARRAY_SIZE(regions)}};
	static const struct {
		uint64_t address;
		int holds, from;
	} cases[] = {
		{0, 0, 0},
		{1, 1, 1},
		{9, 1, 1},
		{10, -1, 2},
		{0xfff, -1, 2},
		{0x1000, 2, 2},
		{0x1fff, 2, 2},
		{0x2000, -1, 3},
		{UINT64_MAX - 10, -1, 3},
		{UINT64_MAX - 9, 3, 3},
		{UINT64_MAX - 1, 3, 3},
		{UINT64_MAX, -1, -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct ms_region *holds = region_find(&list, cases[i].address);
		const struct ms_region *from = region_find_from(&list, cases[i].address);

		check_that(holds == (cases[i].holds < 0 ? NULL : &regions[cases[i].holds]),
			"what holds 0x%llx", (unsigned long long)cases[i].address);
		check_that(from == (cases[i].from < 0 ? NULL : &regions[cases[i].from]),
			"what ends above 0x%llx", (unsigned long long)cases[i].address);
	}
	list.items.count = 0;
	check(!region_find(&list, 0) && !region_find_from(&list, 0));
}

/* ---- Reading ---------------------------------------------------------------------------- */

/* Side by side: data, data, guard, guard; then a hole; then swapped, data and a torn end. */
static const struct ms_segment gapped[] = {
	{.base = 0x10000, .size = PAGE, .data = bytes, .perm = 1},
	{.base = 0x11000, .size = PAGE, .data = bytes + PAGE, .perm = 3},
	{.base = 0x12000, .size = 2 * PAGE, .state = MS_STATE_GUARD, .perm = 3},
	{.base = 0x20000, .size = PAGE, .state = MS_STATE_SWAPPED, .perm = 3},
	{.base = 0x21000, .size = PAGE, .data = bytes + 2 * PAGE, .perm = 3},
	{.base = 0x22000, .size = 100, .data = bytes + 3 * PAGE, .perm = 1},
	{.base = 0x23000, .size = PAGE, .state = MS_STATE_ABSENT, .perm = 3},
};

static void reads_end_at_gaps(void)
{
	static const struct {
		uint64_t address;
		size_t size, got, from; /* from: where in bytes they come from */
		struct ms_gap gap;	/* size 0: not looked at */
	} cases[] = {
		{0x10000, 10, 10, 0, {0}},
		{0x10000, 2 * PAGE, 2 * PAGE, 0, {0}},
		{0x10ffe, 4, 4, PAGE - 2, {0}},
		{0x11fff, 5, 1, 2 * PAGE - 1, {0}},
		{0x12000, 5, 0, 0, {0x12000, 5, MS_STATE_GUARD}},
		{0x13fff, 500, 0, 0, {0x13fff, 1, MS_STATE_GUARD}},
		{0x14000, 5, 0, 0, {0x14000, 0xc000, MS_STATE_VANISHED}},
		{0x1ffff, 5, 0, 0, {0x1ffff, 1, MS_STATE_VANISHED}},
		{0, 5, 0, 0, {0, 0x10000, MS_STATE_VANISHED}},
		{0x20000, 2 * PAGE, 0, 0, {0x20000, PAGE, MS_STATE_SWAPPED}},
		{0x21000, 3 * PAGE, PAGE + 100, 2 * PAGE, {0}},
		{0x22063, 9, 1, 3 * PAGE + 99, {0}},
		{0x22064, 9, 0, 0, {0x22064, 0xf9c, MS_STATE_VANISHED}},
		{0x23800, 1, 0, 0, {0x23800, 1, MS_STATE_ABSENT}},
		{0x24000, 1, 0, 0, {0x24000, UINT64_MAX - 0x24000, MS_STATE_VANISHED}},
		{UINT64_MAX - 1, 9, 0, 0, {UINT64_MAX - 1, 1, MS_STATE_VANISHED}},
	};
	struct opened o = open_memory(gapped, ARRAY_SIZE(gapped));
	static uint8_t buf[sizeof(bytes)];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ms_gap gap = {0};
		size_t got = 99;

		memset(buf, 0xee, sizeof(buf));
		check_ok(ms_source_read(
			o.src, cases[i].address, buf, cases[i].size, &got, i % 2 ? &gap : NULL));
		check_ok(ms_source_read(o.src, cases[i].address, buf, cases[i].size, &got, &gap));
		check_that(got == cases[i].got, "0x%llx: %zu bytes, not %zu",
			(unsigned long long)cases[i].address, got, cases[i].got);
		check(memcmp(buf, bytes + cases[i].from, got) == 0);
		check(buf[got] == 0xee);
		if (got)
			continue;
		check_u64(gap.base, cases[i].gap.base);
		check_text(ms_state_name(gap.state), ms_state_name(cases[i].gap.state));
		/* It may say more than was asked for, but nothing that is not so. */
		check(gap.size >= cases[i].gap.size);
		check_ok(ms_source_read(o.src, gap.base + gap.size - 1, buf, 1, &got, NULL));
		check_u64(got, 0);
	}
	close_memory(&o);
}

static void reading_nothing(void)
{
	struct opened o = open_memory(gapped, ARRAY_SIZE(gapped));
	size_t got = 99;

	check_ok(ms_source_read(o.src, 0x10000, NULL, 0, &got, NULL));
	check_u64(got, 0);
	check_ok(ms_source_read(o.src, 5, NULL, 0, &got, NULL));
	check_u64(got, 0);
	close_memory(&o);
}

static void a_memory_of_nothing(void)
{
	struct opened o = open_memory(NULL, 0);
	const struct ms_region *list;
	struct ms_gap gap;
	size_t count, got;
	char byte;

	check_ok(ms_source_regions(o.src, &list, &count));
	check_u64(count, 0);
	check_ok(ms_source_read(o.src, 77, &byte, 1, &got, &gap));
	check(got == 0 && gap.state == MS_STATE_VANISHED && gap.base == 77);
	close_memory(&o);
}

/* ---- Sources that misbehave ------------------------------------------------------------- */

static const struct ms_source_ops *memory_ops;

static int read_odd_sizes(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	return memory_ops->read(
		src, address, buf, (size_t)min_u64(size, 1 + address % 7), ret_size);
}

static int read_gone(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	if (address >= 0x10800)
		return err_set(MS_ERR_GONE, "it ended");
	return memory_ops->read(
		src, address, buf, (size_t)min_u64(size, 0x10800 - address), ret_size);
}

/* The second page of bytes cannot be read although it is said to be data. */
static int read_not_there(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	*ret_size = 0;
	if (address >= 0x11000)
		return 0;
	return memory_ops->read(
		src, address, buf, (size_t)min_u64(size, 0x11000 - address), ret_size);
}

static struct opened open_odd(struct ms_source_ops *ops,
	int (*read)(struct ms_source *, uint64_t, void *, size_t, size_t *))
{
	struct opened o = open_memory(gapped, ARRAY_SIZE(gapped));

	memory_ops = o.src->ops;
	*ops = *o.src->ops;
	ops->read = read;
	ops->view = NULL;
	o.src->ops = ops;
	return o;
}

static void short_reads_are_joined(void)
{
	struct ms_source_ops ops;
	struct opened o = open_odd(&ops, read_odd_sizes);
	static uint8_t buf[2 * PAGE + 10];
	size_t got;

	check_ok(ms_source_read(o.src, 0x10000, buf, sizeof(buf), &got, NULL));
	check_u64(got, 2 * PAGE);
	check(memcmp(buf, bytes, got) == 0);
	close_memory(&o);
}

static void what_came_before_the_end_is_kept(void)
{
	struct ms_source_ops ops;
	struct opened o = open_odd(&ops, read_gone);
	static uint8_t buf[2 * PAGE];
	size_t got = 99;

	check_ok(ms_source_read(o.src, 0x10000, buf, sizeof(buf), &got, NULL));
	check_u64(got, 0x800);
	got = 99;
	check(ms_source_read(o.src, 0x10800, buf, sizeof(buf), &got, NULL) == MS_ERR_GONE);
	check_u64(got, 99);
	close_memory(&o);
}

static void data_that_is_not_there(void)
{
	struct ms_source_ops ops;
	struct opened o = open_odd(&ops, read_not_there);
	static uint8_t buf[2 * PAGE];
	struct ms_gap gap;
	size_t got;

	check_ok(ms_source_read(o.src, 0x10000, buf, sizeof(buf), &got, NULL));
	check_u64(got, PAGE);
	check_ok(ms_source_read(o.src, 0x11010, buf, 50, &got, &gap));
	check_u64(got, 0);
	check_text(ms_state_name(gap.state), "no-access");
	ops.resident = NULL;
	check_ok(ms_source_read(o.src, 0x11010, buf, 50, &got, &gap));
	check_text(ms_state_name(gap.state), "io-error");
	check_u64(gap.base, 0x11010);
	close_memory(&o);
}

static int regions_all_device(struct ms_source *src, struct region_list *out)
{
	int r = memory_ops->regions(src, out);

	for (size_t i = 0; i < out->items.count; i++)
		out->items.data[i].flags |= MS_REGION_DEVICE;
	return r;
}

/* What a filter leaves out is a gap; what it lets through besides is read. */
static void reads_are_filtered(void)
{
	static const struct {
		const char *key, *value;
		uint64_t address;
		size_t size, got;
		struct ms_gap gap;
	} cases[] = {
		{"perm", "r??", 0x10000, 2 * PAGE, 2 * PAGE, {0}},
		{"perm", "r--", 0x10000, 2 * PAGE, PAGE, {0}},
		{"perm", "--x", 0x10000, 10, 0, {0x10000, 10, MS_STATE_LEFT_OUT}},
		{"perm", "--x", 0x14000, 10, 0, {0x14000, 0xc000, MS_STATE_VANISHED}},
		{"address", "10100-10200", 0x10000, PAGE, 0, {0x10000, 0x100, MS_STATE_LEFT_OUT}},
		{"address", "10100-10200", 0x10180, PAGE, 0x80, {0}},
		{"address", "10100-10200", 0x10200, 7, 0, {0x10200, 7, MS_STATE_LEFT_OUT}},
		{"ignore", "10100-10200", 0x10000, PAGE, 0x100, {0}},
		{"ignore", "12000-13000", 0x12000, 5, 0, {0x12000, 5, MS_STATE_LEFT_OUT}},
		{"include-device", NULL, 0x20000, PAGE, 0, {0x20000, PAGE, MS_STATE_SWAPPED}},
	};
	struct opened o = open_memory(gapped, ARRAY_SIZE(gapped));
	static uint8_t buf[sizeof(bytes)];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ms_gap gap = {0};
		ms_filter *filter;
		size_t got = 99;

		check_ok(ms_filter_new(&filter));
		check_ok(ms_filter_set(filter, cases[i].key, cases[i].value));
		check_ok(ms_source_read_filtered(
			o.src, filter, cases[i].address, buf, cases[i].size, &got, &gap));
		check_that(
			got == cases[i].got, "case %zu: %zu bytes, not %zu", i, got, cases[i].got);
		if (!got) {
			check_u64(gap.base, cases[i].gap.base);
			check_u64(gap.size, cases[i].gap.size);
			check_text(ms_state_name(gap.state), ms_state_name(cases[i].gap.state));
		}
		ms_filter_free(filter);
	}
	close_memory(&o);
}

static int read_never(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	(void)src, (void)address, (void)buf, (void)size, (void)ret_size;
	abort();
}

/* Reading device memory may hang or have side effects: not even a page is tried. */
static void device_memory_is_not_read(void)
{
	struct ms_source_ops ops;
	struct opened o = open_odd(&ops, read_never);
	struct ms_gap gap;
	uint8_t byte;
	size_t got;

	ops.regions = regions_all_device;
	check_ok(ms_source_read(o.src, 0x10000, &byte, 1, &got, &gap));
	check(got == 0 && gap.state == MS_STATE_DEVICE);
	close_memory(&o);
}

static int resident_swapped(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	int r = memory_ops->resident(src, region, base, size, runs, room, ret_count);

	for (size_t i = 0; i < *ret_count; i++)
		runs[i].state = MS_STATE_SWAPPED;
	return r;
}

/* Unless it is asked for; nor are pages on swap. */
static void device_memory_and_swap_are_read_if_wanted(void)
{
	static const char *const keys[] = {"include-device", "include-swapped"};

	for (size_t i = 0; i < 4; i++) {
		struct ms_source_ops ops;
		struct opened o = open_odd(&ops, NULL);
		struct ms_gap gap = {0};
		ms_filter *filter;
		uint8_t byte;
		size_t got;

		ops.read = memory_ops->read;
		if (i / 2)
			ops.resident = resident_swapped;
		else
			ops.regions = regions_all_device;
		check_ok(ms_filter_new(&filter));
		check_ok(ms_filter_set(filter, keys[i % 2], NULL));
		check_ok(ms_source_read_filtered(o.src, filter, 0x10000, &byte, 1, &got, &gap));
		check_u64(got, i / 2 == i % 2);
		if (!got)
			check_u64(gap.state, i / 2 ? MS_STATE_SWAPPED : MS_STATE_DEVICE);
		ms_filter_free(filter);
		close_memory(&o);
	}
}

struct piece {
	uint64_t base;
	size_t size;
	enum ms_state state;
};

struct pieces {
	struct piece list[16];
	size_t count;
};

static int add_piece(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct pieces *pieces = ctx;

	check(pieces->count < ARRAY_SIZE(pieces->list));
	pieces->list[pieces->count++] = (struct piece){base, size, state};
	return 0;
}

static void the_reader_tells_every_piece(void)
{
	static const struct piece expected[] = {
		{0x10800, 2 * PAGE - 0x800, MS_STATE_DATA},
		{0x12000, 2 * PAGE, MS_STATE_GUARD},
		{0x14000, 0xc000, MS_STATE_VANISHED},
		{0x20000, PAGE, MS_STATE_SWAPPED},
		{0x21000, PAGE + 100, MS_STATE_DATA},
		{0x22064, PAGE - 100, MS_STATE_VANISHED},
		{0x23000, PAGE - 1, MS_STATE_ABSENT},
	};
	struct opened o = open_memory(gapped, ARRAY_SIZE(gapped));
	AUTO_FREE uint8_t *buf = malloc(0x14000);
	struct pieces pieces = {0};
	struct reader reader;

	check(buf);
	reader_init(&reader, o.src);
	check_ok(reader_read(&reader, 0x10800, buf, 0x137ff, add_piece, &pieces));
	reader_done(&reader);
	/* Memory of small pieces has small pages, so that a gap may come in several. */
	for (size_t i = 0, k = 0; k < ARRAY_SIZE(expected); k++) {
		uint64_t at = expected[k].base;

		for (; i < pieces.count && at < expected[k].base + expected[k].size; i++) {
			check_u64(pieces.list[i].base, at);
			check_text(ms_state_name(pieces.list[i].state),
				ms_state_name(expected[k].state));
			at += pieces.list[i].size;
		}
		check_u64(at, expected[k].base + expected[k].size);
	}
	check(memcmp(buf, bytes + 0x800, 2 * PAGE - 0x800) == 0);
	check(memcmp(buf + 0x21000 - 0x10800, bytes + 2 * PAGE, PAGE + 100) == 0);
	close_memory(&o);
}

/* ---- Coverage --------------------------------------------------------------------------- */

static void coverage_joins_and_sorts(void)
{
	struct coverage c = {0};

	coverage_add(&c, 0x5000, 0x1000, MS_STATE_GUARD);
	coverage_add(&c, 0x6000, 0x1000, MS_STATE_GUARD);
	coverage_add(&c, 0x1000, 0x1000, MS_STATE_IO_ERROR);
	coverage_add(&c, 0x3000, 0x1000, MS_STATE_DATA);
	coverage_add(&c, 0x2000, 0x1000, MS_STATE_IO_ERROR);
	coverage_add(&c, 0x4000, 0x1000, MS_STATE_SWAPPED);
	coverage_add(&c, 0x9000, 0, MS_STATE_LIMIT);
	coverage_add(&c, 0x8000, 0x1000, MS_STATE_ABSENT);
	coverage_finish(&c);
	check_u64(c.sums.read, 0x1000);
	check_u64(c.sums.absent, 0x1000);
	check_u64(c.sums.unreadable, 0x4000);
	check_u64(c.sums.skipped, 0x1000);
	check(c.sums.partial);
	check_u64(c.sums.gap_count, 3);
	check(c.sums.gaps[0].base == 0x1000 && c.sums.gaps[0].size == 0x2000);
	check(c.sums.gaps[1].base == 0x4000 && c.sums.gaps[1].state == MS_STATE_SWAPPED);
	check(c.sums.gaps[2].base == 0x5000 && c.sums.gaps[2].size == 0x2000);
	coverage_done(&c);
}

/* What counts as missing something wanted (docs/records.md): not guard pages, nor a choice. */
static void some_states_are_a_loss(void)
{
	static const bool losses[MS_STATE_COUNT] = {
		[MS_STATE_NO_ACCESS] = true,
		[MS_STATE_VANISHED] = true,
		[MS_STATE_IO_ERROR] = true,
		[MS_STATE_LIMIT] = true,
		[MS_STATE_DEADLINE] = true,
	};

	for (int state = 0; state < MS_STATE_COUNT; state++) {
		struct coverage c = {0};

		coverage_add(&c, 0, 1, (enum ms_state)state);
		check_that(c.sums.partial == losses[state] &&
				   state_is_loss((enum ms_state)state) == losses[state],
			"%s", ms_state_name((enum ms_state)state));
		check_u64(c.sums.read + c.sums.absent + c.sums.unreadable + c.sums.skipped, 1);
		coverage_done(&c);
	}
}

static void coverage_keeps_a_limited_number_of_gaps(void)
{
	struct coverage c = {0};
	uint64_t gaps = MS_GAPS_MAX + 10;

	for (uint64_t i = 0; i < gaps; i++)
		coverage_add(&c, i * 16, 8, MS_STATE_IO_ERROR);
	coverage_finish(&c);
	check_u64(c.sums.unreadable, gaps * 8);
	check_u64(c.sums.gap_count, MS_GAPS_MAX);
	check_u64(c.sums.gaps_dropped, 10);
	coverage_done(&c);
}

/* ---- The plan --------------------------------------------------------------------------- */

static int resident_striped(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	(void)src, (void)region;
	for (*ret_count = 0; *ret_count < room && size; ++*ret_count) {
		static const enum ms_state states[] = {
			MS_STATE_DATA, MS_STATE_SWAPPED, MS_STATE_ABSENT};

		runs[*ret_count] = (struct run){base, PAGE, states[base / PAGE % 3]};
		base += PAGE;
		size -= PAGE;
	}
	return 0;
}

/* What a deadline leaves undone was wanted or not just as before: the rest of a list of runs. */
static void abandoning_tells_wanted_from_unwanted(void)
{
	static const struct ms_segment segment = {
		.base = 0x30000, .size = 12 * PAGE, .data = bytes, .perm = 1};
	struct opened o = open_memory(&segment, 1);
	struct ms_source_ops ops = *o.src->ops;
	struct plan *plan = calloc(1, sizeof(*plan));

	check(plan);
	ops.resident = resident_striped;
	o.src->ops = &ops;
	check_ok(source_refresh(o.src));
	for (int swapped = 0; swapped < 2; swapped++) {
		struct ms_filter filter = filter_default;
		struct coverage c = {0};
		struct chunk chunk;

		filter.swapped = swapped;
		plan_init(plan, o.src, &filter, &c, UINT64_MAX);
		check(plan_next(plan, PAGE, 0, 0, &chunk) == 1);
		check(chunk.base == 0x30000 && chunk.fresh == PAGE);
		plan_abandon(plan, MS_STATE_DEADLINE);
		coverage_finish(&c);
		check_u64(c.sums.total, 12 * PAGE);
		check_u64(c.sums.absent, 4 * PAGE);
		check_u64(c.sums.skipped, 7 * PAGE);
		for (size_t i = 0; i < c.sums.gap_count; i++)
			check(c.sums.gaps[i].state == MS_STATE_DEADLINE ||
				(!swapped && c.sums.gaps[i].state == MS_STATE_SWAPPED));
		coverage_done(&c);
	}
	plan_done(plan);
	close_memory(&o);
}

/* Right under the last address, sums of addresses wrap round. */
static void a_plan_at_the_end_of_all_addresses(void)
{
	static const struct ms_segment segments[] = {
		{.base = UINT64_MAX - 64, .size = 32, .data = bytes, .perm = 1},
		{.base = UINT64_MAX - 32, .size = 32, .data = bytes + 32, .perm = 3},
	};
	struct opened o = open_memory(segments, 2);
	struct plan *plan = calloc(1, sizeof(*plan));
	struct coverage c = {0};
	struct chunk chunk;

	check(plan);
	check_ok(source_refresh(o.src));
	plan_init(plan, o.src, &filter_default, &c, UINT64_MAX);
	check(plan_next(plan, 16, 8, 64, &chunk) == 1);
	check(chunk.base == UINT64_MAX - 64 && chunk.fresh == 16 && chunk.after == 48);
	check(plan_next(plan, 1 << 20, 8, 64, &chunk) == 1);
	check(chunk.fresh == 48 && chunk.before == 8 && chunk.after == 0);
	check(plan_next(plan, 1 << 20, 8, 64, &chunk) == 0);
	plan_done(plan);
	coverage_done(&c);
	close_memory(&o);
}

/* ---- Making memory hosts ---------------------------------------------------------------- */

static void segments_that_make_no_sense(void)
{
	static const struct ms_segment bad[][2] = {
		{{.base = 5, .size = 0, .state = MS_STATE_GUARD}},
		{{.base = UINT64_MAX, .size = 1, .state = MS_STATE_GUARD}},
		{{.base = 5, .size = 1, .data = NULL}},
		{{.base = 5, .size = 1, .state = MS_STATE_COUNT}},
		{{.base = 5, .size = 1, .state = -1}},
		{{.base = 5, .size = 1, .data = bytes, .perm = 16}},
		{{.base = 5, .size = 2, .data = bytes}, {.base = 6, .size = 2, .data = bytes}},
		{{.base = 9, .size = 2, .data = bytes}, {.base = 5, .size = 2, .data = bytes}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ms_host *host = NULL;
		int r = ms_host_open_memory(bad[i], bad[i][1].size ? 2 : 1, &host);

		check_that(r == MS_ERR_ARGUMENT && !host, "number %zu: %d", i, r);
		check(strstr(ms_error(), "segment"));
	}
}

static const struct test tests[] = {
	{"regions are found by address", regions_are_found_by_address},
	{"reads end at gaps", reads_end_at_gaps},
	{"reading nothing", reading_nothing},
	{"a memory of nothing", a_memory_of_nothing},
	{"short reads are joined", short_reads_are_joined},
	{"what came before the end is kept", what_came_before_the_end_is_kept},
	{"data that is not there", data_that_is_not_there},
	{"reads are filtered", reads_are_filtered},
	{"device memory is not read", device_memory_is_not_read},
	{"device memory and swap are read if wanted", device_memory_and_swap_are_read_if_wanted},
	{"the reader tells every piece", the_reader_tells_every_piece},
	{"coverage joins and sorts", coverage_joins_and_sorts},
	{"some states are a loss", some_states_are_a_loss},
	{"coverage keeps a limited number of gaps", coverage_keeps_a_limited_number_of_gaps},
	{"abandoning tells wanted from unwanted", abandoning_tells_wanted_from_unwanted},
	{"a plan at the end of all addresses", a_plan_at_the_end_of_all_addresses},
	{"segments that make no sense", segments_that_make_no_sense},
};

TEST_MAIN(tests)
