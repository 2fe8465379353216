/* SPDX-License-Identifier: BSD-2-Clause */
/* Filters and numbers as people type them: what each accepts, and where each error points. */
#include "test.h"

#include "base/mem.h"
#include "base/number.h"
#include "core/filter.h"
#include "memsift.h"

#define KIB 1024ull
#define GIB (KIB * KIB * KIB)

static ms_filter *new_filter(void)
{
	ms_filter *filter;

	check_ok(ms_filter_new(&filter));
	return filter;
}

static struct ms_region region_of(uint64_t base, uint64_t size, unsigned perm)
{
	return (struct ms_region){
		.base = base, .size = size, .perm = perm, .kind = MS_KIND_HEAP, .path = ""};
}

/* Where the mark stands in the error's last line, from 1; the sentence says the same number. */
static size_t marked_character(void)
{
	const char *error = ms_error(), *mark = strrchr(error, '\n');
	const char *number = strstr(error, "at character ");

	if (!mark || !number)
		return 0;
	check_u64(strspn(mark + 1, " ") - 2 + 1, strtoull(number + 13, NULL, 10));
	check(mark[strlen(mark) - 1] == '^');
	return (size_t)strtoull(number + 13, NULL, 10);
}

static void errors_point_at_the_character(void)
{
	static const struct {
		const char *key, *value;
		size_t at;
	} cases[] = {
		{"memory-regions", "", 1},
		{"memory-regions", "heep", 1},
		{"memory-regions", "heap,stak", 6},
		{"memory-regions", "heap,", 6},
		{"memory-regions", ",heap", 1},
		{"memory-regions", "heap, stack", 6},
		{"memory-regions", "HEAP", 1},
		{"memory-regions", "all,other,kode", 11},
		{"perm", "", 1},
		{"perm", "rw", 3},
		{"perm", "wr-", 1},
		{"perm", "rx-", 2},
		{"perm", "rwX", 3},
		{"perm", "rw-x", 4},
		{"perm", "rw-px", 5},
		{"perm", "r", 2},
		{"address", "", 1},
		{"address", "0x", 3},
		{"address", "1000", 5},
		{"address", "1000-", 6},
		{"address", "0x1000-0x", 10},
		{"address", "0x1000-0x2000,", 14},
		{"address", "2000-1000", 1},
		{"address", "1000-1000", 1},
		{"address", "g-2", 1},
		{"address", "1-10000000000000000", 3},
		{"address", "10000000000000000-1", 1},
		{"ignore", "1000", 5},
		{"ignore", "2000-1000", 1},
		{"min-size", "", 1},
		{"min-size", "-1", 1},
		{"min-size", "12Q", 3},
		{"min-size", "1.5G", 2},
		{"min-size", "18446744073709551616", 1},
		{"max-size", "16777216T", 1},
		{"max-size", "K", 1},
		{"max-size", "4K ", 2},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ms_filter *filter = new_filter();
		int r = ms_filter_set(filter, cases[i].key, cases[i].value);

		check_that(r == MS_ERR_ARGUMENT, "%s \"%s\": %d", cases[i].key, cases[i].value, r);
		check_that(marked_character() == cases[i].at, "%s \"%s\": %s", cases[i].key,
			cases[i].value, ms_error());
		check(strncmp(ms_error(), "--", 2) == 0 &&
			strncmp(ms_error() + 2, cases[i].key, strlen(cases[i].key)) == 0);
		ms_filter_free(filter);
	}
}

static void keys_that_are_none(void)
{
	ms_filter *filter = new_filter();

	check(ms_filter_set(filter, "colour", "red") == MS_ERR_ARGUMENT);
	check(strstr(ms_error(), "colour"));
	check(ms_filter_set(filter, "", NULL) == MS_ERR_ARGUMENT);
	ms_filter_free(filter);
	ms_filter_free(NULL);
}

