/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ELF core: a page of header, the bytes at their positions, and behind them a section header,
 * the program headers and the notes. The tables come last because what could be read is known
 * only then. A PT_LOAD with bytes is what was read. Pages that were never touched read as zeros to
 * their owner: where they are few they are holes of the file, else a PT_LOAD without bytes, which
 * gdb shows as zeros, too (corelow.c). So what could not be read has no PT_LOAD at all.
 *
 * When the file must be written from front to back (a hash, compression), the number of program
 * headers is not known when the ELF header is written; it then says PN_XNUM, and the number is
 * in the section header (System V gABI, e_phnum).
 */
#include "export/dump.h"

#include "base/err.h"
#include "export/file.h"

#include <elf.h>

enum {
	HEADER_SIZE = 4096,
	PAGE = 4096,
	CUT_MIN = 16 << 20,   /* bytes that are missing at the end of a dump cut short */
	TAIL_ROOM = 64 << 20, /* more than the tables and notes of a 32-bit program take */
};

struct core_writer {
	ms_file *file;
	uint64_t end;	  /* position behind the last byte */
	uint64_t written; /* position reached, when ordered */
	VEC(struct dump_piece) pieces;
};

static unsigned machine(const char *arch)
{
	static const struct {
		const char *arch;
		unsigned machine;
	} machines[] = {{"x86_64", EM_X86_64}, {"i386", EM_386}, {"aarch64", EM_AARCH64},
		{"arm", EM_ARM}, {"riscv64", EM_RISCV}};

	for (size_t i = 0; arch && i < ARRAY_SIZE(machines); i++)
		if (strcmp(arch, machines[i].arch) == 0)
			return machines[i].machine;
	return EM_NONE;
}

static uint64_t tail_offset(const struct core_writer *core)
{
	return align_up(HEADER_SIZE + core->end, PAGE);
}

static size_t section_size(const struct dump *dump)
{
	return dump->narrow ? sizeof(Elf32_Shdr) : sizeof(Elf64_Shdr);
}

static size_t phdr_size(const struct dump *dump)
{
	return dump->narrow ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
}

/*
 * Debuggers want a core of 32 bits for a program of 32 bits. Where the file gets too long for
 * one, a core of 64 bits keeps all memory but has no registers.
 */
static bool want_narrow(const struct dump *dump)
{
	const struct core_writer *core = dump->priv;
	unsigned type = machine(dump->src->process.arch);

	return (type == EM_386 || type == EM_ARM) && tail_offset(core) < UINT32_MAX - TAIL_ROOM;
}

static void header_make(const struct dump *dump, uint64_t count, struct buf *out)
{
	const struct core_writer *core = dump->priv;
	uint64_t tail = tail_offset(core);
	bool extended = count >= PN_XNUM;

	buf_add(out, ELFMAG, SELFMAG);
	buf_char(out, dump->narrow ? ELFCLASS32 : ELFCLASS64);
	buf_char(out, ELFDATA2LSB);
	buf_char(out, EV_CURRENT);
	while (out->size < EI_NIDENT)
		buf_char(out, 0);
	buf_u16(out, ET_CORE);
	buf_u16(out, (uint16_t)machine(dump->src->process.arch));
	buf_u32(out, EV_CURRENT);
	put_word(dump, out, 0); /* entry */
	put_word(dump, out, tail + section_size(dump));
	put_word(dump, out, extended ? tail : 0);
	buf_u32(out, 0); /* flags */
	buf_u16(out, dump->narrow ? sizeof(Elf32_Ehdr) : sizeof(Elf64_Ehdr));
	buf_u16(out, (uint16_t)phdr_size(dump));
	buf_u16(out, extended ? PN_XNUM : (uint16_t)count);
	buf_u16(out, (uint16_t)section_size(dump));
	buf_u16(out, extended ? 1 : 0);
	buf_u16(out, 0); /* section names */
	while (out->size < HEADER_SIZE && !out->failed)
		buf_char(out, 0);
}

static int core_begin(struct dump *dump, const struct coverage *planned, uint64_t end)
{
	struct core_writer *core = dump->priv;
	struct buf header = {0};
	uint8_t head[ZSTD_STORED_HEAD];
	int r;

	for (size_t i = 0; i < planned->absents.count; i++)
		if (planned->absents.data[i].position != UINT64_MAX)
			end = max_u64(end,
				planned->absents.data[i].position + planned->absents.data[i].size);
	core->end = end;
	dump->narrow = want_narrow(dump);
	r = ms_file_create(dump->options->path, dump->options->file_flags, &core->file);
	if (r < 0 || !dump->ordered)
		return r;
	header_make(dump, PN_XNUM, &header);
	if (dump->zstd)
		zstd_stored_head(header.size, head);
	r = header.failed ? err_nomem() : 0;
	if (r == 0 && dump->zstd)
		r = ms_file_write(core->file, head, sizeof(head));
	if (r == 0)
		r = ms_file_write(core->file, header.data, header.size);
	buf_done(&header);
	return r;
}

