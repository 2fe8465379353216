/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * However memory is laid out and cut up, a scan finds what a naive search of the whole finds.
 * Each round makes a random layout (tiny and large pieces, side by side or not, in every state,
 * sources that read short or fail at pages they had called data), a random query, filter, limit
 * and context; works out byte by byte what must come of it; and scans with several numbers of
 * threads. What matters happens at borders, so data is dull except around them.
 */
#include "test.h"

#include "base/mem.h"
#include "core/host.h"
#include "core/scan.h"
#include "memsift.h"

#include <stdatomic.h>

enum {
	ROUNDS = 300,
	SEGMENTS_MAX = 24,
	PIECES_MAX = 4096,
	DATA_MAX = 5 << 20,
	WINDOW = 80, /* bytes of interest on either side of a border */
	TOKENS_MAX = 160,
	PATTERNS_MAX = 3,
	HITS_MAX = 100000,
	PAGE = 4096,
	LETTERS = 3,
};

/* One byte of a pattern, or a jump over lo to hi bytes. */
struct token {
	uint8_t value, mask;
	unsigned lo, hi;
	bool jump;
};

struct pattern {
	struct token tokens[TOKENS_MAX];
	size_t count;
	char text[TOKENS_MAX * 8];
};

struct wanted {
	uint64_t address, size;
	size_t pattern;
};

/* A run of bytes that fare alike. */
struct piece {
	uint64_t base, size;
	const uint8_t *data; /* NULL: cannot be read */
	enum ms_state state; /* as the coverage has it */
	bool filtered;
};

struct round {
	uint64_t random;
	struct ms_segment segments[SEGMENTS_MAX];
	size_t segment_count;
	bool paged; /* every border is on a page */
	bool small; /* all of it fits into a chunk */
	uint8_t *memory;
	size_t memory_used;

	struct pattern patterns[PATTERNS_MAX];
	size_t pattern_count;
	uint64_t align, context, bytes_max, process_bytes_max, hits_max;

	/* The filter as made. */
	ms_filter *filter;
	struct {
		uint64_t base, size;
	} ranges[3];
	size_t range_count;
	unsigned perm_mask, perm_value;
	uint64_t size_min, size_max;
	bool swapped;

	/* How the source behaves. */
	size_t read_max;     /* bytes a read gets at most; 0: all */
	unsigned bad_one_in; /* pages that cannot be read after all; 0: none */

	struct piece pieces[PIECES_MAX];
	size_t piece_count;
	struct wanted *wanted;
	size_t wanted_count;
};

static struct round *now; /* the round that runs: read() has no other way to know */

static uint64_t below(uint64_t limit)
{
	return test_random(&now->random) % limit;
}

static bool one_in(uint64_t count)
{
	return below(count) == 0;
}

/* ---- The layout ------------------------------------------------------------------------- */

static uint64_t random_size(void)
{
	uint64_t chunk = SCAN_CHUNK;

	if (now->small)
		return now->paged ? PAGE * (1 + below(3)) : 1 + below(one_in(4) ? 9000 : 48);
	switch (below(now->paged ? 3 : 6)) {
	case 0:
		return (1 + below(6)) * PAGE;
	case 1:
		return chunk * (1 + below(2));
	case 2:
		return chunk + (below(3) - 1) * PAGE;
	case 3:
		return 1 + below(48);
	case 4:
		return chunk - 40 + below(80);
	default:
		return 2 * chunk - 20 + below(40);
	}
}

static uint64_t random_hole(void)
{
	if (!one_in(3))
		return 0;
	return now->paged ? PAGE * (1 + below(3)) : 1 + below(9000);
}

static enum ms_state random_state(void)
{
	static const enum ms_state states[] = {MS_STATE_ABSENT, MS_STATE_GUARD, MS_STATE_NO_ACCESS,
		MS_STATE_DEVICE, MS_STATE_SWAPPED, MS_STATE_REMOTE_FILE, MS_STATE_VANISHED,
		MS_STATE_IO_ERROR};

	return one_in(4) ? states[below(ARRAY_SIZE(states))] : MS_STATE_DATA;
}

static unsigned random_perm(void)
{
	return one_in(2) ? MS_PERM_READ | MS_PERM_WRITE : (unsigned)below(16);
}

