/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stand-in for MemProcFS's library, for what the real one cannot be made to do. The name of the
 * device says how it is to misbehave; "good" does not. Its one process has pages as in `here`,
 * whose bytes are their page number. What it was started with is the process's command line.
 */
#include "backend/memprocfs_api.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { PID = 40, HEAD = 16, ENTRIES = 8 };

#define BASE UINT64_C(0x10000)

struct machine {
	char device[260];
	char arguments[2048];
	unsigned lists; /* how often processes were asked for */
};

/* Two thirds of the pages are there, in no order that a run of reads would meet. */
static bool here(uint64_t address)
{
	return (address >> 12) * 7 % 3 != 0;
}

static bool is(const struct machine *m, const char *device)
{
	return strcmp(m->device, device) == 0;
}

/* ---- Memory that the caller gives back ----------------------------------------------------- */

static void *block(size_t size)
{
	char *data = calloc(1, HEAD + size);

	if (!data)
		abort();
	memcpy(data, &size, sizeof(size));
	return data + HEAD;
}

EXPORT void VMMDLL_MemFree(void *data)
{
	if (data)
		free((char *)data - HEAD);
}

EXPORT size_t VMMDLL_MemSize(void *data)
{
	size_t size = 0;

	if (data)
		memcpy(&size, (char *)data - HEAD, sizeof(size));
	return size;
}

/* A map with room for `count` entries and some text behind them. */
static struct vmm_map *map_new(uint32_t version, size_t entry_size, uint32_t count, char **ret_text)
{
	struct vmm_map *map = block(sizeof(*map) + entry_size * count + 1024);

	map->version = version;
	map->count = count;
	*ret_text = (char *)(map + 1) + entry_size * count;
	return map;
}

static const char *put_text(char **text, const char *words)
{
	char *at = *text;

	strcpy(at, words);
	*text += strlen(words) + 1;
	return at;
}

/* ---- Starting ------------------------------------------------------------------------------- */

EXPORT void *VMMDLL_Initialize(uint32_t count, const char *const words[])
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m || count < 3 || words[0][0])
		abort();
	for (uint32_t i = 0; i < count; i++) {
		if (i + 1 < count && strcmp(words[i], "-device") == 0)
			snprintf(m->device, sizeof(m->device), "%s", words[i + 1]);
		snprintf(m->arguments + strlen(m->arguments),
			sizeof(m->arguments) - strlen(m->arguments), "%s%s", i ? " " : "",
			words[i]);
	}
	if (is(m, "fails") || is(m, "unrecognised")) {
		free(m);
		return NULL;
	}
	return m;
}

EXPORT void VMMDLL_Close(void *vmm)
{
	free(vmm);
}

EXPORT void *LcCreate(struct lc_config *config)
{
	if (strcmp(config->device, "unrecognised") == 0)
		return malloc(1);
	if (config->print)
		config->print("DOUBLE: %s\nwill not open\n", config->device);
	return NULL;
}

EXPORT void LcClose(void *leechcore)
{
	free(leechcore);
}

EXPORT uint32_t LcGetOption(void *leechcore, uint64_t option, uint64_t *ret_value)
{
	struct machine *m = leechcore;

	if (option != LC_OPT_VOLATILE)
		return 0;
	*ret_value = is(m, "volatile");
	return 1;
}

EXPORT uint32_t VMMDLL_ConfigGet(void *vmm, uint64_t option, uint64_t *ret_value)
{
	struct machine *m = vmm;

	*ret_value = 0;
	if (option == VMM_OPT_VERSION_MAJOR)
		*ret_value = is(m, "version") ? 4 : VMM_MAJOR;
	else if (option == VMM_OPT_VERSION_MINOR)
		*ret_value = 17;
	else if (option == VMM_OPT_SYSTEM)
		*ret_value = is(m, "physical") ? VMM_SYSTEM_PHYSICAL : VMM_SYSTEM_WINDOWS_64;
	else if (option == VMM_OPT_LEECHCORE)
		*ret_value = (uintptr_t)m;
	return *ret_value != 0;
}

EXPORT uint32_t VMMDLL_ConfigSet(void *vmm, uint64_t option, uint64_t value)
{
	(void)vmm, (void)option, (void)value;
	return 1;
}

/* ---- Processes ------------------------------------------------------------------------------ */

static struct vmm_process the_process(const struct machine *m)
{
	struct vmm_process p = {.magic = VMM_PROCESS_MAGIC,
		.version = VMM_PROCESS_VERSION,
		.model = VMM_MODEL_X64,
		.system = VMM_SYSTEM_WINDOWS_64,
		.user_only = 1,
		.pid = PID,
		.eprocess = 0xffff800000001000u,
		.peb = 0x1000,
		.name = "double.exe"};

