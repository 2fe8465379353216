/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Diffs of random memory against an oracle that goes byte by byte: whatever the borders of
 * regions, the states of memory, the chunks and the number of threads, the same changes come out
 * in the same order, and the coverage adds up.
 */
#include "test.h"

#include "base/mem.h"
#include "core/scan.h"
#include "memsift_track.h"
#include "track/pagediff.h"

enum { SPACE = 3 * SCAN_CHUNK + 77777, SEGMENTS = 60, BASE = 0x10000, CHANGES_MAX = 200000 };

struct side {
	struct ms_segment segments[SEGMENTS];
	size_t count;
	uint8_t *bytes; /* SPACE of them */
	int16_t *owner; /* segment of each byte, or -1 */
	ms_host *host;
	ms_source *source;
};

struct found {
	char kind; /* w m u p */
	uint64_t address, size, shown, hash;
};

static struct side sides[2];
static struct found *expected, *actual;
static size_t expected_count, actual_count;
static struct ms_coverage coverage;
static bool coverage_seen, in_order;

static uint64_t digest(const void *data, size_t size)
{
	const uint8_t *d = data;
	uint64_t hash = 1469598103934665603u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ d[i]) * 1099511628211u;
	return hash;
}

/* ---- Making memory ---------------------------------------------------------------------- */

static void side_init(struct side *side)
{
	if (!side->bytes) {
		side->bytes = malloc(SPACE);
		side->owner = malloc(SPACE * sizeof(*side->owner));
		check(side->bytes && side->owner);
	}
	side->count = 0;
}

static enum ms_state random_state(uint64_t *seed)
{
	static const enum ms_state states[] = {MS_STATE_DATA, MS_STATE_DATA, MS_STATE_DATA,
		MS_STATE_DATA, MS_STATE_ABSENT, MS_STATE_ABSENT, MS_STATE_GUARD, MS_STATE_NO_ACCESS,
		MS_STATE_SWAPPED, MS_STATE_IO_ERROR};

	return states[test_random(seed) % ARRAY_SIZE(states)];
}

static size_t random_size(uint64_t *seed)
{
	switch (test_random(seed) % 4) {
	case 0:
		return 1 + test_random(seed) % 12;
	case 1:
		return 4096 * (1 + test_random(seed) % 40);
	case 2:
		return 1 + test_random(seed) % 20000;
	default:
		return SCAN_CHUNK - 20 + test_random(seed) % 40;
	}
}

static void side_cut(struct side *side, uint64_t *seed)
{
	static const unsigned perms[] = {MS_PERM_READ | MS_PERM_WRITE, MS_PERM_READ,
		MS_PERM_READ | MS_PERM_EXEC, MS_PERM_READ | MS_PERM_WRITE | MS_PERM_SHARED};
	size_t at = 0;

	memset(side->owner, 0xff, SPACE * sizeof(*side->owner));
	while (side->count < SEGMENTS && at < SPACE) {
		size_t size = min_u64(random_size(seed), SPACE - at);

		if (test_random(seed) % 6) {
			for (size_t i = at; i < at + size; i++)
				side->owner[i] = (int16_t)side->count;
			side->segments[side->count++] = (struct ms_segment){BASE + at, size,
				side->bytes + at, perms[test_random(seed) % ARRAY_SIZE(perms)],
				(int)random_state(seed)};
		}
		at += size;
	}
}

