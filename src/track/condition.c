/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditions as people type them. Whatever is asked about the new value alone becomes a range of
 * the type's own values, so that there is one loop for all of it: "> 3" is 4 and more, and for
 * floating point the next number above 3 and more.
 */
#include "track/value_type.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>

static const char what[] = "condition";

/* A number on its way into the bytes of a type. Integers are kept in 64 bits, sign extended. */
struct number {
	uint64_t bits;
	double real;
};

struct parser {
	const struct layout *layout;
	const char *text;
	size_t at;
	struct condition *out;
};

static int parse_error(const struct parser *parser, size_t at, const char *why)
{
	return err_at(what, parser->text, at, why);
}

static void skip_blanks(struct parser *parser)
{
	while (is_blank(parser->text[parser->at]))
		parser->at++;
}

/* ---- Numbers ---------------------------------------------------------------------------- */

static int out_of_range(const struct parser *parser, size_t at)
{
	char why[64];

	snprintf(why, sizeof(why), "this does not fit in the type %s", parser->layout->type->name);
	return parse_error(parser, at, why);
}

/* Decimal, or hex after 0x; returns false when it does not fit in 64 bits. */
static bool digits_take(struct parser *parser, bool *ret_hex, uint64_t *ret_value)
{
	const char *text = parser->text;
	bool hex = text[parser->at] == '0' && (text[parser->at + 1] | 0x20) == 'x' &&
		   hex_digit(text[parser->at + 2]) >= 0;
	uint64_t base = hex ? 16 : 10, value = 0;
	int digit;

	parser->at += hex ? 2 : 0;
	for (; (digit = hex_digit(text[parser->at])) >= 0 && (uint64_t)digit < base; parser->at++)
		if (__builtin_mul_overflow(value, base, &value) ||
			__builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
	*ret_hex = hex;
	*ret_value = value;
	return true;
}

/* Hex is taken as the bits of the number, so that 0xffffffff is -1 for an i32. */
static int integer_take(struct parser *parser, struct number *ret_number)
{
	bool is_signed = parser->layout->type->kind == VALUE_SIGNED;
	unsigned width = (unsigned)(8 * parser->layout->size);
	uint64_t most = UINT64_MAX >> (64 - width), value;
	size_t start = parser->at;
	bool negative = parser->text[start] == '-', hex;

	parser->at += parser->text[start] == '-' || parser->text[start] == '+';
	if (!is_digit(parser->text[parser->at]))
		return parse_error(parser, parser->at, "a number is missing");
	if (!digits_take(parser, &hex, &value))
		return out_of_range(parser, start);
	if (is_signed && !(hex && !negative))
		most = (most >> 1) + negative;
	else if (negative && value)
		most = 0;
	if (value > most)
		return out_of_range(parser, start);
	value = negative ? 0 - value : value;
	if (is_signed)
		value = (uint64_t)((int64_t)(value << (64 - width)) >> (64 - width));
	ret_number->bits = value;
	return 0;
}

static double real_parse(const char *text, char **ret_end)
{
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	locale_t former = plain ? uselocale(plain) : (locale_t)0;
	double value = strtod(text, ret_end);

	if (plain) {
		uselocale(former);
		freelocale(plain);
	}
	return value;
}

static int real_take(struct parser *parser, struct number *ret_number)
{
	const char *start = parser->text + parser->at;
	/* "1..2" is a range, of which strtod() would take "1." */
	const char *dots = strstr(start, "..");
	AUTO_FREE char *copy = strndup(start, dots ? (size_t)(dots - start) : strlen(start));
	char *end;
	size_t at = parser->at;

	if (!copy)
		return err_nomem();
	ret_number->real = real_parse(copy, &end);
	if (end == copy || is_blank(*copy))
		return parse_error(parser, at, "a number is missing");
	parser->at += (size_t)(end - copy);
	if (isnan(ret_number->real))
		return parse_error(parser, at, "NaN is not equal to anything");
	/* Too large a number comes out as infinity, which is for those who write it. */
	*end = '\0';
	if ((isinf(ret_number->real) && !strpbrk(copy, "iI")) ||
		(parser->layout->size == sizeof(float) && isfinite(ret_number->real) &&
			isinf((float)ret_number->real)))
		return out_of_range(parser, at);
	return 0;
}

static int number_take(struct parser *parser, struct number *ret_number)
{
	skip_blanks(parser);
	return parser->layout->type->kind == VALUE_FLOAT ? real_take(parser, ret_number)
							 : integer_take(parser, ret_number);
}

static void integer_store(const struct layout *layout, uint64_t bits, uint8_t *to)
{
	bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	for (size_t i = 0; i < layout->size; i++)
		to[i] = (uint8_t)(bits >> 8 * (big ? layout->size - 1 - i : i));
}

static void real_store(const struct layout *layout, double real, uint8_t *to)
{
	float single = (float)real;

	if (layout->size == sizeof(single))
		memcpy(to, &single, sizeof(single));
	else
		memcpy(to, &real, sizeof(real));
}

static void number_store(const struct layout *layout, const struct number *number, uint8_t *to)
{
	if (layout->type->kind == VALUE_FLOAT)
		real_store(layout, number->real, to);
	else
		integer_store(layout, number->bits, to);
}

/* ---- Ranges ----------------------------------------------------------------------------- */

/* The least and the greatest value of the type. */
static void whole_range(
	const struct layout *layout, struct number *ret_low, struct number *ret_high)
{
	uint64_t most = UINT64_MAX >> (64 - 8 * layout->size);
	bool is_signed = layout->type->kind == VALUE_SIGNED;

	ret_low->real = -INFINITY;
	ret_high->real = INFINITY;
	ret_low->bits = is_signed ? ~(most >> 1) : 0;
	ret_high->bits = is_signed ? most >> 1 : most;
}

static bool number_less(const struct layout *layout, const struct number *a, const struct number *b)
{
	switch (layout->type->kind) {
	case VALUE_FLOAT:
		return a->real < b->real;
	case VALUE_SIGNED:
		return (int64_t)a->bits < (int64_t)b->bits;
	default:
		return a->bits < b->bits;
	}
}

/* The next value of the type in the direction of `to`, which is not equal to it. */
static struct number number_next(
	const struct layout *layout, const struct number *from, const struct number *to)
{
	struct number next = *from;

	next.bits += number_less(layout, from, to) ? 1 : UINT64_MAX;
	next.real = layout->size == sizeof(float)
			    ? (double)nextafterf((float)from->real, (float)to->real)
			    : nextafter(from->real, to->real);
	return next;
}

static int set_range(struct parser *parser, enum condition_op op, const struct number *low,
	const struct number *high)
{
	parser->out->op = op;
	number_store(parser->layout, low, parser->out->low);
	number_store(parser->layout, high, parser->out->high);
	return 0;
}

/* "= V" and "!= V"; the tolerance makes a range of it. */
static int take_equal(struct parser *parser, enum condition_op op)
{
	struct number low, high;
	int r = number_take(parser, &low);

	if (r < 0)
		return r;
	high = low;
	low.real -= parser->layout->tolerance;
	high.real += parser->layout->tolerance;
	return set_range(parser, op, &low, &high);
}

/* "> V", ">= V", "< V", "<= V" */
static int take_bound(struct parser *parser, bool above, bool strict)
{
	struct number low, high, *bound = above ? &low : &high, *limit = above ? &high : &low;
	size_t at = parser->at;
	int r;

	whole_range(parser->layout, &low, &high);
	r = number_take(parser, bound);
	if (r < 0)
		return r;
	if (strict && !number_less(parser->layout, bound, limit) &&
		!number_less(parser->layout, limit, bound))
		return parse_error(parser, at,
			above ? "no value of this type is greater"
			      : "no value of this type is less");
	if (strict)
		*bound = number_next(parser->layout, bound, limit);
	return set_range(parser, CONDITION_WITHIN, &low, &high);
}

static int take_range(struct parser *parser)
{
	struct number low, high;
	size_t start;
	int r;

	skip_blanks(parser);
	start = parser->at;
	r = number_take(parser, &low);
	if (r < 0)
		return r;
	skip_blanks(parser);
	if (parser->text[parser->at] != '.' || parser->text[parser->at + 1] != '.')
		return parse_error(parser, parser->at, "a range is written A..B");
	parser->at += 2;
	r = number_take(parser, &high);
	if (r < 0)
		return r;
	if (number_less(parser->layout, &high, &low))
		return parse_error(parser, start, "the range ends before it begins");
	return set_range(parser, CONDITION_WITHIN, &low, &high);
}

/* "+ V" and "- V" */
static int take_step(struct parser *parser, bool up)
{
	struct number by;
	int r = number_take(parser, &by);

	if (r < 0)
		return r;
	if (!up) {
		by.bits = 0 - by.bits;
		by.real = -by.real;
	}
	parser->out->op = CONDITION_STEPPED;
	number_store(parser->layout, &by, parser->out->low);
	return 0;
}

/* ---- Byte arrays ------------------------------------------------------------------------ */

/* Hex digits in pairs, with blanks between pairs if wanted. */
static int take_bytes(struct parser *parser, enum condition_op op)
{
	const char *text = parser->text;
	size_t size = 0;

	for (skip_blanks(parser); text[parser->at]; skip_blanks(parser)) {
		int high = hex_digit(text[parser->at]);
		int low = high < 0 ? -1 : hex_digit(text[parser->at + 1]);

		if (high < 0 || low < 0)
			return parse_error(
				parser, parser->at + (high >= 0), "bytes are pairs of hex digits");
		if (size == VALUE_SIZE_MAX)
			return parse_error(parser, parser->at, "the byte array is too long");
		parser->out->low[size++] = (uint8_t)(high << 4 | low);
		parser->at += 2;
	}
	if (size == 0)
		return parse_error(parser, parser->at, "bytes are missing");
	if (parser->layout->size && parser->layout->size != size)
		return err_set(MS_ERR_ARGUMENT,
			"condition: %zu bytes are given, but the values have %zu", size,
			parser->layout->size);
	parser->out->size = size;
	parser->out->op = op;
	return 0;
}

/* ---- All of it -------------------------------------------------------------------------- */

static int take_value(struct parser *parser, enum condition_op op)
{
	return parser->layout->type->kind == VALUE_BYTES ? take_bytes(parser, op)
							 : take_equal(parser, op);
}

static int take_greater(struct parser *parser)
{
	return take_bound(parser, true, true);
}

static int take_greater_equal(struct parser *parser)
{
	return take_bound(parser, true, false);
}

static int take_less(struct parser *parser)
{
	return take_bound(parser, false, true);
}

static int take_less_equal(struct parser *parser)
{
	return take_bound(parser, false, false);
}

static int take_same(struct parser *parser)
{
	return take_value(parser, CONDITION_WITHIN);
}

static int take_other(struct parser *parser)
{
	return take_value(parser, CONDITION_OUTSIDE);
}

static int take_up(struct parser *parser)
{
	return take_step(parser, true);
}

static int take_down(struct parser *parser)
{
	return take_step(parser, false);
}

/* Signs that begin a condition; a longer one comes before its beginning. */
static const struct {
	const char *sign;
	bool bytes; /* makes sense for byte arrays */
	int (*take)(struct parser *parser);
} signs[] = {
	{"!=", true, take_other},
	{">=", false, take_greater_equal},
	{"<=", false, take_less_equal},
	{"=", true, take_same},
	{">", false, take_greater},
	{"<", false, take_less},
	{"+", false, take_up},
	{"-", false, take_down},
};

static const struct {
	const char *word;
	enum condition_op op;
} words[] = {
	{"unknown", CONDITION_ANY},
	{"changed", CONDITION_CHANGED},
	{"unchanged", CONDITION_UNCHANGED},
	{"increased", CONDITION_INCREASED},
	{"decreased", CONDITION_DECREASED},
};

static int take_word(struct parser *parser)
{
	const char *text = parser->text + parser->at;
	size_t length = 0;

	while (is_letter(text[length]))
		length++;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		enum condition_op op = words[i].op;

		if (strlen(words[i].word) != length || memcmp(words[i].word, text, length) != 0)
			continue;
		if (parser->layout->type->kind == VALUE_BYTES &&
			(op == CONDITION_INCREASED || op == CONDITION_DECREASED))
			return parse_error(parser, parser->at, "bytes have no order");
		parser->at += length;
		parser->out->op = op;
		return 0;
	}
	return parse_error(parser, parser->at,
		"this is none of changed, unchanged, increased, decreased, = V, != V, > V, < V, "
		">= V, <= V, A..B, + V, - V");
}

static int take_condition(struct parser *parser)
{
	bool bytes = parser->layout->type->kind == VALUE_BYTES;
	const char *text;

	skip_blanks(parser);
	text = parser->text + parser->at;
	if (!bytes && strstr(text, "..") && strchr("+-.0123456789", *text))
		return take_range(parser);
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		if (strncmp(text, signs[i].sign, strlen(signs[i].sign)) != 0)
			continue;
		if (bytes && !signs[i].bytes)
			return parse_error(parser, parser->at, "bytes have no order");
		parser->at += strlen(signs[i].sign);
		return signs[i].take(parser);
	}
	if (!bytes && is_digit(*text))
		return take_range(parser);
	return take_word(parser);
}

int condition_parse(const struct layout *layout, const char *text, struct condition *ret_condition)
{
	struct condition condition = {.size = layout->size};
	struct parser parser = {.layout = layout, .text = text, .out = &condition};
	int r = take_condition(&parser);

	if (r < 0)
		return r;
	skip_blanks(&parser);
	if (text[parser.at])
		return parse_error(&parser, parser.at, "this is not part of the condition");
	if (layout->type->kind == VALUE_FLOAT)
		real_store(layout, layout->tolerance, condition.tolerance);
	*ret_condition = condition;
	return 0;
}
