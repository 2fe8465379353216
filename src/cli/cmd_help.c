/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Help, man page and shell completions, all from the tables of commands and options, so that
 * none of them can be out of date.
 */
#include "cli.h"
#include "commands.h"

static const struct {
	unsigned group;
	const char *title;
} group_titles[] = {
	{GROUP_TARGET, "Targets"},
	{GROUP_HOST, "Hosts"},
	{GROUP_SEARCH, "Search"},
	{GROUP_STRINGS, "Strings"},
	{GROUP_YARA, "Rules"},
	{GROUP_SCAN, "Values"},
	{GROUP_READ, "Reading"},
	{GROUP_DUMP, "Dumps"},
	{GROUP_SNAPSHOT, "Snapshots"},
	{GROUP_DIFF, "Differences"},
	{GROUP_WATCH, "Watching"},
	{GROUP_COLLECT, "Collecting"},
	{GROUP_FILTER, "Regions"},
	{GROUP_LIMIT, "Limits"},
	{GROUP_OUTPUT, "Output"},
	{GROUP_HELP, "Help"},
};

static const struct {
	const char *status, *meaning;
} statuses[] = {
	{"0", "done; all wanted memory was covered"},
	{"1", "something was found (only with --fail-on-hit)"},
	{"2", "wrong use"},
	{"3", "partial: a target ended, a limit was reached, or wanted memory could not be read"},
	{"4", "no such target, or no permission for any"},
	{"5", "output could not be written, or a fault of memsift's own"},
	{"130", "interrupted; what was found is kept"},
};

enum { COUNT_GROUPS = sizeof(group_titles) / sizeof(*group_titles) };
enum { COUNT_STATUSES = sizeof(statuses) / sizeof(*statuses) };
enum { COLUMNS = 79, HELP_COLUMN = 32 };

static const char about[] =
	"looks into the memory of running processes: lists and classifies their regions, searches "
	"them, dumps them and collects evidence, and accounts for every byte that it could not "
	"read.";

static const char target_text[] =
	"A TARGET is a pid, a process name (of the process or of its program; re:EXPRESSION for a "
	"regular expression), or a file: an ELF core or a raw image. A word with a slash is a "
	"file.";

/* Breaks a text into lines of COLUMNS, each indented. */
static void print_wrapped(FILE *out, const char *text, int indent)
{
	int column = 0;

	while (*text) {
		int length = (int)strcspn(text, " ");

		if (column && column + 1 + length > COLUMNS - indent) {
			fputc('\n', out);
			column = 0;
		}
		if (!column)
			fprintf(out, "%*s", indent, "");
		else
			fputc(' ', out);
		fprintf(out, "%.*s", length, text);
		column += length + (column ? 1 : 0);
		text += length;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void option_head(const struct option_row *row, char *text, size_t size)
{
	char letter[8] = "    ";

	if (row->letter)
		snprintf(letter, sizeof(letter), "-%c, ", row->letter);
	snprintf(text, size, "%s--%s%s%s", letter, row->name, row->argument ? " " : "",
		row->argument ? row->argument : "");
}

static void print_option(FILE *out, const struct option_row *row)
{
	char head[96];

	option_head(row, head, sizeof(head));
	fprintf(out, "  %-*s", HELP_COLUMN - 4, head);
	if (strlen(head) > HELP_COLUMN - 6)
		fprintf(out, "\n%*s", HELP_COLUMN - 2, "");
	fprintf(out, "%s\n", row->help);
}

static bool row_in(const struct option_row *row, unsigned group)
{
	return row->groups != ~0u && (row->groups & group);
}

static void print_options(FILE *out, unsigned groups)
{
	for (size_t g = 0; g < COUNT_GROUPS; g++) {
		if (!(groups & group_titles[g].group))
			continue;
		fprintf(out, "\n%s:\n", group_titles[g].title);
		for (size_t i = 0; i < option_row_count; i++)
			if (row_in(&option_rows[i], group_titles[g].group))
				print_option(out, &option_rows[i]);
	}
}

static void print_command(FILE *out, const struct command *command)
{
	fprintf(out, "Usage: memsift %s%s%s [OPTIONS]\n\n", command->name,
		*command->operands ? " " : "", command->operands);
	print_wrapped(out, command->details, 0);
	if (command->groups & GROUP_TARGET) {
		fputc('\n', out);
		print_wrapped(out, target_text, 0);
	}
	print_options(out, command->groups);
	fprintf(out, "\nExample:\n  %s\n", command->example);
}

static void print_all(FILE *out)
{
	fprintf(out, "Usage: memsift COMMAND [TARGET...] [OPTIONS]\n\nmemsift ");
	print_wrapped(out, about, 0);
	fprintf(out, "\nCommands:\n");
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputc('\n', out);
	print_wrapped(out, target_text, 0);
	fprintf(out, "\nExit status:\n");
	for (size_t i = 0; i < COUNT_STATUSES; i++)
		fprintf(out, "  %-4s %s\n", statuses[i].status, statuses[i].meaning);
	fprintf(out, "\n`memsift help COMMAND` shows the options of a command.\n");
}

void help_print(FILE *out, const struct command *command)
{
	if (command)
		print_command(out, command);
	else
		print_all(out);
}

/* ---- The man page ----------------------------------------------------------------------- */

/* Text in roff: a backslash and a leading dot or quote mean something there. */
static void roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++)
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
}

