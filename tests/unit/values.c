/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Value scans over buffers that the tests change between scans: every type and condition, the
 * borders of pages, chunks and regions, and what can go wrong.
 */
#include "tests/values.h"

#include <math.h>

/* ---- Types and conditions --------------------------------------------------------------- */

static void test_exact_of_every_type(void)
{
	static const struct {
		const char *type;
		size_t size;
		uint8_t bytes[8]; /* little-endian */
		const char *condition, *text;
	} cases[] = {
		{"i8", 1, {0x9c}, "= -100", "-100"},
		{"u8", 1, {200}, "= 200", "200"},
		{"i16", 2, {0x18, 0xfc}, "= -1000", "-1000"},
		{"u16", 2, {0x60, 0xea}, "= 60000", "60000"},
		{"i32", 4, {0xff, 0xff, 0xff, 0xff}, "= -1", "-1"},
		{"i32", 4, {0xfe, 0xff, 0xff, 0xff}, "= 0xfffffffe", "-2"},
		{"u32", 4, {0xff, 0xff, 0xff, 0xff}, "= 4294967295", "4294967295"},
		{"i64", 8, {0, 0, 0, 0, 0, 0, 0, 0x80}, "= -9223372036854775808",
			"-9223372036854775808"},
		{"u64", 8, {255, 255, 255, 255, 255, 255, 255, 255}, "=18446744073709551615",
			"18446744073709551615"},
		{"f32", 4, {0xcd, 0xcc, 0xcc, 0x3d}, "= 0.1", "0.1"},
		{"f64", 8, {0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f}, "= 0.1", "0.1"},
		{"f64", 8, {0, 0, 0, 0, 0, 0, 0xf0, 0xff}, "= -inf", "-inf"},
		{"bytes", 3, {0xde, 0xad, 0xbe}, "= DE AD be", "deadbe"},
		{"bytes:3", 3, {0xde, 0xad, 0xbe}, "=deadbe", "deadbe"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ms_values *values = values_new(cases[i].type, 0);

		open_memory(SMALL);
		put(cases[i].size * 11, cases[i].bytes, cases[i].size);
		put(SMALL - cases[i].size, cases[i].bytes, cases[i].size);
		if (SMALL % cases[i].size)
			memset(memory + SMALL - 2 * cases[i].size, 0, cases[i].size);
		check_u64(first(values, cases[i].condition), 2);
		check_u64(list(values), 2);
		check_u64(matches[0].address, BASE + cases[i].size * 11);
		check_u64(matches[1].address, BASE + SMALL - cases[i].size);
		check_text(matches[0].now, cases[i].text);
		check_text(matches[0].before, cases[i].text);
		ms_values_free(values);
	}
}

/* i32 values -2 to 5, then other ones; the mask tells which are left. */
static void test_conditions_of_integers(void)
{
	static const struct {
		const char *first, *next;
		unsigned mask;
	} cases[] = {
		{"= 3", NULL, 0x20},
		{"!= 3", NULL, 0xdf},
		{"> 3", NULL, 0xc0},
		{">= 3", NULL, 0xe0},
		{"< -1", NULL, 0x01},
		{"<= -1", NULL, 0x03},
		{"-1..2", NULL, 0x1e},
		{" 0x0 .. 2 ", NULL, 0x1c},
		{"unknown", NULL, 0xff},
		{"unknown", "changed", 0xf0},
		{"unknown", "unchanged", 0x0f},
		{"unknown", "increased", 0x30},
		{"unknown", "decreased", 0xc0},
		{"unknown", "+ 10", 0x10},
		{"unknown", "+ -10", 0x40},
		{"unknown", "- 10", 0x40},
		{"unknown", "-10", 0x40},
		{"unknown", "= 1", 0x08},
		{"unknown", "!= 1", 0xf7},
		{"unknown", "< 0", 0xc3},
		{">= 0", "decreased", 0xc0},
		{"= 3", "increased", 0x20},
		{"> 0", "-100..-1", 0xc0},
	};
	static const int32_t before[] = {-2, -1, 0, 1, 2, 3, 4, 5};
	static const int32_t after[] = {-2, -1, 0, 1, 12, 100, -6, -50};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ms_values *values = values_new("i32", 0);
		unsigned mask = 0;

		open_memory(SMALL);
		segments[0].size = sizeof(before);
		open_segments(1);
		put(0, before, sizeof(before));
		first(values, cases[i].first);
		put(0, after, sizeof(after));
		if (cases[i].next)
			next(values, cases[i].next);
		list(values);
		for (size_t k = 0; k < match_count; k++)
			mask |= 1u << (matches[k].address - BASE) / 4;
		check_that(mask == cases[i].mask, "%s, %s: 0x%x, not 0x%x", cases[i].first,
			cases[i].next ? cases[i].next : "-", mask, cases[i].mask);
		ms_values_free(values);
	}
}

