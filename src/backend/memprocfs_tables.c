/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page tables themselves, of x86-64. The library's map of them leaves out pages whose frames
 * lie behind the end of the image: by it alone, memory that was cut off would look as if it had
 * never been touched. Entries are 8 bytes, 512 to a table, four tables deep (Intel SDM volume 3,
 * 4.5); where a table is missing or large, one look tells of megabytes.
 */
#include "backend/memprocfs.h"

#include "base/bytes.h"

enum {
	LEVELS = 4,
	ENTRIES = 512,
	PRESENT = 1,
	LARGE = 0x80,
	PHYSICAL = -1, /* the library's name for memory without a process */
};

#define FRAME UINT64_C(0x000ffffffffff000)

struct table {
	uint8_t bytes[VMM_PAGE];
};

static unsigned index_of(uint64_t address, int level)
{
	return (unsigned)(address >> (12 + 9 * level) & (ENTRIES - 1));
}

/* What one entry says; 0 for that there is more to read below it. */
static enum vmm_entry class_of(uint64_t entry, int level)
{
	if (entry == 0)
		return VMM_ENTRY_NONE;
	if (level == 0 || ((entry & LARGE) && level < 3 && (entry & PRESENT)))
		return VMM_ENTRY_SOME;
	return entry & PRESENT ? VMM_ENTRY_BELOW : VMM_ENTRY_UNKNOWN;
}

/* How far from address on the entries of one table say the same. */
static uint64_t extent(const struct table *table, int level, uint64_t address, enum vmm_entry class)
{
	uint64_t span = UINT64_C(1) << (12 + 9 * level), upto = align_down(address, span);

	for (unsigned i = index_of(address, level); i < ENTRIES; i++) {
		if (class_of(load_u64(table->bytes + 8 * i, false), level) != class)
			break;
		upto += span;
	}
	return upto;
}

enum vmm_entry vmm_tables_look(struct ms_source *src, uint64_t address, uint64_t *ret_upto)
{
	struct vmm_host *vh = vmm_host_of(src);
	uint64_t at = vmm_of(src)->tables;
	struct table table;

	*ret_upto = UINT64_MAX;
	if (vh->model != VMM_MODEL_X64)
		return VMM_ENTRY_NONE;
	for (int level = LEVELS - 1; level >= 0; level--) {
		enum vmm_entry class;
		bool good = false;

		vmm_read_pages(vh, (uint32_t)PHYSICAL, at & FRAME, table.bytes, 1, &good);
		if (!good) {
			*ret_upto = align_up(address + 1, UINT64_C(1) << (12 + 9 * (level + 1)));
			return VMM_ENTRY_UNKNOWN;
		}
		at = load_u64(table.bytes + 8 * index_of(address, level), false);
		class = class_of(at, level);
		if (class == VMM_ENTRY_BELOW)
			continue;
		*ret_upto = extent(&table, level, address, class);
		return class;
	}
	return VMM_ENTRY_NONE;
}
