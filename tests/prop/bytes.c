/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "bytes" against a slow oracle that reads the patterns' text for itself: random
 * patterns and data over a tiny alphabet, cut in every way, must give the same hits.
 */
#include "base/buf.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/vec.h"
#include "engine/engines.h"
#include "test.h"

enum { ARGS_MAX = 12, REACH = 512 /* no random pattern matches more bytes */ };

static const uint64_t base = 0x7ffff000;

struct found {
	uint64_t address, size;
	char pattern[200];
};

struct hits {
	struct ms_emit emit;
	VEC(struct found) list;
	const uint8_t *data; /* of the whole, at base */
	size_t size;
	size_t stop_at; /* return STOP from this hit on; 0 for never */
};

enum { STOP = 7 };

static void hits_add(struct hits *hits, uint64_t address, uint64_t size, const char *pattern)
{
	struct found found = {.address = address, .size = size};

	snprintf(found.pattern, sizeof(found.pattern), "%s", pattern);
	check(vec_push(&hits->list, found));
}

static int hit_take(struct ms_emit *emit, const struct ms_hit *hit)
{
	struct hits *hits = (struct hits *)emit;

	check(hit->address >= base && hit->address - base + hit->size <= hits->size);
	check_u64(hit->bytes_size, hit->size);
	check(memcmp(hit->bytes, hits->data + (hit->address - base), hit->size) == 0);
	hits_add(hits, hit->address, hit->size, hit->pattern);
	return hits->stop_at && hits->list.count >= hits->stop_at ? STOP : 0;
}

static int engine_make(struct ms_engine *engine, const struct ms_arg *args, size_t count)
{
	int r;

	engine->ops = &bytes_engine;
	engine->priv = calloc(1, bytes_engine.priv_size);
	check(engine->priv);
	r = bytes_engine.create(engine, args, count);
	if (r < 0) {
		bytes_engine.destroy(engine);
		free(engine->priv);
	}
	return r;
}

static void engine_done(struct ms_engine *engine)
{
	bytes_engine.destroy(engine);
	free(engine->priv);
}

/* Shows the engine hits->data from `at` on, with no readable byte but those of the span. */
static int span_run(const struct ms_engine *engine, struct hits *hits, size_t at, size_t fresh,
	size_t before, size_t behind)
{
	size_t size = min_u64(fresh + behind, hits->size - at);
	uint8_t *copy = malloc(before + size);
	struct ms_span span = {
		.data = copy + before,
		.size = size,
		.fresh = min_u64(fresh, size),
		.before = before,
		.address = base + at,
		.position = at,
	};
	int r;

	check(copy);
	memcpy(copy, hits->data + at - before, before + size);
	r = bytes_engine.span(engine, NULL, &span, &hits->emit);
	free(copy);
	return r;
}

/* Cuts the data into pieces of `fresh` bytes; 0 for random ones. */
static void pieces_run(
	const struct ms_engine *engine, struct hits *hits, size_t fresh, uint64_t *random)
{
	size_t overlap = bytes_engine.overlap(engine);

	for (size_t at = 0, size; at < hits->size; at += size) {
		size = fresh ? fresh : 1 + test_random(random) % 40;
		check_u64(span_run(engine, hits, at, size, min_u64(at, test_random(random) % 8),
				  overlap + test_random(random) % 8),
			0);
	}
}

static void hits_same(const struct hits *actual, const struct hits *expected, const char *how)
{
	for (size_t i = 0; i < actual->list.count && i < expected->list.count; i++) {
		const struct found *a = &actual->list.data[i], *e = &expected->list.data[i];

		check_that(a->address == e->address && a->size == e->size &&
				   strcmp(a->pattern, e->pattern) == 0,
			"%s: hit %zu is %s at %llu, size %llu; not %s at %llu, size %llu", how, i,
			a->pattern, (unsigned long long)(a->address - base),
			(unsigned long long)a->size, e->pattern,
			(unsigned long long)(e->address - base), (unsigned long long)e->size);
	}
	check_u64(actual->list.count, expected->list.count);
}