	/* A name that ends nowhere, and one that is no text. */
	if (is(m, "names")) {
		memset(p.name, 'n', sizeof(p.name));
		memset(p.long_name, 0xfe, sizeof(p.long_name));
		memset(p.sid, 'S', sizeof(p.sid));
	}
	return p;
}

#ifndef LACKS_A_SYMBOL
EXPORT uint32_t VMMDLL_ProcessGetInformationAll(
	void *vmm, struct vmm_process **ret_list, uint32_t *ret_count)
{
	struct machine *m = vmm;
	struct vmm_process *list = block(2 * sizeof(*list));

	list[0] = the_process(m);
	list[1] = the_process(m);
	list[1].pid = PID + 1 + m->lists++;
	list[1].state = is(m, "volatile") ? 0 : 1;
	if (is(m, "process version"))
		list[0].version = 8;
	*ret_list = list;
	*ret_count = is(m, "process count") ? 0x7fffffff : 2;
	return 1;
}
#endif

EXPORT uint32_t VMMDLL_ProcessGetInformation(
	void *vmm, uint32_t pid, struct vmm_process *info, size_t *size)
{
	struct machine *m = vmm;

	if (info->magic != VMM_PROCESS_MAGIC || info->version != VMM_PROCESS_VERSION ||
		*size < sizeof(*info))
		abort();
	*info = the_process(m);
	info->pid = pid;
	info->state = is(m, "ended");
	info->eprocess += is(m, "recycled");
	return !is(m, "unknown");
}

EXPORT char *VMMDLL_ProcessGetInformationString(void *vmm, uint32_t pid, uint32_t what)
{
	struct machine *m = vmm;
	char *text = block(sizeof(m->arguments));

	(void)pid;
	strcpy(text, what == VMM_STRING_COMMAND_LINE ? m->arguments : "C:\\double.exe");
	if (is(m, "names"))
		memset(text, 'x', sizeof(m->arguments)); /* no end */
	return text;
}

/* ---- Maps ----------------------------------------------------------------------------------- */

EXPORT uint32_t VMMDLL_Map_GetPteU(
	void *vmm, uint32_t pid, uint32_t identify, struct vmm_map **ret_map)
{
	struct machine *m = vmm;
	char *text;
	struct vmm_map *map = map_new(VMM_PTE_VERSION, sizeof(struct vmm_pte), ENTRIES, &text);
	struct vmm_pte *ptes = (struct vmm_pte *)(map + 1);

	(void)pid, (void)identify;
	for (uint64_t i = 0; i < ENTRIES; i++)
		ptes[i] = (struct vmm_pte){.base = BASE + i * 0x10000,
			.pages = 16,
			.flags = VMM_PTE_NO_EXECUTE | VMM_PTE_WRITE,
			.text = ""};
	if (is(m, "addresses")) {
		ptes[1].base = UINT64_MAX - 0xfff;
		ptes[2].pages = UINT64_MAX;
		ptes[3].base += 5;
		ptes[4].base = BASE + 0x8000;
		ptes[5].pages = 0;
		ptes[6].software = UINT32_MAX;
	}
	if (is(m, "page version"))
		map->version++;
	if (is(m, "page count"))
		map->count = UINT32_MAX;
	*ret_map = map;
	return 1;
}

EXPORT uint32_t VMMDLL_Map_GetVadU(
	void *vmm, uint32_t pid, uint32_t identify, struct vmm_map **ret_map)
{
	struct machine *m = vmm;
	char *text;
	struct vmm_map *map = map_new(VMM_VAD_VERSION, sizeof(struct vmm_vad), ENTRIES, &text);
	struct vmm_vad *vads = (struct vmm_vad *)(map + 1);
	const char *name = put_text(&text, "\\Temp\\file.bin");

	(void)pid, (void)identify;
	for (uint64_t i = 0; i < ENTRIES; i++)
		vads[i] = (struct vmm_vad){.start = BASE + i * 0x10000,
			.last = BASE + i * 0x10000 + 0xffff,
			.bits = 4 << VMM_VAD_PROTECTION_SHIFT |
				(i % 2 ? VMM_VAD_PRIVATE : VMM_VAD_FILE),
			.prototype_size = 16 * 8,
			.text = i % 2 ? "" : name};
	if (is(m, "addresses")) {
		vads[1].last = UINT64_MAX;
		vads[2].last = vads[2].start - 1;
		vads[3].start += 7;
		vads[4].start = BASE;
		vads[5].last = vads[5].start + 0x1234;
		vads[6].prototype_size = UINT32_MAX;
		vads[6].ex_pages = UINT32_MAX;
		vads[6].ex_base = UINT32_MAX;
	}
	/* A section as large as the address space, of which the page tables know nothing. */
	if (is(m, "huge")) {
		vads[7].start += 0x10000000;
		vads[7].last = 0x7ffffffeffff;
		vads[7].bits = 4 << VMM_VAD_PROTECTION_SHIFT | VMM_VAD_PAGE_FILE;
		vads[7].prototype_size = UINT32_MAX;
		vads[7].ex_pages = UINT32_MAX;
	}
	if (is(m, "names")) {
		memset(text, 'e', 100);
		text[100] = '\0';
		strcpy(text, "\\\xff\xfe\x80.bin");
		vads[0].text = text;
		vads[2].text = (const char *)map - 4096;
		vads[4].text = (const char *)map + VMMDLL_MemSize(map);
		vads[6].text = NULL;
	}
	if (is(m, "vad version"))
		map->version++;
	if (is(m, "vad count"))
		map->count = ENTRIES + 1000;
	if (is(m, "no vads")) {
		VMMDLL_MemFree(map);
		return 0;
	}
	*ret_map = map;
	return 1;
}

