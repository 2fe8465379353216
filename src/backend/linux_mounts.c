/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line of mountinfo (proc(5)) is "id parent major:minor root mountpoint options [tags...] -
 * type source options"; blanks inside a field are escaped. The device is that of the super block,
 * as in a memory map, where stat() may show another one (btrfs gives each subvolume its own).
 * virtiofs counts as local: it is the disk of many a virtual machine, and blocks as a disk would.
 */
#include "backend/linux_mounts.h"

#include "base/bytes.h"
#include "base/err.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

struct word {
	const char *text;
	size_t size;
};

static bool next_word(const char **at, const char *end, struct word *ret_word)
{
	const char *first;

	while (*at < end && **at == ' ')
		++*at;
	first = *at;
	while (*at < end && **at != ' ')
		++*at;
	*ret_word = (struct word){first, (size_t)(*at - first)};
	return ret_word->size > 0;
}

static bool word_is(struct word word, const char *text)
{
	return strlen(text) == word.size && memcmp(word.text, text, word.size) == 0;
}

static bool begins_with(struct word word, const char *text)
{
	return strlen(text) <= word.size && memcmp(word.text, text, strlen(text)) == 0;
}

static enum linux_place place_of(struct word type)
{
	static const char *const remote[] = {"fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3",
		"smbfs", "9p", "ceph", "afs", "coda", "ncpfs", "lustre", "gpfs", "orangefs",
		"pvfs2", "beegfs", "panfs", "vboxsf", "vmhgfs", "gfs2", "ocfs2"};

	if (begins_with(type, "fuse."))
		return LINUX_PLACE_REMOTE;
	for (size_t i = 0; i < ARRAY_SIZE(remote); i++)
		if (word_is(type, remote[i]))
			return LINUX_PLACE_REMOTE;
	return LINUX_PLACE_LOCAL;
}

/* The decimal number at the front of text; *at moves behind it. */
static bool take_decimal(const char **at, const char *end, uint64_t *ret_value)
{
	const char *first = *at;
	uint64_t value = 0;

	for (; *at < end && is_digit(**at); ++*at)
		if (__builtin_mul_overflow(value, 10, &value) ||
			!add_u64(value, (unsigned)(**at - '0'), &value))
			return false;
	*ret_value = value;
	return *at > first;
}

static bool parse_line(const char *at, const char *end, struct linux_mount *ret_mount)
{
	struct word word;
	const char *device;
	uint64_t id, major, minor;

	if (!take_decimal(&at, end, &id) || !next_word(&at, end, &word) ||
		!next_word(&at, end, &word))
		return false;
	device = word.text;
	if (!take_decimal(&device, end, &major) || device == end || *device++ != ':' ||
		!take_decimal(&device, end, &minor) || major > UINT32_MAX || minor > UINT32_MAX)
		return false;
	while (next_word(&at, end, &word))
		if (word_is(word, "-") && next_word(&at, end, &word)) {
			*ret_mount = (struct linux_mount){
				id, (uint32_t)major, (uint32_t)minor, place_of(word)};
			return true;
		}
	return false;
}

int linux_mounts_parse(const char *text, size_t size, struct linux_mounts *out)
{
	const char *end = text + size;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		struct linux_mount mount;

		if (parse_line(text, newline ? newline : end, &mount) &&
			!vec_push(&out->items, mount))
			return err_nomem();
		text = newline ? newline + 1 : end;
	}
	return 0;
}

static bool add_device_of(int fd, struct linux_mounts *out)
{
	struct linux_mount mount = {.id = UINT64_MAX, .place = LINUX_PLACE_INTERNAL};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return true;
	mount.major = major(st.st_dev);
	mount.minor = minor(st.st_dev);
	return vec_push(&out->items, mount);
}

int linux_mounts_add_internal(struct linux_mounts *out)
{
	/* Each page size has a file system of its own: 2 MiB and 1 GiB, and what is usual here. */
	static const unsigned kinds[] = {0, MFD_HUGETLB, MFD_HUGETLB | 21u << MAP_HUGE_SHIFT,
		MFD_HUGETLB | 30u << MAP_HUGE_SHIFT};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* Linux 6.3 can be set up to insist on the flag; kernels before do not know it. */
		AUTO_CLOSE int fd =
			memfd_create("memsift", MFD_CLOEXEC | MFD_NOEXEC_SEAL | kinds[i]);

		if (fd < 0)
			fd = memfd_create("memsift", MFD_CLOEXEC | kinds[i]);
		if (!add_device_of(fd, out))
			return err_nomem();
	}
#ifdef SYS_memfd_secret
	AUTO_CLOSE int secret = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

	if (!add_device_of(secret, out))
		return err_nomem();
#endif
	return 0;
}

enum linux_place linux_mounts_find(
	const struct linux_mounts *mounts, uint32_t major, uint32_t minor)
{
	for (size_t i = 0; i < mounts->items.count; i++) {
		const struct linux_mount *mount = &mounts->items.data[i];

		if (mount->major == major && mount->minor == minor)
			return mount->place;
	}
	return LINUX_PLACE_UNKNOWN;
}

enum linux_place linux_mounts_find_id(const struct linux_mounts *mounts, uint64_t id)
{
	for (size_t i = 0; i < mounts->items.count; i++)
		if (mounts->items.data[i].id == id)
			return mounts->items.data[i].place;
	return LINUX_PLACE_UNKNOWN;
}
