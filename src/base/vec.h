/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A growable array. Declare `struct { T *data; size_t count, room; } v` (VEC(T)), then
 * vec_push(&v, value) returns false when memory runs out; vec_sort(&v, order) puts it in order as
 * qsort() would; free v.data when done.
 */
#ifndef MS_BASE_VEC_H
#define MS_BASE_VEC_H

#include "base/mem.h"

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *data;                                                                        \
		size_t count, room;                                                                \
	}

/* Makes room for one more element of `size` bytes behind `count`. */
static inline bool vec_grow(void **data, size_t count, size_t *room, size_t size)
{
	size_t bytes, more = *room ? *room * 2 : 16;
	void *grown;

	if (count < *room)
		return true;
	if (!mul_size(more, size, &bytes) || !(grown = realloc(*data, bytes)))
		return false;
	*data = grown;
	*room = more;
	return true;
}

#define vec_push(vec, ...)                                                                         \
	(vec_grow((void **)&(vec)->data, (vec)->count, &(vec)->room, sizeof(*(vec)->data)) &&      \
		((vec)->data[(vec)->count++] = (__VA_ARGS__), true))

/* Most lists are in order already, or empty, where qsort() may not be given their NULL. */
static inline void array_sort(
	void *data, size_t count, size_t size, int (*order)(const void *left, const void *right))
{
	const char *bytes = data;
	size_t sorted = 1;

	while (sorted < count && order(bytes + (sorted - 1) * size, bytes + sorted * size) <= 0)
		sorted++;
	if (sorted < count)
		qsort(data, count, size, order);
}

#define vec_sort(vec, order) array_sort((vec)->data, (vec)->count, sizeof(*(vec)->data), order)

#endif
