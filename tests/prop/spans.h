/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the property tests of engines share: hits that are kept and compared, and ways to show an
 * engine the same bytes: whole, in pieces without a readable byte more than it asked for, and
 * through a scan of a source with several threads.
 */
#ifndef MS_TESTS_SPANS_H
#define MS_TESTS_SPANS_H

#include "base/mem.h"
#include "base/vec.h"
#include "core/engine.h"
#include "test.h"

struct found {
	uint64_t address, size;
	const char *label; /* the pattern, or the encoding; a constant or the engine's own */
	char *text;	   /* of a string; to be freed */
	bool continued;
};

struct hits {
	struct ms_emit emit;
	VEC(struct found) list;
	const uint8_t *data; /* of the whole, at base; NULL: bytes are not compared */
	size_t size;
	uint64_t base;
	size_t stop_at; /* return STOP from this hit on; 0 for never */
};

enum { STOP = 7 };

static inline void hits_clear(struct hits *hits)
{
	for (size_t i = 0; i < hits->list.count; i++)
		free(hits->list.data[i].text);
	hits->list.count = 0;
}

static inline void hits_done(struct hits *hits)
{
	hits_clear(hits);
	free(hits->list.data);
}

static inline void hits_add(struct hits *hits, struct found found)
{
	check(vec_push(&hits->list, found));
}

static int hit_take(struct ms_emit *emit, const struct ms_hit *hit)
{
	struct hits *hits = (struct hits *)emit;
	struct found found = {.address = hit->address,
		.size = hit->size,
		.label = hit->encoding ? hit->encoding : hit->pattern,
		.continued = hit->continued};

	check(hit->address >= hits->base && hit->address - hits->base + hit->size <= hits->size);
	check_u64(hit->bytes_size, hit->size);
	check(memcmp(hit->bytes, hits->data + (hit->address - hits->base), hit->size) == 0);
	if (hit->text) {
		/* Not strndup(): the text ends without a NUL. */
		check((found.text = calloc(1, hit->text_size + 1)));
		memcpy(found.text, hit->text, hit->text_size);
	}
	hits_add(hits, found);
	return hits->stop_at && hits->list.count >= hits->stop_at ? STOP : 0;
}

/* Shows the engine hits->data from `at` on, with no readable byte but those of the span. */
static int span_run(struct ms_engine *engine, struct hits *hits, size_t at, size_t fresh,
	size_t before, size_t behind)
{
	size_t size = (size_t)min_u64(fresh + behind, hits->size - at);
	uint8_t *copy = malloc(before + size);
	void *scratch = calloc(1, engine->ops->scratch_size + 1);
	struct ms_span span = {
		.data = copy + before,
		.size = size,
		.fresh = (size_t)min_u64(fresh, size),
		.before = before,
		.address = hits->base + at,
		.position = at,
	};
	int r;

	check(copy && scratch);
	memcpy(copy, hits->data + at - before, before + size);
	r = engine->ops->span(engine, scratch, &span, &hits->emit);
	free(copy);
	free(scratch);
	return r;
}

static inline void whole_run(struct ms_engine *engine, struct hits *hits)
{
	check_ok(span_run(engine, hits, 0, hits->size, 0, 0));
}

/* Engines that cut anything do it near multiples of this. */
enum { BORDER = 32 * 1024 };

/* The size of the next piece: any, or such that it ends close to a border. */
static inline size_t piece_size(
	const struct hits *hits, size_t at, size_t most, uint64_t *random)
{
	size_t size = 1 + test_random(random) % most;
	uint64_t border = (hits->base + at + size + BORDER / 2) / BORDER * BORDER;
	uint64_t end = border - hits->base + test_random(random) % 9 - 4;

	return test_random(random) % 2 && end > at && end - at <= most ? (size_t)(end - at) : size;
}

/* Cuts the data into pieces of 1 to `most` bytes, and mostly shows no more than it must. */
static inline void pieces_run(
	struct ms_engine *engine, struct hits *hits, size_t most, uint64_t *random)
{
	size_t overlap = engine_overlap(engine), back = engine_behind(engine);

