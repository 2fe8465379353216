/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Types of values, conditions on them, and the loops that compare many at once. Values are in
 * the byte order of this machine.
 */
#ifndef MS_TRACK_VALUE_TYPE_H
#define MS_TRACK_VALUE_TYPE_H

#include "memsift_track.h"

enum {
	VALUE_SIZE_MAX = 256, /* of a byte array */
	VALUE_ALIGN_MAX = 4096,
	VALUE_TEXT_MAX = 2 * VALUE_SIZE_MAX + 1,
};

enum value_kind { VALUE_SIGNED, VALUE_UNSIGNED, VALUE_FLOAT, VALUE_BYTES };

struct condition;

/*
 * Compares `count` values, `step` bytes apart, and puts 1 or 0 for each into mask; `old` has the
 * former values, equally far apart, and is only looked at by conditions that need them.
 */
typedef void value_compare_fn(const struct condition *condition, const uint8_t *now,
	const uint8_t *old, size_t count, size_t step, uint8_t *mask);

/* Quickly tells whether any of count values that lie side by side is in the condition's range. */
typedef bool value_any_fn(const struct condition *condition, const uint8_t *now, size_t count);

struct value_type {
	const char *name;
	enum value_kind kind;
	size_t size; /* 0: chosen by the caller */
	value_compare_fn *compare;
	value_any_fn *any;
};

extern const struct value_type value_types[];
extern const size_t value_type_count;

/* What all values of a scan have in common. */
struct layout {
	const struct value_type *type;
	size_t size;
	size_t align; /* a power of two: values begin at its multiples */
	double tolerance;
};

/* "i32", "bytes", "bytes:16"; the size of "bytes" is 0. */
int value_type_parse(const char *text, const struct value_type **ret_type, size_t *ret_size);

/* Writes a value as it would be typed, and a NUL; the room is VALUE_TEXT_MAX. */
void value_format(const struct layout *layout, const uint8_t *value, char *ret_text);

enum condition_op {
	CONDITION_ANY,	   /* every value */
	CONDITION_WITHIN,  /* low <= value <= high */
	CONDITION_OUTSIDE, /* not so */
	CONDITION_CHANGED,
	CONDITION_UNCHANGED,
	CONDITION_INCREASED,
	CONDITION_DECREASED,
	CONDITION_STEPPED, /* changed by exactly low */
};

struct condition {
	enum condition_op op;
	size_t size; /* of a value */
	/* In the bytes of the type; for a byte array low is the array. */
	uint8_t low[VALUE_SIZE_MAX], high[8], tolerance[8];
};

/* Whether a condition compares with the former value. */
static inline bool condition_is_relative(const struct condition *condition)
{
	return condition->op >= CONDITION_CHANGED;
}

/*
 * Parses a condition as ms_values_next() has it, or "unknown". A layout of size 0 takes the size
 * of the bytes that are given. The error points at the character that is wrong.
 */
int condition_parse(const struct layout *layout, const char *text, struct condition *ret_condition);

value_compare_fn compare_i8, compare_i16, compare_i32, compare_i64, compare_u8, compare_u16,
	compare_u32, compare_u64, compare_f32, compare_f64, compare_bytes;
value_any_fn any_i8, any_i16, any_i32, any_i64, any_u8, any_u16, any_u32, any_u64, any_f32, any_f64,
	any_bytes;

#endif
