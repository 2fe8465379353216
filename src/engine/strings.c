/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "strings": runs of printable characters.
 *
 * printable.c makes bitmaps of what is text, one for ASCII or UTF-8 and one for each kind of
 * UTF-16; in these a unit lies one or two bits behind the one before it, and everything else is
 * done with their words. A run is not bounded, but memory and the look around a span are, so a
 * run is cut where an address A is a multiple of PERIOD and the run covers all from A - PERIOD up
 * to and with A (UTF-8: at the next character, UTF-16: at its unit of that address). That depends
 * on nothing but the bytes within two periods, however the memory was cut into spans.
 */
#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/engines.h"
#include "engine/printable.h"

#include <assert.h>
#include <regex.h>

enum {
	PERIOD = 32 * 1024,
	MARGIN = 2 * PRINTABLE_REACH,
	BEHIND = PERIOD + MARGIN,
	OVERLAP = 2 * PERIOD + MARGIN,
	BLOCK = 512 * 1024, /* starts that are looked at together */
	WORDS = (BEHIND + BLOCK + OVERLAP) / 64 + 2,
	MIN_DEFAULT = 4,
	MIN_MAX = PERIOD / 8, /* whatever is cut has more characters */
	LANES_MAX = 3,
	RUN_BITS = 32, /* so many units of a run are looked for with shifts */
	TEXT_ROOM = 3 * (PERIOD + MARGIN),
};

/* What makes a bitmap of its own. */
struct lane {
	enum printable form;
	size_t stride;
	const char *name;
	uint8_t shifts[6]; /* that together look at all units of a short run; 0 behind the last */
};

struct strings {
	size_t min;
	bool ascii, utf8, utf16le, utf16be;
	struct lane lanes[LANES_MAX];
	size_t lane_count;
	classify_words *classify;
	regex_t grep;
	bool has_grep;
};

struct scratch {
	uint64_t bits[LANES_MAX][WORDS];
	char text[TEXT_ROOM + 1];
};

/* ---- Making the query ---- */

static int encoding_take(struct strings *strings, const char *list, size_t at, size_t length)
{
	const struct {
		const char *name;
		bool *wanted;
	} names[] = {{"ascii", &strings->ascii}, {"utf8", &strings->utf8},
		{"utf16le", &strings->utf16le}, {"utf16be", &strings->utf16be}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i].name) == length &&
			strncmp(names[i].name, list + at, length) == 0) {
			*names[i].wanted = true;
			return 0;
		}
	return err_at("encoding", list, at, "this is none of ascii, utf8, utf16le, utf16be");
}

static int encodings_take(struct strings *strings, const char *list)
{
	size_t at = 0, length;
	int r = 0;

	while (r == 0) {
		length = strcspn(list + at, ",");
		r = encoding_take(strings, list, at, length);
		at += length;
		if (!list[at])
			break;
		at++;
	}
	return r;
}

static int min_take(struct strings *strings, const char *text)
{
	uint64_t min;
	int r = ms_parse_number("min", text, &min);

	if (r < 0)
		return r;
	if (min < 1 || min > MIN_MAX)
		return err_set(MS_ERR_ARGUMENT, "min: the least length is 1 to %d", MIN_MAX);
	strings->min = (size_t)min;
	return 0;
}

static int grep_take(struct strings *strings, const char *expression)
{
	char why[256];
	int e;

	if (strings->has_grep)
		return err_set(MS_ERR_ARGUMENT, "grep: there can be but one expression");
	e = regcomp(&strings->grep, expression, REG_EXTENDED | REG_NOSUB);
	if (e == REG_ESPACE)
		return err_nomem();
	if (e) {
		regerror(e, &strings->grep, why, sizeof(why));
		return err_set(MS_ERR_ARGUMENT, "grep: %s in \"%.200s\"", why, expression);
	}
	strings->has_grep = true;
	return 0;
}

static int arg_take(struct strings *strings, const struct ms_arg *arg)
{
	static const struct {
		const char *key;
		int (*take)(struct strings *strings, const char *value);
	} keys[] = {{"min", min_take}, {"encoding", encodings_take}, {"grep", grep_take}};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(arg->key, keys[i].key) != 0)
			continue;
		if (!arg->value)
			return err_set(MS_ERR_ARGUMENT, "%s needs a value", arg->key);
		return keys[i].take(strings, arg->value);
	}
	return err_set(MS_ERR_ARGUMENT,
		"the engine \"strings\" has no argument \"%.100s\"; it knows min, encoding and "
		"grep",
		arg->key);
}