static void test_steps_wrap_round(void)
{
	ms_values *values = values_new("u8", 0);

	open_memory(SMALL);
	memory[7] = 250;
	first(values, "unknown");
	memory[7] = 4;
	check_u64(next(values, "+ 10"), 1);
	memory[7] = 250;
	check_u64(next(values, "- 10"), 1);
	ms_values_free(values);

	values = values_new("i32", 0);
	put_i32(8, INT32_MAX);
	first(values, "= 2147483647");
	put_i32(8, INT32_MIN + 1);
	check_u64(next(values, "+ 2"), 1);
	check_u64(list(values), 1);
	check_text(matches[0].before, "-2147483647");
	ms_values_free(values);
}

static void test_floats(void)
{
	ms_values *values = values_new("f64", 0);

	open_memory(64);
	put_f64(0, NAN);
	put_f64(8, -0.0);
	put_f64(16, 5e-324);
	put_f64(24, INFINITY);
	put_f64(32, 1.5);
	put_f64(40, -1.5);
	put_f64(48, 2);
	put_f64(56, -INFINITY);
	check_u64(first(values, "= 0"), 1);
	check_u64(first(values, "!= 0"), 7);
	check_u64(first(values, "> 0"), 4);
	check_u64(first(values, ">= 0"), 5);
	check_u64(first(values, "< 0"), 2);
	check_u64(first(values, "-1.5..1.5"), 4);
	check_u64(first(values, "= inf"), 1);
	check_u64(first(values, "unknown"), 8);
	/* NaN has changed, even where nothing did; the infinities have not. */
	check_u64(next(values, "unchanged"), 7);
	put_f64(8, 0.0);
	check_u64(next(values, "unchanged"), 7);
	put_f64(32, 1.75);
	check_u64(next(values, "+ 0.25"), 3);
	check_u64(list(values), 3); /* and infinity stays infinity whatever is added */
	check_text(matches[1].before, "1.75");
	ms_values_free(values);

	values = values_new("f64", 0);
	put_f64(0, NAN);
	first(values, "unknown");
	check_u64(next(values, "changed"), 1);
	ms_values_free(values);
}

static void test_tolerance(void)
{
	struct ms_values_options options = {.type = "f32", .tolerance = 0.5};
	ms_values *values;

	check_ok(ms_values_new(&options, &values));
	open_memory(32);
	for (size_t i = 0; i < 8; i++)
		put_f32(4 * i, (float)i * 0.25f + 1);
	check_u64(first(values, "= 1.5"), 5); /* 1 to 2 */
	check_u64(first(values, "!= 1.5"), 3);
	check_u64(first(values, "unknown"), 8);
	put_f32(0, 1.5f);
	put_f32(4, 1.75f + 0.125f);
	put_f32(8, 0.875f);
	check_u64(next(values, "unchanged"), 6);
	check_ok(ms_values_undo(values));
	check_u64(next(values, "increased"), 1);
	check_ok(ms_values_undo(values));
	check_u64(next(values, "decreased"), 1);
	check_ok(ms_values_undo(values));
	check_u64(next(values, "- 1"), 1);
	check_u64(list(values), 1);
	check_u64(matches[0].address, BASE + 8);
	ms_values_free(values);

	options.tolerance = NAN;
	check(ms_values_new(&options, &values) == MS_ERR_ARGUMENT);
	options.tolerance = -1;
	check(ms_values_new(&options, &values) == MS_ERR_ARGUMENT);
	options = (struct ms_values_options){.type = "i32", .tolerance = 1};
	check(ms_values_new(&options, &values) == MS_ERR_ARGUMENT);
}