EXPORT uint32_t VMMDLL_Map_GetModuleU(
	void *vmm, uint32_t pid, struct vmm_map **ret_map, uint32_t flags)
{
	struct machine *m = vmm;
	char *text;
	struct vmm_map *map = map_new(VMM_MODULE_VERSION, sizeof(struct vmm_module), 4, &text);
	struct vmm_module *modules = (struct vmm_module *)(map + 1);

	(void)pid, (void)flags;
	modules[0] = (struct vmm_module){.base = BASE + 0x20000,
		.size = 0xfffff000,
		.name = put_text(&text, "liar.dll"),
		.path = put_text(&text, "C:\\liar.dll")};
	modules[1] = (struct vmm_module){.base = BASE,
		.size = 0,
		.type = VMM_MODULE_UNLINKED,
		.name = put_text(&text, "_NOTLINKED-_64-hidden.dll"),
		.path = "elsewhere"};
	modules[2] = (struct vmm_module){.base = BASE,
		.size = 0x1000,
		.name = put_text(&text, "twice.dll"),
		.path = NULL,
		.debug = (const void *)((const char *)map - 64),
		.version = (const void *)(uintptr_t)0x1234};
	modules[3] = (struct vmm_module){.base = 0x700000000000,
		.size = 0xffffffff,
		.name = put_text(&text, "nowhere.dll"),
		.path = ""};
	if (is(m, "module version"))
		map->version--;
	if (is(m, "module count"))
		map->count = 0x10000000;
	if (is(m, "no modules")) {
		VMMDLL_MemFree(map);
		return 0;
	}
	*ret_map = map;
	return 1;
}

EXPORT uint32_t VMMDLL_Map_GetVadEx(
	void *vmm, uint32_t pid, uint32_t page, uint32_t count, struct vmm_vadex_map **ret_map)
{
	struct machine *m = vmm;
	struct vmm_vadex_map *map = block(sizeof(*map));

	(void)pid, (void)page;
	map->version = VMM_VADEX_VERSION;
	map->count = is(m, "addresses") ? count : 0;
	*ret_map = map;
	return 1;
}

EXPORT uint32_t VMMDLL_Map_GetThread(void *vmm, uint32_t pid, struct vmm_map **ret_map)
{
	struct machine *m = vmm;
	char *text;
	struct vmm_map *map = map_new(VMM_THREAD_VERSION, sizeof(struct vmm_thread), 2, &text);
	struct vmm_thread *threads = (struct vmm_thread *)(map + 1);

	(void)pid;
	threads[0] = (struct vmm_thread){.tid = 41,
		.stack_base = BASE + 0x20000,
		.stack_limit = BASE + 0x18000,
		.stack_pointer = BASE + 0x1f000};
	threads[1] = (struct vmm_thread){.tid = 42, .exited = 1, .stack_base = 1, .stack_limit = 2};
	if (is(m, "thread count"))
		map->count = 3 << 20;
	*ret_map = map;
	return 1;
}

/* ---- Reading -------------------------------------------------------------------------------- */

EXPORT uint32_t VMMDLL_MemReadScatter(
	void *vmm, uint32_t pid, struct vmm_scatter **list, uint32_t count, uint32_t flags)
{
	uint32_t done = 0;

	(void)vmm, (void)pid, (void)flags;
	for (uint32_t i = 0; i < count; i++) {
		struct vmm_scatter *read = list[i];

		if (read->version != VMM_SCATTER_VERSION || read->size > VMM_PAGE ||
			read->address % VMM_PAGE + read->size > VMM_PAGE)
			abort();
		/* What could not be read is overwritten as well, as the real library does. */
		memset(read->data, here(read->address) ? (int)(read->address >> 12 & 0xff) : 0,
			read->size);
		read->good = here(read->address);
		done += read->good;
	}
	return done;
}

EXPORT uint32_t VMMDLL_MemVirt2Phys(
	void *vmm, uint32_t pid, uint64_t address, uint64_t *ret_physical)
{
	(void)vmm, (void)pid;
	*ret_physical = address;
	return here(address);
}
