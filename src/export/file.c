/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output files that appear whole or not at all. The folder is opened once and everything happens
 * relative to it, so that nobody can swap it for another one under way; the temporary file has a
 * name nobody can guess and is created anew, never opened. As soon as anything fails the
 * temporary file is removed, so "nothing of it was left behind" is true when it is said.
 */
#include "export/file.h"

#include "export/sha256.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { NAME_TRIES = 16, NAME_SIZE = 40, SELF_MAX = 40, SPARSE_PAGE = 4096 };

struct ms_file {
	char *path;	      /* as the caller gave it, for messages */
	const char *name;     /* its last part */
	char temp[NAME_SIZE]; /* the name it has until the commit */
	int folder, fd;
	unsigned flags;
	uint64_t position; /* where ms_file_write() goes on */
	uint64_t size;
	struct sha256 *hash;
	bool rewritten; /* the hash is of what the file no longer is */
	char hex[SHA256_HEX];
	bool nameless;	       /* the file has no name at all until the commit */
	atomic_bool temporary; /* the temporary file is there */
	atomic_int status;     /* of the first failure */
};

static void remove_temporary(ms_file *file)
{
	if (atomic_exchange(&file->temporary, false))
		unlinkat(file->folder, file->temp, 0);
}

/* Ends the file for good; what failed is in errno. */
static int fail_errno(ms_file *file, const char *what)
{
	int errnum = errno;
	int status = err_from_errno(errnum);

	remove_temporary(file);
	atomic_store(&file->status, status);
	if (errnum == ENOSPC)
		return err_set(status,
			"%s: no space left on the device; nothing of it was left behind",
			file->path);
	if (errnum == EDQUOT)
		return err_set(status,
			"%s: the disk quota is used up; nothing of it was left behind", file->path);
	return err_errno(
		status, errnum, "%s: cannot %s (nothing of it was left behind)", file->path, what);
}

static int fail_set(ms_file *file, int status)
{
	remove_temporary(file);
	atomic_store(&file->status, status);
	return status;
}

static int failed_before(ms_file *file)
{
	int status = atomic_load(&file->status);

	if (status < 0)
		err_set(status, "%s could not be written%s (nothing of it was left behind)",
			file->path,
			status == MS_ERR_SPACE
				? ": no space left on the device, or a limit on sizes"
				: "");
	return status;
}

static int exists_already(const char *path)
{
	return err_set(MS_ERR_EXISTS, "%s exists already; use --force to replace it", path);
}

/* Fails early for what the commit would refuse, before hours of work go into the file. */
static int target_check(const ms_file *file)
{
	struct stat st;

	if (fstatat(file->folder, file->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0
				       : err_errno(err_from_errno(errno), errno, "cannot create %s",
						 file->path);
	if (S_ISDIR(st.st_mode))
		return err_set(MS_ERR_EXISTS, "%s is a folder, not a file", file->path);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(MS_ERR_EXISTS,
			"%s is a device, pipe or socket, which is never replaced", file->path);
	if (file->flags & MS_FILE_FORCE)
		return 0;
	if (S_ISLNK(st.st_mode))
		return err_set(MS_ERR_EXISTS,
			"%s is a symbolic link, which is not followed; use --force to replace the "
			"link itself",
			file->path);
	return exists_already(file->path);
}

int ms_folder_make(const char *path, bool *ret_made)
{
	AUTO_FREE char *name = strdup(path);
	size_t length = strlen(path);
	struct stat st;
	bool made;

	if (!name)
		return err_nomem();
	/* With a slash behind it, the system would follow a link. */
	while (length > 1 && name[length - 1] == '/')
		name[--length] = '\0';
	made = mkdir(name, 0700) == 0;
	if (!made && errno != EEXIST)
		return err_errno(err_from_errno(errno), errno, "cannot make the folder %s", path);
	if (lstat(name, &st) != 0)
		return err_errno(err_from_errno(errno), errno, "cannot use the folder %s", path);
	if (S_ISLNK(st.st_mode))
		return err_set(MS_ERR_EXISTS,
			"%s is a symbolic link, which is not followed; name the folder it leads to",
			name);
	if (!S_ISDIR(st.st_mode))
		return err_set(MS_ERR_EXISTS, "%s exists already and is not a folder", name);
	if (ret_made)
		*ret_made = made;
	return 0;
}

static int folder_open(ms_file *file)
{
	char *slash = strrchr(file->path, '/');
	const char *folder = slash == file->path ? "/" : slash ? file->path : ".";
	int r = 0;

	file->name = slash ? slash + 1 : file->path;
	if (!*file->name || strcmp(file->name, ".") == 0 || strcmp(file->name, "..") == 0)
		return err_set(MS_ERR_ARGUMENT, "\"%s\" does not name a file", file->path);
	if (slash && slash != file->path)
		*slash = '\0';
	file->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->folder < 0)
		r = err_errno(err_from_errno(errno), errno, "cannot open the folder %s", folder);
	if (slash)
		*slash = '/';
	return r;
}

static const char *self_path(int fd, char text[SELF_MAX])
{
	snprintf(text, SELF_MAX, "/proc/self/fd/%d", fd);
	return text;
}

static int temporary_name(ms_file *file)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_errno(MS_ERR_IO, errno, "cannot get a random number");
	snprintf(file->temp, sizeof(file->temp), ".memsift-%016llx.part",
		(unsigned long long)number);
	return 0;
}

