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
	LINE_ROOM = 256, /* a line takes 94 characters and four changes of colour */
};

/* What a hit shows. It may be one of millions: its columns are looked up once. */
enum {
	HIT_PID,
	HIT_PROCESS,
	HIT_ADDRESS,
	HIT_SIZE,
	HIT_PERM,
	HIT_KIND,
	HIT_PATH,
	HIT_MODULE,
	HIT_OFFSET,
	HIT_OFFSET_ADDRESS,
	HIT_ENCODING,
	HIT_TEXT,
	HIT_PATTERN,
	HIT_RULE,
	HIT_BYTES,
	HIT_CONTEXT,
	HIT_BEFORE,
};

static const struct ms_column hit_columns[] = {
	[HIT_PID] = {"pid", MS_TYPE_U64},
	[HIT_PROCESS] = {"process", MS_TYPE_TEXT},
	[HIT_ADDRESS] = {"address", MS_TYPE_ADDRESS},
	[HIT_SIZE] = {"size", MS_TYPE_U64},
	[HIT_PERM] = {"perm", MS_TYPE_TEXT},
	[HIT_KIND] = {"kind", MS_TYPE_TEXT},
	[HIT_PATH] = {"path", MS_TYPE_TEXT},
	[HIT_MODULE] = {"module", MS_TYPE_TEXT},
	[HIT_OFFSET] = {"module_offset", MS_TYPE_U64},
	[HIT_OFFSET_ADDRESS] = {"module_offset", MS_TYPE_ADDRESS},
	[HIT_ENCODING] = {"encoding", MS_TYPE_TEXT},
	[HIT_TEXT] = {"text", MS_TYPE_TEXT},
	[HIT_PATTERN] = {"pattern", MS_TYPE_TEXT},
	[HIT_RULE] = {"rule", MS_TYPE_TEXT},
	[HIT_BYTES] = {"bytes", MS_TYPE_BYTES},
	[HIT_CONTEXT] = {"context", MS_TYPE_BYTES},
	[HIT_BEFORE] = {"context_before", MS_TYPE_U64},
};

_Static_assert(ARRAY_SIZE(hit_columns) <= VALUE_COLUMNS, "room for each");

static const struct ms_value *hit_value(
	const struct ms_exporter *exporter, const struct ms_record *record, unsigned which)
{
	const struct text_state *state = exporter->priv;

	return value_in(&state->hit, record, which);
}

static void hit_bytes(struct buf *out, const struct ms_value *bytes)
{
	const uint8_t *data = bytes->v.data;
	size_t size = bytes->size < MATCH_SHOWN ? bytes->size : MATCH_SHOWN;

	if (ascii_length(data, size) == size) {
		buf_char(out, '"');
		buf_add(out, data, size);
		buf_char(out, '"');
	} else {
		for (size_t i = 0; i < size; i++) {
			if (i)
				buf_char(out, ' ');
			buf_hex(out, data + i, 1);
		}
	}
	if (size < bytes->size)
		buf_text(out, "...");
}

static bool same_text(const struct ms_value *pattern, const struct ms_value *bytes)
{
	return pattern->size == bytes->size &&
	       memcmp(pattern->v.data, bytes->v.data, bytes->size) == 0 &&
	       ascii_length(bytes->v.data, bytes->size) == bytes->size;
}

/* What was looked for, unless what was found is the very same text, and what was found. */
static void hit_what(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_value *pattern = hit_value(exporter, record, HIT_PATTERN);
	const struct ms_value *bytes = hit_value(exporter, record, HIT_BYTES);
	bool found = bytes->present && bytes->size, named;
	struct buf *out = &exporter->out;

	if (!pattern->present)
		pattern = hit_value(exporter, record, HIT_RULE);
	named = pattern->present && !(found && same_text(pattern, bytes));
	if (named) {
		buf_text(out, "  ");
		buf_printable(out, pattern->v.data,
			pattern->size < PATTERN_SHOWN ? pattern->size : PATTERN_SHOWN);
		buf_text(out, pattern->size > PATTERN_SHOWN ? "..." : "");
	}
	if (found) {
		buf_text(out, named ? ": " : "  ");
		hit_bytes(out, bytes);
	}
}

