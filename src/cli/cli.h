/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program around the library: commands, options, where output goes, and how it all ends.
 * Nothing here knows how memory is read; everything goes through memsift.h.
 *
 * To add a command:
 *  1. Write cmd_NAME.c with `int cmd_NAME(struct options *options)`, returning an exit status.
 *  2. Add its row to the table in commands.c, and rows for its options to the one in opt.c; help,
 *     man page and shell completions come from those two tables.
 *  3. Run `ninja -C build man` and add a golden test under tests/cli.
 */
#ifndef MS_CLI_CLI_H
#define MS_CLI_CLI_H

#include "memsift_track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum exit_status {
	STATUS_DONE = 0,
	STATUS_HITS = 1,
	STATUS_USAGE = 2,
	STATUS_PARTIAL = 3,
	STATUS_TARGET = 4,
	STATUS_OUTPUT = 5,
	STATUS_INTERRUPTED = 130,
};

enum { ARGS_MAX = 100000 };

/* A target that is not there, or not what it should be. */
struct fault {
	char *what, *why;
};

/* Everything that can be said on the command line. */
struct options {
	const char *command;
	int argc;
	char **argv; /* the whole command line, for the record */
	char **operands;
	int operand_count;

	/* targets */
	const char *pids, *names, *exclude, *user;
	bool all, tree, include_system;
	bool listed; /* set by commands that list processes, and do not look into them */
	bool brief;  /* set by commands that need little of the processes themselves */
	ms_filter *filter;
	bool filtered; /* something was said of the filter */

	/* where memory is */
	const char *from;
	struct ms_host_options host;
	char *backend, *why;  /* what it came to, and why; NULL until a host was opened */
	struct fault *faults; /* what was wrong with targets so far */
	size_t fault_count;

	/* limits */
	uint64_t timeout_ns, bytes_max, process_bytes_max, threads, hits_max;

	/* output */
	const char *format, *output, *colour;
	bool force, quiet, fail_on_hit;

	/* of single commands */
	const char *method, *on_change, *dump_on; /* watch */
	uint64_t interval_ns, rounds;
	bool stats;
	struct ms_arg *args; /* search and strings: for the engine */
	size_t arg_count;
	uint64_t context;
	bool raw, plain;
	const char *as, *compress, *pause;
	const char **regions; /* dump: ADDRESS:SIZE; collect: PID:ADDRESS:SIZE */
	size_t region_count;
	bool dump_memory;
	const char *memory_search;
	const char *type, *value, *range, *next, *session, *tolerance; /* scan */
	bool unknown, undo, list, count, unaligned;
	bool print_meta, print_tags, print_strings, print_namespace, profile; /* yara */
	const char *dump_on_hit, *memory_yara;
	bool hash_only; /* snapshot */
	uint64_t bytes; /* diff */
};

/* Groups of options; a command takes some of them. */
enum {
	GROUP_TARGET = 1,
	GROUP_FILTER = 2,
	GROUP_LIMIT = 4,
	GROUP_OUTPUT = 8,
	GROUP_SEARCH = 16,
	GROUP_DUMP = 32,
	GROUP_READ = 64,
	GROUP_COLLECT = 128,
	GROUP_HELP = 256,
	GROUP_STRINGS = 512,
	GROUP_SCAN = 1024,
	GROUP_YARA = 1 << 15,
	GROUP_HOST = 1 << 16,
	GROUP_SNAPSHOT = 2048,
	GROUP_DIFF = 4096,
	GROUP_WATCH = 8192,
};

struct command {
	const char *name;
	const char *operands; /* as the usage line shows them */
	const char *summary;  /* one line */
	const char *details;  /* a paragraph or two for help and man page */
	const char *example;
	unsigned groups;
	int (*run)(struct options *options);
};

extern const struct command commands[];
extern const size_t command_count;
const struct command *command_find(const char *name);

