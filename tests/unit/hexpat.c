/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/hexpat.h"

#include "base/buf.h"
#include "memsift.h"
#include "test.h"

struct good {
	const char *text;
	size_t size_min, size_max;
	bool literal;
};

static const struct good good[] = {
	{"AA", 1, 1, true},
	{"aAbB", 2, 2, true},
	{" \t4d\n5A\r", 2, 2, true},
	{"{4D 5A}", 2, 2, true},
	{" { 4D 5A } ", 2, 2, true},
	{"?? AA ??", 3, 3, true},
	{"A? ?B", 2, 2, true},
	{"AA [4] BB", 6, 6, true},
	{"AA [3-3] BB", 5, 5, true},
	{"AA [0] BB", 2, 2, true},
	{"AA[4-8]BB", 6, 10, false},
	{"AA [ 0 - 3 ] BB", 2, 5, false},
	{"AA [1-2] [3] ?? [0-1] BB", 7, 9, false},
	{"(AA|BB)", 1, 1, false},
	{"( AA BB | CC )", 1, 2, false},
	{"(AA)", 1, 1, false},
	{"AA (BB CC|D?|(EE|FF [1-3] 00)) 11", 3, 7, false},
	{"(AA|?? ) BB", 2, 2, false},
	{"AA [0-65534] BB", 2, 65536, false},
	{"AA [65534] BB", 65536, 65536, true},
	{"((((((((((((((((AA))))))))))))))))", 1, 1, false},
};

static void test_good(void)
{
	struct hexpat *pattern;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		int r = hexpat_new("hex", good[i].text, &pattern);

		check_that(r == 0, "%s: %s", good[i].text, ms_error());
		check_that(pattern->size_min == good[i].size_min &&
				   pattern->size_max == good[i].size_max,
			"%s: %zu to %zu", good[i].text, pattern->size_min, pattern->size_max);
		check_that(hexpat_is_literal(pattern) == good[i].literal, "%s", good[i].text);
		hexpat_free(pattern);
	}
}

struct bad {
	const char *text;
	size_t at; /* from 1 on, as people count */
	const char *why;
};

#define NOTHING "the pattern fixes nothing and would match anywhere"
#define JUMP "a jump is written [4] or [4-8], with both its ends"

