/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line of a printable string, which may come in several records: the formats "text" and
 * "plain" write it the same way. text_hit.c implements it.
 */
#ifndef MS_EXPORT_LINE_H
#define MS_EXPORT_LINE_H

#include "export/exporter.h"
#include "export/value.h"

/* The line of a string, left open for the rest of the string to follow. */
struct text_line {
	struct value_columns columns;
	bool open;
	uint64_t pid, end; /* the address behind what was written */
};

/* Whether a record is the rest of the string whose line is open; if not, the line is ended. */
bool text_line_goes_on(struct text_line *line, struct buf *out, const struct ms_record *record);

/*
 * Then appends the record's string to the line, which stays open; false if the record has none.
 */
bool text_line_add(struct text_line *line, struct buf *out, const struct ms_record *record);
void text_line_end(struct text_line *line, struct buf *out);

#endif
