/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of an ELF core: what lies at an address and why some of it does not. memsift's note
 * of gaps comes first: where it says that there is no data, none is given, whatever the file
 * has. Then come the bytes of the segments. The rest was left out by whoever wrote the core.
 */
#include "backend/elfcore.h"

#include "base/err.h"
#include "base/os.h"

static const struct elfcore *core_of(const struct ms_source *src)
{
	return src->host->priv;
}

/* Strings stay with the host, which outlives its sources. */
static int core_regions(struct ms_source *src, struct region_list *out)
{
	const struct elfcore *core = core_of(src);

	for (size_t i = 0; i < core->regions.items.count; i++)
		if (!vec_push(&out->items, core->regions.items.data[i]))
			return err_nomem();
	return 0;
}

static int core_threads(struct ms_source *src, struct thread_list *out)
{
	const struct elfcore *core = core_of(src);

	for (size_t i = 0; i < core->threads.count; i++)
		if (!vec_push(&out->items, core->threads.data[i]))
			return err_nomem();
	return 0;
}

/* The number of segments, or gaps, that end at or below address. */
static size_t segment_from(const struct elfcore *core, uint64_t address)
{
	size_t i;

	bisect(i, core->segments.count,
		core->segments.data[i].base + core->segments.data[i].size > address);
	return i;
}

static uint64_t gap_end(const struct elfcore *core, size_t index)
{
	struct run gap = core_own_gap(core, index);

	return gap.base + gap.size;
}

static size_t gap_from(const struct elfcore *core, uint64_t address)
{
	size_t i;

	bisect(i, core->gap_count, gap_end(core, i) > address);
	return i;
}

/* What a segment holds at address, up to where that changes. */
static struct run segment_run(const struct core_segment *s, uint64_t address)
{
	uint64_t at = address - s->base;

	if (at < s->have)
		return (struct run){address, s->have - at, MS_STATE_DATA};
	if (at < s->stored)
		return (struct run){address, s->stored - at, MS_STATE_IO_ERROR};
	return (struct run){address, s->size - at, MS_STATE_NO_ACCESS};
}

/* What is at address, and how far towards end it goes; at most to the end of a segment. */
static struct run run_at(const struct elfcore *core, uint64_t address, uint64_t end)
{
	size_t gap_index = gap_from(core, address);
	size_t index = segment_from(core, address);
	struct run run = {address, end - address, MS_STATE_NO_ACCESS};

	if (gap_index < core->gap_count) {
		struct run gap = core_own_gap(core, gap_index);

		if (gap.base <= address)
			return (struct run){
				address, min_u64(end, gap.base + gap.size) - address, gap.state};
		end = min_u64(end, gap.base);
	}
	if (index < core->segments.count) {
		const struct core_segment *s = &core->segments.data[index];

		if (s->base <= address)
			run = segment_run(s, address);
		else
			end = min_u64(end, s->base);
	}
	run.size = min_u64(run.size, end - address);
	return run;
}

static int core_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	const struct elfcore *core = core_of(src);
	uint64_t end = base + size;
	size_t count = 0;

	(void)region;
	while (base < end) {
		struct run run = run_at(core, base, end);

		if (count && runs[count - 1].state == run.state)
			runs[count - 1].size += run.size;
		else if (count == room)
			break;
		else
			runs[count++] = run;
		base += run.size;
	}
	*ret_count = count;
	return 0;
}

static int core_read(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	const struct elfcore *core = core_of(src);
	uint64_t end = address + min_u64(size, UINT64_MAX - address);
	size_t done = 0, got = 0;

	for (; address + done < end; done += got) {
		struct run run = run_at(core, address + done, end);
		const struct core_segment *s;

		if (run.state != MS_STATE_DATA)
			break;
		s = &core->segments.data[segment_from(core, run.base)];
		if (os_file_read(core->fd, (char *)buf + done, (size_t)run.size,
			    s->offset + (run.base - s->base), &got) < 0 ||
			got == 0)
			break;
	}
	*ret_size = done;
	return 0;
}

static int core_auxv(struct ms_source *src, const void **ret_data, size_t *ret_size)
{
	const struct elfcore *core = core_of(src);

	if (!core->notes.auxv.size)
		return err_set(MS_ERR_NOT_FOUND, "the core has no auxiliary vector");
	*ret_data = core->notes.auxv.data;
	*ret_size = core->notes.auxv.size;
	return 0;
}

const struct ms_source_ops elfcore_source = {
	.regions = core_regions,
	.read = core_read,
	.auxv = core_auxv,
	.threads = core_threads,
	.resident = core_resident,
};
