/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every output format that ms_exporter_new() can make.
 *
 * To add one:
 *  1. Write src/export/NAME.c with a `const struct ms_exporter_ops NAME_exporter`;
 *     export/exporter.h is the contract, json.c an example. export/value.h has the spellings of
 *     values that all machine-readable formats share.
 *  2. Add it to the list below and its file to meson.build.
 *  3. Name it at ms_exporter_new() in memsift.h.
 *  4. Add its exact output, hostile text included, to tests/unit/export.c.
 */
#ifndef MS_EXPORT_EXPORTERS_H
#define MS_EXPORT_EXPORTERS_H

#include "export/exporter.h"

extern const struct ms_exporter_ops text_exporter;
extern const struct ms_exporter_ops json_exporter;
extern const struct ms_exporter_ops ndjson_exporter; /* json.c */
extern const struct ms_exporter_ops csv_exporter;
extern const struct ms_exporter_ops plain_exporter;

static const struct ms_exporter_ops *const exporters[] = {
	&text_exporter,
	&json_exporter,
	&ndjson_exporter,
	&csv_exporter,
	&plain_exporter,
};

#endif
