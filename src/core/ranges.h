/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of address ranges that grows in any order. */
#ifndef MS_CORE_RANGES_H
#define MS_CORE_RANGES_H

#include "core/engine.h"

#include "base/vec.h"

enum { RANGES_MAX = 1 << 20 }; /* 16 MiB of them */

struct ranges {
	VEC(struct ms_range) items;
	size_t joined; /* how many were left by the last ranges_tidy() */
};

/* Adds a range; one that touches the last one is joined with it. False when memory runs out. */
bool ranges_add(struct ranges *ranges, uint64_t base, uint64_t size);

/* Sorts the ranges and joins those that overlap or lie at most `gap` bytes apart. */
void ranges_join(struct ranges *ranges, uint64_t gap);

/* Joins what touches, once there are so many new ones that it pays. */
void ranges_tidy(struct ranges *ranges);

/* Joins over ever wider gaps until at most `max` ranges are left. */
void ranges_coarsen(struct ranges *ranges, size_t max);

/* Puts into `out` what two joined sets have in common. False when memory runs out. */
bool ranges_common(const struct ranges *a, const struct ranges *b, struct ranges *out);

void ranges_done(struct ranges *ranges);

#endif