/* Most of the second side is like the first. */
static void sides_make(uint64_t *seed, bool same_map)
{
	struct side *old = &sides[0], *now = &sides[1];

	side_init(old);
	side_init(now);
	for (size_t i = 0; i < SPACE; i++)
		old->bytes[i] = (uint8_t)(test_random(seed) % 3);
	memcpy(now->bytes, old->bytes, SPACE);
	for (unsigned i = test_random(seed) % 400; i; i--) {
		size_t at = test_random(seed) % SPACE;
		size_t size = 1 + test_random(seed) % (i % 50 ? 30 : SCAN_CHUNK * 3 / 2);

		/* Many changes where chunks are cut. */
		if (i % 3 == 0)
			at = (at / SCAN_CHUNK + 1) * SCAN_CHUNK - 20 + at % 40;
		for (size_t j = at; j < at + size && j < SPACE; j++)
			now->bytes[j] ^= (uint8_t)(test_random(seed) % 5 != 0);
	}
	side_cut(old, seed);
	if (same_map) {
		memcpy(now->owner, old->owner, SPACE * sizeof(*old->owner));
		now->count = old->count;
		for (size_t i = 0; i < old->count; i++) {
			now->segments[i] = old->segments[i];
			now->segments[i].data = now->bytes + (old->segments[i].base - BASE);
			if (test_random(seed) % 8 == 0)
				now->segments[i].state = (int)random_state(seed);
			if (test_random(seed) % 8 == 0)
				now->segments[i].perm ^= MS_PERM_WRITE;
		}
	} else {
		side_cut(now, seed);
	}
	for (size_t i = 0; i < 2; i++) {
		check_ok(ms_host_open_memory(sides[i].segments, sides[i].count, &sides[i].host));
		check_ok(ms_source_open(sides[i].host, 0, &sides[i].source));
	}
}

static void sides_free(void)
{
	for (size_t i = 0; i < 2; i++) {
		ms_source_free(sides[i].source);
		ms_host_free(sides[i].host);
	}
}

/* ---- The oracle ------------------------------------------------------------------------- */

static const struct ms_segment *segment_at(const struct side *side, size_t at)
{
	return side->owner[at] < 0 ? NULL : &side->segments[side->owner[at]];
}

/* 'd' bytes that can be compared, 'a' absent on both sides, '-' neither. */
static char known(size_t at)
{
	const struct ms_segment *old = segment_at(&sides[0], at), *now = segment_at(&sides[1], at);
	bool old_absent = old && old->state == MS_STATE_ABSENT;
	bool now_absent = now && now->state == MS_STATE_ABSENT;

	if (!old || !now || (old->state != MS_STATE_DATA && !old_absent) ||
		(now->state != MS_STATE_DATA && !now_absent))
		return '-';
	return old_absent && now_absent ? 'a' : 'd';
}

static uint8_t value(const struct side *side, size_t at)
{
	return segment_at(side, at)->state == MS_STATE_DATA ? side->bytes[at] : 0;
}

static void expect(char kind, size_t at, size_t size, size_t bytes_max)
{
	struct found *found = &expected[expected_count++];
	uint8_t bytes[2 * MS_CHANGE_BYTES_MAX];
	size_t shown = kind == 'w' ? min_u64(size, bytes_max) : 0;

	check(expected_count < CHANGES_MAX);
	for (size_t i = 0; i < shown; i++) {
		bytes[i] = value(&sides[0], at + i);
		bytes[shown + i] = value(&sides[1], at + i);
	}
	*found = (struct found){kind, BASE + at, size, shown, digest(bytes, 2 * shown)};
}

static bool differs(size_t at)
{
	return known(at) == 'd' && value(&sides[0], at) != value(&sides[1], at);
}

static void expect_map(size_t at)
{
	const struct ms_segment *old = segment_at(&sides[0], at), *now = segment_at(&sides[1], at);
	size_t end = at;

	while (end < SPACE && segment_at(&sides[0], end) == old &&
		segment_at(&sides[1], end) == now)
		end++;
	if (old && !now)
		expect('u', at, end - at, 0);
	else if (now && !old)
		expect('m', at, end - at, 0);
	else if (old && now && ((old->perm ^ now->perm) & 7))
		expect('p', at, end - at, 0);
}

/* Where the run that begins at `at` ends. */
static size_t run_end(size_t at)
{
	size_t end = at + 1;

	for (size_t i = end; i < SPACE && i - end < PAGEDIFF_JOIN && known(i) == 'd'; i++)
		if (differs(i))
			end = i + 1;
	return end;
}

