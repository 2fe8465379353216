/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of mappings share: mapping.c has the public functions and shared views,
 * mapping_mirror.c mirrors.
 */
#ifndef MS_TRACK_MAPPING_H
#define MS_TRACK_MAPPING_H

#include "memsift_track.h"

#include "core/reader.h"
#include "track/tracker.h"

struct ms_mapping {
	ms_source *src;
	uint64_t base, size;
	uint64_t first, room; /* the whole pages around it */
	uint8_t *pages;	      /* room bytes; NULL: the source's own, at view */
	const uint8_t *view;
	struct reader reader;
	VEC(struct ms_gap) gaps;
	uint64_t looked_ns;

	/* Of a mirror. */
	struct run_list blank; /* the stretches without data, zeros here, as of the last refresh */
	struct tracker *tracker; /* the mapper's; NULL: not asked for, or not to be had: */
	const char *why;	 /* not tracked, though that was asked for */
	bool tracked;
	bool stale;	   /* what was told so far is not enough: read it all */
	uint64_t version;  /* of the tracker, as of which it is watched */
	uint64_t renewals; /* of the tracker, as of which it was read */

	/* Of a shared view. */
	bool shared;
	int fd;
	uint64_t offset;	 /* of pages in the file */
	struct ms_region region; /* as it was; without its path */
};

/*
 * As ms_mapping_new(); the mirror is tracked if there is a tracker and that can be. `why`: with
 * no tracker, what to say of that.
 */
int mapping_new(ms_source *source, uint64_t base, size_t size, struct tracker *tracker,
	const char *why, ms_mapping **ret_mapping);

/*
 * Brings a mirror up to date, and adds to *read the bytes that were read for it. Without a tracker
 * the caller has the source's regions listed anew first.
 */
int mirror_refresh(struct ms_mapping *mapping, uint64_t *read);

#endif
