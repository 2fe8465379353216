/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One scan under way. It makes a new generation of matches beside the one there is, which takes
 * its place only when it is whole: a scan that ends early, a full disk or a process that is gone
 * change nothing.
 */
#ifndef MS_TRACK_ATTEMPT_H
#define MS_TRACK_ATTEMPT_H

#include "core/filter.h"
#include "track/value_scan.h"
#include "track/values.h"

struct attempt {
	ms_values *values;
	ms_source *source;
	struct subject subject;
	struct value_scan scan;
	struct generation next;
	struct session_writer writer;
	struct packet *gathered, *packed; /* small packets put together; room to compress */
	struct ms_coverage coverage;
	struct ms_gap *gaps;

	const struct ms_job *job; /* the caller's */
	uint64_t deadline_ns;
	uint64_t bytes_wanted; /* where they are known; for progress */
	atomic_uint_fast64_t found;
	atomic_bool timed_out, cancelled;
};

/* A job of NULL is one without limits. */
int attempt_init(
	struct attempt *attempt, ms_values *values, ms_source *source, const struct ms_job *job);
void attempt_done(struct attempt *attempt);

/* Scans what the filter lets through, with attempt->scan, into attempt->next. */
int attempt_run(struct attempt *attempt, const struct ms_filter *filter);

/* Fails, and says why, if the scan was ended before its end. */
int attempt_check_end(const struct attempt *attempt);

/* Puts the new generation in the place of the old one; a first scan leaves nothing to undo. */
int attempt_commit(struct attempt *attempt, bool first);

#endif
