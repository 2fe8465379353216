/* SPDX-License-Identifier: BSD-2-Clause */
/* Evidence folders that are whole, damaged, and made to hurt; and manifests that are none. */
#include "export/manifest.h"

#include "base/buf.h"
#include "core/record.h"
#include "tests/test.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

/* SHA-256 of "abc" (FIPS 180-2, appendix B.1) and of nothing. */
#define HASH_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HASH_NONE "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define ENTRY(path, size, hash)                                                                    \
	"{\"type\":\"file\",\"path\":\"" path "\",\"size\":" size ",\"sha256\":\"" hash "\"}"
#define META "{\"type\":\"meta\",\"schema\":\"memsift/1\",\"arguments\":[\"a\",[{\"b\":null}]]}"
#define SUMMARY "{\"type\":\"summary\",\"targets\":1}"
#define OPEN "{\"records\":[" META ","
#define CLOSE "," SUMMARY "]}"
#define EMPTY OPEN SUMMARY "]}"

static char folder[] = "/tmp/memsift-verify-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void enter_folder(void)
{
#if !HAVE_JANSSON || !HAVE_CRYPTO
	skip("built without jansson or crypto");
#endif
	strcpy(folder, "/tmp/memsift-verify-XXXXXX");
	check(mkdtemp(folder) && chdir(folder) == 0);
}

