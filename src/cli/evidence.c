/* SPDX-License-Identifier: BSD-2-Clause */
#include "evidence.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
	char *path; /* within the folder */
	uint64_t size;
	char *sha256;
};

struct evidence_file {
	struct evidence *evidence;
	char *path;
	ms_file *file;
	ms_exporter *exporter;
};

struct evidence {
	const struct options *options;
	char *folder;
	bool made; /* the folder was not there before */
	int64_t started;
	unsigned hash; /* MS_FILE_HASH, or 0 in a build without */

	pthread_mutex_t lock; /* guards what follows */
	ms_file *log;
	struct evidence_file *summary;
	struct ms_sink summary_sink;
	struct entry *entries;
	size_t entry_count;
	bool failed;
};

static int write_file(void *ctx, const void *data, size_t size)
{
	return ms_file_write(ctx, data, size);
}

/* ---- The folder ------------------------------------------------------------------------- */

static char *folder_name(const struct options *options, int64_t started)
{
	char host[256], time[17], *name;

	if (options->output)
		return strdup(options->output);
	ms_machine_name(host, sizeof(host));
	for (char *c = host; *c; c++)
		if (*c == '/')
			*c = '_';
	time_compact(started, time);
	return asprintf(&name, "memsift-%s-%s", host, time) < 0 ? NULL : name;
}

