/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records as rows. Output streams, so the columns of a table have fixed widths, chosen for each
 * type below; what is wider pushes the rest of its line to the right, and the last column is as
 * long as it needs to be.
 */
#include "export/text.h"

#include "export/value.h"

#include <assert.h>

enum shape {
	SHAPE_TEXT,
	SHAPE_NUMBER,
	SHAPE_ADDRESS,
	SHAPE_RANGE,
	SHAPE_SIZE,
	SHAPE_TIME,
	SHAPE_STATUS
};

struct column {
	const char *title, *name;
	enum shape shape;
	int width;		   /* negative: left-aligned; 0: the last one */
	size_t cut;		   /* at most so many bytes of a text; 0: all of it */
	const char *other;	   /* what to show where there is no text; of a range, its end */
	const char *flag, *remark; /* what to add where this flag is set */
};

static const struct column process_columns[] = {
	{"PID", "pid", SHAPE_NUMBER, .width = 7},
	{"PPID", "ppid", SHAPE_NUMBER, .width = 7},
	{"USER", "user", SHAPE_TEXT, .width = -8},
	{"STARTED", "started", SHAPE_TIME, .width = -20},
	{"ARCH", "arch", SHAPE_TEXT, .width = -7},
	{"RSS", "rss", SHAPE_SIZE, .width = 5},
	{"NAME", "name", SHAPE_TEXT, .width = -15},
	{"COMMAND", "cmdline", SHAPE_TEXT, .width = 0, .other = "exe", .flag = "exe_deleted",
		.remark = " (program deleted)"},
	{0},
};

static const struct column region_columns[] = {
	{"ADDRESS", "start", SHAPE_RANGE, .width = -25, .other = "end"},
	{"PERM", "perm", SHAPE_TEXT, .width = -4},
	{"KIND", "kind", SHAPE_TEXT, .width = -6},
	{"SIZE", "size", SHAPE_SIZE, .width = 5},
	{"RSS", "resident", SHAPE_SIZE, .width = 5},
	{"PATH", "path", SHAPE_TEXT, .width = 0, .flag = "deleted", .remark = " (deleted)"},
	{0},
};

static const struct column module_columns[] = {
	{"BASE", "base", SHAPE_ADDRESS, .width = -14},
	{"SIZE", "size", SHAPE_SIZE, .width = 5},
	{"NAME", "name", SHAPE_TEXT, .width = -20},
	{"VERSION", "version", SHAPE_TEXT, .width = -10},
	{"BUILD ID", "build_id", SHAPE_TEXT, .width = -12, .cut = 12},
	{"PATH", "path", SHAPE_TEXT, .width = 0},
	{0},
};

static const struct column check_columns[] = {
	{"CHECK", "name", SHAPE_TEXT, .width = -24},
	{"STATUS", "status", SHAPE_STATUS, .width = -7},
	{"DETAIL", "detail", SHAPE_TEXT, .width = 0},
	{0},
};

static const struct column file_columns[] = {
	{"STATUS", "status", SHAPE_STATUS, .width = -7},
	{"SIZE", "size", SHAPE_SIZE, .width = 5},
	{"FILE", "path", SHAPE_TEXT, .width = 0},
	{0},
};

static const struct column value_columns[] = {
	{"ADDRESS", "address", SHAPE_ADDRESS, .width = -14},
	{"VALUE", "value", SHAPE_TEXT, .width = -20},
	{"BEFORE", "previous", SHAPE_TEXT, .width = -20},
	{"PERM", "perm", SHAPE_TEXT, .width = -4},
	{"KIND", "kind", SHAPE_TEXT, .width = -6},
	{"PATH", "path", SHAPE_TEXT, .width = 0},
	{0},
};

struct text_table {
	const char *type;
	const struct column *columns;
	bool by_process;	       /* a table for each process, under a line that names it */
	const char *more, *more_title; /* a text that gets a line of its own below the row */
};

static const struct text_table tables[] = {
	{"process", .columns = process_columns},
	{"region", .columns = region_columns, .by_process = true},
	{"module", .columns = module_columns, .by_process = true},
	{"check", .columns = check_columns, .more = "remedy", .more_title = "to do: "},
	{"file", .columns = file_columns},
	{"value", .columns = value_columns, .by_process = true},
};

const struct text_table *text_table_find(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (strcmp(tables[i].type, type) == 0)
			return &tables[i];
	return NULL;
}

static const enum ms_type types[] = {
	[SHAPE_TEXT] = MS_TYPE_TEXT,
	[SHAPE_NUMBER] = MS_TYPE_U64,
	[SHAPE_ADDRESS] = MS_TYPE_ADDRESS,
	[SHAPE_RANGE] = MS_TYPE_ADDRESS,
	[SHAPE_SIZE] = MS_TYPE_U64,
	[SHAPE_TIME] = MS_TYPE_TIME,
	[SHAPE_STATUS] = MS_TYPE_TEXT,
};

/* What a cell is made of: three of the columns that are looked up once for all records. */
enum { CELL_VALUE, CELL_OTHER, CELL_FLAG, CELL_PARTS };

struct cell {
	const struct column *column;
	const struct ms_value *value, *other, *flag;
};

static void find_columns(
	struct value_columns *found, const struct text_table *table, const struct ms_schema *schema)
{
	struct ms_column wanted[VALUE_COLUMNS];
	size_t count = 0;

