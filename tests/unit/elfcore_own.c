/* SPDX-License-Identifier: BSD-2-Clause */
/* What memsift's own notes make of a core, and what damaged ones must not. */
#include "core_image.h"

static void own_note(struct image *image, unsigned type, struct buf *content)
{
	note_add(image, "MEMSIFT", 8, 0x4d530000 + type, content);
	buf_done(content);
}

static void own_region(struct buf *note, uint64_t base, uint64_t size, uint32_t perm,
	uint32_t flags, uint32_t kind, const char *path)
{
	const uint64_t wide[] = {base, size, 0x2000, 77, 0x1800};
	const uint32_t narrow[] = {8, 1, perm, flags, kind, (uint32_t)strlen(path)};

	for (size_t i = 0; i < ARRAY_SIZE(wide); i++)
		put(note, false, wide[i], 8);
	for (size_t i = 0; i < ARRAY_SIZE(narrow); i++)
		put(note, false, narrow[i], 4);
	buf_text(note, path);
	pad(note, (size_t)align_up(note->size, 8));
}

static void own_regions(struct buf *note, uint32_t version)
{
	put(note, false, version, 4);
	put(note, false, 2, 4);
	own_region(note, 0x400000, 0x300000, MS_PERM_READ | MS_PERM_SHARED, MS_REGION_DELETED,
		MS_KIND_MAPPED, "/srv/a file");
	own_region(note, 0x7e0000, PAGE, MS_PERM_READ | MS_PERM_WRITE, MS_REGION_ANONYMOUS,
		MS_KIND_STACK, "");
}

static void own_gap(struct buf *note, uint64_t base, uint64_t size, uint32_t state)
{
	put(note, false, base, 8);
	put(note, false, size, 8);
	put(note, false, state, 4);
	put(note, false, 0, 4);
}

static void own_gaps(struct buf *note)
{
	put(note, false, 1, 4);
	put(note, false, 3, 4);
	own_gap(note, 0x400800, 0x400, MS_STATE_GUARD); /* the file has bytes for it */
	own_gap(note, 0x681000, 0x800, MS_STATE_SWAPPED);
	own_gap(note, 0x681800, 0x800, MS_STATE_ABSENT);
}

static void own_process(struct buf *note)
{
	static const char *const texts[] = {"sift", "/opt/sift", "sift me", "alice", "x86_64"};

	put(note, false, 1, 4);
	put(note, false, 99, 4);
	put(note, false, 98, 4);
	put(note, false, 97, 4);
	put(note, false, 123456789012, 8);
	put(note, false, 1700000000, 8);
	put(note, false, 4096, 8);
	put(note, false, 1, 4);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		put(note, false, strlen(texts[i]), 4);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		buf_text(note, texts[i]);
}

static void check_own_process(const struct ms_process *process)
{
	check_u64(process->pid, 99);
	check_u64(process->ppid, 98);
	check_u64(process->uid, 97);
	check_u64(process->start_id, 123456789012);
	check_u64((uint64_t)process->started, 1700000000);
	check_u64(process->rss, 4096);
	check(process->exe_deleted);
	check_text(process->name, "sift");
	check_text(process->exe, "/opt/sift");
	check_text(process->cmdline, "sift me");
	check_text(process->user, "alice");
	check_text(process->arch, "x86_64");
}

static void own_notes(void)
{
	static const struct ms_region expected[] = {
		{.base = 0x400000,
			.size = 0x300000,
			.offset = 0x2000,
			.resident = 0x1800,
			.perm = MS_PERM_READ | MS_PERM_SHARED,
			.flags = MS_REGION_DELETED,
			.kind = MS_KIND_MAPPED,
			.path = "/srv/a file"},
		{.base = 0x7e0000,
			.size = PAGE,
			.offset = 0x2000,
			.resident = 0x1800,
			.perm = MS_PERM_READ | MS_PERM_WRITE,
			.flags = MS_REGION_ANONYMOUS,
			.kind = MS_KIND_STACK,
			.path = ""},
	};
	static const struct run runs[] = {{0x400000, 0x800, MS_STATE_DATA},
		{0x400800, 0x400, MS_STATE_GUARD}, {0x400c00, 0x400, MS_STATE_DATA},
		{0x401000, 0x27f000, MS_STATE_NO_ACCESS}, {0x680000, PAGE, MS_STATE_DATA},
		{0x681000, 0x800, MS_STATE_SWAPPED}, {0x681800, 0x800, MS_STATE_ABSENT},
		{0x682000, 0x7e000, MS_STATE_NO_ACCESS}};
	struct image image = {.wide = true, .big = true, .machine = EM_S390};
	struct buf note = {0};
	ms_source *src;

	typical(&image);
	psinfo(&image, 136);
	files(&image);
	own_regions(&note, 1);
	own_note(&image, 1, &note);
	own_gaps(&note);
	own_note(&image, 2, &note);
	own_process(&note);
	own_note(&image, 3, &note);
	src = attach(open_image(&image));
	check_own_process(ms_source_process(src));
	check_regions(src, expected, ARRAY_SIZE(expected));
	check_runs(src, 0x400000, 0x300000, runs, ARRAY_SIZE(runs));
	check_u64(src->page_size, 0x400);
	check_read(src, 0x400000, 0x800, 'c', MS_STATE_GUARD);
	check_read(src, 0x400c00, 0x400, 'c', MS_STATE_NO_ACCESS);
	check_read(src, 0x681000, 0, 0, MS_STATE_SWAPPED);
	check_read(src, 0x681800, 0, 0, MS_STATE_ABSENT);
	finish(&image, src);
}