static void oracle(size_t bytes_max)
{
	size_t run = 0;

	expected_count = 0;
	for (size_t at = 0; at < SPACE; at++) {
		bool border = at == 0 || sides[0].owner[at] != sides[0].owner[at - 1] ||
			      sides[1].owner[at] != sides[1].owner[at - 1];

		if (border)
			expect_map(at);
		if (at >= run && differs(at)) {
			run = run_end(at);
			expect('w', at, run - at, bytes_max);
		}
	}
	/* A change of the map within a run comes behind it only if its address is higher. */
	for (size_t i = 1; i < expected_count; i++)
		check(expected[i - 1].address <= expected[i].address);
}

/* ---- The diff --------------------------------------------------------------------------- */

static const struct ms_value *field(const struct ms_record *record, const char *name)
{
	for (size_t i = 0; i < record->schema->column_count; i++)
		if (strcmp(record->schema->columns[i].name, name) == 0)
			return &record->values[i];
	check_that(false, "there is no column %s", name);
	return NULL;
}

static void take_change(const struct ms_record *record)
{
	const struct ms_value *old = field(record, "old"), *now = field(record, "new");
	struct found *found = &actual[actual_count++];
	uint8_t bytes[2 * MS_CHANGE_BYTES_MAX];

	check(actual_count < CHANGES_MAX);
	*found = (struct found){*(const char *)field(record, "change")->v.data,
		field(record, "address")->v.u, field(record, "size")->v.u, 0, digest(bytes, 0)};
	in_order &= actual_count == 1 || found[-1].address <= found->address;
	check(old->present == (found->kind == 'w') && now->present == old->present);
	check(field(record, "old_perm")->present == (found->kind == 'p'));
	check(field(record, "region_start")->v.u <= found->address);
	check(field(record, "region_end")->v.u >= found->address);
	if (!old->present)
		return;
	check(old->size == now->size && old->size <= MS_CHANGE_BYTES_MAX);
	memcpy(bytes, old->v.data, old->size);
	memcpy(bytes + old->size, now->v.data, old->size);
	found->shown = old->size;
	found->hash = digest(bytes, 2 * old->size);
}

static int take(void *ctx, const struct ms_record *record)
{
	(void)ctx;
	if (record->schema == &ms_schema_change) {
		take_change(record);
		return 0;
	}
	check(record->schema == &ms_schema_coverage && !coverage_seen);
	coverage_seen = true;
	coverage = (struct ms_coverage){
		.total = field(record, "total")->v.u,
		.filtered = field(record, "filtered")->v.u,
		.absent = field(record, "absent")->v.u,
		.read = field(record, "read")->v.u,
		.unreadable = field(record, "unreadable")->v.u,
		.skipped = field(record, "skipped")->v.u,
	};
	return 0;
}

static struct ms_total diff(unsigned threads, size_t bytes_max, uint64_t changes_max)
{
	struct ms_diff options = {
		.size = sizeof(options),
		.job = {.threads = threads, .hits_max = changes_max},
		.bytes_max = bytes_max,
		.sink = {take, NULL},
	};
	struct ms_total total;

	actual_count = 0;
	coverage_seen = false;
	in_order = true;
	check_ok(ms_diff_sources(sides[0].source, sides[1].source, &options, &total));
	check(coverage_seen && in_order);
	check_u64(total.hits, actual_count);
	return total;
}

static void compare(size_t count)
{
	for (size_t i = 0; i < count && i < actual_count; i++) {
		const struct found *a = &actual[i], *e = &expected[i];

		check_that(memcmp(a, e, sizeof(*a)) == 0,
			"change %zu: %c 0x%llx+%llu showing %llu, not %c 0x%llx+%llu showing %llu",
			i, a->kind, (unsigned long long)a->address, (unsigned long long)a->size,
			(unsigned long long)a->shown, e->kind, (unsigned long long)e->address,
			(unsigned long long)e->size, (unsigned long long)e->shown);
	}
	check_u64(actual_count, count);
}

