/* SPDX-License-Identifier: BSD-2-Clause */
/* The handle of a value scan. */
#ifndef MS_TRACK_VALUES_H
#define MS_TRACK_VALUES_H

#include "core/host.h"
#include "track/session.h"

struct ms_values {
	struct subject subject;
	bool begun;	/* there was a first scan */
	bool size_open; /* the first condition gives byte arrays their size */
	char *session;	/* where matches are kept; NULL: in memory */
	struct generation now;
	struct generation before; /* in memory: what undo goes back to */
	bool has_before;
	uint64_t lost;	     /* by the last scan */
	struct ms_gap *gaps; /* what the last coverage points to */
};

/* Fails unless the source is the process that the matches are of. */
int values_check_source(const ms_values *values, const ms_source *source);

/* The name that the session before the last scan has; to be freed. */
int values_undo_path(const ms_values *values, char **ret_path);

#endif