static void make_layout(void)
{
	/* Low, in the middle, and right under the last address there is. */
	const uint64_t bases[] = {0, 0x7f0000000000, UINT64_MAX - 2 * DATA_MAX - PAGE};
	uint64_t at = align_down(bases[below(ARRAY_SIZE(bases))], PAGE);
	size_t count = 1 + below(SEGMENTS_MAX);

	now->paged = one_in(2);
	now->small = !one_in(3);
	now->memory_used = 0;
	now->segment_count = 0;
	while (now->segment_count < count) {
		struct ms_segment s = {.base = at + random_hole(), .size = random_size()};

		if (now->memory_used + s.size > DATA_MAX)
			break;
		s.state = random_state();
		s.perm = random_perm();
		if (s.state == MS_STATE_DATA || one_in(2))
			s.data = now->memory + now->memory_used;
		now->memory_used += s.size;
		now->segments[now->segment_count++] = s;
		at = s.base + s.size;
	}
	/* The last address a segment can have. */
	if (at > UINT64_MAX / 2 && !now->paged) {
		uint64_t up = UINT64_MAX - at;

		for (size_t i = 0; i < now->segment_count; i++)
			now->segments[i].base += up;
	}
	now->read_max = one_in(3) ? 1 + below(SCAN_CHUNK) : 0;
	now->bad_one_in = now->paged && one_in(3) ? 20 : 0;
}

/* Letters around an address wherever it is mapped. */
static void make_window(uint64_t address)
{
	for (size_t i = 0; i < now->segment_count; i++) {
		const struct ms_segment *s = &now->segments[i];
		uint64_t from = max_u64(s->base, address > WINDOW ? address - WINDOW : 0);
		uint64_t end = address < UINT64_MAX - WINDOW ? address + WINDOW : UINT64_MAX;

		end = min_u64(end, s->base + s->size);
		for (uint64_t at = from; s->data && at < end; at++)
			((uint8_t *)s->data)[at - s->base] = (uint8_t)('a' + below(LETTERS));
	}
}

static void make_bytes(void)
{
	uint64_t stretch = 0, end = 0;

	memset(now->memory, '.', now->memory_used);
	for (size_t i = 0; i < now->segment_count; i++) {
		const struct ms_segment *s = &now->segments[i];

		if (s->base != end)
			stretch = s->base;
		end = s->base + s->size;
		make_window(s->base);
		make_window(end);
		make_window(s->base + below(s->size));
		/* Chunks are counted from where a stretch begins, and now and then from elsewhere.
		 */
		for (uint64_t k = 0; k <= (end - stretch) / SCAN_CHUNK; k++)
			make_window(stretch + k * SCAN_CHUNK);
		for (uint64_t k = 1; k <= s->size / SCAN_CHUNK; k++)
			make_window(s->base + k * SCAN_CHUNK);
	}
}

/* ---- The source's behaviour ------------------------------------------------------------- */

static const struct ms_source_ops *memory_ops;

static bool page_is_bad(uint64_t address)
{
	uint64_t state = address / PAGE;

	return now->bad_one_in && test_random(&state) % now->bad_one_in == 0;
}

/* As the memory host reads, but less at a time, and never a bad page. */
static int read_badly(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	uint64_t good = 0;

	if (now->read_max)
		size = (size_t)min_u64(size, now->read_max);
	if (now->bad_one_in) {
		while (good < size && !page_is_bad(address + good))
			good += PAGE - (address + good) % PAGE;
		size = (size_t)min_u64(size, good);
	}
	if (!size) {
		*ret_size = 0;
		return 0;
	}
	return memory_ops->read(src, address, buf, size, ret_size);
}

/* ---- Queries ---------------------------------------------------------------------------- */

static void add_byte(struct pattern *p, uint8_t value, uint8_t mask)
{
	static const char digits[] = "0123456789abcdef";
	char text[4] = {digits[value >> 4], digits[value & 15], ' ', '\0'};

	if (!(mask >> 4))
		text[0] = '?';
	if (!(mask & 15))
		text[1] = '?';
	p->tokens[p->count++] = (struct token){.value = value & mask, .mask = mask};
	strcat(p->text, text);
}

