/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small writer of ELF cores, right or wrong ones, and checks of what a source makes of them.
 * Everything is laid out by hand, so that nothing is shared with the reader under test.
 */
#ifndef MS_TESTS_CORE_IMAGE_H
#define MS_TESTS_CORE_IMAGE_H

#include "memsift.h"

#include "base/buf.h"
#include "core/host.h"
#include "test.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PARTS_MAX = 8, PAGE = 4096 };

/* A PT_LOAD to be written. */
struct part {
	uint64_t base, size;
	uint64_t stored; /* p_filesz */
	unsigned flags;	 /* PF_* */
	char fill;	 /* what its bytes in the file are; `written` of them, or `stored` */
	uint64_t written;
};

struct image {
	bool wide, big;
	unsigned machine;
	bool count_elsewhere;
	struct part parts[PARTS_MAX];
	size_t count;
	struct buf notes;
	struct buf file;
};

static inline void put(struct buf *buf, bool big, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buf_char(buf, (char)(value >> 8 * (big ? size - 1 - i : i)));
}

static inline void put_word(struct image *image, struct buf *buf, uint64_t value)
{
	put(buf, image->big, value, image->wide ? 8 : 4);
}

static inline void pad(struct buf *buf, size_t size)
{
	while (buf->size < size)
		buf_char(buf, 0);
}

static inline void note_add(struct image *image, const char *name, size_t name_size, unsigned type,
	const struct buf *content)
{
	struct buf *notes = &image->notes;

	put(notes, image->big, name_size, 4);
	put(notes, image->big, content->size, 4);
	put(notes, image->big, type, 4);
	buf_add(notes, name, name_size);
	pad(notes, (size_t)align_up(notes->size, 4));
	buf_add(notes, content->data, content->size);
	pad(notes, (size_t)align_up(notes->size, 4));
}

static inline void program_put(struct image *image, unsigned type, unsigned flags, uint64_t offset,
	const struct part *part)
{
	struct buf *file = &image->file;

	put(file, image->big, type, 4);
	if (image->wide)
		put(file, image->big, flags, 4);
	put_word(image, file, offset);
	put_word(image, file, part->base);
	put_word(image, file, 0);
	put_word(image, file, part->stored);
	put_word(image, file, part->size);
	if (!image->wide)
		put(file, image->big, flags, 4);
	put_word(image, file, 4);
}

static inline uint64_t written_of(const struct part *part)
{
	return part->written ? part->written : part->stored;
}

static inline void header_put(struct image *image, uint64_t section)
{
	struct buf *file = &image->file;
	size_t count = image->count + (image->notes.size ? 1 : 0);

	buf_add(file,
		"\x7f"
		"ELF",
		4);
	buf_char(file, image->wide ? ELFCLASS64 : ELFCLASS32);
	buf_char(file, image->big ? ELFDATA2MSB : ELFDATA2LSB);
	buf_char(file, EV_CURRENT);
	pad(file, EI_NIDENT);
	put(file, image->big, ET_CORE, 2);
	put(file, image->big, image->machine, 2);
	put(file, image->big, EV_CURRENT, 4);
	put_word(image, file, 0);
	put_word(image, file, image->wide ? 64 : 52);
	put_word(image, file, section);
	put(file, image->big, 0, 4);
	put(file, image->big, image->wide ? 64 : 52, 2);
	put(file, image->big, image->wide ? 56 : 32, 2);
	put(file, image->big, image->count_elsewhere ? PN_XNUM : count, 2);
	put(file, image->big, image->wide ? 64 : 40, 2);
	put(file, image->big, section ? 1 : 0, 2);
	put(file, image->big, 0, 2);
}