static void lane_add(
	struct strings *strings, bool wanted, enum printable form, size_t stride, const char *name)
{
	struct lane lane = {.form = form, .stride = stride, .name = name};
	size_t want = (size_t)min_u64(strings->min, RUN_BITS), have = 1, more;

	_Static_assert(RUN_BITS == 1 << 5, "five shifts that double what is looked at");
	for (size_t i = 0; i + 1 < ARRAY_SIZE(lane.shifts) && have < want; i++, have += more) {
		more = (size_t)min_u64(have, want - have);
		lane.shifts[i] = (uint8_t)(more * stride);
	}
	if (wanted)
		strings->lanes[strings->lane_count++] = lane;
}

static int strings_create(struct ms_engine *engine, const struct ms_arg *args, size_t count)
{
	struct strings *strings = engine->priv;
	int r = 0;

	strings->min = MIN_DEFAULT;
	strings->classify = classify_choose();
	for (size_t i = 0; i < count && r == 0; i++)
		r = arg_take(strings, &args[i]);
	if (!strings->utf8 && !strings->utf16le && !strings->utf16be)
		strings->ascii = true;
	/* ASCII is UTF-8: with both, one lane finds both. */
	lane_add(strings, strings->utf8, PRINTABLE_UTF8, 1, "utf8");
	lane_add(strings, strings->ascii && !strings->utf8, PRINTABLE_ASCII, 1, "ascii");
	lane_add(strings, strings->utf16le, PRINTABLE_UTF16LE, 2, "utf16le");
	lane_add(strings, strings->utf16be, PRINTABLE_UTF16BE, 2, "utf16be");
	return r;
}

static void strings_destroy(struct ms_engine *engine)
{
	struct strings *strings = engine->priv;

	if (strings->has_grep)
		regfree(&strings->grep);
}

static size_t strings_overlap(const struct ms_engine *engine)
{
	(void)engine;
	return OVERLAP;
}

static size_t strings_behind(const struct ms_engine *engine)
{
	(void)engine;
	return BEHIND;
}

static uint64_t strings_period(const struct ms_engine *engine)
{
	(void)engine;
	return PERIOD;
}

/* ---- Runs in a bitmap ---- */

/* A walk through a lane's bitmap. Places count from the first byte that has a bit. */
struct walk {
	const struct lane *lane;
	const uint64_t *bits; /* the word behind the last is zero */
	const uint8_t *data;  /* of place 0 */
	uint64_t address;     /* likewise */
	size_t min, end;      /* pieces that start at `end` or behind it are not wanted */
	size_t next_run;      /* the next start of a run; `end` for none */
	size_t word;	      /* the one that it is in... */
	uint64_t starts;      /* ...and the starts behind it there */
	size_t next_cut;      /* the next place where a long run is cut; `end` for none */
	size_t next_period;   /* where to look for the cut after that */
};

static bool bit_at(const uint64_t *bits, size_t at)
{
	return bits[at / 64] >> at % 64 & 1;
}

/* The first place from `at` on, in steps of the stride, that is not text; at most `stop`. */
static size_t run_end(const struct walk *walk, size_t at, size_t stop)
{
	uint64_t steps = walk->lane->stride == 1 ? UINT64_MAX : 0x5555555555555555u << at % 2;
	uint64_t clear = ~walk->bits[at / 64] & steps & UINT64_MAX << at % 64;
	size_t word = at / 64;

	while (!clear && (word + 1) * 64 < stop)
		clear = ~walk->bits[++word] & steps;
	if (!clear)
		return stop;
	return (size_t)min_u64(word * 64 + (unsigned)__builtin_ctzll(clear), stop);
}

/* Where in a word runs begin that have at least `min` units, or RUN_BITS of them. */
static uint64_t word_starts(const struct walk *walk, size_t word)
{
	size_t stride = walk->lane->stride;
	uint64_t low = walk->bits[word], high = walk->bits[word + 1];
	uint64_t before = word ? walk->bits[word - 1] >> (64 - stride) : 0;
	uint64_t inside = low << stride | before;

	if (!low)
		return 0;
	/* A bit of low stays if all of the units behind it that were looked at are text. */
	for (const uint8_t *by = walk->lane->shifts; *by; by++) {
		low &= low >> *by | high << (64 - *by);
		high &= high >> *by;
	}
	return low & ~inside;
}

/* A unit that begins where a character does; UTF-8 is the one that has others. */
static bool is_start(const struct walk *walk, size_t at)
{
	return walk->lane->form != PRINTABLE_UTF8 || (walk->data[at] & 0xc0) != 0x80;
}

