/* SPDX-License-Identifier: BSD-2-Clause */
/* memsift_track.h, and memsift.h by it, alone, first and twice, in strict C11; and the library links and answers. */
#include "memsift_track.h"

#include "memsift_track.h"

#include <stdio.h>
#include <string.h>

/* Every structure that callers fill in can be made in one initializer. */
static int use(void)
{
	const struct ms_scan scan = {.size = sizeof(scan), .job = {.size = sizeof(scan.job)}};
	const struct ms_dump dump = {.size = sizeof(dump), .format = MS_DUMP_CORE};
	const struct ms_selection selection = {.size = sizeof(selection), .all = true};
	const struct ms_arg arg = {"text", "x"};
	ms_filter *filter;

	if (ms_filter_new(&filter) < 0)
		return 1;
	ms_filter_free(filter);
	return !(scan.size && dump.size && selection.size && arg.key);
}

int main(void)
{
	int failed = use() || !ms_version()[0] || !ms_error()[0] ||
		     strcmp(ms_kind_name(MS_KIND_HEAP), "heap") != 0;

	printf("%d passed, %d failed, 0 skipped\n", !failed, failed);
	return failed;
}
