/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An evidence folder being written: its files, log, summary and manifest. All functions but open,
 * close, tell and free may be called by several threads at once.
 */
#ifndef MS_CLI_EVIDENCE_H
#define MS_CLI_EVIDENCE_H

#include "cli.h"

struct evidence;
struct evidence_file;

/* Makes the folder; says what is wrong and returns a negative number if it cannot. */
int evidence_open(const struct options *options, int64_t started, struct evidence **ret_evidence);

const char *evidence_folder(const struct evidence *evidence);

/* MS_FILE_* for files of the folder. */
unsigned evidence_file_flags(const struct evidence *evidence);

/* A line for collection.log. */
void evidence_log(struct evidence *evidence, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A file of records in JSON. close() keeps the file even if status tells of a failure. */
int evidence_file_open(struct evidence *evidence, const char *path,
	struct evidence_file **ret_file, struct ms_sink *ret_sink);
int evidence_file_close(struct evidence_file *file, int status);

/*
 * Copies a file of rules into the folder rules/, under its own name with a number before it, and
 * enters it into the manifest.
 */
int evidence_keep(struct evidence *evidence, const char *path, size_t number);

/* Enters a finished file into the manifest. */
void evidence_add(struct evidence *evidence, const char *path, uint64_t size, const char *sha256);

/* Entries of summary.json. */
void evidence_error(struct evidence *evidence, uint32_t pid, const char *what, const char *why);
void evidence_coverage(struct evidence *evidence, const struct ms_process *process,
	const struct ms_coverage *coverage);
void evidence_record(struct evidence *evidence, const struct ms_record *record);

/* Writes summary.json, collection.log and the manifest. */
int evidence_close(struct evidence *evidence, const struct summary *summary);

/* Tells people what is where. */
void evidence_tell(const struct evidence *evidence, struct output *output);

void evidence_free(struct evidence *evidence);

#endif
