/* SPDX-License-Identifier: BSD-2-Clause */
/* The handle of a value scan: all of it but the scans themselves. */
#include "track/values.h"

#include "base/err.h"

#include <errno.h>
#include <math.h>

/* ---- Making and freeing ----------------------------------------------------------------- */

static int check_options(const struct ms_values_options *options, const struct layout *layout)
{
	if (layout->align > VALUE_ALIGN_MAX || (layout->align & (layout->align - 1)))
		return err_set(MS_ERR_ARGUMENT,
			"values are aligned to a power of two of at most %d, not to %zu",
			VALUE_ALIGN_MAX, layout->align);
	if (!isfinite(layout->tolerance) || layout->tolerance < 0)
		return err_set(MS_ERR_ARGUMENT, "the tolerance is a number of 0 or more");
	if (layout->tolerance > 0 && layout->type->kind != VALUE_FLOAT)
		return err_set(MS_ERR_ARGUMENT, "only the types f32 and f64 have a tolerance");
#ifndef HAVE_ZSTD
	if (options->zstd)
		return err_set(
			MS_ERR_UNSUPPORTED, "this build cannot compress: it was made without zstd");
#endif
	(void)options;
	return 0;
}

static int values_alloc(const char *session, ms_values **ret_values)
{
	ms_values *values = calloc(1, sizeof(*values));

	if (!values)
		return err_nomem();
	generation_init(&values->now);
	generation_init(&values->before);
	if (session && !(values->session = strdup(session))) {
		ms_values_free(values);
		return err_nomem();
	}
	*ret_values = values;
	return 0;
}

int ms_values_new(const struct ms_values_options *options, ms_values **ret_values)
{
	struct layout layout = {.tolerance = options->tolerance};
	size_t natural;
	int r = value_type_parse(options->type, &layout.type, &layout.size);

	if (r < 0)
		return r;
	natural = layout.type->kind == VALUE_BYTES ? 1 : layout.size;
	layout.align = options->align ? options->align : natural;
	r = check_options(options, &layout);
	if (r == 0)
		r = values_alloc(options->session, ret_values);
	if (r < 0)
		return r;
	(*ret_values)->subject.layout = layout;
	(*ret_values)->subject.zstd = options->zstd;
	(*ret_values)->size_open = layout.size == 0;
	return 0;
}

int ms_values_load(const char *session, ms_values **ret_values)
{
	ms_values *values = NULL;
	int r = values_alloc(session, &values);

	if (r < 0)
		return r;
	r = session_load(session, &values->subject, &values->now);
	if (r < 0) {
		ms_values_free(values);
		return r;
	}
	values->begun = true;
	*ret_values = values;
	return 0;
}

void ms_values_free(ms_values *values)
{
	if (!values)
		return;
	generation_done(&values->now);
	generation_done(&values->before);
	free(values->subject.exe);
	free(values->session);
	free(values->gaps);
	free(values);
}

/* ---- Undo ------------------------------------------------------------------------------- */

int values_undo_path(const ms_values *values, char **ret_path)
{
	return asprintf(ret_path, "%s.undo", values->session) < 0 ? err_nomem() : 0;
}

static int nothing_to_undo(void)
{
	return err_set(MS_ERR_ARGUMENT, "there is nothing to undo: one step back is all there is");
}

/* Takes the former session, if it is of the same process and the same values. */
static int undo_session(ms_values *values)
{
	AUTO_FREE char *undo = NULL;
	struct generation generation;
	struct subject subject;
	bool same;
	int r = values_undo_path(values, &undo);

	if (r == 0 && access(undo, F_OK) != 0)
		return nothing_to_undo();
	if (r == 0)
		r = session_load(undo, &subject, &generation);
	if (r < 0)
		return r;
	same = subject.pid == values->subject.pid && subject.start_id == values->subject.start_id &&
	       subject.layout.type == values->subject.layout.type &&
	       subject.layout.size == values->subject.layout.size &&
	       subject.layout.align == values->subject.layout.align;
	free(subject.exe);
	if (!same)
		r = err_set(MS_ERR_FORMAT, "%s is of another scan", undo);
	else if (rename(undo, values->session) != 0)
		r = err_errno(err_from_errno(errno), errno, "cannot rename %s", undo);
	if (r < 0) {
		generation_done(&generation);
		return r;
	}
	generation_done(&values->now);
	values->now = generation;
	return 0;
}

int ms_values_undo(ms_values *values)
{
	int r = 0;

	if (values->session && values->begun)
		r = undo_session(values);
	else if (!values->has_before)
		return nothing_to_undo();
	if (r < 0)
		return r;
	if (!values->session) {
		generation_done(&values->now);
		values->now = values->before;
		generation_init(&values->before);
		values->has_before = false;
	}
	values->lost = 0;
	return 0;
}

/* ---- The rest --------------------------------------------------------------------------- */

int ms_values_save(const ms_values *values, const char *path)
{
	AUTO_FREE uint8_t *room = malloc(BLOCK_MAX);
	struct session_writer writer;
	int r;

	if (!room)
		return err_nomem();
	if (!values->begun)
		return err_set(MS_ERR_ARGUMENT, "there was no first scan yet");
	r = session_begin(&writer, path, &values->subject);
	for (size_t i = 0; i < values->now.blocks.count && r == 0; i++) {
		struct block_head head = values->now.blocks.data[i].head;
		const uint8_t *stored;
		uint64_t offset;

		r = block_fetch(&values->now, &values->now.blocks.data[i], room, &stored);
		if (r == 0)
			r = session_block(&writer, &head, stored, &offset);
	}
	if (r == 0)
		r = session_end(&writer);
	session_done(&writer);
	return r;
}

void ms_values_info(const ms_values *values, struct ms_values_info *ret_info)
{
	const struct layout *layout = &values->subject.layout;

	*ret_info = (struct ms_values_info){
		.type = layout->type->name,
		.value_size = layout->size,
		.align = layout->align,
		.tolerance = layout->tolerance,
		.count = values->now.count,
		.lost = values->lost,
		.bytes_kept = values->now.bytes_kept,
		.begun = values->begun,
		.pid = values->subject.pid,
		.start_id = values->subject.start_id,
		.exe = values->subject.exe,
	};
}
