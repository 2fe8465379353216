/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The notes of a core: those that debuggers know (layouts of Linux's include/uapi/linux/elfcore.h
 * and fs/binfmt_elf.c for 64 bits, and for i386 and ARM of 32), and memsift's own, named
 * "MEMSIFT", which keep what ELF has no place for: each region with its kind, each gap with its
 * reason, the process.
 * docs/records.md has the layout of the latter; backend/elfcore_own.c reads them back.
 */
#include "export/dump.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/regionpack.h"

#include <elf.h>

enum {
	/* Far from the types of others: binutils takes a note of type 1 for NT_PRSTATUS whatever
	   its name. */
	OWN_REGIONS = 0x4d530001,
	OWN_GAPS = 0x4d530002,
	OWN_PROCESS = 0x4d530003,
	OWN_VERSION = 1,
	PRSTATUS_HEAD = 112, /* bytes of struct elf_prstatus before the registers */
	PRSTATUS_HEAD_32 = 72,
	FNAME_SIZE = 16,
	PSARGS_SIZE = 80,
	X86_64_GREGS = 27 * 8,
	ARM64_GREGS = 34 * 8,
	I386_GREGS = 17 * 4,
	ARM_GREGS = 18 * 4,
};

static void pad(struct buf *out, size_t from, size_t alignment)
{
	while ((out->size - from) % alignment && !out->failed)
		buf_char(out, 0);
}

/* Appends a note around a description. */
static void note_add(struct buf *out, const char *name, uint32_t type, const struct buf *desc)
{
	size_t from = out->size;

	buf_u32(out, (uint32_t)strlen(name) + 1);
	buf_u32(out, (uint32_t)desc->size);
	buf_u32(out, type);
	buf_add(out, name, strlen(name) + 1);
	pad(out, from, 4);
	buf_add(out, desc->data, desc->size);
	pad(out, from, 4);
	out->failed |= desc->failed || desc->size > UINT32_MAX;
}

static void bytes_note(
	struct buf *out, const char *name, uint32_t type, const void *data, size_t size)
{
	struct buf desc = {0};

	buf_add(&desc, data, size);
	note_add(out, name, type, &desc);
	buf_done(&desc);
}

/* Appends text cut or padded to size, NUL-terminated. */
static void put_text(struct buf *out, const char *text, size_t size)
{
	size_t length = text ? strlen(text) : 0;

	if (length > size - 1)
		length = size - 1;
	buf_add(out, text ? text : "", length);
	for (; length < size; length++)
		buf_char(out, 0);
}

static void prpsinfo(struct buf *out, const struct dump *dump)
{
	const struct ms_process *process = &dump->src->process;
	struct buf desc = {0};

	buf_u32(&desc, 0x5200); /* state 0, 'R', no zombie, nice 0 */
	if (!dump->narrow)
		buf_u32(&desc, 0);
	put_word(dump, &desc, 0); /* flag */
	if (dump->narrow) {
		buf_u16(&desc, (uint16_t)process->uid);
		buf_u16(&desc, 0); /* gid */
	} else {
		buf_u32(&desc, process->uid);
		buf_u32(&desc, 0);
	}
	buf_u32(&desc, process->pid);
	buf_u32(&desc, process->ppid);
	buf_u64(&desc, 0); /* process group, session */
	put_text(&desc, process->name, FNAME_SIZE);
	put_text(&desc, process->cmdline ? process->cmdline : process->name, PSARGS_SIZE);
	note_add(out, "CORE", NT_PRPSINFO, &desc);
	buf_done(&desc);
}

static void prstatus(struct buf *out, const struct dump *dump, const struct ms_thread *thread)
{
	size_t head = dump->narrow ? PRSTATUS_HEAD_32 : PRSTATUS_HEAD;
	struct buf desc = {0};

	buf_u64(&desc, 0);
	buf_u64(&desc, 0); /* signal: none */
	put_word(dump, &desc, 0);
	put_word(dump, &desc, 0); /* signals pending and blocked */
	buf_u32(&desc, thread->tid);
	buf_u32(&desc, dump->src->process.ppid);
	while (desc.size < head && !desc.failed)
		buf_u32(&desc, 0); /* groups and times */
	buf_add(&desc, thread->gregs, thread->gregs_size);
	put_word(dump, &desc, thread->fpregs_size > 0);
	note_add(out, "CORE", NT_PRSTATUS, &desc);
	buf_done(&desc);
}

/* Registers of a 32-bit program do not fit a 64-bit core. */
static bool gregs_fit(const struct dump *dump, const struct ms_thread *thread)
{
	if (dump->narrow)
		return thread->gregs_size == I386_GREGS || thread->gregs_size == ARM_GREGS;
	return thread->gregs_size == X86_64_GREGS || thread->gregs_size == ARM64_GREGS;
}

static int threads(struct buf *out, const struct dump *dump, bool first)
{
	const struct ms_thread *list = dump->src->threads.items.data;
	size_t count = dump->src->threads.items.count;

	/* Debuggers take the first thread for the current one. */
	for (size_t i = first ? 0 : 1; i < (first ? min_u64(count, 1) : count); i++) {
		if (!gregs_fit(dump, &list[i]))
			continue;
		prstatus(out, dump, &list[i]);
		if (first)
			prpsinfo(out, dump);
		if (list[i].fpregs_size)
			bytes_note(out, "CORE", NT_FPREGSET, list[i].fpregs, list[i].fpregs_size);
		if (list[i].xstate_size)
			bytes_note(
				out, "LINUX", NT_X86_XSTATE, list[i].xstate, list[i].xstate_size);
	}
	return count && gregs_fit(dump, &list[0]);
}

