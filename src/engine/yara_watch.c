/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread beside an evaluation. Blocks stop coming when the job is to end, and the conditions are
 * then evaluated over what was seen; but a condition can loop for hours, and one block keep an
 * expression busy for minutes, without asking us anything. libyara itself looks at its timeout
 * now and then (every 4 KiB of a block, every 100 instructions of a condition), so after a grace
 * that timeout is made to have passed. Many strings that match everywhere take many seconds for
 * 4 KiB, so from then on no string is looked for either; nothing is made of what was found.
 *
 * Many such strings also bring millions of matches in one block, which cost memory. So matches are
 * counted here, too.
 */
#include "engine/yara.h"

#include "base/err.h"
#include "base/os.h"

#include <pthread.h>
#include <time.h>

enum { TICK_NS = 20 * 1000 * 1000, GRACE_NS = 1000 * 1000 * 1000 };

struct yara_watch {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool end;
	struct yara_blocks *blocks;
};

static bool wait_tick(struct yara_watch *watch)
{
	uint64_t wake = os_clock_ns() + TICK_NS;
	struct timespec until = {(time_t)(wake / 1000000000), (long)(wake % 1000000000)};
	bool end;

	pthread_mutex_lock(&watch->lock);
	if (!watch->end)
		pthread_cond_timedwait(&watch->ended, &watch->lock, &until);
	end = watch->end;
	pthread_mutex_unlock(&watch->lock);
	return !end;
}

static void scanner_end(struct yara_blocks *blocks, enum ms_state why)
{
	YR_SCANNER *scanner = blocks->scanner;
	size_t words = YR_BITMASK_SIZE(scanner->rules->num_strings);

	blocks->ended = why;
	/* libyara reads both as they are; a nanosecond has passed whenever it looks. */
	__atomic_store_n(&scanner->timeout, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < words; i++)
		__atomic_store_n(&scanner->strings_temp_disabled[i], ~0ul, __ATOMIC_RELAXED);
}

static void *watch_main(void *ctx)
{
	struct yara_watch *watch = ctx;
	struct yara_blocks *blocks = watch->blocks;
	uint64_t stopped_ns = 0;
	enum ms_state why = MS_STATE_DATA;

	while (wait_tick(watch)) {
		yara_blocks_count(blocks);
		if (!why && (why = yara_blocks_stopped(blocks)))
			stopped_ns = os_clock_ns();
		if (why && os_clock_ns() - stopped_ns >= GRACE_NS)
			scanner_end(blocks, why);
	}
	return NULL;
}

int yara_watch_begin(struct yara_blocks *blocks, struct yara_watch **ret_watch)
{
	struct yara_watch *watch = calloc(1, sizeof(*watch));
	pthread_condattr_t attr;
	int e;

	if (!watch)
		return err_nomem();
	watch->blocks = blocks;
	/* Without one it would not look at the clock at all. */
	blocks->scanner->timeout = UINT64_MAX / 2;
	pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->ended, &attr);
	pthread_condattr_destroy(&attr);
	e = pthread_create(&watch->thread, NULL, watch_main, watch);
	if (e) {
		pthread_cond_destroy(&watch->ended);
		pthread_mutex_destroy(&watch->lock);
		free(watch);
		return err_errno(MS_ERR_MEMORY, e, "cannot start a thread");
	}
	*ret_watch = watch;
	return 0;
}

void yara_watch_end(struct yara_watch *watch)
{
	pthread_mutex_lock(&watch->lock);
	watch->end = true;
	pthread_cond_broadcast(&watch->ended);
	pthread_mutex_unlock(&watch->lock);
	pthread_join(watch->thread, NULL);
	pthread_cond_destroy(&watch->ended);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}
