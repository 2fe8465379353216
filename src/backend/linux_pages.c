/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interface of PAGEMAP_SCAN is in include/uapi/linux/fs.h since Linux 6.7, its category for
 * guards since 6.18 at the latest; the bits of a pagemap entry are in
 * Documentation/admin-guide/mm/pagemap.rst (56, mapped by one process alone, since 4.2; 58, guard,
 * since 6.15). Guard pages came with 6.13: in between, and to a kernel that is not asked for them,
 * they look swapped, as do on old kernels pages that carry nothing but a userfaultfd
 * write-protection mark.
 */
#include "backend/linux_pages.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN_REQUEST _IOWR('f', 16, struct scan_arg)

enum {
	MARKS = LINUX_PAGE_PRESENT | LINUX_PAGE_SWAPPED,
	ENTRY_COUNT = 4096,
};

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_FILE (1ull << 61)
#define ENTRY_GUARD (1ull << 58)
#define ENTRY_EXCLUSIVE (1ull << 56)

static int scan(const struct linux_pages *pages, struct scan_arg *arg)
{
	int r = ioctl(pages->fd, SCAN_REQUEST, arg);

	return r < 0 ? -errno : r;
}

/* Whether a scan for these categories is understood; an empty range is checked but not walked. */
static bool understands(const struct linux_pages *pages, uint64_t categories)
{
	struct scan_arg arg = {
		.size = sizeof(arg), .category_anyof_mask = categories, .return_mask = categories};

	return scan(pages, &arg) >= 0;
}

void linux_pages_open(int dir, struct linux_pages *ret_pages)
{
	struct linux_pages pages = {.fd = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC)};

	if (pages.fd >= 0) {
		pages.guard = understands(&pages, MARKS | LINUX_PAGE_FILE | LINUX_PAGE_GUARD);
		pages.scan = pages.guard || understands(&pages, MARKS | LINUX_PAGE_FILE);
	}
	*ret_pages = pages;
}

static int find_by_scan(const struct linux_pages *pages, uint64_t base, uint64_t end,
	uint64_t wanted, struct linux_page_run *runs, size_t room, size_t *ret_count,
	uint64_t *ret_end)
{
	uint64_t guard = pages->guard ? LINUX_PAGE_GUARD : 0;
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = base,
		.end = end,
		.vec = (uintptr_t)runs,
		.vec_len = room,
		.category_anyof_mask = wanted & (MARKS | guard),
		.return_mask = wanted & (MARKS | LINUX_PAGE_FILE | guard),
	};
	int r = scan(pages, &arg);

	if (r < 0)
		return r;
	for (int i = 0; i < r; i++)
		if (runs[i].categories & LINUX_PAGE_GUARD)
			runs[i].categories = LINUX_PAGE_GUARD;
	*ret_count = (size_t)r;
	*ret_end = arg.walk_end;
	return 0;
}

static uint64_t entry_categories(uint64_t entry)
{
	if (entry & ENTRY_GUARD)
		return LINUX_PAGE_GUARD;
	if (entry & ENTRY_PRESENT)
		return LINUX_PAGE_PRESENT | (entry & ENTRY_FILE ? LINUX_PAGE_FILE : 0) |
		       (entry & (ENTRY_FILE | ENTRY_EXCLUSIVE) ? 0 : LINUX_PAGE_SHARED);
	if (entry & ENTRY_SWAPPED)
		return LINUX_PAGE_SWAPPED | (entry & ENTRY_FILE ? LINUX_PAGE_FILE : 0);
	return 0;
}

static int find_by_entries(const struct linux_pages *pages, uint64_t base, uint64_t end,
	uint64_t wanted, struct linux_page_run *runs, size_t room, size_t *ret_count,
	uint64_t *ret_end)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t entries[ENTRY_COUNT];
	size_t count = 0;

	while (base < end) {
		size_t want = (size_t)min_u64((end - base) / page, ENTRY_COUNT);
		ssize_t got = pread(pages->fd, entries, want * sizeof(entries[0]),
			(off_t)(base / page * sizeof(entries[0])));

		if (got < (ssize_t)sizeof(entries[0]))
			return got < 0 ? -errno : -ESRCH;
		for (size_t i = 0; i < (size_t)got / sizeof(entries[0]); i++, base += page) {
			uint64_t categories = entry_categories(entries[i]) & wanted;
			struct linux_page_run *last = count ? &runs[count - 1] : NULL;

			if (!categories)
				continue;
			if (last && last->end == base && last->categories == categories) {
				last->end = base + page;
				continue;
			}
			if (count == room) {
				*ret_count = count;
				*ret_end = base;
				return 0;
			}
			runs[count++] = (struct linux_page_run){base, base + page, categories};
		}
	}
	*ret_count = count;
	*ret_end = end;
	return 0;
}

int linux_pages_find(const struct linux_pages *pages, uint64_t base, uint64_t end, uint64_t wanted,
	struct linux_page_run *runs, size_t room, size_t *ret_count, uint64_t *ret_end)
{
	size_t count, swapped = 0;
	int r;

	/* What is shared only the entries tell. */
	if (!pages->scan || (wanted & LINUX_PAGE_SHARED))
		return find_by_entries(pages, base, end, wanted, runs, room, ret_count, ret_end);
	r = find_by_scan(pages, base, end, wanted, runs, room, &count, ret_end);
	if (r < 0)
		return r;
	while (swapped < count && !(runs[swapped].categories & LINUX_PAGE_SWAPPED))
		swapped++;
	/* Where the scan cannot tell guards from swapped pages, the entries may. */
	if (swapped == 0 && count && !pages->guard)
		return find_by_entries(
			pages, base, runs[0].end, wanted, runs, room, ret_count, ret_end);
	if (swapped < count && !pages->guard) {
		count = swapped;
		*ret_end = runs[swapped].base;
	}
	*ret_count = count;
	return 0;
}

int linux_pages_written(const struct linux_pages *pages, uint64_t base, uint64_t end,
	struct linux_page_run *runs, size_t room, size_t *ret_count, uint64_t *ret_end)
{
	/* PM_SCAN_WP_MATCHING and PM_SCAN_CHECK_WPASYNC */
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = 1 | 2,
		.start = base,
		.end = end,
		.vec = (uintptr_t)runs,
		.vec_len = room,
		.category_mask = LINUX_PAGE_WRITTEN,
		/* Holes count as written, too, and protecting them would fill page tables. */
		.category_anyof_mask = MARKS,
		.return_mask = LINUX_PAGE_WRITTEN,
	};
	int r = scan(pages, &arg);

	if (r < 0)
		return r;
	*ret_count = (size_t)r;
	*ret_end = arg.walk_end;
	return 0;
}