static void test_bytes(void)
{
	ms_values *values = values_new("bytes", 0);

	open_memory(SMALL);
	put(100, "abcabcabd", 9);
	check_u64(first(values, "= 61 62 63"), 2);
	check_u64(next(values, "unchanged"), 2);
	memory[101] = 'X';
	check_u64(next(values, "changed"), 1);
	check_u64(next(values, "= 615863"), 1);
	check(ms_values_next(values, source, "= 6158", NULL, &coverage) == MS_ERR_ARGUMENT);
	check(ms_values_next(values, source, "increased", NULL, &coverage) == MS_ERR_ARGUMENT);
	check(ms_values_next(values, source, "> 61 58 63", NULL, &coverage) == MS_ERR_ARGUMENT);
	/* Another first scan may have another size. */
	check_u64(first(values, "= 61 62"), 2);
	ms_values_free(values);

	values = values_new("bytes", 0);
	check(ms_values_first(values, source, NULL, NULL, NULL, &coverage) == MS_ERR_ARGUMENT);
	ms_values_free(values);
	values = values_new("bytes:16", 16);
	check_u64(first(values, "unknown"), SMALL / 16);
	memory[20] = 1;
	check_u64(next(values, "changed"), 1);
	ms_values_free(values);
}

static void test_wrong_conditions(void)
{
	static const struct {
		const char *type, *condition;
		unsigned at; /* the character, from 1 */
	} cases[] = {
		{"i32", "", 1},
		{"i32", "bigger", 1},
		{"i32", "=", 2},
		{"i32", "= x", 3},
		{"i32", "= 5 6", 5},
		{"i32", "= 2147483648", 3},
		{"i32", "= -2147483649", 3},
		{"u32", "= -1", 3},
		{"i8", "= 0x100", 3},
		{"u64", "= 18446744073709551616", 3},
		{"i8", "> 127", 2},
		{"u16", "< 0", 2},
		{"i32", "5..", 4},
		{"i32", "5", 2},
		{"i32", "9..5", 1},
		{"i32", "changed 5", 9},
		{"f32", "= 1e39", 3},
		{"f64", "= 1e400", 3},
		{"f64", "= -1e400", 3},
		{"f64", "= nan", 3},
		{"f64", "= 1.5x", 6},
		{"f64", "> inf", 2},
		{"bytes", "= 5", 4},
		{"bytes", "= 5g", 4},
		{"bytes", "1..2", 1},
		{"bytes", "+ 12", 1},
	};

	open_memory(SMALL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ms_values *values = values_new(cases[i].type, 0);
		char at[32];

		check_that(ms_values_first(values, source, cases[i].condition, NULL, NULL,
				   &coverage) == MS_ERR_ARGUMENT,
			"%s", cases[i].condition);
		snprintf(at, sizeof(at), "at character %u\n", cases[i].at);
		check_that(strstr(ms_error(), at), "%s \"%s\": %s", cases[i].type,
			cases[i].condition, ms_error());
		ms_values_free(values);
	}
}

static void test_wrong_options(void)
{
	static const struct ms_values_options wrong[] = {{.type = "i128"}, {.type = ""},
		{.type = "i32:4"}, {.type = "bytes:0"}, {.type = "bytes:257"}, {.type = "bytes:x"},
		{.type = "i32", .align = 3}, {.type = "i32", .align = 8192}};
	ms_values *values;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		check_that(
			ms_values_new(&wrong[i], &values) == MS_ERR_ARGUMENT, "%s", wrong[i].type);
}

static void test_order_of_calls(void)
{
	ms_values *values = values_new("i32", 0);
	struct ms_sink sink = {match_take, NULL};
	uint64_t count;

	open_memory(SMALL);
	check(ms_values_next(values, source, "changed", NULL, &coverage) == MS_ERR_ARGUMENT);
	check(ms_values_list(values, source, NULL, &sink, &count) == MS_ERR_ARGUMENT);
	check(ms_values_undo(values) == MS_ERR_ARGUMENT);
	check(ms_values_save(values, "/nowhere") == MS_ERR_ARGUMENT);
	check(ms_values_first(values, source, "changed", NULL, NULL, &coverage) == MS_ERR_ARGUMENT);
	first(values, "= 0");
	check(ms_values_undo(values) == MS_ERR_ARGUMENT);
	check(ms_values_next(values, source, "unknown", NULL, &coverage) == MS_ERR_ARGUMENT);
	ms_values_free(values);
}

