/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "strings" against a slow oracle that goes through single characters: any data, cut in
 * every way, with every kernel, must give the same pieces of the same strings.
 */
#include "base/buf.h"
#include "engine/engines.h"
#include "spans.h"

enum { PERIOD = 32 * 1024 };

static const char *const kernels[] = {"scalar", "sse2", "avx2", "avx512", "neon"};

struct query {
	const char *encoding;
	bool ascii, utf8, utf16[2]; /* little, big */
	size_t min;
};

static const struct query queries[] = {
	{"ascii", true, false, {false, false}, 4},
	{"ascii", true, false, {false, false}, 1},
	{"utf8", false, true, {false, false}, 4},
	{"ascii,utf8", true, true, {false, false}, 2},
	{"utf16le", false, false, {true, false}, 4},
	{"utf16be", false, false, {false, true}, 3},
	{"utf16be,utf16le,ascii", true, false, {true, true}, 1},
	{"utf8,utf16le,utf16be,ascii", true, true, {true, true}, 4},
	{"ascii", true, false, {false, false}, 40},
	{"utf16le", false, false, {true, false}, 70},
	{"utf8", false, true, {false, false}, 33},
};

static ms_engine *query_make(const struct query *query)
{
	char min[16];
	struct ms_arg args[] = {{"encoding", query->encoding}, {"min", min}};
	ms_engine *engine;

	snprintf(min, sizeof(min), "%zu", query->min);
	check_ok(ms_engine_new("strings", args, 2, &engine));
	return engine;
}

/* ---- The oracle ---- */

static uint32_t code_of(const uint8_t *data, size_t length)
{
	uint32_t code = length == 1 ? data[0] : data[0] & (0x7f >> length);

	for (size_t i = 1; i < length; i++)
		code = code << 6 | (data[i] & 0x3f);
	return code;
}

static size_t oracle_narrow(const struct query *query, const uint8_t *data, size_t size)
{
	size_t length = utf8_length(data, size);
	uint32_t c = length ? code_of(data, length) : 0;

	if (length == 1)
		return c == '\t' || (c >= ' ' && c < 0x7f);
	if (!length || !query->utf8 || c < 0xa0)
		return 0;
	if ((c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
		(c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xffff) ||
		(c & 0xfffe) == 0xfffe || (c >= 0xe0000 && c <= 0xe0fff))
		return 0;
	return length;
}

static size_t oracle_wide(const uint8_t *data, size_t size, bool big)
{
	unsigned c;

	if (size < 2)
		return 0;
	c = big ? data[0] << 8 | data[1] : data[1] << 8 | data[0];
	if (c < 0x100)
		return c == '\t' || (c >= ' ' && c < 0x7f) || c > 0xa0 ? 2 : 0;
	return ((c <= 0x24f || (c >= 0x370 && c <= 0x52f)) && c % 0x100) ||
			       (c >= 0x2010 && c <= 0x201f) || c == 0x20ac
		       ? 2
		       : 0;
}

static char *oracle_text(const uint8_t *data, size_t size, const char *encoding)
{
	bool big = strcmp(encoding, "utf16be") == 0;
	struct buf text = {0};

	if (strncmp(encoding, "utf16", 5) != 0)
		return memcpy(calloc(1, size + 1), data, size);
	for (size_t i = 0; i < size; i += 2) {
		unsigned c = big ? data[i] << 8 | data[i + 1] : data[i + 1] << 8 | data[i];

		if (c >= 0x800)
			buf_format(&text, "%c%c%c", 0xe0 | c >> 12, 0x80 | (c >> 6 & 63),
				0x80 | (c & 63));
		else if (c >= 0x80)
			buf_format(&text, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 63));
		else
			buf_char(&text, (char)c);
	}
	return text.data;
}

static void oracle_piece(const struct query *query, struct hits *hits, size_t from, size_t to,
	const char *encoding, bool continued)
{
	bool plain = true;

	for (size_t i = from; i < to; i++)
		plain = plain && hits->data[i] < 0x80;
	if (query->ascii && plain && strcmp(encoding, "utf8") == 0)
		encoding = "ascii";
	hits_add(hits, (struct found){.address = hits->base + from,
			       .size = to - from,
			       .label = encoding,
			       .text = oracle_text(hits->data + from, to - from, encoding),
			       .continued = continued});
}