static void man_options(FILE *out, unsigned group, const char *title)
{
	fprintf(out, ".SS %s\n", title);
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		char head[96];

		if (!row_in(row, group))
			continue;
		option_head(row, head, sizeof(head));
		fputs(".TP\n.B ", out);
		roff(out, head + strspn(head, " "));
		fputc('\n', out);
		roff(out, row->help);
		fputs(".\n", out);
	}
}

static void man_groups(FILE *out, const struct command *command)
{
	const char *before = "Options: ";

	for (size_t g = 0; g < COUNT_GROUPS; g++) {
		if (!(command->groups & group_titles[g].group))
			continue;
		fprintf(out, "%s\\fI%s\\fR", before, group_titles[g].title);
		before = ", ";
	}
	if (*before == ',')
		fputs(".\n", out);
}

static void man_commands(FILE *out)
{
	fputs(".SH COMMANDS\n", out);
	for (size_t i = 0; i < command_count; i++) {
		fprintf(out, ".SS \"%s %s\"\n", commands[i].name, commands[i].operands);
		roff(out, commands[i].details);
		fputs("\n.PP\n", out);
		man_groups(out, &commands[i]);
		fputs(".PP\n.RS\n.B ", out);
		roff(out, commands[i].example);
		fputs("\n.RE\n", out);
	}
}

static void man_page(FILE *out)
{
	fprintf(out, ".TH MEMSIFT 1 \"\" \"memsift %s\" \"User Commands\"\n", ms_version());
	fputs(".SH NAME\nmemsift \\- look into the memory of running processes\n", out);
	fputs(".SH SYNOPSIS\n.B memsift\n.I COMMAND\n[\\fITARGET\\fR...] [\\fIOPTIONS\\fR]\n", out);
	fputs(".SH DESCRIPTION\n.B memsift\n", out);
	roff(out, about);
	fputs("\n.PP\n", out);
	roff(out, target_text);
	fputc('\n', out);
	man_commands(out);
	fputs(".SH OPTIONS\n", out);
	for (size_t g = 0; g < COUNT_GROUPS; g++)
		man_options(out, group_titles[g].group, group_titles[g].title);
	fputs(".SH \"EXIT STATUS\"\n", out);
	for (size_t i = 0; i < COUNT_STATUSES; i++) {
		fprintf(out, ".TP\n.B %s\n", statuses[i].status);
		roff(out, statuses[i].meaning);
		fputs(".\n", out);
	}
	fputs(".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nIf set, text output has no colour.\n"
	      ".TP\n.B TMPDIR\nWhere compressed files are unpacked (default /tmp).\n"
	      ".TP\n.B MEMSIFT_MEMPROCFS_PATH\nWhere MemProcFS's library is, as "
	      "\\-\\-memprocfs\\-path.\n"
	      ".TP\n.B MEMSIFT_FIND\nForces a search kernel (scalar, sse2, avx2, avx512, neon), "
	      "for tests.\n",
		out);
	fputs(".SH \"SEE ALSO\"\n.BR gcore (1),\n.BR gdb (1),\n.BR proc (5)\n", out);
}

/* ---- Completions ------------------------------------------------------------------------ */

static void option_list(FILE *out, unsigned groups)
{
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].groups & groups)
			fprintf(out, " --%s", option_rows[i].name);
}

/* Whether an option takes a list of words, by commas, rather than one of them. */
static bool is_list(const struct option_row *row)
{
	return strchr(row->argument, ',') != NULL;
}

/* What the options of a command are, and what may stand behind the one in $before. */
static void bash_case(FILE *out, const char *pattern, unsigned groups)
{
	char words[OPTION_WORDS_ROOM];

	fprintf(out, "    %s)\n        options='", pattern);
	option_list(out, groups);
	fputs("'\n        case $before in\n", out);
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (!(row->groups & groups) || !option_words(row, " ", words))
			continue;
		fprintf(out, "        --%s", row->name);
		if (row->letter)
			fprintf(out, "|-%c", row->letter);
		fprintf(out, ") %s='%s' ;;\n", is_list(row) ? "list" : "words", words);
	}
	fputs("        esac ;;\n", out);
}