/* Writes headers, notes and data, in this order, then section header 0 if it is wanted. */
static inline void image_write(struct image *image)
{
	size_t count = image->count + (image->notes.size ? 1 : 0);
	uint64_t offset = (image->wide ? 64 : 52) + count * (image->wide ? 56 : 32);
	uint64_t end = offset + image->notes.size;
	struct part notes = {.stored = image->notes.size};

	for (size_t i = 0; i < image->count; i++)
		end += written_of(&image->parts[i]);
	header_put(image, image->count_elsewhere ? end : 0);
	if (image->notes.size)
		program_put(image, PT_NOTE, 0, offset, &notes);
	offset += image->notes.size;
	for (size_t i = 0; i < image->count; i++) {
		program_put(image, PT_LOAD, image->parts[i].flags, offset, &image->parts[i]);
		offset += written_of(&image->parts[i]);
	}
	buf_add(&image->file, image->notes.data, image->notes.size);
	for (size_t i = 0; i < image->count; i++)
		for (uint64_t k = 0; k < written_of(&image->parts[i]); k++)
			buf_char(&image->file, image->parts[i].fill);
	if (image->count_elsewhere) {
		pad(&image->file, image->file.size + (image->wide ? 44 : 28));
		put(&image->file, image->big, count, 4);
		pad(&image->file, image->file.size + (image->wide ? 16 : 8));
	}
	check(!image->file.failed && !image->notes.failed);
}

static inline void image_done(struct image *image)
{
	buf_done(&image->notes);
	buf_done(&image->file);
}

static inline int open_bytes(const void *data, size_t size, ms_host **ret_host)
{
	AUTO_CLOSE int fd = memfd_create("core", MFD_CLOEXEC);
	char path[64];

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return ms_host_open(path, ret_host);
}

static inline ms_host *open_image(struct image *image)
{
	ms_host *host;

	image_write(image);
	check_ok(open_bytes(image->file.data, image->file.size, &host));
	check_text(host->ops->scheme, "core");
	return host;
}

/* Opens a host and its only process. */
static inline ms_source *attach(ms_host *host)
{
	ms_source *src;

	check_ok(ms_source_open(host, 0, &src));
	return src;
}

static inline void finish(struct image *image, ms_source *src)
{
	ms_host *host = src->host;

	ms_source_free(src);
	ms_host_free(host);
	image_done(image);
}

static inline void check_regions(ms_source *src, const struct ms_region *expected, size_t count)
{
	const struct ms_region *list;
	size_t found;

	check_ok(ms_source_regions(src, &list, &found));
	check_u64(found, count);
	for (size_t i = 0; i < count; i++) {
		check_u64(list[i].base, expected[i].base);
		check_u64(list[i].size, expected[i].size);
		check_u64(list[i].offset, expected[i].offset);
		check_u64(list[i].resident, expected[i].resident);
		check_u64(list[i].perm, expected[i].perm);
		check_u64(list[i].flags, expected[i].flags);
		check_u64(list[i].kind, expected[i].kind);
		check_text(list[i].path, expected[i].path);
	}
}

/* Reading at address gives `size` bytes of `fill`, then nothing in this state. */
static inline void check_read(
	ms_source *src, uint64_t address, size_t size, char fill, enum ms_state behind)
{
	static char buf[4 * PAGE];
	struct ms_gap gap;
	size_t got;

	check_ok(ms_source_read(src, address, buf, sizeof(buf), &got, &gap));
	check_u64(got, size);
	for (size_t i = 0; i < got; i++)
		check_that(buf[i] == fill, "byte %zu is %d, not %d", i, buf[i], fill);
	check_ok(ms_source_read(src, address + size, buf, 1, &got, &gap));
	check_u64(got, 0);
	check_u64(gap.state, behind);
	check_u64(gap.base, address + size);
}

static inline void check_runs(
	ms_source *src, uint64_t base, uint64_t size, const struct run *expected, size_t count)
{
	struct ms_region region = {.base = base, .size = size};
	struct run runs[16];
	size_t found;

	check_ok(src->ops->resident(src, &region, base, size, runs, 16, &found));
	check_u64(found, count);
	for (size_t i = 0; i < count; i++) {
		check_u64(runs[i].base, expected[i].base);
		check_u64(runs[i].size, expected[i].size);
		check_u64(runs[i].state, expected[i].state);
	}
}

/* ---- Notes as the system writes them --------------------------------------------------- */

static inline void system_note(struct image *image, unsigned type, struct buf *content)
{
	bool linux_note = type == NT_X86_XSTATE;

	note_add(image, linux_note ? "LINUX" : "CORE", linux_note ? 6 : 5, type, content);
	buf_done(content);
}

static inline void prstatus(
	struct image *image, uint32_t tid, size_t regs, size_t index, uint64_t sp)
{
	size_t word = image->wide ? 8 : 4;
	struct buf note = {0};

