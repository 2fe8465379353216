/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF cores, as the kernel, gdb's gcore and memsift write them: a host with one process. This
 * file knows the headers and which bytes of the file are which bytes of memory. The file is read
 * with pread, never mapped: a mapped file that somebody truncates kills its reader.
 *
 * Anything in the file may be a lie. Program headers that overlap are cut: the one that begins at
 * the lower address wins, of two that begin together the one that comes first in the file. A file
 * that was cut off still opens; what is missing of it reads as an i/o error.
 */
#include "backend/backends.h"

#include "backend/elfcore.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/os.h"

enum {
	IDENT_SIZE = 16,
	CLASS_32 = 1,
	CLASS_64 = 2,
	DATA_LITTLE = 1,
	DATA_BIG = 2,
	TYPE_CORE = 4,
	PROGRAM_LOAD = 1,
	PROGRAM_NOTE = 4,
	COUNT_ELSEWHERE = 0xffff, /* PN_XNUM: the real count is in section header 0 */
	HEADERS_AT_ONCE = 512,
};

/* Offsets that differ between ELF32 and ELF64. */
struct layout {
	size_t header_size, program_size, section_size;
	size_t program_offset, section_offset, program_entry, program_count, section_info;
	size_t flags, offset, base, stored, size, align;
};

static const struct layout layouts[] = {
	{
		.header_size = 52,
		.program_size = 32,
		.section_size = 40,
		.program_offset = 28,
		.section_offset = 32,
		.program_entry = 42,
		.program_count = 44,
		.section_info = 28,
		.flags = 24,
		.offset = 4,
		.base = 8,
		.stored = 16,
		.size = 20,
		.align = 28,
	},
	{
		.header_size = 64,
		.program_size = 56,
		.section_size = 64,
		.program_offset = 32,
		.section_offset = 40,
		.program_entry = 54,
		.program_count = 56,
		.section_info = 44,
		.flags = 4,
		.offset = 8,
		.base = 16,
		.stored = 32,
		.size = 40,
		.align = 48,
	},
};

static const struct layout *layout_of(const struct elfcore *core)
{
	return &layouts[core->wide];
}

/* An address, offset or size: 4 bytes in ELF32, 8 in ELF64. */
static uint64_t load_word(const struct elfcore *core, const uint8_t *from)
{
	return core->wide ? load_u64(from, core->big) : load_u32(from, core->big);
}

/* Reads exactly size bytes; false when the file has fewer. */
static bool read_all(const struct elfcore *core, void *buf, size_t size, uint64_t offset)
{
	size_t got;

	if (offset > core->file_size || size > core->file_size - offset)
		return false;
	return os_file_read(core->fd, buf, size, offset, &got) == 0 && got == size;
}

/* Tells a core from everything else by what cannot be damaged without making it something else. */
static int identify(struct elfcore *core, const char *path)
{
	uint8_t head[IDENT_SIZE + 2];

	if (!read_all(core, head, sizeof(head), 0) || memcmp(head,
							      "\x7f"
							      "ELF",
							      4) != 0)
		return HOST_NOT_MINE;
	if (load_u16(head + IDENT_SIZE, head[5] == DATA_BIG) != TYPE_CORE)
		return HOST_NOT_MINE;
	if (head[4] != CLASS_32 && head[4] != CLASS_64)
		return err_set(MS_ERR_FORMAT,
			"%s: the ELF core's class is %u, neither 32 nor 64 bits", path, head[4]);
	if (head[5] != DATA_LITTLE && head[5] != DATA_BIG)
		return err_set(MS_ERR_FORMAT,
			"%s: the ELF core's byte order is %u, neither little nor big endian", path,
			head[5]);
	core->wide = head[4] == CLASS_64;
	core->big = head[5] == DATA_BIG;
	return 0;
}

/* A count that does not fit into the header is in section header 0 (Linux, fs/binfmt_elf.c). */
static int program_count_load(
	struct elfcore *core, const char *path, const uint8_t *header, uint64_t *ret_count)
{
	const struct layout *at = layout_of(core);
	uint64_t offset = load_word(core, header + at->section_offset);
	uint8_t section[64];

