/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two open tables by address, at most half full and never larger than their limits. A cell knows
 * which of its bytes ever changed: if those are all in one half, its value is that half.
 */
#include "track/change_stats.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#include <math.h>

enum { ROOM_MIN = 256, SAMPLES_MIN = 4, STEP_MAX = 65536, CELLS_OF_RUN = 64 };

struct page_entry {
	uint64_t key; /* address plus one; 0: free */
	uint64_t count, first_round, last_round, last_ns;
};

struct cell_entry {
	uint64_t key;
	uint64_t count, first_round, last_round, last_ns;
	uint64_t changed;			    /* bits that ever did */
	struct stats_sample samples[STATS_SAMPLES]; /* a ring; count tells where it is */
	uint64_t taken;				    /* samples, the first value included */
};

struct table {
	char *entries;
	size_t count, room, entry_size, max;
};

struct stats {
	size_t page;
	struct table pages, cells;
	uint64_t dropped;
};

/* ---- Tables ----------------------------------------------------------------------------- */

static uint64_t *place_of(char *entries, size_t room, size_t entry_size, uint64_t key)
{
	size_t at = (size_t)hash_mix(key) & (room - 1);

	for (;; at = (at + 1) & (room - 1)) {
		uint64_t *entry = (uint64_t *)(void *)(entries + at * entry_size);

		if (!*entry || *entry == key)
			return entry;
	}
}

static bool table_grow(struct table *table)
{
	size_t room = table->room ? table->room * 2 : ROOM_MIN;
	char *entries;

	if (table->count * 2 < table->room)
		return true;
	if (!(entries = calloc(room, table->entry_size)))
		return false;
	for (size_t i = 0; i < table->room; i++) {
		char *old = table->entries + i * table->entry_size;
		uint64_t key;

		memcpy(&key, old, sizeof(key));
		if (key)
			memcpy(place_of(entries, room, table->entry_size, key), old,
				table->entry_size);
	}
	free(table->entries);
	table->entries = entries;
	table->room = room;
	return true;
}

/* The entry of an address, made if need be; NULL when the table is full or memory runs out. */
static void *table_take(struct table *table, uint64_t address)
{
	uint64_t *entry;

	if (!table_grow(table))
		return NULL;
	entry = place_of(table->entries, table->room, table->entry_size, address + 1);
	if (*entry)
		return entry;
	if (table->count >= table->max)
		return NULL;
	table->count++;
	*entry = address + 1;
	return entry;
}

struct stats *stats_new(size_t page)
{
	struct stats *stats = calloc(1, sizeof(*stats));

	if (!stats)
		return NULL;
	stats->page = page;
	stats->pages.entry_size = sizeof(struct page_entry);
	stats->pages.max = STATS_PAGES_MAX;
	stats->cells.entry_size = sizeof(struct cell_entry);
	stats->cells.max = STATS_CELLS_MAX;
	return stats;
}

void stats_free(struct stats *stats)
{
	if (!stats)
		return;
	free(stats->pages.entries);
	free(stats->cells.entries);
	free(stats);
}

uint64_t stats_dropped(const struct stats *stats)
{
	return stats->dropped;
}

/* ---- Taking note ------------------------------------------------------------------------ */

static void sample(struct cell_entry *cell, uint64_t value, uint64_t time_ns)
{
	cell->samples[cell->taken++ % STATS_SAMPLES] = (struct stats_sample){value, time_ns};
}

static void add_cell(struct stats *stats, uint64_t address, const uint8_t *old, const uint8_t *now,
	uint64_t time_ns, uint64_t round)
{
	uint64_t before = load_u64(old, false), after = load_u64(now, false);
	struct cell_entry *cell;

	if (before == after)
		return;
	cell = table_take(&stats->cells, address);
	if (!cell) {
		stats->dropped++;
		return;
	}
	if (!cell->count) {
		cell->first_round = round;
		sample(cell, before, 0);
	}
	cell->count++;
	cell->changed |= before ^ after;
	cell->last_round = round;
	cell->last_ns = time_ns;
	sample(cell, after, time_ns);
}

static void add_page(struct stats *stats, uint64_t address, uint64_t time_ns, uint64_t round)
{
	struct page_entry *page = table_take(&stats->pages, address);

	if (!page) {
		stats->dropped++;
		return;
	}
	if (!page->count)
		page->first_round = round;
	/* However many runs of it changed, in a round it changed once. */
	if (!page->count || page->last_round != round)
		page->count++;
	page->last_round = round;
	page->last_ns = time_ns;
}

bool stats_add(struct stats *stats, uint64_t address, uint64_t size, const uint8_t *old_page,
	const uint8_t *now_page, uint64_t time_ns, uint64_t round)
{
	uint64_t base = align_down(address, stats->page);
	uint64_t at = align_down(address, STATS_CELL);
	uint64_t end = min_u64(address + size, base + stats->page);

	add_page(stats, base, time_ns, round);
	for (int i = 0; at < end && i < CELLS_OF_RUN; at += STATS_CELL, i++)
		add_cell(stats, at, old_page + (at - base), now_page + (at - base), time_ns, round);
	return true;
}

/* ---- Patterns --------------------------------------------------------------------------- */

static bool is_flag(const struct stats_sample *samples, size_t count)
{
	uint64_t other = samples[0].value;

	for (size_t i = 1; i < count; i++) {
		if (samples[i].value == samples[0].value)
			continue;
		if (other != samples[0].value && samples[i].value != other)
			return false;
		other = samples[i].value;
	}
	return true;
}

static bool is_pointer(
	const struct stats_sample *samples, size_t count, size_t size, const struct stats_map *map)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		if (samples[i].value && !(map && map->mapped(map->ctx, samples[i].value)))
			return false;
		any |= samples[i].value != 0;
	}
	return any && size == 8;
}

