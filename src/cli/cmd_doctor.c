/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

static int write_check(struct output *output, const struct ms_check *check)
{
	struct ms_value values[MS_COLUMNS_MAX];

	ms_record_check(check, values);
	return output_record(output, &ms_schema_check, values);
}

/* Everything a host has to tell of itself; frees it. */
static int write_checks(struct output *output, ms_host *host)
{
	const struct ms_check *checks;
	size_t count;
	int r = ms_host_check(host, &checks, &count);

	if (r < 0)
		complain("%s", ms_error());
	for (size_t i = 0; r == 0 && i < count; i++)
		r = write_check(output, &checks[i]);
	ms_host_free(host);
	return r;
}

/* What the options name, or this machine and what is installed of MemProcFS. */
static int examine(struct output *output, struct options *options, struct summary *summary)
{
	struct ms_host_options library = {
		.size = sizeof(library), .memprocfs_path = options->host.memprocfs_path};
	ms_host *host;
	int r = host_open(options, &host);

	if (r == 0) {
		r = write_checks(output, host);
	} else {
		const struct ms_check failed = {
			.name = "device", .status = -1, .detail = ms_error()};

		summary->status = status_of(r);
		r = write_check(output, &failed);
	}
	/* The host that was named has told this already, if it was one of MemProcFS's. */
	if (r < 0 || (options->backend && strcmp(options->backend, "memprocfs") == 0))
		return r;
	if (!strstr(ms_features(), "memprocfs"))
		return 0;
	r = ms_host_open_with("vmm", &library, &host);
	return r < 0 ? r : write_checks(output, host);
}

int cmd_doctor(struct options *options)
{
	struct summary summary = {0};
	struct output output;
	int status;

	if (options->operand_count) {
		complain("doctor: it looks at this machine and takes no target");
		return STATUS_USAGE;
	}
	status = output_open(&output, options);
	if (status != STATUS_DONE)
		return status;
	if (examine(&output, options, &summary) < 0 && !summary.status)
		summary.status = STATUS_OUTPUT;
	return output_close(&output, options, &summary);
}
