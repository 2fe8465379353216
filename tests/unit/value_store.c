/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How matches are kept: how much they take, every form of a cell, and sessions, whole, damaged
 * and in the way of a failure.
 */
#include "tests/values.h"

#include "track/cell.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Sizes ------------------------------------------------------------------------------ */

/* The promise that ms_values_info.bytes_kept makes, where it is hardest to keep. */
static void test_bytes_kept(void)
{
	enum { BIG = 4 * 1024 * 1024 };
	static const struct {
		const char *type;
		size_t align;
		const char *condition;
	} cases[] = {
		{"u8", 0, "unknown"},
		{"u8", 0, "!= 7"},
		{"u8", 0, "0..127"},
		{"i32", 1, "!= 7"},
		{"i32", 0, "unknown"},
		{"f64", 1, "> 0"},
		{"bytes:256", 1, "!= 00"},
	};
	uint8_t *data = malloc(BIG);
	uint64_t state = 1;

	for (size_t i = 0; i < BIG; i++)
		data[i] = (uint8_t)test_random(&state);
	open_memory(SMALL);
	segments[0] = (struct ms_segment){BASE, BIG, data, MS_PERM_READ, MS_STATE_DATA};
	open_segments(1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ms_values *values = values_new(cases[i].type, cases[i].align);
		char condition[600];
		struct ms_values_info info;

		snprintf(condition, sizeof(condition), "%s", cases[i].condition);
		if (strcmp(cases[i].type, "bytes:256") == 0)
			snprintf(condition, sizeof(condition), "!= %0*d", 512, 0);
		first(values, condition);
		ms_values_info(values, &info);
		check_that(info.count > 0 && info.bytes_kept * 100 <= (uint64_t)BIG * 115,
			"%s %s: %llu bytes for %d", cases[i].type, cases[i].condition,
			(unsigned long long)info.bytes_kept, BIG);
		ms_values_free(values);
	}
	ms_source_free(source);
	source = NULL;
	free(data);
}

static void test_zeros_cost_nothing(void)
{
	enum { BIG = 4 * 1024 * 1024 };
	uint8_t *data = calloc(1, BIG);
	ms_values *values = values_new("i32", 0);
	struct ms_values_info info;

	open_memory(SMALL);
	segments[0] = (struct ms_segment){BASE, BIG, data, MS_PERM_READ, MS_STATE_DATA};
	open_segments(1);
	check_u64(first(values, "= 0"), BIG / 4);
	ms_values_info(values, &info);
	check(info.bytes_kept < BIG / 200);
	data[BIG / 2] = 1;
	check_u64(next(values, "= 0"), BIG / 4 - 1);
	check_u64(next(values, "changed"), 0);
	ms_values_info(values, &info);
	check_u64(info.bytes_kept, 0);
	/* Nothing is left to look at, and nothing is looked at. */
	check_u64(next(values, "unchanged"), 0);
	check_u64(coverage.read, 0);
	check_u64(coverage.filtered, BIG);
	ms_values_free(values);
	ms_source_free(source);
	source = NULL;
	free(data);
}

static void test_next_reads_only_matches(void)
{
	ms_values *values = values_new("i32", 0);

	open_memory(16 * SMALL);
	put_i32(3 * SMALL + 40, 5);
	put_i32(3 * SMALL + 60, 5);
	put_i32(9 * SMALL, 5);
	check_u64(first(values, "= 5"), 3);
	check_u64(next(values, "= 5"), 3);
	check_u64(coverage.read, 24 + 4);
	ms_values_free(values);
}

/* A list of many zeros, which has no values, must become bits and bytes once they are not. */
static void test_zero_list_grows(void)
{
	ms_values *values = values_new("bytes:200", 1);
	char zero[512];

	open_memory(2 * SMALL);
	memset(memory + SMALL, 1, SMALL);
	memset(memory, 0xff, 3900);
	/* The page at the front: few zeros of 200 bytes; let it be all zero but for its tail. */
	memset(memory, 0, SMALL);
	snprintf(zero, sizeof(zero), "= %0*d", 400, 0);
	check_u64(first(values, zero), SMALL - 199);
	memset(memory, 7, SMALL);
	check_u64(next(values, "changed"), SMALL - 199);
	memset(memory, 8, SMALL);
	check_u64(next(values, "changed"), SMALL - 199);
	ms_values_free(values);
}

