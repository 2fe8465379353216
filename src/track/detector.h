/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of a detector share: detector.c has its rounds, detector_areas.c the memory map
 * and what the kernel is asked of it, detector_pages.c what a page was and what it has become.
 */
#ifndef MS_TRACK_DETECTOR_H
#define MS_TRACK_DETECTOR_H

#include "memsift_track.h"

#include "base/err.h"
#include "core/filter.h"
#include "core/host.h"
#include "core/record.h"
#include "track/change_stats.h"
#include "track/mirror.h"

enum {
	DETECTOR_RUNS = 512,
	DETECTOR_PIECE = 1024 * 1024, /* read at once; stays in the cache while it is compared */
};

/* A watched stretch of one region. */
struct area {
	uint64_t base, end;
	bool dirty; /* the kernel tells what is written */
	bool fresh; /* not in the picture yet: goes in without a word */
	bool lost;  /* what was told in this round is not enough */
	bool plain; /* what was never touched reads as zeros */
};

struct ms_detector {
	ms_source *source;
	enum ms_method wanted, method;
	struct ms_filter filter;
	char why[ERR_TEXT_MAX];
	uint64_t stop_ns, arm_ns, map, compared, watched;
	size_t shown_max;
	bool limited, begun;
	bool piles_up;	/* what was told is told again until it is renewed */
	uint64_t piled; /* bytes that were told since */

	struct mirror mirror;
	struct region_list picture; /* regions of the picture */
	VEC(struct area) areas;
	VEC(uint64_t) suspects; /* pages that may differ; unordered until a round sorts them */
	struct stats *stats;
	struct ms_change_stat *listed;
	uint8_t *buffer; /* DETECTOR_PIECE bytes */
	uint8_t *zeros;	 /* a page */

	/* Of the round that runs. */
	const struct ms_sink *sink;
	bool update;
	struct ms_round round;
	int64_t time;
	uint64_t time_ns, number;
};

/* Hands a change to the sink, and counts it. */
int detector_tell(struct ms_detector *det, struct change *change);

/* Reads whole pages of an area and looks at each. */
int detector_look_at(struct ms_detector *det, const struct area *area, uint64_t base, uint64_t end);

/* Goes through what the system says of an area's pages; reads those with data if told to. */
int detector_walk(struct ms_detector *det, const struct area *area, bool read);

const struct ms_region *detector_region_of(const struct ms_detector *det, const struct area *area);

/*
 * Has the kernel watch an area; where it cannot, the area is compared. Of a fresh one nothing that
 * was written before counts.
 */
void detector_watch(struct ms_detector *det, struct area *area);

/*
 * Asks the kernel what was written in an area, and has that watched anew; with `suspect` the pages
 * become suspects.
 */
int detector_scan(struct ms_detector *det, const struct area *area, bool suspect);

/*
 * Lists regions anew if the map has changed; *ret_changed tells. *ret_disturbed: somebody else had
 * forgotten what was written.
 */
int detector_look_at_map(struct ms_detector *det, bool *ret_changed, bool *ret_disturbed);

/* Compares the memory map with that of the picture, tells it, and makes the areas anew. */
int detector_remap(struct ms_detector *det, bool silent);

/* Keeps the list of regions as part of the picture. */
int detector_keep_regions(struct ms_detector *det);

#endif
