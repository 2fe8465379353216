/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/number.h"

#include "base/bytes.h"
#include "base/err.h"

#include <string.h>
#include <strings.h>

/* Reads digits of a base at text[*at]; moves *at behind them. */
static int digits_parse(
	const char *what, const char *text, size_t *at, unsigned base, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t i = *at;

	for (;; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0 || (unsigned)digit >= base)
			break;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
			__builtin_add_overflow(value, (uint64_t)digit, &value))
			return err_at(what, text, *at, "the number does not fit in 64 bits");
	}
	if (i == *at)
		return err_at(what, text, i, "a number is missing");
	*at = i;
	*ret_value = value;
	return 0;
}

static int number_at(
	const char *what, const char *text, size_t *at, unsigned base, uint64_t *ret_value)
{
	if (text[*at] == '0' && (text[*at + 1] == 'x' || text[*at + 1] == 'X')) {
		*at += 2;
		base = 16;
	}
	return digits_parse(what, text, at, base, ret_value);
}

int ms_parse_number(const char *what, const char *text, uint64_t *ret_value)
{
	uint64_t value;
	size_t at = 0;
	int r = number_at(what, text, &at, 10, &value);

	if (r < 0)
		return r;
	if (text[at])
		return err_at(what, text, at, "this is not part of a number");
	*ret_value = value;
	return 0;
}

struct suffix {
	const char *text;
	uint64_t factor;
};

/* Scales value by the suffix at text[at]; an empty suffix means `plain`. */
static int suffix_scale(const char *what, const char *text, size_t at, uint64_t value,
	const struct suffix *suffixes, size_t count, uint64_t *ret_value)
{
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(text + at, suffixes[i].text) != 0)
			continue;
		if (__builtin_mul_overflow(value, suffixes[i].factor, &value))
			return err_at(what, text, 0, "the number does not fit in 64 bits");
		*ret_value = value;
		return 0;
	}
	return err_at(what, text, at, "this unit is not known");
}

int ms_parse_size(const char *what, const char *text, uint64_t unit, uint64_t *ret_size)
{
	const uint64_t k = 1024, m = k * k, g = m * k, t = g * k;
	const struct suffix suffixes[] = {{"", unit}, {"b", 1}, {"k", k}, {"kb", k}, {"kib", k},
		{"m", m}, {"mb", m}, {"mib", m}, {"g", g}, {"gb", g}, {"gib", g}, {"t", t},
		{"tb", t}, {"tib", t}};
	uint64_t value;
	size_t at = 0;
	int r = number_at(what, text, &at, 10, &value);

	if (r < 0)
		return r;
	return suffix_scale(
		what, text, at, value, suffixes, sizeof(suffixes) / sizeof(*suffixes), ret_size);
}

int ms_parse_duration(const char *what, const char *text, uint64_t *ret_ns)
{
	const uint64_t s = 1000000000;
	const struct suffix suffixes[] = {
		{"", s}, {"ms", s / 1000}, {"s", s}, {"m", 60 * s}, {"h", 3600 * s}};
	uint64_t value;
	size_t at = 0;
	int r = digits_parse(what, text, &at, 10, &value);

	if (r < 0)
		return r;
	return suffix_scale(
		what, text, at, value, suffixes, sizeof(suffixes) / sizeof(*suffixes), ret_ns);
}

int range_parse(const char *what, const char *text, uint64_t *ret_base, uint64_t *ret_size)
{
	uint64_t base, end;
	size_t at = 0;
	int r = number_at(what, text, &at, 16, &base);

	if (r < 0)
		return r;
	if (text[at] != '-')
		return err_at(what, text, at, "a range is written START-END");
	at++;
	r = number_at(what, text, &at, 16, &end);
	if (r < 0)
		return r;
	if (text[at])
		return err_at(what, text, at, "this is not part of an address");
	if (end <= base)
		return err_at(what, text, 0, "the range ends before it begins");
	*ret_base = base;
	*ret_size = end - base;
	return 0;
}
