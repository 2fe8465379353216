/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Value scans. A session file carries the matches from one call to the next; at a terminal, with
 * nothing said of what to do, scan_prompt.c takes over.
 */
#include "cmd_scan.h"
#include "commands.h"

#include <unistd.h>

/* ---- Steps ------------------------------------------------------------------------------ */

static uint64_t match_count(const struct scanning *scanning)
{
	struct ms_values_info info;

	ms_values_info(scanning->values, &info);
	return info.count;
}

/* Says what went wrong, on stderr for people and as a record for programs. */
static int failed(struct scanning *scanning, int status)
{
	const struct ms_process *process = ms_source_process(scanning->source);

	if (scanning->output->failed)
		return status;
	complain("%s", ms_error());
	if (!scanning->output->text)
		output_error(scanning->output, process->pid, process->name, ms_error());
	/* The target is open: what is not there is the folder for the session. */
	summary_fail(scanning->summary, status == MS_ERR_NOT_FOUND ? MS_ERR_IO : status);
	return status;
}

static int write_text(struct scanning *scanning, const struct ms_values_info *info)
{
	char text[160];
	int n = snprintf(text, sizeof(text), "%llu %s", (unsigned long long)info->count,
		info->count == 1  ? "match"
		: info->count > 0 ? "matches"
				  : "matches in what was read");

	if (info->lost)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			"; %llu lost, as their memory can no longer be read",
			(unsigned long long)info->lost);
	text[n++] = '\n';
	return output_bytes(scanning->output, text, (size_t)n);
}

int scan_count(struct scanning *scanning)
{
	static const struct ms_column columns[] = {{"pid", MS_TYPE_U64}, {"process", MS_TYPE_TEXT},
		{"value_type", MS_TYPE_TEXT}, {"value_size", MS_TYPE_U64}, {"align", MS_TYPE_U64},
		{"tolerance", MS_TYPE_F64}, {"count", MS_TYPE_U64}, {"lost", MS_TYPE_U64},
		{"bytes_kept", MS_TYPE_U64}};
	static const struct ms_schema schema = {"matches", 9, columns};
	const struct ms_process *process = ms_source_process(scanning->source);
	struct ms_values_info info;

	ms_values_info(scanning->values, &info);
	const struct ms_value values[] = {number_value(process->pid), text_value(process->name),
		text_value(info.type), number_value(info.value_size), number_value(info.align),
		{.present = true, .v.f = info.tolerance}, number_value(info.count),
		number_value(info.lost), number_value(info.bytes_kept)};
	int r = scanning->output->text ? write_text(scanning, &info)
				       : output_record(scanning->output, &schema, values);

	return r < 0 ? MS_ERR_STOPPED : 0;
}

/* What comes of a scan: its coverage, and how many matches there are. */
static int scanned(struct scanning *scanning, int status, const struct ms_coverage *coverage)
{
	struct summary *summary = scanning->summary;

	if (status < 0)
		return failed(scanning, status);
	summary->bytes_read += coverage->read;
	summary->partial |= coverage->partial;
	ms_sink_coverage(&scanning->output->sink, ms_source_process(scanning->source), coverage);
	return scan_count(scanning);
}

int scan_first(struct scanning *scanning, const char *condition)
{
	struct ms_job job = job_make(scanning->options);
	struct ms_coverage coverage;
	int r = ms_values_first(scanning->values, scanning->source, condition,
		scanning->options->filter, &job, &coverage);

	return scanned(scanning, r, &coverage);
}

int scan_next(struct scanning *scanning, const char *condition)
{
	struct ms_job job = job_make(scanning->options);
	struct ms_coverage coverage;
	int r = ms_values_next(scanning->values, scanning->source, condition, &job, &coverage);

	return scanned(scanning, r, &coverage);
}

int scan_undo(struct scanning *scanning)
{
	int r = ms_values_undo(scanning->values);

	return r < 0 ? failed(scanning, r) : scan_count(scanning);
}

int scan_list(struct scanning *scanning, uint64_t max)
{
	struct ms_job job = job_make(scanning->options);
	uint64_t listed;
	int r;

	job.hits_max = max;
	r = ms_values_list(
		scanning->values, scanning->source, &job, &scanning->output->sink, &listed);
	if (r < 0)
		return failed(scanning, r);
	/* Brings it out before what is said on stderr. */
	output_bytes(scanning->output, "", 0);
	if (listed < match_count(scanning)) {
		scanning->summary->partial = true;
		complain("%llu of %llu matches are listed", (unsigned long long)listed,
			(unsigned long long)match_count(scanning));
	}
	return 0;
}

/* ---- One call --------------------------------------------------------------------------- */

static bool is_first(const struct options *options)
{
	return options->value || options->range || options->unknown;
}

static bool is_prompt(const struct options *options)
{
	return !is_first(options) && !options->next && !options->undo && !options->list &&
	       !options->count;
}

