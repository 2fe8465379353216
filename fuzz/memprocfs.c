/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What MemProcFS's library hands out: the input is a list of pieces, each of 2 bytes of size and
 * that many bytes, which become the process list, the maps, strings and pages, in the order in
 * which they are asked for. Pointers among them point anywhere.
 */
#include "backend/backends.h"
#include "backend/memprocfs.h"
#include "base/bytes.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 16, READS = 64 };

struct input {
	const uint8_t *at, *end;
};

static size_t take(struct input *in, const uint8_t **ret_data)
{
	size_t size = in->end - in->at >= 2 ? load_u16(in->at, false) : 0;

	in->at += in->end - in->at >= 2 ? 2 : 0;
	if (size > (size_t)(in->end - in->at))
		size = (size_t)(in->end - in->at);
	*ret_data = in->at;
	in->at += size;
	return size;
}

/* The next piece as an allocation of the library's; NULL at the end of the input. */
static void *block_next(void *vmm)
{
	const uint8_t *data;
	struct input *in = vmm;
	size_t size;
	char *block;

	if (in->at == in->end)
		return NULL;
	size = take(in, &data);
	block = malloc(HEAD + size);
	if (!block)
		abort();
	memcpy(block, &size, sizeof(size));
	memcpy(block + HEAD, data, size);
	return block + HEAD;
}

static void block_free(void *block)
{
	free((char *)block - HEAD);
}

static size_t block_size(void *block)
{
	size_t size;

	memcpy(&size, (char *)block - HEAD, sizeof(size));
	return size;
}

static uint32_t map_next(void *vmm, uint32_t pid, uint32_t identify, struct vmm_map **ret_map)
{
	(void)pid, (void)identify;
	*ret_map = block_next(vmm);
	return *ret_map != NULL;
}

static uint32_t module_map(void *vmm, uint32_t pid, struct vmm_map **ret_map, uint32_t flags)
{
	return map_next(vmm, pid, flags, ret_map);
}

static uint32_t thread_map(void *vmm, uint32_t pid, struct vmm_map **ret_map)
{
	return map_next(vmm, pid, 0, ret_map);
}

static uint32_t vadex_map(
	void *vmm, uint32_t pid, uint32_t page, uint32_t count, struct vmm_vadex_map **ret_map)
{
	(void)pid, (void)page, (void)count;
	*ret_map = block_next(vmm);
	return *ret_map != NULL;
}

static uint32_t processes(void *vmm, struct vmm_process **ret_list, uint32_t *ret_count)
{
	*ret_list = block_next(vmm);
	if (!*ret_list)
		return 0;
	/* The count is the library's word alone; it may be off by one. */
	*ret_count =
		(uint32_t)(block_size(*ret_list) / sizeof(**ret_list) + block_size(*ret_list) % 2);
	return 1;
}

static uint32_t process(void *vmm, uint32_t pid, struct vmm_process *info, size_t *size)
{
	const uint8_t *data;
	size_t got = take(vmm, &data);

	(void)pid;
	memcpy(info, data, got < *size ? got : *size);
	info->eprocess = 0;
	info->state = 0;
	return 1;
}

static char *process_string(void *vmm, uint32_t pid, uint32_t what)
{
	(void)pid, (void)what;
	return block_next(vmm);
}

static uint32_t read_scatter(
	void *vmm, uint32_t pid, struct vmm_scatter **list, uint32_t count, uint32_t flags)
{
	(void)pid, (void)flags;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *data;
		size_t size = take(vmm, &data);

		assert(list[i]->address % VMM_PAGE + list[i]->size <= VMM_PAGE);
		memset(list[i]->data, 0, list[i]->size);
		memcpy(list[i]->data, data, size < list[i]->size ? size : list[i]->size);
		list[i]->good = size % 3;
	}
	return 0;
}

static uint32_t translate(void *vmm, uint32_t pid, uint64_t address, uint64_t *ret_physical)
{
	(void)vmm, (void)pid;
	*ret_physical = address;
	return address >> 12 & 1;
}

static void close_nothing(void *vmm)
{
	(void)vmm;
}

static struct ms_host *host_make(struct input *in)
{
	static const struct vmm_api api = {
		.close = close_nothing,
		.mem_free = block_free,
		.mem_size = block_size,
		.process = process,
		.processes = processes,
		.process_string = process_string,
		.pte_map = map_next,
		.vad_map = map_next,
		.module_map = module_map,
		.read_scatter = read_scatter,
		.translate = translate,
		.vadex_map = vadex_map,
		.thread_map = thread_map,
	};
	unsigned how = in->at < in->end ? *in->at++ : 0;
	struct ms_host *host;
	struct vmm_host *vh;

	if (host_new(&memprocfs_host, "fuzz", &host) < 0)
		abort();
	vh = host->priv;
	pthread_mutex_init(&vh->lock, NULL);
	vh->library.api = api;
	vh->vmm = in;
	vh->device = strdup("fuzz");
	vh->windows = how & 1;
	vh->system = how & 1 ? VMM_SYSTEM_WINDOWS_64 : VMM_SYSTEM_UNKNOWN_64;
	vh->system = how & 2 ? VMM_SYSTEM_WINDOWS_32 : vh->system;
	vh->model = how & 4 ? VMM_MODEL_X64 : VMM_MODEL_X86PAE;
	vh->has_page_file = how & 8;
	return host;
}

static void examine(ms_source *source)
{
	const struct ms_region *regions;
	const struct ms_module *modules;
	const struct ms_thread *threads;
	size_t count, got, i;
	uint64_t end = 0;
	char buf[3 * VMM_PAGE];
	struct ms_gap gap;

	if (ms_source_regions(source, &regions, &count) < 0)
		return;
	for (i = 0; i < count; i++) {
		assert(regions[i].size && regions[i].base >= end);
		assert(add_u64(regions[i].base, regions[i].size, &end));
		assert(strlen(regions[i].path) < 1 << 20);
	}
	for (i = 0; i < count && i < READS; i++) {
		if (ms_source_read(source, regions[i].base + 5, buf, sizeof(buf), &got, &gap) < 0)
			continue;
		assert(got <= sizeof(buf) && (got || gap.size));
	}
	if (ms_source_modules(source, &modules, &count) == 0)
		for (i = 0; i < count; i++)
			assert(add_u64(modules[i].base, modules[i].size, &end));
	if (ms_source_threads(source, &threads, &count) == 0)
		assert(count < 1 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	struct ms_host *host = host_make(&in);
	const struct ms_process *list;
	struct ms_process one = {.pid = 4, .name = "fuzz"};
	ms_source *source;
	size_t count;

	if (ms_host_processes(host, &list, &count) == 0)
		for (size_t i = 0; i < count; i++)
			assert(list[i].pid && strlen(list[i].name) <= 64);
	if (ms_source_open_process(host, &one, &source) == 0) {
		examine(source);
		ms_source_free(source);
	}
	ms_host_free(host);
	return 0;
}
