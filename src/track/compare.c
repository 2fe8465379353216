/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The comparisons, one family of loops a type. Integers wrap round: a difference is taken in the
 * unsigned type of the same size. Floating-point numbers that differ by no more than the
 * tolerance are the same; NaN is never the same as anything, not even as itself, and -0.0 is the
 * same as 0.0.
 */
#include "track/value_type.h"

#include "base/mem.h"

#include <math.h>

/* Integers. */
#define SAME(a, b) ((a) == (b))
#define MORE(a, b) ((a) > (b))
#define STEPPED(was, by) ((TYPE)((WORD)(was) + (WORD)(by)))

#define TYPE int8_t
#define WORD uint8_t
#define NAME(prefix) prefix##_i8
#include "track/compare.inc.h"

#define TYPE int16_t
#define WORD uint16_t
#define NAME(prefix) prefix##_i16
#include "track/compare.inc.h"

#define TYPE int32_t
#define WORD uint32_t
#define NAME(prefix) prefix##_i32
#include "track/compare.inc.h"

#define TYPE int64_t
#define WORD uint64_t
#define NAME(prefix) prefix##_i64
#include "track/compare.inc.h"

#define TYPE uint8_t
#define WORD uint8_t
#define NAME(prefix) prefix##_u8
#include "track/compare.inc.h"

#define TYPE uint16_t
#define WORD uint16_t
#define NAME(prefix) prefix##_u16
#include "track/compare.inc.h"

#define TYPE uint32_t
#define WORD uint32_t
#define NAME(prefix) prefix##_u32
#include "track/compare.inc.h"

#define TYPE uint64_t
#define WORD uint64_t
#define NAME(prefix) prefix##_u64
#include "track/compare.inc.h"

#undef SAME
#undef MORE
#undef STEPPED

/* Floating point; the first comparison is for infinities, whose difference is NaN. */
#define SAME(a, b) (((a) == (b)) | (ABS((a) - (b)) <= tolerance))
#define MORE(a, b) ((a) - (b) > tolerance)
#define STEPPED(was, by) ((was) + (by))

#define ABS(x) fabsf(x)
#define TYPE float
#define WORD uint32_t
#define NAME(prefix) prefix##_f32
#include "track/compare.inc.h"
#undef ABS

#define ABS(x) fabs(x)
#define TYPE double
#define WORD uint64_t
#define NAME(prefix) prefix##_f64
#include "track/compare.inc.h"
#undef ABS

/* Byte arrays know only equal and not equal (condition.c sees to that). */
void compare_bytes(const struct condition *condition, const uint8_t *now, const uint8_t *old,
	size_t count, size_t step, uint8_t *mask)
{
	bool relative = condition_is_relative(condition);
	bool other = condition->op == CONDITION_OUTSIDE || condition->op == CONDITION_CHANGED;

	for (size_t i = 0; i < count; i++) {
		const uint8_t *with = relative ? old + i * step : condition->low;

		mask[i] = condition->op == CONDITION_ANY ||
			  (memcmp(now + i * step, with, condition->size) != 0) == other;
	}
}

bool any_bytes(const struct condition *condition, const uint8_t *now, size_t count)
{
	return memmem(now, count + condition->size - 1, condition->low, condition->size);
}
