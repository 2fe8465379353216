/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens any bytes as an ELF core and uses everything that an ELF core offers. What holds for
 * every source is checked on the way: regions ascend, runs have no holes, and memory can be read
 * exactly where it is said to be data.
 */
#include "memsift.h"

#include "backend/backends.h"

#include <sys/mman.h>

enum { REGIONS_MAX = 32, RUNS_MAX = 16, ROOM = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* Touches every byte, so that a sanitizer sees what lies outside. */
static void touch(const void *data, size_t size)
{
	volatile unsigned char sum = 0;

	for (size_t i = 0; data && i < size; i++)
		sum = (unsigned char)(sum + ((const unsigned char *)data)[i]);
}

static void touch_text(const char *text)
{
	if (text)
		touch(text, strlen(text));
}

static void use_process(const struct ms_process *process)
{
	require(process->name && process->pid);
	touch_text(process->name);
	touch_text(process->exe);
	touch_text(process->cmdline);
	touch_text(process->user);
	touch_text(process->arch);
}

static void use_threads(ms_source *src)
{
	const struct ms_thread *list;
	size_t count;

	if (ms_source_threads(src, &list, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		touch_text(list[i].name);
		touch(list[i].gregs, list[i].gregs_size);
		touch(list[i].fpregs, list[i].fpregs_size);
		touch(list[i].xstate, list[i].xstate_size);
	}
}

static void use_run(ms_source *src, const struct run *run)
{
	uint8_t buf[256];
	size_t got;

	require(run->size && run->state < MS_STATE_COUNT);
	require(src->ops->read(src, run->base, buf, sizeof(buf), &got) == 0);
	require(got <= sizeof(buf) && (got > 0) == (run->state == MS_STATE_DATA));
	require(got >= min_u64(sizeof(buf), run->size) || run->state != MS_STATE_DATA);
	touch(buf, got);
	require(src->ops->read(src, run->base + run->size - 1, buf, 1, &got) == 0);
	require(got == (run->state == MS_STATE_DATA));
}

static void use_region(ms_source *src, const struct ms_region *region)
{
	uint64_t at = region->base, end = region->base + region->size;

	touch_text(region->path);
	for (size_t round = 0; at < end && round < RUNS_MAX; round++) {
		struct run runs[ROOM];
		size_t count;

		require(src->ops->resident(src, region, at, end - at, runs, ROOM, &count) == 0);
		require(count > 0 && count <= ROOM);
		for (size_t i = 0; i < count; i++) {
			require(runs[i].base == at && runs[i].size <= end - at);
			require(i == 0 || runs[i].state != runs[i - 1].state);
			use_run(src, &runs[i]);
			at += runs[i].size;
		}
	}
}

static void use_regions(ms_source *src)
{
	const struct ms_region *list;
	uint64_t end = 0;
	size_t count;

	if (ms_source_regions(src, &list, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		require(list[i].base >= end && list[i].size);
		require(add_u64(list[i].base, list[i].size, &end));
		if (i < REGIONS_MAX)
			use_region(src, &list[i]);
	}
}

static void use_host(ms_host *host)
{
	const void *auxv;
	ms_source *src;
	size_t size;

	if (ms_source_open(host, 0, &src) < 0)
		return;
	use_process(ms_source_process(src));
	if (src->ops->auxv && src->ops->auxv(src, &auxv, &size) == 0)
		touch(auxv, size);
	use_threads(src);
	use_regions(src);
	ms_source_free(src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CLOSE int fd = memfd_create("core", MFD_CLOEXEC);
	char path[64];
	ms_host *host;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
		host_new(&elfcore_host, path, &host) < 0)
		return 0;
	r = elfcore_host.open(host, path);
	require(r == 0 || r == HOST_NOT_MINE || r == MS_ERR_FORMAT);
	if (r == 0)
		use_host(host);
	ms_host_free(host);
	return 0;
}