/* A value that is refused leaves the filter as it was. */
static void a_refused_value_changes_nothing(void)
{
	ms_filter *filter = new_filter();
	struct ms_region region = region_of(0x1000, 0x1000, MS_PERM_READ);

	check(ms_filter_set(filter, "memory-regions", "stack,nothing") < 0);
	check(ms_filter_set(filter, "perm", "-w-z") < 0);
	check(ms_filter_set(filter, "address", "5000-4000") < 0);
	check(ms_filter_set(filter, "min-size", "1Z") < 0);
	check(ms_filter_match(filter, &region));
	ms_filter_free(filter);
}

static void kinds_let_through_what_they_name(void)
{
	static const struct {
		const char *value;
		unsigned kinds;
	} cases[] = {
		{"stack", 1u << MS_KIND_STACK},
		{"heap", 1u << MS_KIND_HEAP},
		{"code", 1u << MS_KIND_CODE},
		{"mapped", 1u << MS_KIND_MAPPED},
		{"other", 1u << MS_KIND_OTHER},
		{"all", 0x1f},
		{"heap,all", 0x1f},
		{"stack,code,stack", 1u << MS_KIND_STACK | 1u << MS_KIND_CODE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ms_filter *filter = new_filter();
		struct ms_region region = region_of(0, 1, 0);

		check_ok(ms_filter_set(filter, "memory-regions", cases[i].value));
		for (unsigned kind = 0; kind <= MS_KIND_MAPPED; kind++) {
			region.kind = (enum ms_kind)kind;
			check_that(ms_filter_match(filter, &region) == (cases[i].kinds >> kind & 1),
				"%s: %s", cases[i].value, ms_kind_name(region.kind));
		}
		ms_filter_free(filter);
	}
}

static void permissions_compare_letter_by_letter(void)
{
	static const char *const masks[] = {"---", "r--", "?w?", "rw-", "r-x", "rwx", "???", "???s",
		"???p", "rw-p", "rw-s", "--?", "r-x?"};

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		ms_filter *filter = new_filter();

		check_ok(ms_filter_set(filter, "perm", masks[i]));
		for (unsigned perm = 0; perm < 16; perm++) {
			struct ms_region region = region_of(0, 1, perm);
			bool expected = true;
			char text[5];

			ms_perm_text(perm, text);
			for (size_t k = 0; masks[i][k]; k++)
				expected &= masks[i][k] == '?' || masks[i][k] == text[k];
			check_that(ms_filter_match(filter, &region) == expected, "%s and %s",
				masks[i], text);
		}
		ms_filter_free(filter);
	}
}

