/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of a process are in memory, on swap or guards, without touching any of them. One
 * interface over two: PAGEMAP_SCAN (Linux >= 6.7), which skips holes at page-table speed, and the
 * eight bytes that /proc/PID/pagemap has for every page.
 */
#ifndef MS_BACKEND_LINUX_PAGES_H
#define MS_BACKEND_LINUX_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Categories of a page, with the kernel's numbers. */
enum {
	LINUX_PAGE_WRITTEN = 2, /* since its write protection */
	LINUX_PAGE_FILE = 4,	/* belongs to a file or to shared memory */
	LINUX_PAGE_PRESENT = 8,
	LINUX_PAGE_SWAPPED = 16,
	LINUX_PAGE_GUARD = 256,
	/* A number of our own: anonymous and in memory, but not this process's alone. */
	LINUX_PAGE_SHARED = 1 << 20,
};

struct linux_pages {
	int fd;	    /* /proc/PID/pagemap; -1 where it cannot be had */
	bool scan;  /* the kernel has PAGEMAP_SCAN */
	bool guard; /* and tells guards from swapped pages by it */
};

/* The layout of the kernel's struct page_region. */
struct linux_page_run {
	uint64_t base, end, categories;
};

/*
 * Opens pagemap below an open /proc/PID and finds out what the kernel can do. To ask memsift's own
 * once would not do: where its program file has capabilities, that is root's.
 */
void linux_pages_open(int dir, struct linux_pages *ret_pages);

/*
 * Fills at most `room` ascending runs of pages within [base, end) that were written since they
 * were last protected by this, and protects them anew, both in one (Linux >= 6.7). Fails with
 * -EPERM where nothing tracks writes.
 */
int linux_pages_written(const struct linux_pages *pages, uint64_t base, uint64_t end,
	struct linux_page_run *runs, size_t room, size_t *ret_count, uint64_t *ret_end);

/*
 * Fills at most `room` ascending runs of pages within [base, end) that are present, swapped or
 * guards; both ends are multiples of the page size. What lies between is neither. *ret_end tells
 * how far it came. Only categories in `wanted` are told, and only they keep runs apart. Fails
 * with -errno and sets no text.
 */
int linux_pages_find(const struct linux_pages *pages, uint64_t base, uint64_t end, uint64_t wanted,
	struct linux_page_run *runs, size_t room, size_t *ret_count, uint64_t *ret_end);

#endif