static bool long_enough(const struct walk *walk, size_t at)
{
	size_t stride = walk->lane->stride, count = 0;

	if (walk->lane->form != PRINTABLE_UTF8)
		return walk->min <= RUN_BITS ||
		       run_end(walk, at, at + walk->min * stride) == at + walk->min * stride;
	for (; count < walk->min && bit_at(walk->bits, at); at++)
		count += is_start(walk, at);
	return count == walk->min;
}

/* Finds the next start of a run that has enough characters. */
static void run_find(struct walk *walk)
{
	for (;;) {
		size_t at;

		while (!walk->starts && (walk->word + 1) * 64 < walk->end)
			walk->starts = word_starts(walk, ++walk->word);
		at = walk->word * 64 + (unsigned)(walk->starts ? __builtin_ctzll(walk->starts) : 0);
		if (!walk->starts || at >= walk->end)
			break;
		walk->starts &= walk->starts - 1;
		if (!long_enough(walk, at))
			continue;
		walk->next_run = at;
		return;
	}
	walk->next_run = walk->end;
}

/*
 * Whether a run covers all from `place` - PERIOD up to and with `place`, and goes on with a
 * character there: *ret_cut is where that begins.
 */
static bool cut_at(const struct walk *walk, size_t place, size_t *ret_cut)
{
	if (place < PERIOD || run_end(walk, place - PERIOD, place + 1) <= place)
		return false;
	while (!is_start(walk, place) && bit_at(walk->bits, place))
		place++;
	*ret_cut = place;
	return bit_at(walk->bits, place);
}

/* The place at or behind `at` whose address is a multiple of the period. */
static size_t period_from(const struct walk *walk, size_t at)
{
	return at + (size_t)(-(walk->address + at) & (PERIOD - 1));
}

/* Where a run may be cut next after `place`: odd units of two bytes are cut one byte later. */
static size_t period_next(const struct walk *walk, size_t place)
{
	size_t into = (size_t)((walk->address + place) & (PERIOD - 1));

	return walk->lane->stride == 2 && into == 0 ? place + 1 : place + PERIOD - into;
}

/* Finds the next cut that is at `from` or behind it. */
static void cut_find(struct walk *walk, size_t from)
{
	size_t cut;

	walk->next_cut = walk->end;
	while (walk->next_period < walk->end && walk->next_cut == walk->end) {
		if (cut_at(walk, walk->next_period, &cut) && cut >= from && cut < walk->end)
			walk->next_cut = cut;
		walk->next_period = period_next(walk, walk->next_period);
	}
}

static void walk_begin(struct walk *walk, size_t from)
{
	/* A cut may lie up to three bytes behind its period. */
	walk->next_period = period_from(walk, from - min_u64(from, 3));
	walk->word = from / 64;
	walk->starts = word_starts(walk, walk->word) & UINT64_MAX << from % 64;
	run_find(walk);
	cut_find(walk, from);
}

static size_t walk_at(const struct walk *walk)
{
	return (size_t)min_u64(walk->next_run, walk->next_cut);
}

static void walk_on(struct walk *walk)
{
	size_t at = walk_at(walk);

	if (at == walk->next_run)
		run_find(walk);
	else
		cut_find(walk, at + 1);
}

/* Where the piece that starts at `at` ends: with its run, or at a cut. */
static size_t piece_end(const struct walk *walk, size_t at, bool continued)
{
	uint64_t address = walk->address + at;
	size_t into, place, end;

	if (walk->lane->stride == 2)
		address &= ~UINT64_C(1);
	into = (size_t)(address & (PERIOD - 1));
	/* The first cut that has a whole period of the run in front of it. */
	place = at - into + (continued || !into ? PERIOD : 2 * PERIOD);
	end = run_end(walk, at, place + 1);
	if (end <= place)
		return end;
	while (!is_start(walk, place) && bit_at(walk->bits, place))
		place++;
	return place;
}

/* ---- Making hits ---- */

struct search {
	const struct strings *strings;
	struct scratch *scratch;
	struct ms_emit *emit;
	struct walk walks[LANES_MAX];
	struct ms_hit hit; /* what no string has stays zero */
};

static bool all_ascii(const uint8_t *data, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= data[i];
	return any < 0x80;
}