static void sizes_include_their_bounds(void)
{
	ms_filter *filter = new_filter();
	static const struct {
		uint64_t size;
		bool in;
	} cases[] = {{4095, false}, {4096, true}, {65536, true}, {65537, false}};

	check_ok(ms_filter_set(filter, "min-size", "4k"));
	check_ok(ms_filter_set(filter, "max-size", "0x10000"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ms_region region = region_of(0, cases[i].size, 0);

		check(ms_filter_match(filter, &region) == cases[i].in);
	}
	ms_filter_free(filter);
}

static void paths_match_as_globs(void)
{
	static const struct {
		const char *glob, *path;
		bool in;
	} cases[] = {
		{"libc*", "/usr/lib/libc.so.6", true},
		{"libc*", "/usr/libc/other", false},
		{"*.so", "/a/b.so", true},
		{"/usr/*", "/usr/lib/libc.so.6", true},
		{"/usr/*", "/opt/lib", false},
		{"[[]heap]", "[heap]", true},
		{"[heap]", "[heap]", true},
		{"[heap]", "h", true},
		{"[heap]", "[stack]", false},
		{"[anon:a/b]", "[anon:a/b]", true},
		{"lib[1].so", "/usr/lib[1].so", true},
		{"*", "", true},
		{"?*", "", false},
		{"", "", true},
		{"", "/x", false},
		{"lib", "/usr/lib", true},
		{"x", "x", true},
		{"ntdll.dll", "\\Windows\\System32\\ntdll.dll", true},
		{"*.exe", "C:\\Temp\\target.exe", true},
		{"C:\\Temp\\*", "C:\\Temp\\target.exe", true},
		{"\\Temp\\*", "\\Windows\\Temp\\a.dll", false},
		{"b", "/tmp/a\\b", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ms_filter *filter = new_filter();
		struct ms_region region = region_of(0, 1, 0);

		region.path = cases[i].path;
		check_ok(ms_filter_set(filter, "path", "something else"));
		check_ok(ms_filter_set(filter, "path", cases[i].glob));
		check_that(ms_filter_match(filter, &region) == cases[i].in, "%s and %s",
			cases[i].glob, cases[i].path);
		ms_filter_free(filter);
	}
}

static void check_ranges(
	const char *const *values, const struct filter_range *expected, size_t count)
{
	ms_filter *filter = new_filter();

	for (; *values; values++)
		check_ok(ms_filter_set(filter, "address", *values));
	check_u64(filter->ranges.count, count);
	for (size_t i = 0; i < count; i++) {
		check_u64(filter->ranges.data[i].base, expected[i].base);
		check_u64(filter->ranges.data[i].size, expected[i].size);
	}
	ms_filter_free(filter);
}

#define RANGES(...) ((const struct filter_range[]){__VA_ARGS__})
#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void ranges_are_sorted_and_joined(void)
{
	check_ranges(VALUES("0x1000-0x2000"), RANGES({0x1000, 0x1000}), 1);
	check_ranges(VALUES("1000-2000", "0X2000-3000"), RANGES({0x1000, 0x2000}), 1);
	check_ranges(
		VALUES("3000-4000", "1000-2000"), RANGES({0x1000, 0x1000}, {0x3000, 0x1000}), 2);
	check_ranges(VALUES("3000-4000", "1000-2000", "1fff-3001"), RANGES({0x1000, 0x3000}), 1);
	check_ranges(VALUES("1000-9000", "2000-3000", "1000-1001"), RANGES({0x1000, 0x8000}), 1);
	check_ranges(VALUES("0-ffffffffffffffff", "5-6"), RANGES({0, UINT64_MAX}), 1);
	check_ranges(VALUES("fffffffffffffff0-ffffffffffffffff", "0-1"),
		RANGES({0, 1}, {UINT64_MAX - 15, 15}), 2);
}

static void check_clip(const ms_filter *filter, uint64_t base, uint64_t size,
	uint64_t expected_base, uint64_t expected_size)
{
	uint64_t got_base = 0, got_size = 0;
	bool some = filter_clip(filter, base, size, &got_base, &got_size);

	check(some == (expected_size > 0));
	if (!some)
		return;
	check_u64(got_base, expected_base);
	check_u64(got_size, expected_size);
}

static void ranges_clip_to_the_byte(void)
{
	ms_filter *filter = new_filter();

	check_clip(filter, 7, 9, 7, 9);
	check_clip(filter, 7, 0, 0, 0);
	check_ok(ms_filter_set(filter, "address", "1001-1fff"));
	check_ok(ms_filter_set(filter, "address", "3000-4000"));
	check_clip(filter, 0, 0x1001, 0, 0);
	check_clip(filter, 0, 0x1002, 0x1001, 1);
	check_clip(filter, 0x1000, 0x1000, 0x1001, 0xffe);
	check_clip(filter, 0x1800, 0x4000, 0x1800, 0x7ff);
	check_clip(filter, 0x1fff, 0x1001, 0, 0);
	check_clip(filter, 0x1fff, 0x1002, 0x3000, 1);
	check_clip(filter, 0x3fff, 0x1000, 0x3fff, 1);
	check_clip(filter, 0x4000, UINT64_MAX - 0x4000, 0, 0);
	check_clip(filter, 0, UINT64_MAX, 0x1001, 0xffe);
	ms_filter_free(filter);
}

/* Every stretch of a small space, byte by byte, under random wanted and ignored ranges. */
static void ignored_ranges_are_left_out(void)
{
	enum { SPACE = 64 };
	uint64_t seed = 7;

	for (unsigned round = 0; round < 300; round++) {
		ms_filter *filter = new_filter();
		bool wanted[SPACE] = {false}, any = false;

		for (unsigned i = test_random(&seed) % 4; i; i--) {
			uint64_t base = test_random(&seed) % (SPACE - 1);
			uint64_t end = base + 1 + test_random(&seed) % (SPACE - 1 - base);
			char text[64];

			snprintf(text, sizeof(text), "%llx-%llx", (unsigned long long)base,
				(unsigned long long)end);
			check_ok(ms_filter_set(filter, "address", text));
			memset(wanted + base, true, end - base);
			any = true;
		}
		if (!any)
			memset(wanted, true, sizeof(wanted));
		for (unsigned i = test_random(&seed) % 5; i; i--) {
			uint64_t base = test_random(&seed) % (SPACE - 1);
			uint64_t end = base + 1 + test_random(&seed) % 9;
			char text[64];

			end = end > SPACE ? SPACE : end;
			snprintf(text, sizeof(text), "0x%llx-0x%llx", (unsigned long long)base,
				(unsigned long long)end);
			check_ok(ms_filter_set(filter, "ignore", text));
			memset(wanted + base, false, end - base);
		}
		for (size_t base = 0; base < SPACE; base++)
			for (size_t size = 0; base + size <= SPACE; size++) {
				size_t first = base, last;

				while (first < base + size && !wanted[first])
					first++;
				for (last = first; last < base + size && wanted[last];)
					last++;
				check_clip(filter, base, size, first, last - first);
			}
		ms_filter_free(filter);
	}
}

static void ranges_decide_about_regions(void)
{
	ms_filter *filter = new_filter();
	struct ms_region before = region_of(0, 0x1000, 0), over = region_of(0xfff, 2, 0);

	check_ok(ms_filter_set(filter, "address", "1000-1001"));
	check(!ms_filter_match(filter, &before));
	check(ms_filter_match(filter, &over));
	ms_filter_free(filter);
}

static void ranges_have_a_limit(void)
{
	enum { MOST = 65536 };
	ms_filter *filter = new_filter();
	int r;

	/* As many as there may be, without asking 65,536 times for a sort. */
	filter->ranges.data = calloc(MOST, sizeof(*filter->ranges.data));
	check(filter->ranges.data);
	filter->ranges.room = filter->ranges.count = MOST;
	for (size_t i = 0; i < MOST; i++)
		filter->ranges.data[i] = (struct filter_range){i * 16, 8};
	r = ms_filter_set(filter, "address", "f000000-f000001");
	check(r == MS_ERR_ARGUMENT && strstr(ms_error(), "65536"));
	ms_filter_free(filter);
}

static void names_of_kinds_and_states(void)
{
	check_text(ms_kind_name(MS_KIND_MAPPED), "mapped");
	check_text(ms_kind_name((enum ms_kind)77), "other");
	check_text(ms_state_name(MS_STATE_NO_ACCESS), "no-access");
	check_text(ms_state_name(MS_STATE_DEADLINE), "deadline");
	check_text(ms_state_name((enum ms_state)77), "unknown");
}

/* ---- Numbers ---------------------------------------------------------------------------- */

static void numbers(void)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t value;
		size_t at;
	} cases[] = {
		{"0", true, 0, 0},
		{"42", true, 42, 0},
		{"007", true, 7, 0},
		{"0x1F", true, 31, 0},
		{"0Xff", true, 255, 0},
		{"18446744073709551615", true, UINT64_MAX, 0},
		{"0xffffffffffffffff", true, UINT64_MAX, 0},
		{"18446744073709551616", false, 0, 1},
		{"0x10000000000000000", false, 0, 3},
		{"", false, 0, 1},
		{"0x", false, 0, 3},
		{"-1", false, 0, 1},
		{"+1", false, 0, 1},
		{" 1", false, 0, 1},
		{"1 ", false, 0, 2},
		{"12a", false, 0, 3},
		{"0x12g", false, 0, 5},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 99;
		int r = ms_parse_number("pid", cases[i].text, &value);

		check_that((r == 0) == cases[i].good, "\"%s\": %d", cases[i].text, r);
		check_u64(value, cases[i].good ? cases[i].value : 99);
		if (r < 0)
			check_u64(marked_character(), cases[i].at);
	}
}

