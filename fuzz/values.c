/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads any bytes as the session of a value scan. Hashes would keep a fuzzer from getting
 * anywhere, so they are put right first, as whoever wants to do harm would do; what is then
 * accepted is listed and scanned on, against memory of which a part is missing.
 */
#include "memsift_track.h"

#include "base/hash.h"
#include "base/mem.h"
#include "track/values.h"

#include <sys/mman.h>

enum {
	/* As session.c writes them. */
	HEAD_SIZE = 80,
	HEAD_PID = 16,
	HEAD_START = 24,
	HEAD_EXE_SIZE = 64,
	HEAD_HASH = 72,
	TAIL_SIZE = 40,
	TAIL_CHAIN = 24,
	TAIL_HASH = 32,
	MEMORY_SIZE = 64 * 1024,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static uint32_t get_u32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static void put_u64(uint8_t *to, uint64_t value)
{
	memcpy(to, &value, sizeof(value));
}

/* Puts the hash of every block right and returns the chain of them. */
static uint64_t mend_blocks(uint8_t *data, size_t size, size_t at)
{
	struct block_head head;
	uint64_t chain = 0;

	while (at + sizeof(head) < size - TAIL_SIZE) {
		memcpy(&head, data + at, sizeof(head));
		if (head.stored > size - TAIL_SIZE - at - sizeof(head))
			break;
		head.hash = block_hash(&head, data + at + sizeof(head));
		memcpy(data + at, &head, sizeof(head));
		chain = hash_step(chain, head.hash);
		at += sizeof(head) + head.stored;
	}
	return chain;
}

static void mend(uint8_t *data, size_t size)
{
	uint32_t exe_size;
	uint8_t *tail;

	if (size < HEAD_SIZE + TAIL_SIZE)
		return;
	exe_size = get_u32(data + HEAD_EXE_SIZE);
	if (exe_size > size - HEAD_SIZE - TAIL_SIZE)
		return;
	memcpy(data + HEAD_PID, &(uint32_t){1}, sizeof(uint32_t));
	put_u64(data + HEAD_START, 0);
	put_u64(data + HEAD_HASH,
		hash_bytes(hash_bytes(0, data, HEAD_HASH), data + HEAD_SIZE, exe_size));
	tail = data + size - TAIL_SIZE;
	put_u64(tail + TAIL_CHAIN, mend_blocks(data, size, HEAD_SIZE + exe_size));
	put_u64(tail + TAIL_HASH, hash_bytes(0, tail, TAIL_HASH));
}

struct listed {
	uint64_t count, last;
};

static int take_match(void *ctx, const struct ms_record *record)
{
	struct listed *listed = ctx;

	require(!listed->count || record->values[2].v.u > listed->last);
	listed->last = record->values[2].v.u;
	listed->count++;
	return 0;
}

static uint64_t list(const ms_values *values, ms_source *source)
{
	struct listed listed = {0};
	struct ms_sink sink = {take_match, &listed};
	struct ms_values_info info;
	uint64_t count;

	ms_values_info(values, &info);
	require(ms_values_list(values, source, NULL, &sink, &count) == 0);
	require(count == listed.count && count == info.count);
	return count;
}

static void use(ms_values *values, ms_source *source)
{
	static const char *const conditions[] = {"changed", "unchanged"};
	uint64_t before = list(values, source);

	/* What comes of it stays in memory. */
	free(values->session);
	values->session = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		struct ms_job job = {.size = sizeof(job), .threads = 1};
		struct ms_coverage coverage;
		uint64_t after;

		require(ms_values_next(values, source, conditions[i], &job, &coverage) == 0);
		after = list(values, source);
		require(after <= before);
		require(ms_values_undo(values) == 0);
		require(list(values, source) == before);
	}
}

static void load(const char *path)
{
	static uint8_t memory[MEMORY_SIZE];
	const struct ms_segment segments[] = {
		{0x10000, MEMORY_SIZE / 2, memory, MS_PERM_READ, MS_STATE_DATA},
		{0x18000, 0x1000, NULL, MS_PERM_READ, MS_STATE_GUARD},
		{0x19000, 0x3000, memory, MS_PERM_READ, MS_STATE_DATA},
	};
	ms_source *source;
	ms_values *values;
	ms_host *host;
	int r = ms_values_load(path, &values);

	require(r == 0 || r == MS_ERR_FORMAT || r == MS_ERR_UNSUPPORTED);
	if (r < 0)
		return;
	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = i < sizeof(memory) / 2 ? (uint8_t)(i % 3) : 0;
	require(ms_host_open_memory(segments, ARRAY_SIZE(segments), &host) == 0);
	require(ms_source_open(host, 0, &source) == 0);
	use(values, source);
	ms_source_free(source);
	ms_host_free(host);
	ms_values_free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CLOSE int fd = memfd_create("session", MFD_CLOEXEC);
	AUTO_FREE uint8_t *copy = malloc(size ? size : 1);
	char path[64];

	if (fd < 0 || !copy)
		return 0;
	memcpy(copy, data, size);
	mend(copy, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, copy, size) == (ssize_t)size)
		load(path);
	return 0;
}