static bool steps_alike(const struct stats_sample *samples, size_t count)
{
	uint64_t step = samples[1].value - samples[0].value;

	for (size_t i = 1; i < count; i++)
		if (samples[i].value - samples[i - 1].value != step)
			return false;
	return step > 0 && step <= STEP_MAX;
}

static double as_float(uint64_t value, size_t size)
{
	uint32_t half = (uint32_t)value;
	double wide;
	float narrow;

	if (size == 8) {
		memcpy(&wide, &value, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, &half, sizeof(narrow));
	return (double)narrow;
}

static bool is_float(const struct stats_sample *samples, size_t count, size_t size)
{
	double before = 0;
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		double value = as_float(samples[i].value, size), large;

		if (samples[i].value && !(fabs(value) >= 1e-6 && fabs(value) <= 1e12))
			return false;
		large = fmax(fabs(value), fabs(before));
		if (i && fabs(value - before) > large / 2)
			return false;
		any |= samples[i].value != 0;
		before = value;
	}
	return any;
}

/* 1: always up, -1: always down, 0: neither. */
static int direction(const struct stats_sample *samples, size_t count, size_t size)
{
	size_t up = 0, down = 0;

	for (size_t i = 1; i < count; i++) {
		uint64_t step = samples[i].value - samples[i - 1].value;

		if (size == 4)
			step = (uint64_t)(int64_t)(int32_t)(uint32_t)step;
		up += (int64_t)step > 0;
		down += (int64_t)step < 0;
	}
	return up == count - 1 ? 1 : down == count - 1 ? -1 : 0;
}

/* Whether it keeps pace with the clock; the first value's time is not known. */
static bool is_timer(const struct stats_sample *samples, size_t count)
{
	double slowest = INFINITY, fastest = 0;
	size_t pairs = 0;

	for (size_t i = 1; i < count; i++) {
		double time = (double)(samples[i].time_ns - samples[i - 1].time_ns);
		double pace = (double)(samples[i].value - samples[i - 1].value) / time;

		if (!samples[i - 1].time_ns || time <= 0)
			continue;
		slowest = fmin(slowest, pace);
		fastest = fmax(fastest, pace);
		pairs++;
	}
	return pairs >= 2 && fastest <= slowest * 1.5;
}

const char *stats_pattern(
	const struct stats_sample *samples, size_t count, size_t size, const struct stats_map *map)
{
	int way;

	if (count < SAMPLES_MIN)
		return NULL;
	if (is_flag(samples, count))
		return "flag";
	if (is_pointer(samples, count, size, map))
		return "pointer";
	if (steps_alike(samples, count))
		return "counter";
	if (is_float(samples, count, size))
		return "float";
	way = direction(samples, count, size);
	if (way > 0)
		return is_timer(samples, count) ? "timer" : "counter";
	return way < 0 ? "decreasing" : "noise";
}

/* ---- Listing ---------------------------------------------------------------------------- */

static struct ms_change_stat stat_of_page(const struct stats *stats, const struct page_entry *page)
{
	return (struct ms_change_stat){
		.address = page->key - 1,
		.size = stats->page,
		.count = page->count,
		.first_round = page->first_round,
		.last_round = page->last_round,
	};
}

/* Fills in the samples, oldest first; returns the size of the value they are of. */
static size_t samples_of(const struct cell_entry *cell, const struct stats_map *map,
	struct stats_sample *samples, size_t count)
{
	bool high = !(cell->changed & UINT32_MAX);

	for (size_t i = 0; i < count; i++)
		samples[i] = cell->samples[(cell->taken - count + i) % STATS_SAMPLES];
	if (!high && (cell->changed >> 32 || is_pointer(samples, count, 8, map)))
		return 8;
	for (size_t i = 0; i < count; i++)
		samples[i].value = high ? samples[i].value >> 32 : samples[i].value & UINT32_MAX;
	return 4;
}

static struct ms_change_stat stat_of_cell(
	const struct cell_entry *cell, const struct stats_map *map)
{
	struct stats_sample samples[STATS_SAMPLES];
	size_t count = (size_t)min_u64(cell->taken, STATS_SAMPLES);
	size_t size = samples_of(cell, map, samples, count);

	return (struct ms_change_stat){
		.address = cell->key - 1 + (cell->changed & UINT32_MAX ? 0 : 4),
		.size = size,
		.count = cell->count,
		.first_round = cell->first_round,
		.last_round = cell->last_round,
		.pattern = stats_pattern(samples, count, size, map),
		.value = count ? samples[count - 1].value : 0,
	};
}

static int by_count(const void *a, const void *b)
{
	const struct ms_change_stat *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return (x->address > y->address) - (x->address < y->address);
}

int stats_list(const struct stats *stats, bool pages, size_t count_max, const struct stats_map *map,
	struct ms_change_stat **ret_list, size_t *ret_count)
{
	const struct table *table = pages ? &stats->pages : &stats->cells;
	struct ms_change_stat *list = calloc(table->count + 1, sizeof(*list));
	size_t count = 0;

	if (!list)
		return err_nomem();
	for (size_t i = 0; i < table->room; i++) {
		const void *entry = table->entries + i * table->entry_size;
		uint64_t key;

		memcpy(&key, entry, sizeof(key));
		if (key)
			list[count++] =
				pages ? stat_of_page(stats, entry) : stat_of_cell(entry, map);
	}
	qsort(list, count, sizeof(*list), by_count);
	*ret_list = list;
	*ret_count = (size_t)min_u64(count, count_max);
	return 0;
}
