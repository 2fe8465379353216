/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text for people: which form each type of record takes, and the spellings the forms share. Text
 * may change at any time; scripts take json, ndjson or csv.
 */
#include "export/text.h"

#include "export/value.h"

static bool is_text(const struct ms_value *value, const char *text)
{
	return value->size == strlen(text) && memcmp(value->v.data, text, value->size) == 0;
}

/* Shown to nobody, but what was found is called by what was looked for. */
static void note_command(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_value *command = record_find(record, "command", MS_TYPE_TEXT);
	struct text_state *state = exporter->priv;

	state->changes = command && (is_text(command, "diff") || is_text(command, "watch"));
}

/* Types that are neither rows of a table nor shown field by field. */
static const struct {
	const char *type;
	void (*print)(struct ms_exporter *exporter, const struct ms_record *record);
} forms[] = {
	{"hit", text_hit},
	{"change", text_change},
	{"coverage", text_coverage},
	{"error", text_error},
	{"summary", text_summary},
	{"meta", note_command},
};

void text_size(struct buf *out, uint64_t size)
{
	static const char units[] = "KMGTPE";
	unsigned unit = 0;
	uint64_t tenths;

	if (size < 1024) {
		buf_decimal(out, size);
		buf_char(out, 'B');
		return;
	}
	while (unit + 2 < sizeof(units) && size >> (10 * (unit + 2)))
		unit++;
	tenths = ((size >> (10 * unit)) * 10 + 512) >> 10;
	buf_decimal(out, tenths < 1000 ? tenths / 10 : (tenths + 5) / 10);
	if (tenths < 1000) {
		buf_char(out, '.');
		buf_decimal(out, tenths % 10);
	}
	buf_char(out, units[unit]);
}

void text_count(struct buf *out, uint64_t count, const char *noun)
{
	buf_format(out, "%llu %s%s", (unsigned long long)count, noun, count == 1 ? "" : "s");
}

bool text_field(struct buf *out, const struct ms_record *record, const char *name)
{
	const struct ms_value *value = record_find(record, name, MS_TYPE_TEXT);

	if (!value || !value->size)
		return false;
	buf_printable(out, value->v.data, value->size);
	return true;
}

uint64_t text_u64(const struct ms_record *record, const char *name)
{
	const struct ms_value *value = record_find(record, name, MS_TYPE_U64);

	return value ? value->v.u : 0;
}

void text_process_values(
	struct buf *out, const struct ms_value *pid, const struct ms_value *process)
{
	bool named = process && process->present && process->size;

	if (pid && pid->present)
		buf_decimal(out, pid->v.u);
	if (pid && pid->present && named)
		buf_char(out, ' ');
	if (named)
		buf_printable(out, process->v.data, process->size);
}

void text_process(struct buf *out, const struct ms_record *record)
{
	text_process_values(out, record_find(record, "pid", MS_TYPE_U64),
		record_find(record, "process", MS_TYPE_TEXT));
}

void text_address(struct buf *out, const struct ms_value *address)
{
	if (!address || !address->present)
		return;
	buf_add(out, "  0x", 4);
	buf_hexadecimal(out, address->v.u);
}

static void print_value(struct buf *out, enum ms_type type, const struct ms_value *value)
{
	if (type == MS_TYPE_TEXT) {
		buf_char(out, '"');
		buf_printable(out, value->v.data, value->size);
		buf_char(out, '"');
	} else if (type == MS_TYPE_LIST) {
		buf_char(out, '(');
		text_count(out, value->size, "item");
		buf_char(out, ')');
	} else {
		value_bare(out, type, value);
	}
}

/* A type without a form of its own: every field that has a value. */
static void print_fields(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_schema *schema = record->schema;
	struct buf *out = &exporter->out;

	buf_format(out, "%s:", schema->type);
	for (size_t i = 0; i < schema->column_count; i++) {
		if (!record->values[i].present)
			continue;
		buf_format(out, " %s=", schema->columns[i].name);
		print_value(out, schema->columns[i].type, &record->values[i]);
	}
	buf_char(out, '\n');
}

/* Chooses how records of a schema are printed. */
static void form_choose(struct text_state *state, const struct ms_schema *schema)
{
	if (state->schema == schema)
		return;
	state->schema = schema;
	state->rows = text_table_find(schema->type);
	state->print = print_fields;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (strcmp(forms[i].type, schema->type) == 0)
			state->print = forms[i].print;
}

static void text_record(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct text_state *state = exporter->priv;
	size_t before;

	form_choose(state, record->schema);
	text_line_goes_on(&state->line, &exporter->out, record);
	before = exporter->out.size;
	if (state->rows)
		text_table_record(exporter, state->rows, record);
	else
		state->print(exporter, record);
	if (exporter->out.size == before)
		return;
	state->table = state->rows;
	state->any = true;
}

static void text_end(struct ms_exporter *exporter)
{
	struct text_state *state = exporter->priv;

	text_line_end(&state->line, &exporter->out);
}

const struct ms_exporter_ops text_exporter = {
	.name = "text",
	.summary = "for people; may change at any time",
	.priv_size = sizeof(struct text_state),
	.record = text_record,
	.end = text_end,
};