static int check_usage(const struct options *options)
{
	int firsts = !!options->value + !!options->range + options->unknown;

	if (firsts > 1 || (firsts && (options->next || options->undo)) ||
		(options->next && options->undo))
		complain("scan: --value, --range, --unknown, --next and --undo exclude each other");
	else if (!firsts && !is_prompt(options) &&
		 (options->type || options->unaligned || options->tolerance || options->compress))
		complain("scan: --type, --unaligned, --tolerance and --compress go with a first "
			 "scan; "
			 "the session knows them");
	else if (!firsts && !is_prompt(options) && options->filtered)
		complain("scan: options that choose regions go with a first scan");
	else if (is_prompt(options) && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		complain("scan: say what to do: --value, --range or --unknown for a first scan, "
			 "then "
			 "--next, --undo, --list or --count");
	else
		return STATUS_DONE;
	return STATUS_USAGE;
}

static int tolerance_parse(const char *text, double *ret_tolerance)
{
	char *end;

	*ret_tolerance = 0;
	if (!text)
		return STATUS_DONE;
	*ret_tolerance = strtod(text, &end);
	if (end != text && !*end)
		return STATUS_DONE;
	complain("--tolerance %s: this is not a number", text);
	return STATUS_USAGE;
}

static int values_new(const struct options *options, const char *session, ms_values **ret_values)
{
	struct ms_values_options values_options = {
		.type = options->type ? options->type : "i32",
		.align = options->unaligned ? 1 : 0,
		.zstd = options->compress,
		.session = session,
	};
	int status = tolerance_parse(options->tolerance, &values_options.tolerance);

	if (status != STATUS_DONE)
		return status;
	return ms_values_new(&values_options, ret_values) < 0 ? fail(MS_ERR_ARGUMENT) : STATUS_DONE;
}

/* Begins a session or takes one up; at the prompt there need not be one. */
static int values_open(struct scanning *scanning, const char *path)
{
	const struct options *options = scanning->options;
	bool there = access(path, F_OK) == 0;
	int r;

	if (is_first(options) || (is_prompt(options) && !there))
		return values_new(options, is_first(options) || options->session ? path : NULL,
			&scanning->values);
	if (is_prompt(options) && !options->session)
		return values_new(options, NULL, &scanning->values);
	if (!there) {
		complain("there is no session %s; begin with --value, --range or --unknown", path);
		return STATUS_USAGE;
	}
	r = ms_values_load(path, &scanning->values);
	return r < 0 ? fail(r) : STATUS_DONE;
}

/* "--value 5" is short for the condition "= 5"; it may be a comparison, too. */
static int first_by_value(struct scanning *scanning, const char *value)
{
	char *condition;
	int r;

	if (strchr("=!<>", *value))
		return scan_first(scanning, value);
	if (asprintf(&condition, "= %s", value) < 0)
		return MS_ERR_MEMORY;
	r = scan_first(scanning, condition);
	free(condition);
	return r;
}

static int take_steps(struct scanning *scanning)
{
	const struct options *options = scanning->options;
	int r = 0;

	if (is_prompt(options))
		return scan_prompt(scanning);
	if (options->value)
		r = first_by_value(scanning, options->value);
	else if (is_first(options))
		r = scan_first(scanning, options->unknown ? "unknown" : options->range);
	else if (options->next)
		r = scan_next(scanning, options->next);
	else if (options->undo)
		r = scan_undo(scanning);
	else if (options->count)
		r = scan_count(scanning);
	if (r == 0 && options->list)
		r = scan_list(scanning, options->hits_max);
	return r;
}

static int scan_target(struct scanning *scanning, const struct target_group *group)
{
	char *path = NULL;
	int status = STATUS_DONE, r;

	r = ms_source_open_process(group->host, &group->list[0], &scanning->source);
	if (r < 0)
		return target_fail(scanning->options, group->list[0].name, r);
	if (scanning->options->session)
		path = strdup(scanning->options->session);
	else if (asprintf(&path, "memsift-%u.scan", group->list[0].pid) < 0)
		path = NULL;
	status = path ? values_open(scanning, path) : STATUS_OUTPUT;
	if (status == STATUS_DONE)
		status = output_open(scanning->output, scanning->options);
	if (status == STATUS_DONE) {
		scanning->summary->targets = take_steps(scanning) == 0;
		status = output_close(scanning->output, scanning->options, scanning->summary);
	}
	ms_values_free(scanning->values);
	ms_source_free(scanning->source);
	free(path);
	return status;
}

int cmd_scan(struct options *options)
{
	struct summary summary = {0};
	struct output output;
	struct targets targets;
	struct scanning scanning = {.options = options, .output = &output, .summary = &summary};
	int status = check_usage(options);

	if (status == STATUS_DONE)
		status = targets_open(options, &targets);
	if (status != STATUS_DONE)
		return status;
	if (targets.process_count != 1) {
		complain("scan: one process at a time, not %zu", targets.process_count);
		status = STATUS_USAGE;
	} else {
		status = scan_target(&scanning, &targets.groups[0]);
	}
	targets_close(&targets);
	return status;
}
