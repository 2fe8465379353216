/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of options: one row each, from which parsing, help, man page and completions come.
 */
#include "cli.h"

#include <getopt.h>

enum { LETTER_BASE = 256, OPTIONS_MAX = 96 };

#define FIELD(name) offsetof(struct options, name)

static void *field(struct options *options, const struct option_row *row)
{
	return (char *)options + row->offset;
}

static int set_flag(struct options *options, const struct option_row *row, const char *value)
{
	(void)value;
	*(bool *)field(options, row) = true;
	return 0;
}

static int set_text(struct options *options, const struct option_row *row, const char *value)
{
	*(const char **)field(options, row) = value;
	return 0;
}

/* One of the words that the row has to choose from: checked when all options are known. */
static int set_word(struct options *options, const struct option_row *row, const char *value)
{
	return set_text(options, row, value);
}

struct option_name {
	char text[40];
};

/* The option as it is typed, for messages. */
static struct option_name typed_name(const struct option_row *row)
{
	struct option_name name;

	snprintf(name.text, sizeof(name.text), "--%s", row->name);
	return name;
}

static int set_number(struct options *options, const struct option_row *row, const char *value)
{
	return ms_parse_number(typed_name(row).text, value, field(options, row));
}

static int set_size(struct options *options, const struct option_row *row, const char *value)
{
	return ms_parse_size(typed_name(row).text, value, 1 << 20, field(options, row));
}

static int set_time(struct options *options, const struct option_row *row, const char *value)
{
	return ms_parse_duration(typed_name(row).text, value, field(options, row));
}

static int set_only(struct options *options, const struct option_row *row, const char *value)
{
	(void)row;
	return ms_filter_set(options->filter, "address", value);
}

static int set_filter(struct options *options, const struct option_row *row, const char *value)
{
	options->filtered = true;
	return ms_filter_set(options->filter, row->name, value);
}

/* Adds an argument for the engine, under the option's name. */
static int add_arg(struct options *options, const struct option_row *row, const char *value)
{
	static const struct {
		const char *option, *key;
	} keys[] = {{"ignore-case", "nocase"}, {"timeout-per-process", "timeout"}};
	struct ms_arg arg = {row->name, value ? value : ""};
	struct ms_arg *grown;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (strcmp(row->name, keys[i].option) == 0)
			arg.key = keys[i].key;
	grown = realloc(options->args, (options->arg_count + 1) * sizeof(*grown));
	if (!grown || options->arg_count >= ARGS_MAX) {
		options->args = grown ? grown : options->args;
		return MS_ERR_MEMORY;
	}
	options->args = grown;
	grown[options->arg_count++] = arg;
	return 0;
}

static int set_profile(struct options *options, const struct option_row *row, const char *value)
{
	options->profile = true;
	return add_arg(options, row, value);
}

static int add_region(struct options *options, const struct option_row *row, const char *value)
{
	const char **grown =
		realloc(options->regions, (options->region_count + 1) * sizeof(*grown));

	(void)row;
	if (!grown)
		return MS_ERR_MEMORY;
	options->regions = grown;
	grown[options->region_count++] = value;
	return 0;
}

static int give_help(struct options *options, const struct option_row *row, const char *value)
{
	(void)row, (void)value;
	help_print(stdout, command_find(options->command));
	return 1;
}