	for (size_t at = 0, size; at < hits->size; at += size) {
		size_t more = test_random(random) % 4 ? 0 : test_random(random) % 8;

		size = piece_size(hits, at, most, random);
		check_ok(span_run(engine, hits, at, size, (size_t)min_u64(at, back + more),
			overlap + more));
	}
}

static inline bool found_same(const struct found *a, const struct found *b)
{
	return a->address == b->address && a->size == b->size && a->continued == b->continued &&
	       strcmp(a->label, b->label) == 0 && !a->text == !b->text &&
	       (!a->text || strcmp(a->text, b->text) == 0);
}

static inline void hits_same(
	const struct hits *actual, const struct hits *expected, const char *how)
{
	for (size_t i = 0; i < actual->list.count && i < expected->list.count; i++) {
		const struct found *a = &actual->list.data[i], *e = &expected->list.data[i];

		check_that(found_same(a, e),
			"%s: hit %zu is %s at %llu, size %llu%s \"%.40s\"; not %s at %llu, size "
			"%llu%s \"%.40s\"",
			how, i, a->label, (unsigned long long)a->address,
			(unsigned long long)a->size, a->continued ? ", continued" : "",
			a->text ? a->text : "", e->label, (unsigned long long)e->address,
			(unsigned long long)e->size, e->continued ? ", continued" : "",
			e->text ? e->text : "");
	}
	check_that(actual->list.count == expected->list.count, "%s: %zu hits, not %zu", how,
		actual->list.count, expected->list.count);
}

/* ---- Through a source ---- */

static inline const struct ms_value *column(const struct ms_record *record, const char *name)
{
	for (size_t i = 0; i < record->schema->column_count; i++)
		if (strcmp(record->schema->columns[i].name, name) == 0)
			return &record->values[i];
	check_that(false, "no column %s", name);
	return NULL;
}

static char *column_text(const struct ms_record *record, const char *name)
{
	const struct ms_value *value = column(record, name);

	char *text = value->present ? calloc(1, value->size + 1) : NULL;

	if (text)
		memcpy(text, value->v.data, value->size);
	return text;
}

struct scanned {
	struct hits hits;
	char *labels[8]; /* that were met */
};

/* Labels are kept once each. */
static const char *label_keep(struct scanned *scanned, char *label)
{
	size_t i = 0;

	check(label);
	for (; i < ARRAY_SIZE(scanned->labels) && scanned->labels[i]; i++)
		if (strcmp(scanned->labels[i], label) == 0) {
			free(label);
			return scanned->labels[i];
		}
	check(i < ARRAY_SIZE(scanned->labels));
	return scanned->labels[i] = label;
}

static int record_take(void *ctx, const struct ms_record *record)
{
	struct scanned *scanned = ctx;
	char *pattern;

	if (strcmp(record->schema->type, "hit") != 0)
		return 0;
	pattern = column_text(record, "pattern");
	hits_add(&scanned->hits,
		(struct found){.address = column(record, "address")->v.u,
			.size = column(record, "size")->v.u,
			.label = label_keep(
				scanned, pattern ? pattern : column_text(record, "encoding")),
			.text = column_text(record, "text"),
			.continued = column(record, "continued")->v.u});
	return 0;
}

/* Scans memory made of these segments with so many threads. */
static inline void source_run(const ms_engine *engine, const struct ms_segment *segments,
	size_t count, unsigned threads, struct scanned *scanned)
{
	struct ms_scan scan = {.size = sizeof(scan),
		.engine = engine,
		.job = {.size = sizeof(scan.job), .threads = threads},
		.sink = {record_take, scanned}};
	struct ms_total total;
	ms_source *source;
	ms_host *host;

	check_ok(ms_host_open_memory(segments, count, &host));
	check_ok(ms_source_open(host, 0, &source));
	check_ok(ms_scan_source(source, &scan, &total));
	check_u64(total.hits, scanned->hits.list.count);
	ms_source_free(source);
	ms_host_free(host);
}

static inline void scanned_done(struct scanned *scanned)
{
	hits_done(&scanned->hits);
	for (size_t i = 0; i < ARRAY_SIZE(scanned->labels); i++)
		free(scanned->labels[i]);
}

#endif
