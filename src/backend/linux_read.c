/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages hold data, and their bytes. To touch a page that is not in memory would put one
 * there: in the target, at its expense. So the pages are looked up right before they are read,
 * too, and what is not there is taken from the file behind the region or not at all. That also
 * keeps memsift from waiting on a page that some program serves (FUSE, userfaultfd).
 */
#include "backend/linux.h"
#include "backend/linux_file.h"
#include "backend/linux_maps.h"
#include "backend/linux_vdso.h"

#include "base/err.h"

#include <errno.h>
#include <sys/uio.h>

enum {
	RESIDENT_RUNS = 256,
	READ_RUNS = 64,
};

/* Where holes cannot be skipped, the walk through that much takes some 20 ms, and ends there. */
#define WALK_MAX (UINT64_C(16) << 30)

/* ---- Which pages hold data ------------------------------------------------------------- */

struct filler {
	struct ms_source *src;
	const struct ms_region *region;
	uint64_t base, end; /* what was asked for; it may begin or end inside a page */
	struct run *runs;
	size_t room, count;
	struct linux_file file;
	bool file_known;
};

/* Appends a stretch, cut to what was asked for; false when there is no room for it. */
static bool put(struct filler *filler, uint64_t base, uint64_t end, enum ms_state state)
{
	struct run *last = filler->count ? &filler->runs[filler->count - 1] : NULL;

	base = max_u64(base, filler->base);
	end = min_u64(end, filler->end);
	if (base >= end)
		return true;
	if (last && last->state == state) {
		last->size += end - base;
		return true;
	}
	if (filler->count == filler->room)
		return false;
	filler->runs[filler->count++] = (struct run){base, end - base, state};
	return true;
}

/* Pages of a regular file that the target has not touched. */
static bool put_file(struct filler *filler, uint64_t base, uint64_t end)
{
	const struct ms_region *region = filler->region;

	while (base < end) {
		uint64_t offset = base - region->base + region->offset, data_end;
		bool data =
			linux_file_is_data(&filler->file, offset, offset + (end - base), &data_end);

		/* Whatever the file system says, each round gets on. */
		if (data_end <= offset)
			data_end = offset + (end - base);
		if (!put(filler, base, base + (data_end - offset),
			    data ? MS_STATE_DATA : MS_STATE_ABSENT))
			return false;
		base += data_end - offset;
	}
	return true;
}

/* Whether pages that are not in memory can hold nothing. */
static bool is_plain_memory(const struct ms_region *region)
{
	return !linux_maps_backed(region) ||
	       ((region->flags & MS_REGION_ANONYMOUS) && !(region->perm & MS_PERM_SHARED));
}

/* Pages that are neither in memory nor on swap. */
static bool put_absent(struct filler *filler, uint64_t base, uint64_t end)
{
	const struct ms_region *region = filler->region;

	if (base >= end)
		return true;
	if (linux_vdso(filler->src, region))
		return put(filler, base, end, MS_STATE_DATA);
	if (is_plain_memory(region))
		return put(filler, base, end, MS_STATE_ABSENT);
	if (region->flags & MS_REGION_REMOTE)
		return put(filler, base, end, MS_STATE_REMOTE_FILE);
	if (!filler->file_known)
		linux_file_open(filler->src, region, &filler->file);
	filler->file_known = true;
	if (filler->file.type == LINUX_FILE_REGULAR)
		return put_file(filler, base, end);
	return put(filler, base, end,
		filler->file.type == LINUX_FILE_ZERO	? MS_STATE_ABSENT
		: filler->file.type == LINUX_FILE_SHORT ? MS_STATE_IO_ERROR
							: MS_STATE_NO_ACCESS);
}

static bool put_page_run(struct filler *filler, const struct linux_page_run *run)
{
	enum ms_state state = MS_STATE_DATA;

	if (run->categories & LINUX_PAGE_GUARD)
		state = MS_STATE_GUARD;
	else if (run->categories & LINUX_PAGE_SWAPPED)
		state = MS_STATE_SWAPPED;
	return put(filler, run->base, run->end, state);
}