static void make_pattern(struct pattern *p)
{
	static const uint8_t masks[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xf0, 0x0f, 0x00};
	size_t length = one_in(4) ? 30 + below(100) : 2 + below(7);
	bool dull = now->align >= 256; /* matches what lies between the windows */
	bool jumped = dull;

	p->count = 0;
	p->text[0] = '\0';
	for (size_t i = 0; i < length; i++) {
		bool edge = i == 0 || i + 1 == length;
		uint8_t letter = dull ? '.' : (uint8_t)('a' + below(LETTERS));
		bool any = length > 20 && !edge && !one_in(10);

		add_byte(p, letter, edge ? 0xff : any ? 0 : masks[below(ARRAY_SIZE(masks))]);
		if (!edge && !jumped && one_in(8)) {
			struct token jump = {.jump = true, .lo = (unsigned)below(5)};
			char text[32];

			jumped = true;
			jump.hi = jump.lo + (unsigned)below(60);
			snprintf(text, sizeof(text), "[%u-%u] ", jump.lo, jump.hi);
			strcat(p->text, text);
			p->tokens[p->count++] = jump;
		}
	}
}

static bool pattern_known(size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(now->patterns[i].text, now->patterns[index].text) == 0)
			return true;
	return false;
}

static void make_query(void)
{
	bool small = one_in(2);

	now->pattern_count = 1 + below(PATTERNS_MAX);
	now->align = one_in(10) ? 256 : one_in(4) ? 1u << below(5) : 1;
	/* Hits are told apart by their pattern's text, so no two are the same. */
	for (size_t i = 0; i < now->pattern_count; i++)
		do
			make_pattern(&now->patterns[i]);
		while (pattern_known(i));
	now->context = one_in(2) ? 0 : one_in(2) ? below(200) : below(MS_CONTEXT_MAX + 1);
	now->bytes_max = one_in(5) ? 1 + below(DATA_MAX) : 0;
	now->process_bytes_max = one_in(5) ? 1 + below(small ? DATA_MAX : 2 * SCAN_CHUNK) : 0;
	now->hits_max = one_in(6) ? 1 + below(60) : 0;
}

/* The shortest match of the tokens at data, or UINT64_MAX. */
static uint64_t match_at(const struct token *t, size_t count, const uint8_t *data, uint64_t size)
{
	for (size_t i = 0; i < count; i++, t++) {
		if (t->jump) {
			uint64_t best = UINT64_MAX;

			for (unsigned n = t->lo; n <= t->hi && n <= size; n++) {
				uint64_t rest = match_at(t + 1, count - i - 1, data + n, size - n);

				if (rest != UINT64_MAX)
					best = min_u64(best, i + n + rest);
			}
			return best;
		}
		if (!size || (*data & t->mask) != t->value)
			return UINT64_MAX;
		data++;
		size--;
	}
	return count;
}

static ms_engine *make_engine(void)
{
	struct ms_arg args[PATTERNS_MAX + 1];
	ms_engine *engine;
	char align[16];
	size_t count = 0;

	for (; count < now->pattern_count; count++)
		args[count] = (struct ms_arg){"hex", now->patterns[count].text};
	snprintf(align, sizeof(align), "%u", (unsigned)now->align);
	if (now->align > 1)
		args[count++] = (struct ms_arg){"align", align};
	check_ok(ms_engine_new("bytes", args, count, &engine));
	return engine;
}

/* ---- Filters ---------------------------------------------------------------------------- */

static void filter_set(const char *key, const char *format, uint64_t a, uint64_t b)
{
	char text[64];

	snprintf(text, sizeof(text), format, (unsigned long long)a, (unsigned long long)b);
	check_ok(ms_filter_set(now->filter, key, text));
}

static void make_range(void)
{
	const struct ms_segment *first = &now->segments[below(now->segment_count)];
	uint64_t base = first->base + below(first->size);
	uint64_t size = min_u64(1 + below(2 * SCAN_CHUNK), UINT64_MAX - base);

	now->ranges[now->range_count].base = base;
	now->ranges[now->range_count++].size = size;
	filter_set("address", "0x%llx-%llx", base, base + size);
}