	pad(&note, image->wide ? 32 : 24);
	put(&note, image->big, tid, 4);
	pad(&note, (image->wide ? 112 : 72) + index * word);
	put_word(image, &note, sp);
	pad(&note, (image->wide ? 112 : 72) + regs * word + word);
	system_note(image, NT_PRSTATUS, &note);
}

static inline void psinfo(struct image *image, size_t size)
{
	struct buf note = {0};

	pad(&note, size == 136 ? 16 : 8);
	put(&note, image->big, 1000, size == 124 ? 2 : 4);
	put(&note, image->big, 1000, size == 124 ? 2 : 4);
	put(&note, image->big, 4321, 4);
	put(&note, image->big, 7, 4);
	pad(&note, size - 96);
	buf_text(&note, "fifteen-letters");
	pad(&note, size - 80);
	buf_text(&note, "prog --option  ");
	pad(&note, size);
	system_note(image, NT_PRPSINFO, &note);
}

static inline void files(struct image *image)
{
	struct buf note = {0};
	static const uint64_t ranges[][3] = {
		{0x400000, 0x401000, 0}, {0x500000, 0x504000, 3}, {0x600000, 0x601000, 0}};

	put_word(image, &note, ARRAY_SIZE(ranges));
	put_word(image, &note, PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		for (size_t k = 0; k < 3; k++)
			put_word(image, &note, ranges[i][k]);
	buf_add(&note, "/bin/prog (deleted)", 20);
	buf_add(&note, "/lib/data", 10);
	buf_add(&note, "/lib/rest", 10);
	system_note(image, NT_FILE, &note);
}

static inline void auxv(struct image *image)
{
	struct buf note = {0};

	put_word(image, &note, AT_ENTRY);
	put_word(image, &note, 0x400010);
	put_word(image, &note, AT_SYSINFO_EHDR);
	put_word(image, &note, 0x7f0000);
	put_word(image, &note, AT_NULL);
	put_word(image, &note, 0);
	system_note(image, NT_AUXV, &note);
}

/* A process as any kernel would dump it: a program, a file, a heap, a stack and the vDSO. */
static inline void typical(struct image *image)
{
	static const struct part parts[] = {
		{0x400000, PAGE, PAGE, PF_R | PF_X, 'c', 0},
		{0x500000, 2 * PAGE, 0, PF_R, 'f', 0},
		{0x680000, 3 * PAGE, PAGE, PF_R | PF_W, 'h', 0},
		{0x7e0000, PAGE, PAGE, PF_R | PF_W, 's', 0},
		{0x7f0000, PAGE, PAGE, PF_R | PF_X, 'v', 0},
		{0x7f8000, PAGE, 0, 0, 'n', 0},
	};

	memcpy(image->parts, parts, sizeof(parts));
	image->count = ARRAY_SIZE(parts);
}

static const struct ms_region typical_regions[] = {
	{.base = 0x400000,
		.size = PAGE,
		.resident = PAGE,
		.perm = MS_PERM_READ | MS_PERM_EXEC,
		.flags = MS_REGION_DELETED,
		.kind = MS_KIND_CODE,
		.path = "/bin/prog"},
	{.base = 0x500000,
		.size = 2 * PAGE,
		.offset = 3 * PAGE,
		.perm = MS_PERM_READ,
		.kind = MS_KIND_MAPPED,
		.path = "/lib/data"},
	{.base = 0x680000,
		.size = 3 * PAGE,
		.resident = PAGE,
		.perm = MS_PERM_READ | MS_PERM_WRITE,
		.flags = MS_REGION_ANONYMOUS,
		.kind = MS_KIND_HEAP,
		.path = ""},
	{.base = 0x7e0000,
		.size = PAGE,
		.resident = PAGE,
		.perm = MS_PERM_READ | MS_PERM_WRITE,
		.flags = MS_REGION_ANONYMOUS,
		.kind = MS_KIND_STACK,
		.path = ""},
	{.base = 0x7f0000,
		.size = PAGE,
		.resident = PAGE,
		.perm = MS_PERM_READ | MS_PERM_EXEC,
		.flags = MS_REGION_ANONYMOUS,
		.kind = MS_KIND_CODE,
		.path = "[vdso]"},
	{.base = 0x7f8000,
		.size = PAGE,
		.flags = MS_REGION_ANONYMOUS,
		.kind = MS_KIND_OTHER,
		.path = ""},
};

#endif
