/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A caller's buffers as the memory of one process. It knows every state there is and may have
 * borders at any byte, which makes it the stand-in for a live process in tests.
 */
#include "backend/backends.h"

#include "base/err.h"

enum {
	PROCESS_PID = 1,
};

struct memory {
	struct ms_segment *segments; /* ascending; their data is the caller's */
	size_t count;
	size_t page_size; /* every border is a multiple */
};

static const struct memory *memory_of(const struct ms_source *src)
{
	return src->host->priv;
}

static void memory_close(struct ms_host *host)
{
	struct memory *memory = host->priv;

	free(memory->segments);
}

static int memory_processes(struct ms_host *host, struct process_list *out)
{
	struct memory *memory = host->priv;
	struct ms_process process = {.pid = PROCESS_PID, .name = "memory"};

	for (size_t i = 0; i < memory->count; i++)
		if (memory->segments[i].state == MS_STATE_DATA)
			process.rss += memory->segments[i].size;
	return process_list_add(out, &process) ? 0 : err_nomem();
}

static int memory_attach(struct ms_host *host, struct ms_source *src)
{
	struct memory *memory = host->priv;

	src->page_size = memory->page_size;
	return 0;
}

static enum ms_kind kind_of(unsigned perm)
{
	if (perm & MS_PERM_EXEC)
		return MS_KIND_CODE;
	return perm & MS_PERM_WRITE ? MS_KIND_HEAP : MS_KIND_OTHER;
}

static int memory_regions(struct ms_source *src, struct region_list *out)
{
	const struct memory *memory = memory_of(src);

	for (size_t i = 0; i < memory->count; i++) {
		const struct ms_segment *s = &memory->segments[i];
		struct ms_region region = {
			.base = s->base,
			.size = s->size,
			.resident = s->state == MS_STATE_DATA ? s->size : 0,
			.perm = s->perm,
			.flags = MS_REGION_ANONYMOUS,
			.kind = kind_of(s->perm),
			.path = "",
		};

		if (!vec_push(&out->items, region))
			return err_nomem();
	}
	return 0;
}

/* The segment that holds address, or NULL. */
static const struct ms_segment *segment_find(const struct memory *memory, uint64_t address)
{
	size_t i;

	bisect(i, memory->count, memory->segments[i].base > address);
	if (!i || address - memory->segments[i - 1].base >= memory->segments[i - 1].size)
		return NULL;
	return &memory->segments[i - 1];
}

static const void *memory_view(
	struct ms_source *src, uint64_t address, size_t size, size_t *ret_size)
{
	const struct ms_segment *s = segment_find(memory_of(src), address);

	if (!s || s->state != MS_STATE_DATA)
		return NULL;
	*ret_size = (size_t)min_u64(size, s->base + s->size - address);
	return (const char *)s->data + (address - s->base);
}

static int memory_read(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	size_t got = 0;
	const void *bytes = memory_view(src, address, size, &got);

	if (bytes)
		memcpy(buf, bytes, got);
	*ret_size = got;
	return 0;
}

/* Each region is one segment, and so of one state. */
static int memory_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	const struct ms_segment *s = segment_find(memory_of(src), region->base);

	*ret_count = s && size && room ? 1 : 0;
	if (*ret_count)
		runs[0] = (struct run){base, size, (enum ms_state)s->state};
	return 0;
}

static const struct ms_source_ops memory_source = {
	.regions = memory_regions,
	.read = memory_read,
	.view = memory_view,
	.resident = memory_resident,
};

const struct ms_host_ops memory_host = {
	.scheme = "memory",
	.summary = "a caller's buffers",
	.priv_size = sizeof(struct memory),
	.close = memory_close,
	.processes = memory_processes,
	.attach = memory_attach,
	.source = &memory_source,
};

/* Checks segment number index; *end is where the one before it ends. */
static int segment_check(const struct ms_segment *s, size_t index, uint64_t *end)
{
	const char *why = NULL;
	uint64_t next;

	if (s->size == 0)
		why = "it is empty";
	else if (!add_u64(s->base, s->size, &next))
		why = "it goes beyond the last address";
	else if (s->base < *end)
		why = "it begins before the end of the one in front of it";
	else if (s->perm & ~(unsigned)PERM_ALL)
		why = "its permissions are unknown";
	else if (s->state < 0 || s->state >= MS_STATE_COUNT)
		why = "its state is unknown";
	else if (s->state == MS_STATE_DATA && (!s->data || s->size > SIZE_MAX))
		why = "it is readable but has no data";
	if (why)
		return err_set(MS_ERR_ARGUMENT, "segment %zu at 0x%llx: %s", index,
			(unsigned long long)s->base, why);
	*end = next;
	return 0;
}

static int memory_fill(struct memory *memory, const struct ms_segment *segments, size_t count)
{
	uint64_t end = 0, bits = 4096;
	size_t bytes;

	for (size_t i = 0; i < count; i++) {
		int r = segment_check(&segments[i], i, &end);

		if (r < 0)
			return r;
		bits |= segments[i].base | segments[i].size;
	}
	if (!mul_size(count, sizeof(*segments), &bytes) ||
		!(memory->segments = malloc(bytes ? bytes : 1)))
		return err_nomem();
	if (bytes)
		memcpy(memory->segments, segments, bytes);
	memory->count = count;
	memory->page_size = (size_t)(bits & -bits);
	return 0;
}

int ms_host_open_memory(const struct ms_segment *segments, size_t count, ms_host **ret_host)
{
	struct ms_host *host;
	int r;

	if (count && !segments)
		return err_set(
			MS_ERR_ARGUMENT, "there are %zu segments, but no list of them", count);
	r = host_new(&memory_host, "memory", &host);
	if (r < 0)
		return r;
	r = memory_fill(host->priv, segments, count);
	if (r < 0) {
		ms_host_free(host);
		return r;
	}
	*ret_host = host;
	return 0;
}
