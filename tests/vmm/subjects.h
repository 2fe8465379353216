/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Subjects of the conformance suite that need MemProcFS's library: the same Windows in every form
 * that images come in, and page tables without a system. What is where is told by images.py.
 */
#include "vmm/vmm.h"

enum { KNOWN_SIZE = 2 * 1024 * 1024 };

static void read_known(struct subject *s)
{
	char path[PATH_MAX];
	FILE *file;

	vmm_path("images/known.bin", path);
	file = fopen(path, "rb");
	s->bytes = malloc(KNOWN_SIZE);
	check(file && s->bytes && fread(s->bytes, 1, KNOWN_SIZE, file) == KNOWN_SIZE);
	fclose(file);
}

static void open_windows(struct subject *s, const char *image)
{
	read_known(s);
	check_ok(vmm_open_image(image, NULL, &s->host));
	s->pid = 3333;
	add_known(s, 0x20000000, KNOWN_SIZE, s->bytes, MS_STATE_DATA);
	add_known(s, 0x1a002000, PAGE, NULL, MS_STATE_ABSENT);
	add_known(s, 0x1c002000, 2 * PAGE, NULL, MS_STATE_REMOTE_FILE);
	add_known(s, 0x1d000000, 16 * PAGE, NULL, MS_STATE_ABSENT);
	add_known(s, 0x1e002000, PAGE, NULL, MS_STATE_SWAPPED);
	add_known(s, 0x1e003000, 2 * PAGE, NULL, MS_STATE_ABSENT);
	add_known(s, 0x1f000000, 2 * PAGE, NULL, MS_STATE_GUARD);
}

static void open_windows_raw(struct subject *s)
{
	open_windows(s, "images/windows.raw");
}

static void open_windows_core(struct subject *s)
{
	open_windows(s, "images/windows.core");
}

static void open_windows_lime(struct subject *s)
{
	open_windows(s, "images/windows.lime");
}

static void open_windows_dump(struct subject *s)
{
	open_windows(s, "images/windows.dmp");
}

static void open_other(struct subject *s)
{
	read_known(s);
	check_ok(vmm_open_image("images/other.raw", "0x1000", &s->host));
	add_known(s, 0x40000000, KNOWN_SIZE, s->bytes, MS_STATE_DATA);
	add_known(s, 0x700000, PAGE, NULL, MS_STATE_SWAPPED);
}

static const struct {
	const char *name;
	void (*open)(struct subject *s);
	const char *needle;
	bool foreign_modules;
} subjects[] = {
	{"raw image of Windows", open_windows_raw, NEEDLE, true},
	{"ELF core of Windows", open_windows_core, NEEDLE, true},
	{"LiME image of Windows", open_windows_lime, NEEDLE, true},
	{"crash dump of Windows", open_windows_dump, NEEDLE, true},
	{"page tables alone", open_other, NEEDLE, false},
};

static void subjects_needed(void)
{
	vmm_need();
}
