/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hit: one line that says who, where and what, and below it, where the record has context,
 * the bytes around it in the columns of hexdump -C, at addresses that are multiples of 16.
 */
#include "export/text.h"

#include "export/value.h"

enum {
	MATCH_SHOWN = 64,    /* bytes of the match on the line */
	PATTERN_SHOWN = 200, /* bytes of the pattern */
	DUMP_WIDTH = 16,
};

static bool all_printable(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (data[i] < ' ' || data[i] > '~')
			return false;
	return true;
}

static void hit_bytes(struct buf *out, const struct ms_value *bytes)
{
	const uint8_t *data = bytes->v.data;
	size_t size = bytes->size < MATCH_SHOWN ? bytes->size : MATCH_SHOWN;

	if (all_printable(data, size))
		buf_format(out, "\"%.*s\"", (int)size, (const char *)data);
	else
		for (size_t i = 0; i < size; i++)
			buf_format(out, i ? " %02x" : "%02x", data[i]);
	if (size < bytes->size)
		buf_text(out, "...");
}

/* What was looked for, unless what was found is the very same text, and what was found. */
static void hit_what(struct buf *out, const struct ms_record *record)
{
	const struct ms_value *pattern = record_find(record, "pattern", MS_TYPE_TEXT);
	const struct ms_value *bytes = record_find(record, "bytes", MS_TYPE_BYTES);

	if (bytes && !bytes->size)
		bytes = NULL;
	if (!pattern)
		pattern = record_find(record, "rule", MS_TYPE_TEXT);
	if (pattern && bytes && all_printable(bytes->v.data, bytes->size) &&
		pattern->size == bytes->size &&
		memcmp(pattern->v.data, bytes->v.data, bytes->size) == 0)
		pattern = NULL;
	if (pattern) {
		buf_text(out, "  ");
		buf_printable(out, pattern->v.data,
			pattern->size < PATTERN_SHOWN ? pattern->size : PATTERN_SHOWN);
		buf_text(out, pattern->size > PATTERN_SHOWN ? "..." : "");
	}
	if (bytes) {
		buf_text(out, pattern ? ": " : "  ");
		hit_bytes(out, bytes);
	}
}

/* "rw-p heap [heap]", or "r-xp code libc.so.6+0x1234" inside a module. */
static void hit_where(struct buf *out, const struct ms_record *record)
{
	static const char *const fields[] = {"perm", "kind"};
	const struct ms_value *offset = record_find(record, "module_offset", MS_TYPE_ADDRESS);
	const char *gap = "  ";
	size_t start;
	bool module;

	if (!offset)
		offset = record_find(record, "module_offset", MS_TYPE_U64);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!record_find(record, fields[i], MS_TYPE_TEXT))
			continue;
		buf_text(out, gap);
		text_field(out, record, fields[i]);
		gap = " ";
	}
	start = out->size;
	buf_text(out, gap);
	module = text_field(out, record, "module");
	if (module && offset)
		buf_format(out, "+0x%llx", (unsigned long long)offset->v.u);
	if (!module && !text_field(out, record, "path"))
		out->size = start;
}

/* The context of a hit. Positions count from the first line's start, the address at `base`. */
struct dump {
	uint64_t base;
	const uint8_t *data;
	size_t from, to;	 /* where the data is */
	size_t hot_from, hot_to; /* where the match is */
	bool colour;
};

/* Switches the colour where the match begins or ends. */
static void dump_colour(struct buf *out, const struct dump *dump, size_t at, bool *hot)
{
	bool now = dump->colour && at >= dump->hot_from && at < dump->hot_to;

	if (now != *hot)
		buf_text(out, now ? TEXT_RED : TEXT_PLAIN);
	*hot = now;
}

static void dump_plain(struct buf *out, bool *hot)
{
	if (*hot)
		buf_text(out, TEXT_PLAIN);
	*hot = false;
}

