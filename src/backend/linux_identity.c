/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a page is, so that it is searched once however many processes have it.
 *
 * A page of a file is known by device, inode and offset, but only where those are the file's own:
 * for overlayfs and btrfs a memory map shows numbers that several files may share. Those have
 * device numbers with major 0, as has the kernel's own shared memory, which is fine; any other
 * file on such a device is known by page frame, too. A page that a fork left shared is known by
 * its frame.
 *
 * Frames are told by /proc/PID/pagemap to those with CAP_SYS_ADMIN only (others see 0,
 * Linux >= 4.2). An anonymous page that one process alone has mapped is marked there (bit 56,
 * Linux >= 4.2): only its owner could meet it again, and once freed its frame may come back as
 * anything.
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

/* Whether device and inode of a region are its file's own and nobody else's. */
static bool is_unique(struct ms_source *src, const struct ms_region *region)
{
	return region->dev_major != 0 ||
	       linux_place(src, region->dev_major, region->dev_minor) == LINUX_PLACE_INTERNAL;
}

static struct page_id file_page(const struct ms_region *region, bool unique, uint64_t address,
	uint64_t entry, uint64_t page_size)
{
	uint64_t device = (uint64_t)region->dev_major << 32 | region->dev_minor;
	uint64_t offset = address - region->base + region->offset;
	uint64_t frame = entry & PRESENT ? entry & FRAME_MASK : 0;

	if (!unique && !frame)
		return (struct page_id){0};
	return (struct page_id){
		KIND_FILE + (device << 8), region->inode, offset / page_size, unique ? 0 : frame};
}

static struct page_id anonymous_page(uint64_t entry)
{
	if (!(entry & PRESENT) || (entry & EXCLUSIVE) || !(entry & FRAME_MASK))
		return (struct page_id){0};
	return (struct page_id){KIND_FRAME, 0, 0, entry & FRAME_MASK};
}

int linux_identify(struct ms_source *src, uint64_t base, size_t count, struct page_id *ids)
{
	const struct linux_source *ls = linux_of(src);
	const struct ms_region *region = NULL;
	bool unique = false;
	uint64_t entries[ENTRIES];
	size_t size = count * sizeof(*entries);

	if (ls->pages.fd < 0 || count > ENTRIES ||
		pread(ls->pages.fd, entries, size,
			(off_t)(base / src->page_size * sizeof(*entries))) != (ssize_t)size)
		return MS_ERR_UNSUPPORTED;
	for (size_t i = 0; i < count; i++) {
		uint64_t address = base + i * src->page_size;

		bool private_copy = (entries[i] & (PRESENT | SWAPPED)) && !(entries[i] & OF_FILE);

		if (!region || address - region->base >= region->size) {
			region = region_find(&src->regions, address);
			unique = has_file(region) && is_unique(src, region);
		}
		ids[i] = has_file(region) && !private_copy
				 ? file_page(region, unique, address, entries[i], src->page_size)
				 : anonymous_page(entries[i]);
	}
	return 0;
}
