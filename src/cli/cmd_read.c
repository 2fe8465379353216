/* SPDX-License-Identifier: BSD-2-Clause */
/* Shows memory: a hex dump, records, or the bytes themselves. */
#include "cli.h"
#include "commands.h"

enum { ROW = 16, BLOCK = 64 * 1024 };

struct reading {
	struct options *options;
	struct output *output;
	struct summary *summary;
	ms_source *source;
	uint64_t address, size;
};

static int hex_row(struct output *output, uint64_t address, const uint8_t *data, size_t size)
{
	char line[128], *at = line;

	at += sprintf(at, "%016llx ", (unsigned long long)address);
	for (size_t i = 0; i < ROW; i++)
		at += i < size ? sprintf(at, i == 8 ? "  %02x" : " %02x", data[i])
			       : sprintf(at, i == 8 ? "    " : "   ");
	at += sprintf(at, "  |");
	for (size_t i = 0; i < size; i++)
		*at++ = data[i] >= ' ' && data[i] <= '~' ? (char)data[i] : '.';
	at += sprintf(at, "|\n");
	return output_bytes(output, line, (size_t)(at - line));
}

static int hex_dump(struct output *output, uint64_t address, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i += ROW)
		if (hex_row(output, address + i, data + i, size - i < ROW ? size - i : ROW) < 0)
			return -1;
	return 0;
}

static int data_record(const struct reading *reading, const uint8_t *data, size_t size)
{
	static const struct ms_column columns[] = {{"pid", MS_TYPE_U64},
		{"address", MS_TYPE_ADDRESS}, {"size", MS_TYPE_U64}, {"bytes", MS_TYPE_BYTES}};
	static const struct ms_schema schema = {"data", 4, columns};
	const struct ms_value values[] = {number_value(ms_source_process(reading->source)->pid),
		address_value(reading->address), number_value(size),
		{.present = true, .v.data = data, .size = size}};

	return output_record(reading->output, &schema, values);
}

static int show(const struct reading *reading, const uint8_t *data, size_t size)
{
	if (reading->options->raw)
		return output_bytes(reading->output, data, size);
	if (reading->output->text)
		return hex_dump(reading->output, reading->address, data, size);
	return data_record(reading, data, size);
}

/* Never touched: reads as zeros to its owner, so with --raw zeros it is. */
static int show_absent(const struct reading *reading, uint64_t size)
{
	static const uint8_t zeros[4096];

	while (reading->options->raw && size) {
		size_t n = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

		if (output_bytes(reading->output, zeros, n) < 0)
			return -1;
		size -= n;
	}
	return 0;
}

static int show_gap(struct reading *reading, const struct ms_gap *gap, uint64_t size)
{
	const struct ms_value values[] = {address_value(reading->address),
		address_value(reading->address + size), text_value(ms_state_name(gap->state))};
	bool absent = gap->state == MS_STATE_ABSENT;
	/* Neither holds wanted data: nothing is missing, unless bytes must take its place. */
	bool unwanted = gap->state == MS_STATE_GUARD || gap->state == MS_STATE_LEFT_OUT;
	const char *what = gap->state == MS_STATE_VANISHED   ? "nothing is mapped here"
			   : gap->state == MS_STATE_LEFT_OUT ? "left out by a filter"
			   : absent			     ? "never touched: reads as zeros"
							     : ms_state_name(gap->state);
	char line[128];
	int length;

	if (!absent) {
		reading->summary->partial |= !unwanted || reading->options->raw;
		complain("0x%llx-0x%llx is not read: %s", (unsigned long long)reading->address,
			(unsigned long long)(reading->address + size), what);
	}
	if (reading->options->raw)
		return absent ? show_absent(reading, size) : -1;
	if (!reading->output->text)
		return output_record(reading->output, &ms_schema_gap, values);
	length = snprintf(line, sizeof(line), "%016llx  -- %llu bytes: %s\n",
		(unsigned long long)reading->address, (unsigned long long)size, what);
	return output_bytes(reading->output, line, (size_t)length);
}

/* How many of the next bytes to read; 0, and a gap, if a limit bites. */
static size_t next_size(const struct reading *reading, uint64_t left, struct ms_gap *ret_gap)
{
	const struct options *options = reading->options;
	const uint64_t limits[] = {options->bytes_max, options->process_bytes_max};
	uint64_t size = left < BLOCK ? left : BLOCK;

	*ret_gap = (struct ms_gap){reading->address, left, MS_STATE_LIMIT};
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		if (limits[i] && limits[i] - reading->summary->bytes_read < size)
			size = limits[i] - reading->summary->bytes_read;
	if (options->timeout_ns &&
		clock_now_ns() - reading->output->started_ns >= options->timeout_ns) {
		ret_gap->state = MS_STATE_DEADLINE;
		size = 0;
	}
	return (size_t)size;
}