static void hits_clear(struct hits *hits)
{
	hits->list.count = 0;
}

/* ---- The oracle ---- */

/* Which distances from the start a match may have come to. */
struct reach {
	bool at[REACH + 1];
};

struct oracle {
	const char *at; /* in the pattern's text */
	const uint8_t *data;
	size_t size;
};

static struct reach oracle_sequence(struct oracle *o, struct reach in);

static bool nibble_fits(char c, unsigned nibble)
{
	return c == '?' || (unsigned)hex_digit(c) == nibble;
}

static struct reach oracle_byte(struct oracle *o, struct reach in)
{
	struct reach out = {{0}};

	for (size_t i = 0; i < REACH && i < o->size; i++)
		out.at[i + 1] = in.at[i] && nibble_fits(o->at[0], o->data[i] >> 4) &&
				nibble_fits(o->at[1], o->data[i] & 15);
	o->at += 2;
	return out;
}

static struct reach oracle_jump(struct oracle *o, struct reach in)
{
	struct reach out = {{0}};
	char *end;
	unsigned long least = strtoul(o->at + 1, &end, 10), most = least;

	if (*end == '-')
		most = strtoul(end + 1, &end, 10);
	o->at = end + 1;
	for (size_t i = 0; i <= REACH; i++)
		for (size_t jump = least; jump <= most && i + jump <= REACH; jump++)
			out.at[i + jump] |= in.at[i] && i + jump <= o->size;
	return out;
}

static struct reach oracle_group(struct oracle *o, struct reach in)
{
	struct reach out = {{0}}, branch;

	while (*o->at != ')') {
		o->at++;
		branch = oracle_sequence(o, in);
		for (size_t i = 0; i <= REACH; i++)
			out.at[i] |= branch.at[i];
	}
	o->at++;
	return out;
}

static struct reach oracle_sequence(struct oracle *o, struct reach in)
{
	while (*o->at && !strchr("|)}", *o->at)) {
		if (*o->at == ' ' || *o->at == '{')
			o->at++;
		else if (*o->at == '[')
			in = oracle_jump(o, in);
		else if (*o->at == '(')
			in = oracle_group(o, in);
		else
			in = oracle_byte(o, in);
	}
	return in;
}

/* The size of the shortest match at the very beginning of data, 0 for none. */
static size_t oracle_hex(const char *pattern, const uint8_t *data, size_t size)
{
	struct oracle o = {pattern, data, size};
	struct reach out = oracle_sequence(&o, (struct reach){.at[0] = true});

	for (size_t i = 0; i <= REACH; i++)
		if (out.at[i])
			return i;
	return 0;
}

/* The same for an ASCII text whose characters are `width` bytes each. */
static size_t oracle_text(
	const char *text, const uint8_t *data, size_t size, size_t width, bool nocase)
{
	size_t length = strlen(text);

	if (size < length * width)
		return 0;
	for (size_t i = 0; i < length; i++) {
		char c = (char)data[i * width];

		if (c != text[i] &&
			!(nocase && is_letter(c) && is_letter(text[i]) && (c ^ text[i]) == 0x20))
			return 0;
		if (width == 2 && data[i * width + 1])
			return 0;
	}
	return length * width;
}

static const char *arg_find(const struct ms_arg *args, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(args[i].key, key) == 0)
			return args[i].value ? args[i].value : "";
	return NULL;
}

static void oracle_run(const struct ms_arg *args, size_t count, struct hits *hits)
{
	const char *align = arg_find(args, count, "align");
	bool nocase = arg_find(args, count, "nocase"), utf16 = arg_find(args, count, "utf16");
	uint64_t step = align ? strtoull(align, NULL, 0) : 1;

	for (size_t at = 0; at < hits->size; at++) {
		const uint8_t *data = hits->data + at;
		size_t left = hits->size - at;

		if ((base + at) % step)
			continue;
		for (size_t i = 0; i < count; i++) {
			const char *value = args[i].value;
			bool text = strcmp(args[i].key, "text") == 0;
			size_t size = 0, wide = 0;

			if (text)
				size = oracle_text(value, data, left, 1, nocase);
			else if (strcmp(args[i].key, "hex") == 0)
				size = oracle_hex(value, data, left);
			if (text && utf16)
				wide = oracle_text(value, data, left, 2, nocase);
			if (size)
				hits_add(hits, base + at, size, value);
			if (wide)
				hits_add(hits, base + at, wide, value);
		}
	}
}

