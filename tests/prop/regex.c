/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "regex" against a slow oracle that reads the expressions' text for itself and tries
 * every start and end: random expressions and data over a tiny alphabet, cut in every way, must
 * give the same hits. The part for expressions of which libhs cannot tell starts is tried with
 * all of them, too.
 */
#include "base/buf.h"
#include "base/bytes.h"
#include "engine/engines.h"
#include "engine/regex_ends.h"
#include "spans.h"

enum { ARGS_MAX = 6, DATA_SMALL = 300 };

/* ---- The oracle ---- */

/* Which places a match that began at one start may have come to. */
struct reach {
	size_t size;	 /* places 0 to size */
	size_t from, to; /* none is outside of these */
	bool *at;
};

static struct reach reach_new(size_t size)
{
	struct reach reach = {size, size, 0, calloc(size + 1, sizeof(bool))};

	check(reach.at);
	return reach;
}

/* True if something was new. */
static bool reach_join(struct reach *to, const struct reach *from)
{
	bool grown = false;

	for (size_t i = from->from; i <= from->to; i++) {
		grown |= from->at[i] && !to->at[i];
		to->at[i] |= from->at[i];
	}
	to->from = (size_t)min_u64(to->from, from->from);
	to->to = (size_t)max_u64(to->to, from->to);
	return grown;
}

struct oracle {
	const char *at; /* in the expression */
	const uint8_t *data;
	bool nocase;
};

static struct reach oracle_branches(struct oracle *o, const struct reach *in);

static bool byte_fits(const struct oracle *o, char want, uint8_t byte)
{
	return (uint8_t)want == byte || (o->nocase && is_letter(want) && (want ^ byte) == 0x20);
}

/* A character, a dot or a class such as [ab]. */
static struct reach oracle_byte(struct oracle *o, const struct reach *in)
{
	struct reach out = reach_new(in->size);
	const char *end = *o->at == '[' ? strchr(o->at, ']') : o->at;

	for (size_t i = in->from; i <= in->to && i < in->size; i++) {
		bool fits = *o->at == '.';

		for (const char *c = o->at + (*o->at == '['); *o->at != '.' && c <= end; c++)
			fits |= *c != ']' && byte_fits(o, *c, o->data[i]);
		out.at[i + 1] = in->at[i] && fits;
		if (!out.at[i + 1])
			continue;
		out.from = (size_t)min_u64(out.from, i + 1);
		out.to = i + 1;
	}
	o->at = end + 1;
	return out;
}

static struct reach oracle_atom(struct oracle *o, const struct reach *in)
{
	struct reach out;

	if (*o->at != '(')
		return oracle_byte(o, in);
	o->at++;
	out = oracle_branches(o, in);
	o->at++;
	return out;
}

static void repeat_parse(struct oracle *o, size_t *ret_least, size_t *ret_most)
{
	char *end;

	*ret_least = *ret_most = 1;
	if (*o->at == '?' || *o->at == '*')
		*ret_least = 0;
	if (*o->at == '*' || *o->at == '+')
		*ret_most = SIZE_MAX;
	if (*o->at && strchr("?*+", *o->at)) {
		o->at++;
	} else if (*o->at == '{') {
		*ret_least = *ret_most = strtoul(o->at + 1, &end, 10);
		if (*end == ',')
			*ret_most = strtoul(end + 1, &end, 10);
		o->at = end + 1;
	}
}

static struct reach oracle_repeat(struct oracle *o, const struct reach *in)
{
	struct reach out = reach_new(in->size), now = reach_new(in->size);
	struct oracle atom = *o;
	size_t least, most;

	reach_join(&now, in);
	free(oracle_atom(o, in).at);
	repeat_parse(o, &least, &most);
	for (size_t i = 0; i <= most; i++) {
		struct oracle again = atom;
		struct reach next;

		/* Nothing new: more of it makes no difference. */
		if (i >= least && !reach_join(&out, &now))
			break;
		next = oracle_atom(&again, &now);
		free(now.at);
		now = next;
	}
	free(now.at);
	return out;
}