static void sizes(void)
{
	static const struct {
		const char *text;
		uint64_t unit;
		bool good;
		uint64_t value;
	} cases[] = {
		{"5", 1, true, 5},
		{"5", KIB * KIB, true, 5 * KIB * KIB},
		{"5b", KIB * KIB, true, 5},
		{"1K", 1, true, KIB},
		{"1kb", 7, true, KIB},
		{"1KiB", 1, true, KIB},
		{"3M", 1, true, 3 * KIB * KIB},
		{"2GiB", 1, true, 2 * GIB},
		{"1t", 1, true, KIB * GIB},
		{"0x10K", 1, true, 16 * KIB},
		{"0", KIB, true, 0},
		{"16777215T", 1, true, 16777215 * KIB * GIB},
		{"16777216T", 1, false, 0},
		{"18446744073709551615", 2, false, 0},
		{"1KK", 1, false, 0},
		{"1 K", 1, false, 0},
		{"M", 1, false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 99;
		int r = ms_parse_size("size", cases[i].text, cases[i].unit, &value);

		check_that((r == 0) == cases[i].good, "\"%s\": %d", cases[i].text, r);
		check_u64(value, cases[i].good ? cases[i].value : 99);
	}
}

static void durations(void)
{
	const uint64_t s = 1000000000;
	const struct {
		const char *text;
		bool good;
		uint64_t value;
	} cases[] = {
		{"0", true, 0},
		{"30", true, 30 * s},
		{"250ms", true, s / 4},
		{"30s", true, 30 * s},
		{"5m", true, 300 * s},
		{"2H", true, 7200 * s},
		{"18446744073s", true, 18446744073 * s},
		{"18446744074s", false, 0},
		{"5124096h", false, 0},
		{"1d", false, 0},
		{"0x10", false, 0},
		{"s", false, 0},
		{"", false, 0},
		{"1.5s", false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 99;
		int r = ms_parse_duration("time", cases[i].text, &value);

		check_that((r == 0) == cases[i].good, "\"%s\": %d", cases[i].text, r);
		check_u64(value, cases[i].good ? cases[i].value : 99);
	}
}

/* A long or hostile text is cut and cleaned, and the mark still stands below its character. */
static void errors_show_a_window(void)
{
	char text[400];
	uint64_t value;

	memset(text, '1', sizeof(text));
	text[300] = '\033';
	text[301] = '\0';
	memset(text, '0', 299);
	check(ms_parse_number("n", text, &value) < 0);
	check(strstr(ms_error(), "at character 301"));
	check(!strchr(ms_error(), '\033'));
	check(strlen(ms_error()) < 250);
}

static const struct test tests[] = {
	{"errors point at the character", errors_point_at_the_character},
	{"keys that are none", keys_that_are_none},
	{"a refused value changes nothing", a_refused_value_changes_nothing},
	{"kinds let through what they name", kinds_let_through_what_they_name},
	{"permissions compare letter by letter", permissions_compare_letter_by_letter},
	{"sizes include their bounds", sizes_include_their_bounds},
	{"paths match as globs", paths_match_as_globs},
	{"ranges are sorted and joined", ranges_are_sorted_and_joined},
	{"ranges clip to the byte", ranges_clip_to_the_byte},
	{"ignored ranges are left out", ignored_ranges_are_left_out},
	{"ranges decide about regions", ranges_decide_about_regions},
	{"ranges have a limit", ranges_have_a_limit},
	{"names of kinds and states", names_of_kinds_and_states},
	{"numbers", numbers},
	{"sizes", sizes},
	{"durations", durations},
	{"errors show a window", errors_show_a_window},
};

TEST_MAIN(tests)
