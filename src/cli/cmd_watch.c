/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rounds of a detector, until something ends them: the user, the target, a limit, or whoever read
 * the output and went away, which is looked for between rounds, too, as a quiet target would
 * never show it.
 */
#include "cli.h"
#include "commands.h"
#include "watch_screen.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { DUMPS_MAX = 64, STATS_SHOWN = 100, SECOND_NS = 1000000000 };

/* Columns of a change record, in the order of docs/records.md. */
enum { COL_ADDRESS = 4, COL_CHANGE = 8, COL_START = 9, COL_END, COL_PERM, COL_OLD_PERM = 14 };

struct watching {
	const struct options *options;
	struct output *output;
	struct summary *summary;
	ms_source *source;
	ms_detector *detector;
	struct screen *screen;
	uint64_t until_ns, interval_ns;
	uint64_t first_address; /* of the round's changes */
	uint64_t told;		/* changes of the round */
	struct {
		uint64_t base, size;
	} dumps[DUMPS_MAX];
	size_t dump_count;
};

/* ---- Changes ---------------------------------------------------------------------------- */

static bool has_letter(const struct ms_value *perm, char letter)
{
	return perm->present && memchr(perm->v.data, letter, perm->size);
}

/* Notes a region that has become executable. */
static void note_dump(struct watching *watching, const struct ms_value *values)
{
	const char *change = values[COL_CHANGE].v.data;

	if (!watching->options->dump_on || *change == 'w' || *change == 'u' ||
		!has_letter(&values[COL_PERM], 'x') || has_letter(&values[COL_OLD_PERM], 'x'))
		return;
	if (watching->dump_count == DUMPS_MAX) {
		complain("more than %d regions became executable at once; some are not dumped",
			DUMPS_MAX);
		return;
	}
	watching->dumps[watching->dump_count].base = values[COL_START].v.u;
	watching->dumps[watching->dump_count++].size = values[COL_END].v.u - values[COL_START].v.u;
}

static int take_change(void *ctx, const struct ms_record *record)
{
	struct watching *watching = ctx;
	uint64_t max = watching->options->hits_max;

	if (max && watching->summary->hits >= max)
		return 1;
	if (!watching->told++)
		watching->first_address = record->values[COL_ADDRESS].v.u;
	watching->summary->hits++;
	note_dump(watching, record->values);
	if (watching->screen) {
		screen_take(watching->screen, record);
		return 0;
	}
	return watching->output->sink.record(watching->output->sink.ctx, record);
}

static void wrote(void *ctx, const char *path, uint64_t size, const char *sha256)
{
	struct watching *watching = ctx;

	(void)size, (void)sha256;
	if (!watching->screen)
		complain("%s was dumped, as it became executable", path);
}

/* Dumps one region to a file whose name begins with `prefix`. */
static int dump_region(struct watching *watching, size_t i, const char *prefix)
{
	struct ms_coverage coverage;
	struct ms_dump dump = {
		.size = sizeof(dump),
		.path = ".",
		.format = MS_DUMP_RAW,
		.file_flags = watching->options->force ? MS_FILE_FORCE : 0,
		.wrote = wrote,
		.ctx = watching,
		.prefix = prefix,
	};
	ms_filter *filter = NULL;
	int r = ms_filter_new(&filter);

	if (r == 0)
		r = filter_add_range(filter, watching->dumps[i].base, watching->dumps[i].size);
	dump.filter = filter;
	if (r == 0)
		r = ms_source_dump(watching->source, &dump, &coverage);
	ms_filter_free(filter);
	return r;
}

static void dump_noted(struct watching *watching, uint64_t round)
{
	char *stem = file_stem(ms_source_process(watching->source)), *again = NULL;

	/* What unpacks itself in steps makes the same region executable more than once. */
	if (stem && asprintf(&again, "%s.round%llu", stem, (unsigned long long)round) < 0)
		again = NULL;
	for (size_t i = 0; i < watching->dump_count && again; i++) {
		int r = dump_region(watching, i, stem);

		if (r == MS_ERR_EXISTS)
			r = dump_region(watching, i, again);
		if (r < 0) {
			complain("%s", ms_error());
			watching->summary->partial = true;
		}
	}
	free(again);
	free(stem);
	watching->dump_count = 0;
}