static void bash_page(FILE *out)
{
	fputs("# bash completion for memsift\n"
	      "_memsift()\n{\n"
	      "    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "    local options= words= list= chosen=\n"
	      "    # bash makes three words of --name=value.\n"
	      "    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD-2]}\n"
	      "    [[ $cur == = ]] && cur=\n"
	      "    case ${COMP_WORDS[1]} in\n",
		out);
	for (size_t i = 0; i < command_count; i++)
		bash_case(out, commands[i].name, commands[i].groups);
	bash_case(out, "*", command_find("collect")->groups);
	fputs("    esac\n"
	      "    if [[ $list && $cur == *,* ]]; then\n"
	      "        chosen=${cur%,*},\n"
	      "    fi\n"
	      "    if [[ $words$list ]]; then\n"
	      "        compopt +o filenames 2>/dev/null # a folder may have the name of a word\n"
	      "        mapfile -t COMPREPLY < <(\n"
	      "            compgen -W \"$words$list\" -P \"$chosen\" -- \"${cur#\"$chosen\"}\")\n"
	      "    elif [[ ($COMP_CWORD -eq 1 || ${COMP_WORDS[1]} == help) && $cur != -* ]]; then\n"
	      "        COMPREPLY=($(compgen -W '",
		out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "%s%s", i ? " " : "", commands[i].name);
	fputs("' -- \"$cur\"))\n"
	      "    elif [[ $cur == -* ]]; then\n"
	      "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
	      "    else\n"
	      "        # compgen -W expands its words like a command line, and a process chooses "
	      "its\n"
	      "        # own name: only harmless ones are offered.\n"
	      "        mapfile -t COMPREPLY < <(\n"
	      "            compgen -f -- \"$cur\"\n"
	      "            compgen -W \"$(grep -hsx '[[:alnum:]_][[:alnum:]_.+-]*' "
	      "/proc/[0-9]*/comm)\" -- "
	      "\"$cur\")\n"
	      "    fi\n}\n"
	      "complete -o filenames -F _memsift memsift\n",
		out);
}

/* Text inside single quotes of zsh's [...] and fish's '...'. */
static void quoted(FILE *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", out);
		else if (strchr("[]:", *text))
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
}

/* What _arguments is told of an option: --name[help], and what its argument is. */
static void zsh_option(FILE *out, const struct option_row *row)
{
	char words[OPTION_WORDS_ROOM];

	fprintf(out, " \\\n        '--%s[", row->name);
	quoted(out, row->help);
	fputc(']', out);
	if (!row->argument)
		;
	else if (!option_words(row, " ", words)) {
		fputc(':', out);
		quoted(out, row->argument);
	} else if (is_list(row))
		fprintf(out, ":%s:_values -s , %s %s", row->name, row->name, words);
	else
		fprintf(out, ":%s:(%s)", row->name, words);
	fputc('\'', out);
}

static void zsh_page(FILE *out)
{
	fputs("#compdef memsift\n_memsift() {\n    local -a commands\n    commands=(\n", out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "        '%s:%s'\n", commands[i].name, commands[i].summary);
	fputs("    )\n    if (( CURRENT == 2 )); then\n"
	      "        _describe command commands\n        return\n    fi\n    case $words[2] in\n",
		out);
	for (size_t i = 0; i < command_count; i++) {
		fprintf(out, "    %s) _arguments", commands[i].name);
		for (size_t k = 0; k < option_row_count; k++)
			if (option_rows[k].groups & commands[i].groups)
				zsh_option(out, &option_rows[k]);
		fputs(" \\\n        '*:target:_files' ;;\n", out);
	}
	fputs("    esac\n}\n_memsift \"$@\"\n", out);
}

static void fish_option(FILE *out, const char *command, const struct option_row *row)
{
	char words[OPTION_WORDS_ROOM];

	fprintf(out, "complete -c memsift -n '__fish_seen_subcommand_from %s' -l %s", command,
		row->name);
	if (row->letter)
		fprintf(out, " -s %c", row->letter);
	if (option_words(row, " ", words))
		fprintf(out, is_list(row) ? " -x -a '(__fish_append , %s)'" : " -x -a '%s'", words);
	else if (row->argument)
		fputs(" -r", out);
	fprintf(out, " -d \"%s\"\n", row->help);
}

static void fish_page(FILE *out)
{
	fputs("# fish completion for memsift\n", out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "complete -c memsift -n __fish_use_subcommand -a %s -d '%s'\n",
			commands[i].name, commands[i].summary);
	for (size_t i = 0; i < command_count; i++)
		for (size_t k = 0; k < option_row_count; k++)
			if (option_rows[k].groups & commands[i].groups)
				fish_option(out, commands[i].name, &option_rows[k]);
}

int cmd_help(struct options *options)
{
	static const struct {
		const char *form;
		void (*print)(FILE *out);
	} forms[] = {{"man", man_page}, {"bash", bash_page}, {"zsh", zsh_page}, {"fish", fish_page},
		{"text", print_all}};
	const char *form = options->as ? options->as : "text";
	const struct command *command = NULL;

	if (options->operand_count) {
		command = command_find(options->operands[0]);
		if (!command) {
			complain("there is no command \"%s\"; `memsift help` lists them",
				options->operands[0]);
			return STATUS_USAGE;
		}
		print_command(stdout, command);
		return STATUS_DONE;
	}
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (strcmp(form, forms[i].form) == 0) {
			forms[i].print(stdout);
			return STATUS_DONE;
		}
	return STATUS_USAGE;
}
