/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all formats have in common: output is gathered until a record fills the buffer and then
 * goes to the caller's write function in one piece, so memory is bounded by the buffer and the
 * largest single record. The first failure is kept with its sentence and ends the output; since
 * a job turns whatever a sink returns into MS_ERR_STOPPED, ms_exporter_finish() tells it again.
 */
#include "export/exporters.h"

#include "base/mem.h"

#include <assert.h>

/* A little less than a pipe has room for: whoever reads gets it at once, and memsift goes on. */
enum { OUTPUT_SIZE = 60 * 1024 };

static int fail(struct ms_exporter *exporter, int status)
{
	exporter->status = status;
	snprintf(exporter->why, sizeof(exporter->why), "%s", ms_error());
	return status;
}

static int fail_again(const struct ms_exporter *exporter)
{
	return err_set(exporter->status, "%s", exporter->why);
}

static int pass_on(struct ms_exporter *exporter, size_t least)
{
	int r;

	if (exporter->out.failed || exporter->scratch.failed)
		return fail(exporter, err_nomem());
	if (exporter->out.size < least)
		return 0;
	r = exporter->write(exporter->ctx, exporter->out.data, exporter->out.size);
	buf_clear(&exporter->out);
	if (r > 0)
		r = err_set(MS_ERR_STOPPED, "whoever takes the output asked to stop");
	return r < 0 ? fail(exporter, r) : 0;
}

static int export_record(void *ctx, const struct ms_record *record)
{
	struct ms_exporter *exporter = ctx;

	assert(!exporter->finished);
	if (exporter->status < 0)
		return fail_again(exporter);
	exporter->ops->record(exporter, record);
	return pass_on(exporter, OUTPUT_SIZE);
}

static const struct ms_exporter_ops *exporter_find(const char *format)
{
	for (size_t i = 0; i < ARRAY_SIZE(exporters); i++)
		if (strcmp(exporters[i]->name, format) == 0)
			return exporters[i];
	return NULL;
}

static int format_unknown(const char *format)
{
	char known[256] = "";

	for (size_t i = 0; i < ARRAY_SIZE(exporters); i++) {
		size_t length = strlen(known);

		snprintf(known + length, sizeof(known) - length, "%s%s", i ? ", " : "",
			exporters[i]->name);
	}
	return err_set(MS_ERR_ARGUMENT, "there is no output format \"%.64s\"; there are %s", format,
		known);
}

int ms_exporter_new(const char *format, int (*write)(void *ctx, const void *data, size_t size),
	void *ctx, ms_exporter **ret_exporter)
{
	const struct ms_exporter_ops *ops = exporter_find(format);
	ms_exporter *exporter;

	assert(write);
	if (!ops)
		return format_unknown(format);
	exporter = calloc(1, sizeof(*exporter));
	if (!exporter)
		return err_nomem();
	exporter->ops = ops;
	exporter->write = write;
	exporter->ctx = ctx;
	exporter->priv = calloc(1, ops->priv_size ? ops->priv_size : 1);
	if (!exporter->priv) {
		ms_exporter_free(exporter);
		return err_nomem();
	}
	if (ops->begin)
		ops->begin(exporter);
	*ret_exporter = exporter;
	return 0;
}

void ms_exporter_free(ms_exporter *exporter)
{
	if (!exporter)
		return;
	buf_done(&exporter->out);
	buf_done(&exporter->scratch);
	free(exporter->priv);
	free(exporter);
}

void ms_exporter_colour(ms_exporter *exporter, bool colour)
{
	exporter->colour = colour;
}

struct ms_sink ms_exporter_sink(ms_exporter *exporter)
{
	return (struct ms_sink){.record = export_record, .ctx = exporter};
}

int ms_exporter_flush(ms_exporter *exporter)
{
	return exporter->status < 0 ? fail_again(exporter) : pass_on(exporter, 1);
}

int ms_exporter_finish(ms_exporter *exporter)
{
	if (exporter->status < 0)
		return fail_again(exporter);
	if (!exporter->finished && exporter->ops->end)
		exporter->ops->end(exporter);
	exporter->finished = true;
	return pass_on(exporter, 1);
}
