/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random histories: memory with random gaps is scanned, changed, lost and scanned again, and after
 * each scan every match must be just what an oracle says that keeps them in a plain list. The
 * oracle compares numbers as 128-bit integers or long doubles, one at a time.
 */
#include "memsift_track.h"

#include "tests/test.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

enum {
	ROUNDS = 120,
	SCANS = 6,
	BASE = 0x7f0000000000 >> 12,
	MEMORY = 96 * 1024,
	PIECES_MAX = 12,
};

static uint64_t seed;

static uint64_t below(uint64_t limit)
{
	return test_random(&seed) % limit;
}

/* ---- The world -------------------------------------------------------------------------- */

static _Alignas(64) uint8_t memory[MEMORY];
static struct ms_segment pieces[PIECES_MAX];
static size_t piece_count;
static ms_host *host;
static ms_source *source;

static void world_open(void)
{
	ms_source_free(source);
	ms_host_free(host);
	source = NULL;
	host = NULL;
	check_ok(ms_host_open_memory(pieces, piece_count, &host));
	check_ok(ms_source_open(host, 0, &source));
}

/* Pieces of memory side by side or with holes between; page-wise, or anywhere. */
static void world_make(void)
{
	size_t grain = below(3) ? 4096 : 1, at = 0;

	piece_count = 0;
	while (piece_count < PIECES_MAX && at < MEMORY) {
		size_t size = (1 + below(4 * 4096 / grain)) * grain;
		bool hole = below(4) == 0;

		size = size < MEMORY - at ? size : MEMORY - at;
		if (!hole)
			pieces[piece_count++] =
				(struct ms_segment){((uint64_t)BASE << 12) + at, size, memory + at,
					MS_PERM_READ, below(8) ? MS_STATE_DATA : MS_STATE_GUARD};
		at += size;
	}
	if (!piece_count)
		pieces[piece_count++] = (struct ms_segment){
			(uint64_t)BASE << 12, MEMORY, memory, MS_PERM_READ, MS_STATE_DATA};
}

static void world_lose(void)
{
	pieces[below(piece_count)].state = MS_STATE_NO_ACCESS;
}

/* Few different bytes, so that conditions hold for many; or stretches of zeros. */
static void memory_fill(void)
{
	unsigned mode = (unsigned)below(4);

	for (size_t i = 0; i < MEMORY; i++)
		memory[i] = mode == 0	? (uint8_t)below(3)
			    : mode == 1 ? (uint8_t)test_random(&seed)
					: 0;
	for (size_t n = mode == 3 ? 200 : 0; n; n--)
		memory[below(MEMORY)] = (uint8_t)test_random(&seed);
}

static void memory_change(void)
{
	size_t changes = 1 + below(400);

	if (below(5) == 0) {
		size_t at = below(MEMORY), size = below(MEMORY - at);

		memset(memory + at, (int)below(3), size);
	}
	while (changes--) {
		size_t at = below(MEMORY - 8);

		memory[at] = (uint8_t)(memory[at] + below(5) - 2);
		if (below(20) == 0)
			memset(memory + at, (int)below(256), 8);
	}
}

/* The bytes at an address; false unless all of them are readable. */
static bool world_read(uint64_t address, size_t size, uint8_t *buf)
{
	for (size_t i = 0; i < size; i++) {
		size_t k = 0;

		while (k < piece_count && address + i - pieces[k].base >= pieces[k].size)
			k++;
		if (k == piece_count || pieces[k].state != MS_STATE_DATA)
			return false;
		buf[i] = ((const uint8_t *)pieces[k].data)[address + i - pieces[k].base];
	}
	return true;
}

/* ---- The oracle ------------------------------------------------------------------------- */

static const struct type {
	const char *name;
	size_t size;
	char kind; /* i, u, f, b */
} types[] = {{"i8", 1, 'i'}, {"i16", 2, 'i'}, {"i32", 4, 'i'}, {"i64", 8, 'i'}, {"u8", 1, 'u'},
	{"u16", 2, 'u'}, {"u32", 4, 'u'}, {"u64", 8, 'u'}, {"f32", 4, 'f'}, {"f64", 8, 'f'},
	{"bytes:5", 5, 'b'}};

struct match {
	uint64_t address;
	uint8_t value[8];
};

static struct match known[MEMORY], former[MEMORY];
static size_t known_count, former_count;
static const struct type *type;
static size_t align;
static double tolerance;