/* With little room, runs come in portions that fit together. */
static void runs_in_portions(void)
{
	struct image image = {.wide = true, .machine = EM_X86_64};
	struct ms_region region = {.base = 0x400000, .size = 0x300000};
	uint64_t at = region.base, end = region.base + region.size;
	struct buf note = {0};
	size_t portions = 0;
	ms_source *src;

	typical(&image);
	own_gaps(&note);
	own_note(&image, 2, &note);
	src = attach(open_image(&image));
	for (; at < end; portions++) {
		struct run runs[1];
		size_t count;

		check_ok(src->ops->resident(src, &region, at, end - at, runs, 1, &count));
		check_u64(count, 1);
		check_u64(runs[0].base, at);
		at += runs[0].size;
	}
	check_u64(at, end);
	check_u64(portions, 8);
	finish(&image, src);
}

static void own_notes_of_another_version(void)
{
	struct image image = {.wide = true, .machine = EM_X86_64};
	struct buf note = {0};
	ms_source *src;

	typical(&image);
	prstatus(&image, 4321, 27, 19, 0x7e0800);
	auxv(&image);
	files(&image);
	own_regions(&note, 2);
	own_note(&image, 1, &note);
	src = attach(open_image(&image));
	check_regions(src, typical_regions, ARRAY_SIZE(typical_regions));
	finish(&image, src);
}

/* A change to one of memsift's notes that must make it unacceptable. */
struct own_damage {
	unsigned type;
	size_t offset;
	uint32_t value;
	const char *error;
};

static void hostile_own_notes(void)
{
	enum { FIRST = 8, SECOND = 8 + 64 + 16 };
	static const struct own_damage damages[] = {
		{1, 4, 3, "regions"}, /* more entries than there are */
		{1, 4, 0xffffffff, "regions"},
		{1, FIRST + 12, 0xffffffff, "ascend"}, /* a size that wraps */
		{1, FIRST + 8, 0xffffff, "ascend"},    /* overlaps the second */
		{1, SECOND, 0x1000, "ascend"},	       /* lies below the first */
		{1, SECOND + 8, 0, "ascend"},	       /* is empty */
		{1, FIRST + 48, 16, "impossible"},     /* a permission that is none */
		{1, FIRST + 52, 32, "impossible"},     /* a flag that is none */
		{1, FIRST + 56, 5, "impossible"},
		{1, SECOND + 60, 1, "impossible"}, /* a path beyond the end */
		{1, SECOND + 60, 0xffffffff, "impossible"},
		{2, 4, 4, "fewer"},
		{2, 4, 0xffffffff, "fewer"},
		{2, FIRST + 16, MS_STATE_DATA, "impossible"},
		{2, FIRST + 16, MS_STATE_COUNT, "impossible"},
		{2, FIRST + 24, 0x400800, "ascend"},
		{2, FIRST + 8, 0, "ascend"},
		{3, 44, 0xffffffff, "ends within"},
		{3, 60, 7, "ends within"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct image image = {.wide = true, .machine = EM_X86_64};
		const struct own_damage *d = &damages[i];
		struct buf note = {0}, value = {0};
		ms_host *host;

		typical(&image);
		if (d->type == 1)
			own_regions(&note, 1);
		else if (d->type == 2)
			own_gaps(&note);
		else
			own_process(&note);
		put(&value, false, d->value, 4);
		memcpy(note.data + d->offset, value.data, 4);
		buf_done(&value);
		own_note(&image, d->type, &note);
		image_write(&image);
		check_that(open_bytes(image.file.data, image.file.size, &host) == MS_ERR_FORMAT,
			"damage %zu was accepted", i);
		check_that(strstr(ms_error(), d->error), "damage %zu: %s", i, ms_error());
		image_done(&image);
	}
}

static const struct test tests[] = {
	{"own_notes", own_notes},
	{"runs_in_portions", runs_in_portions},
	{"own_notes_of_another_version", own_notes_of_another_version},
	{"hostile_own_notes", hostile_own_notes},
};

TEST_MAIN(tests)
