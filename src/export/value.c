/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One place spells values for json, ndjson and csv, so that the formats cannot drift apart.
 * Everything is written by hand rather than with a JSON library: it must stream, take text that
 * is not UTF-8, and not depend on the locale of the program that uses the library.
 */
#include "export/value.h"

#include "base/os.h"

#include <assert.h>
#include <math.h>

static size_t column_find(const struct ms_schema *schema, const struct ms_column *wanted)
{
	for (size_t i = 0; i < schema->column_count; i++)
		if (schema->columns[i].type == wanted->type &&
			strcmp(schema->columns[i].name, wanted->name) == 0)
			return i;
	return SIZE_MAX;
}

const struct ms_value *record_find(
	const struct ms_record *record, const char *name, enum ms_type type)
{
	size_t at = column_find(record->schema, &(struct ms_column){name, type});

	return at != SIZE_MAX && record->values[at].present ? &record->values[at] : NULL;
}

void value_columns_find(struct value_columns *columns, const struct ms_schema *schema,
	const struct ms_column *wanted, size_t count)
{
	assert(count <= VALUE_COLUMNS);
	if (columns->schema == schema)
		return;
	columns->schema = schema;
	for (size_t i = 0; i < count; i++)
		columns->at[i] = column_find(schema, &wanted[i]);
}

bool schema_is_plain(const struct ms_schema *schema)
{
	return schema->column_count == 1 && schema->columns[0].name[0] == '\0';
}

size_t value_character(const unsigned char *data, size_t size, bool *ret_control)
{
	size_t length = utf8_length(data, size);

	*ret_control = (length == 1 && (data[0] < 0x20 || data[0] == 0x7f)) ||
		       (length == 2 && data[0] == 0xc2 && data[1] < 0xa0);
	return length;
}

static void json_escape(struct buf *out, const unsigned char *data, size_t length)
{
	static const char letters[] = "\b\f\n\r\t", names[] = "bfnrt";
	const char *letter = length == 1 && data[0] ? strchr(letters, data[0]) : NULL;

	if (letter)
		buf_format(out, "\\%c", names[letter - letters]);
	else
		buf_format(out, "\\u%04x", data[length - 1]);
}

/* How many characters stand for themselves in a JSON text. */
static size_t json_plain_length(const unsigned char *data, size_t size)
{
	size_t length = 0;

	while (length < size && data[length] >= ' ' && data[length] < 0x7f && data[length] != '"' &&
		data[length] != '\\')
		length++;
	return length;
}

static void json_text(struct buf *out, const void *text, size_t size)
{
	const unsigned char *data = text;
	size_t length;
	bool control;

	buf_char(out, '"');
	for (size_t i = 0; i < size; i += length ? length : 1) {
		length = json_plain_length(data + i, size - i);
		if (length) {
			buf_add(out, data + i, length);
			continue;
		}
		length = value_character(data + i, size - i, &control);
		if (!length)
			buf_text(out, VALUE_REPLACEMENT);
		else if (control)
			json_escape(out, data + i, length);
		else if (data[i] == '"' || data[i] == '\\')
			buf_format(out, "\\%c", data[i]);
		else
			buf_add(out, data + i, length);
	}
	buf_char(out, '"');
}

/* The shortest of three precisions that reads back as the same number. */
static void number_text(struct buf *out, double number)
{
	char text[64];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	/* The decimal point is the locale's and may be several bytes long. */
	for (const char *c = text; *c; c++)
		if (strchr("0123456789+-e", *c))
			buf_char(out, *c);
		else if (out->size && out->data[out->size - 1] != '.')
			buf_char(out, '.');
}

void value_bare(struct buf *out, enum ms_type type, const struct ms_value *value)
{
	char time[32];

	if (!value->present)
		return;
	switch (type) {
	case MS_TYPE_U64:
		buf_decimal(out, value->v.u);
		break;
	case MS_TYPE_ADDRESS:
		buf_add(out, "0x", 2);
		buf_hexadecimal(out, value->v.u);
		break;
	case MS_TYPE_BOOL:
		buf_text(out, value->v.u ? "true" : "false");
		break;
	case MS_TYPE_F64:
		if (isfinite(value->v.f))
			number_text(out, value->v.f);
		break;
	case MS_TYPE_TIME:
		os_time_iso(value->v.i, time);
		buf_text(out, time);
		break;
	case MS_TYPE_BYTES:
		buf_hex(out, value->v.data, value->size);
		break;
	case MS_TYPE_TEXT:
	case MS_TYPE_LIST:
		break;
	}
}

/* The nesting is that of the schemas, which are fixed in the code, so it is not deep. */
static void json_list(struct buf *out, const struct ms_value *value)
{
	const struct ms_record *items = value->v.items;

	buf_char(out, '[');
	for (size_t i = 0; i < value->size; i++) {
		if (i)
			buf_char(out, ',');
		if (schema_is_plain(items[i].schema))
			value_json(out, items[i].schema->columns[0].type, items[i].values);
		else
			value_json_object(out, NULL, &items[i]);
	}
	buf_char(out, ']');
}

static bool type_is_quoted(enum ms_type type)
{
	return type == MS_TYPE_ADDRESS || type == MS_TYPE_TIME || type == MS_TYPE_BYTES;
}

void value_json(struct buf *out, enum ms_type type, const struct ms_value *value)
{
	size_t start = out->size;

	if (!value->present)
		buf_add(out, "null", 4);
	else if (type == MS_TYPE_TEXT)
		json_text(out, value->v.data, value->size);
	else if (type == MS_TYPE_LIST)
		json_list(out, value);
	else if (type == MS_TYPE_BYTES && !value->size)
		buf_text(out, "\"\"");
	else {
		if (type_is_quoted(type))
			buf_char(out, '"');
		value_bare(out, type, value);
		if (out->size == start + type_is_quoted(type)) {
			out->size = start;
			buf_text(out, "null");
		} else if (type_is_quoted(type)) {
			buf_char(out, '"');
		}
	}
}

static void json_open(struct buf *out, const char *type)
{
	buf_char(out, '{');
	if (type) {
		buf_text(out, "\"type\":");
		json_text(out, type, strlen(type));
	}
}

void value_json_key(
	struct buf *out, const char *type, const struct ms_schema *schema, size_t column)
{
	if (column == 0)
		json_open(out, type);
	if (column || type)
		buf_char(out, ',');
	json_text(out, schema->columns[column].name, strlen(schema->columns[column].name));
	buf_char(out, ':');
}

void value_json_object(struct buf *out, const char *type, const struct ms_record *record)
{
	const struct ms_schema *schema = record->schema;

	if (!schema->column_count)
		json_open(out, type);
	for (size_t i = 0; i < schema->column_count; i++) {
		value_json_key(out, type, schema, i);
		value_json(out, schema->columns[i].type, &record->values[i]);
	}
	buf_char(out, '}');
}
