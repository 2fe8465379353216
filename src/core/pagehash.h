/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 128-bit hash for each block of memory: XXH3, which is faster than memory is read. It tells
 * what changed by itself or by accident; whoever sets out to write other bytes of the same hash
 * into a process can.
 */
#ifndef MS_CORE_PAGEHASH_H
#define MS_CORE_PAGEHASH_H

#include "core/engine.h"

enum {
	PAGEHASH_BLOCK = 4096, /* a block ends where the address is a multiple, or memory ends */
	PAGEHASH_SIZE = 16,
};

struct pagehash {
	uint64_t low, high;
};

/* 0, or MS_ERR_UNSUPPORTED in a build without the feature "xxhash"; then do not hash. */
int pagehash_check(void);

struct pagehash pagehash_make(const void *data, size_t size);

/*
 * The next block that begins in the fresh part of a span, from offset *at on; *at is then its
 * offset. A caller goes on at *at + *ret_size. Needs an overlap of PAGEHASH_BLOCK, and at least 1
 * byte behind, to know whether the stretch begins here.
 */
bool pagehash_block(const struct ms_span *span, size_t *at, size_t *ret_size);

#endif
