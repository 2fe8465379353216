/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the text format: text.c chooses one by the type of the record and prints those
 * that have no form of their own; text_table.c, text_hit.c and text_coverage.c print theirs.
 *
 * Everything that comes from a target goes through buf_printable(), so that it cannot talk to
 * the terminal.
 */
#ifndef MS_EXPORT_TEXT_H
#define MS_EXPORT_TEXT_H

#include "export/exporter.h"

struct text_table;

/* The line of a string, left open for the rest of the string to follow. */
struct text_line {
	const struct ms_schema *schema; /* of the last record, and where in it the fields are */
	size_t columns[5];
	bool open;
	uint64_t pid, end; /* the address behind what was written */
};

struct text_state {
	struct text_line line;
	const struct text_table *table; /* being written; NULL: none is */
	uint64_t pid;			/* its process */
	bool any;			/* something was written */
};

/* The table that records of a type are rows of, or NULL. */
const struct text_table *text_table_find(const char *type);

void text_table_record(struct ms_exporter *exporter, const struct text_table *table,
	const struct ms_record *record);

void text_hit(struct ms_exporter *exporter, const struct ms_record *record);

/* Whether a record is the rest of the string whose line is open; if not, the line is ended. */
bool text_line_goes_on(
	struct text_line *line, struct buf *out, const struct ms_record *record);

/*
 * Then appends the record's string to the line, which stays open; false if the record has none.
 */
bool text_line_add(struct text_line *line, struct buf *out, const struct ms_record *record);
void text_line_end(struct text_line *line, struct buf *out);
void text_coverage(struct ms_exporter *exporter, const struct ms_record *record);
void text_summary(struct ms_exporter *exporter, const struct ms_record *record);
void text_error(struct ms_exporter *exporter, const struct ms_record *record);

/* Appends a size as people read it: 512B, 4.0K, 12.3M, 132K. */
void text_size(struct buf *out, uint64_t size);

/* Appends "1 hit" or "2 hits"; the plural is an s. */
void text_count(struct buf *out, uint64_t count, const char *noun);

/* Appends a field's text, ready for a terminal; false, and nothing is appended, if it has none. */
bool text_field(struct buf *out, const struct ms_record *record, const char *name);

/* Appends "1234 bash", or what of it the record knows. */
void text_process(struct buf *out, const struct ms_record *record);

/* A field's number; 0 if it has none. */
uint64_t text_u64(const struct ms_record *record, const char *name);

#define TEXT_BOLD "\x1b[1m"
#define TEXT_RED "\x1b[1;31m"
#define TEXT_GREEN "\x1b[32m"
#define TEXT_YELLOW "\x1b[33m"
#define TEXT_PLAIN "\x1b[0m"

#endif