/* ---- Where values lie ------------------------------------------------------------------- */

static void test_alignment(void)
{
	ms_values *values = values_new("i32", 0);

	open_memory(3 * SMALL);
	put_i32(8, 42);
	put_i32(101, 42);
	put_i32(SMALL - 2, 42);
	put_i32(3 * SMALL - 4, 42);
	check_u64(first(values, "= 42"), 2);
	ms_values_free(values);
	values = values_new("i32", 1);
	check_u64(first(values, "= 42"), 4);
	check_u64(next(values, "unchanged"), 4);
	put_i32(SMALL - 2, 43);
	check_u64(next(values, "increased"), 1);
	check_u64(list(values), 1);
	check_u64(matches[0].address, BASE + SMALL - 2);
	ms_values_free(values);
	values = values_new("i32", 2);
	check_u64(first(values, "= 42"), 2);
	check_u64(first(values, "= 43"), 1);
	check_u64(first(values, "unknown"), (3 * SMALL - 4) / 2 + 1);
	ms_values_free(values);
}

/* A value over the border of adjacent regions counts; one over a gap does not. */
static void test_borders(void)
{
	ms_values *values = values_new("i32", 1);

	open_memory(SMALL);
	segments[0].size = SMALL;
	segments[1] = (struct ms_segment){
		BASE + SMALL, SMALL, memory + SMALL, MS_PERM_READ, MS_STATE_DATA};
	segments[2] =
		(struct ms_segment){BASE + 2 * SMALL, SMALL, NULL, MS_PERM_READ, MS_STATE_GUARD};
	segments[3] = (struct ms_segment){
		BASE + 3 * SMALL, SMALL, memory + 2 * SMALL, MS_PERM_READ, MS_STATE_DATA};
	open_segments(4);
	put_i32(SMALL - 1, 77);
	put_i32(2 * SMALL - 1, 77);
	check_u64(first(values, "= 77"), 1);
	check_u64(coverage.unreadable, SMALL);
	check(!coverage.partial);
	check_u64(next(values, "= 77"), 1);
	check_u64(first(values, "unknown"), 2 * SMALL - 3 + SMALL - 3);
	check_u64(next(values, "unchanged"), 2 * SMALL - 3 + SMALL - 3);
	ms_values_free(values);
}

static void test_odd_regions(void)
{
	ms_values *values = values_new("i32", 0);

	open_memory(SMALL);
	segments[0] = (struct ms_segment){BASE + 3, 4096 + 4, memory, MS_PERM_READ, MS_STATE_DATA};
	segments[1] =
		(struct ms_segment){BASE + 3 + 4096 + 9, 3, memory, MS_PERM_READ, MS_STATE_DATA};
	open_segments(2);
	check_u64(first(values, "unknown"), 1024);
	memory[1] = 1;	  /* BASE + 4 */
	memory[4093] = 1; /* BASE + 4096, which lies across a page */
	check_u64(next(values, "changed"), 2);
	check_u64(list(values), 2);
	check_u64(matches[1].address, BASE + 4096);
	ms_values_free(values);
}

/* Larger than a chunk of the scan loop, with values over the borders of chunks. */
static void test_chunks(void)
{
	enum { BIG = 3 * 1024 * 1024, CHUNK = 512 * 1024 };
	uint8_t *data = calloc(1, BIG);
	ms_values *values = values_new("u64", 1);
	uint64_t value = 0x1122334455667788;

	open_memory(SMALL);
	segments[0] = (struct ms_segment){BASE, BIG, data, MS_PERM_READ, MS_STATE_DATA};
	open_segments(1);
	for (size_t at = CHUNK - 3; at < BIG - 8; at += CHUNK)
		memcpy(data + at, &value, 8);
	check_u64(first(values, "= 0x1122334455667788"), 5);
	value++;
	memcpy(data + CHUNK - 3, &value, 8);
	check_u64(next(values, "+ 1"), 1);
	check_u64(list(values), 1);
	check_u64(matches[0].address, BASE + CHUNK - 3);
	check_u64(first(values, "unknown"), BIG - 7);
	data[CHUNK + 1]++;
	check_u64(next(values, "changed"), 8);
	check_ok(ms_values_undo(values));
	check_u64(count_of(values), BIG - 7);
	check_u64(next(values, "unchanged"), BIG - 7 - 8);
	ms_values_free(values);
	ms_source_free(source);
	source = NULL;
	free(data);
}