/* Cuts the run whose characters begin at `starts`; the last of these is its end. */
static void oracle_run(const struct query *query, struct hits *hits, const size_t *starts,
	size_t count, const char *encoding)
{
	bool wide = strncmp(encoding, "utf16", 5) == 0;
	uint64_t run = hits->base + starts[0], odd = wide ? run % 2 : 0;
	size_t from = starts[0];

	if (count - 1 < query->min)
		return;
	for (size_t i = 1; i + 1 < count; i++) {
		uint64_t here = hits->base + starts[i] - odd;
		uint64_t before = hits->base + starts[i - 1] - odd;

		/* The first character at a multiple of the period or behind it. */
		if (here / PERIOD == before / PERIOD && here % PERIOD)
			continue;
		if (here / PERIOD * PERIOD + odd < run + PERIOD)
			continue;
		oracle_piece(query, hits, from, starts[i], encoding, from != starts[0]);
		from = starts[i];
	}
	oracle_piece(query, hits, from, starts[count - 1], encoding, from != starts[0]);
}

static void oracle_lane(const struct query *query, struct hits *hits, size_t first,
	const char *encoding, size_t step)
{
	size_t *starts = malloc((hits->size + 2) * sizeof(*starts)), count = 0;

	check(starts);
	for (size_t at = first, length; at <= hits->size; at += length) {
		const uint8_t *data = hits->data + at;
		size_t left = hits->size - at;

		if (step == 2)
			length = oracle_wide(data, left, strcmp(encoding, "utf16be") == 0);
		else
			length = oracle_narrow(query, data, left);
		if (length || count)
			starts[count++] = at;
		if (length)
			continue;
		if (count)
			oracle_run(query, hits, starts, count, encoding);
		count = 0;
		length = step;
	}
	free(starts);
}

static int lane_of(const struct found *found)
{
	return strcmp(found->label, "utf16be") == 0 ? 2 : strcmp(found->label, "utf16le") == 0;
}

static int found_compare(const void *left, const void *right)
{
	const struct found *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return lane_of(a) - lane_of(b);
}

static void oracle(const struct query *query, struct hits *hits)
{
	if (query->ascii || query->utf8)
		oracle_lane(query, hits, 0, query->utf8 ? "utf8" : "ascii", 1);
	for (size_t first = 0; first < 2; first++) {
		if (query->utf16[0])
			oracle_lane(query, hits, first, "utf16le", 2);
		if (query->utf16[1])
			oracle_lane(query, hits, first, "utf16be", 2);
	}
	if (hits->list.count)
		qsort(hits->list.data, hits->list.count, sizeof(*hits->list.data), found_compare);
}

/* ---- Random data ---- */

static size_t below(uint64_t *random, size_t limit)
{
	return test_random(random) % limit;
}

/* Pieces that make text, and pieces that end it. */
static void random_data(uint8_t *data, size_t size, uint64_t *random)
{
	static const char *const parts[] = {"a", "b ", "\t", "Zz~", "\xc3\xa9", "\xe2\x82\xac",
		"\xf0\x9f\x98\x80", "\xc2\x80", "\xef\xbf\xbd", "\xed\xa0\x80", "\xe0\x80\x80",
		"\xf4\x90\x80\x80", "\xc3", "\xe2\x82", "\x80", "\x7f", "\n", "\xff",
		"\xe2\x80\xae", "a\0b\0c\0d\0", "\0x\0y\0z", "\x3f\x04\x40\x04", "\x04\x41\x04\x42",
		"\0", "\x01", "\xac\x20", "\x20\x14", "\xe9\0", "\0\0"};
	static const uint8_t sizes[] = {1, 2, 1, 3, 2, 3, 4, 2, 3, 3, 3, 4, 1, 2, 1, 1, 1, 1, 3, 8,
		6, 4, 4, 1, 1, 2, 2, 2, 2};
	size_t first = below(random, ARRAY_SIZE(parts)), some = 1 + below(random, 12);

	for (size_t at = 0; at < size;) {
		size_t part = (first + below(random, some)) % ARRAY_SIZE(parts);
		size_t length = (size_t)min_u64(sizes[part], size - at);

		memcpy(data + at, parts[part], length);
		at += length;
	}
}