static void make_filter(void)
{
	check_ok(ms_filter_new(&now->filter));
	now->range_count = 0;
	now->perm_mask = now->perm_value = 0;
	now->size_min = 0;
	now->size_max = UINT64_MAX;
	if (one_in(3))
		for (size_t count = 1 + below(3); count; count--)
			make_range();
	if (one_in(5)) {
		now->perm_mask = now->perm_value = MS_PERM_WRITE;
		check_ok(ms_filter_set(now->filter, "perm", "?w?"));
	}
	if (one_in(6))
		filter_set("min-size", "%llu", now->size_min = below(PAGE * 2), 0);
	if (one_in(6))
		filter_set("max-size", "%llu", now->size_max = below(SCAN_CHUNK * 2), 0);
	now->swapped = one_in(4);
	if (now->swapped)
		check_ok(ms_filter_set(now->filter, "include-swapped", NULL));
}

static bool segment_wanted(const struct ms_segment *s)
{
	return (s->perm & now->perm_mask) == now->perm_value && s->size >= now->size_min &&
	       s->size <= now->size_max;
}

static bool address_wanted(uint64_t address)
{
	for (size_t i = 0; i < now->range_count; i++)
		if (address >= now->ranges[i].base &&
			address - now->ranges[i].base < now->ranges[i].size)
			return true;
	return now->range_count == 0;
}

/* How far from address on address_wanted() stays as it is, up to end. */
static uint64_t same_until(uint64_t address, uint64_t end)
{
	for (size_t i = 0; i < now->range_count; i++) {
		uint64_t base = now->ranges[i].base, stop = base + now->ranges[i].size;

		if (base > address)
			end = min_u64(end, base);
		if (stop > address)
			end = min_u64(end, stop);
	}
	return end;
}

/* ---- What must come of it --------------------------------------------------------------- */

/* The same state of the same bytes follows on: one piece, as a gap would have it. */
static void add_piece(struct piece piece)
{
	check_that(now->piece_count < PIECES_MAX, "the layout has too many pieces");
	if (piece.size)
		now->pieces[now->piece_count++] = piece;
}

/* Cuts data at bad pages; what lies beyond a limit is not read whatever it is. */
static void add_data(struct piece piece, bool beyond)
{
	uint64_t end = piece.base + piece.size;

	if (beyond)
		piece.state = MS_STATE_LIMIT;
	while (now->bad_one_in && piece.data && piece.base < end) {
		struct piece page = piece;

		page.size = min_u64(PAGE - piece.base % PAGE, end - piece.base);
		piece.base += page.size;
		piece.data += page.size;
		if (page_is_bad(page.base)) {
			page.data = NULL;
			page.state = beyond ? MS_STATE_LIMIT : MS_STATE_NO_ACCESS;
		}
		add_piece(page);
	}
	piece.size = end - piece.base;
	add_piece(piece);
}

/* Bytes of one segment that the filter lets through, of which *left may still be read. */
static void foresee_wanted(const struct ms_segment *s, struct piece p, uint64_t *left)
{
	uint64_t end = p.base + p.size;

	/* Reading swapped memory fails here, but trying counts. */
	if (s->state != MS_STATE_DATA && (s->state != MS_STATE_SWAPPED || !now->swapped)) {
		add_piece(p);
		return;
	}
	if (s->state == MS_STATE_DATA)
		p.data = (const uint8_t *)s->data + (p.base - s->base);
	p.size = min_u64(p.size, *left);
	*left -= p.size;
	add_data(p, false);
	p.base += p.size;
	if (p.data)
		p.data += p.size;
	p.size = end - p.base;
	add_data(p, true);
}

static void foresee_pieces(void)
{
	uint64_t left = UINT64_MAX;

	if (now->bytes_max)
		left = now->bytes_max;
	if (now->process_bytes_max)
		left = min_u64(left, now->process_bytes_max);
	now->piece_count = 0;
	for (size_t i = 0; i < now->segment_count; i++) {
		const struct ms_segment *s = &now->segments[i];
		uint64_t at = s->base, end = s->base + s->size;

		while (at < end) {
			struct piece p = {.base = at, .state = (enum ms_state)s->state};

			p.size = same_until(at, end) - at;
			p.filtered = !segment_wanted(s) || !address_wanted(at);
			at += p.size;
			if (p.filtered)
				add_piece(p);
			else
				foresee_wanted(s, p, &left);
		}
	}
}

static bool may_start(uint64_t address)
{
	size_t low = 0, high = now->piece_count;

	while (low + 1 < high) {
		size_t middle = (low + high) / 2;

		*(now->pieces[middle].base <= address ? &low : &high) = middle;
	}
	return now->pieces[low].state == MS_STATE_DATA;
}

