/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/pagehash.h"

#include "base/err.h"
#include "base/mem.h"

#ifdef HAVE_XXHASH
/* One function of it is used: that is no reason to load a library. */
#define XXH_INLINE_ALL
#include <xxhash.h>

int pagehash_check(void)
{
	return 0;
}

struct pagehash pagehash_make(const void *data, size_t size)
{
	XXH128_hash_t hash = XXH3_128bits(data, size);

	return (struct pagehash){hash.low64, hash.high64};
}
#else
int pagehash_check(void)
{
	return err_set(MS_ERR_UNSUPPORTED,
		"this build has no hash for pages; build memsift with libxxhash");
}

struct pagehash pagehash_make(const void *data, size_t size)
{
	(void)data, (void)size;
	return (struct pagehash){0};
}
#endif

bool pagehash_block(const struct ms_span *span, size_t *at, size_t *ret_size)
{
	uint64_t address = span->address + *at;
	uint64_t next = align_down(address, PAGEHASH_BLOCK) + PAGEHASH_BLOCK;

	/* What lies in the middle of a block belongs to one that began before. */
	if (address % PAGEHASH_BLOCK && (*at || span->before)) {
		*at += (size_t)(next - address);
		next += PAGEHASH_BLOCK;
	}
	if (*at >= span->fresh)
		return false;
	*ret_size = (size_t)min_u64(next - span->address, span->size) - *at;
	return true;
}
