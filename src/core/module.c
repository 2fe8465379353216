/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules of an address space, from what lies in it: an ELF header at the start of a file's
 * mapping, its program headers, its build-id note and its SONAME. Nothing but the target's memory
 * is looked at, so modules whose files were removed are found like any other. Everything read is
 * hostile; each table has a limit. Formats: System V gABI, chapters 4 and 5.
 */
#include "core/host.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#include <elf.h>

enum { PHDRS_MAX = 256, NOTES_MAX = 64 * 1024, DYNAMIC_MAX = 64 * 1024, NAME_MAX_SIZE = 256 };

struct image {
	struct ms_source *src;
	uint64_t base;	 /* where the first byte of the file is mapped */
	uint64_t bias;	 /* what to add to an address of the file */
	bool wide, big;
	uint8_t *phdrs;
	size_t phdr_count, phdr_size;
};

struct segment {
	uint32_t type;
	uint64_t address, file_size, memory_size, offset;
};

/* Reads exactly size bytes of the target, or fails. */
static bool read_all(struct ms_source *src, uint64_t address, void *buf, size_t size)
{
	size_t got;

	for (size_t done = 0; done < size; done += got)
		if (ms_source_read(src, address + done, (char *)buf + done, size - done, &got, NULL) < 0 ||
			!got)
			return false;
	return true;
}

static struct segment segment_at(const struct image *image, size_t index)
{
	const uint8_t *p = image->phdrs + index * image->phdr_size;
	bool big = image->big;

	if (image->wide)
		return (struct segment){load_u32(p, big), load_u64(p + 16, big), load_u64(p + 32, big),
			load_u64(p + 40, big), load_u64(p + 8, big)};
	return (struct segment){load_u32(p, big), load_u32(p + 8, big), load_u32(p + 16, big),
		load_u32(p + 20, big), load_u32(p + 4, big)};
}

/* Reads the headers; false when there is no ELF image at base. */
static bool image_open(struct image *image, struct ms_source *src, uint64_t base)
{
	uint8_t h[sizeof(Elf64_Ehdr)] = {0};
	uint64_t offset;

	*image = (struct image){.src = src, .base = base};
	if (!read_all(src, base, h, sizeof(Elf32_Ehdr)) || memcmp(h, ELFMAG, SELFMAG) != 0)
		return false;
	image->wide = h[EI_CLASS] == ELFCLASS64;
	image->big = h[EI_DATA] == ELFDATA2MSB;
	if (image->wide && !read_all(src, base, h, sizeof(Elf64_Ehdr)))
		return false;
	offset = image->wide ? load_u64(h + 32, image->big) : load_u32(h + 28, image->big);
	image->phdr_size = load_u16(h + (image->wide ? 54 : 42), image->big);
	image->phdr_count = load_u16(h + (image->wide ? 56 : 44), image->big);
	if (image->phdr_size != (image->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
		image->phdr_count == 0 || image->phdr_count > PHDRS_MAX || offset > 1 << 20)
		return false;
	image->phdrs = malloc(image->phdr_count * image->phdr_size);
	return image->phdrs &&
	       read_all(src, base + offset, image->phdrs, image->phdr_count * image->phdr_size);
}

/* How far the image reaches in memory; sets the bias. 0 when it makes no sense. */
static uint64_t image_measure(struct image *image)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (size_t i = 0; i < image->phdr_count; i++) {
		struct segment s = segment_at(image, i);
		uint64_t end;

		if (s.type != PT_LOAD || !add_u64(s.address, s.memory_size, &end))
			continue;
		if (s.offset == 0)
			image->bias = image->base - s.address;
		low = min_u64(low, align_down(s.address, 4096));
		high = max_u64(high, align_up(end, 4096));
	}
	if (low >= high || high - low > UINT64_MAX - image->base)
		return 0;
	return high - low;
}

/* Finds the GNU build id among the notes of one segment. */
static void notes_build_id(const uint8_t *notes, size_t size, bool big, struct buf *ret_id)
{
	size_t at = 0;

	while (size - at >= 12) {
		uint64_t name = load_u32(notes + at, big), desc = load_u32(notes + at + 4, big);
		uint32_t type = load_u32(notes + at + 8, big);
		uint64_t desc_at = at + 12 + align_up(name, 4);
		uint64_t next = desc_at + align_up(desc, 4);

		if (desc_at + desc > size)
			return;
		if (type == NT_GNU_BUILD_ID && name == 4 && memcmp(notes + at + 12, "GNU", 4) == 0 &&
			desc <= 64) {
			buf_hex(ret_id, notes + desc_at, (size_t)desc);
			return;
		}
		if (next > size)
			return;
		at = (size_t)next;
	}
}

