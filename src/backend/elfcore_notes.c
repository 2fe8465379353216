/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The notes of an ELF core, as Linux writes them (fs/binfmt_elf.c) and gdb's gcore after it. A
 * thread's notes begin with its NT_PRSTATUS; those of the process come once, among the notes of
 * the first thread. A note that is cut off or too small for what it should hold is passed over:
 * it describes memory but holds none.
 */
#include "backend/elfcore.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/os.h"

enum {
	NOTE_HEADER = 12, /* size of name, size of content, type */

	NOTE_PRSTATUS = 1,
	NOTE_PRFPREG = 2,
	NOTE_PRPSINFO = 3,
	NOTE_AUXV = 6,
	NOTE_X86_XSTATE = 0x202,
	NOTE_FILE = 0x46494c45,

	NOTE_OWN_REGIONS = 0x4d530001, /* far from the types of others: some readers mind no name */
	NOTE_OWN_GAPS = 0x4d530002,
	NOTE_OWN_PROCESS = 0x4d530003,
};

struct note {
	struct core_bytes name, content;
	uint32_t type;
};

/* Which word of a machine's register set is the stack pointer. */
struct stack_word {
	unsigned machine;
	bool wide;
	size_t index;
};

static const struct stack_word stack_words[] = {
	{3, false, 15},	 /* i386: esp */
	{62, true, 19},	 /* x86_64: rsp */
	{40, false, 13}, /* arm: r13 */
	{183, true, 31}, /* aarch64: sp */
	{21, true, 1},	 /* ppc64: r1 */
	{22, true, 17},	 /* s390x: r15, behind the two words of the status */
	{243, true, 2},	 /* riscv64: sp */
};

static uint64_t stack_pointer(const struct elfcore *core, const uint8_t *gregs, size_t size)
{
	size_t word = core->wide ? 8 : 4;

	for (size_t i = 0; i < ARRAY_SIZE(stack_words); i++) {
		const struct stack_word *s = &stack_words[i];

		if (s->machine != core->machine || s->wide != core->wide)
			continue;
		if ((s->index + 1) * word > size)
			return 0;
		return core->wide ? load_u64(gregs + s->index * word, core->big)
				  : load_u32(gregs + s->index * word, core->big);
	}
	return 0;
}

/*
 * struct elf_prstatus (Linux, include/linux/elfcore.h): the registers lie between a head, which
 * has the same size on all machines of a word size, and an int padded to a word.
 */
static int prstatus_add(struct elfcore *core, struct core_bytes content)
{
	size_t pid_at = core->wide ? 32 : 24;
	size_t head = core->wide ? 112 : 72;
	size_t tail = core->wide ? 8 : 4;
	struct ms_thread thread = {.name = ""};

	if (content.size < head + tail || core->threads.count >= CORE_THREADS_MAX)
		return 0;
	thread.tid = load_u32(content.data + pid_at, core->big);
	thread.gregs = content.data + head;
	thread.gregs_size = content.size - head - tail;
	thread.stack_pointer = stack_pointer(core, thread.gregs, thread.gregs_size);
	return vec_push(&core->threads, thread) ? 0 : err_nomem();
}

static bool note_is(const struct note *note, const char *name)
{
	size_t length = strlen(name);

	/* The final NUL is part of the name, but some writers leave it out. */
	return note->name.size >= length && memcmp(note->name.data, name, length) == 0 &&
	       (note->name.size == length || note->name.data[length] == 0);
}

static void keep_first(struct core_bytes *kept, struct core_bytes content)
{
	if (!kept->data)
		*kept = content;
}

static void own_note_add(struct elfcore *core, const struct note *note)
{
	if (note->type == NOTE_OWN_REGIONS)
		keep_first(&core->notes.own_regions, note->content);
	else if (note->type == NOTE_OWN_GAPS)
		keep_first(&core->notes.own_gaps, note->content);
	else if (note->type == NOTE_OWN_PROCESS)
		keep_first(&core->notes.own_process, note->content);
}

