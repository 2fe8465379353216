/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages a target writes, told by the kernel: a userfaultfd in the mode of asynchronous write
 * protection (Linux >= 6.7; Documentation/admin-guide/mm/userfaultfd.rst and pagemap.rst). The
 * kernel lifts the protection of a page at its first write by itself, so a target never waits for
 * memsift; PAGEMAP_SCAN tells which pages lost it and protects them again. When the last copy of
 * the userfaultfd is closed, by whatever end of memsift, all protection goes with it.
 *
 * Pages that are not there are not protected, or the target's page tables would grow; a page that
 * comes into being counts as written. With WP_ASYNC every kind of mapping can be registered
 * (vma_can_userfault() in mm/userfaultfd.c) that can be written at all. But only writes by way of
 * this address space are told: shared memory may change by another's hand, so it is not watched.
 * Nor are writes of devices into pages that were pinned before (O_DIRECT reads, RDMA).
 */
#include "backend/linux.h"
#include "backend/linux_inject.h"
#include "backend/linux_softdirty.h"

#include "base/err.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

enum {
	RUNS = 512,
	MAP_PIECE = 32 * 1024,
	/* Of linux/userfaultfd.h, in case it is older. */
	WP_HUGETLBFS_SHMEM = 1 << 12,
	WP_UNPOPULATED = 1 << 13,
	WP_ASYNC = 1 << 15,
};

/* A userfaultfd's features are settled once; tried on one of memsift's own first. */
static int settle(int fd)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = WP_HUGETLBFS_SHMEM | WP_UNPOPULATED | WP_ASYNC};

	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return 0;
	return err_errno(MS_ERR_UNSUPPORTED, errno,
		"this kernel does not track writes for others (Linux 6.7 does)");
}

static int begin_protecting(struct ms_source *src, struct dirty_request *request)
{
	struct linux_source *ls = linux_of(src);
	AUTO_CLOSE int fd = -1;
	int r;

	if (ls->pages.fd < 0 || !ls->pages.scan)
		return err_set(MS_ERR_UNSUPPORTED,
			"this kernel does not tell which pages were written (Linux 6.7 does)");
	r = linux_inject_userfaultfd(src, &fd, &request->ret_stop_ns);
	if (r == 0)
		r = settle(fd);
	if (r == 0)
		ls->uffd = take_fd(&fd);
	return r;
}

static int begin(struct ms_source *src, struct dirty_request *request)
{
	struct linux_source *ls = linux_of(src);
	char why[ERR_TEXT_MAX / 2], more[ERR_TEXT_MAX / 2];
	int r;

	/* What is told is told once: two would take each other's answers. */
	if (ls->uffd >= 0 || ls->clear_refs >= 0)
		return err_set(MS_ERR_ARGUMENT,
			"pid %u: this source tracks writes for another detector or mapper already, "
			"which must be freed first",
			src->process.pid);
	if (ls->twin)
		return err_set(MS_ERR_ARGUMENT, "a twin does not write");
	if (request->softdirty_only)
		return linux_softdirty_begin(src, request);
	r = begin_protecting(src, request);
	if (r == 0 || r == MS_ERR_GONE)
		return r;
	snprintf(why, sizeof(why), "%s", ms_error());
	if (linux_softdirty_begin(src, request) == 0) {
		err_set(r, "%s", why);
		return 0;
	}
	snprintf(more, sizeof(more), "%s", ms_error());
	return err_set(r, "%s; %s", why, more);
}

static int watch(struct ms_source *src, struct dirty_request *request)
{
	struct linux_source *ls = linux_of(src);
	struct uffdio_register area = {
		.range = {request->base, request->end - request->base},
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (ioctl(ls->uffd, UFFDIO_REGISTER, &area) == 0)
		return 0;
	return err_errno(errno == ENOMEM ? MS_ERR_MEMORY : MS_ERR_UNSUPPORTED, errno,
		"pid %u: writes at 0x%llx cannot be tracked", src->process.pid,
		(unsigned long long)request->base);
}

static int scan(struct ms_source *src, struct dirty_request *request)
{
	struct linux_page_run found[RUNS];
	size_t room = request->room < RUNS ? request->room : RUNS, count = 0;
	int r = linux_pages_written(&linux_of(src)->pages, request->base, request->end, found, room,
		&count, &request->ret_reached);

	if (r < 0)
		return err_errno(MS_ERR_NOT_FOUND, -r, "pid %u: memory at 0x%llx is not watched",
			src->process.pid, (unsigned long long)request->base);
	for (size_t i = 0; i < count; i++)
		request->runs[i] =
			(struct run){found[i].base, found[i].end - found[i].base, MS_STATE_DATA};
	request->ret_count = count;
	return 0;
}

static int hash_map(struct ms_source *src, struct dirty_request *request)
{
	struct linux_source *ls = linux_of(src);
	char piece[MAP_PIECE];
	uint64_t hash = 0;
	ssize_t got;

	if (lseek(ls->maps, 0, SEEK_SET) != 0)
		return err_errno(MS_ERR_IO, errno, "cannot read a memory map");
	while ((got = read(ls->maps, piece, sizeof(piece))) > 0)
		hash = hash_bytes(hash, piece, (size_t)got);
	if (!linux_alive(ls))
		return linux_gone(src);
	request->ret_disturbed = ls->clear_refs >= 0 && linux_softdirty_disturbed(src);
	request->ret_map = hash;
	return 0;
}

/* What was told is told no more: there is nothing to renew. */
static int nothing(struct ms_source *src, struct dirty_request *request)
{
	(void)src;
	(void)request;
	return 0;
}

int linux_dirty(struct ms_source *src, struct dirty_request *request)
{
	typedef int step(struct ms_source * src, struct dirty_request * request);
	static step *const steps[][2] = {
		[DIRTY_BEGIN] = {begin, begin},
		[DIRTY_WATCH] = {watch, linux_softdirty_watch},
		[DIRTY_SCAN] = {scan, linux_softdirty_scan},
		[DIRTY_MAP] = {hash_map, hash_map},
		[DIRTY_RENEW] = {nothing, linux_softdirty_renew},
	};
	struct linux_source *ls = linux_of(src);

	if (request->what == DIRTY_END) {
		cleanup_close(&ls->uffd);
		cleanup_close(&ls->clear_refs);
		ls->uffd = ls->clear_refs = -1;
		return 0;
	}
	return steps[request->what][ls->clear_refs >= 0](src, request);
}