static bool is_file(const struct ms_region *region)
{
	return region->path[0] == '/' && !(region->flags & MS_REGION_ANONYMOUS);
}

/* NT_FILE has every file mapping, dumped or not: debuggers find the files by it. */
static void files(struct buf *out, const struct dump *dump)
{
	const struct region_list *list = &dump->src->regions;
	uint64_t page = dump->src->page_size, count = 0;
	struct buf desc = {0};

	for (size_t i = 0; i < list->items.count; i++)
		count += is_file(&list->items.data[i]);
	if (!count)
		return;
	put_word(dump, &desc, count);
	put_word(dump, &desc, page);
	for (size_t i = 0; i < list->items.count; i++) {
		const struct ms_region *region = &list->items.data[i];

		if (!is_file(region))
			continue;
		put_word(dump, &desc, region->base);
		put_word(dump, &desc, region->base + region->size);
		put_word(dump, &desc, region->offset / page);
	}
	for (size_t i = 0; i < list->items.count; i++) {
		const struct ms_region *region = &list->items.data[i];

		if (is_file(region))
			buf_add(&desc, region->path, strlen(region->path) + 1);
	}
	note_add(out, "CORE", NT_FILE, &desc);
	buf_done(&desc);
}

/* Those that are dumped, or, so that a diff can tell them from what was not there, all. */
static void own_regions(
	struct buf *out, const struct dump *dump, const struct dump_regions *regions)
{
	const struct region_list *all = &dump->src->regions;
	bool whole = dump->options->whole_map;
	size_t count = whole ? all->items.count : regions->items.count;
	struct buf desc = {0};

	buf_u32(&desc, OWN_VERSION);
	buf_u32(&desc, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		const struct dump_region *part = whole ? NULL : &regions->items.data[i];
		struct ms_region region = whole ? all->items.data[i] : *part->region;

		if (part) {
			region.offset += part->base - region.base;
			region.base = part->base;
			region.size = part->size;
		}
		region_pack(&desc, &region);
	}
	note_add(out, "MEMSIFT", OWN_REGIONS, &desc);
	buf_done(&desc);
}

static void put_gap(struct buf *desc, uint64_t base, uint64_t size, enum ms_state state)
{
	buf_u64(desc, base);
	buf_u64(desc, size);
	buf_u32(desc, state);
	buf_u32(desc, 0);
}

/* Whether a stretch has a place in the note: what was left out only has if its region is kept. */
static bool is_noted(const struct dump *dump, const struct absent *absent)
{
	return absent->state == MS_STATE_ABSENT || dump->options->whole_map;
}

/* Gaps and stretches without data, merged by address. */
static void own_gaps(struct buf *out, const struct dump *dump)
{
	const struct coverage *coverage = dump->coverage;
	const struct ms_gap *gaps = coverage->sums.gaps;
	size_t gap_count = coverage->sums.gap_count, absent_count = coverage->absents.count;
	size_t count = gap_count;
	struct buf desc = {0};

	for (size_t a = 0; a < absent_count; a++)
		count += is_noted(dump, &coverage->absents.data[a]);
	buf_u32(&desc, OWN_VERSION);
	buf_u32(&desc, (uint32_t)count);
	for (size_t g = 0, a = 0; g < gap_count || a < absent_count;) {
		const struct absent *absent = a < absent_count ? &coverage->absents.data[a] : NULL;

		if (!absent || (g < gap_count && gaps[g].base < absent->base)) {
			put_gap(&desc, gaps[g].base, gaps[g].size, gaps[g].state);
			g++;
		} else {
			if (is_noted(dump, absent))
				put_gap(&desc, absent->base, absent->size, absent->state);
			a++;
		}
	}
	note_add(out, "MEMSIFT", OWN_GAPS, &desc);
	buf_done(&desc);
}

static void own_process(struct buf *out, const struct ms_process *process)
{
	const char *texts[] = {
		process->name, process->exe, process->cmdline, process->user, process->arch};
	struct buf desc = {0};

	buf_u32(&desc, OWN_VERSION);
	buf_u32(&desc, process->pid);
	buf_u32(&desc, process->ppid);
	buf_u32(&desc, process->uid);
	buf_u64(&desc, process->start_id);
	buf_u64(&desc, (uint64_t)process->started);
	buf_u64(&desc, process->rss);
	buf_u32(&desc, process->exe_deleted);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		buf_u32(&desc, texts[i] ? (uint32_t)strlen(texts[i]) : 0);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i])
			buf_text(&desc, texts[i]);
	note_add(out, "MEMSIFT", OWN_PROCESS, &desc);
	buf_done(&desc);
}

int core_notes_make(
	const struct dump *dump, const struct dump_regions *regions, struct buf *ret_notes)
{
	struct ms_source *src = dump->src;
	const void *auxv;
	size_t size;

	if (!threads(ret_notes, dump, true))
		prpsinfo(ret_notes, dump);
	if (src->ops->auxv && src->ops->auxv(src, &auxv, &size) == 0)
		bytes_note(ret_notes, "CORE", NT_AUXV, auxv, size);
	files(ret_notes, dump);
	threads(ret_notes, dump, false);
	own_process(ret_notes, &dump->src->process);
	own_regions(ret_notes, dump, regions);
	own_gaps(ret_notes, dump);
	return ret_notes->failed ? err_nomem() : 0;
}
