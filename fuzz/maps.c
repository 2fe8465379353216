/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The texts of /proc/PID/maps, smaps and mountinfo, in which a process chooses the names. The
 * regions that come out ascend, never overlap and have a name.
 */
#include "backend/linux_maps.h"
#include "backend/linux_mounts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_regions(struct region_list *list)
{
	const uint64_t stack_pointers[] = {0, 0x7fff0000, UINT64_MAX};
	uint64_t end = 0;

	linux_maps_classify(list, stack_pointers, ARRAY_SIZE(stack_pointers));
	for (size_t i = 0; i < list->items.count; i++) {
		const struct ms_region *region = &list->items.data[i];

		assert(region->size > 0 && region->base >= end);
		assert(region->base <= UINT64_MAX - region->size);
		assert(region->resident == UINT64_MAX || region->resident <= region->size);
		assert(strlen(region->path) < SIZE_MAX);
		end = region->base + region->size;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct region_list list = {0};
	struct linux_mounts mounts = {0};

	/* What a failed parse leaves behind must hold, too. */
	(void)linux_maps_parse((const char *)data, size, &list);
	use_regions(&list);
	(void)linux_mounts_parse((const char *)data, size, &mounts);
	free(list.items.data);
	arena_done(&list.strings);
	free(mounts.items.data);
	return 0;
}
