/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cleanup attributes, checked size arithmetic and small helpers that every file may use.
 */
#ifndef MS_BASE_MEM_H
#define MS_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define CLEANUP(function) __attribute__((cleanup(function)))
#define AUTO_FREE CLEANUP(cleanup_free)
#define AUTO_CLOSE CLEANUP(cleanup_close)
#define AUTO_FCLOSE CLEANUP(cleanup_fclose)

/* Hands a handle out of the reach of its cleanup attribute. */
static inline void *take_pointer(void *pointer)
{
	void *taken = *(void **)pointer;

	*(void **)pointer = NULL;
	return taken;
}

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* a + b and a * b; false when the result does not fit. */
static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	return !__builtin_add_overflow(a, b, ret_sum);
}

static inline bool mul_size(size_t a, size_t b, size_t *ret_product)
{
	return !__builtin_mul_overflow(a, b, ret_product);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * Sets the size_t i to the first number below `count` of which `reached` is true, an expression of
 * i, or to count. It has to be true of all numbers from there on.
 */
#define bisect(i, count, reached)                                                                  \
	do {                                                                                       \
		size_t low_ = 0, high_ = (count);                                                  \
		while (low_ < high_) {                                                             \
			(i) = low_ + (high_ - low_) / 2;                                           \
			if (reached)                                                               \
				high_ = (i);                                                       \
			else                                                                       \
				low_ = (i) + 1;                                                    \
		}                                                                                  \
		(i) = low_;                                                                        \
	} while (0)

/* alignment is a power of two. */
static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

/* Saturates instead of wrapping round. */
static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return value > UINT64_MAX - (alignment - 1) ? align_down(UINT64_MAX, alignment)
						    : align_down(value + alignment - 1, alignment);
}

#endif