static void round_run(const struct query *query, struct hits *expected, struct hits *actual,
	size_t most, uint64_t *random)
{
	ms_engine *engine = query_make(query);

	oracle(query, expected);
	whole_run(engine, actual);
	hits_same(actual, expected, "whole");
	hits_clear(actual);
	pieces_run(engine, actual, most, random);
	hits_same(actual, expected, "in pieces");
	ms_engine_free(engine);
}

static void test_random_data(void)
{
	uint64_t random = 1;
	size_t count = 0;

	for (size_t i = 0; i < 600; i++) {
		uint8_t data[400];
		struct hits expected = {.data = data, .base = 0x7ffffff0 + below(&random, 3)};
		struct hits actual = {.emit.hit = hit_take, .data = data, .base = expected.base};

		setenv("MEMSIFT_FIND", kernels[i % ARRAY_SIZE(kernels)], 1);
		expected.size = actual.size = 1 + below(&random, sizeof(data));
		random_data(data, expected.size, &random);
		round_run(&queries[below(&random, ARRAY_SIZE(queries))], &expected, &actual,
			1 + below(&random, 100), &random);
		count += expected.list.count;
		hits_done(&expected);
		hits_done(&actual);
	}
	unsetenv("MEMSIFT_FIND");
	check_that(count > 3000, "only %zu hits", count);
}

/* Runs of all lengths around the least one, at all places in a word and over its ends. */
static void test_lengths(void)
{
	enum { SIZE = 256 };
	uint8_t data[SIZE];
	uint64_t random = 5;

	for (size_t min = 1; min <= 20; min++) {
		struct query query = {"ascii", true, false, {false, false}, min};

		for (size_t length = min - 1; length <= min + 1; length++)
			for (size_t first = 0; first < 68; first += 1 + below(&random, 3)) {
				struct hits expected = {.data = data, .size = SIZE, .base = 0x8000};
				struct hits actual = expected;

				actual.emit.hit = hit_take;
				setenv("MEMSIFT_FIND", kernels[first % ARRAY_SIZE(kernels)], 1);
				memset(data, 0, SIZE);
				for (size_t at = first; at < SIZE; at += 69)
					memset(data + at, '!', min_u64(length, SIZE - at));
				round_run(&query, &expected, &actual, 1 + below(&random, 80),
					&random);
				hits_done(&expected);
				hits_done(&actual);
			}
	}
	unsetenv("MEMSIFT_FIND");
}

/* Fills memory with one character, broken at a few places near multiples of the period. */
static void long_data(uint8_t *data, size_t size, uint64_t base, uint64_t *random)
{
	static const char *const characters[] = {
		"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "a\0", "\0a", "\x3f\x04"};
	static const uint8_t sizes[] = {1, 2, 3, 4, 2, 2, 2};
	size_t which = below(random, ARRAY_SIZE(sizes));

	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)characters[which][i % sizes[which]];
	for (size_t i = below(random, 6); i; i--) {
		uint64_t border = (base / PERIOD + below(random, size / PERIOD + 2)) * PERIOD;
		size_t at = (size_t)(border - base) + below(random, 9) - 4;

		if (at < size)
			data[at] = below(random, 3) ? 1 : 'x';
	}
}

static void test_long_strings(void)
{
	enum { SIZE = 9 * PERIOD };
	uint8_t *data = malloc(SIZE);
	uint64_t random = 3;
	size_t continued = 0;

	check(data);
	for (size_t i = 0; i < 60; i++) {
		struct hits expected = {.data = data, .base = 0x10000 + below(&random, PERIOD)};
		struct hits actual = {.emit.hit = hit_take, .data = data, .base = expected.base};

		expected.size = actual.size = SIZE - below(&random, 2 * PERIOD);
		long_data(data, expected.size, expected.base, &random);
		round_run(&queries[i % ARRAY_SIZE(queries)], &expected, &actual,
			1 + below(&random, 4 * PERIOD), &random);
		for (size_t k = 0; k < expected.list.count; k++)
			continued += expected.list.data[k].continued;
		hits_done(&expected);
		hits_done(&actual);
	}
	check_that(continued > 100, "only %zu pieces", continued);
	free(data);
}