/* ---- Cells ------------------------------------------------------------------------------ */

/* Every form of a cell gives back what was put, and no damage makes one read out of bounds. */
static void cell_round(const struct layout *layout, size_t matching, bool zero)
{
	enum { EXTENT = 300 };
	uint8_t bytes[EXTENT], mask[EXTENT + 8] = {0}, data[CELL_MAX], again[CELL_PAGE];
	size_t slots = slot_count(layout, 0x1002, EXTENT), size;
	struct cell_view view;

	memset(bytes, zero ? 0 : 0x5a, sizeof(bytes));
	for (size_t i = 0; i < matching; i++)
		mask[i * (slots - 1) / (matching > 1 ? matching - 1 : 1)] = 1;
	size = cell_put(layout, 0x1002, EXTENT, bytes, mask, data);
	check(size > 0 && cell_open(layout, data, size, &view) && cell_check(layout, &view));
	check_u64(view.size, size);
	check_u64(view.slots, slots);
	cell_mask(&view, again);
	check(memcmp(mask, again, slots) == 0);
	check((view.bytes == NULL) == zero);
	for (size_t cut = 0; cut < size; cut++)
		check(!cell_open(layout, data, cut, &view));
	for (size_t bit = 0; bit < 8 * size; bit++) {
		uint8_t *copy = malloc(size); /* to the byte, for the sanitizer */

		memcpy(copy, data, size);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (cell_open(layout, copy, size, &view)) {
			cell_check(layout, &view);
			cell_mask(&view, again);
		}
		free(copy);
	}
}

/* A match must not be told twice, and none may lie behind the stretch. */
static void test_wrong_lists(void)
{
	static const uint16_t lists[][2] = {{3, 3}, {4, 3}, {3, 20}};
	struct layout layout = {.align = 4};
	uint8_t data[CELL_MAX], values[8] = {1};
	struct cell_view view;
	size_t size;

	check_ok(value_type_parse("i32", &layout.type, &layout.size));
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		size = cell_put_list(&layout, 0x1000, 80, lists[i], values, 2, data);
		check(cell_open(&layout, data, size, &view) && view.slots == 20);
		check(!cell_check(&layout, &view));
	}
	size = cell_put_list(&layout, 0x1000, 80, (uint16_t[]){3, 19}, values, 2, data);
	check(cell_open(&layout, data, size, &view) && cell_check(&layout, &view));
}

static void test_cells(void)
{
	static const size_t aligns[] = {1, 2, 4};

	for (size_t i = 0; i < sizeof(aligns) / sizeof(*aligns); i++) {
		struct layout layout = {.align = aligns[i]};
		size_t slots;

		check_ok(value_type_parse("i32", &layout.type, &layout.size));
		slots = slot_count(&layout, 0x1002, 300);
		for (int zero = 0; zero < 2; zero++) {
			cell_round(&layout, 1, zero);
			cell_round(&layout, 2, zero);
			cell_round(&layout, slots / 2, zero);
			cell_round(&layout, slots, zero);
		}
	}
}

/* ---- Sessions --------------------------------------------------------------------------- */

static char folder[64];