static int read_all(struct reading *reading)
{
	static uint8_t block[BLOCK];
	uint64_t end = reading->address + reading->size;

	while (reading->address < end && !interrupted()) {
		uint64_t left = end - reading->address;
		struct ms_gap gap;
		size_t got = next_size(reading, left, &gap);
		int r = got ? ms_source_read_filtered(reading->source, reading->options->filter,
				      reading->address, block, got, &got, &gap)
			    : 0;

		if (r < 0)
			return r;
		if (!got) {
			got = gap.size < left && gap.size ? (size_t)gap.size : (size_t)left;
			if (show_gap(reading, &gap, got) < 0)
				return MS_ERR_STOPPED;
		} else {
			reading->summary->bytes_read += got;
			if (show(reading, block, got) < 0)
				return MS_ERR_STOPPED;
		}
		reading->address += got;
	}
	return 0;
}

/* What was shown until then stands: a target that ends under way makes it partial. */
static int read_failed(struct reading *reading, const struct ms_process *process, int status)
{
	struct summary *summary = reading->summary;

	output_error(reading->output, process->pid, process->name, ms_error());
	summary_fail(summary, status);
	return summary->bytes_read ? summary->status : status_of(status);
}

static int read_target(struct reading *reading, const struct targets *targets)
{
	const struct target_group *group = &targets->groups[0];
	struct ms_gap gap;
	size_t got;
	uint8_t byte;
	char why[128];
	int r = ms_source_open_process(group->host, &group->list[0], &reading->source);

	if (r < 0)
		return read_failed(reading, &group->list[0], r);
	/* An address that is mapped nowhere is a mistake, not a gap. */
	r = ms_source_read_filtered(
		reading->source, reading->options->filter, reading->address, &byte, 1, &got, &gap);
	if (r == 0 && !got && gap.state == MS_STATE_VANISHED && gap.size >= reading->size) {
		snprintf(why, sizeof(why),
			"address 0x%llx is not mapped in pid %u; `memsift regions` lists what is",
			(unsigned long long)reading->address, group->list[0].pid);
		output_error(reading->output, group->list[0].pid, group->list[0].name, why);
		ms_source_free(reading->source);
		return STATUS_TARGET;
	}
	if (r == 0)
		r = read_all(reading);
	reading->summary->targets = 1;
	ms_source_free(reading->source);
	if (r < 0 && r != MS_ERR_STOPPED)
		return read_failed(reading, &group->list[0], r);
	return STATUS_DONE;
}

/* TARGET ADDRESS SIZE, or ADDRESS SIZE when options name the target. */
static int operands_parse(struct options *options, struct reading *reading)
{
	char spec[128];
	int named = options->pids || options->names || options->from ? 2 : 3;

	if (options->operand_count != named && options->operand_count != 3) {
		complain("read: wanted are TARGET ADDRESS SIZE, such as `memsift read 1234 "
			 "0x7ffc0000 256`");
		return STATUS_USAGE;
	}
	options->operand_count -= 2;
	if (strlen(options->operands[options->operand_count]) > 40)
		return complain("read: this is no address"), STATUS_USAGE;
	snprintf(spec, sizeof(spec), "%s:%s", options->operands[options->operand_count],
		options->operands[options->operand_count + 1]);
	return region_spec_parse("read", spec, &reading->address, &reading->size) < 0 ? STATUS_USAGE
										      : STATUS_DONE;
}

int cmd_read(struct options *options)
{
	struct summary summary = {0};
	struct output output;
	struct targets targets;
	struct reading reading = {.options = options, .output = &output, .summary = &summary};
	int status = operands_parse(options, &reading);

	if (status == STATUS_DONE && options->raw && options->format) {
		complain("read: --raw and --format exclude each other");
		status = STATUS_USAGE;
	}
	if (status == STATUS_DONE)
		status = targets_open(options, &targets);
	if (status != STATUS_DONE)
		return status;
	if (targets.process_count != 1) {
		complain("read: %zu processes match; name one", targets.process_count);
		status = STATUS_USAGE;
	} else {
		if (options->raw)
			options->format = "text"; /* which writes nothing around the bytes */
		status = output_open(&output, options);
	}
	if (status == STATUS_DONE) {
		status = read_target(&reading, &targets);
		summary.status = status;
		status = output_close(&output, options, &summary);
	}
	targets_close(&targets);
	return status;
}
