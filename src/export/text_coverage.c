/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a job covered, in words. A missing hit is only ever "not found in what was read", and a
 * partial coverage says what is missing.
 */
#include "export/text.h"

#include "export/value.h"

enum { GAPS_SHOWN = 8, REASONS_MAX = 16 };

struct reason {
	const struct ms_value *name;
	uint64_t size;
};

static uint64_t gap_address(const struct ms_record *gap, const char *name)
{
	const struct ms_value *value = record_find(gap, name, MS_TYPE_ADDRESS);

	return value ? value->v.u : 0;
}

static uint64_t gap_size(const struct ms_record *gap)
{
	return gap_address(gap, "end") - gap_address(gap, "start");
}

static bool text_is(const struct ms_value *value, const char *text)
{
	return value && value->size == strlen(text) &&
	       memcmp(value->v.data, text, value->size) == 0;
}

/* Reasons that the coverage counts as skipped; the others are unreadable (struct ms_coverage). */
static bool reason_is_skip(const struct ms_value *reason)
{
	static const char *const skips[] = {
		"device", "swapped", "remote-file", "limit", "deadline", "left-out"};

	for (size_t i = 0; i < ARRAY_SIZE(skips); i++)
		if (text_is(reason, skips[i]))
			return true;
	return false;
}

static size_t reasons_sum(const struct ms_value *gaps, bool skip, struct reason *ret_reasons)
{
	size_t count = 0;

	for (size_t i = 0; gaps && i < gaps->size; i++) {
		const struct ms_value *name =
			record_find(&gaps->v.items[i], "reason", MS_TYPE_TEXT);
		size_t k = 0;

		if (!name || reason_is_skip(name) != skip)
			continue;
		while (k < count &&
			(ret_reasons[k].name->size != name->size ||
				memcmp(ret_reasons[k].name->v.data, name->v.data, name->size) != 0))
			k++;
		if (k == REASONS_MAX)
			continue;
		if (k == count)
			ret_reasons[count++] = (struct reason){.name = name};
		ret_reasons[k].size += gap_size(&gaps->v.items[i]);
	}
	return count;
}

/* ", 12.0K unreadable (4.0K guard, 8.0K vanished)" */
static void coverage_part(struct buf *out, const struct ms_record *record, const char *column,
	const char *words, const struct ms_value *gaps)
{
	struct reason reasons[REASONS_MAX];
	uint64_t size = text_u64(record, column);
	size_t count;

	if (!size)
		return;
	buf_text(out, ", ");
	text_size(out, size);
	buf_format(out, " %s", words);
	count = reasons_sum(gaps, strcmp(column, "skipped") == 0, reasons);
	for (size_t i = 0; i < count; i++) {
		buf_text(out, i ? ", " : " (");
		if (count > 1) {
			text_size(out, reasons[i].size);
			buf_char(out, ' ');
		}
		buf_printable(out, reasons[i].name->v.data, reasons[i].name->size);
	}
	buf_text(out, count ? ")" : "");
}

/* The first gaps; guard pages are left out, as nothing is missing there. */
static void coverage_gaps(struct buf *out, const struct ms_value *gaps, uint64_t dropped)
{
	uint64_t shown = 0, more = dropped;

	for (size_t i = 0; gaps && i < gaps->size; i++) {
		const struct ms_record *gap = &gaps->v.items[i];

		if (text_is(record_find(gap, "reason", MS_TYPE_TEXT), "guard"))
			continue;
		if (shown == GAPS_SHOWN) {
			more++;
			continue;
		}
		shown++;
		buf_format(out, "  %llx-%llx  ", (unsigned long long)gap_address(gap, "start"),
			(unsigned long long)gap_address(gap, "end"));
		text_size(out, gap_size(gap));
		buf_text(out, "  ");
		text_field(out, gap, "reason");
		buf_char(out, '\n');
	}
	if (more) {
		buf_text(out, "  and ");
		text_count(out, more, shown ? "more gap" : "gap");
		buf_char(out, '\n');
	}
}

void text_coverage(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_value *gaps = record_find(record, "gaps", MS_TYPE_LIST);
	bool partial = text_is(record_find(record, "status", MS_TYPE_TEXT), "partial");
	struct buf *out = &exporter->out;

	text_process(out, record);
	buf_text(out, ": ");
	text_size(out, text_u64(record, "read"));
	buf_text(out, " of ");
	text_size(out, text_u64(record, "total"));
	buf_text(out, " read");
	coverage_part(out, record, "absent", "hold no data", NULL);
	coverage_part(out, record, "filtered", "left out by the filter", NULL);
	coverage_part(out, record, "unreadable", "unreadable", gaps);
	coverage_part(out, record, "skipped", "skipped", gaps);
	buf_text(out, partial ? "; partial\n" : "\n");
	if (partial)
		coverage_gaps(out, gaps, text_u64(record, "gaps_dropped"));
}

/* "3 hits in 2 processes, 12.3M read in 0.5 s"; nothing for commands that do not look at bytes. */
void text_summary(struct ms_exporter *exporter, const struct ms_record *record)
{
	const struct ms_value *hits = record_find(record, "hits", MS_TYPE_U64);
	const struct ms_value *targets = record_find(record, "targets", MS_TYPE_U64);
	const struct ms_value *findings = record_find(record, "findings", MS_TYPE_U64);
	const struct ms_value *bytes = record_find(record, "bytes_read", MS_TYPE_U64);
	const struct ms_value *seconds = record_find(record, "seconds", MS_TYPE_F64);
	const struct text_state *state = exporter->priv;
	struct buf *out = &exporter->out;

	/* Nothing was searched: what was done speaks for itself. */
	if (!bytes || !hits)
		return;
	if (hits->v.u)
		text_count(out, hits->v.u, state->changes ? "change" : "hit");
	else
		buf_text(out, state->changes ? "nothing changed in what was read"
					     : "not found in what was read");
	if (findings && findings->v.u) {
		buf_text(out, ", ");
		text_count(out, findings->v.u, "finding");
	}
	buf_text(out, ": ");
	text_size(out, bytes->v.u);
	if (targets)
		buf_format(out, " of %llu process%s", (unsigned long long)targets->v.u,
			targets->v.u == 1 ? "" : "es");
	if (seconds && seconds->v.f >= 0 && seconds->v.f < 1e9) {
		uint64_t tenths = (uint64_t)(seconds->v.f * 10 + 0.5);

		buf_format(out, " in %llu.%u s", (unsigned long long)(tenths / 10),
			(unsigned)(tenths % 10));
	}
	buf_text(out, text_is(record_find(record, "status", MS_TYPE_TEXT), "partial")
			      ? "; partial\n"
			      : "\n");
}

void text_error(struct ms_exporter *exporter, const struct ms_record *record)
{
	static const char *const fields[] = {"what", "why"};
	const struct ms_value *pid = record_find(record, "pid", MS_TYPE_U64);
	struct buf *out = &exporter->out;
	bool any = pid && pid->v.u; /* 0: it is about no process */

	if (any)
		buf_format(out, "%llu", (unsigned long long)pid->v.u);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!record_find(record, fields[i], MS_TYPE_TEXT))
			continue;
		buf_text(out, any ? ": " : "");
		text_field(out, record, fields[i]);
		any = true;
	}
	buf_char(out, '\n');
}