const struct option_row option_rows[] = {
	{"pid", 'p', "LIST", "processes by pid, separated by commas", GROUP_TARGET, set_text,
		FIELD(pids)},
	{"process", 'n', "NAMES",
		"processes by name or as re:EXPRESSION, by commas; \\, is a name's own",
		GROUP_TARGET, set_text, FIELD(names)},
	{"all", 0, NULL, "all processes, except system ones and memsift itself", GROUP_TARGET,
		set_flag, FIELD(all)},
	{"exclude", 0, "LIST", "leave out these names and pids", GROUP_TARGET, set_text,
		FIELD(exclude)},
	{"tree", 0, NULL, "descendants of the chosen processes, too", GROUP_TARGET, set_flag,
		FIELD(tree)},
	{"user", 0, "NAME", "all processes of a user, by name or number", GROUP_TARGET, set_text,
		FIELD(user)},
	{"include-system-processes", 0, NULL, "let --all and --user choose system processes, too",
		GROUP_TARGET, set_flag, FIELD(include_system)},
	{"from", 0, "HOST",
		"where processes live: local, a file (core or raw image), or vmm:DEVICE",
		GROUP_TARGET | GROUP_HOST, set_text, FIELD(from)},
	{"backend", 0, "auto|native|memprocfs", "how memory is reached (default auto)",
		GROUP_TARGET | GROUP_HOST, set_text, FIELD(host.backend)},
	{"device", 0, "NAME",
		"proc: this machine; or a device of MemProcFS, such as fpga or a file",
		GROUP_TARGET | GROUP_HOST, set_text, FIELD(host.device)},
	{"memprocfs-path", 0, "PATH", "MemProcFS's library, or its folder (default: looked for)",
		GROUP_TARGET | GROUP_HOST, set_text, FIELD(host.memprocfs_path)},
	{"dtb", 0, "ADDRESS", "vmm: page tables (CR3), where no system is recognised",
		GROUP_TARGET | GROUP_HOST, set_text, FIELD(host.dtb)},
	{"memmap", 0, "FILE", "vmm: which physical addresses are memory; auto, or a file",
		GROUP_TARGET | GROUP_HOST, set_text, FIELD(host.memmap)},
	{"pagefile", 0, "FILE", "vmm: the machine's pagefile.sys", GROUP_TARGET | GROUP_HOST,
		set_text, FIELD(host.pagefile)},

	{"memory-regions", 0, "heap,stack,code,mapped,other,all", "only these kinds, by commas",
		GROUP_FILTER, set_filter, 0},
	{"perm", 0, "MASK", "only these permissions: rw-, r-x, ??x", GROUP_FILTER, set_filter, 0},
	{"address", 0, "A-B", "only addresses from A up to B (hex); may be repeated", GROUP_FILTER,
		set_filter, 0},
	{"ignore", 0, "A-B", "leave out addresses from A up to B (hex); may be repeated",
		GROUP_FILTER, set_filter, 0},
	{"min-size", 0, "SIZE", "only regions of at least this size", GROUP_FILTER, set_filter, 0},
	{"max-size", 0, "SIZE", "only regions of at most this size", GROUP_FILTER, set_filter, 0},
	{"path", 0, "GLOB", "only mappings whose path or name matches, or is just this ([heap])",
		GROUP_FILTER, set_filter, 0},
	{"include-device", 0, NULL, "device memory, too: reading it may hang or have effects",
		GROUP_FILTER, set_filter, 0},
	{"include-swapped", 0, NULL, "swapped pages, too: reading brings them back into memory",
		GROUP_FILTER, set_filter, 0},

	{"hex", 'x', "PATTERN", "search for bytes with wildcards; may be repeated", GROUP_SEARCH,
		add_arg, 0},
	{"text", 't', "STRING", "search for a text; may be repeated", GROUP_SEARCH, add_arg, 0},
	{"regex", 'e', "RE", "search for a regular expression; may be repeated; not with -t or -x",
		GROUP_SEARCH, add_arg, 0},
	{"ignore-case", 'i', NULL, "ASCII letters of texts and expressions match in either case",
		GROUP_SEARCH, add_arg, 0},
	{"utf16", 0, NULL, "search for the texts as UTF-16LE, too", GROUP_SEARCH, add_arg, 0},
	{"align", 0, "N", "only hits whose address is a multiple of N", GROUP_SEARCH, add_arg, 0},
	{"context", 0, "N", "bytes to show before and after a hit (default 16)",
		GROUP_SEARCH | GROUP_YARA, set_number, FIELD(context)},
	{"min", 0, "N", "at least so many characters (default 4)", GROUP_STRINGS, add_arg, 0},
	{"encoding", 0, "ascii,utf8,utf16le,utf16be", "one or more, by commas (default ascii)",
		GROUP_STRINGS, add_arg, 0},
	{"grep", 0, "RE", "only strings that match, as with grep -E", GROUP_STRINGS, add_arg, 0},
	{"plain", 0, NULL, "only the text, one string a line", GROUP_STRINGS, set_flag,
		FIELD(plain)},
	{"fail-on-hit", 0, NULL, "end with status 1 if anything was found",
		GROUP_SEARCH | GROUP_STRINGS | GROUP_YARA | GROUP_DIFF, set_flag,
		FIELD(fail_on_hit)},

	{"rules", 'r', "FILE", "rules: a source or compiled file, or a folder; may be repeated",
		GROUP_YARA, add_arg, 0},
	{"rule", 0, "TEXT", "rules as they are; may be repeated", GROUP_YARA, add_arg, 0},
	{"define", 'd', "VAR=VALUE", "an external variable; may be repeated", GROUP_YARA, add_arg,
		0},
	{"tag", 't', "TAG", "only rules with this tag", GROUP_YARA, add_arg, 0},
	{"identifier", 'i', "NAME", "only the rule of this name", GROUP_YARA, add_arg, 0},
	{"print-meta", 'm', NULL, "text: show metadata", GROUP_YARA, set_flag, FIELD(print_meta)},
	{"print-tags", 'g', NULL, "text: show tags", GROUP_YARA, set_flag, FIELD(print_tags)},
	{"print-strings", 's', NULL, "text: show each match", GROUP_YARA, set_flag,
		FIELD(print_strings)},
	{"print-namespace", 'e', NULL, "text: show namespaces", GROUP_YARA, set_flag,
		FIELD(print_namespace)},
	{"timeout-per-process", 'a', "SECONDS", "evaluate one process for at most so long",
		GROUP_YARA, add_arg, 0},
	{"keep-going", 0, NULL, "leave out rule files with errors", GROUP_YARA, add_arg, 0},
	{"no-prefilter", 0, NULL, "let libyara itself go through all memory", GROUP_YARA, add_arg,
		0},
	{"profile", 0, NULL, "tell what each rule cost: places verified, matches, targets",
		GROUP_YARA, set_profile, FIELD(profile)},
	{"dump-on-hit", 0, "region|process", "dump the region or the process that was hit",
		GROUP_YARA, set_word, FIELD(dump_on_hit)},

	{"type", 0, "i8|i16|i32|i64|u8|u16|u32|u64|f32|f64|bytes", "of the value (default i32)",
		GROUP_SCAN, set_text, FIELD(type)},
	{"value", 0, "V", "first scan for this value, or for a comparison such as '> 5'",
		GROUP_SCAN, set_text, FIELD(value)},
	{"range", 0, "A..B", "first scan for values from A to B", GROUP_SCAN, set_text,
		FIELD(range)},
	{"unknown", 0, NULL, "first scan for any value", GROUP_SCAN, set_flag, FIELD(unknown)},
	{"next", 0, "CONDITION", "keep the matches for which this holds now", GROUP_SCAN, set_text,
		FIELD(next)},
	{"undo", 0, NULL, "back to before the last --next", GROUP_SCAN, set_flag, FIELD(undo)},
	{"list", 0, NULL, "list the matches, with their values now and at the last scan",
		GROUP_SCAN, set_flag, FIELD(list)},
	{"count", 0, NULL, "tell how many matches there are", GROUP_SCAN, set_flag, FIELD(count)},
	{"unaligned", 0, NULL, "values at any address, not only at multiples of their size",
		GROUP_SCAN, set_flag, FIELD(unaligned)},
	{"tolerance", 0, "N", "f32 and f64: values that differ by no more are equal", GROUP_SCAN,
		set_text, FIELD(tolerance)},
	{"session", 0, "FILE", "where matches are kept (default memsift-PID.scan)", GROUP_SCAN,
		set_text, FIELD(session)},

	{"bytes", 0, "N", "bytes of old and new to show of a change (default 64, at most 4096)",
		GROUP_DIFF, set_number, FIELD(bytes)},

	{"interval", 0, "TIME", "time from round to round (default 1s)", GROUP_WATCH, set_time,
		FIELD(interval_ns)},
	{"rounds", 0, "N", "end after so many rounds", GROUP_WATCH, set_number, FIELD(rounds)},
	{"method", 0, "auto|dirty|soft-dirty|compare",
		"auto (default); dirty: the kernel tells; soft-dirty: the same, only by soft-dirty "
		"bits; "
		"compare: read all each time",
		GROUP_WATCH, set_word, FIELD(method)},
	{"only", 0, "A-B", "only addresses from A up to B, as --address; may be repeated",
		GROUP_WATCH, set_only, 0},
	{"stats", 0, NULL, "in the end, tell which pages and values changed how often and how",
		GROUP_WATCH, set_flag, FIELD(stats)},
	{"on-change", 0, "CMD", "run a shell command after each round with changes", GROUP_WATCH,
		set_text, FIELD(on_change)},
	{"dump-on", 0, "exec", "dump a region that becomes executable", GROUP_WATCH, set_word,
		FIELD(dump_on)},

	{"raw", 0, NULL, "write the bytes as they are", GROUP_READ, set_flag, FIELD(raw)},

	{"as", 0, "core|raw",
		"core (default), or raw: a file for each stretch, address in its name", GROUP_DUMP,
		set_word, FIELD(as)},
	{"region", 0, "ADDRESS:SIZE", "only this part; may be repeated; implies --as raw",
		GROUP_DUMP, add_region, 0},
	{"compress", 0, "zstd", "compress the dump or the session",
		GROUP_DUMP | GROUP_COLLECT | GROUP_SCAN | GROUP_SNAPSHOT, set_word,
		FIELD(compress)},
	{"hash-only", 0, NULL, "keep a hash of each page, not its bytes", GROUP_SNAPSHOT, set_flag,
		FIELD(hash_only)},
	{"pause", 0, "none|freeze|fork",
		"none (default); freeze: stop it meanwhile; fork: read a twin of this moment",
		GROUP_DUMP | GROUP_COLLECT | GROUP_SNAPSHOT | GROUP_DIFF, set_word, FIELD(pause)},

	{"dump-process-memory", 0, NULL, "dump each target", GROUP_COLLECT, set_flag,
		FIELD(dump_memory)},
	{"memory-search", 0, "PATTERN", "search for a hex pattern", GROUP_COLLECT, set_text,
		FIELD(memory_search)},
	{"memory-yara", 0, "RULE", "evaluate YARA rules: a file, a folder or the text",
		GROUP_COLLECT, set_text, FIELD(memory_yara)},
	{"dump-memory-region", 0, "PID:ADDRESS:SIZE", "dump this part; may be repeated",
		GROUP_COLLECT, add_region, 0},

	{"timeout", 0, "TIME", "end after this time (250ms, 30s, 5m), keeping what was found",
		GROUP_LIMIT, set_time, FIELD(timeout_ns)},
	{"max-memory-size", 0, "SIZE", "read at most so much in all (in MB, or with K, M, G)",
		GROUP_LIMIT, set_size, FIELD(bytes_max)},
	{"max-process-size", 0, "SIZE", "read at most so much of one process", GROUP_LIMIT,
		set_size, FIELD(process_bytes_max)},
	{"max-hits", 0, "N", "end after so many hits", GROUP_LIMIT, set_number, FIELD(hits_max)},
	{"threads", 0, "N", "threads to use (default: one a core)", GROUP_LIMIT, set_number,
		FIELD(threads)},

	{"format", 'f', "text|json|ndjson|csv", "how results are written (default text)",
		GROUP_OUTPUT, set_word, FIELD(format)},
	{"output", 'o', "FILE",
		"write to a file; dump, snapshot: or to a folder; collect: to a folder",
		GROUP_OUTPUT, set_text, FIELD(output)},
	{"force", 0, NULL, "replace files that exist", GROUP_OUTPUT, set_flag, FIELD(force)},
	{"color", 0, "auto|always|never", "whether text has colours (default auto)", GROUP_OUTPUT,
		set_word, FIELD(colour)},
	{"quiet", 'q', NULL, "no progress and no remarks on stderr", GROUP_OUTPUT, set_flag,
		FIELD(quiet)},
	{"as", 0, "text|man|bash|zsh|fish", "what to write (default text)", GROUP_HELP, set_word,
		FIELD(as)},
	{"help", 'h', NULL, "show this help", ~0u, give_help, 0},
};

