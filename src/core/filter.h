/* SPDX-License-Identifier: BSD-2-Clause */
/* A parsed predicate over regions, and over address ranges within them. */
#ifndef MS_CORE_FILTER_H
#define MS_CORE_FILTER_H

#include "memsift.h"

#include "base/vec.h"

struct filter_range {
	uint64_t base, size;
};

/* Ascending, joined. */
struct filter_ranges {
	struct filter_range *data;
	size_t count, room;
};

struct ms_filter {
	unsigned kinds;			/* bit per enum ms_kind */
	unsigned perm_mask, perm_value; /* (perm & mask) == value */
	uint64_t size_min, size_max;
	char *path;
	bool device, swapped;
	struct filter_ranges ranges;  /* none: everything */
	struct filter_ranges ignored; /* these not, whatever `ranges` says */
};

/* What an unset filter does. */
extern const struct ms_filter filter_default;

/*
 * The first stretch of [base, base + size) that the filter's address ranges let through; false
 * when there is none.
 */
bool filter_clip(const struct ms_filter *filter, uint64_t base, uint64_t size, uint64_t *ret_base,
	uint64_t *ret_size);

#endif