/* Appends a unit of UTF-16 as UTF-8. */
static size_t unit_put(char *text, unsigned c)
{
	if (c < 0x80) {
		text[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		text[0] = (char)(0xc0 | c >> 6);
		text[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	text[0] = (char)(0xe0 | c >> 12);
	text[1] = (char)(0x80 | (c >> 6 & 0x3f));
	text[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

static size_t text_from_units(char *text, const uint8_t *data, size_t size, bool big)
{
	size_t length = 0;

	assert(size / 2 * 3 <= TEXT_ROOM);
	for (size_t i = 0; i + 1 < size; i += 2)
		length += unit_put(text + length, load_u16(data + i, big));
	return length;
}

/* Copies the text to where it can have a NUL behind it, as regexec() wants. */
static bool text_matches(struct search *search, struct ms_hit *hit)
{
	char *copy = search->scratch->text;

	assert(hit->text_size <= TEXT_ROOM);
	if (hit->text != copy)
		memcpy(copy, hit->text, hit->text_size);
	copy[hit->text_size] = '\0';
	return regexec(&search->strings->grep, copy, 0, NULL, 0) == 0;
}

static int piece_emit(struct search *search, const struct walk *walk)
{
	const struct strings *strings = search->strings;
	struct ms_hit *hit = &search->hit;
	size_t at = walk_at(walk);

	hit->continued = at != walk->next_run;
	hit->address = walk->address + at;
	hit->size = hit->bytes_size = hit->text_size = piece_end(walk, at, hit->continued) - at;
	hit->bytes = walk->data + at;
	hit->encoding = walk->lane->name;
	hit->text = (const char *)hit->bytes;
	if (walk->lane->stride == 2) {
		hit->text = search->scratch->text;
		hit->text_size = text_from_units(search->scratch->text, hit->bytes, hit->bytes_size,
			walk->lane->form == PRINTABLE_UTF16BE);
	} else if (walk->lane->form == PRINTABLE_UTF8 && strings->ascii &&
		   all_ascii(hit->bytes, hit->bytes_size)) {
		hit->encoding = "ascii";
	}
	if (strings->has_grep && !text_matches(search, hit))
		return 0;
	return search->emit->hit(search->emit, hit);
}

/* The lane whose next piece comes first, or NULL. */
static struct walk *walk_first(struct search *search)
{
	struct walk *first = &search->walks[0];

	for (size_t i = 1; i < search->strings->lane_count; i++)
		if (walk_at(&search->walks[i]) < walk_at(first))
			first = &search->walks[i];
	return walk_at(first) < first->end ? first : NULL;
}

/* Makes the bitmaps of all lanes. */
static void lanes_mark(const struct search *search, const uint8_t *data, size_t size)
{
	const struct strings *strings = search->strings;

	for (size_t i = 0, count; i < strings->lane_count; i += count) {
		enum printable forms[LANES_MAX];
		uint64_t *bits[LANES_MAX];

		for (count = 0; i + count < strings->lane_count; count++) {
			const struct lane *lane = &strings->lanes[i + count];

			/* Both kinds of UTF-16 are marked together. */
			if (count && (lane->stride == 1 || strings->lanes[i].stride == 1))
				break;
			forms[count] = lane->form;
			bits[count] = search->scratch->bits[i + count];
			bits[count][(size + 63) / 64] = 0;
		}
		printable_mark(strings->classify, forms, count, data, size, bits);
	}
}

/* Looks at the pieces that start in data[0..fresh). */
static int block_search(struct search *search, const uint8_t *data, size_t size, size_t fresh,
	size_t before, uint64_t address)
{
	const struct strings *strings = search->strings;
	size_t back = (size_t)min_u64(before, BEHIND);
	size_t total = back + (size_t)min_u64(size, fresh + OVERLAP);
	struct walk *walk;
	int r = 0;

	lanes_mark(search, data - back, total);
	for (size_t i = 0; i < strings->lane_count; i++) {
		search->walks[i] = (struct walk){
			.lane = &strings->lanes[i],
			.bits = search->scratch->bits[i],
			.data = data - back,
			.address = address - back,
			.min = strings->min,
			.end = back + fresh,
		};
		walk_begin(&search->walks[i], back);
	}
	while (r == 0 && (walk = walk_first(search))) {
		r = piece_emit(search, walk);
		walk_on(walk);
	}
	return r;
}

static int strings_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	struct search search = {.strings = engine->priv, .scratch = scratch, .emit = emit};
	int r = 0;

	assert(span->fresh <= span->size);
	for (size_t at = 0, fresh; r == 0 && at < span->fresh; at += fresh) {
		fresh = (size_t)min_u64(span->fresh - at, BLOCK);
		r = block_search(&search, span->data + at, span->size - at, fresh,
			span->before + at, span->address + at);
	}
	return r;
}

const struct ms_engine_ops strings_engine = {
	.name = "strings",
	.summary = "printable strings in ASCII, UTF-8 and UTF-16",
	.priv_size = sizeof(struct strings),
	.scratch_size = sizeof(struct scratch),
	.create = strings_create,
	.destroy = strings_destroy,
	.overlap = strings_overlap,
	.behind = strings_behind,
	.period = strings_period,
	.span = strings_span,
};
