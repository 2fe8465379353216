/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The view knows nothing but records: from the changes of a round it keeps how hot each part of a
 * region is (heat cools by a quarter each round), the latest changes, and a rate. Text from the
 * target passes through put_safe(), as a path may hold anything.
 */
#include "watch_screen.h"

#include "cli.h"
#include "screen_lib.h"

enum { REGIONS = 256, STRIP = 40, LATEST = 64, TOP = 8, LINE = 160, BYTES_SHOWN = 8 };

/* Columns of a change record, in the order of docs/records.md. */
enum {
	COL_ADDRESS = 4,
	COL_SIZE,
	COL_OLD,
	COL_NEW,
	COL_CHANGE,
	COL_START,
	COL_END,
	COL_PERM,
	COL_KIND,
	COL_PATH
};

struct hot_region {
	uint64_t start, end;
	char perm[5], name[64];
	double heat[STRIP], total;
};

struct screen {
	SCREEN *terminal;
	char title[LINE];
	double interval;
	struct hot_region regions[REGIONS];
	size_t region_count;
	char latest[LATEST][LINE];
	size_t latest_count; /* ever; a ring */
	double rate;	     /* changes a second, smoothed */
};

static void safe_copy(char *to, size_t size, const struct ms_value *text)
{
	size_t n = text->present ? text->size : 0, from = 0;

	/* The end of a path tells more than its beginning. */
	if (n >= size) {
		from = n - (size - 1);
		n = size - 1;
	}
	for (size_t i = 0; i < n; i++) {
		char c = ((const char *)text->v.data)[from + i];

		to[i] = c >= ' ' && c <= '~' ? c : '?';
	}
	to[n] = '\0';
}

struct screen *screen_open(const struct ms_process *process, uint64_t interval_ns)
{
	struct screen *screen = screen_lib_load() ? calloc(1, sizeof(*screen)) : NULL;
	struct ms_value name = text_value(process->name);
	char safe[32];

	if (!screen)
		return NULL;
	screen->terminal = newterm(NULL, stdout, stdin);
	if (!screen->terminal) {
		free(screen);
		return NULL;
	}
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_YELLOW, -1);
		init_pair(2, COLOR_RED, -1);
	}
	safe_copy(safe, sizeof(safe), &name);
	snprintf(
		screen->title, sizeof(screen->title), "memsift watch  %s (%u)", safe, process->pid);
	screen->interval = (double)interval_ns / 1e9;
	return screen;
}

void screen_close(struct screen *screen)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen->terminal);
	free(screen);
}

/* ---- Taking note ------------------------------------------------------------------------ */

static struct hot_region *region_of(struct screen *screen, const struct ms_record *record)
{
	uint64_t start = record->values[COL_START].v.u;
	struct hot_region *region;

	for (size_t i = 0; i < screen->region_count; i++)
		if (screen->regions[i].start == start)
			return &screen->regions[i];
	if (screen->region_count == REGIONS)
		return NULL;
	region = &screen->regions[screen->region_count++];
	region->start = start;
	region->end = record->values[COL_END].v.u;
	safe_copy(region->perm, sizeof(region->perm), &record->values[COL_PERM]);
	safe_copy(region->name, sizeof(region->name), &record->values[COL_PATH]);
	if (!*region->name)
		safe_copy(region->name, sizeof(region->name), &record->values[COL_KIND]);
	return region;
}

static void warm(struct hot_region *region, uint64_t address)
{
	uint64_t size = region->end - region->start;
	size_t at = size ? (size_t)((double)(address - region->start) / (double)size * STRIP) : 0;

	region->heat[at < STRIP ? at : STRIP - 1] += 1;
	region->total += 1;
}

static size_t put_bytes(char *to, size_t size, const struct ms_value *bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes->size && i < BYTES_SHOWN; i++)
		n += (size_t)snprintf(
			to + n, size - n, "%02x", ((const unsigned char *)bytes->v.data)[i]);
	return n;
}

void screen_take(struct screen *screen, const struct ms_record *record)
{
	const struct ms_value *values = record->values;
	char *line = screen->latest[screen->latest_count++ % LATEST];
	char kind[9];
	size_t n;

	safe_copy(kind, sizeof(kind), &values[COL_CHANGE]);
	n = (size_t)snprintf(line, LINE, "%-8s0x%012llx %8llu  ", kind,
		(unsigned long long)values[COL_ADDRESS].v.u,
		(unsigned long long)values[COL_SIZE].v.u);
	if (values[COL_OLD].present) {
		n += put_bytes(line + n, LINE - n, &values[COL_OLD]);
		n += (size_t)snprintf(line + n, LINE - n, " -> ");
		put_bytes(line + n, LINE - n, &values[COL_NEW]);
	}
	if (values[COL_START].present) {
		struct hot_region *region = region_of(screen, record);

		if (region)
			warm(region, values[COL_ADDRESS].v.u);
	}
}