enum op {
	SAME,
	OTHER,
	MORE,
	LESS,
	MORE_SAME,
	LESS_SAME,
	RANGE,
	UP,
	DOWN,
	CHANGED,
	UNCHANGED,
	INCREASED,
	DECREASED,
	UNKNOWN,
	OPS
};

struct question {
	enum op op;
	uint8_t low[8], high[8];
	char text[160];
};

static __int128 integer_of(const uint8_t *bytes)
{
	uint64_t bits = 0;

	memcpy(&bits, bytes, type->size);
	if (type->kind == 'i' && bits >> (8 * type->size - 1))
		return (__int128)bits - ((__int128)1 << 8 * type->size);
	return (__int128)bits;
}

static long double real_of(const uint8_t *bytes)
{
	double wide;
	float narrow;

	memcpy(&wide, bytes, type->size == 8 ? 8 : 4);
	memcpy(&narrow, bytes, 4);
	return type->size == 8 ? (long double)wide : (long double)narrow;
}

/* -1, 0, 1, or 2 where nothing is less or equal. */
static int order(const uint8_t *a, const uint8_t *b)
{
	if (type->kind == 'b')
		return memcmp(a, b, type->size) ? 2 : 0;
	if (type->kind == 'f') {
		long double x = real_of(a), y = real_of(b);

		return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
	}
	return (integer_of(a) > integer_of(b)) - (integer_of(a) < integer_of(b));
}

/* Floating-point differences are those of the type itself. */
static double difference(const uint8_t *a, const uint8_t *b)
{
	if (type->size == 4)
		return (double)((float)real_of(a) - (float)real_of(b));
	return (double)real_of(a) - (double)real_of(b);
}

static double tolerance_of_type(void)
{
	return type->size == 4 ? (double)(float)tolerance : tolerance;
}

static bool near(const uint8_t *a, const uint8_t *b)
{
	return order(a, b) == 0 ||
	       (type->kind == 'f' && fabs(difference(a, b)) <= tolerance_of_type());
}

static bool above(const uint8_t *a, const uint8_t *b)
{
	return type->kind == 'f' ? difference(a, b) > tolerance_of_type() : order(a, b) == 1;
}

static bool stepped(const uint8_t *now, const uint8_t *old, const uint8_t *by, int sign)
{
	uint8_t wanted[8] = {0};

	if (type->kind == 'f') {
		float narrow = sign * (float)real_of(by) + (float)real_of(old);
		double wide = sign * (double)real_of(by) + (double)real_of(old);

		memcpy(wanted, type->size == 4 ? (void *)&narrow : (void *)&wide, type->size);
	} else {
		uint64_t sum = (uint64_t)(integer_of(old) + sign * integer_of(by));

		memcpy(wanted, &sum, type->size);
	}
	return near(now, wanted);
}

/* A single number, or one of as much as the tolerance beside it. */
static bool equal(const uint8_t *now, const uint8_t *wanted)
{
	long double x, y;

	if (type->kind != 'f')
		return order(now, wanted) == 0;
	x = real_of(now);
	y = real_of(wanted);
	if (type->size == 4)
		return x >= (float)((double)y - tolerance) && x <= (float)((double)y + tolerance);
	return x >= (double)y - tolerance && x <= (double)y + tolerance;
}

static bool holds(const struct question *q, const uint8_t *now, const uint8_t *old)
{
	switch (q->op) {
	case SAME:
		return equal(now, q->low);
	case OTHER:
		return !equal(now, q->low);
	case MORE:
		return order(now, q->low) == 1;
	case LESS:
		return order(now, q->low) == -1;
	case MORE_SAME:
		return order(now, q->low) == 1 || order(now, q->low) == 0;
	case LESS_SAME:
		return order(now, q->low) == -1 || order(now, q->low) == 0;
	case RANGE:
		return (order(now, q->low) == 1 || order(now, q->low) == 0) &&
		       (order(now, q->high) == -1 || order(now, q->high) == 0);
	case UP:
		return stepped(now, old, q->low, 1);
	case DOWN:
		return stepped(now, old, q->low, -1);
	case CHANGED:
		return !near(now, old);
	case UNCHANGED:
		return near(now, old);
	case INCREASED:
		return above(now, old);
	case DECREASED:
		return above(old, now);
	default:
		return true;
	}
}