	*ret_count = load_u16(header + at->program_count, core->big);
	if (*ret_count != COUNT_ELSEWHERE)
		return 0;
	if (offset == 0 || !read_all(core, section, at->section_size, offset))
		return err_set(MS_ERR_FORMAT,
			"%s: the ELF core is cut off: the section header that counts its program "
			"headers is missing",
			path);
	*ret_count = load_u32(section + at->section_info, core->big);
	return 0;
}

static int header_load(struct elfcore *core, const char *path)
{
	const struct layout *at = layout_of(core);
	uint8_t header[64];
	unsigned entry;
	int r;

	if (!read_all(core, header, at->header_size, 0))
		return err_set(MS_ERR_FORMAT,
			"%s: the ELF core is cut off: it ends within its header", path);
	core->machine = load_u16(header + 18, core->big);
	core->program_offset = load_word(core, header + at->program_offset);
	entry = load_u16(header + at->program_entry, core->big);
	if (entry != at->program_size)
		return err_set(MS_ERR_FORMAT,
			"%s: the ELF core's program headers are %u bytes each, not %zu", path,
			entry, at->program_size);
	r = program_count_load(core, path, header, &core->program_count);
	if (r < 0)
		return r;
	if (core->program_count == 0 || core->program_count > CORE_SEGMENTS_MAX)
		return err_set(MS_ERR_FORMAT,
			"%s: the ELF core has %llu program headers, not between 1 and %d", path,
			(unsigned long long)core->program_count, CORE_SEGMENTS_MAX);
	if (core->program_offset > core->file_size ||
		core->program_count * at->program_size > core->file_size - core->program_offset)
		return err_set(MS_ERR_FORMAT,
			"%s: the ELF core is cut off: it ends within its program headers", path);
	return 0;
}

/* How many of size bytes at offset the file has. */
static uint64_t bytes_present(const struct elfcore *core, uint64_t offset, uint64_t size)
{
	return offset < core->file_size ? min_u64(size, core->file_size - offset) : 0;
}

static int segment_add(struct elfcore *core, const uint8_t *header, uint32_t order)
{
	const struct layout *at = layout_of(core);
	uint64_t end = core->wide ? UINT64_MAX : (uint64_t)UINT32_MAX + 1;
	uint32_t flags = load_u32(header + at->flags, core->big);
	struct core_segment s = {
		.base = load_word(core, header + at->base),
		.size = load_word(core, header + at->size),
		.offset = load_word(core, header + at->offset),
		.stored = load_word(core, header + at->stored),
		.order = order,
	};

	s.size = min_u64(s.size, end - s.base);
	s.stored = min_u64(s.stored, s.size);
	s.perm = (flags & 4 ? MS_PERM_READ : 0) | (flags & 2 ? MS_PERM_WRITE : 0) |
		 (flags & 1 ? MS_PERM_EXEC : 0);
	if (s.size && !vec_push(&core->segments, s))
		return err_nomem();
	return 0;
}

