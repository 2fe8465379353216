/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an output format fills in. A format appends to exporter->out and looks at nothing else of
 * the exporter but its own private state, the scratch buffer and the colour flag; exporter.c
 * passes the output on, and notices when memory ran out or the reader of the output went away.
 * Records name their schema, so a format knows columns, never engines or commands.
 */
#ifndef MS_EXPORT_EXPORTER_H
#define MS_EXPORT_EXPORTER_H

#include "base/buf.h"
#include "base/err.h"

#include "memsift.h"

struct ms_exporter_ops {
	const char *name;    /* what ms_exporter_new() calls it */
	const char *summary; /* one line for people */
	size_t priv_size;    /* of the private state, zeroed; it must own no memory of its own */

	void (*begin)(struct ms_exporter *exporter); /* NULL: nothing opens the document */
	void (*record)(struct ms_exporter *exporter, const struct ms_record *record);
	void (*end)(struct ms_exporter *exporter); /* NULL: nothing closes it */
};

struct ms_exporter {
	const struct ms_exporter_ops *ops;
	void *priv;
	bool colour;
	struct buf out;	    /* passed on after the record that fills it */
	struct buf scratch; /* the format's, from one call to the next undefined */

	int (*write)(void *ctx, const void *data, size_t size);
	void *ctx;
	bool finished;
	int status;		/* the first failure; nothing is written after it */
	char why[ERR_TEXT_MAX]; /* its sentence */
};

#endif
