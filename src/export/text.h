/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the text format: text.c chooses one by the type of the record and prints those
 * that have no form of their own; text_table.c, text_hit.c,
 * text_change.c and text_coverage.c print theirs.
 *
 * Everything that comes from a target goes through buf_printable(), so that it cannot talk to
 * the terminal.
 */
#ifndef MS_EXPORT_TEXT_H
#define MS_EXPORT_TEXT_H

#include "export/exporter.h"
#include "export/line.h"

struct text_table;

struct text_state {
	struct text_line line;
	struct value_columns hit;	/* of text_hit.c */
	struct value_columns cells;	/* of text_table.c */
	const struct ms_schema *schema; /* of the last record, and how it is printed: */
	const struct text_table *rows;	/* in a table, or */
	void (*print)(struct ms_exporter *exporter, const struct ms_record *record);
	const struct text_table *table; /* being written; NULL: none is */
	uint64_t pid;			/* its process */
	bool any;			/* something was written */
	bool changes;			/* what was looked for is changes */
};

/* The table that records of a type are rows of, or NULL. */
const struct text_table *text_table_find(const char *type);

void text_table_record(struct ms_exporter *exporter, const struct text_table *table,
	const struct ms_record *record);

void text_hit(struct ms_exporter *exporter, const struct ms_record *record);

void text_change(struct ms_exporter *exporter, const struct ms_record *record);

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

/* The same of the values; either may be NULL or absent. */
void text_process_values(
	struct buf *out, const struct ms_value *pid, const struct ms_value *process);

/* The values of where something lies; any may be NULL or absent. */
struct text_place {
	const struct ms_value *perm, *kind, *path, *module, *module_offset;
};

/* Appends "  rw-p heap [heap]", or "  r-xp code libc.so.6+0x1234" inside a module. */
void text_where(struct buf *out, const struct text_place *place);

/* Appends "  0x1234", unless the value is NULL or absent. */
void text_address(struct buf *out, const struct ms_value *address);

/* A field's number; 0 if it has none. */
uint64_t text_u64(const struct ms_record *record, const char *name);

#define TEXT_BOLD "\x1b[1m"
#define TEXT_RED "\x1b[1;31m"
#define TEXT_GREEN "\x1b[32m"
#define TEXT_YELLOW "\x1b[33m"
#define TEXT_PLAIN "\x1b[0m"

#endif
