/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

/* Without a place for errors on stdout, they are told on stderr. */
static int plain_record(void *ctx, const struct ms_record *record)
{
	struct output *output = ctx;

	if (record->schema == &ms_schema_error)
		complain("%.*s: %.*s", (int)record->values[1].size,
			(const char *)record->values[1].v.data, (int)record->values[2].size,
			(const char *)record->values[2].v.data);
	return output->sink.record(output->sink.ctx, record);
}

static int searcher_record(void *ctx, const struct ms_record *record)
{
	struct searcher *searcher = ctx;

	return searcher->record(searcher->ctx, searcher->output, record);
}

static struct ms_sink sink_make(
	const struct options *options, struct output *output, struct searcher *searcher)
{
	if (searcher->record)
		return (struct ms_sink){searcher_record, searcher};
	return options->plain ? (struct ms_sink){plain_record, output} : output->sink;
}

static void search_groups(const struct options *options, const struct targets *targets,
	const ms_engine *engine, struct searcher *searcher, struct summary *summary)
{
	struct output *output = searcher->output;
	struct ms_scan scan = {
		.size = sizeof(scan),
		.engine = engine,
		.filter = options->filter,
		.context = options->context,
		.sink = sink_make(options, output, searcher),
	};

	for (size_t i = 0; i < targets->group_count && !interrupted() && !output->failed; i++) {
		const struct target_group *group = &targets->groups[i];
		struct ms_total total;
		int r;

		scan.job = job_make(options);
		if (!job_rest(&scan.job, summary->bytes_read, output->started_ns)) {
			complain("--max-memory-size was reached; the targets that follow are left "
				 "out");
			summary->partial = true;
			break;
		}
		/* What --max-hits leaves for this group. */
		if (options->hits_max)
			scan.job.hits_max -= summary->hits;
		r = ms_scan_processes(group->host, group->list, group->count, &scan, &total);
		if (r == 0)
			summary_add(summary, options, &total);
		else if (!output->failed)
			summary->status = fail(r);
		if (searcher->group_done && !output->failed)
			searcher->group_done(searcher->ctx, output, group, summary);
		if (options->hits_max && summary->hits >= options->hits_max)
			break;
	}
}

static bool any_arg(const struct options *options, const char *key)
{
	for (size_t i = 0; i < options->arg_count; i++)
		if (strcmp(options->args[i].key, key) == 0)
			return true;
	return false;
}

static int engine_make(const struct options *options, ms_engine **ret_engine)
{
	bool bytes = any_arg(options, "hex") || any_arg(options, "text");
	bool regex = any_arg(options, "regex");
	int r;

	if (!bytes && !regex) {
		complain("search: say what for, with -t TEXT, -x HEX or -e REGEX");
		return STATUS_USAGE;
	}
	if (bytes && regex) {
		complain("search: -e cannot be combined with -t or -x; run them one after the "
			 "other");
		return STATUS_USAGE;
	}
	if (options->context > MS_CONTEXT_MAX) {
		complain("--context: at most %d", MS_CONTEXT_MAX);
		return STATUS_USAGE;
	}
	r = ms_engine_new(regex ? "regex" : "bytes", options->args, options->arg_count, ret_engine);
	return r < 0 ? fail(r) : STATUS_DONE;
}

int search_run(struct options *options, ms_engine *engine)
{
	struct searcher searcher = {0};

	return search_run_with(options, engine, &searcher);
}

int search_run_with(struct options *options, ms_engine *engine, struct searcher *searcher)
{
	struct summary summary = {.searched = true};
	struct targets targets;
	struct output output;
	int status = targets_open(options, &targets);

	if (status == STATUS_DONE) {
		summary.partial = targets.missing > 0 || searcher->partial;
		status = output_open(&output, options);
		searcher->output = &output;
		if (status == STATUS_DONE) {
			search_groups(options, &targets, engine, searcher, &summary);
			if (searcher->finish && !output.failed)
				searcher->finish(searcher->ctx, &output, engine);
			if (options->plain && summary.partial && !options->quiet)
				complain("not all memory that was wanted was read; without --plain "
					 "it is told what is missing");
			status = output_close(&output, options, &summary);
		}
		targets_close(&targets);
	}
	ms_engine_free(engine);
	return status;
}

int cmd_search(struct options *options)
{
	ms_engine *engine;
	int status = engine_make(options, &engine);

	return status == STATUS_DONE ? search_run(options, engine) : status;
}