static void dump_line(struct buf *out, const struct dump *dump, size_t line)
{
	bool hot = false;

	buf_format(out, "  %012llx ", (unsigned long long)(dump->base + line));
	for (size_t at = line; at < line + DUMP_WIDTH; at++) {
		buf_text(out, at == line + DUMP_WIDTH / 2 ? "  " : " ");
		dump_colour(out, dump, at, &hot);
		if (at < dump->from || at >= dump->to)
			buf_text(out, "  ");
		else
			buf_hex(out, dump->data + (at - dump->from), 1);
		if (at + 1 >= dump->hot_to)
			dump_plain(out, &hot);
	}
	dump_plain(out, &hot);
	buf_text(out, "  |");
	for (size_t at = line; at < line + DUMP_WIDTH; at++) {
		uint8_t byte =
			at < dump->from || at >= dump->to ? ' ' : dump->data[at - dump->from];

		dump_colour(out, dump, at, &hot);
		buf_char(out, byte >= ' ' && byte <= '~' ? (char)byte : '.');
	}
	dump_plain(out, &hot);
	buf_text(out, "|\n");
}

static void hit_context(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_value *context = record_find(record, "context", MS_TYPE_BYTES);
	const struct ms_value *address = record_find(record, "address", MS_TYPE_ADDRESS);
	uint64_t before = text_u64(record, "context_before");
	struct dump dump = {.colour = exporter->colour};

	if (!context || !context->size || !address)
		return;
	before = min_u64(before, context->size);
	dump.base = align_down(address->v.u - before, DUMP_WIDTH);
	dump.data = context->v.data;
	dump.from = (size_t)(address->v.u - before - dump.base);
	dump.to = dump.from + context->size;
	dump.hot_from = dump.from + (size_t)before;
	dump.hot_to =
		dump.hot_from + (size_t)min_u64(text_u64(record, "size"), dump.to - dump.hot_from);
	for (size_t line = 0; line < dump.to; line += DUMP_WIDTH)
		dump_line(&exporter->out, &dump, line);
}

void text_line_end(struct text_line *line, struct buf *out)
{
	if (line->open)
		buf_char(out, '\n');
	line->open = false;
}

bool text_line_goes_on(struct text_line *line, struct buf *out, const struct ms_record *record)
{
	const struct ms_value *continued = record_find(record, "continued", MS_TYPE_BOOL);
	const struct ms_value *address = record_find(record, "address", MS_TYPE_ADDRESS);

	if (line->open && continued && continued->v.u && address && address->v.u == line->end &&
		text_u64(record, "pid") == line->pid)
		return true;
	text_line_end(line, out);
	return false;
}

static bool is_plain(uint8_t c)
{
	return (c >= ' ' && c <= '~') || c == '\t';
}

/* Strings are shown as they are; only what could talk to the terminal is not. */
void text_line_add(struct text_line *line, struct buf *out, const struct ms_record *record)
{
	const struct ms_value *text = record_find(record, "text", MS_TYPE_TEXT);
	const struct ms_value *address = record_find(record, "address", MS_TYPE_ADDRESS);
	const uint8_t *data = text ? text->v.data : NULL;

	for (size_t at = 0, end; text && at < text->size; at = end) {
		for (end = at; end < text->size && is_plain(data[end]); end++)
			;
		buf_add(out, data + at, end - at);
		for (at = end; end < text->size && !is_plain(data[end]); end++)
			;
		buf_printable(out, data + at, end - at);
	}
	line->open = true;
	line->pid = text_u64(record, "pid");
	line->end = (address ? address->v.u : 0) + text_u64(record, "size");
}

void text_hit(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_value *address = record_find(record, "address", MS_TYPE_ADDRESS);
	struct text_state *state = exporter->priv;
	struct buf *out = &exporter->out;

	/* Still open: text_record() saw that this goes on. */
	if (state->line.open) {
		text_line_add(&state->line, out, record);
		return;
	}
	text_process(out, record);
	if (address)
		buf_format(out, "  0x%llx", (unsigned long long)address->v.u);
	hit_where(out, record);
	if (record_find(record, "text", MS_TYPE_TEXT)) {
		buf_text(out, "  ");
		text_field(out, record, "encoding");
		buf_text(out, "  ");
		text_line_add(&state->line, out, record);
		return;
	}
	hit_what(out, record);
	buf_char(out, '\n');
	hit_context(exporter, record);
}
