/* SPDX-License-Identifier: BSD-2-Clause */
/* What one-shot scans (cmd_scan.c) and the prompt (scan_prompt.c) share. */
#ifndef MS_CLI_CMD_SCAN_H
#define MS_CLI_CMD_SCAN_H

#include "cli.h"

#include "memsift_track.h"

struct scanning {
	struct options *options;
	struct output *output;
	struct summary *summary;
	ms_source *source;
	ms_values *values;
};

/* Each does one thing, writes what came of it, and returns a library status; it has complained. */
int scan_first(struct scanning *scanning, const char *condition);
int scan_next(struct scanning *scanning, const char *condition);
int scan_undo(struct scanning *scanning);
int scan_list(struct scanning *scanning, uint64_t max);
int scan_count(struct scanning *scanning);

/* Reads commands from the terminal until the user has enough; a library status. */
int scan_prompt(struct scanning *scanning);

#endif