static struct reach oracle_branches(struct oracle *o, const struct reach *in)
{
	struct reach out = reach_new(in->size);

	for (;; o->at++) {
		struct reach now = reach_new(in->size);

		reach_join(&now, in);
		while (*o->at && !strchr("|)", *o->at)) {
			struct reach next = oracle_repeat(o, &now);

			free(now.at);
			now = next;
		}
		reach_join(&out, &now);
		free(now.at);
		if (*o->at != '|')
			return out;
	}
}

/* Every end belongs to its leftmost start; a start is reported with the farthest of its ends. */
static void oracle_expression(const char *text, bool nocase, struct hits *hits, size_t width)
{
	bool *claimed = calloc(hits->size + 1, sizeof(bool));

	check(claimed);
	for (size_t start = 0; start < hits->size; start++) {
		size_t size = (size_t)min_u64(hits->size - start, width), longest = 0;
		struct oracle o = {text, hits->data + start, nocase};
		struct reach in = reach_new(size), out;

		in.at[0] = true;
		in.from = 0;
		out = oracle_branches(&o, &in);
		for (size_t i = 1; i <= size; i++)
			if (out.at[i] && !claimed[start + i]) {
				claimed[start + i] = true;
				longest = i;
			}
		if (longest)
			hits_add(hits, (struct found){.address = hits->base + start,
					       .size = longest,
					       .label = text});
		free(in.at);
		free(out.at);
	}
	free(claimed);
}

static int found_compare(const void *left, const void *right)
{
	const struct found *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	/* By argument: `continued` is not used here otherwise, see oracle_run(). */
	return a->label < b->label ? -1 : a->label > b->label;
}

/* Texts of arguments lie behind each other, so their addresses are in their order. */
static void oracle_run(const struct ms_arg *args, size_t count, uint64_t align, bool nocase,
	size_t width, struct hits *hits)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		oracle_expression(args[i].value + strlen("(?s)"), nocase, hits, width);
	if (hits->list.count)
		qsort(hits->list.data, hits->list.count, sizeof(*hits->list.data), found_compare);
	for (size_t i = 0; i < hits->list.count; i++)
		if (hits->list.data[i].address % align == 0)
			hits->list.data[kept++] = hits->list.data[i];
	hits->list.count = kept;
	for (size_t i = 0; i < kept; i++)
		hits->list.data[i].label -= strlen("(?s)");
}

/* ---- Random expressions ---- */

static size_t below(uint64_t *random, size_t limit)
{
	return test_random(random) % limit;
}

static void random_sequence(struct buf *text, uint64_t *random, unsigned depth)
{
	static const char *const atoms[] = {"a", "b", "c", "A", "[ab]", "[bc]", ".", "a"};
	static const char *const repeats[] = {"?", "*", "+", "{2}", "{1,3}", "{0,2}"};

	for (size_t items = 1 + below(random, 4); items; items--) {
		if (depth < 2 && below(random, 5) == 0) {
			buf_char(text, '(');
			random_sequence(text, random, depth + 1);
			buf_char(text, '|');
			random_sequence(text, random, depth + 1);
			buf_char(text, ')');
		} else {
			buf_text(text, atoms[below(random, ARRAY_SIZE(atoms))]);
		}
		if (below(random, 4) == 0)
			buf_text(text, repeats[below(random, ARRAY_SIZE(repeats))]);
	}
}

struct round {
	struct buf texts;
	struct ms_arg args[ARGS_MAX + 2];
	size_t expressions, count;
	uint64_t align;
	bool nocase;
	uint8_t data[DATA_SMALL];
	struct hits expected, actual;
};

