/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "bytes": texts and hex patterns.
 *
 * A pattern of one fixed form is a literal: what find_all() reports is a hit. Any other pattern
 * has anchors, literals that every match holds one of. An anchor that was found says where
 * matches may start; those places are joined into windows that the matcher of hexpat.c goes
 * through once each, so that anchors found close together cost no more than one. All this is done
 * for a block of starts at a time, and what comes out is sorted and merged with the literals of
 * the block.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/vec.h"
#include "engine/engines.h"
#include "engine/hexpat.h"
#include "find/find.h"

#include <assert.h>

enum {
	PATTERNS_MAX = 100000,
	BYTES_MAX = 64 * 1024 * 1024, /* of all patterns together */
	TEXT_MAX = HEXPAT_SIZE_MAX,   /* bytes of a text, as it is and as UTF-16 */
	BLOCK = 64 * 1024,	      /* starts that are looked at together */
	PENDING_MAX = 256 * 1024,     /* matches kept for a block; more of them halve the block */
};

struct pattern {
	const char *name;	     /* as the user wrote it */
	const uint8_t *value, *mask; /* of a literal... */
	size_t size;
	struct hexpat *hex; /* ...or else found by anchors; a literal may own one, too */
	bool literal;
};

/* What index of struct find stands for which pattern. */
struct anchor {
	uint32_t pattern;
	uint32_t before_min, before_max;
};

struct bytes {
	struct arena arena;
	VEC(struct pattern) patterns;
	size_t byte_count; /* of all patterns */
	uint64_t align;
	bool nocase, utf16;
	size_t overlap;

	struct find *literals; /* NULL when there are none */
	VEC(uint32_t) literal_patterns;
	struct find *anchors;
	VEC(struct anchor) anchor_patterns;
	size_t before_min, before_max; /* over all anchors */
};

/* ---- Making the query ---- */

static int pattern_add(struct bytes *bytes, struct pattern pattern, size_t size)
{
	if (bytes->patterns.count == PATTERNS_MAX)
		return err_set(MS_ERR_ARGUMENT, "more than %d patterns", PATTERNS_MAX);
	if (size > BYTES_MAX - bytes->byte_count)
		return err_set(
			MS_ERR_ARGUMENT, "the patterns have more than %d bytes in all", BYTES_MAX);
	bytes->byte_count += size;
	return vec_push(&bytes->patterns, pattern) ? 0 : err_nomem();
}

/* Adds a text whose bytes are in value; every width-th byte is a character or its low half. */
static int literal_add(
	struct bytes *bytes, const char *name, uint8_t *value, size_t size, size_t width)
{
	uint8_t *mask = arena_alloc(&bytes->arena, size);

	if (!mask)
		return err_nomem();
	memset(mask, 0xff, size);
	for (size_t i = 0; bytes->nocase && i < size; i += width) {
		if (!is_letter((char)value[i]) || (width == 2 && value[i + 1]))
			continue;
		mask[i] = 0xdf;
		value[i] &= 0xdf;
	}
	return pattern_add(bytes,
		(struct pattern){
			.name = name, .value = value, .mask = mask, .size = size, .literal = true},
		size);
}

/* The code point of a valid UTF-8 sequence. */
static uint32_t utf8_decode(const unsigned char *data, size_t length)
{
	uint32_t value = length == 1 ? data[0] : data[0] & (0xffu >> (length + 1));

	for (size_t i = 1; i < length; i++)
		value = value << 6 | (data[i] & 0x3f);
	return value;
}

static void utf16_add(uint8_t *data, size_t *size, uint32_t unit)
{
	data[(*size)++] = (uint8_t)unit;
	data[(*size)++] = (uint8_t)(unit >> 8);
}

static int utf16_text_add(struct bytes *bytes, const char *name)
{
	const unsigned char *text = (const unsigned char *)name;
	size_t length, left = strlen(name), size = 0;
	uint8_t *value = arena_alloc(&bytes->arena, 2 * left);
	uint32_t c;

	if (!value)
		return err_nomem();
	for (; left; text += length, left -= length) {
		length = utf8_length(text, left);
		if (!length)
			return err_at("text", name, (size_t)(text - (const unsigned char *)name),
				"this is not UTF-8, so there is no UTF-16 form to search for");
		c = utf8_decode(text, length);
		if (c >= 0x10000) {
			utf16_add(value, &size, 0xd800 + ((c - 0x10000) >> 10));
			c = 0xdc00 + ((c - 0x10000) & 0x3ff);
		}
		utf16_add(value, &size, c);
	}
	if (size > TEXT_MAX)
		return err_set(
			MS_ERR_ARGUMENT, "a text is longer than %d bytes as UTF-16", TEXT_MAX);
	return literal_add(bytes, name, value, size, 2);
}

