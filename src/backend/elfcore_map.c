/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From segments and notes to regions and a process. Where memsift left notes of its own, they
 * say it all. In a core of anyone else's each PT_LOAD is a region: its file is looked up in
 * NT_FILE, the rest is inferred.
 */
#include "backend/elfcore.h"

#include "base/bytes.h"
#include "base/err.h"

enum { AUXV_ENTRY = 9, AUXV_VDSO = 33 }; /* AT_ENTRY, AT_SYSINFO_EHDR */

struct file_range {
	uint64_t base, end, offset;
	const char *path;
	bool deleted;
};

struct file_list {
	VEC(struct file_range) items;
};

static uint64_t load_word(const struct elfcore *core, const uint8_t *from)
{
	return core->wide ? load_u64(from, core->big) : load_u32(from, core->big);
}

/* The kernel marks a removed file in its name; a file that is really called so is rare. */
static bool path_settle(struct elfcore *core, struct file_range *file)
{
	static const char mark[] = " (deleted)";
	size_t length = strlen(file->path), tail = sizeof(mark) - 1;

	if (length <= tail || strcmp(file->path + length - tail, mark) != 0)
		return true;
	file->deleted = true;
	file->path = arena_copy(&core->regions.strings, file->path, length - tail);
	return file->path;
}