static int segment_order(const void *a, const void *b)
{
	const struct core_segment *x = a, *y = b;

	if (x->base != y->base)
		return x->base < y->base ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Takes `cut` bytes off the front; the offset saturates, which leaves nothing to read. */
static void segment_cut(struct core_segment *s, uint64_t cut)
{
	s->base += cut;
	s->size -= cut;
	if (!add_u64(s->offset, cut, &s->offset))
		s->offset = UINT64_MAX;
	s->stored -= min_u64(cut, s->stored);
}

static void segments_settle(struct elfcore *core)
{
	struct core_segment *list = core->segments.data;
	size_t kept = 0;
	uint64_t end = 0;

	vec_sort(&core->segments, segment_order);
	for (size_t i = 0; i < core->segments.count; i++) {
		struct core_segment s = list[i];

		if (s.base < end)
			segment_cut(&s, min_u64(end - s.base, s.size));
		if (s.size == 0)
			continue;
		s.have = bytes_present(core, s.offset, s.stored);
		end = s.base + s.size;
		list[kept++] = s;
	}
	core->segments.count = kept;
}

/* Keeps what one program header says. */
static int program_add(struct elfcore *core, const uint8_t *header, uint32_t order,
	struct core_note_segment *notes, size_t *note_count)
{
	const struct layout *at = layout_of(core);
	uint32_t type = load_u32(header, core->big);
	uint64_t offset = load_word(core, header + at->offset);
	uint64_t size = load_word(core, header + at->stored);

	if (type == PROGRAM_LOAD)
		return segment_add(core, header, order);
	if (type == PROGRAM_NOTE && *note_count < CORE_NOTE_SEGMENTS_MAX)
		notes[(*note_count)++] = (struct core_note_segment){
			.offset = offset,
			.size = bytes_present(core, offset, size),
			.align = load_word(core, header + at->align) == 8 ? 8 : 4,
		};
	return 0;
}

static int programs_load(struct elfcore *core, const char *path, struct core_note_segment *notes,
	size_t *ret_note_count)
{
	size_t size = layout_of(core)->program_size;
	AUTO_FREE uint8_t *headers = malloc(HEADERS_AT_ONCE * size);
	uint64_t offset = core->program_offset;
	size_t note_count = 0;
	int r = headers ? 0 : err_nomem();

	for (uint64_t i = 0; r == 0 && i < core->program_count; i++) {
		uint64_t batch = min_u64(HEADERS_AT_ONCE, core->program_count - i);

		if (i % HEADERS_AT_ONCE == 0 &&
			!read_all(core, headers, (size_t)batch * size, offset + i * size))
			return err_set(MS_ERR_IO, "%s: cannot read its program headers", path);
		r = program_add(core, headers + i % HEADERS_AT_ONCE * size, (uint32_t)i, notes,
			&note_count);
	}
	if (r == 0)
		*ret_note_count = note_count;
	return r;
}

/* The largest power of two up to a page that divides every border there is. */
static size_t granularity(const struct elfcore *core)
{
	uint64_t bits = 4096;

	for (size_t i = 0; i < core->segments.count; i++) {
		const struct core_segment *s = &core->segments.data[i];

		bits |= s->base | s->size | s->stored | s->have;
	}
	for (size_t i = 0; i < core->regions.items.count; i++)
		bits |= core->regions.items.data[i].base | core->regions.items.data[i].size;
	for (size_t i = 0; i < core->gap_count; i++)
		bits |= core_own_gap(core, i).base | core_own_gap(core, i).size;
	return (size_t)(bits & -bits);
}

static int core_open(struct ms_host *host, const char *path)
{
	struct core_note_segment notes[CORE_NOTE_SEGMENTS_MAX];
	struct elfcore *core = host->priv;
	size_t note_count = 0;
	int r;

	core->fd = -1;
	r = host_file_open(host, path, &core->fd, &core->file_size);
	if (r == 0)
		r = identify(core, path);
	if (r == 0)
		r = header_load(core, path);
	if (r == 0)
		r = programs_load(core, path, notes, &note_count);
	if (r < 0)
		return r;
	segments_settle(core);
	r = core_notes_load(core, notes, note_count);
	if (r == 0)
		r = core_map_build(core, path);
	if (r == 0)
		core->page_size = granularity(core);
	return r;
}

static void core_close(struct ms_host *host)
{
	struct elfcore *core = host->priv;

	if (core->fd >= 0)
		close(core->fd);
	free(core->segments.data);
	free(core->note_bytes);
	free(core->threads.data);
	region_list_done(&core->regions);
}

static int core_processes(struct ms_host *host, struct process_list *out)
{
	struct elfcore *core = host->priv;

	return process_list_add(out, &core->process) ? 0 : err_nomem();
}

static int core_attach(struct ms_host *host, struct ms_source *src)
{
	const struct elfcore *core = host->priv;

	src->page_size = core->page_size;
	return 0;
}

const struct ms_host_ops elfcore_host = {
	.scheme = "core",
	.summary = "an ELF core: a process that was dumped",
	.priv_size = sizeof(struct elfcore),
	.is_file = true,
	.open = core_open,
	.close = core_close,
	.processes = core_processes,
	.attach = core_attach,
	.source = &elfcore_source,
};
