/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads all that a process in a memory image holds, once to warm up and once by the clock, and
 * prints the seconds: by memsift, or by the library's own function in a bare loop, with as many
 * pages a call. Both with one thread, in pieces that fit a core's cache; opening is not counted.
 *
 *	vmmread memsift|bare LIBRARY IMAGE PID
 */
#include "memsift.h"

#include "backend/memprocfs_api.h"

#include <dlfcn.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <stdio.h>

enum { PIECE = 512 * 1024, PAGES = PIECE / VMM_PAGE };

static char buf[PIECE] __attribute__((aligned(4096)));

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t read_region(ms_source *source, const struct ms_region *region)
{
	uint64_t end = region->base + region->size, sum = 0;

	for (uint64_t at = region->base; at < end;) {
		size_t size = end - at < PIECE ? (size_t)(end - at) : PIECE, got;
		struct ms_gap gap;

		if (ms_source_read(source, at, buf, size, &got, &gap) < 0)
			errx(1, "%s", ms_error());
		sum += got;
		at += got ? got : gap.size;
	}
	return sum;
}

static uint64_t read_by_memsift(ms_source *source)
{
	const struct ms_region *list;
	uint64_t sum = 0;
	size_t count;

	if (ms_source_regions(source, &list, &count) < 0)
		errx(1, "%s", ms_error());
	for (size_t i = 0; i < count; i++)
		sum += read_region(source, &list[i]);
	return sum;
}

static void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		errx(1, "no %s: %s", name, dlerror());
	return found;
}

/* The runs of pages that the library tells, read as they are. */
static uint64_t read_bare(const struct vmm_api *api, void *vmm, uint32_t pid)
{
	static struct vmm_scatter reads[PAGES], *list[PAGES];
	struct vmm_map *map;
	const struct vmm_pte *runs;
	uint64_t sum = 0;

	if (!api->pte_map(vmm, pid, 0, &map))
		errx(1, "no map of pages");
	runs = (const struct vmm_pte *)(map + 1);
	for (uint32_t i = 0; i < map->count; i++)
		for (uint64_t page = 0; page < runs[i].pages;) {
			uint64_t left = runs[i].pages - page;
			uint32_t count = left < PAGES ? (uint32_t)left : PAGES;

			for (uint32_t k = 0; k < count; k++) {
				reads[k] = (struct vmm_scatter){.version = VMM_SCATTER_VERSION,
					.address = runs[i].base + (page + k) * VMM_PAGE,
					.data = buf + (size_t)k * VMM_PAGE,
					.size = VMM_PAGE};
				list[k] = &reads[k];
			}
			sum += (uint64_t)api->read_scatter(vmm, pid, list, count, 0) * VMM_PAGE;
			page += count;
		}
	api->mem_free(map);
	return sum;
}

static void report(double start, uint64_t sum)
{
	printf("%.6f\n", now() - start);
	fprintf(stderr, "%llu bytes\n", (unsigned long long)sum);
}

static void by_memsift(ms_host *host, uint32_t pid)
{
	ms_source *source;
	double start;

	if (ms_source_open(host, pid, &source) < 0)
		errx(1, "%s", ms_error());
	read_by_memsift(source);
	start = now();
	report(start, read_by_memsift(source));
	ms_source_free(source);
}

static void by_library(const char *path, const char *image, uint32_t pid)
{
	const char *const words[] = {
		"", "-device", image, "-disable-python", "-disable-symbolserver", "-norefresh"};
	/* memsift has loaded it, with what it needs. */
	void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD), *vmm;
	struct vmm_api api = {0};
	double start;

	if (!library)
		errx(1, "%s", dlerror());
	*(void **)&api.initialize = symbol(library, "VMMDLL_Initialize");
	*(void **)&api.close = symbol(library, "VMMDLL_Close");
	*(void **)&api.mem_free = symbol(library, "VMMDLL_MemFree");
	*(void **)&api.pte_map = symbol(library, "VMMDLL_Map_GetPteU");
	*(void **)&api.read_scatter = symbol(library, "VMMDLL_MemReadScatter");
	vmm = api.initialize(6, words);
	if (!vmm)
		errx(1, "%s does not open", image);
	read_bare(&api, vmm, pid);
	start = now();
	report(start, read_bare(&api, vmm, pid));
	api.close(vmm);
}

int main(int argc, char **argv)
{
	struct ms_host_options options = {.size = sizeof(options)};
	ms_host *host;

	if (argc != 5)
		errx(2, "wanted are memsift|bare LIBRARY IMAGE PID");
	options.memprocfs_path = argv[2];
	options.device = argv[3];
	if (ms_host_open_with(NULL, &options, &host) < 0)
		errx(1, "%s", ms_error());
	if (strcmp(argv[1], "memsift") == 0)
		by_memsift(host, (uint32_t)atoi(argv[4]));
	else
		by_library(argv[2], argv[3], (uint32_t)atoi(argv[4]));
	ms_host_free(host);
	return 0;
}
