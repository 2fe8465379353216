/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ncurses, loaded when the view is opened; for watch_screen.c alone. Where its variables are macros
 * (--enable-reentrant) meson has it linked.
 */
#ifndef MS_CLI_SCREEN_LIB_H
#define MS_CLI_SCREEN_LIB_H

#include "../base/late.h"

#include <ncurses.h>
#include <stdbool.h>

#ifdef SCREEN_SONAME

#define SCREEN_SYMBOLS(X)                                                                          \
	X(cbreak)                                                                                  \
	X(curs_set)                                                                                \
	X(delscreen)                                                                               \
	X(endwin)                                                                                  \
	X(has_colors)                                                                              \
	X(init_pair)                                                                               \
	X(keypad)                                                                                  \
	X(mvprintw)                                                                                \
	X(newterm)                                                                                 \
	X(noecho)                                                                                  \
	X(printw)                                                                                  \
	X(start_color)                                                                             \
	X(use_default_colors)                                                                      \
	X(waddch)                                                                                  \
	X(waddnstr)                                                                                \
	X(wattr_off)                                                                               \
	X(wattr_on)                                                                                \
	X(werase)                                                                                  \
	X(wgetch)                                                                                  \
	X(wmove)                                                                                   \
	X(wrefresh)                                                                                \
	X(wtimeout)                                                                                \
	X(COLS)                                                                                    \
	X(LINES)                                                                                   \
	X(stdscr)

static struct {
	SCREEN_SYMBOLS(LATE_MEMBER)
} screen_lib;

LATE_NOTE(SCREEN_SONAME, "screen", "the full-screen view of watch");

static bool screen_lib_load(void)
{
	static const struct late_library late = {SCREEN_SONAME, "screens", "install libncurses6"};
	static const char *const names[] = {SCREEN_SYMBOLS(LATE_NAME)};

	return late_load(&late, names, sizeof(names) / sizeof(names[0]), &screen_lib) == 0;
}

#define cbreak screen_lib.cbreak
#define curs_set screen_lib.curs_set
#define delscreen screen_lib.delscreen
#define endwin screen_lib.endwin
#define has_colors screen_lib.has_colors
#define init_pair screen_lib.init_pair
#define keypad screen_lib.keypad
#define mvprintw screen_lib.mvprintw
#define newterm screen_lib.newterm
#define noecho screen_lib.noecho
#define printw screen_lib.printw
#define start_color screen_lib.start_color
#define use_default_colors screen_lib.use_default_colors
#define waddch screen_lib.waddch
#define waddnstr screen_lib.waddnstr
#define wattr_off screen_lib.wattr_off
#define wattr_on screen_lib.wattr_on
#define werase screen_lib.werase
#define wgetch screen_lib.wgetch
#define wmove screen_lib.wmove
#define wrefresh screen_lib.wrefresh
#define wtimeout screen_lib.wtimeout
#define COLS (*screen_lib.COLS)
#define LINES (*screen_lib.LINES)
#define stdscr (*screen_lib.stdscr)

#else

static bool screen_lib_load(void)
{
	return true;
}

#endif
#endif