/* By way of /proc, which is not everywhere; without it, only privileged programs can. */
static bool can_be_named(int fd)
{
	char self[SELF_MAX];

	return fd >= 0 && access(self_path(fd, self), F_OK) == 0;
}

static int temporary_create(ms_file *file)
{
	/* Without a name nothing is left behind even if memsift is killed (Linux >= 3.11). */
	file->fd = openat(file->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	file->nameless = can_be_named(file->fd);
	if (file->nameless)
		return 0;
	cleanup_close(&file->fd);
	file->fd = -1;
	for (int i = 0; i < NAME_TRIES; i++) {
		int r = temporary_name(file);

		if (r < 0)
			return r;
		file->fd = openat(file->folder, file->temp,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (file->fd >= 0 || errno != EEXIST)
			break;
	}
	if (file->fd < 0)
		return err_errno(err_from_errno(errno), errno, "cannot create %s", file->path);
	atomic_store(&file->temporary, true);
	return 0;
}

int ms_file_create(const char *path, unsigned flags, ms_file **ret_file)
{
	ms_file *file = calloc(1, sizeof(*file));
	int r;

	if (!file)
		return err_nomem();
	file->folder = file->fd = -1;
	file->flags = flags;
	file->path = strdup(path);
	r = file->path ? folder_open(file) : err_nomem();
	if (r == 0)
		r = target_check(file);
	if (r == 0 && (flags & MS_FILE_HASH))
		r = sha256_new(&file->hash);
	if (r == 0)
		r = temporary_create(file);
	if (r < 0) {
		ms_file_free(file);
		return r;
	}
	*ret_file = file;
	return 0;
}

void ms_file_free(ms_file *file)
{
	if (!file)
		return;
	remove_temporary(file);
	if (file->fd >= 0)
		close(file->fd);
	if (file->folder >= 0)
		close(file->folder);
	sha256_free(file->hash);
	free(file->path);
	free(file);
}

static int write_all(ms_file *file, const uint8_t *data, size_t size, uint64_t offset)
{
	const uint8_t *bytes = data;

	while (size) {
		ssize_t n = pwrite(file->fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return fail_errno(file, "write");
		bytes += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static bool is_zero(const uint8_t *data, size_t size)
{
	/* Compares the bytes with themselves, one further on: memcmp() is vectorised. */
	return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* Writes what is not zero, in pieces that begin and end on pages of the data. */
static int write_runs(ms_file *file, const uint8_t *data, size_t size, uint64_t offset)
{
	size_t from = 0, at = 0;

	while (at < size) {
		size_t page = (size_t)min_u64(SPARSE_PAGE, size - at);
		bool zero = is_zero(data + at, page);
		int r = zero && from < at ? write_all(file, data + from, at - from, offset + from)
					  : 0;

		if (r < 0)
			return r;
		at += page;
		if (zero)
			from = at;
	}
	return from < at ? write_all(file, data + from, at - from, offset + from) : 0;
}

typedef int write_fn(ms_file *file, const uint8_t *data, size_t size, uint64_t offset);

static int write_on(ms_file *file, const void *data, size_t size, write_fn *write)
{
	int r = failed_before(file);

	if (r == 0)
		r = write(file, data, size, file->position);
	if (r == 0 && file->hash) {
		r = sha256_add(file->hash, data, size);
		if (r < 0)
			fail_set(file, r);
	}
	if (r == 0)
		file->position += size;
	return r;
}

int ms_file_write(ms_file *file, const void *data, size_t size)
{
	return write_on(file, data, size, write_all);
}

int file_write_sparse(ms_file *file, const void *data, size_t size)
{
	return write_on(file, data, size, write_runs);
}

int file_write_sparse_at(ms_file *file, const void *data, size_t size, uint64_t offset)
{
	int r = failed_before(file);

	assert(!file->hash);
	return r < 0 ? r : write_runs(file, data, size, offset);
}

int file_fd(ms_file *file)
{
	return file->fd;
}

int file_write_at(ms_file *file, const void *data, size_t size, uint64_t offset)
{
	int r = failed_before(file);

	assert(!file->hash);
	return r < 0 ? r : write_all(file, data, size, offset);
}

int file_rewrite(ms_file *file, const void *data, size_t size, uint64_t offset)
{
	int r = failed_before(file);

	assert(offset + size <= file->position);
	file->rewritten = true;
	return r < 0 ? r : write_all(file, data, size, offset);
}

static int hash_again(ms_file *file)
{
	enum { PIECE = 256 * 1024 };
	AUTO_FREE uint8_t *piece = malloc(PIECE);
	uint64_t done = 0;
	size_t got;
	int r;

	sha256_free(file->hash);
	file->hash = NULL;
	r = piece ? sha256_new(&file->hash) : err_nomem();
	for (; r == 0 && done < file->size; done += got) {
		r = os_file_read(file->fd, piece, PIECE, done, &got);
		if (r == 0 && !got)
			r = err_set(MS_ERR_IO, "%s became shorter", file->path);
		if (r == 0)
			r = sha256_add(file->hash, piece, got);
	}
	return r;
}

int file_set_path(ms_file *file, const char *path)
{
	char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;

	if (!copy)
		return err_nomem();
	free(file->path);
	file->path = copy;
	file->name = slash ? slash + 1 : copy;
	return target_check(file);
}

int file_set_size(ms_file *file, uint64_t size)
{
	int r = failed_before(file);

	assert(!file->hash);
	if (r < 0)
		return r;
	while (ftruncate(file->fd, (off_t)size) != 0)
		if (errno != EINTR)
			return fail_errno(file, "set the size");
	return 0;
}

/* Gives the temporary file its name without replacing anything; -1 and errno on failure. */
static int rename_new(const ms_file *file)
{
	if (renameat2(file->folder, file->temp, file->folder, file->name, RENAME_NOREPLACE) == 0)
		return 0;
	/* EINVAL: this file system cannot do it (rename(2)); a hard link never replaces, either. */
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (linkat(file->folder, file->temp, file->folder, file->name, 0) != 0)
		return -1;
	unlinkat(file->folder, file->temp, 0);
	return 0;
}

/* Gives a file without a name one, which must be new; -1 and errno on failure. */
static int link_as(const ms_file *file, const char *name)
{
	char self[SELF_MAX];

	return linkat(AT_FDCWD, self_path(file->fd, self), file->folder, name, AT_SYMLINK_FOLLOW);
}

static int rename_final(ms_file *file)
{
	bool force = file->flags & MS_FILE_FORCE;
	int r;

	if (file->nameless && !force) {
		r = link_as(file, file->name);
		if (r != 0 && errno == EEXIST)
			return fail_set(file, exists_already(file->path));
		return r != 0 ? fail_errno(file, "give the finished file its name") : 0;
	}
	/* A link cannot replace a file, a rename can. */
	if (file->nameless) {
		r = temporary_name(file);
		if (r < 0)
			return fail_set(file, r);
		if (link_as(file, file->temp) != 0)
			return fail_errno(file, "give the finished file its name");
		atomic_store(&file->temporary, true);
	}
	r = force ? renameat(file->folder, file->temp, file->folder, file->name) : rename_new(file);

	if (r != 0 && errno == EEXIST && !force)
		return fail_set(file, exists_already(file->path));
	if (r != 0)
		return fail_errno(file, "give the finished file its name");
	atomic_store(&file->temporary, false);
	return 0;
}

int ms_file_commit(ms_file *file)
{
	int r = failed_before(file);
	struct stat st;

	assert(r < 0 || file->nameless || atomic_load(&file->temporary));
	if (r < 0)
		return r;
	if (fstat(file->fd, &st) != 0)
		return fail_errno(file, "examine it");
	/* A hole at the end is still to be made. */
	if ((uint64_t)st.st_size < file->position) {
		if (ftruncate(file->fd, (off_t)file->position) != 0)
			return fail_errno(file, "set the size");
		st.st_size = (off_t)file->position;
	}
	while (fdatasync(file->fd) != 0)
		if (errno != EINTR)
			return fail_errno(file, "write it to the device");
	file->size = (uint64_t)st.st_size;
	if (file->hash && file->rewritten) {
		r = hash_again(file);
		if (r < 0)
			return fail_set(file, r);
	}
	if (file->hash) {
		r = sha256_end(file->hash, file->hex);
		if (r < 0)
			return fail_set(file, r);
	}
	return rename_final(file);
}

const char *ms_file_sha256(const ms_file *file)
{
	return file->hex[0] ? file->hex : NULL;
}

uint64_t ms_file_size(const ms_file *file)
{
	return file->size;
}