const size_t option_row_count = sizeof(option_rows) / sizeof(*option_rows);

bool option_words(
	const struct option_row *row, const char *between, char ret_words[OPTION_WORDS_ROOM])
{
	const char *from = row->argument;
	size_t length = 0;

	if (!from || *from < 'a' || *from > 'z')
		return false;
	for (; *from && length + strlen(between) + 1 < OPTION_WORDS_ROOM; from++) {
		if (*from == '|' || *from == ',')
			length += (size_t)sprintf(ret_words + length, "%s", between);
		else
			ret_words[length++] = *from;
	}
	ret_words[length] = '\0';
	return true;
}

/* Makes getopt's tables of the rows that a command takes; returns the number of rows. */
static size_t getopt_tables(unsigned groups, struct option *longs, char *shorts)
{
	size_t count = 0;

	*shorts++ = ':';
	for (size_t i = 0; i < option_row_count && count < OPTIONS_MAX - 1; i++) {
		const struct option_row *row = &option_rows[i];

		if (!(row->groups & groups))
			continue;
		longs[count++] =
			(struct option){row->name, row->argument ? required_argument : no_argument,
				NULL, LETTER_BASE + (int)i};
		if (row->letter)
			*shorts++ = row->letter;
		if (row->letter && row->argument)
			*shorts++ = ':';
	}
	*shorts = '\0';
	longs[count] = (struct option){0};
	return count;
}