static void leave_folder(void)
{
	check(chdir("/") == 0);
	check(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static void put_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	check(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* The records as "status path size hash\n" each. */
static struct buf output;

static void put_text(const struct ms_value *value)
{
	if (value->present)
		buf_add(&output, value->v.data, value->size);
	else
		buf_char(&output, '-');
}

static int collect(void *ctx, const struct ms_record *record)
{
	const struct ms_value *values = record->values;

	(void)ctx;
	put_text(&values[FILE_STATUS]);
	buf_char(&output, ' ');
	put_text(&values[FILE_PATH]);
	if (values[FILE_SIZE].present)
		buf_format(&output, " %llu ", (unsigned long long)values[FILE_SIZE].v.u);
	else
		buf_text(&output, " - ");
	put_text(&values[FILE_SHA256]);
	buf_char(&output, '\n');
	return 0;
}

static int verify(struct ms_verified *ret)
{
	const struct ms_sink sink = {collect, NULL};

	buf_clear(&output);
	buf_text(&output, "");
	return ms_folder_verify(".", &sink, ret);
}

static void check_counts(const struct ms_verified *counts, uint64_t good, uint64_t changed,
	uint64_t missing, uint64_t extra)
{
	check_u64(counts->good, good);
	check_u64(counts->changed, changed);
	check_u64(counts->missing, missing);
	check_u64(counts->extra, extra);
	check_u64(counts->files, good + changed + missing);
}

static void whole_folder(void)
{
	struct ms_verified counts;

	enter_folder();
	check(mkdir("bash.1", 0700) == 0);
	put_file("bash.1/maps", "abc");
	put_file("empty", "");
	put_file("manifest.json",
		"{\"records\":[\n" META ",\n" ENTRY("empty", "0", HASH_NONE) ",\n" ENTRY(
			"bash.1/maps", "3", HASH_ABC) ",\n" SUMMARY "\n]}\n");
	check_ok(verify(&counts));
	check_counts(&counts, 2, 0, 0, 0);
	check_text(output.data, "ok bash.1/maps 3 " HASH_ABC "\n"
				"ok empty 0 " HASH_NONE "\n");
	leave_folder();
}

static int write_file(void *ctx, const void *data, size_t size)
{
	return ms_file_write(ctx, data, size);
}

/* A manifest as memsift itself writes it: with its exporter, from the hashes of its files. */
static void own_manifest(void)
{
	static const struct ms_column columns[] = {{"schema", MS_TYPE_TEXT}};
	static const struct ms_schema meta = {"meta", 1, columns},
				      summary = {"summary", 1, columns};
	struct ms_value schema = value_text("memsift/1");
	struct ms_value values[FILE_COLUMNS] = {0};
	struct ms_record record = {&schema_file, values};
	ms_exporter *exporter;
	struct ms_verified counts;
	ms_file *file, *manifest;
	struct ms_sink sink;

	enter_folder();
	check_ok(ms_file_create("manifest.json", 0, &manifest));
	check_ok(ms_exporter_new("json", write_file, manifest, &exporter));
	sink = ms_exporter_sink(exporter);
	check_ok(sink.record(sink.ctx, &(struct ms_record){&meta, &schema}));
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"a \"quoted\"", "b\\c\td", "\xc3\xa9"};

		check_ok(ms_file_create(names[i], MS_FILE_HASH, &file));
		check_ok(ms_file_write(file, names[i], strlen(names[i])));
		check_ok(ms_file_commit(file));
		values[FILE_PATH] = value_text(names[i]);
		values[FILE_SIZE] = value_u64(ms_file_size(file));
		values[FILE_SHA256] = value_text(ms_file_sha256(file));
		check_ok(sink.record(sink.ctx, &record));
		ms_file_free(file);
	}
	check_ok(sink.record(sink.ctx, &(struct ms_record){&summary, &schema}));
	check_ok(ms_exporter_finish(exporter));
	check_ok(ms_file_commit(manifest));
	ms_exporter_free(exporter);
	ms_file_free(manifest);
	check_ok(verify(&counts));
	check_counts(&counts, 3, 0, 0, 0);
	leave_folder();
}

static void damaged_folder(void)
{
	struct ms_verified counts;

	enter_folder();
	check(mkdir("d", 0700) == 0);
	put_file("a", "abd");
	put_file("b", "abcd");
	check(mkdir("c", 0700) == 0);
	put_file("d/new", "12345");
	put_file("manifest.json",
		OPEN ENTRY("a", "3", HASH_ABC) "," ENTRY("b", "3", HASH_ABC) "," ENTRY(
			"c", "3", HASH_ABC) "," ENTRY("d/gone", "3", HASH_ABC) CLOSE);
	check_ok(verify(&counts));
	check_counts(&counts, 0, 3, 1, 1);
	check_text(output.data,
		"changed a 3 a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9\n"
		"changed b 4 -\n"
		"changed c - -\n"
		"missing d/gone 3 " HASH_ABC "\n"
		"extra d/new 5 -\n");
	leave_folder();
}

/* Links out of the folder, to a file and to a folder, are seen but never followed. */
static void links(void)
{
	struct ms_verified counts;
	char outside[64];

	enter_folder();
	snprintf(outside, sizeof(outside), "%s/in", folder);
	check(mkdir("in", 0700) == 0 && mkdir("in/deep", 0700) == 0);
	put_file("in/deep/file", "abc");
	check(symlink(outside, "folder") == 0 && symlink("in/deep/file", "file") == 0);
	check(mkfifo("pipe", 0600) == 0);
	put_file("manifest.json",
		OPEN ENTRY("file", "3", HASH_ABC) "," ENTRY("folder/deep/file", "3",
			HASH_ABC) "," ENTRY("pipe", "0", HASH_NONE) "," ENTRY("in/deep/file", "3",
			HASH_ABC) "," ENTRY("in/deep/file/x", "3", HASH_ABC) CLOSE);
	check_ok(verify(&counts));
	check_counts(&counts, 1, 4, 0, 1);
	check_text(output.data, "changed file - -\n"
				"changed folder/deep/file - -\n"
				"ok in/deep/file 3 " HASH_ABC "\n"
				"changed in/deep/file/x - -\n"
				"changed pipe - -\n"
				"extra folder - -\n");
	leave_folder();
}

static void no_manifest(void)
{
	struct ms_verified counts;
	const struct ms_sink sink = {collect, NULL};

	enter_folder();
	check_u64(verify(&counts), MS_ERR_NOT_FOUND);
	put_file("other", EMPTY);
	check(symlink("other", "manifest.json") == 0);
	check(verify(&counts) < 0);
	check(remove("manifest.json") == 0 && mkdir("manifest.json", 0700) == 0);
	check(verify(&counts) < 0);
	check(remove("manifest.json") == 0);
	put_file("manifest.json", "");
	check(truncate("manifest.json", (off_t)MANIFEST_SIZE_MAX + 1) == 0);
	check_u64(verify(&counts), MS_ERR_FORMAT);
	check_u64(ms_folder_verify("nowhere", &sink, &counts), MS_ERR_NOT_FOUND);
	check(ms_folder_verify("other", &sink, &counts) < 0);
	leave_folder();
}

/* Deeper than the limit: counted once, where the walk stopped. */
static void deep_folder(void)
{
	struct ms_verified counts;
	int at;

	enter_folder();
	at = open(".", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < FOLDER_DEPTH_MAX + 3; i++) {
		int next;

		check(mkdirat(at, "d", 0700) == 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	put_file("manifest.json", EMPTY);
	check_ok(verify(&counts));
	check_counts(&counts, 0, 0, 0, 1);
	check_u64(output.size, strlen("extra  - -\n") + 2 * FOLDER_DEPTH_MAX - 1);
	leave_folder();
}

static int stop(void *ctx, const struct ms_record *record)
{
	(void)record;
	++*(int *)ctx;
	return 1;
}

static void stopped(void)
{
	struct ms_verified counts;
	int calls = 0;
	const struct ms_sink sink = {stop, &calls};

	enter_folder();
	put_file("x", "");
	put_file("manifest.json",
		OPEN ENTRY("a", "0", HASH_NONE) "," ENTRY("b", "0", HASH_NONE) CLOSE);
	check_u64(ms_folder_verify(".", &sink, &counts), MS_ERR_STOPPED);
	check_u64(calls, 1);
	leave_folder();
}

static const struct {
	const char *text, *error;
} bad[] = {
	{"", "does not begin"},
	{"[]", "does not begin"},
	{"{\"rec", "does not begin"},
	{"{\"other\":[]}", "does not begin"},
	{"{\"records\":[", "no object"},
	{"{\"records\":[1]}", "no object"},
	{"{\"records\":[{}]}", "not an object with a type"},
	{"{\"records\":[{\"type\":1}]}", "not an object with a type"},
	{"{\"records\":[" META, "comma"},
	{OPEN SUMMARY " " SUMMARY, "record 2: neither a comma"},
	{"{\"records\":[" META ",]}", "record 2: there is no object"},
	{"{\"records\":[" META "]", "does not end"},
	{"{\"records\":[" META "]}x", "does not end"},
	{"{\"records\":[{\"type\":\"meta\"", "not valid JSON"},
	{"{\"records\":[{\"type\":\"meta\",\"type\":\"file\"}]}", "not valid JSON"},
	{OPEN "{\"type\":\"file\"}" CLOSE, "needs a path"},
	{OPEN ENTRY("a", "-1", HASH_ABC) CLOSE, "needs a path"},
	{OPEN ENTRY("a", "\"3\"", HASH_ABC) CLOSE, "needs a path"},
	{OPEN ENTRY("a", "3", "ab") CLOSE, "needs a path"},
	{OPEN ENTRY("a", "3", HASH_ABC "00") CLOSE, "needs a path"},
	{OPEN ENTRY("", "3", HASH_ABC) CLOSE, "does not stay"},
	{OPEN ENTRY("/etc/passwd", "3", HASH_ABC) CLOSE, "/etc/passwd: this path does"},
	{OPEN ENTRY("..", "3", HASH_ABC) CLOSE, "does not stay"},
	{OPEN ENTRY("a/../../b", "3", HASH_ABC) CLOSE, "does not stay"},
	{OPEN ENTRY("./a", "3", HASH_ABC) CLOSE, "does not stay"},
	{OPEN ENTRY("a//b", "3", HASH_ABC) CLOSE, "does not stay"},
	{OPEN ENTRY("a/", "3", HASH_ABC) CLOSE, "does not stay"},
	{OPEN ENTRY("a\\u0000b", "3", HASH_ABC) CLOSE, "a\\x00b: this path does"},
	{OPEN ENTRY("../\\u001b[2J", "3", HASH_ABC) CLOSE, "../\\x1b[2J: this path does"},
	{OPEN ENTRY("a", "3", HASH_ABC) "," ENTRY("a", "3", HASH_ABC) CLOSE, "twice"},
	{"{\"records\":[]}", "does not begin with a record \"meta\""},
	{"{\"records\":[" ENTRY("a", "3", HASH_ABC) CLOSE, "begin with a record \"meta\""},
	{"{\"records\":[" SUMMARY "," META "]}", "does not begin with a record \"meta\""},
	{"{\"records\":[{\"type\":\"meta\"}" CLOSE, "has no schema"},
	{"{\"records\":[{\"type\":\"meta\",\"schema\":1}" CLOSE, "has no schema"},
	{"{\"records\":[{\"type\":\"meta\",\"schema\":\"memsift/2\"}" CLOSE,
		"the schema memsift/2, but this memsift knows memsift/1 only"},
	{"{\"records\":[{\"type\":\"meta\",\"schema\":\"memsift/1\\u0000\"}" CLOSE,
		"the schema memsift/1\\x00, but"},
	{"{\"records\":[" META "]}", "does not end with a record \"summary\""},
	{OPEN ENTRY("a", "3", HASH_ABC) "]}", "does not end with a record \"summary\""},
	{OPEN SUMMARY "," ENTRY("a", "3", HASH_ABC) "]}", "it comes after the summary"},
	{OPEN SUMMARY "," ENTRY("a", "3", HASH_ABC) CLOSE, "it comes after the summary"},
	{OPEN META CLOSE, "\"meta\" before it"},
};

static int read_text(const char *text, size_t size, struct manifest *ret)
{
	FILE *stream = fmemopen((void *)(uintptr_t)text, size ? size : 1, "r");
	int r;

	check(stream);
	if (!size)
		getc(stream);
	r = manifest_read(stream, ret);
	fclose(stream);
	return r;
}

static void bad_manifests(void)
{
	struct manifest manifest;

	enter_folder();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int r = read_text(bad[i].text, strlen(bad[i].text), &manifest);

		check_that(r == MS_ERR_FORMAT && strstr(ms_error(), bad[i].error), "%s: %d: %s",
			bad[i].text, r, ms_error());
	}
	leave_folder();
}

static void loose_manifest(void)
{
	static const char text[] =
		" {\n\t\"records\" : [ " META " ,\n"
		"{ \"sha256\" : \"" HASH_ABC
		"\",\"size\":3 , \"path\":\"b\", \"x\":1,\"type\":\"file\"}\r\n," ENTRY(
			"a", "4", HASH_NONE) "," SUMMARY " ] } \n";
	struct manifest manifest;

	enter_folder();
	check_ok(read_text(text, strlen(text), &manifest));
	check_u64(manifest.entries.count, 2);
	check_text(manifest.entries.data[0].path, "a");
	check_u64(manifest_find(&manifest, "b")->size, 3);
	check_text(manifest_find(&manifest, "b")->sha256, HASH_ABC);
	check(!manifest_find(&manifest, "c"));
	manifest_done(&manifest);
	leave_folder();
}

/* One endless record is refused before it takes memory without end. */
static void long_record(void)
{
	struct buf text = {0};
	struct manifest manifest;

	enter_folder();
	buf_text(&text, "{\"records\":[{\"type\":\"");
	for (size_t i = 0; i <= MANIFEST_RECORD_MAX / 16; i++)
		buf_text(&text, "0123456789abcdef");
	buf_text(&text, "\"}]}");
	check_u64(read_text(text.data, text.size, &manifest), MS_ERR_FORMAT);
	check(strstr(ms_error(), "too long"));
	buf_done(&text);
	leave_folder();
}

static void unsupported(void)
{
	struct manifest manifest;

#if HAVE_JANSSON && HAVE_CRYPTO
	skip("built with jansson and crypto");
#endif
	check_u64(read_text("{\"records\":[]}", 14, &manifest), MS_ERR_UNSUPPORTED);
	check(strstr(ms_error(), "feature \"verify\""));
}

static const struct test tests[] = {
	{"whole-folder", whole_folder},
	{"own-manifest", own_manifest},
	{"damaged-folder", damaged_folder},
	{"links", links},
	{"no-manifest", no_manifest},
	{"deep-folder", deep_folder},
	{"stopped", stopped},
	{"bad-manifests", bad_manifests},
	{"loose-manifest", loose_manifest},
	{"long-record", long_record},
	{"unsupported", unsupported},
};

TEST_MAIN(tests)
