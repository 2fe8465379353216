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

/* ---- 2. Mapped memory ------------------------------------------------------------------- */

/*
 * A read-only view of a range of a target in this process's own memory. Where the target has
 * shared memory or a shared mapping of a local file, the very pages are shared: what it writes is
 * seen at once, and no look costs a system call. Elsewhere (memory of its own, private mappings,
 * of which it may have copies, holes of shared memory, which looking would fill) the view is a
 * mirror: a copy, as of the last refresh.
 */
typedef struct ms_mapping ms_mapping;

enum ms_mapping_kind {
	MS_MAPPING_MIRROR,  /* a refresh reads all of it */
	MS_MAPPING_SHARED,  /* needs none */
	MS_MAPPING_TRACKED, /* a mirror: a refresh reads the pages that were written */
};

/*
 * Maps [base, base + size), which may begin and end at any byte and need not be mapped
 * throughout, and refreshes it. The source is borrowed for the mapping's life.
 */
MS_API int ms_mapping_new(
	ms_source *source, uint64_t base, size_t size, ms_mapping **ret_mapping);
MS_API void ms_mapping_free(ms_mapping *mapping);

MS_API uint64_t ms_mapping_base(const ms_mapping *mapping);
MS_API size_t ms_mapping_size(const ms_mapping *mapping);

/* A refresh may turn a shared view into a mirror, and a mirror of one kind into the other. */
MS_API enum ms_mapping_kind ms_mapping_kind(const ms_mapping *mapping);

/* Why a mirror of a mapper that tracks is not tracked, until a refresh; else NULL. */
MS_API const char *ms_mapping_why(const ms_mapping *mapping);

/*
 * The bytes, at the same place for the mapping's life; what could not be read is zeros, and so is
 * what was never touched. To look at a shared view while its file is being made shorter raises
 * SIGBUS, as with any mapped file; where that may be, read with ms_mapping_read().
 */
MS_API const void *ms_mapping_data(const ms_mapping *mapping);

/*
 * Copies up to size bytes from offset on, and never raises a signal. *ret_size is less only at
 * the end, or where the file behind a shared view has become shorter.
 */
MS_API int ms_mapping_read(
	const ms_mapping *mapping, size_t offset, void *buf, size_t size, size_t *ret_size);

/*
 * Brings a mirror up to date, and makes one of a shared view whose file has become too short, or
 * in place of which the target has mapped something else. That is looked for 50 times a second at
 * most, or if tracked each time, and asks for the source's list of regions anew. *ret_read (may be
 * NULL) is how many bytes were read. Fails with MS_ERR_GONE when the target is no more; the bytes
 * are then those of the last refresh.
 */
MS_API int ms_mapping_refresh(ms_mapping *mapping, uint64_t *ret_read);

/* What could not be read, by ascending address; never touched memory is none. Until a refresh. */
MS_API void ms_mapping_gaps(
	const ms_mapping *mapping, const struct ms_gap **ret_list, size_t *ret_count);

/* Many mappings of one source, by index. Indices stay as they are; removed ones are not used again. */
typedef struct ms_mapper ms_mapper;

/*
 * With `track` the kernel tells which pages of mirrors the target writes, and a refresh reads
 * those alone; for that the target is stopped once, for less than a millisecond as a rule. Each
 * mapping then tells by its kind whether it is tracked, and why not. Only private memory without a
 * file is, throughout; a page is tracked for the first mapping that has it; and a source tracks for
 * one mapper or detector at a time, for whichever came first. What a device writes into memory that
 * was pinned before (O_DIRECT, RDMA) is not told.
 */
struct ms_mapper_options {
	size_t size; /* sizeof(struct ms_mapper_options) */
	bool track;
};

/* Options NULL: as if all were zero. */
MS_API int ms_mapper_new(
	ms_source *source, const struct ms_mapper_options *options, ms_mapper **ret_mapper);
MS_API void ms_mapper_free(ms_mapper *mapper);

MS_API int ms_mapper_add(ms_mapper *mapper, uint64_t base, size_t size, size_t *ret_index);

/* Maps every region, or part of one, that the filter lets through; *ret_count of them. */
MS_API int ms_mapper_add_regions(
	ms_mapper *mapper, const ms_filter *filter, size_t *ret_count);

MS_API size_t ms_mapper_count(const ms_mapper *mapper); /* removed ones, too */
MS_API ms_mapping *ms_mapper_get(const ms_mapper *mapper, size_t index); /* NULL: removed */
MS_API ms_mapping *ms_mapper_find(const ms_mapper *mapper, uint64_t address); /* NULL: none */
MS_API void ms_mapper_remove(ms_mapper *mapper, size_t index);

/* Refreshes all of them. */
MS_API int ms_mapper_refresh(ms_mapper *mapper, uint64_t *ret_read);

/* ---- 3. Snapshots ----------------------------------------------------------------------- */

/* What a source had in its memory at one moment, kept in this process. */
typedef struct ms_snapshot ms_snapshot;