static void oracle_first(const struct question *q)
{
	uint64_t start = (uint64_t)BASE << 12;

	known_count = 0;
	for (uint64_t at = start; at < start + MEMORY; at++) {
		struct match match = {.address = at};

		if (at % align || !world_read(at, type->size, match.value))
			continue;
		if (holds(q, match.value, NULL))
			known[known_count++] = match;
	}
}

static uint64_t oracle_next(const struct question *q)
{
	uint64_t lost = 0;
	size_t kept = 0;

	memcpy(former, known, known_count * sizeof(*known));
	former_count = known_count;
	for (size_t i = 0; i < known_count; i++) {
		struct match match = known[i];

		if (!world_read(match.address, type->size, match.value))
			lost++;
		else if (holds(q, match.value, known[i].value))
			known[kept++] = match;
	}
	known_count = kept;
	return lost;
}

/* ---- Questions -------------------------------------------------------------------------- */

static void value_text(const uint8_t *value, char *text)
{
	uint64_t bits = 0;

	if (type->kind == 'f') {
		sprintf(text, "%.17Lg", real_of(value));
		return;
	}
	memcpy(&bits, value, type->size);
	if (type->kind == 'u')
		sprintf(text, "%" PRIu64, bits);
	else
		sprintf(text, "%" PRId64, (int64_t)integer_of(value));
}

/* Mostly something that is there, so that it is found. */
static void value_pick(uint8_t *value)
{
	memset(value, 0, 8);
	if (below(4))
		memcpy(value, memory + below(MEMORY - 8), type->size);
	else if (type->kind == 'f' && type->size == 4)
		memcpy(value, &(float){(float)below(9) - 4}, 4);
	else if (type->kind == 'f')
		memcpy(value, &(double){(double)below(9) - 4}, 8);
	else
		value[0] = (uint8_t)below(5);
	if (type->kind == 'f' && !isfinite(real_of(value)))
		memset(value, 0, 8);
}

static bool question_valid(const struct question *q)
{
	uint64_t most = UINT64_MAX >> (64 - 8 * type->size);
	__int128 top = type->kind == 'i' ? most >> 1 : most;
	__int128 bottom = type->kind == 'i' ? -top - 1 : 0;

	if (q->op == RANGE)
		return order(q->low, q->high) < 1;
	if (type->kind == 'f')
		return true;
	return !(q->op == MORE && integer_of(q->low) == top) &&
	       !(q->op == LESS && integer_of(q->low) == bottom);
}

static void question_make(struct question *q, bool is_first)
{
	static const char *const forms[OPS] = {[SAME] = "= %s",
		[OTHER] = "!=%s",
		[MORE] = ">%s",
		[LESS] = "< %s",
		[MORE_SAME] = ">= %s",
		[LESS_SAME] = "<=%s",
		[RANGE] = "%s..%s",
		[UP] = "+ %s",
		[DOWN] = "- %s",
		[CHANGED] = "changed",
		[UNCHANGED] = "unchanged",
		[INCREASED] = "increased",
		[DECREASED] = "decreased",
		[UNKNOWN] = "unknown"};
	static const enum op of_bytes[] = {SAME, OTHER, CHANGED, UNCHANGED, UNKNOWN};
	char low[80], high[80];

	do {
		q->op = type->kind == 'b' ? of_bytes[below(5)] : (enum op)below(OPS);
		value_pick(q->low);
		value_pick(q->high);
	} while (!question_valid(q) || (is_first && q->op >= UP && q->op != UNKNOWN) ||
		 (!is_first && q->op == UNKNOWN));
	if (type->kind == 'b') {
		for (size_t i = 0; i < type->size; i++)
			sprintf(low + 2 * i, "%02x", q->low[i]);
	} else {
		value_text(q->low, low);
		value_text(q->high, high);
	}
	snprintf(q->text, sizeof(q->text), forms[q->op], low, high);
}

/* ---- Comparing -------------------------------------------------------------------------- */

struct comparison {
	size_t at;
	char *wrong;
};

static int match_compare(void *ctx, const struct ms_record *record)
{
	struct comparison *comparison = ctx;
	const struct match *match = &known[comparison->at];
	const struct ms_value *previous = &record->values[6];
	char text[80];

	if (comparison->at++ >= known_count || record->values[2].v.u != match->address) {
		comparison->wrong = "another address";
		return 1;
	}
	if (type->kind == 'f' || type->kind == 'b')
		return 0;
	value_text(match->value, text);
	if (previous->size != strlen(text) || memcmp(previous->v.data, text, previous->size) != 0) {
		comparison->wrong = "another value";
		return 1;
	}
	return 0;
}