/* ---- Random patterns ---- */

static size_t below(uint64_t *random, size_t limit)
{
	return test_random(random) % limit;
}

static void random_sequence(struct buf *text, uint64_t *random, unsigned depth)
{
	static const char *const bytes[] = {
		"00", "01", "41", "61", "00", "41", "0?", "?1", "??", "4?"};
	size_t items = 1 + below(random, depth ? 2 : 4);

	for (size_t i = 0; i < items; i++) {
		if (i && below(random, 4) == 0) {
			size_t least = below(random, 4);

			buf_format(text, "[%zu-%zu] ", least, least + below(random, 4));
		}
		if (depth == 3 || below(random, 4)) {
			buf_text(text, bytes[below(random, ARRAY_SIZE(bytes))]);
			buf_text(text, below(random, 2) ? " " : "");
			continue;
		}
		buf_char(text, '(');
		random_sequence(text, random, depth + 1);
		for (size_t n = below(random, 3); n; n--) {
			buf_char(text, '|');
			random_sequence(text, random, depth + 1);
		}
		buf_text(text, ") ");
	}
}

static void random_arg(struct ms_arg *arg, struct buf *text, uint64_t *random)
{
	static const char letters[] = "Aa\x01";

	buf_clear(text);
	if (below(random, 4)) {
		arg->key = "hex";
		random_sequence(text, random, 0);
	} else {
		arg->key = "text";
		for (size_t n = 1 + below(random, 3); n; n--)
			buf_char(text, letters[below(random, 3)]);
	}
	arg->value = text->data;
}

static size_t random_args(
	struct ms_arg args[ARGS_MAX], struct buf texts[ARGS_MAX], uint64_t *random)
{
	size_t count = 1 + below(random, 6);

	for (size_t i = 0; i < count; i++)
		random_arg(&args[i], &texts[i], random);
	if (below(random, 3) == 0)
		args[count++] = (struct ms_arg){"nocase", NULL};
	if (below(random, 3) == 0)
		args[count++] = (struct ms_arg){"utf16", NULL};
	if (below(random, 4) == 0)
		args[count++] = (struct ms_arg){"align", below(random, 2) ? "0x2" : "3"};
	return count;
}

static void random_data(uint8_t *data, size_t size, uint64_t *random)
{
	static const uint8_t alphabet[] = {0x00, 0x41, 0x01, 0x61, 0x40};
	size_t letters = 1 + below(random, sizeof(alphabet));

	for (size_t i = 0; i < size; i++)
		data[i] = alphabet[below(random, letters)];
}

static void random_round(uint64_t *random, size_t *hit_count)
{
	struct buf texts[ARGS_MAX] = {0};
	struct ms_arg args[ARGS_MAX];
	struct ms_engine engine;
	uint8_t data[300];
	struct hits expected = {.data = data}, actual = {.emit.hit = hit_take, .data = data};
	size_t count = random_args(args, texts, random);
	int r;

	expected.size = actual.size = 1 + below(random, sizeof(data));
	random_data(data, sizeof(data), random);
	r = engine_make(&engine, args, count);
	check_that(r == 0 || strstr(ms_error(), "would match anywhere"), "%s", ms_error());
	if (r == 0) {
		oracle_run(args, count, &expected);
		check_u64(span_run(&engine, &actual, 0, actual.size, 0, 0), 0);
		hits_same(&actual, &expected, "whole");
		hits_clear(&actual);
		pieces_run(&engine, &actual, 0, random);
		hits_same(&actual, &expected, "in random pieces");
		hits_clear(&actual);
		pieces_run(&engine, &actual, 1 + below(random, 3), random);
		hits_same(&actual, &expected, "in small pieces");
		engine_done(&engine);
		*hit_count += expected.list.count;
	}
	for (size_t i = 0; i < ARGS_MAX; i++)
		buf_done(&texts[i]);
	free(expected.list.data);
	free(actual.list.data);
}