static void fill(struct filler *filler)
{
	const struct linux_space space = linux_space_of(filler->src, filler->region);
	uint64_t page = filler->src->page_size;
	uint64_t at = align_down(filler->base, page), end;
	struct linux_page_run runs[RESIDENT_RUNS];

	if (!space.pages.scan)
		filler->end = min_u64(filler->end, at + WALK_MAX);
	end = align_up(filler->end, page);
	while (at < end) {
		/* One run may need two of ours, so there is no use in more than there is room. */
		size_t room = (size_t)min_u64(filler->room - filler->count + 1, RESIDENT_RUNS);
		size_t count = 0;
		uint64_t reached = at, before = at;
		int r = linux_pages_find(&space.pages, at, end,
			LINUX_PAGE_PRESENT | LINUX_PAGE_SWAPPED | LINUX_PAGE_GUARD, runs, room,
			&count, &reached);

		for (size_t i = 0; r == 0 && i < count; i++) {
			if (!put_absent(filler, at, runs[i].base) ||
				!put_page_run(filler, &runs[i]))
				return;
			at = runs[i].end;
		}
		if (!put_absent(filler, at, reached))
			return;
		at = max_u64(at, reached);
		/* Of what cannot be asked nothing is known; reading it will tell. */
		if (at == before) {
			put(filler, at, end, MS_STATE_DATA);
			return;
		}
	}
}

int linux_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	struct filler filler = {
		.src = src,
		.region = region,
		.base = base,
		.end = base + size,
		.runs = runs,
		.room = room,
		.file.fd = -1,
	};

	if (linux_of(src)->pages.fd < 0 || (region->flags & MS_REGION_DEVICE))
		put(&filler, base, base + size, MS_STATE_DATA);
	else
		fill(&filler);
	linux_file_close(&filler.file);
	/* An address space that is gone looks empty. */
	if (!linux_alive(linux_of(src)))
		return linux_gone(src);
	*ret_count = filler.count;
	return 0;
}

/* ---- Reading --------------------------------------------------------------------------- */

struct job {
	struct ms_source *src;
	struct linux_space space;
	uint64_t addr; /* of buf[0] */
	char *buf;
	const struct ms_region *region; /* that `file` belongs to */
	struct linux_file file;
};

static size_t read_vm(const struct job *job, uint64_t addr, void *buf, size_t size)
{
	struct linux_source *ls = linux_of(job->src);
	struct iovec local = {buf, size}, remote = {(void *)(uintptr_t)addr, size};
	ssize_t got;

	if (atomic_load_explicit(&ls->mem_only, memory_order_relaxed))
		return 0;
	got = process_vm_readv(job->space.tid, &local, 1, &remote, 1, 0);
	/* A filter of system calls may forbid this one and yet allow /proc/PID/mem. */
	if (got < 0 && (errno == EPERM || errno == ENOSYS))
		atomic_store_explicit(&ls->mem_only, true, memory_order_relaxed);
	return got > 0 ? (size_t)got : 0;
}