static const struct bad bad[] = {
	{"", 1, "the pattern is empty"},
	{"  ", 3, "the pattern is empty"},
	{"{}", 2, "the pattern is empty"},
	{"A", 1, "this is half a byte"},
	{"AA B", 4, "this is half a byte"},
	{"A ?", 1, "this is half a byte"},
	{"AA (B|CC)", 5, "this is half a byte"},
	{"{A}", 2, "this is half a byte"},
	{"AA gB", 4, "'g' is not a hex digit"},
	{"AA Bg", 5, "'g' is not a hex digit"},
	{"0x41", 2, "'x' is not a hex digit"},
	{"~AA", 1, "'~' is not a hex digit"},
	{"AA]", 3, "']' is not a hex digit"},
	{"AA {BB}", 4, "'{' is not a hex digit"},
	{"A\xc3\xa9", 2, "this is not a hex digit"},
	{"AA \x01", 4, "this is not a hex digit"},
	{"??", 1, NOTHING},
	{"?? [2-4] ??", 1, NOTHING},
	{"(AA|?? )", 1, NOTHING},
	{"(AA|(BB|?? ?? )) ??", 1, NOTHING},
	{"[4] AA", 1, "a pattern may not begin with a jump"},
	{"{ [4-8] AA }", 3, "a pattern may not begin with a jump"},
	{"AA [4-8]", 4, "a pattern may not end with a jump"},
	{"AA [4]", 4, "a pattern may not end with a jump"},
	{"AA [4] [5-6] ", 8, "a pattern may not end with a jump"},
	{"AA ([1-2] BB)", 5, "an alternative may not begin with a jump"},
	{"AA (BB|[1-2] BB)", 8, "an alternative may not begin with a jump"},
	{"AA (BB [1-2]|CC)", 8, "an alternative may not end with a jump"},
	{"AA (BB|CC[2])", 10, "an alternative may not end with a jump"},
	{"AA [-] BB", 5, JUMP},
	{"AA [4-] BB", 7, JUMP},
	{"AA [-4] BB", 5, JUMP},
	{"AA [] BB", 5, JUMP},
	{"AA [", 5, JUMP},
	{"AA [x] BB", 5, JUMP},
	{"AA [4", 6, "the ] of the jump is missing"},
	{"AA [4-8 BB", 9, "the ] of the jump is missing"},
	{"AA [4-8-9] BB", 8, "the ] of the jump is missing"},
	{"AA [0x10] BB", 6, "the ] of the jump is missing"},
	{"AA [8-4] BB", 7, "the jump ends before it begins"},
	{"AA [65536] BB", 5, "the jump is longer than 65535 bytes"},
	{"AA [1-99999999999999999999] BB", 7, "the jump is longer than 65535 bytes"},
	{"AA [0-65535] BB", 14, "the pattern may match more than 65536 bytes"},
	{"AA [1-60000] [1-60000] BB", 14, "the pattern may match more than 65536 bytes"},
	{"AA [60000] [60000] BB", 12, "the pattern has more than 65536 bytes"},
	{"()", 2, "an alternative is empty"},
	{"AA (|BB)", 5, "an alternative is empty"},
	{"AA (BB|)", 8, "an alternative is empty"},
	{"AA (BB||CC)", 8, "an alternative is empty"},
	{"AA|BB", 3, "alternatives are written in parentheses, as in (AA|BB)"},
	{"AA)", 3, "this ) closes nothing"},
	{"(AA", 1, "this ( is never closed"},
	{"(AA|(BB", 5, "this ( is never closed"},
	{"(AA (BB)", 1, "this ( is never closed"},
	{"{(AA}", 2, "this ( is never closed"},
	{" { AA", 2, "this { is never closed"},
	{"AA }", 4, "this } closes nothing"},
	{"{AA} BB", 6, "nothing may follow the }"},
	{"{AA}}", 5, "nothing may follow the }"},
	{"(((((((((((((((((AA)))))))))))))))))", 17, "alternatives are nested more than 16 deep"},
};

static void test_bad(void)
{
	struct hexpat *pattern = NULL;
	char expected[200];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int r = hexpat_new("hex", bad[i].text, &pattern);

		snprintf(expected, sizeof(expected), "hex: %s, at character %zu\n", bad[i].why,
			bad[i].at);
		check_that(r == MS_ERR_ARGUMENT && !pattern, "%s is accepted", bad[i].text);
		check_that(strncmp(ms_error(), expected, strlen(expected)) == 0, "%s: %s",
			bad[i].text, ms_error());
	}
}

static bool fails_with(const char *text, const char *why)
{
	struct hexpat *pattern = NULL;
	int r = hexpat_new("hex", text, &pattern);

	hexpat_free(pattern);
	return r == MS_ERR_ARGUMENT && strstr(ms_error(), why);
}

/* Limits that only long patterns reach, on both sides. */
static void test_limits(void)
{
	struct hexpat *pattern;
	struct buf text = {0};

	for (size_t i = 0; i < HEXPAT_SIZE_MAX; i++)
		buf_text(&text, "AA ");
	check_ok(hexpat_new("hex", text.data, &pattern));
	check_u64(pattern->size_max, HEXPAT_SIZE_MAX);
	hexpat_free(pattern);
	buf_text(&text, "BB");
	check(fails_with(text.data, "has more than 65536 bytes, at character 196609\n"));

	buf_clear(&text);
	buf_text(&text, "(AA");
	for (size_t i = 0; i < (HEXPAT_NODES_MAX - 4) / 2; i++)
		buf_text(&text, "|BB");
	buf_text(&text, ") CC");
	check_ok(hexpat_new("hex", text.data, &pattern));
	check_u64(pattern->node_count, HEXPAT_NODES_MAX);
	hexpat_free(pattern);
	buf_text(&text, "[1-2] DD");
	check(fails_with(text.data, "the pattern has too many parts"));

	buf_clear(&text);
	for (size_t i = 0; i < HEXPAT_TEXT_MAX; i++)
		buf_char(&text, ' ');
	buf_text(&text, "AA");
	check(fails_with(text.data, "longer than 262144 characters"));
	buf_done(&text);
}