/* Larger than what the engine looks at together, and than a chunk of the scan. */
static void test_source(void)
{
	enum { SIZE = 3 << 20, HOLE = 1 << 20, GAP = 8192 };
	static const unsigned threads[] = {1, 2, 4};
	const struct query *query = &queries[7];
	ms_engine *engine = query_make(query);
	uint8_t *data = malloc(SIZE);
	struct hits first = {.data = data, .size = HOLE, .base = 0x100000};
	struct hits second = {.data = data + HOLE + GAP,
		.size = SIZE - HOLE - GAP,
		.base = first.base + HOLE + GAP};
	/* The last two lie side by side, so they are one piece of memory. */
	const struct ms_segment segments[] = {
		{first.base, HOLE, data, MS_PERM_READ, MS_STATE_DATA},
		{first.base + HOLE, GAP, NULL, MS_PERM_READ, MS_STATE_IO_ERROR},
		{second.base, 4096, second.data, MS_PERM_READ, MS_STATE_DATA},
		{second.base + 4096, second.size - 4096, second.data + 4096, MS_PERM_READ,
			MS_STATE_DATA},
	};
	uint64_t random = 5;

	check(data);
	for (size_t at = 0, size; at < SIZE; at += size) {
		size = (size_t)min_u64(SIZE - at, 1 + below(&random, 5 * PERIOD));
		if (below(&random, 2))
			memset(data + at, "az\xe9"[below(&random, 3)], size);
		else
			random_data(data + at, size, &random);
	}
	oracle(query, &first);
	oracle(query, &second);
	for (size_t i = 0; i < second.list.count; i++)
		hits_add(&first, second.list.data[i]);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		struct scanned scanned = {0};

		source_run(engine, segments, ARRAY_SIZE(segments), threads[i], &scanned);
		hits_same(&scanned.hits, &first, "in a source");
		scanned_done(&scanned);
	}
	free(second.list.data);
	hits_done(&first);
	ms_engine_free(engine);
	free(data);
}

/* ---- Seeds ---- */

struct seed {
	const char *name, *encoding;
	const char *data;
	size_t size;
	const char *hits; /* offset:encoding:text... */
};

#define DATA(text) text, sizeof(text) - 1

static const struct seed seeds[] = {
	{"ASCII", "ascii", DATA("ab\0abcd\x7f\ta c\nabc\x80"), "3:ascii:abcd 8:ascii:\ta c"},
	{"to the end", "ascii", DATA("\0abcd"), "1:ascii:abcd"},
	{"characters, not bytes", "utf8", DATA("\xe2\x82\xac\xc3\xa9z\0\xe2\x82\xac\xc3\xa9zz"),
		"7:utf8:\xe2\x82\xac\xc3\xa9zz"},
	{"once each", "ascii,utf8", DATA("abcd\0ab\xc3\xa9\x63\x64\x65\x66\xff\xffwxyz"),
		"0:ascii:abcd 5:utf8:ab\xc3\xa9\x63\x64\x65\x66 15:ascii:wxyz"},
	{"cut off", "utf8", DATA("abcd\xe2\x82"), "0:utf8:abcd"},
	{"no controls of U+0080", "utf8", DATA("abcd\xc2\x85wxyz"), "0:utf8:abcd 6:utf8:wxyz"},
	{"UTF-16", "utf16le", DATA("a\0b\0c\0\x3b\x04\n\0"), "0:utf16le:abc\xd0\xbb"},
	{"at an odd address", "utf16le", DATA("\xffm\0n\0o\0p\0"), "1:utf16le:mnop"},
	{"big end first", "utf16be", DATA("\0a\0b\0c\x20\x19"), "0:utf16be:abc\xe2\x80\x99"},
	{"ASCII is no UTF-16", "utf16le,utf16be", DATA("there is Chinese in this"), ""},
	{"half a unit", "utf16le", DATA("a\0b\0c\0d"), ""},
};