static void test_random_patterns(void)
{
	uint64_t random = 1;
	size_t hit_count = 0;

	for (size_t i = 0; i < 1500; i++)
		random_round(&random, &hit_count);
	check_that(hit_count > 10000, "only %zu hits", hit_count);
}

/* ---- Seeds ---- */

struct seed {
	const char *name;
	struct ms_arg args[ARGS_MAX];
	const char *data;
	size_t size;
	const char *hits; /* offset+size... */
};

#define DATA(text) text, sizeof(text) - 1

static const struct seed seeds[] = {
	{"text", {{"text", "abc"}}, DATA("abcabcab"), "0+3 3+3"},
	{"letters in either case", {{"nocase", NULL}, {"text", "a[{"}}, DATA("A[{a[{a{[A[["),
		"0+3 3+3"},
	{"hex stays exact", {{"hex", "61"}, {"nocase", NULL}}, DATA("aAa"), "0+1 2+1"},
	{"UTF-16 after a text", {{"text", "ab"}, {"utf16", NULL}}, DATA("aba\0b\0ab"),
		"0+2 2+4 6+2"},
	{"UTF-16 with surrogates",
		{{"text", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}, {"utf16", NULL}},
		DATA("x\xe9\x00\xac\x20\x3d\xd8\x00\xde"), "1+8"},
	{"UTF-16 in either case", {{"text", "a\xc5\xa1"}, {"utf16", NULL}, {"nocase", NULL}},
		DATA("A\0\x61\x01"
		     "A\0\x41\x01"),
		"0+4"},
	{"order of the arguments",
		{{"hex", "41 [1-2] 43"}, {"text", "ABC"}, {"hex", "41 42"}, {"hex", "41 (42|43)"}},
		DATA("ABC"), "0+3 0+3 0+2 0+2"},
	{"the anchor lies behind", {{"hex", "?? [3-5] 42 43 44"}, {"text", "x"}},
		DATA("xxxxxxBCDx"), "0+9 0+1 1+8 1+1 2+7 2+1 3+1 4+1 5+1 9+1"},
	{"one hit for two anchors", {{"hex", "(41 ?? 42|?? 43 42)"}}, DATA("ACB"), "0+3"},
	{"alignment", {{"text", "a"}, {"align", "4"}}, DATA("aaaaaaaaa"), "0+1 4+1 8+1"},
	{"nothing beyond the end", {{"hex", "41 ??"}, {"hex", "41 [1-3] ??"}}, DATA("AAA"),
		"0+2 0+3 1+2"},
};

static void hits_text(const struct hits *hits, struct buf *text)
{
	buf_clear(text);
	for (size_t i = 0; i < hits->list.count; i++)
		buf_format(text, "%s%llu+%llu", i ? " " : "",
			(unsigned long long)(hits->list.data[i].address - base),
			(unsigned long long)hits->list.data[i].size);
}

static void seed_run(const struct seed *seed)
{
	struct hits hits = {
		.emit.hit = hit_take, .data = (const uint8_t *)seed->data, .size = seed->size};
	struct ms_engine engine;
	struct buf text = {0};
	uint64_t random = 2;
	size_t count = 0;

	while (seed->args[count].key)
		count++;
	check_ok(engine_make(&engine, seed->args, count));
	for (size_t fresh = 1; fresh <= seed->size; fresh++) {
		hits_clear(&hits);
		pieces_run(&engine, &hits, fresh, &random);
		hits_text(&hits, &text);
		check_that(text.data && strcmp(text.data, seed->hits) == 0, "%s: %s, not %s",
			seed->name, text.data, seed->hits);
	}
	engine_done(&engine);
	buf_done(&text);
	free(hits.list.data);
}

