/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

int cmd_strings(struct options *options)
{
	ms_engine *engine;
	int r;

	if (options->plain && options->format) {
		complain("strings: --plain and --format exclude each other");
		return STATUS_USAGE;
	}
	r = ms_engine_new("strings", options->args, options->arg_count, &engine);
	if (r < 0)
		return fail(r);
	if (options->plain)
		options->format = "plain";
	options->context = 0;
	return search_run(options, engine);
}
