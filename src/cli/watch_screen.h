/* SPDX-License-Identifier: BSD-2-Clause */
/* The full-screen view of `watch`; with a build that has no ncurses there is none. */
#ifndef MS_CLI_WATCH_SCREEN_H
#define MS_CLI_WATCH_SCREEN_H

#include "memsift_track.h"

struct screen;

/* NULL when the terminal, this build or this machine cannot do it. */
struct screen *screen_open(const struct ms_process *process, uint64_t interval_ns);

/* Takes note of a change record. */
void screen_take(struct screen *screen, const struct ms_record *record);

/* Draws what is known after a round. */
void screen_draw(struct screen *screen, ms_detector *detector, const struct ms_round *round);

/* Waits for so long, drawing nothing; true when the user wants to end. */
bool screen_wait(struct screen *screen, uint64_t ns);

/* Gives the terminal back as it was. Takes NULL. */
void screen_close(struct screen *screen);

#endif