/* Chunks end inside pages then, so that the matches of a page are looked at in two parts. */
static void test_chunks_off_pages(void)
{
	enum { BIG = 5 * 512 * 1024 };
	static const size_t places[] = {0, 1, 524284, 524286, 524287, 524288, 1048575, BIG - 3};
	uint8_t *data = malloc(BIG);
	uint64_t state = 9;

	for (size_t i = 0; i < BIG; i++)
		data[i] = (uint8_t)(test_random(&state) % 3);
	open_memory(SMALL);
	segments[0] = (struct ms_segment){BASE + 1003, BIG, data, MS_PERM_READ, MS_STATE_DATA};
	open_segments(1);
	for (int rare = 0; rare < 2; rare++) {
		ms_values *values = values_new("bytes:3", 1);
		size_t found = 0;

		for (size_t i = 0; i + 3 <= BIG; i++)
			found += !rare || memcmp(data + i, "\0\1\2", 3) == 0;
		check_u64(first(values, rare ? "= 000102" : "unknown"), found);
		check_u64(next(values, "unchanged"), found);
		check_u64(next(values, "unchanged"), found);
		for (size_t i = 0; !rare && i < sizeof(places) / sizeof(*places); i++)
			memset(data + places[i], 9, 3);
		if (!rare)
			check_u64(next(values, "= 090909"), 9);
		ms_values_free(values);
	}
	ms_source_free(source);
	source = NULL;
	free(data);
}

static void test_filter(void)
{
	ms_values *values = values_new("i32", 1);
	ms_filter *filter;

	open_memory(3 * SMALL);
	put_i32(1001, 5);
	put_i32(5000, 5);
	check_ok(ms_filter_new(&filter));
	check_ok(ms_filter_set(filter, "address", "0x1003e8-0x1003f0"));
	check_ok(ms_values_first(values, source, "= 5", filter, NULL, &coverage));
	check_u64(count_of(values), 1);
	check_u64(coverage.read, 8);
	check_u64(next(values, "= 5"), 1);
	check_u64(coverage.read, 4);
	check_u64(coverage.filtered, 3 * SMALL - 4);
	ms_filter_free(filter);
	ms_values_free(values);
}

/* ---- What can go wrong ------------------------------------------------------------------ */

static void lose_page(void)
{
	segments[1] =
		(struct ms_segment){BASE + SMALL, SMALL, NULL, MS_PERM_READ, MS_STATE_NO_ACCESS};
	segments[2] = (struct ms_segment){
		BASE + 2 * SMALL, SMALL, memory + 2 * SMALL, MS_PERM_READ, MS_STATE_DATA};
	segments[0].size = SMALL;
	open_segments(3);
}

static void test_lost_pages(void)
{
	ms_values *values = values_new("i32", 0);
	struct ms_values_info info;

	open_memory(3 * SMALL);
	put_i32(0, 9);
	put_i32(SMALL + 8, 9);
	put_i32(SMALL + 12, 9);
	put_i32(2 * SMALL, 9);
	check_u64(first(values, "= 9"), 4);
	lose_page();
	check_u64(next(values, "unchanged"), 2);
	ms_values_info(values, &info);
	check_u64(info.lost, 2);
	check(coverage.partial);
	check_ok(ms_values_undo(values));
	ms_values_info(values, &info);
	check_u64(info.lost, 0);
	check_u64(list(values), 4);
	check_text(matches[1].now, "");
	check_text(matches[1].before, "9");
	check_text(matches[3].now, "9");
	/* Gone altogether: that was not asked for, so nothing of it is missing. */
	segments[1] = segments[2];
	open_segments(2);
	check_u64(next(values, "unchanged"), 2);
	check(!coverage.partial);
	ms_values_free(values);
}

static bool always(void *ctx)
{
	(void)ctx;
	return true;
}