static void seed_run(const struct seed *seed, const char *kernel)
{
	struct ms_arg arg = {"encoding", seed->encoding};
	struct hits hits = {.emit.hit = hit_take,
		.data = (const uint8_t *)seed->data,
		.size = seed->size,
		.base = 0x1000};
	struct buf text = {0};
	ms_engine *engine;

	setenv("MEMSIFT_FIND", kernel, 1);
	check_ok(ms_engine_new("strings", &arg, 1, &engine));
	whole_run(engine, &hits);
	buf_text(&text, "");
	for (size_t i = 0; i < hits.list.count; i++)
		buf_format(&text, "%s%u:%s:%s", i ? " " : "",
			(unsigned)(hits.list.data[i].address - hits.base), hits.list.data[i].label,
			hits.list.data[i].text);
	check_that(strcmp(text.data ? text.data : "", seed->hits) == 0, "%s: %s, not %s",
		seed->name, text.data, seed->hits);
	unsetenv("MEMSIFT_FIND");
	ms_engine_free(engine);
	hits_done(&hits);
	buf_done(&text);
}

static void test_seeds(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		for (size_t k = 0; k < ARRAY_SIZE(kernels); k++)
			seed_run(&seeds[i], kernels[k]);
}

static void test_grep(void)
{
	static const uint8_t data[] = "password=1\0passing\0\1p\0a\0s\0s\0\xff\xff no pass";
	struct ms_arg args[] = {{"grep", "^pass(w.*[0-9])?$"}, {"encoding", "ascii,utf16le"}};
	struct hits hits = {.emit.hit = hit_take, .data = data, .size = sizeof(data)};
	ms_engine *engine;

	check_ok(ms_engine_new("strings", args, 2, &engine));
	whole_run(engine, &hits);
	check_u64(hits.list.count, 2);
	check_text(hits.list.data[0].text, "password=1");
	check_text(hits.list.data[1].text, "pass");
	hits_done(&hits);
	ms_engine_free(engine);
}

static void test_stop(void)
{
	static const uint8_t data[] = "abcd\0efgh\0ijkl";
	ms_engine *engine = query_make(&queries[0]);

	for (size_t stop = 1; stop <= 3; stop++) {
		struct hits hits = {
			.emit.hit = hit_take, .data = data, .size = sizeof(data), .stop_at = stop};

		check_u64(span_run(engine, &hits, 0, hits.size, 0, 0), STOP);
		check_u64(hits.list.count, stop);
		hits_done(&hits);
	}
	ms_engine_free(engine);
}

static void test_refused(void)
{
	static const struct {
		struct ms_arg arg;
		const char *why;
	} refused[] = {
		{{"min", "0"}, "min: the least length is 1 to 4096"},
		{{"min", "4097"}, "min: the least length is 1 to 4096"},
		{{"min", "4x"}, "min: this is not part of a number"},
		{{"min", NULL}, "min needs a value"},
		{{"encoding", "ascii,latin1"},
			"encoding: this is none of ascii, utf8, utf16le, utf16be"},
		{{"encoding", ""}, "encoding: this is none of"},
		{{"encoding", "ascii,"}, "encoding: this is none of"},
		{{"grep", "a("}, "grep: "},
		{{"text", "a"}, "the engine \"strings\" has no argument \"text\""},
	};
	ms_engine *engine;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		check_that(ms_engine_new("strings", &refused[i].arg, 1, &engine) == MS_ERR_ARGUMENT,
			"%s", refused[i].why);
		check_that(strncmp(ms_error(), refused[i].why, strlen(refused[i].why)) == 0,
			"%s, not %s", ms_error(), refused[i].why);
	}
}

static const struct test tests[] = {
	{"seeds", test_seeds},
	{"random data", test_random_data},
	{"lengths", test_lengths},
	{"long strings", test_long_strings},
	{"source", test_source},
	{"grep", test_grep},
	{"stop", test_stop},
	{"refused", test_refused},
};

TEST_MAIN(tests)
