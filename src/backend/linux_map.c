/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mapping what a target has mapped. Only a shared mapping of a regular file of this machine will
 * do: of a private one the target may have, or make, copies of its own that are not in the file,
 * and a file elsewhere or a device may block whoever touches it. Nor may there be holes in the
 * range: to look at one through a mapping puts a page into shared memory (shmem_fault() in
 * mm/shmem.c), and what was not there is not made to be there by looking. Huge pages of hugetlbfs
 * come in their own sizes and from a pool; they are left alone.
 */
#include "backend/linux.h"
#include "backend/linux_file.h"

#include "base/err.h"
#include "base/os.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

/* Whether all of [offset, end) is in the file, and no hole. */
static bool is_whole(const struct linux_file *file, uint64_t offset, uint64_t end, uint64_t page)
{
	if (end > align_up(file->size, page))
		return false;
	while (offset < end) {
		uint64_t next;

		if (!linux_file_is_data(file, offset, end, &next) || next <= offset)
			return false;
		offset = next;
	}
	return true;
}

static bool is_huge(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) != 0 || fs.f_type == HUGETLBFS_MAGIC;
}

static int cannot(uint64_t base, const char *why)
{
	return err_set(
		MS_ERR_UNSUPPORTED, "0x%llx cannot be shared: %s", (unsigned long long)base, why);
}

static int file_map(const struct linux_file *file, uint64_t base, uint64_t size, uint64_t offset,
	struct source_map *ret_map)
{
	void *data;

	if (file->type != LINUX_FILE_REGULAR || is_huge(file->fd))
		return cannot(base, "no ordinary file is behind it");
	if (!is_whole(file, offset, offset + size, os_page_size()))
		return cannot(base, "its file has holes there");
	data = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file->fd, (off_t)offset);
	if (data == MAP_FAILED)
		return err_errno(MS_ERR_UNSUPPORTED, errno, "0x%llx cannot be shared",
			(unsigned long long)base);
	*ret_map = (struct source_map){data, (size_t)size, file->fd, offset};
	return 0;
}

int linux_map(struct ms_source *src, uint64_t base, uint64_t size, struct source_map *ret_map)
{
	const struct ms_region *region = region_find(&src->regions, base);
	struct linux_file file;
	int r;

	if (!region || region->base + region->size - base < size)
		return cannot(base, "it is not of one mapping");
	if (!(region->perm & MS_PERM_SHARED) || !region->inode ||
		(region->flags & (MS_REGION_DEVICE | MS_REGION_REMOTE)))
		return cannot(
			base, "it is not shared memory, nor a shared mapping of a local file");
	linux_file_open(src, region, &file);
	r = file_map(&file, base, size, base - region->base + region->offset, ret_map);
	if (r < 0)
		linux_file_close(&file);
	return r;
}
