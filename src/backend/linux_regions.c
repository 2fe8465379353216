/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of regions. The text of maps is the quickest way to it: 0.4 us a region, against 0.8
 * us with one PROCMAP_QUERY (Linux >= 6.11) each (measured on 6.18). That call is asked only
 * where the text is ambiguous: \012 in a name is a newline, or those four characters. Before it
 * came, the link in map_files tells, which escapes nothing (do_proc_readlink() in fs/proc/base.c).
 *
 * smaps takes several times as long, since the kernel adds up the pages of each region. It is
 * read only where its flags must tell whether strange mappings are devices, and on kernels that
 * count present pages in no better way.
 */
#include "backend/linux.h"
#include "backend/linux_file.h"
#include "backend/linux_maps.h"
#include "backend/linux_stacks.h"
#include "base/buf.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>

enum {
	TEXT_PIECE = 64 * 1024,
	TEXT_MAX = 1 << 30, /* of maps or smaps: the default limit of 65,530 regions fits well */
	SCAN_RUNS = 512,
};

/* The kernel's struct procmap_query (include/uapi/linux/fs.h). */
struct query {
	uint64_t size, flags, address;
	uint64_t start, end, perm, page_size, offset, inode;
	uint32_t dev_major, dev_minor, name_size, build_id_size;
	uint64_t name, build_id;
};

#define QUERY_REQUEST _IOWR('f', 17, struct query)

/* Whether its last line is that of the kernel's own page on x86-64, behind which nothing comes. */
static bool ends_with_gate(const struct buf *text)
{
	static const char gate[] = "ffffffffff600000-ffffffffff601000 ";
	const char *before = text->size ? memrchr(text->data, '\n', text->size - 1) : NULL;

	return before && text->data[text->size - 1] == '\n' &&
	       strncmp(before + 1, gate, sizeof(gate) - 1) == 0;
}

static int read_whole(int fd, struct buf *text)
{
	char piece[TEXT_PIECE];
	ssize_t got = 1;

	while (!text->failed && !ends_with_gate(text) &&
		(got = pread(fd, piece, sizeof(piece), (off_t)text->size)) > 0) {
		if (text->size > TEXT_MAX)
			return err_set(MS_ERR_FORMAT, "the memory map is beyond all measure");
		buf_add(text, piece, (size_t)got);
	}
	if (got < 0)
		return err_errno(err_from_errno(errno), errno, "cannot read the memory map");
	return text->failed ? err_nomem() : 0;
}

/* Lists what a maps or smaps file has. */
static int load(int fd, struct region_list *out)
{
	CLEANUP(buf_done) struct buf text = {0};
	int r = read_whole(fd, &text);

	region_list_clear(out);
	return r < 0 || !text.size ? r : linux_maps_parse(text.data, text.size, out);
}

/* Appends a region of another list, with its own copy of the name. */
static int region_append(struct region_list *out, const struct ms_region *region)
{
	struct ms_region copy = *region;

	copy.path = arena_string(&out->strings, region->path);
	return copy.path && vec_push(&out->items, copy) ? 0 : err_nomem();
}

static bool regions_meet(const struct ms_region *a, const struct ms_region *b)
{
	return a->base < b->base + b->size && b->base < a->base + a->size;
}

