/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the threads of a 64-bit Windows process have their stacks. The library tells it if it has
 * the offsets of that kernel's own structures, from symbols; without them the threads' own blocks
 * do. A TEB begins with the bounds of the stack and has pointers to itself and to the PEB at
 * places that have been the same since 64-bit Windows exists, and it lies in the VAD of the PEB or
 * in one that the library takes for a TEB's.
 */
#include "backend/memprocfs.h"

#include "base/bytes.h"
#include "base/err.h"

enum {
	TEB_STACK_BASE = 0x08,
	TEB_STACK_LIMIT = 0x10,
	TEB_SELF = 0x30,
	TEB_PEB = 0x60,
	SEARCHED_MAX = 4 * 1024 * 1024, /* of one VAD */
	STACK_MAX = 1024 * 1024 * 1024,
	STACKS_MAX = 65536,
};

static int add_stack(struct vmm_maps *maps, uint64_t low, uint64_t high)
{
	if (high <= low || high - low > STACK_MAX || maps->stacks.count >= STACKS_MAX)
		return 0;
	return vec_push(&maps->stacks, (struct vmm_stack){low, high}) ? 0 : err_nomem();
}

static int stacks_of_threads(struct ms_source *src, struct vmm_maps *maps)
{
	struct vmm_host *vh = vmm_host_of(src);
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	struct vmm_map *map = NULL;
	const struct vmm_thread *threads;
	const void *list;
	size_t count;
	int r = 0;

	if (!vh->library.api.thread_map ||
		!vh->library.api.thread_map(vh->vmm, vmm_of(src)->pid, &map))
		return 0;
	vmm_block_init(&block, &vh->library.api, map);
	if (vmm_block_entries(
		    &block, "thread map", VMM_THREAD_VERSION, sizeof(*threads), &list, &count) < 0)
		return 0;
	threads = list;
	for (size_t i = 0; i < count && r == 0; i++)
		r = add_stack(maps, threads[i].stack_limit, threads[i].stack_base);
	return r;
}

/* The TEBs in one run of pages. */
static int search_run(struct ms_source *src, struct vmm_maps *maps, uint64_t base, uint64_t size)
{
	uint8_t page[VMM_PAGE];

	for (uint64_t at = base; at < base + size; at += VMM_PAGE) {
		bool good = false;
		int r = 0;

		vmm_read_pages(vmm_host_of(src), vmm_of(src)->pid, at, page, 1, &good);
		if (good && load_u64(page + TEB_SELF, false) == at &&
			load_u64(page + TEB_PEB, false) == vmm_of(src)->peb)
			r = add_stack(maps, load_u64(page + TEB_STACK_LIMIT, false),
				load_u64(page + TEB_STACK_BASE, false));
		if (r < 0)
			return r;
	}
	return 0;
}

static int search_range(struct ms_source *src, struct vmm_maps *maps, const struct vmm_range *range)
{
	uint64_t end = range->base + min_u64(range->size, SEARCHED_MAX);
	int r = 0;

	for (size_t i = 0; i < maps->runs.count && r == 0; i++) {
		const struct vmm_run *run = &maps->runs.data[i];
		uint64_t base = max_u64(run->base, range->base);
		uint64_t upto = min_u64(run->base + run->size, end);

		if (base < upto)
			r = search_run(src, maps, base, upto - base);
	}
	return r;
}

int vmm_stacks_find(struct ms_source *src, struct vmm_maps *maps)
{
	uint64_t peb = vmm_of(src)->peb;
	int r;

	if (vmm_host_of(src)->system != VMM_SYSTEM_WINDOWS_64 || !peb)
		return 0;
	r = stacks_of_threads(src, maps);
	if (maps->stacks.count)
		return r;
	for (size_t i = 0; i < maps->ranges.count && r == 0; i++) {
		const struct vmm_range *range = &maps->ranges.data[i];

		if (peb - range->base < range->size || (range->bits & VMM_VAD_TEB))
			r = search_range(src, maps, range);
	}
	return r;
}
