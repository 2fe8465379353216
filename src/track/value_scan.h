/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engines of value scans. What they find goes out as packets of cells: the bytes of a hit are
 * a struct packet, as far as it is filled.
 */
#ifndef MS_TRACK_VALUE_SCAN_H
#define MS_TRACK_VALUE_SCAN_H

#include "core/engine.h"
#include "track/store.h"

#include <stdatomic.h>

/* What an engine's priv points to; shared by threads. */
struct value_scan {
	const struct layout *layout;
	const struct condition *condition;
	const struct generation *old; /* the matches so far; only for the next scan */
	bool zstd;
	atomic_uint_fast64_t seen; /* matches of old that could be looked at */
};

extern const struct ms_engine_ops value_first_engine, value_next_engine;

#endif