static int text_add(struct bytes *bytes, const char *name)
{
	size_t size = strlen(name);
	uint8_t *value;
	int r;

	if (!size)
		return err_set(MS_ERR_ARGUMENT, "a text to search for is empty");
	if (size > TEXT_MAX)
		return err_set(MS_ERR_ARGUMENT, "a text is longer than %d bytes", TEXT_MAX);
	value = (uint8_t *)arena_copy(&bytes->arena, name, size);
	if (!value)
		return err_nomem();
	r = literal_add(bytes, name, value, size, 1);
	if (r == 0 && bytes->utf16)
		r = utf16_text_add(bytes, name);
	return r;
}

static int hex_add(struct bytes *bytes, const char *name)
{
	struct hexpat *hex;
	int r = hexpat_new("hex pattern", name, &hex);

	if (r < 0)
		return r;
	r = pattern_add(bytes,
		(struct pattern){.name = name,
			.value = hex->value,
			.mask = hex->mask,
			.size = hex->size_max,
			.hex = hex,
			.literal = hexpat_is_literal(hex)},
		hex->byte_count);
	if (r < 0)
		hexpat_free(hex);
	return r;
}

static int align_set(struct bytes *bytes, const char *value)
{
	uint64_t align;
	int r = ms_parse_number("align", value, &align);

	if (r < 0)
		return r;
	if (!align)
		return err_at("align", value, 0, "the alignment must be at least 1");
	bytes->align = align;
	return 0;
}

/* What holds for all patterns, wherever it stands among them. */
static int option_take(struct bytes *bytes, const struct ms_arg *arg)
{
	if (strcmp(arg->key, "nocase") == 0)
		bytes->nocase = true;
	else if (strcmp(arg->key, "utf16") == 0)
		bytes->utf16 = true;
	else if (strcmp(arg->key, "align") != 0 && strcmp(arg->key, "text") != 0 &&
		 strcmp(arg->key, "hex") != 0)
		return err_set(MS_ERR_ARGUMENT,
			"the engine \"bytes\" has no argument \"%.100s\"; it knows text, hex, "
			"nocase, utf16 and align",
			arg->key);
	else if (!arg->value)
		return err_set(MS_ERR_ARGUMENT, "%s needs a value", arg->key);
	else if (strcmp(arg->key, "align") == 0)
		return align_set(bytes, arg->value);
	return 0;
}

static int pattern_take(struct bytes *bytes, const struct ms_arg *arg)
{
	bool text = strcmp(arg->key, "text") == 0;
	char *name;

	if (!text && strcmp(arg->key, "hex") != 0)
		return 0;
	name = arena_string(&bytes->arena, arg->value);
	if (!name)
		return err_nomem();
	return text ? text_add(bytes, name) : hex_add(bytes, name);
}

/* ---- What to find it by ---- */

/* Literals on their way to find_new(). */
struct literals {
	VEC(struct find_literal) list;
};

static void cleanup_literals(struct literals *literals)
{
	free(literals->list.data);
}

static int literals_compile(struct bytes *bytes)
{
	CLEANUP(cleanup_literals) struct literals literals = {0};

	for (uint32_t i = 0; i < bytes->patterns.count; i++) {
		const struct pattern *p = &bytes->patterns.data[i];
		struct find_literal literal = {p->value, p->mask, p->size};

		if (p->literal && (!vec_push(&literals.list, literal) ||
					  !vec_push(&bytes->literal_patterns, i)))
			return err_nomem();
	}
	if (!literals.list.count)
		return 0;
	return find_new(literals.list.data, literals.list.count, &bytes->literals);
}

static bool anchors_add(struct bytes *bytes, uint32_t index, struct literals *literals)
{
	const struct hexpat *hex = bytes->patterns.data[index].hex;

	for (size_t i = 0; i < hex->anchor_count; i++) {
		const struct hexpat_anchor *a = &hex->anchors[i];
		struct find_literal literal = {a->value, a->mask, a->size};
		struct anchor anchor = {index, a->before_min, a->before_max};

		if (!vec_push(&literals->list, literal) ||
			!vec_push(&bytes->anchor_patterns, anchor))
			return false;
		bytes->before_min = min_u64(bytes->before_min, a->before_min);
		bytes->before_max = max_u64(bytes->before_max, a->before_max);
	}
	return true;
}

