/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loops for one type: TYPE, the unsigned integer WORD of its size, SAME(a, b), MORE(a, b) and
 * NAME(prefix) come from the file that includes this one. The loops are as plain as can be, so
 * that the compiler turns them into vector code; `step` is a constant where values lie side by
 * side.
 */

static inline TYPE NAME(load)(const uint8_t *from)
{
	TYPE value;

	memcpy(&value, from, sizeof(value));
	return value;
}

#define EACH(test)                                                                                 \
	do {                                                                                       \
		for (size_t i = 0; i < count; i++) {                                               \
			TYPE x = NAME(load)(now + i * step);                                       \
			mask[i] = (uint8_t)(test);                                                 \
		}                                                                                  \
		return;                                                                            \
	} while (0)

#define EACH_PAIR(test)                                                                            \
	do {                                                                                       \
		for (size_t i = 0; i < count; i++) {                                               \
			TYPE x = NAME(load)(now + i * step), was = NAME(load)(old + i * step);     \
			mask[i] = (uint8_t)(test);                                                 \
		}                                                                                  \
		return;                                                                            \
	} while (0)

static inline __attribute__((always_inline)) void NAME(loop)(const struct condition *condition,
	const uint8_t *restrict now, const uint8_t *restrict old, size_t count, size_t step,
	uint8_t *restrict mask)
{
	const TYPE low = NAME(load)(condition->low), high = NAME(load)(condition->high);
	const TYPE tolerance = NAME(load)(condition->tolerance);

	(void)tolerance;
	switch (condition->op) {
	case CONDITION_ANY:
		memset(mask, 1, count);
		return;
	case CONDITION_WITHIN:
		EACH((x >= low) & (x <= high));
	case CONDITION_OUTSIDE:
		EACH(!((x >= low) & (x <= high)));
	case CONDITION_CHANGED:
		EACH_PAIR(!SAME(x, was));
	case CONDITION_UNCHANGED:
		EACH_PAIR(SAME(x, was));
	case CONDITION_INCREASED:
		EACH_PAIR(MORE(x, was));
	case CONDITION_DECREASED:
		EACH_PAIR(MORE(was, x));
	case CONDITION_STEPPED:
		EACH_PAIR(SAME(x, STEPPED(was, low)));
	}
}

void NAME(compare)(const struct condition *condition, const uint8_t *now, const uint8_t *old,
	size_t count, size_t step, uint8_t *mask)
{
	if (step == sizeof(TYPE))
		NAME(loop)(condition, now, old, count, sizeof(TYPE), mask);
	else
		NAME(loop)(condition, now, old, count, step, mask);
}

bool NAME(any)(const struct condition *condition, const uint8_t *now, size_t count)
{
	const TYPE low = NAME(load)(condition->low), high = NAME(load)(condition->high);
	WORD any = 0;

	/* One comparison does for a single value, and for 64 bits it is much the cheaper. */
	if (low == high)
		for (size_t i = 0; i < count; i++)
			any |= NAME(load)(now + i * sizeof(TYPE)) == low;
	else
		for (size_t i = 0; i < count; i++) {
			TYPE x = NAME(load)(now + i * sizeof(TYPE));

			any |= (WORD)((x >= low) & (x <= high));
		}
	return any;
}

#undef EACH
#undef EACH_PAIR
#undef TYPE
#undef WORD
#undef NAME