	if (found->schema == schema)
		return;
	for (const struct column *column = table->columns; column->title; column++) {
		struct ms_column *parts = &wanted[count];

		assert(count + CELL_PARTS <= ARRAY_SIZE(wanted));
		parts[CELL_VALUE] = (struct ms_column){column->name, types[column->shape]};
		parts[CELL_OTHER] = (struct ms_column){
			column->other ? column->other : "", types[column->shape]};
		parts[CELL_FLAG] =
			(struct ms_column){column->flag ? column->flag : "", MS_TYPE_BOOL};
		count += CELL_PARTS;
	}
	value_columns_find(found, schema, wanted, count);
}

static void cell_text(struct buf *out, const struct cell *cell)
{
	const struct column *column = cell->column;
	const struct ms_value *value = cell->value->size ? cell->value : cell->other;

	if (column->cut && value->size > column->cut)
		buf_printable(out, value->v.data, column->cut);
	else
		buf_printable(out, value->v.data, value->size);
	if (cell->flag->v.u)
		buf_text(out, column->remark);
}

static void cell_number(struct buf *out, const struct cell *cell)
{
	const struct ms_value *value = cell->value;

	if (!value->present)
		return;
	if (cell->column->shape == SHAPE_SIZE)
		text_size(out, value->v.u);
	else if (cell->column->shape == SHAPE_RANGE) {
		buf_hexadecimal(out, value->v.u);
		buf_char(out, '-');
		buf_hexadecimal(out, cell->other->present ? cell->other->v.u : value->v.u);
	} else
		value_bare(out, types[cell->column->shape], value);
}

/* Columns on a screen, as far as one character is one column. */
static int text_width(const struct buf *text)
{
	int width = 0;

	for (size_t i = 0; i < text->size; i++)
		width += (text->data[i] & 0xc0) != 0x80;
	return width;
}

static const char *status_colour(const struct buf *status)
{
	static const struct {
		const char *status, *colour;
	} colours[] = {
		{"ok", TEXT_GREEN},
		{"limited", TEXT_YELLOW},
		{"extra", TEXT_YELLOW},
		{"missing", TEXT_RED},
		{"changed", TEXT_RED},
	};

	for (size_t i = 0; status->size && i < ARRAY_SIZE(colours); i++)
		if (strcmp(colours[i].status, status->data) == 0)
			return colours[i].colour;
	return "";
}

/* Appends a cell, padded to the column's width. */
static void cell_put(struct buf *out, const struct buf *text, int width, const char *colour)
{
	int gap = width ? abs(width) - text_width(text) : 0;

	if (width > 0 && gap > 0)
		buf_fill(out, ' ', (size_t)gap);
	buf_text(out, colour);
	buf_add(out, text->data, text->size);
	buf_text(out, *colour ? TEXT_PLAIN : "");
	if (width < 0 && gap > 0)
		buf_fill(out, ' ', (size_t)gap);
}

static void line_end(struct buf *out, size_t start)
{
	while (out->size > start && out->data[out->size - 1] == ' ')
		out->size--;
	buf_char(out, '\n');
}

static void table_row(struct ms_exporter *exporter, const struct text_table *table,
	const struct ms_record *record)
{
	struct text_state *state = exporter->priv;
	struct buf *text = &exporter->scratch;
	size_t start = exporter->out.size;
	unsigned at = 0;

	find_columns(&state->cells, table, record->schema);
	for (const struct column *column = table->columns; column->title; column++) {
		bool status = column->shape == SHAPE_STATUS;
		struct cell cell = {
			.column = column,
			.value = value_in(&state->cells, record, at + CELL_VALUE),
			.other = value_in(&state->cells, record, at + CELL_OTHER),
			.flag = value_in(&state->cells, record, at + CELL_FLAG),
		};

		at += CELL_PARTS;
		buf_clear(text);
		if (column->shape == SHAPE_TEXT || status)
			cell_text(text, &cell);
		else
			cell_number(text, &cell);
		if (!text->size && column->width)
			buf_char(text, '-');
		cell_put(&exporter->out, text, column->width,
			exporter->colour && status ? status_colour(text) : "");
		buf_text(&exporter->out, column->width ? "  " : "");
		exporter->out.failed |= text->failed;
	}
	line_end(&exporter->out, start);
	buf_clear(text);
	if (table->more && text_field(text, record, table->more))
		buf_format(&exporter->out, "    %s%s\n", table->more_title, text->data);
}

static void table_head(struct ms_exporter *exporter, const struct text_table *table,
	const struct ms_record *record)
{
	struct buf *out = &exporter->out;
	size_t start;

	if (table->by_process) {
		buf_text(out, exporter->colour ? TEXT_BOLD : "");
		text_process(out, record);
		buf_text(out, exporter->colour ? TEXT_PLAIN "\n" : "\n");
	}
	start = out->size;
	for (const struct column *column = table->columns; column->title; column++)
		buf_format(out, "%*s  ", column->width, column->title);
	line_end(out, start);
}

void text_table_record(struct ms_exporter *exporter, const struct text_table *table,
	const struct ms_record *record)
{
	struct text_state *state = exporter->priv;
	uint64_t pid = table->by_process ? text_u64(record, "pid") : 0;

	if (state->table != table || state->pid != pid) {
		if (state->any)
			buf_char(&exporter->out, '\n');
		table_head(exporter, table, record);
	}
	state->table = table;
	state->pid = pid;
	table_row(exporter, table, record);
}