static int anchors_compile(struct bytes *bytes)
{
	CLEANUP(cleanup_literals) struct literals literals = {0};

	bytes->before_min = SIZE_MAX;
	for (uint32_t i = 0; i < bytes->patterns.count; i++)
		if (!bytes->patterns.data[i].literal && !anchors_add(bytes, i, &literals))
			return err_nomem();
	if (!literals.list.count)
		return 0;
	return find_new(literals.list.data, literals.list.count, &bytes->anchors);
}

static int bytes_create(struct ms_engine *engine, const struct ms_arg *args, size_t count)
{
	struct bytes *bytes = engine->priv;
	int r = 0;

	bytes->align = 1;
	for (size_t i = 0; i < count && r == 0; i++)
		r = option_take(bytes, &args[i]);
	for (size_t i = 0; i < count && r == 0; i++)
		r = pattern_take(bytes, &args[i]);
	if (r < 0)
		return r;
	if (!bytes->patterns.count)
		return err_set(
			MS_ERR_ARGUMENT, "there is nothing to search for: give a text or hex");
	for (size_t i = 0; i < bytes->patterns.count; i++) {
		const struct pattern *p = &bytes->patterns.data[i];

		bytes->overlap = max_u64(bytes->overlap, p->size - 1);
	}
	r = literals_compile(bytes);
	return r < 0 ? r : anchors_compile(bytes);
}

static void bytes_destroy(struct ms_engine *engine)
{
	struct bytes *bytes = engine->priv;

	for (size_t i = 0; i < bytes->patterns.count; i++)
		hexpat_free(bytes->patterns.data[i].hex);
	free(bytes->patterns.data);
	find_free(bytes->literals);
	free(bytes->literal_patterns.data);
	find_free(bytes->anchors);
	free(bytes->anchor_patterns.data);
	arena_done(&bytes->arena);
}

static size_t bytes_overlap(const struct ms_engine *engine)
{
	const struct bytes *bytes = engine->priv;

	return bytes->overlap;
}

/* ---- Searching ---- */

/* Starts of a pattern that are still to be matched: first to last; none when first > last. */
struct window {
	size_t first, last;
};

struct pending {
	size_t start, size;
	uint32_t pattern;
};

struct search {
	const struct bytes *bytes;
	const struct ms_span *span;
	struct ms_emit *emit;
	size_t first, count;	/* the block */
	size_t from;		/* where the search for its anchors begins */
	struct window *windows; /* one for each pattern; NULL when all are literals */
	VEC(struct pending) pending;
	size_t emitted;	  /* of those */
	bool full;	  /* too many are pending */
	uint32_t pattern; /* being matched */
	struct hexpat_work work;
};

static void cleanup_search(struct search *s)
{
	free(s->windows);
	free(s->pending.data);
	hexpat_work_done(&s->work);
}

static int hit_emit(struct search *s, size_t start, size_t size, uint32_t pattern)
{
	struct ms_hit hit = {
		.address = s->span->address + start,
		.size = size,
		.value = pattern,
		.pattern = s->bytes->patterns.data[pattern].name,
		.bytes = s->span->data + start,
		.bytes_size = size,
	};

	if (hit.address % s->bytes->align)
		return 0;
	return s->emit->hit(s->emit, &hit);
}

static int matched(void *ctx, size_t start, size_t size)
{
	struct search *s = ctx;

	if (s->pending.count >= PENDING_MAX && s->count > 1) {
		s->full = true;
		return 1;
	}
	return vec_push(&s->pending, (struct pending){start, size, s->pattern}) ? 0 : err_nomem();
}

static int window_match(struct search *s, uint32_t pattern)
{
	const struct hexpat *hex = s->bytes->patterns.data[pattern].hex;
	struct window *window = &s->windows[pattern];

	if (window->first > window->last)
		return 0;
	s->pattern = pattern;
	return hexpat_match(hex, &s->work, s->span->data, s->span->size, window->first,
		window->last, matched, s);
}

/*
 * An anchor was found: matches may start at first to last. Windows less than a match apart are
 * joined, so that no byte is gone through more than a few times.
 */
