/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

int cmd_doctor(struct options *options)
{
	struct ms_value values[MS_COLUMNS_MAX];
	const struct ms_check *checks;
	struct summary summary = {0};
	struct output output;
	ms_host *host;
	size_t count;
	int r, status;

	if (options->operand_count) {
		complain("doctor: it looks at this machine and takes no target");
		return STATUS_USAGE;
	}
	r = ms_host_open(NULL, &host);
	if (r == 0 && (r = ms_host_check(host, &checks, &count)) < 0)
		ms_host_free(host);
	if (r < 0)
		return fail(r);
	status = output_open(&output, options);
	if (status == STATUS_DONE) {
		for (size_t i = 0; i < count; i++) {
			ms_record_check(&checks[i], values);
			if (output_record(&output, &ms_schema_check, values) < 0)
				break;
		}
		status = output_close(&output, options, &summary);
	}
	ms_host_free(host);
	return status;
}
