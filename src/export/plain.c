/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing but the text of strings, one a line, as strings(1) prints it: what is not a string, and
 * where it was found, is left to the other formats.
 */
#include "export/line.h"

#include "export/exporters.h"

static void plain_record(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct text_line *line = exporter->priv;

	text_line_goes_on(line, &exporter->out, record);
	text_line_add(line, &exporter->out, record);
}

static void plain_end(struct ms_exporter *exporter)
{
	text_line_end(exporter->priv, &exporter->out);
}

const struct ms_exporter_ops plain_exporter = {
	.name = "plain",
	.summary = "only the text of strings, one a line",
	.priv_size = sizeof(struct text_line),
	.record = plain_record,
	.end = plain_end,
};