static bool folder_is_empty(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	bool empty = folder;

	while (folder && (entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			empty = false;
	if (folder)
		closedir(folder);
	return empty;
}

static int folder_make(struct evidence *evidence)
{
	const char *path = evidence->folder;

	if (ms_folder_make(path, &evidence->made) < 0) {
		complain("%s", ms_error());
		return -1;
	}
	/* Not with --force, either: a manifest tells of all that is in its folder, and of one run. */
	if (evidence->made || folder_is_empty(path))
		return 0;
	complain("%s exists already and is not empty; name a new folder, as evidence of two runs is "
		 "never mixed (--force replaces files only)",
		path);
	return -1;
}

static char *inner_path(const struct evidence *evidence, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", evidence->folder, name) < 0 ? NULL : path;
}

/* ---- Files ------------------------------------------------------------------------------ */

unsigned evidence_file_flags(const struct evidence *evidence)
{
	return evidence->hash;
}

int evidence_file_open(struct evidence *evidence, const char *path, struct evidence_file **ret_file,
	struct ms_sink *ret_sink)
{
	struct evidence_file *file = calloc(1, sizeof(*file));
	int r = MS_ERR_MEMORY;

	if (file && (file->path = strdup(path)))
		r = ms_file_create(path, evidence_file_flags(evidence), &file->file);
	if (r == 0)
		r = ms_exporter_new("json", write_file, file->file, &file->exporter);
	if (r < 0) {
		if (file) {
			ms_file_free(file->file);
			free(file->path);
		}
		free(file);
		return r;
	}
	file->evidence = evidence;
	*ret_file = file;
	*ret_sink = ms_exporter_sink(file->exporter);
	return 0;
}

static int file_finish(struct evidence_file *file)
{
	int r = ms_exporter_finish(file->exporter);

	if (r == 0)
		r = ms_file_commit(file->file);
	if (r == 0 && file->evidence)
		evidence_add(file->evidence, file->path, ms_file_size(file->file),
			ms_file_sha256(file->file));
	ms_exporter_free(file->exporter);
	ms_file_free(file->file);
	free(file->path);
	free(file);
	return r;
}

int evidence_file_close(struct evidence_file *file, int status)
{
	int r = file_finish(file);

	return r < 0 ? r : status;
}

void evidence_add(struct evidence *evidence, const char *path, uint64_t size, const char *sha256)
{
	size_t skip = strlen(evidence->folder) + 1;
	struct entry entry = {strdup(path + skip), size, sha256 ? strdup(sha256) : NULL};
	struct entry *grown;

	pthread_mutex_lock(&evidence->lock);
	grown = realloc(evidence->entries, (evidence->entry_count + 1) * sizeof(*grown));
	if (grown && entry.path) {
		evidence->entries = grown;
		grown[evidence->entry_count++] = entry;
	} else {
		evidence->failed = true;
	}
	pthread_mutex_unlock(&evidence->lock);
}

static int copy_stream(FILE *from, ms_file *to)
{
	char buffer[65536];
	size_t size;
	int r = 0;

	while (r == 0 && (size = fread(buffer, 1, sizeof(buffer), from)) > 0)
		r = ms_file_write(to, buffer, size);
	return r == 0 && ferror(from) ? MS_ERR_IO : r;
}

static int copy_file(struct evidence *evidence, const char *from, const char *to)
{
	FILE *file = fopen(from, "re");
	ms_file *copy = NULL;
	int r = file ? ms_file_create(to, evidence_file_flags(evidence), &copy) : MS_ERR_NOT_FOUND;

	if (r == 0)
		r = copy_stream(file, copy);
	if (r == 0)
		r = ms_file_commit(copy);
	if (r == 0)
		evidence_add(evidence, to, ms_file_size(copy), ms_file_sha256(copy));
	ms_file_free(copy);
	if (file)
		fclose(file);
	return r;
}

int evidence_keep(struct evidence *evidence, const char *path, size_t number)
{
	const char *slash = strrchr(path, '/');
	char *folder = inner_path(evidence, "rules"), *copy = NULL;
	int r = MS_ERR_MEMORY;

	if (folder && asprintf(&copy, "%s/%04zu-%s", folder, number, slash ? slash + 1 : path) < 0)
		copy = NULL;
	if (copy)
		r = mkdir(folder, 0700) == 0 || errno == EEXIST ? copy_file(evidence, path, copy)
								: MS_ERR_IO;
	if (r < 0)
		complain("cannot keep a copy of %s in the evidence", path);
	free(copy);
	free(folder);
	return r;
}

/* ---- Log and summary -------------------------------------------------------------------- */

void evidence_log(struct evidence *evidence, const char *format, ...)
{
	char text[2048], line[2200], time[32];
	va_list args;
	int length;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text_harmless(text);
	for (char *c = text; *c; c++)
		if (*c == '\n')
			*c = ' ';
	time_iso(time_now(), time);
	length = snprintf(line, sizeof(line), "%s %s\n", time, text);
	pthread_mutex_lock(&evidence->lock);
	if (evidence->log && ms_file_write(evidence->log, line, (size_t)length) < 0)
		evidence->failed = true;
	pthread_mutex_unlock(&evidence->lock);
}

void evidence_record(struct evidence *evidence, const struct ms_record *record)
{
	pthread_mutex_lock(&evidence->lock);
	evidence->summary_sink.record(evidence->summary_sink.ctx, record);
	pthread_mutex_unlock(&evidence->lock);
}

void evidence_error(struct evidence *evidence, uint32_t pid, const char *what, const char *why)
{
	const struct ms_value values[] = {
		pid ? number_value(pid) : (struct ms_value){0}, text_value(what), text_value(why)};
	struct ms_record record = {&ms_schema_error, values};

	if (pid)
		evidence_log(evidence, "%u: %s: %s", pid, what, why);
	else
		evidence_log(evidence, "%s: %s", what, why);
	evidence_record(evidence, &record);
}

void evidence_coverage(struct evidence *evidence, const struct ms_process *process,
	const struct ms_coverage *coverage)
{
	evidence_log(evidence, "%s.%u: %llu bytes read, %llu unreadable, %llu skipped: %s",
		process->name, process->pid, (unsigned long long)coverage->read,
		(unsigned long long)coverage->unreadable, (unsigned long long)coverage->skipped,
		coverage->partial ? "partial" : "complete");
	pthread_mutex_lock(&evidence->lock);
	ms_sink_coverage(&evidence->summary_sink, process, coverage);
	pthread_mutex_unlock(&evidence->lock);
}

/* ---- Beginning and end ------------------------------------------------------------------ */

static void log_beginning(struct evidence *evidence)
{
	char host[256], user[256], command[1600];
	size_t at = 0;

	ms_machine_name(host, sizeof(host));
	ms_user_name(user, sizeof(user));
	command[0] = '\0';
	for (int i = 0; i < evidence->options->argc && at < sizeof(command) - 1; i++)
		at += (size_t)snprintf(command + at, sizeof(command) - at, "%s%s", i ? " " : "",
			evidence->options->argv[i]);
	evidence_log(evidence, "memsift %s on %s as %s: %s", ms_version(), host, user, command);
	if (!evidence->hash)
		evidence_log(
			evidence, "this build computes no hashes: it was made without libcrypto");
}

static int open_files(struct evidence *evidence)
{
	char *log = inner_path(evidence, "collection.log");
	char *summary = inner_path(evidence, "summary.json");
	int r = log && summary ? ms_file_create(log, evidence_file_flags(evidence), &evidence->log)
			       : MS_ERR_MEMORY;

	if (r == 0)
		r = evidence_file_open(
			evidence, summary, &evidence->summary, &evidence->summary_sink);
	if (r < 0)
		complain("%s", ms_error());
	free(log);
	free(summary);
	return r;
}

int evidence_open(const struct options *options, int64_t started, struct evidence **ret_evidence)
{
	struct evidence *evidence = calloc(1, sizeof(*evidence));

	if (!evidence)
		return -1;
	evidence->options = options;
	evidence->started = started;
	evidence->hash = strstr(ms_features(), "crypto") ? MS_FILE_HASH : 0;
	evidence->folder = folder_name(options, started);
	pthread_mutex_init(&evidence->lock, NULL);
	if (!evidence->folder || folder_make(evidence) < 0 || open_files(evidence) < 0) {
		/* Nothing in it has a name yet. */
		if (evidence->made)
			rmdir(evidence->folder);
		evidence_free(evidence);
		return -1;
	}
	log_beginning(evidence);
	*ret_evidence = evidence;
	return 0;
}

const char *evidence_folder(const struct evidence *evidence)
{
	return evidence->folder;
}

static int put(struct ms_sink *sink, const struct ms_schema *schema, const struct ms_value *values)
{
	struct ms_record record = {schema, values};

	return sink->record(sink->ctx, &record) ? -1 : 0;
}

/* The facts of the run; the same record opens the manifest and the summary's end. */
static int put_run(const struct evidence *evidence, struct ms_sink *sink)
{
	return meta_put(sink, evidence->options, evidence->started, time_now());
}

static int put_summary(struct ms_sink *sink, const struct summary *summary)
{
	static const struct ms_column columns[] = {{"targets", MS_TYPE_U64}, {"hits", MS_TYPE_U64},
		{"bytes_read", MS_TYPE_U64}, {"status", MS_TYPE_TEXT}};
	static const struct ms_schema schema = {"summary", 4, columns};
	bool partial = summary->partial || summary->status != 0;
	/* No search is not a search that found nothing. */
	struct ms_value hits = number_value(summary->hits);

	hits.present = summary->searched;
	const struct ms_value values[] = {number_value(summary->targets), hits,
		number_value(summary->bytes_read),
		text_value(interrupted() ? "interrupted"
			   : partial	 ? "partial"
					 : "complete")};

	return put(sink, &schema, values);
}

static int close_summary(struct evidence *evidence, const struct summary *summary)
{
	struct evidence_file *file = evidence->summary;
	int r = put_run(evidence, &evidence->summary_sink);

	evidence->summary = NULL;
	if (r == 0)
		r = put_summary(&evidence->summary_sink, summary);
	return evidence_file_close(file, r);
}

static int close_log(struct evidence *evidence)
{
	char *path = inner_path(evidence, "collection.log");
	int r;

	evidence_log(evidence, "%s", interrupted() ? "interrupted" : "finished");
	r = path ? ms_file_commit(evidence->log) : MS_ERR_MEMORY;
	if (r == 0)
		evidence_add(
			evidence, path, ms_file_size(evidence->log), ms_file_sha256(evidence->log));
	ms_file_free(evidence->log);
	evidence->log = NULL;
	free(path);
	return r;
}

static int entry_order(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static int write_manifest(struct evidence *evidence, const struct summary *summary)
{
	static const struct ms_column columns[] = {
		{"path", MS_TYPE_TEXT}, {"size", MS_TYPE_U64}, {"sha256", MS_TYPE_TEXT}};
	static const struct ms_schema schema = {"file", 3, columns};
	char *path = inner_path(evidence, "manifest.json");
	struct evidence_file *file;
	struct ms_sink sink;
	int r = path ? evidence_file_open(evidence, path, &file, &sink) : MS_ERR_MEMORY;

	free(path);
	if (r < 0)
		return r;
	file->evidence = NULL; /* the manifest does not list itself */
	r = put_run(evidence, &sink);
	qsort(evidence->entries, evidence->entry_count, sizeof(*evidence->entries), entry_order);
	for (size_t i = 0; i < evidence->entry_count && r == 0; i++) {
		const struct entry *entry = &evidence->entries[i];
		const struct ms_value values[] = {text_value(entry->path),
			number_value(entry->size), text_value(entry->sha256)};

		r = put(&sink, &schema, values);
	}
	if (r == 0)
		r = put_summary(&sink, summary);
	return evidence_file_close(file, r);
}

int evidence_close(struct evidence *evidence, const struct summary *summary)
{
	int r = close_summary(evidence, summary);

	if (r == 0)
		r = close_log(evidence);
	if (r == 0)
		r = write_manifest(evidence, summary);
	if (r < 0)
		complain("%s", ms_error());
	return evidence->failed ? -1 : r;
}

void evidence_tell(const struct evidence *evidence, struct output *output)
{
	uint64_t bytes = 0;
	char *text;

	for (size_t i = 0; i < evidence->entry_count; i++)
		bytes += evidence->entries[i].size;
	if (asprintf(&text,
		    "evidence in %s: %zu files, %.1f MiB; check it with `memsift verify %s`\n",
		    evidence->folder, evidence->entry_count + 1, (double)bytes / (1 << 20),
		    evidence->folder) < 0)
		return;
	output_bytes(output, text, strlen(text));
	free(text);
}

void evidence_free(struct evidence *evidence)
{
	if (!evidence)
		return;
	if (evidence->summary)
		evidence_file_close(evidence->summary, 0);
	ms_file_free(evidence->log);
	for (size_t i = 0; i < evidence->entry_count; i++) {
		free(evidence->entries[i].path);
		free(evidence->entries[i].sha256);
	}
	free(evidence->entries);
	pthread_mutex_destroy(&evidence->lock);
	free(evidence->folder);
	free(evidence);
}
