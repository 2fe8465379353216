/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

static void search_groups(const struct options *options, const struct targets *targets,
	const ms_engine *engine, struct output *output, struct summary *summary)
{
	struct ms_scan scan = {
		.size = sizeof(scan),
		.engine = engine,
		.filter = options->filter,
		.job = job_make(options),
		.context = options->context,
		.sink = output->sink,
	};

	for (size_t i = 0; i < targets->group_count && !interrupted() && !output->failed; i++) {
		const struct target_group *group = &targets->groups[i];
		struct ms_total total;
		int r = ms_scan_processes(group->host, group->list, group->count, &scan, &total);

		if (r == 0)
			summary_add(summary, options, &total);
		else if (!output->failed)
			summary->status = fail(r);
		/* What --max-hits leaves for the next group. */
		if (r == 0 && options->hits_max) {
			if (total.hits >= scan.job.hits_max)
				break;
			scan.job.hits_max -= total.hits;
		}
	}
}

static int engine_make(const struct options *options, ms_engine **ret_engine)
{
	bool any = false;
	int r;

	for (size_t i = 0; i < options->arg_count; i++)
		any |= strcmp(options->args[i].key, "hex") == 0 ||
		       strcmp(options->args[i].key, "text") == 0;
	if (!any) {
		complain("search: say what for, with -t TEXT or -x HEX");
		return STATUS_USAGE;
	}
	if (options->context > MS_CONTEXT_MAX) {
		complain("--context: at most %d", MS_CONTEXT_MAX);
		return STATUS_USAGE;
	}
	r = ms_engine_new("bytes", options->args, options->arg_count, ret_engine);
	return r < 0 ? fail(r) : STATUS_DONE;
}

int cmd_search(struct options *options)
{
	struct summary summary = {.searched = true};
	struct targets targets;
	struct output output;
	ms_engine *engine;
	int status = engine_make(options, &engine);

	if (status != STATUS_DONE)
		return status;
	status = targets_open(options, &targets);
	if (status == STATUS_DONE) {
		summary.partial = targets.missing > 0;
		status = output_open(&output, options);
		if (status == STATUS_DONE) {
			search_groups(options, &targets, engine, &output, &summary);
			status = output_close(&output, options, &summary);
		}
		targets_close(&targets);
	}
	ms_engine_free(engine);
	return status;
}
