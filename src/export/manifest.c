/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a manifest record by record, so that a large or hostile one costs no more memory than
 * its file entries and one record: a JSON tree can take fifty times the size of its text. The
 * few tokens around the records are matched here; each record goes to jansson, which is handed
 * one byte at a time and therefore never takes more than the record. Files may only lie between a
 * record "meta" of a known schema and one "summary": a manifest without is not taken for whole.
 */
#include "export/manifest.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

static const struct ms_column file_columns[FILE_COLUMNS] = {
	[FILE_PATH] = {"path", MS_TYPE_TEXT},
	[FILE_SIZE] = {"size", MS_TYPE_U64},
	[FILE_SHA256] = {"sha256", MS_TYPE_TEXT},
	[FILE_STATUS] = {"status", MS_TYPE_TEXT},
};

const struct ms_schema schema_file = {"file", FILE_COLUMNS, file_columns};

void manifest_done(struct manifest *manifest)
{
	free(manifest->entries.data);
	arena_done(&manifest->strings);
	*manifest = (struct manifest){0};
}

static int entry_compare(const void *a, const void *b)
{
	const struct manifest_entry *left = a, *right = b;

	return strcmp(left->path, right->path);
}

const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path)
{
	struct manifest_entry key = {.path = path};

	if (!manifest->entries.count)
		return NULL;
	return bsearch(
		&key, manifest->entries.data, manifest->entries.count, sizeof(key), entry_compare);
}

#if HAVE_JANSSON

#include <jansson.h>

static const char known_schema[] = "memsift/1";

struct reader {
	FILE *stream;
	size_t left;	 /* bytes that the record may still have */
	uint64_t record; /* number of the record, from 1 */
	bool whole;	 /* the last record was a summary */
	struct manifest *manifest;
};

static int wrong(const struct reader *reader, const char *why)
{
	return err_set(MS_ERR_FORMAT, "manifest.json is wrong at its record %llu: %s",
		(unsigned long long)reader->record, why);
}

/* The same, and shows a path, which may hold anything. */
static int wrong_path(const struct reader *reader, const char *path, size_t size, const char *why)
{
	struct buf text = {0};
	int r;

	buf_printable(&text, path, size < 200 ? size : 200);
	buf_format(&text, "%s: %s", size > 200 ? "..." : "", why);
	r = text.failed ? err_nomem() : wrong(reader, text.data);
	buf_done(&text);
	return r;
}

static int next_token(FILE *stream)
{
	int c;

	do
		c = getc_unlocked(stream);
	while (c != EOF && is_blank((char)c));
	return c;
}

static bool take_tokens(FILE *stream, const char *const *tokens)
{
	for (; *tokens; tokens++) {
		const char *token = *tokens;

		if (next_token(stream) != *token)
			return false;
		while (*++token)
			if (getc_unlocked(stream) != *token)
				return false;
	}
	return true;
}

