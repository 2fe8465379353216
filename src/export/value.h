/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The spellings of values that the machine-readable formats promise: addresses "0x7f12a000",
 * sizes and counts as numbers, bytes as lower-case hex, times as "2026-01-31T23:59:59Z".
 *
 * Text from a target may be any bytes. Valid UTF-8 passes as it is; every byte that is not part
 * of a valid sequence becomes U+FFFD, so that the output is always valid UTF-8.
 */
#ifndef MS_EXPORT_VALUE_H
#define MS_EXPORT_VALUE_H

#include "base/buf.h"

#include "memsift.h"

/* The value called name in a record, if it is there, has a value and is of that type; or NULL. */
const struct ms_value *record_find(
	const struct ms_record *record, const char *name, enum ms_type type);

/* Where some columns are in the schema of the last record, for what prints very many records. */
enum { VALUE_COLUMNS = 24 };

struct value_columns {
	const struct ms_schema *schema;
	size_t at[VALUE_COLUMNS]; /* SIZE_MAX: it has no such column */
};

/* Looks the wanted columns up by name and type. */
void value_columns_find(struct value_columns *columns, const struct ms_schema *schema,
	const struct ms_column *wanted, size_t count);

/* The value in one of the wanted columns, by its number among them; one not present for none. */
static inline const struct ms_value *value_in(
	const struct value_columns *columns, const struct ms_record *record, unsigned which)
{
	static const struct ms_value none;
	size_t at = columns->at[which];

	return at != SIZE_MAX && record->values[at].present ? &record->values[at] : &none;
}

/* True for the schema of plain values: one column without a name. */
bool schema_is_plain(const struct ms_schema *schema);

/*
 * Appends a record as a JSON object on one line; type (may be NULL) is its first field. Control
 * characters are escaped, a field without a value is null, and so is a number JSON cannot say.
 */
void value_json_object(struct buf *out, const char *type, const struct ms_record *record);

/* Appends what stands before the value of a column in such an object. */
void value_json_key(
	struct buf *out, const char *type, const struct ms_schema *schema, size_t column);

void value_json(struct buf *out, enum ms_type type, const struct ms_value *value);

/*
 * Appends a value of any type but text and lists, bare. Nothing is appended for a value that is
 * absent, a time that no calendar holds, and a number that is not finite.
 */
void value_bare(struct buf *out, enum ms_type type, const struct ms_value *value);

/*
 * The length of the character at data, which is at least one byte: 0 where the byte is not part
 * of valid UTF-8. *ret_control tells that it is a control character, of ASCII or of U+0080-009F.
 */
size_t value_character(const unsigned char *data, size_t size, bool *ret_control);

/* What stands for a byte that cannot be shown: U+FFFD. */
#define VALUE_REPLACEMENT "\xef\xbf\xbd"

#endif