struct ms_snapshot_options {
	size_t size;		 /* sizeof(struct ms_snapshot_options) */
	const ms_filter *filter; /* NULL: everything but device memory and swapped pages */
	struct ms_job job;	 /* process_bytes_max limits what is kept; hits_max means nothing */
	enum ms_pause pause;	 /* so that all is of one moment */
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

/* ---- 4. Diffs --------------------------------------------------------------------------- */

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

/* ---- Detectors -------------------------------------------------------------------------- */

/*
 * Tells round by round what changed in a live target since a picture was taken of it. The picture
 * is a copy of the watched pages in this process's memory. With MS_METHOD_DIRTY the kernel tells
 * which pages were written, so a round costs what was written; for that the target is stopped
 * once, for less than a millisecond as a rule (userfaultfd, Linux 6.7). With MS_METHOD_SOFT_DIRTY
 * it tells by bits in the target's page tables, which costs the target no stop and has nothing
 * made in it; a round looks at what was written since the bits were last cleared, which happens
 * when that has become a lot. There is one set of bits a process: another program that clears
 * them, as CRIU does, makes memsift read everything anew, and can hide writes from it. With
 * MS_METHOD_COMPARE every round reads all of it.
 *
 * MS_METHOD_AUTO tries them in this order. Whoever wants MS_METHOD_DIRTY gets the second where the
 * first cannot be had, but never the third. ms_detector_info() tells which it is, and why.
 */
typedef struct ms_detector ms_detector;

enum ms_method {
	MS_METHOD_AUTO,
	MS_METHOD_DIRTY,
	MS_METHOD_COMPARE,
	MS_METHOD_SOFT_DIRTY,
};

struct ms_detector_options {
	size_t size; /* sizeof(struct ms_detector_options) */
	enum ms_method method;
	const ms_filter *filter; /* copied; its keys "address" and "ignore" choose ranges */
	uint64_t bytes_max;	 /* that the picture may take; 0: no limit. What is beyond is not watched */
	size_t shown_max;	 /* bytes of old and of new in a change; 0: MS_CHANGE_BYTES */
	bool statistics;	 /* keep count of what changes */
};

struct ms_detector_info {
	enum ms_method method; /* in use */
	const char *why;       /* not MS_METHOD_DIRTY, though it was not ruled out; else NULL */
	uint64_t stop_ns;      /* how long the target was stopped */
	uint64_t arm_ns;       /* how long it took the kernel to begin to watch it all */
	uint64_t watched;      /* bytes of address space */
	uint64_t compared;     /* of them, read and compared each round even so: shared memory, and
				  what cannot be tracked */
	uint64_t bytes_kept;   /* what the picture takes */
	bool limited;	       /* some pages had no room in it */
};

/* What a round found. */
struct ms_round {
	uint64_t number; /* from 1 */
	uint64_t changes, map_changes;
	uint64_t pages_written; /* that were looked at; with MS_METHOD_COMPARE all of them */
	uint64_t pages_changed;
	uint64_t bytes_read;
};

/*
 * The source is borrowed for the detector's life. It tracks for one detector or mapper at a time:
 * if that must not compare, a second one fails with MS_ERR_ARGUMENT.
 */
MS_API int ms_detector_new(ms_source *source, const struct ms_detector_options *options,
	ms_detector **ret_detector);
MS_API void ms_detector_free(ms_detector *detector);

/* Takes the picture, anew if there is one; to be called first. */
MS_API int ms_detector_initialize(ms_detector *detector);

/*
 * Hands a "change" record to the sink for what differs from the picture: map, unmap and protect
 * first, then writes by ascending address. Mappings that are new are watched from then on. With
 * `update`, what was found becomes part of the picture, and nothing that changes meanwhile is
 * lost; without, the next call tells it again. Fails with MS_ERR_GONE when the target has ended
 * or runs another program. The time of records is that of the round.
 */
MS_API int ms_detector_detect(ms_detector *detector, bool update, const struct ms_sink *sink,
	struct ms_round *ret_round);

/* Brings the picture up to date without telling what changed. */
MS_API int ms_detector_update(ms_detector *detector);

MS_API void ms_detector_info(const ms_detector *detector, struct ms_detector_info *ret_info);

/* How often a page, or a value, changed; ms_detector_options.statistics. */
struct ms_change_stat {
	uint64_t address, size;
	uint64_t count; /* rounds in which it was seen to change */
	uint64_t first_round, last_round;
	/* Of a value: flag, pointer, counter, float, timer, decreasing, noise; NULL: not known yet. */
	const char *pattern;
	uint64_t value; /* of a value: the last that was seen */
};

/* Lists the pages or the values that changed most often, at most count_max. Valid until asked again. */
MS_API int ms_detector_stats(ms_detector *detector, bool pages, size_t count_max,
	const struct ms_change_stat **ret_list, size_t *ret_count);

#ifdef __cplusplus
}
#endif

#endif