/* Runs the user's command and waits for it; what it prints goes to stderr. */
static void run_command(struct watching *watching, const struct ms_round *round)
{
	char *argv[] = {"sh", "-c", (char *)watching->options->on_change, NULL};
	posix_spawn_file_actions_t actions;
	char text[32];
	pid_t pid;
	int errnum;

	snprintf(text, sizeof(text), "%u", ms_source_process(watching->source)->pid);
	setenv("MEMSIFT_PID", text, 1);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)round->number);
	setenv("MEMSIFT_ROUND", text, 1);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)watching->told);
	setenv("MEMSIFT_CHANGES", text, 1);
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)watching->first_address);
	setenv("MEMSIFT_ADDRESS", text, 1);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	errnum = posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (errnum) {
		complain("--on-change: /bin/sh: %s", strerror(errnum));
		return;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- Rounds ----------------------------------------------------------------------------- */

/* Whether --timeout has ended it, which is a limit like others. */
static bool is_over(const struct watching *watching)
{
	if (!watching->until_ns || clock_now_ns() < watching->until_ns)
		return false;
	if (!watching->summary->partial && !watching->options->quiet && !watching->screen)
		complain("stopped after the time that --timeout says");
	watching->summary->partial = true;
	return true;
}

/* Waits for the next round; false when there is to be none. */
static bool wait_for_round(struct watching *watching, uint64_t next_ns)
{
	struct pollfd out = {.fd = watching->output->file ? -1 : STDOUT_FILENO};
	uint64_t now = clock_now_ns();

	if (watching->until_ns && next_ns > watching->until_ns)
		next_ns = watching->until_ns;
	if (watching->screen) {
		if (now < next_ns && screen_wait(watching->screen, next_ns - now))
			return false;
	} else {
		while (!interrupted() && (now = clock_now_ns()) < next_ns) {
			struct timespec left = {.tv_sec = (time_t)((next_ns - now) / SECOND_NS),
				.tv_nsec = (long)((next_ns - now) % SECOND_NS)};

			if (ppoll(&out, 1, &left, NULL) > 0 && (out.revents & POLLERR)) {
				watching->output->closed = watching->output->failed = true;
				return false;
			}
		}
	}
	return !interrupted() && !is_over(watching);
}

/* One round and what follows from it; a library status. */
static int run_round(struct watching *watching, struct ms_round *ret_round)
{
	struct ms_sink sink = {take_change, watching};
	int r;

	watching->told = 0;
	r = ms_detector_detect(watching->detector, true, &sink, ret_round);
	if (r < 0)
		return r;
	watching->summary->bytes_read += ret_round->bytes_read;
	if (watching->screen)
		screen_draw(watching->screen, watching->detector, ret_round);
	else if (ms_exporter_flush(watching->output->exporter) < 0)
		return MS_ERR_STOPPED;
	dump_noted(watching, ret_round->number);
	if (watching->told && watching->options->on_change)
		run_command(watching, ret_round);
	return 0;
}

static int run_rounds(struct watching *watching)
{
	const struct options *options = watching->options;
	uint64_t next_ns = clock_now_ns() + watching->interval_ns;
	struct ms_round round = {0};
	int r = 0;

	while (r == 0 && wait_for_round(watching, next_ns)) {
		r = run_round(watching, &round);
		if (options->rounds && round.number >= options->rounds)
			break;
		if (options->hits_max && watching->summary->hits >= options->hits_max) {
			watching->summary->partial = true;
			break;
		}
		/* A round that took longer than the interval does not make the next ones hurry. */
		next_ns += watching->interval_ns;
		if (next_ns < clock_now_ns())
			next_ns = clock_now_ns();
	}
	return r;
}

/* ---- Begin and end ---------------------------------------------------------------------- */

/* There is but one process, so the lesser of the two limits is the one that counts; 0: none. */
static uint64_t bytes_max_of(const struct options *options)
{
	uint64_t all = options->bytes_max, one = options->process_bytes_max;

	return !all || (one && one < all) ? one : all;
}

static void say_method(const struct watching *watching)
{
	struct ms_detector_info info;
	char size[32];

	ms_detector_info(watching->detector, &info);
	if (watching->options->quiet)
		return;
	if (info.watched < 1048576)
		snprintf(size, sizeof(size), "%.0f KiB", (double)info.watched / 1024);
	else
		snprintf(size, sizeof(size), "%.1f MiB", (double)info.watched / 1048576);
	if (info.method == MS_METHOD_SOFT_DIRTY)
		complain("watching %s by soft-dirty bits%s%s", size, info.why ? ": " : "",
			info.why ? info.why : "");
	else if (info.method == MS_METHOD_DIRTY)
		complain("watching %s by dirty tracking; the target was stopped for %.2f ms", size,
			(double)info.stop_ns / 1e6);
	else
		complain("watching %s by comparing%s%s", size, info.why ? ": " : "",
			info.why ? info.why : "");
	if (info.method != MS_METHOD_COMPARE && info.compared)
		complain("%.0f KiB of that are compared: shared, or impossible to track",
			(double)info.compared / 1024);
	if (info.limited)
		complain("--%s leaves no room for all of it; the rest is not watched",
			bytes_max_of(watching->options) == watching->options->bytes_max
				? "max-memory-size"
				: "max-process-size");
}

static void tell_stat(const struct watching *watching, const struct ms_change_stat *stat, bool page)
{
	static const struct ms_column columns[] = {{"pid", MS_TYPE_U64}, {"process", MS_TYPE_TEXT},
		{"scope", MS_TYPE_TEXT}, {"address", MS_TYPE_ADDRESS}, {"size", MS_TYPE_U64},
		{"count", MS_TYPE_U64}, {"first_round", MS_TYPE_U64}, {"last_round", MS_TYPE_U64},
		{"pattern", MS_TYPE_TEXT}, {"value", MS_TYPE_U64}};
	static const struct ms_schema schema = {"change_stat", 10, columns};
	const struct ms_process *process = ms_source_process(watching->source);
	struct ms_value value = number_value(stat->value);
	char line[160];
	int n;

	value.present = !page;
	const struct ms_value values[] = {number_value(process->pid), text_value(process->name),
		text_value(page ? "page" : "value"), address_value(stat->address),
		number_value(stat->size), number_value(stat->count),
		number_value(stat->first_round), number_value(stat->last_round),
		text_value(stat->pattern), value};

	if (!watching->output->text) {
		output_record(watching->output, &schema, values);
		return;
	}
	n = snprintf(line, sizeof(line), "%-5s 0x%012llx %5llu bytes  changed %llu time%s%s%s\n",
		page ? "page" : "value", (unsigned long long)stat->address,
		(unsigned long long)stat->size, (unsigned long long)stat->count,
		stat->count == 1 ? "" : "s", stat->pattern ? "  " : "",
		stat->pattern ? stat->pattern : "");
	output_bytes(watching->output, line, (size_t)n);
}

static void tell_stats(const struct watching *watching)
{
	const struct ms_change_stat *list;
	size_t count;

	for (int page = 1; page >= 0; page--) {
		if (ms_detector_stats(watching->detector, page, STATS_SHOWN, &list, &count) < 0)
			return;
		for (size_t i = 0; i < count; i++)
			tell_stat(watching, &list[i], page);
	}
}

static enum ms_method method_of(const struct options *options)
{
	static const struct {
		const char *name;
		enum ms_method method;
	} methods[] = {{"dirty", MS_METHOD_DIRTY}, {"soft-dirty", MS_METHOD_SOFT_DIRTY},
		{"compare", MS_METHOD_COMPARE}};

	for (size_t i = 0; options->method && i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(options->method, methods[i].name) == 0)
			return methods[i].method;
	return MS_METHOD_AUTO;
}

static bool wants_screen(const struct options *options)
{
	return !options->format && !options->output && isatty(STDOUT_FILENO) &&
	       isatty(STDIN_FILENO);
}

static int watch(struct watching *watching, const struct ms_process *process, ms_host *host)
{
	const struct options *options = watching->options;
	bool screen = wants_screen(options);
	struct ms_detector_options wanted = {
		.size = sizeof(wanted),
		.method = method_of(options),
		.filter = options->filter,
		.bytes_max = bytes_max_of(options),
		.statistics = options->stats || screen,
	};
	struct ms_detector_info info;
	int r = ms_source_open_process(host, process, &watching->source);

	if (r == 0)
		r = ms_detector_new(watching->source, &wanted, &watching->detector);
	if (r == 0)
		r = ms_detector_initialize(watching->detector);
	if (r < 0)
		return r;
	watching->summary->targets++;
	say_method(watching);
	if (screen)
		watching->screen = screen_open(process, watching->interval_ns);
	r = run_rounds(watching);
	ms_detector_info(watching->detector, &info);
	watching->summary->partial |= info.limited;
	screen_close(watching->screen);
	watching->screen = NULL;
	if (options->stats && !watching->output->failed)
		tell_stats(watching);
	return r;
}

static int watch_one(const struct options *options, const struct target_group *group)
{
	const struct ms_process *process = &group->list[0];
	struct summary summary = {.searched = true};
	struct output output;
	struct watching watching = {
		.options = options,
		.output = &output,
		.summary = &summary,
		.interval_ns = options->interval_ns ? options->interval_ns : SECOND_NS,
		.until_ns = options->timeout_ns ? clock_now_ns() + options->timeout_ns : 0,
	};
	int r, status = output_open(&output, options);

	if (status != STATUS_DONE)
		return status;
	r = watch(&watching, process, group->host);
	if (r < 0 && r != MS_ERR_STOPPED && !output.failed) {
		output_error(&output, process->pid, process->name, ms_error());
		summary_fail(&summary, r);
	}
	ms_detector_free(watching.detector);
	ms_source_free(watching.source);
	return output_close(&output, options, &summary);
}

int cmd_watch(struct options *options)
{
	struct targets targets;
	int status = targets_open(options, &targets);

	if (status != STATUS_DONE)
		return status;
	if (targets.process_count == 1) {
		status = watch_one(options, &targets.groups[0]);
	} else {
		complain("watch: %zu processes are meant; name one by its pid",
			targets.process_count);
		status = STATUS_USAGE;
	}
	targets_close(&targets);
	return status;
}
