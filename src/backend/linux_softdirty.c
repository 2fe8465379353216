/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Soft-dirty bits (CONFIG_MEM_SOFT_DIRTY, Documentation/admin-guide/mm/soft-dirty.rst): a write of
 * 4 to /proc/PID/clear_refs clears those of the whole process and protects its pages; the first
 * write to a page sets its bit. What only this file knows is how to lose nothing by that.
 *
 * Between a look at the bits and their clearing the target writes on, and what it writes then
 * leaves no trace. So they are not cleared from look to look: they are cleared once, then
 * everything is read, and from then on the bits pile up. Every page that was written since the
 * clearing is told again in each scan, and looked at again. A write that began before clear_refs
 * returned is in what is read afterwards; one that began later leaves its bit. No thread has to be
 * stopped for that. When so much has piled up that looking at it costs more than to read
 * everything once, the caller has the bits renewed: DIRTY_RENEW, and then everything is read.
 *
 * What changes without a write: a page that was given back and is then read becomes the kernel's
 * page of zeros, whose bit is clear. It is mapped by nobody alone, and not a file's, so pages of
 * that kind are told as well (bit 56, since 4.2), though most of them are what a fork left shared.
 *
 * New mappings count as written throughout, and mappings that were merged may. Pages of files can
 * change with the file or go back to it, and large pages (hugetlb) have no bits: neither is
 * watched. One thing escapes until the bits are renewed: two stretches of memory that trade places
 * by mremap(), which moves whole page tables without a look at the bits (move_normal_pmd(); tried
 * on 6.1). Memory that comes to a new address is a new mapping, which is read.
 *
 * The bits are one set for all who use them. Sources of memsift's keep out of each other's way by a
 * lock on clear_refs. If another program clears them (CRIU does), a page that was
 * told before is seen not to be written any more, and all is read anew; but what was written
 * before any page was told is missed.
 */
#include "backend/linux_softdirty.h"

#include "backend/linux.h"
#include "backend/linux_check.h"

#include "base/err.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

enum { ENTRY_COUNT = 4096, RUNS = 64 };

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_EXCLUSIVE (1ull << 56)
#define ENTRY_SOFT_DIRTY (1ull << 55)