struct anchored {
	const char *text, *anchors;
};

/* What a pattern is found by, as "first bytes@least-most" of each anchor. */
static const struct anchored anchored[] = {
	{"AA BB [1-4] CC DD EE", "CCDDEE@3-6 "},
	{"AA BB CC [1-4] CC DD", "AABBCC@0-0 "},
	{"00 00 [1-4] C3 ??", "C3@3-6 "},
	{"?? ?? AA [1-4] 00", "AA@2-2 "},
	{"(AA ??|BB CC) [0-2] 00", "AA@0-0 BBCC@0-0 "},
	{"(AA|?? ) 00", "00@1-1 "},
	{"00 (AA|(BB CC|DD) 11)", "AA@1-1 BBCC@1-1 DD@1-1 "},
};

static void test_anchors(void)
{
	struct hexpat *pattern;

	for (size_t i = 0; i < sizeof(anchored) / sizeof(*anchored); i++) {
		struct buf text = {0};

		check_ok(hexpat_new("hex", anchored[i].text, &pattern));
		for (size_t k = 0; k < pattern->anchor_count; k++) {
			const struct hexpat_anchor *a = &pattern->anchors[k];

			for (size_t n = 0; n < a->size; n++)
				buf_format(&text, "%02X", a->value[n]);
			buf_format(&text, "@%u-%u ", a->before_min, a->before_max);
		}
		check_text(text.data, anchored[i].anchors);
		buf_done(&text);
		hexpat_free(pattern);
	}
}

struct matching {
	const char *text, *data; /* data is hex bytes, without blanks */
	size_t sizes[8];	 /* of the match at each offset; 0 for none */
};

static const struct matching matching[] = {
	{"AA BB", "AABBAAAABB", {2, 0, 0, 2, 0}},
	{"A? ?B", "AABBA1FB", {2, 0, 2, 0}},
	{"AA [0-2] BB", "AAAABBBBAA", {3, 2, 0, 0, 0}},
	{"AA [1-2] BB", "AABBBB", {3, 0, 0}},
	{"AA (BB BB BB|BB) CC", "AABBBBBBCCBBCC", {5, 0, 0, 0, 0, 0, 0}},
	{"AA (BB [0-3] BB|CC) DD", "AABBBBBBDDAACCDD", {5, 0, 0, 0, 0, 3, 0, 0}},
	{"AA (BB|BB CC)", "AABBCC", {2, 0, 0}},
	{"AA [0-9] (BB CC CC|CC)", "AABBCCCC", {3, 0, 0, 0}},
	{"AA [3] BB", "AA0000BB", {0, 0, 0, 0}},
};

struct sizes {
	size_t of[8];
};

static int size_take(void *ctx, size_t offset, size_t size)
{
	struct sizes *sizes = ctx;

	sizes->of[offset] = size;
	return 0;
}

static void test_matching(void)
{
	struct hexpat_work work = {0};
	struct hexpat *pattern;

	for (size_t i = 0; i < sizeof(matching) / sizeof(*matching); i++) {
		const struct matching *m = &matching[i];
		struct sizes sizes = {{0}};
		size_t size = strlen(m->data) / 2;
		uint8_t *data = malloc(size);

		for (size_t k = 0; k < size; k++)
			sscanf(m->data + 2 * k, "%2hhx", &data[k]);
		check_ok(hexpat_new("hex", m->text, &pattern));
		check_ok(hexpat_match(pattern, &work, data, size, 0, size - 1, size_take, &sizes));
		for (size_t k = 0; k < size; k++)
			check_that(sizes.of[k] == m->sizes[k], "%s in %s: %zu at %zu", m->text,
				m->data, sizes.of[k], k);
		hexpat_free(pattern);
		free(data);
	}
	hexpat_work_done(&work);
}

static const struct test tests[] = {
	{"good", test_good},
	{"bad", test_bad},
	{"limits", test_limits},
	{"anchors", test_anchors},
	{"matching", test_matching},
};

TEST_MAIN(tests)