static void round_make(struct round *round, uint64_t *random)
{
	size_t offsets[ARGS_MAX], letters = 1 + below(random, 4);
	static const char alphabet[] = "abcA";

	round->expressions = 1 + below(random, 3);
	for (size_t i = 0; i < round->expressions; i++) {
		offsets[i] = round->texts.size;
		buf_text(&round->texts, "(?s)");
		random_sequence(&round->texts, random, 0);
		buf_add(&round->texts, "", 1);
	}
	for (size_t i = 0; i < round->expressions; i++)
		round->args[i] = (struct ms_arg){"regex", round->texts.data + offsets[i]};
	round->count = round->expressions;
	round->nocase = below(random, 3) == 0;
	round->align = below(random, 4) ? 1 : 3;
	if (round->nocase)
		round->args[round->count++] = (struct ms_arg){"nocase", NULL};
	if (round->align == 3)
		round->args[round->count++] = (struct ms_arg){"align", "3"};
	round->expected.size = round->actual.size = 1 + below(random, DATA_SMALL);
	for (size_t i = 0; i < DATA_SMALL; i++)
		round->data[i] = (uint8_t)alphabet[below(random, letters)];
	round->expected.data = round->actual.data = round->data;
	/* A border of blocks lies in the data now and then. */
	round->expected.base = round->actual.base = 0x20000 - below(random, 2 * DATA_SMALL);
	round->actual.emit.hit = hit_take;
}

static size_t round_run(uint64_t *random)
{
	struct round round = {0};
	ms_engine *engine = NULL;
	size_t count;
	int r;

	round_make(&round, random);
	r = ms_engine_new("regex", round.args, round.count, &engine);
	check_that(r == 0 || strstr(ms_error(), "empty string"), "%s", ms_error());
	if (r == 0) {
		oracle_run(round.args, round.expressions, round.align, round.nocase, SIZE_MAX,
			&round.expected);
		whole_run(engine, &round.actual);
		hits_same(&round.actual, &round.expected, "whole");
		hits_clear(&round.actual);
		pieces_run(engine, &round.actual, 1 + below(random, 90), random);
		hits_same(&round.actual, &round.expected, "in pieces");
		ms_engine_free(engine);
	}
	count = round.expected.list.count;
	hits_done(&round.expected);
	hits_done(&round.actual);
	buf_done(&round.texts);
	return count;
}

static void test_random_expressions(void)
{
	uint64_t random = 1;
	size_t count = 0;

	for (size_t i = 0; i < 400; i++)
		count += round_run(&random);
	check_that(count > 4000, "only %zu hits", count);
}

/* ---- Starts that libhs cannot tell ---- */

struct ends_hits {
	struct hits *hits;
	const char *text;
};

static int end_take(void *ctx, size_t start, size_t end)
{
	struct ends_hits *to = ctx;

	hits_add(to->hits,
		(struct found){
			.address = to->hits->base + start, .size = end - start, .label = to->text});
	return 0;
}

/* Some starts after the other, with bytes around them that cannot be seen otherwise. */
static void ends_run(
	const struct ends *ends, hs_scratch_t *scratch, struct ends_hits *to, uint64_t *random)
{
	for (size_t first = 0, count; first < to->hits->size; first += count) {
		uint64_t marks[64];
		struct ends_range range;

		count = (size_t)min_u64(1 + below(random, 100), to->hits->size - first);
		range = (struct ends_range){.data = to->hits->data,
			.size = to->hits->size,
			.first = first,
			.count = count};
		check_ok(ends_search(ends, scratch, marks, &range, end_take, to));
	}
}

static void test_ends(void)
{
	uint64_t random = 2;
	size_t count = 0;

	for (size_t i = 0; i < 300; i++) {
		struct round round = {0};
		hs_compile_error_t *error = NULL;
		hs_scratch_t *scratch = NULL;
		struct ends ends = {0};
		const char *text;

		round_make(&round, &random);
		text = round.args[0].value;
		if (ends_init(&ends, text, 0, 1 + below(&random, DATA_SMALL), &scratch, &error) ==
			HS_SUCCESS) {
			oracle_expression(
				text + strlen("(?s)"), false, &round.expected, ends.width);
			ends_run(&ends, scratch,
				&(struct ends_hits){&round.actual, text + strlen("(?s)")}, &random);
			hits_same(&round.actual, &round.expected, text);
			count += round.expected.list.count;
		}
		hs_free_compile_error(error);
		hs_free_scratch(scratch);
		ends_done(&ends);
		hits_done(&round.expected);
		hits_done(&round.actual);
		buf_done(&round.texts);
	}
	check_that(count > 2000, "only %zu hits", count);
}