/* A page that was just written for the first time has the bit, where there is one. */
static bool kernel_has_bits(void)
{
	AUTO_CLOSE int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t page = os_page_size();
	volatile char *own = os_pages_new(page);
	uint64_t entry = 0;
	off_t at = (off_t)((uintptr_t)own / page * sizeof(entry));

	if (own)
		*own = 1;
	if (!own || fd < 0 || pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		entry = 0;
	if (own)
		os_pages_free((void *)(uintptr_t)own, page);
	return entry & ENTRY_SOFT_DIRTY;
}

int linux_softdirty_renew(struct ms_source *src, struct dirty_request *request)
{
	struct linux_source *ls = linux_of(src);

	(void)request;
	ls->told_page = 0;
	if (write(ls->clear_refs, "4", 1) == 1)
		return 0;
	if (!linux_alive(ls))
		return linux_gone(src);
	return err_errno(err_from_errno(errno), errno,
		"pid %u: its soft-dirty bits cannot be cleared", src->process.pid);
}

int linux_softdirty_begin(struct ms_source *src, struct dirty_request *request)
{
	struct linux_source *ls = linux_of(src);
	AUTO_CLOSE int fd = -1;
	int r;

	if (ls->pages.fd < 0 || !kernel_has_bits())
		return err_set(MS_ERR_UNSUPPORTED, "this kernel has no soft-dirty bits");
	fd = openat(ls->space, "clear_refs", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return linux_access_error(src->process.pid, errno, "clear its soft-dirty bits");
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		return err_set(MS_ERR_UNSUPPORTED,
			"pid %u: another source or memsift uses its soft-dirty bits already",
			src->process.pid);
	ls->clear_refs = take_fd(&fd);
	r = linux_softdirty_renew(src, request);
	if (r < 0) {
		cleanup_close(&ls->clear_refs);
		ls->clear_refs = -1;
		return r;
	}
	request->ret_piles_up = true;
	return 0;
}

int linux_softdirty_watch(struct ms_source *src, struct dirty_request *request)
{
	const struct ms_region *region = region_find(&src->regions, request->base);

	if (region && !(region->perm & MS_PERM_SHARED) && !(region->flags & MS_REGION_DEVICE) &&
		!region->inode && !region->dev_major && !region->dev_minor)
		return 0;
	return err_set(MS_ERR_UNSUPPORTED,
		"pid %u: soft-dirty bits do not tell of memory with a file at 0x%llx",
		src->process.pid, (unsigned long long)request->base);
}

static bool is_told(uint64_t entry)
{
	if (!(entry & (ENTRY_PRESENT | ENTRY_SWAPPED)))
		return false;
	return (entry & ENTRY_SOFT_DIRTY) ||
	       ((entry & ENTRY_PRESENT) && !(entry & ENTRY_EXCLUSIVE));
}

/* Appends a page; false when there is no room for it. */
static bool tell(struct dirty_request *request, uint64_t base, uint64_t page)
{
	struct run *last = request->ret_count ? &request->runs[request->ret_count - 1] : NULL;

	if (last && last->base + last->size == base) {
		last->size += page;
		return true;
	}
	if (request->ret_count == request->room)
		return false;
	request->runs[request->ret_count++] = (struct run){base, page, MS_STATE_DATA};
	return true;
}

/* Goes through the entries of [*at, end); false when there is no more room. */
static int scan_entries(
	struct ms_source *src, struct dirty_request *request, uint64_t *at, uint64_t end)
{
	struct linux_source *ls = linux_of(src);
	uint64_t entries[ENTRY_COUNT], page = src->page_size;

	while (*at < end) {
		size_t want = (size_t)min_u64((end - *at) / page, ENTRY_COUNT);
		ssize_t got = pread(ls->pages.fd, entries, want * sizeof(entries[0]),
			(off_t)(*at / page * sizeof(entries[0])));

		if (got < (ssize_t)sizeof(entries[0]))
			return linux_alive(ls) ? err_errno(MS_ERR_IO, errno,
							 "pid %u: its pagemap cannot be read",
							 src->process.pid)
					       : linux_gone(src);
		for (size_t i = 0; i < (size_t)got / sizeof(entries[0]); i++, *at += page) {
			if (!is_told(entries[i]))
				continue;
			if (!tell(request, *at, page))
				return false;
			if (!ls->told_page && (entries[i] & ENTRY_SOFT_DIRTY))
				ls->told_page = *at;
		}
	}
	return true;
}

int linux_softdirty_scan(struct ms_source *src, struct dirty_request *request)
{
	struct linux_source *ls = linux_of(src);
	uint64_t at = request->base;
	int r = true;

	request->ret_count = 0;
	while (r > 0 && at < request->end) {
		struct linux_page_run there[RUNS];
		size_t count = 0;
		uint64_t reached = request->end;

		/* Where holes can be skipped, they are. */
		if (!ls->pages.scan)
			r = scan_entries(src, request, &at, request->end);
		else if (linux_pages_find(&ls->pages, at, request->end,
				 LINUX_PAGE_PRESENT | LINUX_PAGE_SWAPPED, there, RUNS, &count,
				 &reached) < 0)
			return linux_gone(src);
		for (size_t i = 0; i < count && r > 0; i++) {
			at = there[i].base;
			r = scan_entries(src, request, &at, there[i].end);
		}
		if (r > 0)
			at = max_u64(at, reached);
	}
	request->ret_reached = at;
	return r < 0 ? r : 0;
}

bool linux_softdirty_disturbed(struct ms_source *src)
{
	struct linux_source *ls = linux_of(src);
	uint64_t entry;
	off_t at = (off_t)(ls->told_page / src->page_size * sizeof(entry));

	if (!ls->told_page || pread(ls->pages.fd, &entry, sizeof(entry), at) != sizeof(entry))
		return false;
	if (entry & ENTRY_SOFT_DIRTY)
		return false;
	ls->told_page = 0;
	/* A page that was given back has lost its bit by that. */
	return entry & (ENTRY_PRESENT | ENTRY_SWAPPED);
}