static void test_cut_short(void)
{
	struct ms_job cancelled = {.size = sizeof(cancelled), .cancelled = always};
	struct ms_job late = {.size = sizeof(late), .timeout_ns = 1};
	struct ms_job small = {.size = sizeof(small), .bytes_max = 100};
	ms_values *values = values_new("i32", 0);

	open_memory(3 * SMALL);
	check_u64(first(values, "= 0"), 3 * SMALL / 4);
	memset(memory, 1, sizeof(memory));
	check(ms_values_next(values, source, "changed", &cancelled, &coverage) == MS_ERR_STOPPED);
	check(ms_values_next(values, source, "changed", &late, &coverage) == MS_ERR_TIMEOUT);
	check(ms_values_next(values, source, "changed", &small, &coverage) == MS_ERR_ARGUMENT);
	check_u64(list(values), 3 * SMALL / 4);
	check_text(matches[5].before, "0");
	check_u64(next(values, "changed"), 3 * SMALL / 4);
	check_ok(ms_values_first(values, source, "= 0x01010101", NULL, &small, &coverage));
	check_u64(count_of(values), 25);
	check(coverage.partial);
	ms_values_free(values);
}

static bool after_some_calls(void *ctx)
{
	return ++*(int *)ctx > 4;
}

/* A first scan keeps what it found. */
static void test_first_cut_short(void)
{
	enum { BIG = 64 * 1024 * 1024 };
	int calls = 0;
	struct ms_job job = {
		.size = sizeof(job), .threads = 1, .cancelled = after_some_calls, .ctx = &calls};
	uint8_t *data = calloc(1, BIG);
	ms_values *values = values_new("i32", 0);

	open_memory(SMALL);
	segments[0] = (struct ms_segment){BASE, BIG, data, MS_PERM_READ, MS_STATE_DATA};
	open_segments(1);
	check_ok(ms_values_first(values, source, "= 0", NULL, &job, &coverage));
	check(coverage.partial && coverage.read > 0 && coverage.skipped > 0);
	check_u64(coverage.read + coverage.skipped, BIG);
	check_u64(count_of(values), coverage.read / 4);
	ms_values_free(values);
	ms_source_free(source);
	source = NULL;
	free(data);
}

static void test_undo(void)
{
	ms_values *values = values_new("i32", 0);

	open_memory(SMALL);
	check_u64(first(values, "= 0"), 1024);
	put_i32(0, 1);
	check_u64(next(values, "= 0"), 1023);
	put_i32(4, 1);
	check_u64(next(values, "= 0"), 1022);
	check_ok(ms_values_undo(values));
	check_u64(count_of(values), 1023);
	check(ms_values_undo(values) == MS_ERR_ARGUMENT);
	check_u64(next(values, "changed"), 1);
	check_u64(list(values), 1);
	check_u64(matches[0].address, BASE + 4);
	ms_values_free(values);
}

static void test_other_process(void)
{
	ms_values *values = values_new("i32", 0);

	open_memory(SMALL);
	first(values, "= 0");
	source->process.pid = 77;
	check(ms_values_next(values, source, "= 0", NULL, &coverage) == MS_ERR_ARGUMENT);
	check(strstr(ms_error(), "77"));
	source->process.pid = 1;
	source->process.start_id = 5;
	check(ms_values_next(values, source, "= 0", NULL, &coverage) == MS_ERR_GONE);
	source->process.start_id = 0;
	check_u64(next(values, "= 0"), 1024);
	ms_values_free(values);
}

static const struct test tests[] = {
	{"exact of every type", test_exact_of_every_type},
	{"conditions of integers", test_conditions_of_integers},
	{"steps wrap round", test_steps_wrap_round},
	{"floats", test_floats},
	{"tolerance", test_tolerance},
	{"bytes", test_bytes},
	{"wrong conditions", test_wrong_conditions},
	{"wrong options", test_wrong_options},
	{"order of calls", test_order_of_calls},
	{"alignment", test_alignment},
	{"borders", test_borders},
	{"odd regions", test_odd_regions},
	{"chunks", test_chunks},
	{"chunks off pages", test_chunks_off_pages},
	{"filter", test_filter},
	{"lost pages", test_lost_pages},
	{"cut short", test_cut_short},
	{"first cut short", test_first_cut_short},
	{"undo", test_undo},
	{"other process", test_other_process},
};

TEST_MAIN(tests)
