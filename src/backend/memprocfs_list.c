/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules and threads. The library marks what it found by other ways than the loader's list in
 * the name itself ("_NOTLINKED-hidden.dll"); the mark is taken off again, as the name is compared
 * with others. Of a module that is in no list the library has no path: the mapping at its base
 * has one. A module says itself how large it is, and may lie: it ends where the mapping of its
 * file ends, at the latest.
 */
#include "backend/memprocfs.h"

#include "base/err.h"

enum { GUID_TEXT = 48 };

/* ---- Modules ------------------------------------------------------------------------------ */

/* The name without the library's marks. */
static const char *plain_name(const char *name)
{
	static const char *const marks[] = {"_NOTLINKED-", "_DATA-", "_INJECTED-", "_64-", "_NA-"};
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
			if (strncmp(name, marks[i], strlen(marks[i])) == 0) {
				name += strlen(marks[i]);
				again = true;
			}
	}
	return name;
}

/* How far mappings of the same file reach from the region at base on; the lock is not needed. */
static uint64_t mapped_size(const struct ms_source *src, uint64_t base)
{
	const struct ms_region *region = region_find(&src->regions, base);
	const struct ms_region *end = src->regions.items.data + src->regions.items.count;
	const char *path;
	uint64_t upto;

	if (!region)
		return 0;
	path = region->path;
	upto = region->base + region->size;
	for (region++; region < end && region->base == upto && strcmp(region->path, path) == 0;
		region++)
		upto += region->size;
	return upto - base;
}

/* "10.0.19045.4", or with what product it belongs to where that says something else. */
static const char *version_text(
	const struct vmm_block *block, const struct vmm_module *module, struct arena *strings)
{
	const struct vmm_version_info *info = module->version;
	const char *file, *product;

	if (!vmm_block_holds(block, info, sizeof(*info)))
		return "";
	file = vmm_block_text(block, info->file_version);
	product = vmm_block_text(block, info->product_version);
	if (!*file || !*product || strcmp(file, product) == 0)
		return arena_string(strings, *file ? file : product);
	return arena_format(strings, "%s (product %s)", file, product);
}

/* As symbol servers name it: the GUID and the age. */
static const char *build_id_text(
	const struct vmm_block *block, const struct vmm_module *module, struct arena *strings)
{
	const struct vmm_debug_info *info = module->debug;
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	char text[GUID_TEXT];
	bool any = false;

	if (!vmm_block_holds(block, info, sizeof(*info)))
		return "";
	for (size_t i = 0; i < 16; i++) {
		any |= info->guid[i] != 0;
		snprintf(text + 2 * i, 3, "%02x", info->guid[order[i]]);
	}
	return any ? arena_format(strings, "%s%x", text, info->age) : "";
}

static int add_module(struct ms_source *src, const struct vmm_block *block,
	const struct vmm_module *m, struct module_list *out)
{
	const struct ms_region *region = region_find(&src->regions, m->base);
	const char *path = vmm_block_text(block, m->path);
	uint64_t size = m->size, mapped = mapped_size(src, m->base);
	struct ms_module module = {.base = m->base};

	/* The kernel's modules appear in processes that are no user's; they belong to pid 4. */
	if (m->base >= VMM_USER_END && !vmm_of(src)->kernel)
		return 0;
	if (mapped && (size == 0 || size > mapped))
		size = mapped;
	if (size > UINT64_MAX - m->base)
		return 0;
	module.size = size;
	module.name = arena_string(&out->strings, plain_name(vmm_block_text(block, m->name)));
	if (m->type != VMM_MODULE_NORMAL && region && region->path[0])
		path = region->path;
	module.path = arena_string(&out->strings, path);
	module.version = version_text(block, m, &out->strings);
	module.build_id = build_id_text(block, m, &out->strings);
	if (!module.name || !module.path || !module.version || !module.build_id ||
		!vec_push(&out->items, module))
		return err_nomem();
	return 0;
}

static int module_order(const void *a, const void *b)
{
	const struct ms_module *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

/* Ascending, and each base once. */
static void sort_modules(struct module_list *out)
{
	size_t kept = 0;

	vec_sort(&out->items, module_order);
	for (size_t i = 0; i < out->items.count; i++)
		if (!kept || out->items.data[kept - 1].base != out->items.data[i].base)
			out->items.data[kept++] = out->items.data[i];
	out->items.count = kept;
}

int vmm_modules(struct ms_source *src, struct module_list *out)
{
	struct vmm_host *vh = vmm_host_of(src);
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	struct vmm_map *map = NULL;
	const struct vmm_module *entries;
	const void *list = NULL;
	size_t count = 0;
	int r;

	/* Of another system than Windows the library knows none, but ELF has headers of its own. */
	if (!vh->windows)
		return modules_from_elf(src, out);
	if (!vh->library.api.module_map(vh->vmm, vmm_of(src)->pid, &map,
		    VMM_MODULE_DEBUG_INFO | VMM_MODULE_VERSION_INFO))
		return 0;
	vmm_block_init(&block, &vh->library.api, map);
	r = vmm_block_entries(
		&block, "module map", VMM_MODULE_VERSION, sizeof(*entries), &list, &count);
	entries = r == 0 ? list : NULL;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_module(src, &block, &entries[i], out);
	sort_modules(out);
	return r;
}

/* ---- Threads ------------------------------------------------------------------------------ */

int vmm_threads(struct ms_source *src, struct thread_list *out)
{
	struct vmm_host *vh = vmm_host_of(src);
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	struct vmm_map *map = NULL;
	const struct vmm_thread *entries;
	const void *list = NULL;
	size_t count = 0;
	int r;

	/* Without the offsets of this very kernel the library knows no threads. */
	if (!vh->library.api.thread_map ||
		!vh->library.api.thread_map(vh->vmm, vmm_of(src)->pid, &map))
		return 0;
	vmm_block_init(&block, &vh->library.api, map);
	r = vmm_block_entries(
		&block, "thread map", VMM_THREAD_VERSION, sizeof(*entries), &list, &count);
	entries = r == 0 ? list : NULL;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct ms_thread thread = {
			.tid = entries[i].tid,
			.name = "",
			.stack_pointer = entries[i].stack_pointer,
		};

		if (entries[i].exited == 0 && !vec_push(&out->items, thread))
			r = err_nomem();
	}
	return r;
}
