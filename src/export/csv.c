/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables as in RFC 4180, but with lines that end in LF. Where records of another type follow,
 * an empty line and a header begin a new table; the first column is always the type. A list is
 * its JSON text, an absent value an empty cell.
 *
 * CSV has no escapes and is opened by spreadsheets, so text loses a little: bytes that are not
 * valid UTF-8 and control characters other than tab, LF and CR become U+FFFD, and text that a
 * spreadsheet would take for a formula (it begins with = + - @, a tab or a CR) gets a ' in
 * front. The json formats keep such text as it is.
 */
#include "export/exporters.h"

#include "base/bytes.h"

#include "export/value.h"

struct csv_state {
	const struct ms_schema *schema; /* of the table being written; schemas are constants */
};

static void cell_text(struct buf *out, const void *text, size_t size)
{
	const unsigned char *data = text;
	size_t start = out->size, length;
	bool quote = false, control;

	/* Most text is a word or two. */
	if (ascii_length(data, size) == size && (!size || !memchr(data, '"', size)) &&
		(!size || !memchr(data, ',', size))) {
		buf_add(out, data, size);
		return;
	}
	for (size_t i = 0; i < size; i += length ? length : 1) {
		length = value_character(data + i, size - i, &control);
		if (!length || (control && !strchr("\t\n\r", data[i])) || !data[i])
			buf_text(out, VALUE_REPLACEMENT);
		else
			buf_add(out, data + i, length);
		if (data[i] == '"')
			buf_char(out, '"');
		if (strchr("\",\n\r", data[i]) && data[i])
			quote = true;
	}
	if (!quote)
		return;
	buf_text(out, "\"\"");
	if (out->failed)
		return;
	memmove(out->data + start + 1, out->data + start, out->size - start - 2);
	out->data[start] = '"';
}

/* "-42" and "-1.5" are numbers, not formulas. */
static bool is_plain_number(const char *text, size_t size)
{
	for (size_t i = 1; i < size; i++)
		if (!is_digit(text[i]) && text[i] != '.')
			return false;
	return text[0] == '-' && size > 1;
}

/* Permissions such as "---p" are the library's own words, not text of the target's choosing. */
static bool is_formula(const char *column, const struct ms_value *value)
{
	const char *text = value->v.data;

	if (value->size && is_plain_number(text, value->size))
		return false;
	return value->size && text[0] && strchr("=+-@\t\r", text[0]) &&
	       strcmp(column, "perm") != 0 && strcmp(column, "old_perm") != 0;
}

static void cell(
	struct ms_exporter *exporter, const struct ms_column *column, const struct ms_value *value)
{
	struct buf *scratch = &exporter->scratch;

	if (!value->present)
		return;
	if (column->type != MS_TYPE_TEXT && column->type != MS_TYPE_LIST) {
		value_bare(&exporter->out, column->type, value);
		return;
	}
	if (column->type == MS_TYPE_TEXT && !is_formula(column->name, value)) {
		cell_text(&exporter->out, value->v.data, value->size);
		return;
	}
	buf_clear(scratch);
	if (column->type == MS_TYPE_LIST) {
		value_json(scratch, MS_TYPE_LIST, value);
	} else {
		buf_char(scratch, '\'');
		buf_add(scratch, value->v.data, value->size);
	}
	cell_text(&exporter->out, scratch->data, scratch->size);
	if (scratch->failed)
		exporter->out.failed = true;
}

static bool same_table(const struct ms_schema *a, const struct ms_schema *b)
{
	if (a == b)
		return true;
	if (!a || a->column_count != b->column_count || strcmp(a->type, b->type) != 0)
		return false;
	for (size_t i = 0; i < a->column_count; i++)
		if (strcmp(a->columns[i].name, b->columns[i].name) != 0)
			return false;
	return true;
}

static void csv_header(struct buf *out, const struct ms_schema *schema)
{
	buf_text(out, "type");
	for (size_t i = 0; i < schema->column_count; i++) {
		buf_char(out, ',');
		cell_text(out, schema->columns[i].name, strlen(schema->columns[i].name));
	}
	buf_char(out, '\n');
}

static void csv_record(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct csv_state *state = exporter->priv;
	const struct ms_schema *schema = record->schema;

	if (!same_table(state->schema, schema)) {
		if (state->schema)
			buf_char(&exporter->out, '\n');
		csv_header(&exporter->out, schema);
	}
	state->schema = schema;
	cell_text(&exporter->out, schema->type, strlen(schema->type));
	for (size_t i = 0; i < schema->column_count; i++) {
		buf_char(&exporter->out, ',');
		cell(exporter, &schema->columns[i], &record->values[i]);
	}
	buf_char(&exporter->out, '\n');
}

const struct ms_exporter_ops csv_exporter = {
	.name = "csv",
	.summary = "one table for each type of record",
	.priv_size = sizeof(struct csv_state),
	.record = csv_record,
};