static int region_order(const void *a, const void *b)
{
	const struct ms_region *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

/*
 * A fork leaves out what the target asked it to (MADV_DONTFORK), or gives the child empty pages
 * (MADV_WIPEONFORK): such regions are the target's own, as they are by now.
 */
static int add_left_out(const struct linux_space *original, struct region_list *out)
{
	AUTO_CLOSE int fd = openat(original->space, "smaps", O_RDONLY | O_CLOEXEC);
	CLEANUP(region_list_done) struct region_list all = {0};
	size_t twins = out->items.count;
	int r;

	/* Without it they would be missing, and nobody would know. */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return err_errno(MS_ERR_IO, errno, "cannot read the memory map of the original");
	r = fd < 0 ? 0 : load(fd, &all);
	/* It may end at any time: what it left out is gone then, and the twin is still there. */
	if (r == MS_ERR_GONE)
		r = 0;
	for (size_t i = 0; i < all.items.count && r == 0; i++) {
		const struct ms_region *region = &all.items.data[i];
		bool met = false;

		if (!(region->flags & MS_REGION_LIVE))
			continue;
		for (size_t k = 0; k < twins; k++)
			if (regions_meet(&out->items.data[k], region)) {
				out->items.data[k].flags |= MS_REGION_LIVE;
				out->items.data[k].resident = region->resident;
				met = true;
			}
		if (!met)
			r = region_append(out, region);
	}
	vec_sort(&out->items, region_order);
	return r;
}

static int load_smaps(struct ms_source *src, struct region_list *out)
{
	AUTO_CLOSE int fd = openat(linux_of(src)->space, "smaps", O_RDONLY | O_CLOEXEC);

	/* Without smaps (CONFIG_PROC_PAGE_MONITOR) maps has to do. */
	return load(fd < 0 ? linux_of(src)->maps : fd, out);
}

static int load_map(struct ms_source *src, bool smaps, struct region_list *out)
{
	const struct linux_source *ls = linux_of(src);
	int r = smaps ? load_smaps(src, out) : load(ls->maps, out);

	if (r == 0 && ls->original)
		return add_left_out(ls->original, out);
	for (size_t i = 0; i < out->items.count; i++)
		out->items.data[i].flags &= ~(unsigned)MS_REGION_LIVE;
	return r;
}

/* What its link in map_files says; else as it is. */
static const char *linked_name(
	const struct linux_source *ls, const struct ms_region *region, struct arena *strings)
{
	char link[64], name[PATH_MAX];
	ssize_t size;

	snprintf(link, sizeof(link), "map_files/%llx-%llx", (unsigned long long)region->base,
		(unsigned long long)(region->base + region->size));
	size = readlinkat(ls->dir, link, name, sizeof(name));
	return size > 0 && (size_t)size < sizeof(name) ? arena_copy(strings, name, (size_t)size)
						       : region->path;
}

/* The region's name without any escapes, as the kernel tells it to those who ask; else as it is. */
static const char *exact_name(
	const struct linux_source *ls, const struct ms_region *region, struct arena *strings)
{
	char name[PATH_MAX];
	struct query query = {
		.size = sizeof(query),
		.address = region->base,
		.name = (uintptr_t)name,
		.name_size = sizeof(name),
	};

	if (ioctl(ls->maps, QUERY_REQUEST, &query) < 0)
		return linked_name(ls, region, strings);
	if (query.inode != region->inode || query.name_size == 0 || query.name_size > sizeof(name))
		return region->path;
	return arena_copy(strings, name, query.name_size - 1);
}

/*
 * The kernel appends " (deleted)" to the name of a file that has none any more; a file may also
 * be called so.
 */
static int mark_deleted(struct ms_source *src, struct ms_region *region, enum linux_place place,
	struct arena *strings)
{
	static const char suffix[] = " (deleted)";
	size_t length = strlen(region->path), cut = sizeof(suffix) - 1;
	char *name;

	if (length < cut || strcmp(region->path + length - cut, suffix) != 0 ||
		!linux_maps_backed(region))
		return 0;
	if (place != LINUX_PLACE_INTERNAL && linux_file_has_name(src, region))
		return 0;
	if (!(name = arena_copy(strings, region->path, length - cut)))
		return err_nomem();
	region->path = name;
	region->flags |= MS_REGION_DELETED;
	return 0;
}

static bool begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, list[i]) == 0)
			return true;
	return false;
}

/* Pages of the kernel's own that cannot be read from outside. */
static bool is_kernel_page(const char *path)
{
	static const char *const names[] = {"[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]"};

	return path[0] == '[' && is_one_of(path, names, ARRAY_SIZE(names));
}

