/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The prompt of value scans: conditions as with --next, of which the first one begins. Lines are
 * edited with libedit where the build and the machine have it.
 */
#include "cmd_scan.h"

#include "../base/late.h"

#include <poll.h>
#include <unistd.h>
#ifdef HAVE_EDIT
#include <editline/readline.h>
#endif

enum { LIST_DEFAULT = 100 };

static const char help_text[] =
	"= 42   != 42   > 42   < 42   >= 42   <= 42   1..100\n"
	"                what the value is; the first of these begins the search\n"
	"unknown         begins with every value there is\n"
	"changed  unchanged  increased  decreased  + 5  - 5\n"
	"                what happened to it since the last scan\n"
	"undo            back to before the last scan, once\n"
	"list [N]        the matches, now and at the last scan (100 unless told)\n"
	"count           how many there are\n"
	"save FILE       keep them as a session for later calls with --session\n"
	"quit            ends\n";

#ifdef EDIT_SONAME

#define EDIT_SYMBOLS(X)                                                                            \
	X(readline)                                                                                \
	X(add_history)                                                                             \
	X(rl_catch_signals)

static struct {
	EDIT_SYMBOLS(LATE_MEMBER)
} edit;

LATE_NOTE(EDIT_SONAME, "edit", "editing lines at the prompt of value scans");

static bool edit_load(void)
{
	static const struct late_library late = {EDIT_SONAME, "edited lines", "install libedit2"};
	static const char *const names[] = {EDIT_SYMBOLS(LATE_NAME)};

	return late_load(&late, names, sizeof(names) / sizeof(names[0]), &edit) == 0;
}

#define readline edit.readline
#define add_history edit.add_history
#define rl_catch_signals (*edit.rl_catch_signals)

#elif defined(HAVE_EDIT)

static bool edit_load(void)
{
	return true;
}

#endif

#ifdef HAVE_EDIT

static char *line_edit(const char *prompt)
{
	char *line;

	rl_catch_signals = 1; /* the terminal is put right before a signal has its effect */
	line = readline(prompt);
	if (line && *line)
		add_history(line);
	return line;
}

#endif

static char *line_read(const char *prompt)
{
	struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
	char *line = NULL;
	size_t room = 0;

#ifdef HAVE_EDIT
	if (edit_load())
		return line_edit(prompt);
#endif
	fputs(prompt, stdout);
	fflush(stdout);
	/* Unlike a read, this ends with an interrupt (signal(7)). */
	if (poll(&terminal, 1, -1) < 0)
		return NULL;
	if (getline(&line, &room, stdin) < 0) {
		free(line);
		return NULL;
	}
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void make_prompt(const struct scanning *scanning, char *text, size_t size)
{
	struct ms_values_info info;

	ms_values_info(scanning->values, &info);
	if (info.begun)
		snprintf(text, size, "%llu> ", (unsigned long long)info.count);
	else
		snprintf(text, size, "%s> ", info.type);
}

/* Conditions: the first one begins. */
static void do_condition(struct scanning *scanning, const char *text)
{
	struct ms_values_info info;

	ms_values_info(scanning->values, &info);
	if (!info.begun || strcmp(text, "unknown") == 0)
		scan_first(scanning, text);
	else
		scan_next(scanning, text);
}

static void do_undo(struct scanning *scanning, const char *rest)
{
	(void)rest;
	scan_undo(scanning);
}

static void do_count(struct scanning *scanning, const char *rest)
{
	struct ms_values_info info;

	(void)rest;
	ms_values_info(scanning->values, &info);
	if (info.begun)
		scan_count(scanning);
	else
		complain("there was no first scan yet");
}

static void do_list(struct scanning *scanning, const char *rest)
{
	uint64_t max = scanning->options->hits_max ? scanning->options->hits_max : LIST_DEFAULT;

	if (*rest && ms_parse_number("list", rest, &max) < 0)
		complain("%s", ms_error());
	else
		scan_list(scanning, max);
}

static void do_save(struct scanning *scanning, const char *rest)
{
	if (!*rest)
		complain("save: to which file?");
	else if (ms_values_save(scanning->values, rest) < 0)
		complain("%s", ms_error());
}

static void do_help(struct scanning *scanning, const char *rest)
{
	(void)rest;
	output_bytes(scanning->output, help_text, sizeof(help_text) - 1);
}

static const struct {
	const char *word;
	void (*run)(struct scanning *scanning, const char *rest); /* NULL: quit */
} prompt_commands[] = {
	{"undo", do_undo},
	{"list", do_list},
	{"count", do_count},
	{"save", do_save},
	{"help", do_help},
	{"quit", NULL},
	{"exit", NULL},
};

/* Does what a line says; false to quit. */
static bool do_line(struct scanning *scanning, char *line)
{
	size_t end = strlen(line), length;

	while (end && strchr(" \t\r", line[end - 1]))
		line[--end] = '\0';
	line += strspn(line, " \t");
	length = strcspn(line, " \t");
	for (size_t i = 0; i < sizeof(prompt_commands) / sizeof(*prompt_commands); i++) {
		const char *word = prompt_commands[i].word;

		if (strlen(word) != length || memcmp(word, line, length) != 0)
			continue;
		if (!prompt_commands[i].run)
			return false;
		prompt_commands[i].run(scanning, line + length + strspn(line + length, " \t"));
		return true;
	}
	if (*line)
		do_condition(scanning, line);
	return true;
}

int scan_prompt(struct scanning *scanning)
{
	bool more = true;

	complain("begin with = V, a range A..B or unknown; help tells the rest");
	while (more && !interrupted() && !scanning->output->failed) {
		char prompt[32], *line;

		make_prompt(scanning, prompt, sizeof(prompt));
		line = line_read(prompt);
		if (!line)
			break;
		more = do_line(scanning, line);
		free(line);
	}
	/* What went wrong on the way was said on the way. */
	*scanning->summary = (struct summary){.targets = 1};
	return 0;
}