/* Every match that lies wholly in joined bytes. */
static void search_stretch(const uint8_t *data, uint64_t base, uint64_t size)
{
	for (uint64_t at = 0; at < size; at++) {
		if ((base + at) % now->align || !may_start(base + at))
			continue;
		for (size_t i = 0; i < now->pattern_count; i++) {
			const struct pattern *p = &now->patterns[i];
			uint64_t length = match_at(p->tokens, p->count, data + at, size - at);

			if (length == UINT64_MAX)
				continue;
			check_that(now->wanted_count < HITS_MAX, "too many hits");
			now->wanted[now->wanted_count++] = (struct wanted){base + at, length, i};
		}
	}
}

/* The last piece of the stretch of joined bytes that begins with piece number first. */
static size_t stretch_end(size_t first)
{
	size_t last = first;

	while (last + 1 < now->piece_count && now->pieces[last + 1].data &&
		!now->pieces[last + 1].filtered &&
		now->pieces[last].base + now->pieces[last].size == now->pieces[last + 1].base)
		last++;
	return last;
}

static void foresee_hits(void)
{
	AUTO_FREE uint8_t *joined = malloc(DATA_MAX);

	check(joined);
	now->wanted_count = 0;
	for (size_t i = 0, last; i < now->piece_count; i = last + 1) {
		uint64_t size = 0;

		last = i;
		if (!now->pieces[i].data)
			continue;
		last = stretch_end(i);
		for (size_t k = i; k <= last; k++) {
			memcpy(joined + size, now->pieces[k].data, now->pieces[k].size);
			size += now->pieces[k].size;
		}
		search_stretch(joined, now->pieces[i].base, size);
	}
}

/* ---- What did --------------------------------------------------------------------------- */

struct seen {
	size_t hits;
	uint64_t last;
	bool coverage;
	uint64_t order[PATTERNS_MAX]; /* patterns seen at the last address */
	size_t order_count;
	char wrong[256];
};

/* Copies joined bytes from address on; returns how many there are, at most size. */
static uint64_t joined_at(uint64_t address, uint8_t *buf, uint64_t size)
{
	uint64_t got = 0;

	for (size_t i = 0; i < now->piece_count && got < size; i++) {
		const struct piece *p = &now->pieces[i];

		if (address + got < p->base || address + got - p->base >= p->size)
			continue;
		if (!p->data || p->filtered)
			break;
		uint64_t from = address + got - p->base;
		uint64_t count = min_u64(p->size - from, size - got);

		memcpy(buf + got, p->data + from, count);
		got += count;
	}
	return got;
}

/* How many joined bytes lie right in front of address, at most size. */
static uint64_t joined_before(uint64_t address, uint64_t size)
{
	uint64_t from = address;

	for (size_t i = now->piece_count; i-- && address - from < size;)
		if (now->pieces[i].data && !now->pieces[i].filtered && now->pieces[i].base < from &&
			from - now->pieces[i].base <= now->pieces[i].size)
			from = now->pieces[i].base;
	return min_u64(address - from, size);
}

/* Keeps what is wrong first; always 1, which ends the scan. */
static __attribute__((format(printf, 2, 3))) int wrong(struct seen *seen, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!seen->wrong[0])
		vsnprintf(seen->wrong, sizeof(seen->wrong), format, args);
	va_end(args);
	return 1;
}

static int context_wrong(struct seen *seen, const struct ms_value *v, const struct wanted *w)
{
	static uint8_t expected[3 * MS_CONTEXT_MAX];
	uint64_t back = joined_before(w->address, now->context);
	uint64_t size = joined_at(w->address - back, expected, back + w->size + now->context);

	if (v[6].present != (now->context > 0))
		return wrong(seen, "context is there or not");
	if (!now->context)
		return 0;
	if (v[6].size != size || v[7].v.u != back)
		return wrong(seen, "context of 0x%llx: %zu bytes, %llu before; not %llu, %llu",
			(unsigned long long)w->address, v[6].size, (unsigned long long)v[7].v.u,
			(unsigned long long)size, (unsigned long long)back);
	if (memcmp(v[6].v.data, expected, size) != 0)
		return wrong(seen, "context of 0x%llx", (unsigned long long)w->address);
	return 0;
}

