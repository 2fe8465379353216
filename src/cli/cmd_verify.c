/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

int cmd_verify(struct options *options)
{
	struct ms_verified verified;
	struct summary summary = {0};
	struct output output;
	int r, status;

	if (options->operand_count != 1) {
		complain("verify: name one evidence folder");
		return STATUS_USAGE;
	}
	status = output_open(&output, options);
	if (status != STATUS_DONE)
		return status;
	r = ms_folder_verify(options->operands[0], &output.sink, &verified);
	if (r < 0 && !output.failed)
		summary.status = fail(r);
	if (r == 0) {
		char line[200];
		int length = snprintf(line, sizeof(line),
			"%llu files: %llu as they were, %llu changed, %llu missing; %llu not in the manifest\n",
			(unsigned long long)verified.files, (unsigned long long)verified.good,
			(unsigned long long)verified.changed, (unsigned long long)verified.missing,
			(unsigned long long)verified.extra);

		summary.targets = verified.files;
		summary.partial = verified.good != verified.files || verified.extra;
		if (output.text)
			output_bytes(&output, line, (size_t)length);
	}
	return output_close(&output, options, &summary);
}