static const struct option_row *row_of(int code, unsigned groups)
{
	if (code >= LETTER_BASE)
		return &option_rows[code - LETTER_BASE];
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].letter == code && (option_rows[i].groups & groups))
			return &option_rows[i];
	return NULL;
}

static int usage_error(const struct command *command, int code, char **argv)
{
	const char *word = argv[optind - 1];

	if (code == ':')
		complain(
			"%s needs an argument; `memsift help %s` tells which", word, command->name);
	else if (optopt && optopt < LETTER_BASE)
		complain("%s: there is no option -%c; `memsift help %s` lists them", command->name,
			optopt, command->name);
	else
		complain("%s: %s is not an option here, or not spelt out; `memsift help %s` lists "
			 "them",
			command->name, word, command->name);
	return STATUS_USAGE;
}

/* Whether a word is one of those that an option has to choose from. */
static bool is_word_of(const struct option_row *row, const char *word)
{
	size_t length = strlen(word), at = 0, next;

	for (;; at = next + 1) {
		next = at + strcspn(row->argument + at, "|");
		if (next - at == length && memcmp(row->argument + at, word, length) == 0)
			return true;
		if (!row->argument[next])
			return false;
	}
}

static int check_words(struct options *options, unsigned groups)
{
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		char words[OPTION_WORDS_ROOM];
		const char *word;

		if (row->set != set_word || !(row->groups & groups))
			continue;
		word = *(const char **)field(options, row);
		if (!word || is_word_of(row, word))
			continue;
		option_words(row, ", ", words);
		complain(strchr(row->argument, '|') ? "--%s %s: this is none of %s"
						    : "--%s %s: only %s is known",
			row->name, word, words);
		return STATUS_USAGE;
	}
	if (options->output && !*options->output)
		complain("--output: the name is empty");
	else if (options->threads > 256)
		complain("--threads: at most 256");
	else
		return STATUS_DONE;
	return STATUS_USAGE;
}