/* Reads memory as it is; what only a debugger may read (no access, execute only), too. */
static size_t read_memory(struct job *job, uint64_t addr, uint64_t end, uint64_t categories)
{
	char *buf = job->buf + (addr - job->addr);
	size_t size = (size_t)(end - addr);
	/*
	 * process_vm_readv() pins the pages it reads, and to pin a page that a fork left shared
	 * the kernel first makes the target a copy of its own (Linux >= 5.19,
	 * gup_must_unshare() in mm/internal.h): the target would grow. pread() does not pin.
	 */
	size_t done = categories & LINUX_PAGE_SHARED ? 0 : read_vm(job, addr, buf, size);

	while (done < size) {
		ssize_t got = pread(job->space.mem, buf + done, size - done, (off_t)(addr + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

/* Reads the part of a region that the target has not touched from the file behind it. */
static size_t read_untouched(struct job *job, uint64_t addr, uint64_t end)
{
	const struct ms_region *region = region_find(&job->src->regions, addr);
	const uint8_t *vdso = region ? linux_vdso(job->src, region) : NULL;

	if (vdso) {
		end = min_u64(end, region->base + region->size);
		memcpy(job->buf + (addr - job->addr), vdso + (addr - region->base),
			(size_t)(end - addr));
		return (size_t)(end - addr);
	}
	if (!region || is_plain_memory(region) || (region->flags & MS_REGION_REMOTE))
		return 0;
	if (job->region != region) {
		linux_file_close(&job->file);
		linux_file_open(job->src, region, &job->file);
		job->region = region;
	}
	if (job->file.type != LINUX_FILE_REGULAR)
		return 0;
	end = min_u64(end, region->base + region->size);
	return linux_file_read(&job->file, addr - region->base + region->offset,
		job->buf + (addr - job->addr), (size_t)(end - addr));
}

static bool read_gap(struct job *job, uint64_t *at, uint64_t end)
{
	while (*at < end) {
		size_t got = read_untouched(job, *at, end);

		if (got == 0)
			return false;
		*at += got;
	}
	return true;
}

/* Reads from *at on until the end or the first byte that cannot be had. */
static void read_pages(struct job *job, uint64_t *at, uint64_t end)
{
	uint64_t page = job->src->page_size, limit = align_up(end, page);
	struct linux_page_run runs[READ_RUNS];
	uint64_t reached, before;
	size_t count;

	do {
		before = *at;
		if (linux_pages_find(&job->space.pages, align_down(*at, page), limit,
			    LINUX_PAGE_PRESENT | LINUX_PAGE_SWAPPED | LINUX_PAGE_GUARD |
				    LINUX_PAGE_SHARED,
			    runs, READ_RUNS, &count, &reached) < 0)
			return;
		for (size_t i = 0; i < count; i++) {
			uint64_t run_end = min_u64(runs[i].end, end);

			if (!read_gap(job, at, runs[i].base) ||
				(runs[i].categories & LINUX_PAGE_GUARD))
				return;
			*at += read_memory(job, *at, run_end, runs[i].categories);
			if (*at < run_end)
				return;
		}
		if (!read_gap(job, at, min_u64(reached, end)))
			return;
	} while (before < *at && *at < end);
}

/*
 * Device memory is read only if someone insists, and never in one go with anything else; nor is
 * what the twin does not have. Cuts [addr, *end) where such a region begins or ends, and returns
 * the one that it begins with.
 */
static const struct ms_region *cut_at_special(
	const struct ms_source *src, uint64_t addr, uint64_t *end)
{
	const struct ms_region *region = region_find_from(&src->regions, addr);
	const struct ms_region *list_end =
		region ? src->regions.items.data + src->regions.items.count : NULL;

	for (; region && region < list_end && region->base < *end; region++) {
		if (!(region->flags & (MS_REGION_DEVICE | MS_REGION_LIVE)))
			continue;
		if (region->base > addr) {
			*end = region->base;
			return NULL;
		}
		*end = min_u64(*end, region->base + region->size);
		return region;
	}
	return NULL;
}

int linux_read(struct ms_source *src, uint64_t addr, void *buf, size_t size, size_t *ret_size)
{
	struct job job = {.src = src, .addr = addr, .buf = buf, .file.fd = -1};
	const struct ms_region *special;
	uint64_t at = addr, end;

	if (!add_u64(addr, size, &end))
		end = UINT64_MAX;
	special = cut_at_special(src, addr, &end);
	job.space = linux_space_of(src, special);
	if ((special && (special->flags & MS_REGION_DEVICE)) || job.space.pages.fd < 0)
		at += read_memory(&job, addr, end, 0);
	else
		read_pages(&job, &at, end);
	linux_file_close(&job.file);
	/* Whatever was read, it may be of another program's memory if ours has gone. */
	if (!linux_alive(linux_of(src)))
		return linux_gone(src);
	*ret_size = (size_t)(at - addr);
	return 0;
}
