/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of value scans share: a process made of a buffer, and shorter calls. */
#ifndef MS_TESTS_VALUES_H
#define MS_TESTS_VALUES_H

#include "memsift_track.h"

#include "core/host.h"
#include "tests/test.h"

enum { BASE = 0x100000, SMALL = 4096, MATCHES_MAX = 65536 };

/* A process made of one buffer; every test has its own. */
static _Alignas(64) uint8_t memory[64 * 1024];
static ms_host *host;
static ms_source *source;
static struct ms_coverage coverage;
static struct ms_segment segments[8];

static inline void open_segments(size_t count)
{
	ms_source_free(source);
	ms_host_free(host);
	source = NULL;
	host = NULL;
	check_ok(ms_host_open_memory(segments, count, &host));
	check_ok(ms_source_open(host, 0, &source));
}

static inline void open_memory(size_t size)
{
	memset(memory, 0, sizeof(memory));
	segments[0] = (struct ms_segment){BASE, size, memory, MS_PERM_READ | MS_PERM_WRITE, 0};
	open_segments(1);
}

static inline ms_values *values_new(const char *type, size_t align)
{
	struct ms_values_options options = {.type = type, .align = align};
	ms_values *values;

	check_ok(ms_values_new(&options, &values));
	return values;
}

static inline uint64_t count_of(const ms_values *values)
{
	struct ms_values_info info;

	ms_values_info(values, &info);
	return info.count;
}

static inline uint64_t first(ms_values *values, const char *condition)
{
	check_ok(ms_values_first(values, source, condition, NULL, NULL, &coverage));
	check_u64(coverage.total, coverage.filtered + coverage.absent + coverage.read +
					  coverage.unreadable + coverage.skipped);
	return count_of(values);
}

static inline uint64_t next(ms_values *values, const char *condition)
{
	check_ok(ms_values_next(values, source, condition, NULL, &coverage));
	check_u64(coverage.total, coverage.filtered + coverage.absent + coverage.read +
					  coverage.unreadable + coverage.skipped);
	return count_of(values);
}

static struct match {
	uint64_t address;
	char now[64], before[64];
} matches[MATCHES_MAX];
static size_t match_count;

static inline void column(const struct ms_record *record, size_t at, const char *name, char *text)
{
	check_text(record->schema->columns[at].name, name);
	snprintf(text, 64, "%.*s", (int)record->values[at].size,
		record->values[at].present ? (const char *)record->values[at].v.data : "");
}

static inline int match_take(void *ctx, const struct ms_record *record)
{
	struct match *match = &matches[match_count++];

	(void)ctx;
	check(match_count < MATCHES_MAX);
	check_text(record->schema->type, "value");
	match->address = record->values[2].v.u;
	column(record, 5, "value", match->now);
	column(record, 6, "previous", match->before);
	return 0;
}

static inline size_t list(const ms_values *values)
{
	struct ms_sink sink = {match_take, NULL};
	uint64_t count;

	match_count = 0;
	check_ok(ms_values_list(values, source, NULL, &sink, &count));
	check_u64(count, match_count);
	check_u64(count, count_of(values));
	return match_count;
}

static inline void put(size_t at, const void *value, size_t size)
{
	memcpy(memory + at, value, size);
}

static inline void put_i32(size_t at, int32_t value)
{
	put(at, &value, sizeof(value));
}

static inline void put_f32(size_t at, float value)
{
	put(at, &value, sizeof(value));
}

static inline void put_f64(size_t at, double value)
{
	put(at, &value, sizeof(value));
}

#endif