static int core_place(struct dump *dump, const struct ms_span *span)
{
	struct core_writer *core = dump->priv;

	return file_write_sparse_at(
		core->file, span->data, span->fresh, HEADER_SIZE + span->position);
}

static int core_piece(
	struct dump *dump, const struct dump_piece *piece, const void *bytes, size_t bytes_size)
{
	struct core_writer *core = dump->priv;
	struct dump_piece *last =
		core->pieces.count ? &core->pieces.data[core->pieces.count - 1] : NULL;
	int r = 0;

	if (last && last->address + last->size == piece->address &&
		last->position + last->size == piece->position)
		last->size += piece->size;
	else if (!vec_push(&core->pieces, *piece))
		return err_nomem();
	if (!dump->ordered)
		return 0;
	r = dump_zeros(dump, core->file, piece->position - core->written);
	if (r == 0)
		r = dump->zstd ? ms_file_write(core->file, bytes, bytes_size)
			       : file_write_sparse(core->file, bytes, bytes_size);
	core->written = piece->position + piece->size;
	return r;
}

/* ---- Program headers -------------------------------------------------------------------- */

struct phdrs {
	const struct dump *dump;
	struct buf out;
	uint64_t count;
	Elf64_Phdr open; /* the one being extended */
	bool is_open;
};

static void phdr_put(const struct dump *dump, struct buf *out, const Elf64_Phdr *p)
{
	buf_u32(out, p->p_type);
	if (!dump->narrow)
		buf_u32(out, p->p_flags);
	put_word(dump, out, p->p_offset);
	put_word(dump, out, p->p_vaddr);
	put_word(dump, out, p->p_paddr);
	put_word(dump, out, p->p_filesz);
	put_word(dump, out, p->p_memsz);
	if (dump->narrow)
		buf_u32(out, p->p_flags);
	put_word(dump, out, p->p_align);
}

static void phdr_close(struct phdrs *phdrs)
{
	if (phdrs->is_open) {
		phdr_put(phdrs->dump, &phdrs->out, &phdrs->open);
		phdrs->count++;
	}
	phdrs->is_open = false;
}

/* Adds [base, base + size), with file bytes at `offset` or, for UINT64_MAX, without any. */
static void phdr_add(
	struct phdrs *phdrs, uint64_t base, uint64_t size, uint64_t offset, unsigned perm)
{
	Elf64_Phdr *p = &phdrs->open;
	bool stored = offset != UINT64_MAX;

	if (phdrs->is_open && stored == (p->p_filesz > 0) && p->p_vaddr + p->p_memsz == base &&
		(!stored || p->p_offset + p->p_filesz == offset)) {
		p->p_memsz += size;
		p->p_filesz += stored ? size : 0;
		return;
	}
	phdr_close(phdrs);
	*p = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = (perm & MS_PERM_READ ? PF_R : 0) | (perm & MS_PERM_WRITE ? PF_W : 0) |
			   (perm & MS_PERM_EXEC ? PF_X : 0),
		.p_offset = stored ? offset : 0,
		.p_vaddr = base,
		.p_filesz = stored ? size : 0,
		.p_memsz = size,
		.p_align = PAGE,
	};
	phdrs->is_open = true;
}

/* Walks pieces and stretches without data, both ascending, as one list. */
struct stored_walk {
	const struct core_writer *core;
	const struct coverage *coverage;
	size_t piece, absent;
};

/* A stretch without data as a piece; its position is UINT64_MAX if the file has no room for it. */
static struct dump_piece absent_piece(const struct core_writer *core, const struct absent *absent)
{
	bool room = absent->position != UINT64_MAX && absent->position + absent->size <= core->end;

	return (struct dump_piece){
		absent->base, absent->size, room ? absent->position : UINT64_MAX};
}

/* The first of them that ends above an address. */
static struct dump_piece stored_next(struct stored_walk *walk, uint64_t from)
{
	const struct dump_piece *pieces = walk->core->pieces.data;
	const struct absent *absents = walk->coverage->absents.data;
	struct dump_piece a = {UINT64_MAX, 0, 0}, b = a;

	while (walk->piece < walk->core->pieces.count &&
		pieces[walk->piece].address + pieces[walk->piece].size <= from)
		walk->piece++;
	while (walk->absent < walk->coverage->absents.count &&
		absents[walk->absent].base + absents[walk->absent].size <= from)
		walk->absent++;
	if (walk->piece < walk->core->pieces.count)
		a = pieces[walk->piece];
	if (walk->absent < walk->coverage->absents.count)
		b = absent_piece(walk->core, &absents[walk->absent]);
	return a.address < b.address ? a : b;
}

static void region_phdrs(
	struct phdrs *phdrs, struct stored_walk *walk, const struct dump_region *part)
{
	uint64_t at = part->base, end = part->base + part->size;

