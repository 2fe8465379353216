/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only loop: targets x chunks x overlap x threads. Targets are opened as the loop comes to
 * them; whatever the number of threads, hits come out by target and by ascending address.
 */
#ifndef MS_CORE_SCAN_H
#define MS_CORE_SCAN_H

#include "core/coverage.h"
#include "core/engine.h"
#include "core/filter.h"
#include "core/host.h"

enum { SCAN_ENOUGH = 1 };

enum {
	SCAN_CHUNK = 512 * 1024,       /* fits a core's L2 cache, read and searched in one go */
	SCAN_OVERLAP_MAX = 128 * 1024, /* more than any engine may ask for */
	SCAN_THREADS_MAX = 256,
};

struct scan {
	const struct ms_engine *engine;
	const struct ms_filter *filter;
	const struct ms_job *job;
	size_t context;
	size_t target_count;
	bool copies; /* what the engine passes on is the memory itself: progress tells of no hits */

	/*
	 * NULL, or a second source that is read at the same addresses as the only target: spans
	 * then show what could be read of both, and what of either could not is a gap.
	 */
	struct ms_source *twin;

	/* NULL, or the only target, open already: open() is not called then. */
	struct ms_source *source;

	/* Opens target number `index`; called once each, from any thread. */
	int (*open)(void *ctx, size_t index, struct ms_source **ret_source);

	/*
	 * In order, never two at once, from any thread. Other than 0 and failures, SCAN_ENOUGH may
	 * be returned: what is left to do is then left as if hits_max had been reached.
	 */
	int (*hit)(void *ctx, size_t index, struct ms_source *src, const struct ms_hit *hit);

	/*
	 * The target is finished: its coverage, or the status and text of why it was not opened
	 * (src may be NULL then). The source is the callee's to free or keep; coverage is NULL when
	 * the job as a whole failed, and only the source is to be let go.
	 */
	int (*done)(void *ctx, size_t index, struct ms_source *src, struct coverage *coverage,
		int status, const char *error);

	/* The target could not be judged as a whole; done() follows. NULL: nobody wants to know. */
	int (*troubled)(void *ctx, size_t index, struct ms_source *src, const char *error);

	/*
	 * NULL, or wants every target's plan made before its first chunk: told the position behind
	 * its last byte. The coverage then keeps the stretches without data.
	 */
	int (*planned)(void *ctx, size_t index, struct ms_source *src,
		const struct coverage *coverage, uint64_t end);
	void *ctx;
};

/*
 * Runs it. *ret_hit_limit tells that hits_max ended it, *ret_stopped that the cancel function
 * did. Returns 0 or a negative status: of a callback, or MS_ERR_MEMORY.
 */
int scan_run(const struct scan *scan, bool *ret_hit_limit, bool *ret_stopped);

/*
 * The same for one target that is taken over, not searched: hits_max means nothing, and its own
 * limit on bytes is the job's, so that the plan keeps to it.
 */
int scan_run_whole(const struct scan *scan);

#endif
