/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same objects twice: ndjson is one a line, json is {"records":[...]} around them, streamed,
 * again with one a line so that line tools work on it, too. Every object of a type has the same
 * keys in the same order; what is unknown is null.
 */
#include "export/exporters.h"

#include "export/value.h"

struct json_state {
	bool any; /* a record was written: the next needs a comma */
};

static void json_begin(struct ms_exporter *exporter)
{
	buf_text(&exporter->out, "{\"records\":[");
}

static void json_record(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct json_state *state = exporter->priv;

	buf_text(&exporter->out, state->any ? ",\n" : "\n");
	value_json_object(&exporter->out, record->schema->type, record);
	state->any = true;
}

static void json_end(struct ms_exporter *exporter)
{
	buf_text(&exporter->out, "\n]}\n");
}

static void ndjson_record(struct ms_exporter *exporter, const struct ms_record *record)
{
	value_json_object(&exporter->out, record->schema->type, record);
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
	.record = ndjson_record,
};
