/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verifies an evidence folder that may have been made to hurt whoever verifies it. Each component
 * of a path is opened relative to the one before and never through a symbolic link, so nothing
 * outside the folder is read; only regular files are read, so a FIFO cannot make it wait.
 */
#include "export/manifest.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/os.h"

#include "core/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

enum { READ_SIZE = 256 * 1024 };

struct verify {
	int folder;
	const struct ms_sink *sink;
	struct manifest manifest;
	struct ms_verified counts;
	struct sha256 *hash;
	uint8_t *block; /* READ_SIZE bytes */
};

/* One file as it is found. */
struct found {
	uint64_t size;
	bool has_size;
	char sha256[SHA256_HEX]; /* "" where it was not computed */
};

/* A folder being listed, and how long its path is. */
struct level {
	DIR *listing;
	size_t path_size;
};

struct walk {
	struct level levels[FOLDER_DEPTH_MAX];
	size_t depth;
	struct buf path;
};

static int report(
	struct verify *verify, const char *path, const struct found *found, const char *status)
{
	struct ms_value values[FILE_COLUMNS] = {
		[FILE_PATH] = value_text(path),
		[FILE_SIZE] = {.present = found->has_size, .v.u = found->size},
		[FILE_STATUS] = value_text(status),
	};
	struct ms_record record = {&schema_file, values};

	if (found->sha256[0])
		values[FILE_SHA256] = value_text(found->sha256);
	if (verify->sink->record(verify->sink->ctx, &record) != 0)
		return err_set(MS_ERR_STOPPED, "the verification was stopped");
	return 0;
}

/* Opens a path of the manifest; -1 and errno on failure. */
static int open_inside(int folder, const char *path)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	AUTO_CLOSE int at = -1;

	for (;;) {
		size_t length = strcspn(path, "/");
		char name[NAME_MAX + 1];
		int next;

		if (length > NAME_MAX) {
			errno = ENOENT;
			return -1;
		}
		memcpy(name, path, length);
		name[length] = '\0';
		next = openat(at < 0 ? folder : at, name, flags | (path[length] ? O_DIRECTORY : 0));
		if (next < 0 || !path[length])
			return next;
		if (at >= 0)
			close(at);
		at = next;
		path += length + 1;
	}
}

/* Reads a file of the size that the manifest says; false when it turns out not to be so long. */
static bool hash_content(struct verify *verify, int fd, uint64_t size, int *ret_status)
{
	uint64_t done = 0;
	size_t got = 0;

	*ret_status = 0;
	while (done < size) {
		if (os_file_read(fd, verify->block, READ_SIZE, done, &got) < 0 || !got)
			return false;
		*ret_status = sha256_add(verify->hash, verify->block, got);
		if (*ret_status < 0)
			return false;
		done += got;
	}
	return done == size;
}

/*
 * Fills in what the file really is: its size and, where that is as it should be, its hash. What
 * cannot be read has none and so does not match.
 */
static int examine(
	struct verify *verify, int fd, const struct manifest_entry *entry, struct found *ret_found)
{
	struct stat st;
	bool whole;
	int r;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	ret_found->has_size = true;
	ret_found->size = (uint64_t)st.st_size;
	if (ret_found->size != entry->size)
		return 0;
	r = sha256_new(&verify->hash);
	if (r < 0)
		return r;
	whole = hash_content(verify, fd, entry->size, &r);
	if (whole)
		r = sha256_end(verify->hash, ret_found->sha256);
	sha256_free(verify->hash);
	return r;
}

/* A file that may not be read does not match; but nobody should take it for tampered with. */
static int tell_denied(struct verify *verify, const char *path)
{
	CLEANUP(buf_done) struct buf why = {0};

	buf_format(&why,
		"cannot open %s to verify it: permission denied; run as who collected it, or as "
		"root",
		path);
	if (why.failed)
		return err_nomem();
	const struct ms_value values[] = {{0}, value_text(path), value_text(why.data)};
	const struct ms_record record = {&ms_schema_error, values};

	if (verify->sink->record(verify->sink->ctx, &record) != 0)
		return err_set(MS_ERR_STOPPED, "the verification was stopped");
	return 0;
}

