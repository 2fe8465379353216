/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands that list: ps, regions, modules. */
#include "cli.h"
#include "commands.h"

/* Lists one process; 0, or a library status. */
typedef int list_fn(struct output *output, const struct options *options, ms_host *host,
	const struct ms_process *process);

static int list_process(struct output *output, const struct options *options, ms_host *host,
	const struct ms_process *process)
{
	struct ms_value values[MS_COLUMNS_MAX];

	(void)options, (void)host;
	ms_record_process(process, values);
	return output_record(output, &ms_schema_process, values) < 0 ? MS_ERR_STOPPED : 0;
}

static int list_regions(struct output *output, const struct options *options, ms_host *host,
	const struct ms_process *process)
{
	struct ms_value values[MS_COLUMNS_MAX];
	const struct ms_region *regions;
	ms_source *source;
	size_t count;
	int r = ms_source_open_process(host, process, &source);

	if (r < 0)
		return r;
	r = ms_source_regions(source, &regions, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!ms_filter_match(options->filter, &regions[i]))
			continue;
		ms_record_region(process, &regions[i], values);
		if (output_record(output, &ms_schema_region, values) < 0)
			r = MS_ERR_STOPPED;
	}
	ms_source_free(source);
	return r;
}

static int list_modules(struct output *output, const struct options *options, ms_host *host,
	const struct ms_process *process)
{
	struct ms_value values[MS_COLUMNS_MAX];
	const struct ms_module *modules;
	ms_source *source;
	size_t count;
	int r = ms_source_open_process(host, process, &source);

	(void)options;
	if (r < 0)
		return r;
	r = ms_source_modules(source, &modules, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		ms_record_module(process, &modules[i], values);
		if (output_record(output, &ms_schema_module, values) < 0)
			r = MS_ERR_STOPPED;
	}
	ms_source_free(source);
	return r;
}

/* Lists every process of a group; false when output is over. */
static bool list_group(struct output *output, const struct options *options,
	const struct target_group *group, list_fn *list, struct summary *summary)
{
	for (size_t i = 0; i < group->count && !interrupted(); i++) {
		int r = list(output, options, group->host, &group->list[i]);

		if (output->failed)
			return false;
		if (r < 0) {
			output_error(output, group->list[i].pid, group->list[i].name, ms_error());
			if (output->text)
				complain("%s", ms_error());
			summary_fail(summary, r);
		} else {
			summary->targets++;
			if (summary->status == STATUS_TARGET)
				summary->status = STATUS_PARTIAL;
		}
	}
	return true;
}

static int list_all(struct options *options, list_fn *list)
{
	struct summary summary = {0};
	struct targets targets;
	struct output output;
	int status = targets_open(options, &targets);

	if (status != STATUS_DONE)
		return status;
	status = output_open(&output, options);
	if (status != STATUS_DONE) {
		targets_close(&targets);
		return status;
	}
	summary.partial = targets.missing > 0;
	for (size_t i = 0; i < targets.group_count; i++)
		if (!list_group(&output, options, &targets.groups[i], list, &summary))
			break;
	targets_close(&targets);
	return output_close(&output, options, &summary);
}

int cmd_ps(struct options *options)
{
	/* With no target, all there are: a list without system processes would mislead. */
	if (!options->operand_count && !options->pids && !options->names && !options->user &&
		!options->all) {
		options->all = true;
		options->include_system = true;
	}
	return list_all(options, list_process);
}

int cmd_regions(struct options *options)
{
	return list_all(options, list_regions);
}

int cmd_modules(struct options *options)
{
	return list_all(options, list_modules);
}