/* Appends the text of a value; false, and nothing is appended, if it has none. */
static bool put_value(struct buf *out, const struct ms_value *value)
{
	if (!value || !value->present || !value->size)
		return false;
	buf_printable(out, value->v.data, value->size);
	return true;
}

void text_where(struct buf *out, const struct text_place *place)
{
	const struct ms_value *const fields[] = {place->perm, place->kind};
	const char *gap = "  ";
	size_t start;
	bool module;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!fields[i] || !fields[i]->present)
			continue;
		buf_text(out, gap);
		put_value(out, fields[i]);
		gap = " ";
	}
	start = out->size;
	buf_text(out, gap);
	module = put_value(out, place->module);
	if (module && place->module_offset && place->module_offset->present) {
		buf_add(out, "+0x", 3);
		buf_hexadecimal(out, place->module_offset->v.u);
	}
	if (!module && !put_value(out, place->path))
		out->size = start;
}

static void hit_where(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct text_place place = {
		.perm = hit_value(exporter, record, HIT_PERM),
		.kind = hit_value(exporter, record, HIT_KIND),
		.path = hit_value(exporter, record, HIT_PATH),
		.module = hit_value(exporter, record, HIT_MODULE),
		.module_offset = hit_value(exporter, record, HIT_OFFSET),
	};

	if (!place.module_offset->present)
		place.module_offset = hit_value(exporter, record, HIT_OFFSET_ADDRESS);
	text_where(&exporter->out, &place);
}

/* The context of a hit. Positions count from the first line's start, the address at `base`. */
struct dump {
	uint64_t base;
	const uint8_t *data;
	size_t from, to;	 /* where the data is */
	size_t hot_from, hot_to; /* where the match is */
	bool colour;
};

/* A line being written, which has room for LINE_ROOM characters. */
struct line {
	char text[LINE_ROOM], *at;
	bool hot;
};

static void line_put(struct line *line, const char *text)
{
	size_t size = strlen(text);

	memcpy(line->at, text, size);
	line->at += size;
}

static void line_hex(struct line *line, uint64_t value, unsigned digits)
{
	while (digits--)
		*line->at++ = "0123456789abcdef"[value >> 4 * digits & 15];
}

/* Switches the colour where the match begins or ends. */
static void line_colour(struct line *line, const struct dump *dump, size_t at)
{
	bool now = dump->colour && at >= dump->hot_from && at < dump->hot_to;

	if (now != line->hot)
		line_put(line, now ? TEXT_RED : TEXT_PLAIN);
	line->hot = now;
}

static void line_plain(struct line *line)
{
	if (line->hot)
		line_put(line, TEXT_PLAIN);
	line->hot = false;
}

static void dump_line(struct buf *out, const struct dump *dump, size_t first)
{
	uint64_t address = dump->base + first;
	struct line line = {.at = line.text};

	line_put(&line, "  ");
	line_hex(&line, address, address >> 48 ? 16 : 12);
	line_put(&line, " ");
	for (size_t at = first; at < first + DUMP_WIDTH; at++) {
		line_put(&line, at == first + DUMP_WIDTH / 2 ? "  " : " ");
		line_colour(&line, dump, at);
		if (at < dump->from || at >= dump->to)
			line_put(&line, "  ");
		else
			line_hex(&line, dump->data[at - dump->from], 2);
		if (at + 1 >= dump->hot_to)
			line_plain(&line);
	}
	line_plain(&line);
	line_put(&line, "  |");
	for (size_t at = first; at < first + DUMP_WIDTH; at++) {
		uint8_t byte =
			at < dump->from || at >= dump->to ? ' ' : dump->data[at - dump->from];

		line_colour(&line, dump, at);
		*line.at++ = byte >= ' ' && byte <= '~' ? (char)byte : '.';
	}
	line_plain(&line);
	line_put(&line, "|\n");
	buf_add(out, line.text, (size_t)(line.at - line.text));
}