static const char *in_folder(const char *name)
{
	static char paths[4][128];
	static unsigned used;
	char *path = paths[used++ % 4];

	if (!folder[0]) {
		snprintf(folder, sizeof(folder), "/tmp/memsift-values-XXXXXX");
		check(mkdtemp(folder));
	}
	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void folder_clear(void)
{
	static const char *const names[] = {"s", "s.undo", "t", "plain", "link"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(in_folder(names[i]));
	check(rmdir(folder) == 0);
	folder[0] = '\0';
}

static ms_values *session_new(const char *type, bool zstd)
{
	struct ms_values_options options = {.type = type, .zstd = zstd, .session = in_folder("s")};
	ms_values *values;

	check_ok(ms_values_new(&options, &values));
	return values;
}

static void session_story(bool zstd)
{
	ms_values *values = session_new("i32", zstd);
	struct ms_values_info info;
	struct stat st;

	open_memory(16 * SMALL);
	for (size_t i = 0; i < 16 * SMALL / 4; i++)
		put_i32(4 * i, (int32_t)(i % 50));
	check_u64(first(values, "unknown"), 16 * SMALL / 4);
	check(stat(in_folder("s"), &st) == 0 && (st.st_mode & 07777) == 0600);
	check(!zstd || st.st_size < 16 * SMALL);
	ms_values_free(values);

	put_i32(400, 1000);
	check_ok(ms_values_load(in_folder("s"), &values));
	ms_values_info(values, &info);
	check_text(info.type, "i32");
	check_u64(info.count, 16 * SMALL / 4);
	check_u64(info.pid, 1);
	check_u64(next(values, "changed"), 1);
	put_i32(400, 1001);
	check_u64(next(values, "+ 1"), 1);
	put_i32(400, 999);
	check_u64(next(values, "increased"), 0);
	ms_values_free(values);

	check_ok(ms_values_load(in_folder("s"), &values));
	check_u64(count_of(values), 0);
	check_ok(ms_values_undo(values));
	check_u64(list(values), 1);
	check_text(matches[0].before, "1001");
	check_text(matches[0].now, "999");
	check(ms_values_undo(values) == MS_ERR_ARGUMENT);
	check_ok(ms_values_save(values, in_folder("t")));
	ms_values_free(values);
	check_ok(ms_values_load(in_folder("t"), &values));
	check_u64(list(values), 1);
	ms_values_free(values);
	folder_clear();
}

static void test_session(void)
{
	session_story(false);
}

static void test_session_compressed(void)
{
	if (!strstr(ms_features(), "zstd"))
		skip("this build has no zstd");
	session_story(true);
}

static void test_compressed_in_memory(void)
{
	struct ms_values_options options = {.type = "i32", .zstd = true};
	struct ms_values_info info;
	ms_values *values;

	if (!strstr(ms_features(), "zstd"))
		skip("this build has no zstd");
	check_ok(ms_values_new(&options, &values));
	open_memory(16 * SMALL);
	for (size_t i = 0; i < 16 * SMALL / 4; i++)
		put_i32(4 * i, (int32_t)(i % 50));
	check_u64(first(values, "unknown"), 16 * SMALL / 4);
	ms_values_info(values, &info);
	check(info.bytes_kept < 16 * SMALL / 4);
	put_i32(400, 1000);
	check_u64(next(values, "changed"), 1);
	check_u64(list(values), 1);
	check_text(matches[0].before, "1000");
	ms_values_free(values);
}

static void test_first_scan_ends_undo(void)
{
	ms_values *values = session_new("i32", false);

	open_memory(SMALL);
	first(values, "= 0");
	next(values, "= 0");
	check(access(in_folder("s.undo"), F_OK) == 0);
	first(values, "= 0");
	check(access(in_folder("s.undo"), F_OK) != 0);
	check(ms_values_undo(values) == MS_ERR_ARGUMENT);
	ms_values_free(values);
	folder_clear();
}

static void test_session_spares_other_files(void)
{
	struct ms_values_options options = {.type = "i32", .session = in_folder("plain")};
	FILE *file = fopen(in_folder("plain"), "w");
	ms_values *values;
	char text[16] = "";

	check(file && fputs("precious", file) >= 0 && fclose(file) == 0);
	open_memory(SMALL);
	check_ok(ms_values_new(&options, &values));
	check(ms_values_first(values, source, "= 0", NULL, NULL, &coverage) == MS_ERR_EXISTS);
	ms_values_free(values);
	file = fopen(in_folder("plain"), "r");
	check(file && fgets(text, sizeof(text), file));
	fclose(file);
	check_text(text, "precious");
	check(ms_values_load(in_folder("plain"), &values) == MS_ERR_FORMAT);
	check(ms_values_load(in_folder("t"), &values) == MS_ERR_NOT_FOUND);
	folder_clear();
}

/* A scan that fails leaves the session, and what undo goes back to, as they were. */
static void test_session_survives_failure(void)
{
	struct ms_job late = {.size = sizeof(late), .timeout_ns = 1};
	ms_values *values = session_new("i32", false);

	open_memory(SMALL);
	first(values, "= 0");
	put_i32(0, 1);
	check_u64(next(values, "= 0"), 1023);
	check(ms_values_next(values, source, "= 0", &late, &coverage) == MS_ERR_TIMEOUT);
	ms_values_free(values);
	check_ok(ms_values_load(in_folder("s"), &values));
	check_u64(list(values), 1023);
	check_ok(ms_values_undo(values));
	check_u64(list(values), 1024);
	ms_values_free(values);
	folder_clear();
}

/* No room for the new session: the old one stays. */
static void test_session_survives_full_disk(void)
{
	struct rlimit former, tight = {3 * SMALL, 3 * SMALL};
	ms_values *values = session_new("i32", false);
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	int r;

	open_memory(16 * SMALL);
	memset(memory, 5, sizeof(memory));
	put_i32(0, 1);
	check_u64(first(values, "= 1"), 1);
	check(getrlimit(RLIMIT_FSIZE, &former) == 0);
	tight.rlim_max = former.rlim_max;
	check(setrlimit(RLIMIT_FSIZE, &tight) == 0);
	r = ms_values_first(values, source, "unknown", NULL, NULL, &coverage);
	check(setrlimit(RLIMIT_FSIZE, &former) == 0);
	signal(SIGXFSZ, handler);
	check(r == MS_ERR_SPACE);
	check_u64(next(values, "unchanged"), 1);
	ms_values_free(values);
	check_ok(ms_values_load(in_folder("s"), &values));
	check_u64(list(values), 1);
	ms_values_free(values);
	folder_clear();
}

static size_t read_file(const char *path, uint8_t *data, size_t room)
{
	FILE *file = fopen(path, "r");
	size_t size = file ? fread(data, 1, room, file) : 0;

	check(file && fclose(file) == 0);
	return size;
}

static int load_bytes(const uint8_t *data, size_t size)
{
	FILE *file = fopen(in_folder("t"), "w");
	ms_values *values;
	int r;

	check(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
	r = ms_values_load(in_folder("t"), &values);
	if (r == 0)
		ms_values_free(values);
	return r;
}

static void test_damaged_sessions(void)
{
	static uint8_t data[8192];
	ms_values *values = session_new("i32", false);
	size_t size;

	open_memory(3 * SMALL);
	put_i32(100, 5);
	put_i32(SMALL + 100, 5);
	for (size_t i = 0; i < 200; i++)
		put_i32(2 * SMALL + 4 * i, i % 3 ? 5 : 6);
	first(values, "= 5");
	ms_values_free(values);
	size = read_file(in_folder("s"), data, sizeof(data));
	check(size > 100 && size < sizeof(data));
	check_ok(load_bytes(data, size));
	for (size_t i = 0; i < size; i++) {
		for (unsigned bit = 0; bit < 8; bit += 3) {
			data[i] ^= (uint8_t)(1 << bit);
			check_that(load_bytes(data, size) == MS_ERR_FORMAT, "byte %zu of %zu: %s",
				i, size, ms_error());
			data[i] ^= (uint8_t)(1 << bit);
		}
		check_that(load_bytes(data, i) == MS_ERR_FORMAT, "cut to %zu", i);
	}
	data[size] = 0;
	check(load_bytes(data, size + 1) == MS_ERR_FORMAT);
	folder_clear();
}

static const struct test tests[] = {
	{"bytes kept", test_bytes_kept},
	{"zeros cost nothing", test_zeros_cost_nothing},
	{"next reads only matches", test_next_reads_only_matches},
	{"zero list grows", test_zero_list_grows},
	{"cells", test_cells},
	{"wrong lists", test_wrong_lists},
	{"session", test_session},
	{"session compressed", test_session_compressed},
	{"compressed in memory", test_compressed_in_memory},
	{"first scan ends undo", test_first_scan_ends_undo},
	{"session spares other files", test_session_spares_other_files},
	{"session survives failure", test_session_survives_failure},
	{"session survives full disk", test_session_survives_full_disk},
	{"damaged sessions", test_damaged_sessions},
};

TEST_MAIN(tests)