static void test_seeds(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		seed_run(&seeds[i]);
}

/* ---- Much of everything ---- */

struct tally {
	struct ms_emit emit;
	uint64_t count, address;
	const char *pattern; /* of the last hit */
	bool ordered;
};

static int tally_take(struct ms_emit *emit, const struct ms_hit *hit)
{
	struct tally *tally = (struct tally *)emit;

	if (hit->address < tally->address)
		tally->ordered = false;
	tally->address = hit->address;
	tally->pattern = hit->pattern;
	tally->count++;
	return 0;
}

static uint64_t tally_run(const struct ms_arg *args, size_t count, uint8_t *data, size_t size)
{
	struct tally tally = {.emit.hit = tally_take, .ordered = true};
	struct ms_span span = {.data = data, .size = size, .fresh = size, .address = base};
	struct ms_engine engine;

	check_ok(engine_make(&engine, args, count));
	check_u64(bytes_engine.span(&engine, NULL, &span, &tally.emit), 0);
	check(tally.ordered);
	engine_done(&engine);
	return tally.count;
}

/* A hit at each byte, in more blocks than one, and more of them than a block keeps. */
static void test_dense(void)
{
	enum { SIZE = 300000 };
	uint8_t *zeros = calloc(1, SIZE);
	struct ms_arg args[9];

	check(zeros);
	check_u64(tally_run((struct ms_arg[]){{"hex", "00"}}, 1, zeros, SIZE), SIZE);
	check_u64(
		tally_run((struct ms_arg[]){{"hex", "00 [1-65000] 00"}}, 1, zeros, SIZE), SIZE - 2);
	for (size_t i = 0; i < ARRAY_SIZE(args); i++)
		args[i] = (struct ms_arg){"hex", i % 3 ? "00 (?? 00|?? ?? 00)" : "00"};
	check_u64(tally_run(args, ARRAY_SIZE(args), zeros, SIZE), 3 * SIZE + 6 * (SIZE - 2));
	zeros[SIZE - 1] = 1;
	check_u64(tally_run((struct ms_arg[]){{"hex", "00 [0-65000] 01"}}, 1, zeros, SIZE), 65001);
	free(zeros);
}

/* Anchors far apart, with matches over the borders of blocks. */
static void test_far(void)
{
	enum { SIZE = 400000 };
	struct ms_arg arg = {"hex", "41 42 [60000-65000] (43|44 45)"};
	uint8_t *data = calloc(1, SIZE);
	uint64_t expected = 0;

	check(data);
	for (size_t at = 1000; at + 65004 < SIZE; at += 7001, expected++) {
		memcpy(data + at, "AB", 2);
		if (expected % 2)
			memcpy(data + at + 2 + 60000, "DE", 2);
		else
			data[at + 2 + 65000] = 'C';
	}
	check_u64(tally_run(&arg, 1, data, SIZE), expected);
	free(data);
}

enum { MANY = 100000 };

static struct ms_arg *many_make(size_t count)
{
	struct ms_arg *args = calloc(count, sizeof(*args));

	check(args);
	for (size_t i = 0; i < count; i++) {
		char *value = malloc(32);

		check(value);
		snprintf(value, 32, i % 1000 ? "%06zx" : "%06zx [1-2] 00", i);
		args[i] = (struct ms_arg){"hex", value};
	}
	return args;
}

static void many_free(struct ms_arg *args, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free((char *)args[i].value);
	free(args);
}

static void test_many(void)
{
	struct ms_arg *args = many_make(MANY + 1);
	uint8_t data[] = {0x01, 0x86, 0x9f, 0, 0, 0, 0x00, 0x03, 0xe8, 0xff, 0x00, 0xff};
	struct ms_engine engine;

	/* 99,999; then 0 with [1-2] 00 does not fit; 1,000 and its jump; 0x0003e8 is 1,000. */
	check_u64(tally_run(args, MANY, data, sizeof(data)), 3);
	check_u64(engine_make(&engine, args, MANY + 1) == MS_ERR_ARGUMENT, true);
	check_text(ms_error(), "more than 100000 patterns");
	many_free(args, MANY + 1);
}