static void hit_context(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_value *context = hit_value(exporter, record, HIT_CONTEXT);
	const struct ms_value *address = hit_value(exporter, record, HIT_ADDRESS);
	const struct ms_value *match = hit_value(exporter, record, HIT_SIZE);
	uint64_t before = hit_value(exporter, record, HIT_BEFORE)->v.u;
	struct dump dump = {.colour = exporter->colour};

	if (!context->present || !context->size || !address->present)
		return;
	before = min_u64(before, context->size);
	dump.base = align_down(address->v.u - before, DUMP_WIDTH);
	dump.data = context->v.data;
	dump.from = (size_t)(address->v.u - before - dump.base);
	dump.to = dump.from + context->size;
	dump.hot_from = dump.from + (size_t)before;
	dump.hot_to = dump.hot_from + (size_t)min_u64(match->v.u, dump.to - dump.hot_from);
	for (size_t line = 0; line < dump.to; line += DUMP_WIDTH)
		dump_line(&exporter->out, &dump, line);
}

enum { LINE_PID, LINE_ADDRESS, LINE_SIZE, LINE_TEXT, LINE_CONTINUED };

static const struct ms_column line_columns[] = {
	[LINE_PID] = {"pid", MS_TYPE_U64},
	[LINE_ADDRESS] = {"address", MS_TYPE_ADDRESS},
	[LINE_SIZE] = {"size", MS_TYPE_U64},
	[LINE_TEXT] = {"text", MS_TYPE_TEXT},
	[LINE_CONTINUED] = {"continued", MS_TYPE_BOOL},
};

void text_line_end(struct text_line *line, struct buf *out)
{
	if (line->open)
		buf_char(out, '\n');
	line->open = false;
}

bool text_line_goes_on(struct text_line *line, struct buf *out, const struct ms_record *record)
{
	value_columns_find(&line->columns, record->schema, line_columns, ARRAY_SIZE(line_columns));
	if (line->open && value_in(&line->columns, record, LINE_CONTINUED)->v.u &&
		value_in(&line->columns, record, LINE_ADDRESS)->v.u == line->end &&
		value_in(&line->columns, record, LINE_PID)->v.u == line->pid)
		return true;
	text_line_end(line, out);
	return false;
}

static bool is_plain(uint8_t c)
{
	return (c >= ' ' && c <= '~') || c == '\t';
}

/* How much of the beginning can be shown as it is. */
static size_t shown_length(const uint8_t *data, size_t size)
{
	size_t length = ascii_length(data, size);

	while (length < size && data[length] == '\t')
		length += 1 + ascii_length(data + length + 1, size - length - 1);
	return length;
}

/* Strings are shown as they are; only what could talk to the terminal is not. */
bool text_line_add(struct text_line *line, struct buf *out, const struct ms_record *record)
{
	const struct ms_value *text = value_in(&line->columns, record, LINE_TEXT);
	const uint8_t *data = text->v.data;

	if (!text->present)
		return false;
	for (size_t at = 0, length; at < text->size; at += length) {
		length = shown_length(data + at, text->size - at);
		if (length) {
			buf_add(out, data + at, length);
			continue;
		}
		while (at + length < text->size && !is_plain(data[at + length]))
			length++;
		buf_printable(out, data + at, length);
	}
	line->open = true;
	line->pid = value_in(&line->columns, record, LINE_PID)->v.u;
	line->end = value_in(&line->columns, record, LINE_ADDRESS)->v.u +
		    value_in(&line->columns, record, LINE_SIZE)->v.u;
	return true;
}

void text_hit(struct ms_exporter *exporter, const struct ms_record *record)
{
	struct text_state *state = exporter->priv;
	struct buf *out = &exporter->out;

	/* Still open: text_record() saw that this goes on. */
	if (state->line.open) {
		text_line_add(&state->line, out, record);
		return;
	}
	value_columns_find(&state->hit, record->schema, hit_columns, ARRAY_SIZE(hit_columns));
	text_process_values(out, hit_value(exporter, record, HIT_PID),
		hit_value(exporter, record, HIT_PROCESS));
	text_address(out, hit_value(exporter, record, HIT_ADDRESS));
	hit_where(exporter, record);
	if (hit_value(exporter, record, HIT_TEXT)->present) {
		buf_text(out, "  ");
		put_value(out, hit_value(exporter, record, HIT_ENCODING));
		buf_text(out, "  ");
		text_line_add(&state->line, out, record);
		return;
	}
	hit_what(exporter, record);
	buf_char(out, '\n');
	hit_context(exporter, record);
}
