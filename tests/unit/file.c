/* SPDX-License-Identifier: BSD-2-Clause */
/* Output files: whole or not at all, never over something else, and what a full disk leaves. */
#include "export/file.h"

#include "base/mem.h"
#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* A fresh folder, which is the working directory while a test runs. */
static char folder[] = "/tmp/memsift-file-XXXXXX";

static void enter_folder(void)
{
	strcpy(folder, "/tmp/memsift-file-XXXXXX");
	check(mkdtemp(folder) && chdir(folder) == 0);
}

/* Counts what is in the working directory, removing it. */
static unsigned empty_folder(void)
{
	DIR *listing = opendir(".");
	const struct dirent *entry;
	unsigned count = 0;

	check(listing);
	while ((entry = readdir(listing))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		check_that(remove(entry->d_name) == 0, "cannot remove %s", entry->d_name);
		count++;
	}
	closedir(listing);
	return count;
}

static void leave_folder(unsigned expected)
{
	unsigned count = empty_folder();

	check(chdir("/") == 0 && rmdir(folder) == 0);
	check_u64(count, expected);
}

static void put_file(const char *path, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static const char *get_file(const char *path)
{
	static char text[256];
	AUTO_CLOSE int fd = open(path, O_RDONLY);
	ssize_t n;

	check_that(fd >= 0, "%s is not there", path);
	n = read(fd, text, sizeof(text) - 1);
	check(n >= 0);
	text[n] = '\0';
	return text;
}

/*
 * Stands in for the C library's function: with `no_noreplace` as on a file system that cannot
 * rename without replacing.
 */
static bool no_noreplace;

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
	if (no_noreplace && flags) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

static int write_text(const char *path, unsigned flags, const char *text)
{
	ms_file *file;
	int r = ms_file_create(path, flags, &file);

	if (r < 0)
		return r;
	r = ms_file_write(file, text, strlen(text));
	if (r == 0)
		r = ms_file_commit(file);
	ms_file_free(file);
	return r;
}

static void whole(void)
{
	ms_file *file;
	struct stat st;

	enter_folder();
	check_ok(ms_file_create("out", 0, &file));
	check(access("out", F_OK) != 0);
	check_ok(ms_file_write(file, "one ", 4));
	check_ok(ms_file_write(file, "two", 3));
	check_ok(ms_file_write(file, NULL, 0));
	check(access("out", F_OK) != 0);
	check_ok(ms_file_commit(file));
	check_text(get_file("out"), "one two");
	check(stat("out", &st) == 0 && (st.st_mode & 07777) == 0600);
	check_u64(ms_file_size(file), 7);
	check(!ms_file_sha256(file));
	ms_file_free(file);
	check_ok(write_text("./empty", 0, ""));
	check_text(get_file("empty"), "");
	leave_folder(2);
}

static void not_committed(void)
{
	ms_file *file;

	enter_folder();
	check_ok(ms_file_create("out", 0, &file));
	check_ok(ms_file_write(file, "x", 1));
	ms_file_free(file);
	ms_file_free(NULL);
	leave_folder(0);
}

/* Whoever swaps the folder for another one under way does not get the file. */
static void folder_swapped(void)
{
	ms_file *file;

	enter_folder();
	check(mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0);
	check_ok(ms_file_create("a/out", 0, &file));
	check(rename("a", "c") == 0 && symlink("b", "a") == 0);
	check_ok(ms_file_commit(file));
	ms_file_free(file);
	check_text(get_file("c/out"), "");
	check(access("b/out", F_OK) != 0);
	check(unlink("c/out") == 0);
	leave_folder(3);
}

static void existing(void)
{
	enter_folder();
	put_file("out", "old");
	check_u64(write_text("out", 0, "new"), MS_ERR_EXISTS);
	check_text(ms_error(), "out exists already; use --force to replace it");
	check_text(get_file("out"), "old");
	check_ok(write_text("out", MS_FILE_FORCE, "new"));
	check_text(get_file("out"), "new");
	leave_folder(1);
}

static void appears_meanwhile_with(bool without_noreplace)
{
	ms_file *file;

	no_noreplace = without_noreplace;
	enter_folder();
	check_ok(write_text("other", 0, "other"));
	check_ok(ms_file_create("out", 0, &file));
	check_ok(ms_file_write(file, "new", 3));
	put_file("out", "old");
	check_u64(ms_file_commit(file), MS_ERR_EXISTS);
	check_u64(ms_file_write(file, "x", 1), MS_ERR_EXISTS);
	ms_file_free(file);
	check_text(get_file("out"), "old");
	check_text(get_file("other"), "other");
	no_noreplace = false;
	leave_folder(2);
}

static void appears_meanwhile(void)
{
	appears_meanwhile_with(false);
	appears_meanwhile_with(true);
}

static void other_name(void)
{
	ms_file *file;

	enter_folder();
	put_file("taken", "old");
	check_ok(ms_file_create("out", 0, &file));
	check_ok(ms_file_write(file, "new", 3));
	check_u64(file_set_path(file, "./taken"), MS_ERR_EXISTS);
	check_ok(file_set_path(file, "./better"));
	check_ok(ms_file_commit(file));
	ms_file_free(file);
	check_text(get_file("better"), "new");
	check_text(get_file("taken"), "old");
	leave_folder(2);
}

static void symbolic_link(void)
{
	struct stat st;

	enter_folder();
	put_file("precious", "old");
	check(symlink("precious", "out") == 0);
	check(symlink("nowhere", "dangling") == 0);
	check_u64(write_text("out", 0, "new"), MS_ERR_EXISTS);
	check(strstr(ms_error(), "symbolic link"));
	check_u64(write_text("dangling", 0, "new"), MS_ERR_EXISTS);
	check_ok(write_text("out", MS_FILE_FORCE, "new"));
	check_text(get_file("precious"), "old");
	check(lstat("out", &st) == 0 && S_ISREG(st.st_mode));
	check_text(get_file("out"), "new");
	check(access("nowhere", F_OK) != 0);
	leave_folder(3);
}

static void refused(void)
{
	enter_folder();
	check(mkdir("sub", 0700) == 0 && mkfifo("pipe", 0600) == 0);
	check_u64(write_text("sub", MS_FILE_FORCE, ""), MS_ERR_EXISTS);
	check_u64(write_text("pipe", MS_FILE_FORCE, ""), MS_ERR_EXISTS);
	check_u64(write_text("/dev/null", MS_FILE_FORCE, ""), MS_ERR_EXISTS);
	check_u64(write_text("", 0, ""), MS_ERR_ARGUMENT);
	check_u64(write_text("sub/", 0, ""), MS_ERR_ARGUMENT);
	check_u64(write_text("sub/..", 0, ""), MS_ERR_ARGUMENT);
	check_u64(write_text("/", 0, ""), MS_ERR_ARGUMENT);
	check_u64(write_text("nowhere/out", 0, ""), MS_ERR_NOT_FOUND);
	check_text(ms_error(), "cannot open the folder nowhere: No such file or directory");
	check_ok(write_text("sub/out", 0, "in"));
	check_text(get_file("sub/out"), "in");
	check(unlink("sub/out") == 0);
	leave_folder(2);
}

static void hash(void)
{
	ms_file *file;
	int r;

	enter_folder();
	r = ms_file_create("out", MS_FILE_HASH, &file);
	if (r == MS_ERR_UNSUPPORTED) {
		check(strstr(ms_error(), "crypto"));
		leave_folder(0);
		skip("built without crypto");
	}
	check_ok(r);
	/* FIPS 180-2, appendix B.2. */
	check_ok(ms_file_write(file, "abcdbcdecdefdefgefghfghighij", 28));
	check_ok(ms_file_write(file, "hijkijkljklmklmnlmnomnopnopq", 28));
	check(!ms_file_sha256(file));
	check_ok(ms_file_commit(file));
	check_text(ms_file_sha256(file),
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	check_u64(ms_file_size(file), 56);
	ms_file_free(file);
	leave_folder(1);
}

/* A device of 64 KiB in a mount namespace of this process's own, which ends with it. */
static void full_disk(void)
{
	static const char block[8192];
	ms_file *file;
	int r = 0, writes = 0;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		skip("may not make a mount namespace");
	enter_folder();
	if (mount("none", folder, "tmpfs", 0, "size=64k") != 0) {
		leave_folder(0);
		skip("may not mount a tmpfs");
	}
	check(chdir(folder) == 0);
	check_ok(ms_file_create("out", 0, &file));
	for (; r == 0 && writes < 100; writes++)
		r = ms_file_write(file, block, sizeof(block));
	check_u64(r, MS_ERR_SPACE);
	check(writes > 4);
	check_text(ms_error(), "out: no space left on the device; nothing of it was left behind");
	check_u64(empty_folder(), 0);
	check_u64(ms_file_write(file, "x", 1), MS_ERR_SPACE);
	check_u64(ms_file_commit(file), MS_ERR_SPACE);
	ms_file_free(file);

	check_ok(ms_file_create("out", 0, &file));
	check_u64(file_write_at(file, block, sizeof(block), 0), 0);
	for (r = 0, writes = 1; r == 0 && writes < 100; writes++)
		r = file_write_at(file, block, sizeof(block), (uint64_t)writes * sizeof(block));
	check_u64(r, MS_ERR_SPACE);
	check_u64(empty_folder(), 0);
	ms_file_free(file);
	check(chdir("/") == 0 && umount(folder) == 0 && rmdir(folder) == 0);
}

enum { WRITERS = 4, PIECES = 256, PIECE = 1000 };

struct writer {
	ms_file *file;
	uint8_t number;
	int status;
};

/* Each writer fills every fourth piece, the last ones first. */
static void *write_pieces(void *ctx)
{
	struct writer *writer = ctx;
	uint8_t piece[PIECE];

	for (int i = PIECES - WRITERS + writer->number; i >= 0 && !writer->status; i -= WRITERS) {
		memset(piece, i, sizeof(piece));
		writer->status =
			file_write_at(writer->file, piece, sizeof(piece), (uint64_t)i * PIECE);
	}
	return NULL;
}

static void write_at(void)
{
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	uint8_t piece[PIECE];
	ms_file *file;

	enter_folder();
	check_ok(ms_file_create("out", 0, &file));
	check_ok(file_set_size(file, 1 << 20));
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){file, (uint8_t)i, 0};
		check(pthread_create(&threads[i], NULL, write_pieces, &writers[i]) == 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		check_u64(writers[i].status, 0);
	}
	/* What goes in order still begins at the beginning. */
	check_ok(ms_file_write(file, "\xaa", 1));
	check_ok(ms_file_commit(file));
	check_u64(ms_file_size(file), 1 << 20);
	ms_file_free(file);

	int fd = open("out", O_RDONLY);

	for (int i = 0; i < PIECES; i++) {
		check(pread(fd, piece, PIECE, (off_t)i * PIECE) == PIECE);
		check(piece[0] == (i ? (uint8_t)i : 0xaa) && piece[1] == (uint8_t)i);
		check(memcmp(piece + 1, piece + 2, PIECE - 2) == 0);
	}
	close(fd);
	leave_folder(1);
}

static void folders(void)
{
	bool made = false;

	enter_folder();
	check_ok(ms_folder_make("new/", &made));
	check(made);
	check_ok(ms_folder_make("new//", &made));
	check(!made);
	check_ok(ms_folder_make("/", &made));
	put_file("file", "precious");
	check(ms_folder_make("file", NULL) == MS_ERR_EXISTS && strstr(ms_error(), "not a folder"));
	check(symlink("new", "link") == 0 && symlink("nowhere", "dangling") == 0);
	check(ms_folder_make("link", NULL) == MS_ERR_EXISTS && strstr(ms_error(), "symbolic link"));
	check(ms_folder_make("link/", NULL) == MS_ERR_EXISTS);
	check(ms_folder_make("dangling/", NULL) == MS_ERR_EXISTS);
	check(access("nowhere", F_OK) != 0);
	check_ok(ms_folder_make("link/inner", NULL));
	check(rmdir("new/inner") == 0);
	check(ms_folder_make("nowhere/inner", NULL) == MS_ERR_NOT_FOUND);
	leave_folder(4);
}

static const struct test tests[] = {
	{"whole", whole},
	{"not-committed", not_committed},
	{"folder-swapped", folder_swapped},
	{"existing", existing},
	{"appears-meanwhile", appears_meanwhile},
	{"other-name", other_name},
	{"symbolic-link", symbolic_link},
	{"folders", folders},
	{"refused", refused},
	{"hash", hash},
	{"write-at", write_at},
	{"full-disk", full_disk},
};

TEST_MAIN(tests)
