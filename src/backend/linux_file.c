/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two ways lead to the file. /proc/PID/map_files/START-END is the very file that is mapped, with
 * a name or without, but only for CAP_SYS_ADMIN or (since Linux 5.9) CAP_CHECKPOINT_RESTORE. Its
 * path below /proc/PID/root is open to everyone who may read the file, but may lead to another
 * file by now, so inode and device are compared. Walking that path could block where a file
 * system of FUSE lies on the way: RESOLVE_CACHED (Linux 5.12) takes only what is in the cache of
 * names, and the whole path of a mapped file is. statx() with AT_STATX_DONT_SYNC asks no server.
 */
#include "backend/linux_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static int path_by_range(struct ms_source *src, const struct ms_region *region)
{
	char name[64];

	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)region->base,
		(unsigned long long)(region->base + region->size));
	return openat(linux_of(src)->dir, name, O_PATH | O_CLOEXEC);
}

static int path_by_name(struct ms_source *src, const struct ms_region *region)
{
	AUTO_CLOSE int root = -1;
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_CACHED,
	};

	if (region->path[0] != '/' || (region->flags & MS_REGION_DELETED))
		return -1;
	root = openat(linux_of(src)->space, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	return (int)syscall(SYS_openat2, root, region->path + 1, &how, sizeof(how));
}

/* A memory map shows the device of the super block, which stat() does not on every system. */
static bool is_safe(struct ms_source *src, const struct ms_region *region, const struct statx *st)
{
	enum linux_place place;

	if (st->stx_dev_major == region->dev_major && st->stx_dev_minor == region->dev_minor)
		return !(region->flags & MS_REGION_REMOTE);
	if (!(st->stx_mask & STATX_MNT_ID))
		return false;
	place = linux_place_of_mount(src, st->stx_mnt_id);
	return place == LINUX_PLACE_LOCAL || place == LINUX_PLACE_INTERNAL;
}

static int look_at(int fd, struct statx *ret_st)
{
	return fd < 0 ? -1
		      : statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
				STATX_BASIC_STATS | STATX_MNT_ID, ret_st);
}

/* An O_PATH descriptor of the file and what is known of it; -1 if it must be left alone. */
static int find_file(struct ms_source *src, const struct ms_region *region, struct statx *ret_st)
{
	AUTO_CLOSE int fd = -1;

	if (region->flags & MS_REGION_REMOTE)
		return -1;
	fd = path_by_range(src, region);
	if (look_at(fd, ret_st) == 0)
		return is_safe(src, region, ret_st) ? take_fd(&fd) : -1;
	cleanup_close(&fd);
	fd = path_by_name(src, region);
	if (look_at(fd, ret_st) == 0 && ret_st->stx_ino == region->inode &&
		is_safe(src, region, ret_st))
		return take_fd(&fd);
	return -1;
}

static enum linux_file_type type_of(const struct statx *st)
{
	if (S_ISREG(st->stx_mode))
		return LINUX_FILE_REGULAR;
	if (S_ISCHR(st->stx_mode) && st->stx_rdev_major == 1 && st->stx_rdev_minor == 5)
		return LINUX_FILE_ZERO;
	return LINUX_FILE_DEVICE;
}

enum linux_file_type linux_file_type(struct ms_source *src, const struct ms_region *region)
{
	struct statx st;
	AUTO_CLOSE int fd = find_file(src, region, &st);

	return fd < 0 ? LINUX_FILE_BARRED : type_of(&st);
}

bool linux_file_has_name(struct ms_source *src, const struct ms_region *region)
{
	struct statx st;
	AUTO_CLOSE int by_range = path_by_range(src, region);
	AUTO_CLOSE int by_name = -1;

	if (look_at(by_range, &st) == 0 && st.stx_nlink == 0)
		return false;
	by_name = path_by_name(src, region);
	return look_at(by_name, &st) == 0 && st.stx_ino == region->inode &&
	       is_safe(src, region, &st);
}

/* Opens anew what an O_PATH descriptor stands for; without marking it as read where we may. */
static int open_again(int fd)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	char name[32];
	int again;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	again = open(name, flags | O_NOATIME);
	return again < 0 && errno == EPERM ? open(name, flags) : again;
}

static enum linux_file_type why_not(void)
{
	return errno == EMFILE || errno == ENFILE ? LINUX_FILE_SHORT : LINUX_FILE_BARRED;
}

void linux_file_open(struct ms_source *src, const struct ms_region *region, struct linux_file *file)
{
	struct statx st;
	AUTO_CLOSE int fd = -1;

	errno = 0; /* which a refusal of our own leaves alone */
	fd = find_file(src, region, &st);
	*file = (struct linux_file){.type = why_not(), .fd = -1};
	if (fd < 0)
		return;
	file->type = type_of(&st);
	if (file->type != LINUX_FILE_REGULAR)
		return;
	file->fd = open_again(fd);
	file->size = st.stx_size;
	if (file->fd < 0)
		file->type = why_not();
}

void linux_file_close(struct linux_file *file)
{
	cleanup_close(&file->fd);
	file->fd = -1;
}

bool linux_file_is_data(
	const struct linux_file *file, uint64_t offset, uint64_t end, uint64_t *ret_end)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t limit = align_up(file->size, page);
	off_t data, hole;

	*ret_end = end;
	if (offset >= limit || offset > INT64_MAX)
		return false;
	if (end > limit)
		*ret_end = limit;
	data = lseek(file->fd, (off_t)offset, SEEK_DATA);
	if (data < 0 && errno == ENXIO) {
		*ret_end = end;
		return false;
	}
	/* A file system without holes says so or fails otherwise; all of it is data then. */
	if (data < 0)
		return true;
	if ((uint64_t)data >= offset + page) {
		*ret_end = min_u64(end, align_down((uint64_t)data, page));
		return false;
	}
	hole = lseek(file->fd, data, SEEK_HOLE);
	if (hole > data)
		*ret_end = min_u64(*ret_end, align_up((uint64_t)hole, page));
	return true;
}

size_t linux_file_read(const struct linux_file *file, uint64_t offset, void *buf, size_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t limit = align_up(file->size, page);
	size_t done = 0, zeros;

	if (offset >= limit || offset > INT64_MAX)
		return 0;
	size = (size_t)min_u64(size, limit - offset);
	while (done < size) {
		ssize_t got =
			pread(file->fd, (char *)buf + done, size - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return done;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	/* Only what lies behind the end of the file; one that shrank meanwhile ends the read. */
	zeros = offset + done >= file->size ? size - done : 0;
	memset((char *)buf + done, 0, zeros);
	return done + zeros;
}
