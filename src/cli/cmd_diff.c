/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

/* One of the two that are compared. */
struct side {
	struct targets targets;
	ms_source *source;
};

static int side_open(struct options *options, int operand, struct side *side)
{
	char **operands = options->operands;
	int count = options->operand_count, status, r;

	options->operands += operand;
	options->operand_count = 1;
	status = targets_open(options, &side->targets);
	options->operands = operands;
	options->operand_count = count;
	if (status != STATUS_DONE)
		return status;
	if (side->targets.process_count != 1) {
		complain("diff: \"%s\" are %zu processes; name one by its pid", operands[operand],
			side->targets.process_count);
		return STATUS_USAGE;
	}
	r = ms_source_open_process(
		side->targets.groups[0].host, &side->targets.groups[0].list[0], &side->source);
	return r < 0 ? target_fail(options, operands[operand], r) : STATUS_DONE;
}

static void side_close(struct side *side)
{
	ms_source_free(side->source);
	targets_close(&side->targets);
}

static bool is_one_process(const struct side *sides)
{
	const struct ms_process *before = ms_source_process(sides[0].source);
	const struct ms_process *after = ms_source_process(sides[1].source);

	return ms_host_is_local(sides[0].targets.groups[0].host) &&
	       ms_host_is_local(sides[1].targets.groups[0].host) && before->pid == after->pid &&
	       before->start_id == after->start_id;
}

/* Holds what lives as it is at this moment, each side at its own; files hold still anyway. */
static int sides_pause(const struct options *options, const struct side *sides)
{
	enum ms_pause how = pause_of(options);
	/* Twins are of two moments, but a process can be stopped only once. */
	int count = how == MS_PAUSE_FREEZE && is_one_process(sides) ? 1 : 2, r = 0;

	for (int i = 0; i < count && r == 0; i++)
		r = ms_source_pause(sides[i].source, how);
	return r;
}

static int compare(const struct options *options, const struct side *sides)
{
	const struct ms_process *process = ms_source_process(sides[1].source);
	struct summary summary = {.searched = true};
	struct output output;
	struct ms_total total = {0};
	struct ms_diff diff = {
		.size = sizeof(diff),
		.filter = options->filter,
		.job = job_make(options),
		.bytes_max = (size_t)options->bytes,
	};
	int r, status = output_open(&output, options);

	if (status != STATUS_DONE)
		return status;
	diff.sink = output.sink;
	r = sides_pause(options, sides);
	if (r == 0)
		r = ms_diff_sources(sides[0].source, sides[1].source, &diff, &total);
	if (r < 0 && !output.failed) {
		output_error(&output, process->pid, process->name, ms_error());
		summary_fail(&summary, r);
	}
	if (r == 0)
		summary_add(&summary, options, &total);
	return output_close(&output, options, &summary);
}

int cmd_diff(struct options *options)
{
	struct side sides[2] = {0};
	int status = STATUS_DONE;

	if (options->operand_count != 2) {
		complain(
			"diff: name two: what was before, and what is after, each a pid, a process "
			"name or a file");
		return STATUS_USAGE;
	}
	if (options->bytes > MS_CHANGE_BYTES_MAX) {
		complain("--bytes: at most %d", MS_CHANGE_BYTES_MAX);
		return STATUS_USAGE;
	}
	for (int i = 0; i < 2 && status == STATUS_DONE; i++)
		status = side_open(options, i, &sides[i]);
	if (status == STATUS_DONE)
		status = compare(options, sides);
	side_close(&sides[0]);
	side_close(&sides[1]);
	return status;
}
