/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a page is, so that it is searched once however many processes have it: a page of a file by
 * device, inode and offset, a page that a fork left shared by its page frame. Frames are told by
 * /proc/PID/pagemap to those with CAP_SYS_ADMIN only (others see 0, Linux >= 4.2), and a page
 * that one process alone has mapped is marked there (bit 56, Linux >= 4.2): only that one's
 * owner could meet it again, and once freed its frame may come back as anything.
 */
#include "backend/linux.h"

#include "base/mem.h"

#include <errno.h>

enum { KIND_FILE = 1, KIND_FRAME = 2, ENTRIES = 1024 };

/* Bits of an entry of pagemap: Documentation/admin-guide/mm/pagemap.rst. */
static const uint64_t FRAME_MASK = (UINT64_C(1) << 55) - 1;
static const uint64_t EXCLUSIVE = UINT64_C(1) << 56;
static const uint64_t OF_FILE = UINT64_C(1) << 61;
static const uint64_t SWAPPED = UINT64_C(1) << 62;
static const uint64_t PRESENT = UINT64_C(1) << 63;

static bool has_file(const struct ms_region *region)
{
	return region && region->inode && !(region->flags & MS_REGION_ANONYMOUS);
}

static struct page_id page_identify(
	const struct ms_region *region, uint64_t address, uint64_t entry, uint64_t page_size)
{
	struct page_id unknown = {0};
	bool private_copy = (entry & (PRESENT | SWAPPED)) && !(entry & OF_FILE);

	if (has_file(region) && !private_copy) {
		uint64_t device = (uint64_t)region->dev_major << 32 | region->dev_minor;
		uint64_t offset = address - region->base + region->offset;

		return (struct page_id){KIND_FILE + (device << 8), region->inode, offset / page_size};
	}
	if (!(entry & PRESENT) || (entry & EXCLUSIVE) || !(entry & FRAME_MASK))
		return unknown;
	return (struct page_id){KIND_FRAME, entry & FRAME_MASK, 0};
}

int linux_identify(struct ms_source *src, uint64_t base, size_t count, struct page_id *ids)
{
	const struct linux_source *ls = linux_of(src);
	const struct ms_region *region = NULL;
	uint64_t entries[ENTRIES];
	size_t size = count * sizeof(*entries);

	if (ls->pages.fd < 0 || count > ENTRIES ||
		pread(ls->pages.fd, entries, size, (off_t)(base / src->page_size * sizeof(*entries))) !=
			(ssize_t)size)
		return MS_ERR_UNSUPPORTED;
	for (size_t i = 0; i < count; i++) {
		uint64_t address = base + i * src->page_size;

		if (!region || address - region->base >= region->size)
			region = region_find(&src->regions, address);
		ids[i] = page_identify(region, address, entries[i], src->page_size);
	}
	return 0;
}