/* Components are not empty, "." or "..", so the path is relative and goes down only. */
static bool path_is_inside(const char *path)
{
	for (;;) {
		size_t length = strcspn(path, "/");

		if (!length || (length == 1 && path[0] == '.') ||
			(length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[length])
			return true;
		path += length + 1;
	}
}

static bool hash_copy(const json_t *value, char ret_hash[SHA256_HEX])
{
	const char *text = json_string_value(value);

	if (!text || json_string_length(value) != SHA256_HEX - 1)
		return false;
	for (size_t i = 0; i < SHA256_HEX - 1; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return false;
		ret_hash[i] = "0123456789abcdef"[digit];
	}
	ret_hash[SHA256_HEX - 1] = '\0';
	return true;
}

static int file_add(struct reader *reader, const json_t *record)
{
	const json_t *path = json_object_get(record, "path"),
		     *size = json_object_get(record, "size");
	const char *text = json_string_value(path);
	size_t length = json_string_length(path);
	struct manifest_entry entry;

	if (!text || !json_is_integer(size) || json_integer_value(size) < 0 ||
		!hash_copy(json_object_get(record, "sha256"), entry.sha256))
		return wrong(reader, "a file needs a path, a size and a SHA-256");
	if (length > MANIFEST_PATH_MAX || strlen(text) != length || !path_is_inside(text))
		return wrong_path(reader, text, length, "this path does not stay in the folder");
	entry.size = (uint64_t)json_integer_value(size);
	entry.path = arena_string(&reader->manifest->strings, text);
	if (!entry.path || !vec_push(&reader->manifest->entries, entry))
		return err_nomem();
	return 0;
}

static size_t record_byte(void *to, size_t size, void *ctx)
{
	struct reader *reader = ctx;
	int c = reader->left ? getc_unlocked(reader->stream) : EOF;

	if (c == EOF || !size)
		return 0;
	reader->left--;
	*(char *)to = (char)c;
	return 1;
}

static int incomplete(const char *what)
{
	return err_set(
		MS_ERR_FORMAT, "manifest.json %s: it is damaged, or was never finished", what);
}

/* The first record says by which rules the others are to be read. */
static int meta_check(const json_t *record, const char *type)
{
	const json_t *schema = json_object_get(record, "schema");
	const char *text = json_string_value(schema);
	size_t size = json_string_length(schema);
	CLEANUP(buf_done) struct buf shown = {0};

	if (strcmp(type, "meta") != 0)
		return incomplete("does not begin with a record \"meta\"");
	if (!text)
		return incomplete("has no schema in its record \"meta\"");
	if (size == sizeof(known_schema) - 1 && strcmp(text, known_schema) == 0)
		return 0;
	buf_printable(&shown, text, size < 40 ? size : 40);
	if (shown.failed)
		return err_nomem();
	return err_set(MS_ERR_FORMAT,
		"manifest.json has the schema %s, but this memsift knows %s only; verify it with "
		"the memsift that collected it",
		shown.data ? shown.data : "\"\"", known_schema);
}

static int read_record(struct reader *reader)
{
	/* A key given twice could mean one thing here and another to the next reader. */
	const size_t flags = JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	const char *type;
	json_error_t error;
	json_t *record;
	int r = 0;

	reader->left = MANIFEST_RECORD_MAX;
	record = json_load_callback(record_byte, reader, flags, &error);
	if (!record && json_error_code(&error) == json_error_out_of_memory)
		return err_nomem();
	if (!record)
		return wrong(reader, reader->left ? "it is not valid JSON" : "it is too long");
	type = json_string_value(json_object_get(record, "type"));
	if (!type)
		r = wrong(reader, "it is not an object with a type");
	else if (reader->record == 1)
		r = meta_check(record, type);
	else if (reader->whole)
		r = wrong(reader, "it comes after the summary");
	else if (strcmp(type, "meta") == 0)
		r = wrong(reader, "there is a record \"meta\" before it");
	else if (strcmp(type, "file") == 0)
		r = file_add(reader, record);
	reader->whole = type && strcmp(type, "summary") == 0;
	json_decref(record);
	return r;
}

static int read_records(struct reader *reader)
{
	static const char *const opening[] = {"{", "\"records\"", ":", "[", NULL};
	static const char *const closing[] = {"}", NULL};
	int c, r;

	if (!take_tokens(reader->stream, opening))
		return err_set(MS_ERR_FORMAT,
			"manifest.json is no manifest: it does not begin with {\"records\":[");
	c = next_token(reader->stream);
	while (c != ']') {
		if (reader->record++)
			c = next_token(reader->stream);
		if (c != '{' || ungetc(c, reader->stream) == EOF)
			return wrong(reader, "there is no object where one should be");
		r = read_record(reader);
		if (r < 0)
			return r;
		c = next_token(reader->stream);
		if (c != ',' && c != ']')
			return wrong(reader, "neither a comma nor the end follows it");
	}
	if (!take_tokens(reader->stream, closing) || next_token(reader->stream) != EOF)
		return wrong(reader, "the document does not end after it");
	if (!reader->record)
		return incomplete("does not begin with a record \"meta\"");
	return reader->whole ? 0 : incomplete("does not end with a record \"summary\"");
}

static int sort_entries(struct reader *reader)
{
	struct manifest_entry *entries = reader->manifest->entries.data;
	size_t count = reader->manifest->entries.count;

	vec_sort(&reader->manifest->entries, entry_compare);
	for (size_t i = 1; i < count; i++)
		if (strcmp(entries[i - 1].path, entries[i].path) == 0)
			return wrong_path(reader, entries[i].path, strlen(entries[i].path),
				"this file is there twice");
	return 0;
}

int manifest_read(FILE *stream, struct manifest *ret_manifest)
{
	struct manifest manifest = {0};
	struct reader reader = {.stream = stream, .manifest = &manifest};
	int r = read_records(&reader);

	if (r == 0)
		r = sort_entries(&reader);
	if (r == 0)
		*ret_manifest = manifest;
	else
		manifest_done(&manifest);
	return r;
}

int manifest_supported(void)
{
	return 0;
}

#else

int manifest_supported(void)
{
	return err_set(MS_ERR_UNSUPPORTED,
		"this build cannot verify an evidence folder; build memsift with the feature "
		"\"verify\"");
}

int manifest_read(FILE *stream, struct manifest *ret_manifest)
{
	(void)stream, (void)ret_manifest;
	return manifest_supported();
}

#endif