static int file_order(const void *a, const void *b)
{
	const struct file_range *x = a, *y = b;

	if (x->base != y->base)
		return x->base < y->base ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* NT_FILE: count, page size; start, end, offset in pages for each; then a name for each. */
static int files_load(struct elfcore *core, struct file_list *out)
{
	size_t word = core->wide ? 8 : 4;
	struct core_bytes note = core->notes.files;
	const uint8_t *name, *range;
	uint64_t count, page;

	if (note.size < 2 * word)
		return 0;
	count = load_word(core, note.data);
	page = load_word(core, note.data + word);
	if (count > (note.size - 2 * word) / (3 * word))
		return 0;
	range = note.data + 2 * word;
	name = range + count * 3 * word;
	for (uint64_t i = 0; i < count; i++, range += 3 * word) {
		const uint8_t *stop = memchr(name, 0, note.size - (size_t)(name - note.data));
		struct file_range file = {
			.base = load_word(core, range),
			.end = load_word(core, range + word),
			.path = (const char *)name,
		};

		if (!stop)
			break;
		name = stop + 1;
		if (__builtin_mul_overflow(load_word(core, range + 2 * word), page, &file.offset))
			continue;
		if (!path_settle(core, &file) || !vec_push(&out->items, file))
			return err_nomem();
	}
	vec_sort(&out->items, file_order);
	return 0;
}

static const struct file_range *file_find(const struct file_list *files, uint64_t address)
{
	size_t i;

	bisect(i, files->items.count, files->items.data[i].base > address);
	return i && address < files->items.data[i - 1].end ? &files->items.data[i - 1] : NULL;
}

static enum ms_kind kind_of(const struct ms_region *region)
{
	unsigned both = MS_PERM_READ | MS_PERM_WRITE;

	if (region->perm & MS_PERM_EXEC)
		return MS_KIND_CODE;
	if (!(region->flags & MS_REGION_ANONYMOUS))
		return MS_KIND_MAPPED;
	return (region->perm & both) == both ? MS_KIND_HEAP : MS_KIND_OTHER;
}

static struct ms_region region_from(
	const struct core_segment *s, const struct file_range *file, uint64_t vdso)
{
	struct ms_region region = {
		.base = s->base,
		.size = s->size,
		.resident = s->have,
		.perm = s->perm,
		.flags = MS_REGION_ANONYMOUS,
		.path = "",
	};

	if (file) {
		region.flags = file->deleted ? MS_REGION_DELETED : 0;
		region.path = file->path;
		/* A file's last offset may be near the end of all numbers; it is only shown. */
		region.offset = file->offset + (s->base - file->base);
	} else if (vdso && vdso - s->base < s->size) {
		region.path = "[vdso]";
	}
	region.kind = kind_of(&region);
	return region;
}

/* A region that a stack pointer points into is a stack, unless something better is known. */
static void stacks_mark(struct elfcore *core)
{
	struct ms_region *list = core->regions.items.data;

	for (size_t i = 0; i < core->threads.count; i++) {
		uint64_t address = core->threads.data[i].stack_pointer;
		const struct ms_region *region = region_find(&core->regions, address);

		if (region && (region->kind == MS_KIND_HEAP || region->kind == MS_KIND_OTHER))
			list[region - list].kind = MS_KIND_STACK;
	}
}

static int regions_infer(struct elfcore *core, const struct file_list *files)
{
	uint64_t vdso = core_auxv_find(core, AUXV_VDSO);

	for (size_t i = 0; i < core->segments.count; i++) {
		const struct core_segment *s = &core->segments.data[i];
		struct ms_region region = region_from(s, file_find(files, s->base), vdso);

		if (!vec_push(&core->regions.items, region))
			return err_nomem();
	}
	stacks_mark(core);
	return 0;
}

/* struct elf_prpsinfo (Linux, include/linux/elfcore.h); its size tells which one it is. */
struct psinfo_layout {
	size_t size, uid, uid_size, pid, ppid, name, args;
};

static const struct psinfo_layout psinfo_layouts[] = {
	{136, 16, 4, 24, 28, 40, 56}, /* 64 bits */
	{128, 8, 4, 16, 20, 32, 48},  /* 32 bits */
	{124, 8, 2, 12, 16, 28, 44},  /* 32 bits, old machines: i386, arm */
};

enum { PSINFO_NAME = 16, PSINFO_ARGS = 80 };

/* A text of at most size bytes without its trailing blanks; NULL when it is empty. */
static int text_copy(struct elfcore *core, const uint8_t *from, size_t size, const char **ret_text)
{
	size_t length = strnlen((const char *)from, size);
	const char *text;

	while (length && from[length - 1] == ' ')
		length--;
	if (!length)
		return 0;
	text = arena_copy(&core->regions.strings, from, length);
	if (!text)
		return err_nomem();
	*ret_text = text;
	return 0;
}

static int psinfo_load(struct elfcore *core, struct ms_process *process)
{
	const uint8_t *d = core->notes.psinfo.data;

	for (size_t i = 0; i < ARRAY_SIZE(psinfo_layouts); i++) {
		const struct psinfo_layout *at = &psinfo_layouts[i];
		int r;

		if (core->notes.psinfo.size != at->size || core->wide != (at->size == 136))
			continue;
		process->uid = at->uid_size == 2 ? load_u16(d + at->uid, core->big)
						 : load_u32(d + at->uid, core->big);
		process->pid = load_u32(d + at->pid, core->big);
		process->ppid = load_u32(d + at->ppid, core->big);
		process->user = arena_format(&core->regions.strings, "%u", process->uid);
		if (!process->user)
			return err_nomem();
		r = text_copy(core, d + at->name, PSINFO_NAME, &process->name);
		return r < 0 ? r : text_copy(core, d + at->args, PSINFO_ARGS, &process->cmdline);
	}
	return 0;
}

struct machine_name {
	unsigned machine;
	const char *narrow, *narrow_big, *wide, *wide_big;
};

static const struct machine_name machine_names[] = {
	{2, "sparc", "sparc", NULL, NULL},
	{3, "i386", NULL, NULL, NULL},
	{8, "mipsel", "mips", "mips64el", "mips64"},
	{20, NULL, "ppc", NULL, NULL},
	{21, NULL, NULL, "ppc64le", "ppc64"},
	{22, NULL, "s390", NULL, "s390x"},
	{40, "arm", "armeb", NULL, NULL},
	{43, NULL, NULL, NULL, "sparc64"},
	{62, "x32", NULL, "x86_64", NULL},
	{183, NULL, NULL, "aarch64", "aarch64_be"},
	{243, "riscv32", NULL, "riscv64", NULL},
	{258, NULL, NULL, "loongarch64", NULL},
};

static const char *arch_name(const struct elfcore *core)
{
	for (size_t i = 0; i < ARRAY_SIZE(machine_names); i++) {
		const struct machine_name *m = &machine_names[i];

		if (m->machine != core->machine)
			continue;
		if (core->wide)
			return core->big ? m->wide_big : m->wide;
		return core->big ? m->narrow_big : m->narrow;
	}
	return NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static int process_infer(struct elfcore *core, const struct file_list *files)
{
	uint64_t entry = core_auxv_find(core, AUXV_ENTRY);
	const struct file_range *exe = entry ? file_find(files, entry) : NULL;
	struct ms_process *process = &core->process;
	int r = psinfo_load(core, process);

	if (r < 0)
		return r;
	if (exe) {
		process->exe = exe->path;
		process->exe_deleted = exe->deleted;
	}
	for (size_t i = 0; i < core->segments.count; i++)
		if (!add_u64(process->rss, core->segments.data[i].have, &process->rss))
			process->rss = UINT64_MAX;
	return 0;
}

/* What every process has, whichever way it is known. */
static int process_settle(struct elfcore *core, const char *path)
{
	struct ms_process *process = &core->process;

	if (!process->pid)
		process->pid = core->threads.count ? core->threads.data[0].tid : 0;
	if (!process->pid)
		process->pid = 1;
	if (!process->arch)
		process->arch = arch_name(core);
	if (!process->name)
		process->name = arena_string(
			&core->regions.strings, base_name(process->exe ? process->exe : path));
	if (!process->name)
		return err_nomem();
	/* Notes name the process only, and that is the name of its first thread. */
	for (size_t i = 0; i < core->threads.count; i++)
		if (core->threads.data[i].tid == process->pid)
			core->threads.data[i].name = process->name;
	return 0;
}

static int map_build(struct elfcore *core, const char *path, struct file_list *files)
{
	int r = files_load(core, files);

	if (r == 0)
		r = core_own_gaps(core);
	if (r >= 0)
		r = core_own_regions(core);
	if (r == 0)
		r = regions_infer(core, files);
	if (r >= 0)
		r = core_own_process(core);
	if (r == 0)
		r = process_infer(core, files);
	return r < 0 ? r : process_settle(core, path);
}

int core_map_build(struct elfcore *core, const char *path)
{
	struct file_list files = {0};
	int r = map_build(core, path, &files);

	free(files.items.data);
	return r;
}