static void check_coverage(void)
{
	uint64_t total = 0, absent = 0, read = 0;

	for (size_t at = 0; at < SPACE; at++) {
		total += segment_at(&sides[0], at) && segment_at(&sides[1], at);
		absent += known(at) == 'a';
		read += known(at) == 'd';
	}
	check_u64(coverage.total, total);
	check_u64(coverage.absent, absent);
	check_u64(coverage.read, read);
	check_u64(coverage.unreadable + coverage.skipped, total - absent - read);
}

static void random_diffs(bool same_map)
{
	uint64_t seed = same_map ? 1 : 2;

	for (unsigned round = 0; round < 25; round++) {
		size_t bytes_max = round % 3 ? 1 + test_random(&seed) % 200 : MS_CHANGE_BYTES_MAX;
		struct ms_total total;

		sides_make(&seed, same_map);
		oracle(bytes_max);
		total = diff(1 + round % 4, bytes_max, 0);
		compare(expected_count);
		check_coverage();
		check(!total.hit_limit);
		if (expected_count > 1) {
			uint64_t max = 1 + test_random(&seed) % (expected_count - 1);

			total = diff(1 + round % 3, bytes_max, max);
			compare(max);
			check(total.hit_limit);
			check_u64(coverage.total, coverage.filtered + coverage.absent +
							  coverage.read + coverage.unreadable +
							  coverage.skipped);
		}
		sides_free();
	}
}

static void test_same_map(void)
{
	random_diffs(true);
}

static void test_other_map(void)
{
	random_diffs(false);
}

/* The same source on both sides has not changed. */
static void test_itself(void)
{
	uint64_t seed = 5;
	struct ms_source *now;

	sides_make(&seed, true);
	now = sides[1].source;
	sides[1].source = sides[0].source;
	diff(3, 0, 0);
	sides[1].source = now;
	check_u64(actual_count, 0);
	sides_free();
}

static void test_filter(void)
{
	uint64_t seed = 6;
	struct ms_filter *filter;
	struct ms_diff options = {.size = sizeof(options), .sink = {take, NULL}};
	struct ms_total total;
	char range[64];

	sides_make(&seed, false);
	check_ok(ms_filter_new(&filter));
	snprintf(range, sizeof(range), "%x-%x", BASE + 1000, BASE + SPACE / 2);
	check_ok(ms_filter_set(filter, "address", range));
	snprintf(range, sizeof(range), "%x-%x", BASE + 3001, BASE + SPACE / 3);
	check_ok(ms_filter_set(filter, "ignore", range));
	options.filter = filter;
	actual_count = 0;
	coverage_seen = false;
	check_ok(ms_diff_sources(sides[0].source, sides[1].source, &options, &total));
	check(actual_count > 0);
	for (size_t i = 0; i < actual_count; i++) {
		const struct found *a = &actual[i];
		uint64_t end = a->address + a->size;

		check(a->address >= BASE + 1000 && end <= BASE + SPACE / 2);
		check(end <= BASE + 3001 || a->address >= BASE + SPACE / 3);
	}
	check_u64(coverage.total, coverage.filtered + coverage.absent + coverage.read +
					  coverage.unreadable + coverage.skipped);
	ms_filter_free(filter);
	sides_free();
}

static const struct test tests[] = {
	{"changes of the same map are those of the oracle", test_same_map},
	{"changes of another map are those of the oracle", test_other_map},
	{"a source has not changed from itself", test_itself},
	{"a filter takes out ranges", test_filter},
};

int main(int argc, char **argv)
{
	expected = calloc(CHANGES_MAX, sizeof(*expected));
	actual = calloc(CHANGES_MAX, sizeof(*actual));
	return expected && actual ? test_run(tests, ARRAY_SIZE(tests), argc, argv) : 1;
}