struct option_row {
	const char *name;
	char letter;
	/*
	 * NULL: none. In lower case, the words there are to choose from: "none|freeze|fork" for
	 * one of them, "ascii,utf8" for a list.
	 */
	const char *argument;
	const char *help;
	unsigned groups;
	int (*set)(struct options *options, const struct option_row *row, const char *value);
	size_t offset; /* of the field in struct options */
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* The words to choose from with something else between them; false if an option has none. */
enum { OPTION_WORDS_ROOM = 128 };
bool option_words(
	const struct option_row *row, const char *between, char ret_words[OPTION_WORDS_ROOM]);

/* Reads the options behind a command's name; 0, or an exit status after saying what is wrong. */
int options_parse(struct options *options, const struct command *command, int argc, char **argv);
void options_done(struct options *options);

/* Prints the help of a command, or of all, in text or as the man page. */
void help_print(FILE *out, const struct command *command);

/* ---- Messages (stderr) ---- */

/* Makes question marks of control characters, but for the indented lines under a message. */
void text_harmless(char *text);

/* "memsift: ..." with control characters made harmless. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says ms_error() and returns the exit status that goes with a library status. */
int fail(int status);
int status_of(int status);

/* ---- Targets ---- */

/* Opens the host that the options ask for, notes what it is, and says so where it was a choice. */
int host_open(struct options *options, ms_host **ret_host);

struct target_group {
	ms_host *host;
	const struct ms_process *list;
	size_t count;
};

struct targets {
	struct target_group *groups;
	size_t group_count, process_count;
	size_t missing; /* named, but not there */
};

/* Says ms_error() of the only target, in a document, too, and returns the exit status. */
int target_fail(struct options *options, const char *what, int status);

/*
 * Finds what the command line names; 0, or an exit status after saying what is wrong, in a
 * document as well where one is wanted.
 */
int targets_open(struct options *options, struct targets *ret_targets);
void targets_close(struct targets *targets);

/* ---- Output (stdout or -o FILE) ---- */

struct output {
	ms_exporter *exporter;
	struct ms_sink sink;
	ms_file *file; /* NULL: stdout */
	bool closed;   /* the reader of a pipe went away: end quietly */
	bool failed;
	bool text;
	unsigned holds; /* while there are any, what would go to stdout is kept: */
	char *held;
	size_t held_size;
	int64_t started;
	uint64_t started_ns;
};

/* What is said in the end. */
struct summary {
	uint64_t targets, hits, findings, bytes_read;
	bool searched; /* hits were looked for */
	bool partial;
	int status; /* an exit status found on the way; the greatest counts */
};

/* Opens the output, writes the meta record and what is wrong with targets; 0 or an exit status. */
int output_open(struct output *output, const struct options *options);

/* The document of a run without any target, unless the format is for people; its exit status. */
int output_faults(const struct options *options, int status);

/* Writes bytes as they are, between records. */
int output_bytes(struct output *output, const void *data, size_t size);

/* Hands the record of type "meta" to a sink: the facts of the run. ended: 0 while it goes on. */
int meta_put(
	const struct ms_sink *sink, const struct options *options, int64_t started, int64_t ended);

int output_record(
	struct output *output, const struct ms_schema *schema, const struct ms_value *values);
int output_error(struct output *output, uint32_t pid, const char *what, const char *why);

/*
 * Keeps what would go to stdout until each of these has been ended: its reader may be a process
 * that is stopped meanwhile, and to wait for that would be for ever.
 */
void output_hold(struct output *output);
void output_release(struct output *output);

/* Writes the summary record, gives the file its name, and returns the exit status. */
int output_close(struct output *output, const struct options *options, struct summary *summary);

/* The end of what goes to stdout without an output, such as help: the status, or STATUS_OUTPUT. */
int stdout_close(int status);

struct ms_value text_value(const char *text);
struct ms_value number_value(uint64_t number);
struct ms_value address_value(uint64_t address);

/* ---- Running ---- */

/* Catches interrupts, so that what was found is kept and files are whole. */
void signals_catch(void);
bool interrupted(void);

/* The same for the library, which gives it a context. */
bool job_cancelled(void *ctx);

/* The job that the options ask for, with progress on stderr and interrupts heeded. */
struct ms_job job_make(const struct options *options);

/* What --pause asks for. */
enum ms_pause pause_of(const struct options *options);

/* Narrows a job to what the limits leave after what was done since; false when no bytes are. */
bool job_rest(struct ms_job *job, uint64_t bytes_read, uint64_t started_ns);

/* The line that tells on stderr how far a job is; from its second second on. ctx is not used. */
void progress_show(void *ctx, const struct ms_progress *progress);
void progress_clear(void);

/* What a total of the library means for the summary. */
void summary_add(
	struct summary *summary, const struct options *options, const struct ms_total *total);

/* Runs an engine over all targets and writes what it finds; frees the engine. */
int search_run(struct options *options, ms_engine *engine);

/* How a command takes what a search finds, where it does more than write it. */
struct searcher {
	/* Takes each record; NULL: the output does. */
	int (*record)(void *ctx, struct output *output, const struct ms_record *record);

	/* The targets of a group are done; may be NULL. */
	void (*group_done)(void *ctx, struct output *output, const struct target_group *group,
		struct summary *summary);

	/* All targets are done; may be NULL. */
	void (*finish)(void *ctx, struct output *output, const ms_engine *engine);
	void *ctx;
	bool partial;	       /* something was left out before the search began */
	struct output *output; /* set by search_run_with() */
};

int search_run_with(struct options *options, ms_engine *engine, struct searcher *searcher);

/* Makes an engine of YARA rules; 0 or an exit status after saying what is wrong. */
int yara_new(const struct ms_arg *args, size_t count, ms_engine **ret_engine);

/* Says what the engine has to tell of its rules; *ret_errors: some were left out. */
void yara_notes_tell(const ms_engine *engine, const struct options *options, bool *ret_errors);

/* Notes that one of several targets failed, unless it is the only one. */
void summary_fail(struct summary *summary, int status);

/* "NAME.PID", with a name that is safe in a file name; to be freed. */
char *file_stem(const struct ms_process *process);

/* Stems that were given out: two dumps of one process, say, have the same name and pid. */
struct stems {
	char **names;
	size_t count;
};

/* The stem of a process, or "NAME.PID-2" and so on where that was given out; to be freed. */
char *stem_take(struct stems *stems, const struct ms_process *process);
void stems_done(struct stems *stems);

/* "ADDRESS:SIZE" */
int region_spec_parse(const char *what, const char *text, uint64_t *ret_base, uint64_t *ret_size);

/* Adds the address range of a spec to the filter. */
int filter_add_range(ms_filter *filter, uint64_t base, uint64_t size);

/* Writes "NAME.PID.YYYYMMDDTHHMMSSZ"'s time part. */
void time_compact(int64_t time, char ret_text[17]);
void time_iso(int64_t time, char ret_text[32]);
int64_t time_now(void);
uint64_t clock_now_ns(void);

#endif
