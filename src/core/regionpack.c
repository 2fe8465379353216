/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/regionpack.h"

#include "base/bytes.h"

enum { FIXED = 64, ALIGN = 8 };

void region_pack(struct buf *out, const struct ms_region *region)
{
	size_t path_size = strlen(region->path);

	buf_u64(out, region->base);
	buf_u64(out, region->size);
	buf_u64(out, region->offset);
	buf_u64(out, region->inode);
	buf_u64(out, region->resident);
	buf_u32(out, region->dev_major);
	buf_u32(out, region->dev_minor);
	buf_u32(out, region->perm);
	buf_u32(out, region->flags);
	buf_u32(out, region->kind);
	buf_u32(out, (uint32_t)path_size);
	buf_add(out, region->path, path_size);
	buf_fill(out, '\0', (size_t)(align_up(path_size, ALIGN) - path_size));
}

size_t region_unpack(
	const uint8_t *data, size_t size, struct arena *strings, struct ms_region *ret_region)
{
	uint64_t path_size, whole;
	uint32_t perm, flags, kind;

	if (size < FIXED)
		return 0;
	perm = load_u32(data + 48, false);
	flags = load_u32(data + 52, false);
	kind = load_u32(data + 56, false);
	path_size = load_u32(data + 60, false);
	whole = FIXED + align_up(path_size, ALIGN);
	if (whole > size || kind > MS_KIND_MAPPED || (perm & ~(unsigned)PERM_ALL) ||
		(flags & ~(unsigned)REGION_ALL))
		return 0;
	*ret_region = (struct ms_region){
		.base = load_u64(data, false),
		.size = load_u64(data + 8, false),
		.offset = load_u64(data + 16, false),
		.inode = load_u64(data + 24, false),
		.resident = load_u64(data + 32, false),
		.dev_major = load_u32(data + 40, false),
		.dev_minor = load_u32(data + 44, false),
		.perm = perm,
		.flags = flags,
		.kind = (enum ms_kind)kind,
		.path = path_size ? arena_copy(strings, data + FIXED, (size_t)path_size) : "",
	};
	return (size_t)whole;
}