static int verify_entry(struct verify *verify, const struct manifest_entry *entry)
{
	AUTO_CLOSE int fd = open_inside(verify->folder, entry->path);
	struct found found = {0};
	int r;

	verify->counts.files++;
	if (fd < 0 && errno == ENOENT) {
		verify->counts.missing++;
		found.size = entry->size;
		found.has_size = true;
		memcpy(found.sha256, entry->sha256, sizeof(found.sha256));
		return report(verify, entry->path, &found, "missing");
	}
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return err_errno(err_from_errno(errno), errno, "cannot open a file to verify it");
	r = fd >= 0	      ? examine(verify, fd, entry, &found)
	    : errno == EACCES ? tell_denied(verify, entry->path)
			      : 0;
	if (r < 0)
		return r;
	if (strcmp(found.sha256, entry->sha256) == 0) {
		verify->counts.good++;
		return report(verify, entry->path, &found, "ok");
	}
	verify->counts.changed++;
	return report(verify, entry->path, &found, "changed");
}

static int report_extra(struct verify *verify, const char *path, const struct stat *st)
{
	struct found found = {.size = (uint64_t)st->st_size, .has_size = S_ISREG(st->st_mode)};

	verify->counts.extra++;
	return report(verify, path, &found, "extra");
}

/*
 * Goes down into a folder, "." for the top; false when it is too deep or cannot be listed, in
 * which case it counts as one extra file.
 */
static bool walk_down(struct walk *walk, int at, const char *name)
{
	AUTO_CLOSE int fd = -1;
	DIR *listing;

	if (walk->depth == FOLDER_DEPTH_MAX)
		return false;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || !(listing = fdopendir(fd)))
		return false;
	take_fd(&fd);
	walk->levels[walk->depth++] = (struct level){listing, walk->path.size};
	return true;
}

static void walk_up(struct walk *walk)
{
	closedir(walk->levels[--walk->depth].listing);
}

static void walk_done(struct walk *walk)
{
	while (walk->depth)
		walk_up(walk);
	buf_done(&walk->path);
}

static bool is_known(const struct verify *verify, const char *path)
{
	return strcmp(path, MANIFEST_NAME) == 0 || manifest_find(&verify->manifest, path);
}

static int walk_entry(struct verify *verify, struct walk *walk, const char *name)
{
	const struct level *level = &walk->levels[walk->depth - 1];
	int at = dirfd(level->listing);
	struct stat st;

	walk->path.size = level->path_size;
	if (level->path_size)
		buf_char(&walk->path, '/');
	buf_text(&walk->path, name);
	if (walk->path.failed)
		return err_nomem();
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return 0; /* removed meanwhile */
	if (S_ISDIR(st.st_mode) && walk_down(walk, at, name))
		return 0;
	if (!S_ISDIR(st.st_mode) && is_known(verify, walk->path.data))
		return 0;
	return report_extra(verify, walk->path.data, &st);
}

static int verify_extra(struct verify *verify)
{
	CLEANUP(walk_done) struct walk walk = {0};
	int r = 0;

	if (!walk_down(&walk, verify->folder, "."))
		return err_errno(err_from_errno(errno), errno, "cannot list the folder");
	while (walk.depth && r == 0) {
		const struct dirent *entry = readdir(walk.levels[walk.depth - 1].listing);

		if (!entry)
			walk_up(&walk);
		else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = walk_entry(verify, &walk, entry->d_name);
	}
	return r;
}

static int read_manifest(struct verify *verify, const char *folder)
{
	AUTO_CLOSE int fd = open_inside(verify->folder, MANIFEST_NAME);
	AUTO_FCLOSE FILE *stream = NULL;
	struct stat st;

	if (fd < 0)
		return err_errno(
			err_from_errno(errno), errno, "cannot open %s/" MANIFEST_NAME, folder);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MANIFEST_SIZE_MAX)
		return err_set(MS_ERR_FORMAT,
			"%s/" MANIFEST_NAME " is not a regular file of at most 256 MiB", folder);
	stream = fdopen(fd, "r");
	if (!stream)
		return err_nomem();
	take_fd(&fd);
	return manifest_read(stream, &verify->manifest);
}

static int verify_all(struct verify *verify)
{
	AUTO_FREE uint8_t *block = malloc(READ_SIZE);
	int r = block ? 0 : err_nomem();

	verify->block = block;
	for (size_t i = 0; i < verify->manifest.entries.count && r == 0; i++)
		r = verify_entry(verify, &verify->manifest.entries.data[i]);
	return r < 0 ? r : verify_extra(verify);
}

int ms_folder_verify(
	const char *folder, const struct ms_sink *sink, struct ms_verified *ret_verified)
{
	AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct verify verify = {.folder = fd, .sink = sink};
	int r = manifest_supported();

	if (r < 0)
		return r;
	if (fd < 0)
		return err_errno(err_from_errno(errno), errno, "cannot open the folder %s", folder);
	r = read_manifest(&verify, folder);
	if (r == 0)
		r = verify_all(&verify);
	manifest_done(&verify.manifest);
	if (r == 0)
		*ret_verified = verify.counts;
	return r;
}
