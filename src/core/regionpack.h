/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A region as memsift's own files keep it, in cores and in snapshots of hashes. Little endian:
 *
 *   u64 base, size, offset, inode, resident; u32 dev_major, dev_minor, perm, flags, kind,
 * path_size; the path, padded with zeros to a multiple of 8
 */
#ifndef MS_CORE_REGIONPACK_H
#define MS_CORE_REGIONPACK_H

#include "core/host.h"

#include "base/buf.h"

void region_pack(struct buf *out, const struct ms_region *region);

/*
 * Takes a region off the front of size bytes, with its path in the arena (NULL when memory runs
 * out). Returns how many bytes it took; 0 if they are no region. Whether its addresses make sense
 * beside others is for the caller to see.
 */
size_t region_unpack(
	const uint8_t *data, size_t size, struct arena *strings, struct ms_region *ret_region);

#endif