static int anchor_found(void *ctx, size_t offset, size_t index)
{
	struct search *s = ctx;
	const struct anchor *anchor = &s->bytes->anchor_patterns.data[index];
	struct window *window = &s->windows[anchor->pattern];
	size_t near = s->bytes->patterns.data[anchor->pattern].size;
	size_t first, last;
	int r;

	offset += s->from;
	if (offset < anchor->before_min + s->first)
		return 0;
	first = offset > anchor->before_max ? offset - anchor->before_max : 0;
	first = max_u64(first, s->first);
	last = min_u64(offset - anchor->before_min, s->first + s->count - 1);
	if (first > last)
		return 0;
	if (window->first <= window->last && first <= window->last + near) {
		window->first = min_u64(window->first, first);
		window->last = max_u64(window->last, last);
		return 0;
	}
	r = window_match(s, anchor->pattern);
	*window = (struct window){first, last};
	return r;
}

static int pending_compare(const void *left, const void *right)
{
	const struct pending *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->pattern < b->pattern ? -1 : a->pattern > b->pattern;
}

/* Collects the matches of the block by anchors. */
static int block_match(struct search *s)
{
	const struct bytes *bytes = s->bytes;
	size_t size = s->span->size, to = s->first + s->count + bytes->before_max;
	int r;

	s->from = s->first + bytes->before_min;
	s->pending.count = 0;
	s->full = false;
	if (s->from >= size)
		return 0;
	for (uint32_t i = 0; i < bytes->patterns.count; i++)
		s->windows[i] = (struct window){1, 0};
	r = find_all(bytes->anchors, s->span->data + s->from, size - s->from,
		min_u64(to, size) - s->from, anchor_found, s);
	for (uint32_t i = 0; r == 0 && i < bytes->patterns.count; i++)
		r = window_match(s, i);
	return r;
}

/* Emits the pending matches that come before pattern at start. */
static int pending_emit(struct search *s, size_t start, uint32_t pattern)
{
	const struct pending stop = {.start = start, .pattern = pattern};
	int r = 0;

	while (r == 0 && s->emitted < s->pending.count) {
		const struct pending *p = &s->pending.data[s->emitted];

		if (pending_compare(p, &stop) > 0)
			break;
		s->emitted++;
		r = hit_emit(s, p->start, p->size, p->pattern);
	}
	return r;
}

static int literal_found(void *ctx, size_t offset, size_t index)
{
	struct search *s = ctx;
	uint32_t pattern = s->bytes->literal_patterns.data[index];
	size_t start = s->first + offset;
	int r = pending_emit(s, start, pattern);

	return r ? r : hit_emit(s, start, s->bytes->patterns.data[pattern].size, pattern);
}

static int block_emit(struct search *s)
{
	int r = 0;

	s->emitted = 0;
	/*
	 * None is there twice: a pattern's window that was matched lies so far behind the next
	 * anchor that no later window can reach it.
	 */
	vec_sort(&s->pending, pending_compare);
	if (s->bytes->literals)
		r = find_all(s->bytes->literals, s->span->data + s->first, s->span->size - s->first,
			s->count, literal_found, s);
	return r ? r : pending_emit(s, SIZE_MAX, UINT32_MAX);
}

static int blocks_search(struct search *s, size_t fresh)
{
	size_t block = BLOCK;
	int r = 0;

	s->windows = calloc(s->bytes->patterns.count, sizeof(*s->windows));
	if (!s->windows)
		return err_nomem();
	while (r == 0 && s->first < fresh) {
		s->count = min_u64(block, fresh - s->first);
		r = block_match(s);
		if (s->full) {
			block = s->count / 2;
			r = 0;
			continue;
		}
		if (r == 0)
			r = block_emit(s);
		s->first += s->count;
	}
	return r;
}

static int bytes_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	const struct bytes *bytes = engine->priv;
	CLEANUP(cleanup_search) struct search s = {.bytes = bytes, .span = span, .emit = emit};

	(void)scratch;
	assert(span->fresh <= span->size);
	if (bytes->anchors)
		return blocks_search(&s, span->fresh);
	s.count = span->fresh;
	return block_emit(&s);
}

static uint64_t bytes_period(const struct ms_engine *engine)
{
	const struct bytes *bytes = engine->priv;

	return bytes->align ? bytes->align : 1;
}

const struct ms_engine_ops bytes_engine = {
	.name = "bytes",
	.summary = "texts and hex patterns with wildcards, jumps and alternatives",
	.priv_size = sizeof(struct bytes),
	.create = bytes_create,
	.destroy = bytes_destroy,
	.overlap = bytes_overlap,
	.period = bytes_period,
	.span = bytes_span,
};