/* Through the engine: libhs refuses to tell starts for these. */
static void test_slow_expressions(void)
{
	static const char texts[] = "(?s)M[ab]{50,300}(P|QQ)c{0,2}\0(?s)[ab]{40,200}c{0,2}\0(?s)ab";
	struct ms_arg args[] = {{"regex", texts}, {"regex", texts + 30}, {"regex", texts + 53}};
	uint8_t data[6000];
	struct hits expected = {.data = data, .size = sizeof(data), .base = 0x7000};
	struct hits actual = {
		.emit.hit = hit_take, .data = data, .size = sizeof(data), .base = 0x7000};
	uint64_t random = 4;
	ms_engine *engine;

	check_text(args[1].value, "(?s)[ab]{40,200}c{0,2}");
	check_text(args[2].value, "(?s)ab");
	for (size_t i = 0; i < sizeof(data); i++) {
		unsigned which = (unsigned)below(&random, 300);

		data[i] = (uint8_t)(which < 4 ? "MPQc"[which] : "ab"[which % 2]);
		if (which == 5)
			for (size_t k = 0; k < 3 && i + 1 < sizeof(data); k++)
				data[i++] = (uint8_t) "QcP"[below(&random, 3)];
	}
	check_ok(ms_engine_new("regex", args, 3, &engine));
	oracle_run(args, 3, 1, false, 400, &expected);
	check_that(expected.list.count > 1500, "only %zu hits", expected.list.count);
	whole_run(engine, &actual);
	hits_same(&actual, &expected, "whole");
	hits_clear(&actual);
	pieces_run(engine, &actual, 700, &random);
	hits_same(&actual, &expected, "in pieces");
	hits_done(&expected);
	hits_done(&actual);
	ms_engine_free(engine);
}

/* ---- Long matches ---- */

/* Widths without a limit: what is found depends on addresses, but never on how it was cut. */
static void test_unbounded(void)
{
	enum { SIZE = 250000 };
	static const char *const texts[] = {
		"(?s)a.*b", "a[^\\n]+b", "(?s)b.*", "(?s)a.{0,9000}b", "ab+", "\\n[^\\n]+\\n"};
	uint8_t *data = malloc(SIZE);
	uint64_t random = 6;

	check(data);
	for (size_t i = 0; i < 12; i++) {
		struct ms_arg args[] = {{"regex", texts[i % ARRAY_SIZE(texts)]},
			{"regex", texts[below(&random, ARRAY_SIZE(texts))]}};
		struct hits whole = {.emit.hit = hit_take, .data = data, .size = SIZE};
		struct hits pieces = whole;
		ms_engine *engine;

		whole.base = pieces.base = below(&random, 100000);
		memset(data, 'x', SIZE);
		for (size_t n = below(&random, i % 2 ? 100 : 3000); n; n--)
			data[below(&random, SIZE)] = (uint8_t) "ab\n"[below(&random, 3)];
		check_ok(ms_engine_new("regex", args, 2, &engine));
		whole_run(engine, &whole);
		pieces_run(engine, &pieces, i % 3 ? 200000 : 40000, &random);
		hits_same(&pieces, &whole, texts[i % ARRAY_SIZE(texts)]);
		for (size_t k = 0; k < whole.list.count; k++)
			check(whole.list.data[k].size <= MS_REGEX_MAX);
		hits_done(&whole);
		hits_done(&pieces);
		ms_engine_free(engine);
	}
	free(data);
}

