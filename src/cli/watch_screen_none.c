/* SPDX-License-Identifier: BSD-2-Clause */
/* A build without ncurses: watch writes lines, to a terminal as well. */
#include "watch_screen.h"

struct screen *screen_open(const struct ms_process *process, uint64_t interval_ns)
{
	(void)process, (void)interval_ns;
	return NULL;
}

void screen_take(struct screen *screen, const struct ms_record *record)
{
	(void)screen, (void)record;
}

void screen_draw(struct screen *screen, ms_detector *detector, const struct ms_round *round)
{
	(void)screen, (void)detector, (void)round;
}

bool screen_wait(struct screen *screen, uint64_t ns)
{
	(void)screen, (void)ns;
	return false;
}

void screen_close(struct screen *screen)
{
	(void)screen;
}