/* ---- Drawing ---------------------------------------------------------------------------- */

static int by_heat(const void *a, const void *b)
{
	const struct hot_region *x = a, *y = b;

	return (x->total < y->total) - (x->total > y->total);
}

static void draw_region(int row, const struct hot_region *region)
{
	static const char shades[] = " .:-=+*#%@";

	mvprintw(row, 0, "0x%012llx %s ", (unsigned long long)region->start, region->perm);
	addch('[');
	for (size_t i = 0; i < STRIP; i++) {
		double heat = region->heat[i];
		int shade = heat < 0.1 ? 0 : heat >= 256 ? 9 : 1;

		for (double step = 1; shade && shade < 9 && heat >= step; step *= 2)
			shade++;
		wattr_on(stdscr, COLOR_PAIR(shade > 5 ? 2 : shade ? 1 : 0), NULL);
		addch((chtype)shades[shade]);
		wattr_off(stdscr, COLOR_PAIR(shade > 5 ? 2 : shade ? 1 : 0), NULL);
	}
	printw("] %s", region->name);
}

static int draw_regions(struct screen *screen, int row, int rows)
{
	qsort(screen->regions, screen->region_count, sizeof(*screen->regions), by_heat);
	mvprintw(row++, 0, "REGIONS (the hottest first)");
	for (size_t i = 0; i < screen->region_count && rows-- > 1; i++)
		draw_region(row++, &screen->regions[i]);
	return row + 1;
}

static int draw_top(int row, int rows, ms_detector *detector)
{
	const struct ms_change_stat *list;
	size_t count;

	mvprintw(row++, 0, "VALUES THAT CHANGE MOST");
	if (ms_detector_stats(detector, false, TOP, &list, &count) < 0)
		return row;
	for (size_t i = 0; i < count && rows-- > 1; i++)
		mvprintw(row++, 0, "0x%012llx %6llu times  %-10s 0x%llx",
			(unsigned long long)list[i].address, (unsigned long long)list[i].count,
			list[i].pattern ? list[i].pattern : "", (unsigned long long)list[i].value);
	return row + 1;
}

static void draw_latest(const struct screen *screen, int row)
{
	size_t count = screen->latest_count < LATEST ? screen->latest_count : LATEST;

	mvprintw(row++, 0, "LATEST CHANGES");
	for (size_t i = 1; i <= count && row < LINES; i++)
		mvaddnstr(row++, 0, screen->latest[(screen->latest_count - i) % LATEST], COLS - 1);
}

static void cool(struct screen *screen)
{
	for (size_t i = 0; i < screen->region_count; i++) {
		screen->regions[i].total *= 0.75;
		for (size_t k = 0; k < STRIP; k++)
			screen->regions[i].heat[k] *= 0.75;
	}
}

void screen_draw(struct screen *screen, ms_detector *detector, const struct ms_round *round)
{
	uint64_t changes = round->changes + round->map_changes;
	static const char *const methods[] = {[MS_METHOD_DIRTY] = "dirty tracking",
		[MS_METHOD_COMPARE] = "comparing",
		[MS_METHOD_SOFT_DIRTY] = "soft-dirty bits"};
	struct ms_detector_info info;
	int row, part = (LINES - 6) / 4;

	ms_detector_info(detector, &info);
	screen->rate += ((double)changes / screen->interval - screen->rate) * 0.3;
	erase();
	mvprintw(0, 0, "%s  round %llu  by %s  q: end", screen->title,
		(unsigned long long)round->number, methods[info.method]);
	mvprintw(1, 0, "%llu changes in %llu pages, %.1f a second; %.1f MiB watched, %.1f MiB kept",
		(unsigned long long)changes, (unsigned long long)round->pages_changed, screen->rate,
		(double)info.watched / 1048576, (double)info.bytes_kept / 1048576);
	row = draw_regions(screen, 3, part > 2 ? part : 2);
	row = draw_top(row, part > 2 ? part : 2, detector);
	draw_latest(screen, row);
	refresh();
	cool(screen);
}

bool screen_wait(struct screen *screen, uint64_t ns)
{
	uint64_t until = clock_now_ns() + ns, now;

	(void)screen;
	while ((now = clock_now_ns()) < until && !interrupted()) {
		timeout((int)((until - now + 999999) / 1000000));
		int key = getch();

		if (key == 'q' || key == 'Q')
			return true;
		/* A terminal that is gone. */
		if (key == ERR && clock_now_ns() < until && feof(stdin))
			return true;
	}
	return false;
}
