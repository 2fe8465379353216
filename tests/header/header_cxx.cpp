/* SPDX-License-Identifier: BSD-2-Clause */
/* memsift_track.h, and memsift.h by it, alone, first and twice, in strict C++17; and the library links and answers. */
#include "memsift_track.h"

#include "memsift_track.h"

#include <cstdio>
#include <cstring>

static int take(void *, const ms_record *)
{
	return 0;
}

int main()
{
	ms_scan scan{};
	ms_region region{};
	ms_filter *filter = nullptr;
	bool failed = ms_filter_new(&filter) < 0;

	region.size = 1;
	scan.size = sizeof(scan);
	scan.sink.record = take;
	failed |= filter == nullptr || !ms_filter_match(filter, &region);
	failed |= std::strcmp(ms_state_name(MS_STATE_GUARD), "guard") != 0;
	ms_filter_free(filter);
	std::printf("%d passed, %d failed, 0 skipped\n", !failed, failed);
	return failed;
}