	while (at < end) {
		struct dump_piece piece = stored_next(walk, at);
		uint64_t offset = piece.position;

		/* What could not be read gets no header: gdb shows zeros for one without bytes. */
		at = max_u64(at, piece.address);
		if (at >= end)
			break;
		if (offset != UINT64_MAX)
			offset += HEADER_SIZE + (at - piece.address);
		piece.size = min_u64(end, piece.address + piece.size) - at;
		phdr_add(phdrs, at, piece.size, offset, part->region->perm);
		at += piece.size;
	}
	phdr_close(phdrs);
}

/* ---- The end ---------------------------------------------------------------------------- */

static void section_put(const struct dump *dump, struct buf *out, uint64_t count)
{
	buf_u64(out, 0);	       /* name, type */
	put_word(dump, out, 0);	       /* flags */
	put_word(dump, out, 0);	       /* address */
	put_word(dump, out, 0);	       /* offset */
	put_word(dump, out, 0);	       /* size */
	buf_u32(out, 0);	       /* link */
	buf_u32(out, (uint32_t)count); /* sh_info */
	put_word(dump, out, 0);	       /* alignment */
	put_word(dump, out, 0);	       /* size of an entry */
}

static int tail_make(struct dump *dump, struct buf *out, uint64_t *ret_count)
{
	struct core_writer *core = dump->priv;
	struct stored_walk walk = {core, dump->coverage, 0, 0};
	struct dump_regions regions = {0};
	struct phdrs phdrs = {.dump = dump};
	struct buf notes = {0};
	Elf64_Phdr note = {.p_type = PT_NOTE, .p_align = 4};
	int r = dump_regions_list(dump, &regions);

	for (size_t i = 0; i < regions.items.count; i++)
		region_phdrs(&phdrs, &walk, &regions.items.data[i]);
	if (r == 0)
		r = core_notes_make(dump, &regions, &notes);
	if (r == 0) {
		note.p_offset = tail_offset(core) + section_size(dump) +
				(phdrs.count + 1) * phdr_size(dump);
		note.p_filesz = notes.size;
		section_put(dump, out, phdrs.count + 1);
		phdr_put(dump, out, &note);
		buf_add(out, phdrs.out.data, phdrs.out.size);
		buf_add(out, notes.data, notes.size);
		*ret_count = phdrs.count + 1;
		r = out->failed || phdrs.out.failed ? err_nomem() : 0;
	}
	free(regions.items.data);
	buf_done(&phdrs.out);
	buf_done(&notes);
	return r;
}

/*
 * A dump that ended early has not come near the end that was planned: the tables then follow
 * what there is. Returns whether that is so.
 */
static bool cut_short(struct core_writer *core)
{
	const struct dump_piece *last =
		core->pieces.count ? &core->pieces.data[core->pieces.count - 1] : NULL;
	uint64_t reached = last ? last->position + last->size : 0;

	if (core->end - reached <= CUT_MIN)
		return false;
	core->end = reached;
	return true;
}

static int finish_ordered(struct dump *dump, const struct buf *tail, uint64_t count, bool cut)
{
	struct core_writer *core = dump->priv;
	struct buf header = {0};
	int r = dump_zeros(dump, core->file, tail_offset(core) - HEADER_SIZE - core->written);

	if (r == 0)
		r = dump_write(dump, core->file, tail->data, tail->size);
	if (r < 0 || !cut)
		return r;
	header_make(dump, count, &header);
	r = header.failed ? err_nomem()
			  : file_rewrite(core->file, header.data, header.size,
				    dump->zstd ? ZSTD_STORED_HEAD : 0);
	buf_done(&header);
	return r;
}

static int finish_placed(struct dump *dump, const struct buf *tail, uint64_t count)
{
	struct core_writer *core = dump->priv;
	struct buf header = {0};
	int r;

	header_make(dump, count, &header);
	r = header.failed ? err_nomem() : file_write_at(core->file, header.data, header.size, 0);
	if (r == 0)
		r = file_write_at(core->file, tail->data, tail->size, tail_offset(core));
	buf_done(&header);
	return r;
}

static int core_finish(struct dump *dump)
{
	struct core_writer *core = dump->priv;
	const struct ms_dump *options = dump->options;
	const struct ms_thread *threads;
	struct buf tail = {0};
	uint64_t count = 0;
	size_t thread_count;
	bool cut = cut_short(core);
	int r = 0;

	if (dump->src->paused)
		r = ms_source_threads(dump->src, &threads, &thread_count);
	if (r == 0)
		r = tail_make(dump, &tail, &count);
	if (r == 0)
		r = dump->ordered ? finish_ordered(dump, &tail, count, cut)
				  : finish_placed(dump, &tail, count);
	buf_done(&tail);
	if (r == 0)
		r = ms_file_commit(core->file);
	if (r == 0 && options->wrote)
		options->wrote(options->ctx, options->path, ms_file_size(core->file),
			ms_file_sha256(core->file));
	return r;
}

static void core_done(struct dump *dump)
{
	struct core_writer *core = dump->priv;

	ms_file_free(core->file);
	free(core->pieces.data);
}

const struct dump_format core_format = {
	.priv_size = sizeof(struct core_writer),
	.begin = core_begin,
	.place = core_place,
	.piece = core_piece,
	.finish = core_finish,
	.done = core_done,
};
