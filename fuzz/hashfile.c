/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens any bytes as a snapshot of hashes, with the hash of the whole put right so that the rest
 * is looked at, and uses everything that it offers: regions ascend, runs have no holes, a hash is
 * told for each block that held data, and a diff with itself finds nothing.
 */
#include "memsift_track.h"

#include "backend/backends.h"
#include "base/hash.h"
#include "core/hashfile.h"

#include <sys/mman.h>

enum { REGIONS_MAX = 16, RUNS_MAX = 16, ROOM = 3, INPUT_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void use_run(ms_source *src, const struct run *run)
{
	struct page_id ids[2];
	uint8_t byte;
	size_t got;

	require(run->size && run->state < MS_STATE_COUNT);
	require(src->ops->read(src, run->base, &byte, 1, &got) == 0 && got == 0);
	require(src->ops->identify(src, run->base, 2, ids) == 0);
	require((ids[0].kind == PAGE_ID_HASH) == (run->state == MS_STATE_DATA));
	require(ids[0].frame <= 4096);
}

static void use_region(ms_source *src, const struct ms_region *region)
{
	uint64_t at = region->base, end = region->base + region->size;

	require(memchr(region->path, 0, 1 << 20));
	for (size_t round = 0; at < end && round < RUNS_MAX; round++) {
		struct run runs[ROOM];
		size_t count;

		require(src->ops->resident(src, region, at, end - at, runs, ROOM, &count) == 0);
		require(count > 0 && count <= ROOM);
		for (size_t i = 0; i < count; i++) {
			require(runs[i].base == at && runs[i].size <= end - at);
			use_run(src, &runs[i]);
			at += runs[i].size;
		}
	}
}

static int take(void *ctx, const struct ms_record *record)
{
	(void)ctx;
	require(record->schema == &ms_schema_coverage);
	return 0;
}

/* As much as a few chunks: the file may say that it has the hashes of all memory there is. */
static void use_diff(ms_source *src)
{
	struct ms_diff options = {.size = sizeof(options),
		.job = {.threads = 1, .bytes_max = 4 << 20},
		.sink = {take, NULL}};
	struct ms_total total;

	require(ms_diff_sources(src, src, &options, &total) == 0);
}

static void use_host(ms_host *host)
{
	const struct ms_region *list;
	uint64_t end = 0;
	ms_source *src;
	size_t count;

	if (ms_source_open(host, 0, &src) < 0)
		return;
	require(ms_source_process(src)->name && ms_source_process(src)->pid);
	require(ms_source_regions(src, &list, &count) == 0);
	for (size_t i = 0; i < count; i++) {
		require(list[i].base >= end && list[i].size);
		require(add_u64(list[i].base, list[i].size, &end));
		if (i < REGIONS_MAX)
			use_region(src, &list[i]);
	}
	use_diff(src);
	ms_source_free(src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t input[INPUT_MAX];
	AUTO_CLOSE int fd = memfd_create("hashes", MFD_CLOEXEC);
	uint64_t hash;
	char path[64];
	ms_host *host;
	int r;

	if (size < HASHFILE_HEADER + 8 || size > INPUT_MAX)
		return 0;
	memcpy(input, data, size);
	hash = hash_bytes(0, input, size - 8);
	for (unsigned i = 0; i < 8; i++)
		input[size - 8 + i] = (uint8_t)(hash >> 8 * i);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, input, size) != (ssize_t)size ||
		host_new(&hashfile_host, path, &host) < 0)
		return 0;
	r = hashfile_host.open(host, path);
	require(r == 0 || r == HOST_NOT_MINE || r == MS_ERR_FORMAT);
	if (r == 0)
		use_host(host);
	ms_host_free(host);
	return 0;
}
