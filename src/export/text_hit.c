/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hit: one line that says who, where and what, and below it, where the record has context,
 * the bytes around it in the columns of hexdump -C, at addresses that are multiples of 16.
 */
#include "export/text.h"

#include "base/bytes.h"
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

void text_where(struct buf *out, const struct ms_record *record)
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

/* The fields of a string, which may be one of millions: looked up once, not by name each time. */
enum { LINE_PID, LINE_ADDRESS, LINE_SIZE, LINE_TEXT, LINE_CONTINUED };

static const struct ms_column line_columns[] = {
	[LINE_PID] = {"pid", MS_TYPE_U64},
	[LINE_ADDRESS] = {"address", MS_TYPE_ADDRESS},
	[LINE_SIZE] = {"size", MS_TYPE_U64},
	[LINE_TEXT] = {"text", MS_TYPE_TEXT},
	[LINE_CONTINUED] = {"continued", MS_TYPE_BOOL},
};

static void line_schema(struct text_line *line, const struct ms_schema *schema)
{
	_Static_assert(ARRAY_SIZE(line->columns) == ARRAY_SIZE(line_columns), "one for each");
	line->schema = schema;
	for (size_t i = 0; i < ARRAY_SIZE(line_columns); i++) {
		line->columns[i] = SIZE_MAX;
		for (size_t c = 0; c < schema->column_count; c++)
			if (schema->columns[c].type == line_columns[i].type &&
				strcmp(schema->columns[c].name, line_columns[i].name) == 0)
				line->columns[i] = c;
	}
}

static inline const struct ms_value *line_value(
	const struct text_line *line, const struct ms_record *record, unsigned which)
{
	static const struct ms_value none = {0};
	size_t column = line->columns[which];

	return column != SIZE_MAX && record->values[column].present ? &record->values[column]
								    : &none;
}

void text_line_end(struct text_line *line, struct buf *out)
{
	if (line->open)
		buf_char(out, '\n');
	line->open = false;
}

bool text_line_goes_on(struct text_line *line, struct buf *out, const struct ms_record *record)
{
	if (line->schema != record->schema)
		line_schema(line, record->schema);
	if (line->open && line_value(line, record, LINE_CONTINUED)->v.u &&
		line_value(line, record, LINE_ADDRESS)->v.u == line->end &&
		line_value(line, record, LINE_PID)->v.u == line->pid)
		return true;
	text_line_end(line, out);
	return false;
}

static bool is_plain(uint8_t c)
{
	return (c >= ' ' && c <= '~') || c == '\t';
}

/* How much of the beginning is ASCII that can be shown. */
static size_t plain_length(const uint8_t *data, size_t size)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t length = 0;

	/* Eight bytes none of which is below 0x20 or above 0x7e have no high bit in any of these. */
	for (; length + 8 <= size; length += 8) {
		uint64_t bytes = load_u64(data + length, false);

		if ((bytes | (bytes - ones * ' ') | (bytes + ones)) & ones * 0x80)
			break;
	}
	while (length < size && is_plain(data[length]))
		length++;
	return length;
}

/* Strings are shown as they are; only what could talk to the terminal is not. */
bool text_line_add(struct text_line *line, struct buf *out, const struct ms_record *record)
{
	const struct ms_value *text = line_value(line, record, LINE_TEXT);
	const uint8_t *data = text->v.data;

	if (!text->present)
		return false;
	for (size_t at = 0, length; at < text->size; at += length) {
		length = plain_length(data + at, text->size - at);
		buf_add(out, data + at, length);
		at += length;
		for (length = 0; at + length < text->size && !is_plain(data[at + length]); length++)
			;
		buf_printable(out, data + at, length);
	}
	line->open = true;
	line->pid = line_value(line, record, LINE_PID)->v.u;
	line->end = line_value(line, record, LINE_ADDRESS)->v.u +
		    line_value(line, record, LINE_SIZE)->v.u;
	return true;
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
	text_where(out, record);
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