static bool is_device_path(const char *path)
{
	static const char *const memory[] = {"/dev/shm/", "/dev/hugepages/", "/dev/mqueue/"};

	if (!begins_with(path, "/dev/"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++)
		if (begins_with(path, memory[i]))
			return false;
	return strcmp(path, "/dev/zero") != 0;
}

/* Mappings of things that are no ordinary files; the flags in smaps tell what they are. */
static bool is_strange(const char *path, enum linux_place place)
{
	return place == LINUX_PLACE_UNKNOWN || begins_with(path, "/sys/") ||
	       begins_with(path, "/proc/") || (path[0] != '/' && path[0] != '\0');
}

struct marker {
	struct ms_source *src;
	struct region_list *out;
	bool strange;		      /* smaps should be consulted */
	const struct ms_region *last; /* the last one with a file, and where that lives */
	enum linux_place place;
};

static enum linux_place place_of(struct marker *marker, const struct ms_region *region)
{
	const struct ms_region *last = marker->last;

	if (!last || last->dev_major != region->dev_major || last->dev_minor != region->dev_minor)
		marker->place = linux_place(marker->src, region->dev_major, region->dev_minor);
	marker->last = region;
	return marker->place;
}

static int mark_backed(struct marker *marker, struct ms_region *region)
{
	static const char *const anonymous[] = {"/dev/zero", "/anon_hugepage"};
	enum linux_place place = place_of(marker, region);
	int r;

	/* First of all: what may block must not be looked at any closer. */
	if (place == LINUX_PLACE_REMOTE || place == LINUX_PLACE_UNKNOWN)
		region->flags |= MS_REGION_REMOTE;
	r = mark_deleted(marker->src, region, place, &marker->out->strings);
	if (r < 0)
		return r;
	if (place == LINUX_PLACE_INTERNAL) {
		if (is_one_of(region->path, anonymous, ARRAY_SIZE(anonymous)))
			region->flags |= MS_REGION_ANONYMOUS;
		return 0;
	}
	if (is_device_path(region->path) &&
		linux_file_type(marker->src, region) != LINUX_FILE_REGULAR)
		region->flags |= MS_REGION_DEVICE;
	else if (is_strange(region->path, place))
		marker->strange = true;
	return 0;
}

/* Sets names and flags. */
static int mark(struct ms_source *src, struct region_list *out, bool *ret_strange)
{
	struct marker marker = {.src = src, .out = out};

	for (size_t i = 0; i < out->items.count; i++) {
		struct ms_region *region = &out->items.data[i];
		int r;

		if (strchr(region->path, '\n'))
			region->path = exact_name(linux_of(src), region, &out->strings);
		if (!region->path)
			return err_nomem();
		if (is_kernel_page(region->path))
			region->flags |= MS_REGION_DEVICE;
		if (linux_maps_backed(region) && (r = mark_backed(&marker, region)) < 0)
			return r;
	}
	*ret_strange = marker.strange;
	return 0;
}

/* Counts the present pages of each region in one walk over all of them. */
static void count_resident(const struct linux_source *ls, struct region_list *out)
{
	struct ms_region *region = out->items.data, *end = region + out->items.count;
	struct linux_page_run runs[SCAN_RUNS];
	uint64_t at, limit;
	size_t count;

	/* The kernel's own page at the top end belongs to no address space. */
	while (end > region && strcmp(end[-1].path, "[vsyscall]") == 0)
		end--;
	if (region == end)
		return;
	at = region->base;
	limit = end[-1].base + end[-1].size;
	for (struct ms_region *each = region; each < end; each++)
		each->resident = each->flags & MS_REGION_LIVE ? each->resident : 0;
	while (at < limit && linux_pages_find(&ls->pages, at, limit, LINUX_PAGE_PRESENT, runs,
				     SCAN_RUNS, &count, &at) == 0)
		for (size_t i = 0; i < count; i++) {
			while (region < end && region->base + region->size <= runs[i].base)
				region++;
			for (struct ms_region *r = region; r < end && r->base < runs[i].end; r++)
				r->resident += r->flags & MS_REGION_LIVE
						       ? 0
						       : min_u64(r->base + r->size, runs[i].end) -
								 max_u64(r->base, runs[i].base);
		}
	for (; at < limit && region < end; region++)
		region->resident = UINT64_MAX;
}

static int set_kinds(struct ms_source *src, struct region_list *out)
{
	struct linux_stacks stacks = {0};
	int r = linux_stacks_find(src, out, &stacks);

	if (r == 0)
		linux_maps_classify(out, stacks.items.data, stacks.items.count);
	free(stacks.items.data);
	return r;
}

int linux_regions(struct ms_source *src, struct region_list *out)
{
	struct linux_source *ls = linux_of(src);
	bool strange = false;
	int r = load_map(src, ls->smaps_always, out);

	if (r == 0)
		r = mark(src, out, &strange);
	if (r == 0 && strange && !ls->smaps_always) {
		r = load_map(src, true, out);
		if (r == 0)
			r = mark(src, out, &strange);
	}
	if (r == 0 && ls->pages.scan)
		count_resident(ls, out);
	if (r == 0)
		r = set_kinds(src, out);
	/* Nothing of what was read counts if the process became another one meanwhile. */
	if ((r == 0 || r == MS_ERR_GONE) && !linux_alive(ls))
		return linux_gone(src);
	return r;
}
