/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same objects twice: ndjson is one a line, json is {"records":[...]} around them, streamed,
 * again with one a line so that line tools work on it, too. Every object of a type has the same
 * keys in the same order; what is unknown is null.
 */
#include "export/exporters.h"

#include "export/value.h"

enum { KEYS_ROOM = 1024 };

/* The keys of the last record's schema, as they are written: between the values. */
struct json_keys {
	const struct ms_schema *schema;
	size_t ends[MS_COLUMNS_MAX];
	char text[KEYS_ROOM];
	bool fit; /* there is room for all */
};

struct json_state {
	struct json_keys keys;
	bool any; /* a record was written: the next needs a comma */
};

static void keys_make(struct json_keys *keys, const struct ms_schema *schema, struct buf *scratch)
{
	buf_clear(scratch);
	for (size_t i = 0; i < schema->column_count && i < MS_COLUMNS_MAX; i++) {
		value_json_key(scratch, schema->type, schema, i);
		keys->ends[i] = scratch->size;
	}
	keys->schema = schema;
	keys->fit = schema->column_count && schema->column_count <= MS_COLUMNS_MAX &&
		    scratch->size <= KEYS_ROOM && !scratch->failed;
	if (keys->fit)
		memcpy(keys->text, scratch->data, scratch->size);
}

static void object_put(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct json_state *state = exporter->priv;
	const struct json_keys *keys = &state->keys;
	const struct ms_schema *schema = record->schema;
	struct buf *out = &exporter->out;

	if (keys->schema != schema)
		keys_make(&state->keys, schema, &exporter->scratch);
	if (!keys->fit) {
		value_json_object(out, schema->type, record);
		return;
	}
	for (size_t i = 0, at = 0; i < schema->column_count; at = keys->ends[i++]) {
		buf_add(out, keys->text + at, keys->ends[i] - at);
		value_json(out, schema->columns[i].type, &record->values[i]);
	}
	buf_char(out, '}');
}

static void json_begin(struct ms_exporter *exporter)
{
	buf_text(&exporter->out, "{\"records\":[");
}

static void json_record(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct json_state *state = exporter->priv;

	buf_text(&exporter->out, state->any ? ",\n" : "\n");
	object_put(exporter, record);
	state->any = true;
}

static void json_end(struct ms_exporter *exporter)
{
	buf_text(&exporter->out, "\n]}\n");
}

static void ndjson_record(struct ms_exporter *exporter, const struct ms_record *record)
{
	object_put(exporter, record);
	buf_char(&exporter->out, '\n');
}

const struct ms_exporter_ops json_exporter = {
	.name = "json",
	.summary = "one JSON document",
	.priv_size = sizeof(struct json_state),
	.begin = json_begin,
	.record = json_record,
	.end = json_end,
};

const struct ms_exporter_ops ndjson_exporter = {
	.name = "ndjson",
	.summary = "one JSON object a line",
	.priv_size = sizeof(struct json_state),
	.record = ndjson_record,
};