static void image_build_id(const struct image *image, struct buf *ret_id)
{
	for (size_t i = 0; i < image->phdr_count && !ret_id->size; i++) {
		struct segment s = segment_at(image, i);
		AUTO_FREE uint8_t *notes = NULL;

		if (s.type != PT_NOTE || s.file_size > NOTES_MAX || !(notes = malloc(s.file_size + 1)))
			continue;
		if (read_all(image->src, image->bias + s.address, notes, (size_t)s.file_size))
			notes_build_id(notes, (size_t)s.file_size, image->big, ret_id);
	}
}

/* Looks up DT_STRTAB and DT_SONAME; false if there is no SONAME. */
static bool dynamic_soname(
	const uint8_t *dynamic, size_t size, const struct image *image, uint64_t *ret_address)
{
	size_t entry = image->wide ? 16 : 8;
	uint64_t strings = 0, soname = 0;
	bool found = false;

	for (size_t at = 0; size - at >= entry; at += entry) {
		uint64_t tag = image->wide ? load_u64(dynamic + at, image->big)
					   : load_u32(dynamic + at, image->big);
		uint64_t value = image->wide ? load_u64(dynamic + at + 8, image->big)
					     : load_u32(dynamic + at + 4, image->big);

		if (tag == DT_NULL)
			break;
		if (tag == DT_STRTAB)
			strings = value;
		if (tag == DT_SONAME) {
			soname = value;
			found = true;
		}
	}
	/* glibc's loader relocates the entry in place, except in the vDSO and on some machines. */
	if (strings < image->base)
		strings += image->bias;
	*ret_address = strings + soname;
	return found;
}

static void image_soname(const struct image *image, char *ret_name, size_t size)
{
	ret_name[0] = '\0';
	for (size_t i = 0; i < image->phdr_count; i++) {
		struct segment s = segment_at(image, i);
		AUTO_FREE uint8_t *dynamic = NULL;
		uint64_t address;
		size_t got = 0;

		if (s.type != PT_DYNAMIC || s.file_size > DYNAMIC_MAX ||
			!(dynamic = malloc(s.file_size + 1)))
			continue;
		if (!read_all(image->src, image->bias + s.address, dynamic, (size_t)s.file_size) ||
			!dynamic_soname(dynamic, (size_t)s.file_size, image, &address))
			return;
		if (ms_source_read(image->src, address, ret_name, size - 1, &got, NULL) < 0)
			got = 0;
		ret_name[got] = '\0';
		return;
	}
}

/* What follows ".so." in a library's name, or what stands between the last '-' and ".so". */
static void version_of(const char *name, char *ret_version, size_t size)
{
	const char *so = strstr(name, ".so");
	const char *dash;
	size_t length;

	ret_version[0] = '\0';
	if (!so)
		return;
	if (so[3] == '.' && is_digit(so[4])) {
		snprintf(ret_version, size, "%s", so + 4);
		return;
	}
	for (dash = so; dash > name && *dash != '-'; dash--)
		;
	length = (size_t)(so - dash);
	if (*dash == '-' && is_digit(dash[1]) && length < size)
		snprintf(ret_version, size, "%.*s", (int)(length - 1), dash + 1);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int module_add(struct module_list *out, const struct image *image,
	const struct ms_region *region, uint64_t size)
{
	char soname[NAME_MAX_SIZE], version[NAME_MAX_SIZE];
	struct buf id = {0};
	struct ms_module module = {.base = image->base, .size = size};
	const char *name = base_name(region->path);

	image_soname(image, soname, sizeof(soname));
	image_build_id(image, &id);
	/* The file's own name says more (libz.so.1.2.13) than what it is linked as (libz.so.1). */
	version_of(name, version, sizeof(version));
	if (!version[0])
		version_of(soname, version, sizeof(version));
	module.path = arena_string(&out->strings, region->path);
	module.name = arena_string(&out->strings, *name && *name != '[' ? name
						  : soname[0]		? soname
									: name);
	module.version = arena_string(&out->strings, version);
	module.build_id = arena_string(&out->strings, id.size ? id.data : "");
	buf_done(&id);
	if (!module.path || !module.name || !module.version || !module.build_id ||
		!vec_push(&out->items, module))
		return err_nomem();
	return 0;
}

int modules_from_elf(struct ms_source *src, struct module_list *out)
{
	/* By index: reading does not relist, so the list stays as it is. */
	for (size_t i = 0; i < src->regions.items.count; i++) {
		const struct ms_region *region = &src->regions.items.data[i];
		bool vdso = strcmp(region->path, "[vdso]") == 0;
		struct image image;
		uint64_t size = 0;
		int r = 0;

		if (region->offset != 0 || (region->flags & MS_REGION_DEVICE) ||
			(!vdso && region->path[0] != '/'))
			continue;
		if (image_open(&image, src, region->base))
			size = image_measure(&image);
		if (size)
			r = module_add(out, &image, region, size);
		free(image.phdrs);
		if (r < 0)
			return r;
	}
	return 0;
}
