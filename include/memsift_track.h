/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memsift, second part: what looks at the same memory more than once.
 *
 * A value scan narrows down, scan by scan, where a program keeps a value. It needs a source and a
 * job of memsift.h, and every rule of that header's introduction holds here, too.
 */
#ifndef MEMSIFT_TRACK_H
#define MEMSIFT_TRACK_H

#include "memsift.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 1. Value scans -------------------------------------------------------------------- */

/*
 * Finds where a program keeps a value: a first scan for what is known of it, then further ones
 * that keep the matches of which something else holds. Conditions: "= V" "!= V" "> V" "< V"
 * ">= V" "<= V" "A..B", and against the last scan "changed" "unchanged" "increased" "decreased"
 * "+ V" "- V" (by exactly V; integers wrap round, so 250 to 4 is "+ 10" for a u8). NaN is never
 * equal, -0.0 equals 0.0; bytes ("DE AD BE EF") know =, !=, changed and unchanged.
 */
typedef struct ms_values ms_values;

struct ms_values_options {
	const char *type;    /* i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 bytes, or as bytes:16 */
	size_t align;	     /* of the values' addresses; 0: the type's size, 1 for bytes */
	double tolerance;    /* floating point: what differs by no more is equal */
	bool zstd;	     /* compress what is kept, where it helps */
	const char *session; /* keep matches in this file, replaced by each scan, not in memory */
};

struct ms_values_info {
	const char *type;
	size_t value_size, align;
	double tolerance;
	uint64_t count;	     /* matches */
	uint64_t lost;	     /* by the last scan: their memory could not be read any more */
	uint64_t bytes_kept; /* at most 1.15 for each byte that a first scan read */
	bool begun;	     /* there was a first scan, of this process: */
	uint32_t pid;
	uint64_t start_id;
	const char *exe; /* NULL where unknown */
};

MS_API int ms_values_new(const struct ms_values_options *options, ms_values **ret_values);
MS_API int ms_values_load(const char *session, ms_values **ret_values);
MS_API int ms_values_save(const ms_values *values, const char *path);
MS_API void ms_values_free(ms_values *values);
MS_API void ms_values_info(const ms_values *values, struct ms_values_info *ret_info);

/* Condition NULL: any value. The coverage lives until the next scan. The target is not stopped. */
MS_API int ms_values_first(ms_values *values, ms_source *source, const char *condition,
	const ms_filter *filter, const struct ms_job *job, struct ms_coverage *ret_coverage);

/* One that fails, is cancelled or runs out of time changes nothing. */
MS_API int ms_values_next(ms_values *values, ms_source *source, const char *condition,
	const struct ms_job *job, struct ms_coverage *ret_coverage);

/* Back to before the last next scan, one step; a session keeps that in a file "NAME.undo". */
MS_API int ms_values_undo(ms_values *values);

/* Hands a record a match to the sink (its value now and at the last scan), up to job->hits_max. */
MS_API int ms_values_list(const ms_values *values, ms_source *source, const struct ms_job *job,
	const struct ms_sink *sink, uint64_t *ret_count);
MS_API extern const struct ms_schema ms_schema_value;

/* ---- 2. Snapshots ----------------------------------------------------------------------- */

/* What a source had in its memory at one moment, kept in this process. */
typedef struct ms_snapshot ms_snapshot;

struct ms_snapshot_options {
	size_t size;		 /* sizeof(struct ms_snapshot_options) */
	const ms_filter *filter; /* NULL: everything but device memory and swapped pages */
	struct ms_job job;	 /* process_bytes_max limits what is kept; hits_max means nothing */
	bool pause;		 /* stop the target meanwhile, so that all is of one moment */
};

/*
 * Reads the regions that the filter lets through. Options NULL: as if all were zero. Its own memory
 * is what was read: pages that hold no data cost nothing, gaps are remembered with their reason,
 * and of regions that the filter left out it is known that they were there. A snapshot that is cut
 * short by a limit or the deadline is kept, and its coverage says so.
 *
 * For one in a file, ms_source_dump() with whole_map: an ELF core, that opens as a host. To put
 * this one into a file, dump its source.
 */
MS_API int ms_snapshot_take(ms_source *source, const struct ms_snapshot_options *options,
	ms_snapshot **ret_snapshot);

/* The snapshot as a source, with the process that it was taken of; it goes with the snapshot. */
MS_API ms_source *ms_snapshot_source(const ms_snapshot *snapshot);
MS_API const struct ms_coverage *ms_snapshot_coverage(const ms_snapshot *snapshot);
MS_API void ms_snapshot_free(ms_snapshot *snapshot);

/*
 * Writes a file with a hash of 128 bits for each 4 KiB (needs the feature "xxhash"): it opens as
 * a host whose regions can be listed but not read, and a diff tells by it which pages changed.
 * The hash is no defence against whoever sets out to deceive it. Of the options, format, zstd,
 * prefix and whole_map mean nothing. Coverage lives as long as the source.
 */
MS_API int ms_source_hash(
	ms_source *source, const struct ms_dump *options, struct ms_coverage *ret_coverage);

/* ---- 3. Diffs --------------------------------------------------------------------------- */

enum {
	MS_CHANGE_BYTES = 64,	    /* of old and of new that a change shows, unless asked for others */
	MS_CHANGE_BYTES_MAX = 4096, /* and at most */
};

struct ms_diff {
	size_t size; /* sizeof(struct ms_diff) */
	const ms_filter *filter; /* NULL: everything but device memory and swapped pages */
	struct ms_job job;	 /* hits_max counts changes */
	size_t bytes_max;	 /* of old and of new to show; 0: MS_CHANGE_BYTES */
	struct ms_sink sink;
};

/*
 * Compares what two sources, live ones or files, have at the same addresses. The sink gets records
 * of type "change" by ascending address, whatever the number of threads, and then one of type
 * "coverage" for what both have mapped. A "write" is a run of changed bytes; runs with fewer than
 * 8 equal bytes between them are one. A page that was never touched counts as zeros. What only
 * one of the two has mapped is a "map" or an "unmap"; where another file was mapped in the same
 * place it is both, and its bytes are not compared; other permissions are a "protect". What cannot
 * be read of either is a gap of the coverage, never a change. Of a snapshot of hashes, changes are
 * whole pages, without its bytes. `hits` of the total are changes.
 */
MS_API int ms_diff_sources(ms_source *before, ms_source *after, const struct ms_diff *diff,
	struct ms_total *ret_total);

#ifdef __cplusplus
}
#endif

#endif