/* Whether 0 would stand for the default, which nobody who says 0 means. */
static bool is_positive(const struct option_row *row)
{
	return (row->groups & (GROUP_LIMIT | GROUP_WATCH | GROUP_DIFF)) &&
	       (row->set == set_number || row->set == set_size || row->set == set_time);
}

int options_parse(struct options *options, const struct command *command, int argc, char **argv)
{
	struct option longs[OPTIONS_MAX];
	char shorts[2 * OPTIONS_MAX + 2];
	int code;

	options->context = 16;
	if (ms_filter_new(&options->filter) < 0)
		return fail(MS_ERR_MEMORY);
	/* GROUP_HELP marks the rows that only `help` takes; --help itself is everywhere. */
	getopt_tables(command->groups, longs, shorts);
	opterr = 0;
	optind = 1;
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_row *row = NULL;
		int r;

		if (code != ':' && code != '?')
			row = row_of(code, command->groups);
		if (!row)
			return usage_error(command, code, argv);
		r = row->set(options, row, optarg);
		if (r > 0)
			return -1;
		if (r < 0)
			return fail(r);
		if (is_positive(row) && !*(const uint64_t *)field(options, row))
			return complain("--%s: 0 makes no sense; leave the option out for the "
					"default",
				       row->name),
			       STATUS_USAGE;
	}
	options->operands = argv + optind;
	options->operand_count = argc - optind;
	return check_words(options, command->groups);
}

void options_done(struct options *options)
{
	ms_filter_free(options->filter);
	free(options->args);
	free(options->regions);
	free(options->backend);
	free(options->why);
	for (size_t i = 0; i < options->fault_count; i++) {
		free(options->faults[i].what);
		free(options->faults[i].why);
	}
	free(options->faults);
}
