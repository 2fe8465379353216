/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of types, and values as text; numbers are written as in the locale "C". */
#include "track/value_type.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/number.h"

#include <inttypes.h>
#include <locale.h>

const struct value_type value_types[] = {
	{"i8", VALUE_SIGNED, 1, compare_i8, any_i8},
	{"i16", VALUE_SIGNED, 2, compare_i16, any_i16},
	{"i32", VALUE_SIGNED, 4, compare_i32, any_i32},
	{"i64", VALUE_SIGNED, 8, compare_i64, any_i64},
	{"u8", VALUE_UNSIGNED, 1, compare_u8, any_u8},
	{"u16", VALUE_UNSIGNED, 2, compare_u16, any_u16},
	{"u32", VALUE_UNSIGNED, 4, compare_u32, any_u32},
	{"u64", VALUE_UNSIGNED, 8, compare_u64, any_u64},
	{"f32", VALUE_FLOAT, 4, compare_f32, any_f32},
	{"f64", VALUE_FLOAT, 8, compare_f64, any_f64},
	{"bytes", VALUE_BYTES, 0, compare_bytes, any_bytes},
};

const size_t value_type_count = ARRAY_SIZE(value_types);

static int bytes_size_parse(const char *text, size_t *ret_size)
{
	uint64_t size;
	int r = ms_parse_number("type", text + strlen("bytes:"), &size);

	if (r < 0)
		return r;
	if (size < 1 || size > VALUE_SIZE_MAX)
		return err_set(MS_ERR_ARGUMENT, "type %s: a byte array has 1 to %d bytes", text,
			VALUE_SIZE_MAX);
	*ret_size = (size_t)size;
	return 0;
}

int value_type_parse(const char *text, const struct value_type **ret_type, size_t *ret_size)
{
	size_t length = strcspn(text, ":");

	for (size_t i = 0; i < value_type_count; i++) {
		const struct value_type *type = &value_types[i];

		if (strlen(type->name) != length || memcmp(type->name, text, length) != 0)
			continue;
		*ret_size = type->size;
		if (text[length] && type->kind != VALUE_BYTES)
			return err_at("type", text, length, "only bytes are given a size");
		if (text[length]) {
			int r = bytes_size_parse(text, ret_size);

			if (r < 0)
				return r;
		}
		*ret_type = type;
		return 0;
	}
	return err_set(MS_ERR_ARGUMENT,
		"\"%s\" is none of the types i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, bytes",
		text);
}

static int64_t signed_load(const uint8_t *value, size_t size)
{
	unsigned unused = (unsigned)(64 - 8 * size);
	uint64_t bits = 0;

	for (size_t i = 0; i < size; i++)
		bits = bits << 8 | value[__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? i : size - 1 - i];
	return (int64_t)(bits << unused) >> unused;
}

/* The fewest digits that give the number back. */
static void float_format(const struct layout *layout, const uint8_t *value, char *ret_text)
{
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	locale_t former = plain ? uselocale(plain) : (locale_t)0;
	double number;
	float single;

	memcpy(&single, value, sizeof(single));
	if (layout->size == sizeof(single))
		number = (double)single;
	else
		memcpy(&number, value, sizeof(number));
	for (int digits = 6; digits <= 17; digits++) {
		double back;

		snprintf(ret_text, VALUE_TEXT_MAX, "%.*g", digits, number);
		back = strtod(ret_text, NULL);
		if (layout->size == sizeof(single) ? (float)back == single : back == number)
			break;
	}
	if (plain) {
		uselocale(former);
		freelocale(plain);
	}
}

void value_format(const struct layout *layout, const uint8_t *value, char *ret_text)
{
	int64_t number;

	switch (layout->type->kind) {
	case VALUE_FLOAT:
		float_format(layout, value, ret_text);
		return;
	case VALUE_BYTES:
		for (size_t i = 0; i < layout->size; i++)
			snprintf(ret_text + 2 * i, 3, "%02x", value[i]);
		return;
	default:
		number = signed_load(value, layout->size);
	}
	if (layout->type->kind == VALUE_SIGNED)
		snprintf(ret_text, VALUE_TEXT_MAX, "%" PRId64, number);
	else
		snprintf(ret_text, VALUE_TEXT_MAX, "%" PRIu64,
			(uint64_t)number & UINT64_MAX >> (64 - 8 * layout->size));
}
