/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A change: one line that says who, where and what. A few bytes are shown on it, in hex and as
 * text; more stand below, lines of old ones and lines of new ones as in a unified diff.
 */
#include "export/text.h"

#include "export/value.h"

enum {
	INLINE_MAX = 8,
	LINE_WIDTH = 16,
	LINES_MAX = 8,
};

static void put_hex(struct buf *out, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buf_format(out, i ? " %02x" : "%02x", data[i]);
}

static void put_text(struct buf *out, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buf_char(out, data[i] >= ' ' && data[i] <= '~' ? (char)data[i] : '.');
}

static void put_inline(struct buf *out, const struct ms_value *old, const struct ms_value *now)
{
	buf_text(out, ": ");
	put_hex(out, old->v.data, old->size);
	buf_text(out, " -> ");
	put_hex(out, now->v.data, now->size);
	buf_text(out, "  |");
	put_text(out, old->v.data, old->size);
	buf_text(out, "| -> |");
	put_text(out, now->v.data, now->size);
	buf_text(out, "|\n");
}

/* Bytes in lines that begin with a sign. */
static void put_lines(
	struct ms_exporter *exporter, const struct ms_value *bytes, char sign, uint64_t size)
{
	const uint8_t *data = bytes->v.data;
	struct buf *out = &exporter->out;
	size_t shown = bytes->size < LINES_MAX * LINE_WIDTH ? bytes->size : LINES_MAX * LINE_WIDTH;

	buf_text(out, !exporter->colour ? "" : sign == '-' ? TEXT_RED : TEXT_GREEN);
	for (size_t at = 0; at < shown; at += LINE_WIDTH) {
		size_t n = shown - at < LINE_WIDTH ? shown - at : LINE_WIDTH;

		buf_format(out, "  %c ", sign);
		put_hex(out, data + at, n);
		buf_format(out, "%*s  |", (int)(3 * (LINE_WIDTH - n)), "");
		put_text(out, data + at, n);
		buf_text(out, at + n == shown && shown < size ? "|...\n" : "|\n");
	}
	buf_text(out, exporter->colour ? TEXT_PLAIN : "");
}

static void put_write(struct ms_exporter *exporter, const struct ms_record *record, uint64_t size)
{
	const struct ms_value *old = record_find(record, "old", MS_TYPE_BYTES);
	const struct ms_value *now = record_find(record, "new", MS_TYPE_BYTES);
	struct buf *out = &exporter->out;

	buf_text(out, "  ");
	text_count(out, size, "byte");
	if (old && now && size <= INLINE_MAX && old->size == size && now->size == size) {
		put_inline(out, old, now);
		return;
	}
	buf_text(out, old && now ? "\n" : " changed\n");
	/* Of a page whose hash is all that is known, its bytes now say nothing of the change. */
	if (!old || !now)
		return;
	put_lines(exporter, old, '-', size);
	put_lines(exporter, now, '+', size);
}

void text_change(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct text_place place = {
		.perm = record_find(record, "perm", MS_TYPE_TEXT),
		.kind = record_find(record, "kind", MS_TYPE_TEXT),
		.path = record_find(record, "path", MS_TYPE_TEXT),
		.module = record_find(record, "module", MS_TYPE_TEXT),
		.module_offset = record_find(record, "module_offset", MS_TYPE_U64),
	};
	const struct ms_value *change = record_find(record, "change", MS_TYPE_TEXT);
	uint64_t size = text_u64(record, "size");
	struct buf *out = &exporter->out;

	text_process(out, record);
	text_address(out, record_find(record, "address", MS_TYPE_ADDRESS));
	text_where(out, &place);
	if (change && change->size == 5 && memcmp(change->v.data, "write", 5) == 0) {
		put_write(exporter, record, size);
		return;
	}
	buf_text(out, "  ");
	text_field(out, record, "change");
	if (record_find(record, "old_perm", MS_TYPE_TEXT)) {
		buf_text(out, " from ");
		text_field(out, record, "old_perm");
	}
	buf_text(out, ", ");
	text_size(out, size);
	buf_char(out, '\n');
}