static void test_cut(void)
{
	enum { SIZE = 20000 };
	struct ms_arg arg = {"regex", "a[bc]*"};
	uint8_t *data = malloc(SIZE);
	struct hits hits = {.emit.hit = hit_take, .data = data, .size = SIZE, .base = 0x12345};
	ms_engine *engine;

	check(data);
	memset(data, 'b', SIZE);
	data[100] = 'a';
	data[15000] = 'a';
	data[15010] = '.';
	check_ok(ms_engine_new("regex", &arg, 1, &engine));
	whole_run(engine, &hits);
	check_u64(hits.list.count, 2);
	check_u64(hits.list.data[0].address, hits.base + 100);
	check_u64(hits.list.data[0].size, MS_REGEX_MAX);
	check_u64(hits.list.data[1].address, hits.base + 15000);
	check_u64(hits.list.data[1].size, 10);
	hits_done(&hits);
	ms_engine_free(engine);
	free(data);
}

/* ---- Much of everything ---- */

/* Several expressions with a hit at each byte: more than is kept at once. */
static void test_dense(void)
{
	enum { SIZE = 600000 };
	static const struct ms_arg sets[][5] = {
		{{"regex", "\\x00"}, {"regex", "[\\x00a]"}, {"regex", "\\x00\\x00"}, {"regex", "."},
			{"regex", "\\x00[^a]"}},
		{{"regex", "\\x00"}, {"regex", "[\\x00a]"}, {"regex", "\\x00\\x00"}, {"regex", "."},
			{"regex", "\\x00[^a]?b*"}},
	};
	uint8_t *zeros = calloc(1, SIZE);

	check(zeros);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		struct hits hits = {.emit.hit = hit_take, .data = zeros, .size = SIZE, .base = 77};
		ms_engine *engine;

		check_ok(ms_engine_new("regex", sets[i], 5, &engine));
		whole_run(engine, &hits);
		/* Two have none at the last byte: it is too short, or the end of the one before. */
		check_u64(hits.list.count, 5 * SIZE - 2);
		for (size_t k = 1; k < hits.list.count; k++)
			check(hits.list.data[k - 1].address <= hits.list.data[k].address);
		hits_done(&hits);
		ms_engine_free(engine);
	}
	free(zeros);
}

static void test_source(void)
{
	enum { SIZE = 3 << 20, HOLE = 1 << 20, GAP = 4096 };
	static const unsigned threads[] = {1, 2, 4};
	static const char texts[] =
		"(?s)abc\0(?s)ab[xy]{1,20}c\0(?s)b[ab]+c\0(?s)a[ab]{50,300}c{0,2}x";
	struct ms_arg args[] = {{"regex", texts}, {"regex", texts + 8}, {"regex", texts + 26},
		{"regex", texts + 38}};
	uint8_t *data = malloc(SIZE);
	struct hits first = {.emit.hit = hit_take, .data = data, .size = HOLE, .base = 0x103000};
	struct hits second = {.emit.hit = hit_take,
		.data = data + HOLE + GAP,
		.size = SIZE - HOLE - GAP,
		.base = first.base + HOLE + GAP};
	const struct ms_segment segments[] = {
		{first.base, HOLE, data, MS_PERM_READ, MS_STATE_DATA},
		{first.base + HOLE, GAP, NULL, MS_PERM_READ, MS_STATE_IO_ERROR},
		{second.base, 4096, second.data, MS_PERM_READ, MS_STATE_DATA},
		{second.base + 4096, second.size - 4096, second.data + 4096, MS_PERM_READ,
			MS_STATE_DATA},
	};
	uint64_t random = 5;
	ms_engine *engine;

	check(data);
	check_text(args[3].value, "(?s)a[ab]{50,300}c{0,2}x");
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t) "ababababxyc"[below(&random, 11)];
	/* Over the border of the two that lie side by side, and over the gap. */
	memcpy(second.data ? data + HOLE + GAP + 4095 : data, "abc", 3);
	memcpy(data + HOLE - 2, "ab", 2);
	memcpy(data + HOLE + GAP, "c", 1);
	check_ok(ms_engine_new("regex", args, 4, &engine));
	whole_run(engine, &first);
	whole_run(engine, &second);
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