static int core_note_add(struct elfcore *core, const struct note *note)
{
	struct ms_thread *thread =
		core->threads.count ? &core->threads.data[core->threads.count - 1] : NULL;

	if (note->type == NOTE_PRSTATUS)
		return prstatus_add(core, note->content);
	if (note->type == NOTE_PRPSINFO)
		keep_first(&core->notes.psinfo, note->content);
	else if (note->type == NOTE_AUXV)
		keep_first(&core->notes.auxv, note->content);
	else if (note->type == NOTE_FILE)
		keep_first(&core->notes.files, note->content);
	else if (note->type == NOTE_PRFPREG && thread && !thread->fpregs) {
		thread->fpregs = note->content.data;
		thread->fpregs_size = note->content.size;
	}
	return 0;
}

static int note_add(struct elfcore *core, const struct note *note)
{
	struct ms_thread *thread =
		core->threads.count ? &core->threads.data[core->threads.count - 1] : NULL;

	if (note_is(note, "CORE"))
		return core_note_add(core, note);
	if (note_is(note, "MEMSIFT"))
		own_note_add(core, note);
	else if (note_is(note, "LINUX") && note->type == NOTE_X86_XSTATE && thread &&
		 !thread->xstate) {
		thread->xstate = note->content.data;
		thread->xstate_size = note->content.size;
	}
	return 0;
}

/* Takes the next note off the front; false at the end, and where a note is cut off. */
static bool note_next(
	const struct elfcore *core, struct core_bytes *rest, unsigned align, struct note *ret_note)
{
	uint64_t name_size, size, from, end;

	if (rest->size < NOTE_HEADER)
		return false;
	name_size = load_u32(rest->data, core->big);
	size = load_u32(rest->data + 4, core->big);
	from = align_up(NOTE_HEADER + name_size, align);
	if (from > rest->size || size > rest->size - from)
		return false;
	*ret_note = (struct note){
		.name = {rest->data + NOTE_HEADER, (size_t)name_size},
		.content = {rest->data + from, (size_t)size},
		.type = load_u32(rest->data + 8, core->big),
	};
	end = min_u64(align_up(from + size, align), rest->size);
	rest->data += end;
	rest->size -= (size_t)end;
	return true;
}

static int segment_parse(struct elfcore *core, struct core_bytes rest, unsigned align)
{
	struct note note;
	int r = 0;

	while (r == 0 && note_next(core, &rest, align, &note))
		r = note_add(core, &note);
	return r;
}

int core_notes_load(struct elfcore *core, const struct core_note_segment *parts, size_t count)
{
	uint64_t total = 0, at = 0;
	int r = 0;

	for (size_t i = 0; i < count; i++)
		total += min_u64(parts[i].size, CORE_NOTES_MAX - total);
	core->note_bytes = malloc(total ? (size_t)total : 1);
	if (!core->note_bytes)
		return err_nomem();
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct core_bytes part = {core->note_bytes + at, 0};
		size_t size = (size_t)min_u64(parts[i].size, total - at);

		/* What cannot be read is as good as cut off. */
		if (os_file_read(
			    core->fd, core->note_bytes + at, size, parts[i].offset, &part.size) < 0)
			continue;
		at += part.size;
		r = segment_parse(core, part, parts[i].align);
	}
	return r;
}

uint64_t core_auxv_find(const struct elfcore *core, uint64_t type)
{
	size_t word = core->wide ? 8 : 4;
	struct core_bytes auxv = core->notes.auxv;

	for (; auxv.size >= 2 * word; auxv.data += 2 * word, auxv.size -= 2 * word) {
		uint64_t key = core->wide ? load_u64(auxv.data, core->big)
					  : load_u32(auxv.data, core->big);

		if (key == type)
			return core->wide ? load_u64(auxv.data + word, core->big)
					  : load_u32(auxv.data + word, core->big);
	}
	return 0;
}