/* What the sink returns ends the search at once. */
static void test_stop(void)
{
	static const struct ms_arg sets[][2] = {
		{{"text", "a"}, {"text", "aa"}},
		{{"hex", "61 [0-2] 61"}, {"hex", "(61|62)"}},
		{{"text", "a"}, {"hex", "61 [0-2] 61"}},
	};
	static const uint8_t data[] = "aaaaaaaa";

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		for (size_t stop = 1; stop < 10; stop++) {
			struct hits hits = {.emit.hit = hit_take, .data = data, .size = 8};
			struct ms_engine engine;

			hits.stop_at = stop;
			check_ok(engine_make(&engine, sets[i], 2));
			check_u64(span_run(&engine, &hits, 0, 8, 0, 0), STOP);
			check_u64(hits.list.count, stop);
			engine_done(&engine);
			free(hits.list.data);
		}
	}
}

struct refused {
	struct ms_arg args[3];
	const char *why;
};

static const struct refused refused[] = {
	{{{0}}, "there is nothing to search for"},
	{{{"nocase", NULL}}, "there is nothing to search for"},
	{{{"text", ""}}, "a text to search for is empty"},
	{{{"text", NULL}}, "text needs a value"},
	{{{"hex", NULL}}, "hex needs a value"},
	{{{"align", NULL}}, "align needs a value"},
	{{{"hex", "AA"}, {"hex", "A"}}, "hex pattern: this is half a byte, at character 1"},
	{{{"text", "a"}, {"align", "0"}}, "align: the alignment must be at least 1"},
	{{{"text", "a"}, {"align", "4x"}}, "align: this is not part of a number, at character 2"},
	{{{"text", "a"}, {"regex", "b"}}, "the engine \"bytes\" has no argument \"regex\""},
	{{{"text", "ab\xff"}, {"utf16", NULL}}, "text: this is not UTF-8"},
};

static void test_refused(void)
{
	struct ms_engine engine;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		size_t count = 0;

		while (refused[i].args[count].key)
			count++;
		check_that(engine_make(&engine, refused[i].args, count) == MS_ERR_ARGUMENT, "%s",
			refused[i].why);
		check_that(strncmp(ms_error(), refused[i].why, strlen(refused[i].why)) == 0,
			"%s, not %s", ms_error(), refused[i].why);
	}
}

/* The longest text, as it is and as UTF-16, and what the overlap then is. */
static void test_long_text(void)
{
	enum { LONGEST = 65536 };
	char *text = malloc(LONGEST + 2);
	struct ms_arg args[] = {{"text", text}, {"utf16", NULL}};
	struct ms_engine engine;

	check(text);
	memset(text, 'a', LONGEST + 1);
	text[LONGEST + 1] = '\0';
	check(engine_make(&engine, args, 1) == MS_ERR_ARGUMENT);
	check_text(ms_error(), "a text is longer than 65536 bytes");
	text[LONGEST] = '\0';
	check_ok(engine_make(&engine, args, 1));
	check_u64(bytes_engine.overlap(&engine), LONGEST - 1);
	engine_done(&engine);
	check(engine_make(&engine, args, 2) == MS_ERR_ARGUMENT);
	check_text(ms_error(), "a text is longer than 65536 bytes as UTF-16");
	text[LONGEST / 2] = '\0';
	check_ok(engine_make(&engine, args, 2));
	check_u64(bytes_engine.overlap(&engine), LONGEST - 1);
	engine_done(&engine);
	free(text);
}

static const struct test tests[] = {
	{"seeds", test_seeds},
	{"random patterns", test_random_patterns},
	{"dense", test_dense},
	{"far", test_far},
	{"many", test_many},
	{"stop", test_stop},
	{"refused", test_refused},
	{"long text", test_long_text},
};

TEST_MAIN(tests)