static void test_stop(void)
{
	static const uint8_t data[] = "abababab";
	struct ms_arg args[] = {{"regex", "a"}, {"regex", "ab+"}};
	ms_engine *engine;

	check_ok(ms_engine_new("regex", args, 2, &engine));
	for (size_t stop = 1; stop <= 8; stop++) {
		struct hits hits = {.emit.hit = hit_take, .data = data, .size = 8, .stop_at = stop};

		check_u64(span_run(engine, &hits, 0, hits.size, 0, 0), STOP);
		check_u64(hits.list.count, stop);
		hits_done(&hits);
	}
	ms_engine_free(engine);
}

/* What begins or ends at a word or line looks one byte farther. */
static void test_borders(void)
{
	static const struct {
		const char *text, *data;
		size_t hits;
	} cases[] = {
		{"\\bcat\\b", "cat concat cats cat", 2},
		{"(?m)^cat$", "cat\ncat \n cat\ncat", 2},
		{"^cat", "cat\ncat", 1},
		{"cat$", "cat\ncat", 1},
		{"\\b[ac-e]{2,90}(t|uu)[a-s]{0,60}", "cat concat", 1},
	};
	uint64_t random = 9;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ms_arg arg = {"regex", cases[i].text};
		struct hits hits = {.emit.hit = hit_take,
			.data = (const uint8_t *)cases[i].data,
			.size = strlen(cases[i].data),
			.base = 0x7ffe};
		ms_engine *engine;

		check_ok(ms_engine_new("regex", &arg, 1, &engine));
		for (size_t n = 0; n < 20; n++) {
			pieces_run(engine, &hits, 1 + n, &random);
			check_that(hits.list.count == cases[i].hits, "%s in %s: %zu hits",
				cases[i].text, cases[i].data, hits.list.count);
			hits_clear(&hits);
		}
		hits_done(&hits);
		ms_engine_free(engine);
	}
}

static void test_refused(void)
{
	static const struct {
		struct ms_arg args[2];
		const char *why;
	} refused[] = {
		{{{"nocase", NULL}}, "there is nothing to search for"},
		{{{"regex", ""}}, "a regular expression is empty"},
		{{{"regex", NULL}}, "regex needs a value"},
		{{{"regex", "a"}, {"regex", "b(c"}}, "regex: Missing close parenthesis for group "
						     "started, at character 2\n  b(c\n"},
		{{{"regex", "a[b"}},
			"regex: Unterminated character class starting, at character 2"},
		{{{"regex", "a*"}}, "the regular expression \"a*\" matches the empty string"},
		{{{"regex", "a|b?"}}, "the regular expression \"a|b?\" matches the empty string"},
		{{{"regex", "(a)\\1"}},
			"the regular expression \"(a)\\1\": Back-references are unsupp"},
		{{{"regex", "a{5000}"}},
			"the regular expression \"a{5000}\" matches nothing shorter"},
		{{{"regex", "a"}, {"align", "0"}}, "align: the alignment must be at least 1"},
		{{{"regex", "a"}, {"hex", "00"}}, "the engine \"regex\" has no argument \"hex\""},
	};
	ms_engine *engine;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		size_t count = refused[i].args[1].key ? 2 : 1;

		check_that(
			ms_engine_new("regex", refused[i].args, count, &engine) == MS_ERR_ARGUMENT,
			"%s", refused[i].why);
		check_that(strncmp(ms_error(), refused[i].why, strlen(refused[i].why)) == 0,
			"%s, not %s", ms_error(), refused[i].why);
	}
}

static const struct test tests[] = {
	{"random expressions", test_random_expressions},
	{"ends", test_ends},
	{"slow expressions", test_slow_expressions},
	{"unbounded", test_unbounded},
	{"cut", test_cut},
	{"dense", test_dense},
	{"source", test_source},
	{"stop", test_stop},
	{"borders", test_borders},
	{"refused", test_refused},
};

TEST_MAIN(tests)
