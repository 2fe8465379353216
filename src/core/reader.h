/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a range that was planned and finds out, where bytes are missing after all, how many and
 * why. Never joins bytes across a gap.
 */
#ifndef MS_CORE_READER_H
#define MS_CORE_READER_H

#include "core/host.h"

struct reader {
	struct ms_source *src;
	struct region_list fresh; /* regions as of fresh_ns, for telling what has vanished */
	uint64_t fresh_ns;
	bool gone; /* the address space is no more */
};

void reader_init(struct reader *reader, struct ms_source *src);
void reader_done(struct reader *reader);

/*
 * Reads [addr, addr + size) into buf at the same distances, and calls piece() for each stretch in
 * ascending order: with MS_STATE_DATA for bytes that were read, else with why they were not.
 * A negative return of piece() ends the reading and is passed on.
 */
int reader_read(struct reader *reader, uint64_t addr, void *buf, size_t size,
	int (*piece)(void *ctx, uint64_t base, size_t size, enum ms_state state), void *ctx);

#endif