/* Hits at one address may come in any order of their patterns: finds the one this is. */
static const struct wanted *wanted_for(const struct seen *seen, const struct ms_value *v)
{
	size_t at = seen->hits;

	while (at > 0 && now->wanted[at - 1].address == v[2].v.u)
		at--;
	for (; at < now->wanted_count && now->wanted[at].address == v[2].v.u; at++) {
		const char *text = now->patterns[now->wanted[at].pattern].text;

		if (v[4].size == strlen(text) && memcmp(v[4].v.data, text, v[4].size) == 0 &&
			v[3].v.u == now->wanted[at].size)
			return &now->wanted[at];
	}
	return NULL;
}

static int hit_wrong(struct seen *seen, const struct ms_value *v)
{
	const struct wanted *w;
	uint8_t bytes[256];
	uint64_t got;

	if (seen->hits >= now->wanted_count)
		return wrong(seen, "a hit too many, at 0x%llx", (unsigned long long)v[2].v.u);
	w = wanted_for(seen, v);
	if (!w || now->wanted[seen->hits].address != v[2].v.u)
		return wrong(seen, "hit %zu at 0x%llx of %llu bytes, not at 0x%llx of %llu",
			seen->hits, (unsigned long long)v[2].v.u, (unsigned long long)v[3].v.u,
			(unsigned long long)now->wanted[seen->hits].address,
			(unsigned long long)now->wanted[seen->hits].size);
	if (seen->last != v[2].v.u || !seen->hits)
		seen->order_count = 0;
	for (size_t i = 0; i < seen->order_count; i++)
		if (seen->order[i] == w->pattern)
			return wrong(seen, "0x%llx twice", (unsigned long long)v[2].v.u);
	seen->order[seen->order_count++] = w->pattern;
	seen->last = v[2].v.u;
	seen->hits++;
	got = joined_at(w->address, bytes, min_u64(sizeof(bytes), v[5].size));
	if (v[5].size > w->size || memcmp(bytes, v[5].v.data, got) != 0)
		return wrong(seen, "bytes of 0x%llx", (unsigned long long)w->address);
	if (v[2].v.u < v[8].v.u || v[2].v.u >= v[9].v.u)
		return wrong(seen, "0x%llx is not in its region", (unsigned long long)w->address);
	return context_wrong(seen, v, w);
}

static const size_t sums[MS_STATE_COUNT] = {
	[MS_STATE_DATA] = 5,
	[MS_STATE_ABSENT] = 4,
	[MS_STATE_GUARD] = 6,
	[MS_STATE_NO_ACCESS] = 6,
	[MS_STATE_DEVICE] = 7,
	[MS_STATE_SWAPPED] = 7,
	[MS_STATE_REMOTE_FILE] = 7,
	[MS_STATE_VANISHED] = 6,
	[MS_STATE_IO_ERROR] = 6,
	[MS_STATE_LIMIT] = 7,
};

static int gap_wrong(struct seen *seen, const struct ms_value *v, size_t count)
{
	size_t at = 0;

	for (size_t i = 0; i < now->piece_count; at++) {
		const struct piece *p = &now->pieces[i];
		uint64_t base = p->base, end = p->base + p->size;

		if (p->filtered || p->state == MS_STATE_DATA || p->state == MS_STATE_ABSENT) {
			i++;
			at--;
			continue;
		}
		while (++i < now->piece_count && now->pieces[i].base == end &&
			!now->pieces[i].filtered && now->pieces[i].state == p->state)
			end += now->pieces[i].size;
		if (at >= count)
			return wrong(seen, "only %zu gaps", count);

		const struct ms_value *gap = v[9].v.items[at].values;
		const char *name = ms_state_name(p->state);

		if (gap[0].v.u != base || gap[1].v.u != end || gap[2].size != strlen(name) ||
			memcmp(gap[2].v.data, name, gap[2].size) != 0)
			return wrong(seen, "gap %zu is 0x%llx-0x%llx, not 0x%llx-0x%llx %s", at,
				(unsigned long long)gap[0].v.u, (unsigned long long)gap[1].v.u,
				(unsigned long long)base, (unsigned long long)end, name);
	}
	return at == count ? 0 : wrong(seen, "%zu gaps, not %zu", count, at);
}