static void compare(const ms_values *values, const char *when)
{
	struct comparison comparison = {0};
	struct ms_sink sink = {match_compare, &comparison};
	struct ms_values_info info;
	uint64_t count = 0;
	int r;

	ms_values_info(values, &info);
	check_that(info.count == known_count, "%s %s: %llu matches, not %zu", type->name, when,
		(unsigned long long)info.count, known_count);
	check_that(info.bytes_kept <= MEMORY * 115 / 100 + 40 * PIECES_MAX,
		"%s %s: %llu bytes kept", type->name, when, (unsigned long long)info.bytes_kept);
	r = ms_values_list(values, source, NULL, &sink, &count);
	check_that(r == 0 && count == known_count, "%s %s: match %zu: %s", type->name, when,
		comparison.at, comparison.wrong ? comparison.wrong : ms_error());
}

static void coverage_check(const struct ms_coverage *coverage)
{
	check_u64(coverage->total, coverage->filtered + coverage->absent + coverage->read +
					   coverage->unreadable + coverage->skipped);
}

/* ---- Histories -------------------------------------------------------------------------- */

static void scan_next(ms_values *values, struct ms_job *job)
{
	struct ms_coverage coverage;
	struct ms_values_info info;
	struct question q;
	uint64_t lost;

	question_make(&q, false);
	job->threads = 1 + (unsigned)below(4);
	lost = oracle_next(&q);
	check_ok(ms_values_next(values, source, q.text, job, &coverage));
	coverage_check(&coverage);
	compare(values, q.text);
	ms_values_info(values, &info);
	check_u64(info.lost, lost);
}

static void scan_undo(ms_values *values)
{
	check_ok(ms_values_undo(values));
	memcpy(known, former, former_count * sizeof(*known));
	known_count = former_count;
	compare(values, "undo");
}

static ms_values *values_make(const char *session)
{
	struct ms_values_options options = {.type = type->name,
		.align = align,
		.tolerance = tolerance,
		.zstd = below(2) && strstr(ms_features(), "zstd"),
		.session = session};
	ms_values *values;

	check_ok(ms_values_new(&options, &values));
	return values;
}

static void history(const char *session)
{
	struct ms_job job = {.size = sizeof(job), .threads = 1 + (unsigned)below(4)};
	struct ms_coverage coverage;
	struct question q;
	ms_values *values = values_make(session);

	world_make();
	memory_fill();
	world_open();
	question_make(&q, true);
	oracle_first(&q);
	check_ok(ms_values_first(values, source, q.text, NULL, &job, &coverage));
	coverage_check(&coverage);
	compare(values, q.text);
	for (unsigned i = 0; i < SCANS; i++) {
		memory_change();
		if (below(10) == 0) {
			world_lose();
			world_open();
		}
		scan_next(values, &job);
		if (below(4) == 0)
			scan_undo(values);
		if (session && below(3) == 0) {
			ms_values_free(values);
			check_ok(ms_values_load(session, &values));
		}
	}
	ms_values_free(values);
}

static void test_histories(void)
{
	char folder[] = "/tmp/memsift-values-XXXXXX", session[64], undo[72];
	static char name[64];
	const char *wanted = getenv("SEED");
	unsigned rounds = wanted ? 1 : ROUNDS;

	check(mkdtemp(folder));
	snprintf(session, sizeof(session), "%s/session", folder);
	snprintf(undo, sizeof(undo), "%s.undo", session);
	for (unsigned round = 0; round < rounds; round++) {
		static const size_t aligns[] = {0, 0, 1, 2, 4, 16};
		uint64_t start = wanted ? strtoull(wanted, NULL, 0) : round;

		seed = start * 77777 + 1;
		type = &types[below(sizeof(types) / sizeof(*types))];
		align = aligns[below(6)];
		align = align ? align : type->kind == 'b' ? 1 : type->size;
		tolerance = type->kind == 'f' && below(2) ? 0.25 * (double)below(5) : 0;
		snprintf(name, sizeof(name), "random histories, SEED=%llu",
			(unsigned long long)start);
		test_name = name;
		history(below(3) ? NULL : session);
		unlink(session);
		unlink(undo);
	}
	rmdir(folder);
}

static const struct test tests[] = {
	{"random histories", test_histories},
};

TEST_MAIN(tests)