static int coverage_wrong(struct seen *seen, const struct ms_value *v)
{
	uint64_t expected[8] = {0};

	seen->coverage = true;
	if (v[2].v.u != v[3].v.u + v[4].v.u + v[5].v.u + v[6].v.u + v[7].v.u)
		return wrong(seen, "the coverage does not add up");
	/* Which chunks were done when enough hits had come is a matter of luck. */
	if (now->hits_max)
		return 0;
	for (size_t i = 0; i < now->piece_count; i++) {
		expected[2] += now->pieces[i].size;
		expected[now->pieces[i].filtered ? 3 : sums[now->pieces[i].state]] +=
			now->pieces[i].size;
	}
	for (size_t i = 2; i < 8; i++)
		if (expected[i] != v[i].v.u)
			return wrong(seen, "%s is %llu, not %llu",
				ms_schema_coverage.columns[i].name, (unsigned long long)v[i].v.u,
				(unsigned long long)expected[i]);
	return gap_wrong(seen, v, v[9].size);
}

static int take_record(void *ctx, const struct ms_record *record)
{
	if (record->schema == &ms_schema_hit)
		return hit_wrong(ctx, record->values);
	if (record->schema == &ms_schema_coverage)
		return coverage_wrong(ctx, record->values);
	return wrong(ctx, "a record of type %s", record->schema->type);
}

static void scan_once(ms_source *src, const ms_engine *engine, unsigned threads, uint64_t seed)
{
	struct seen seen = {0};
	struct ms_total total;
	struct ms_scan scan = {
		.size = sizeof(scan),
		.engine = engine,
		.filter = now->filter,
		.job = {.size = sizeof(scan.job),
			.threads = threads,
			.bytes_max = now->bytes_max,
			.process_bytes_max = now->process_bytes_max,
			.hits_max = now->hits_max},
		.context = now->context,
		.sink = {take_record, &seen},
	};
	uint64_t hits = now->wanted_count;
	int r = ms_scan_source(src, &scan, &total);

	if (now->hits_max)
		hits = min_u64(hits, now->hits_max);
	if (!seen.wrong[0] && (r < 0 || !seen.coverage || seen.hits != hits || total.hits != hits))
		wrong(&seen, "%d (%s), %zu hits, not %llu", r, r < 0 ? ms_error() : "no error",
			seen.hits, (unsigned long long)hits);
	if (seen.wrong[0]) {
		for (size_t i = 0; i < now->segment_count; i++)
			fprintf(stderr, "  0x%llx + 0x%llx %s\n",
				(unsigned long long)now->segments[i].base,
				(unsigned long long)now->segments[i].size,
				ms_state_name((enum ms_state)now->segments[i].state));
		for (size_t i = 0; i < now->pattern_count; i++)
			fprintf(stderr, "  pattern %s\n", now->patterns[i].text);
	}
	check_that(!seen.wrong[0], "seed %llu, %u threads: %s", (unsigned long long)seed, threads,
		seen.wrong);
}

static void run_round(uint64_t seed)
{
	struct ms_source_ops ops;
	ms_engine *engine;
	ms_host *host;
	ms_source *src;

	now->random = seed;
	make_layout();
	if (!now->segment_count)
		return;
	make_bytes();
	make_query();
	make_filter();
	foresee_pieces();
	foresee_hits();
	engine = make_engine();
	check_ok(ms_host_open_memory(now->segments, now->segment_count, &host));
	check_ok(ms_source_open(host, 0, &src));
	memory_ops = src->ops;
	ops = *src->ops;
	ops.read = read_badly;
	ops.view = NULL;
	src->ops = &ops;
	for (unsigned threads = 1; threads <= 4; threads++)
		scan_once(src, engine, threads, seed);
	src->ops = memory_ops;
	ms_source_free(src);
	ms_host_free(host);
	ms_engine_free(engine);
	ms_filter_free(now->filter);
}

static void any_chunking_gives_the_same(void)
{
	size_t hits = 0;

	now = calloc(1, sizeof(*now));
	check(now);
	now->memory = malloc(DATA_MAX);
	now->wanted = malloc(HITS_MAX * sizeof(*now->wanted));
	check(now->memory && now->wanted);
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		run_round(seed);
		hits += now->wanted_count;
	}
	check_that(hits > 10 * ROUNDS, "only %zu hits", hits);
	free(now->wanted);
	free(now->memory);
	free(now);
}

static const struct test tests[] = {
	{"any chunking gives the same", any_chunking_gives_the_same},
};

TEST_MAIN(tests)
