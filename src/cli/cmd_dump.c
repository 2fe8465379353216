/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

#include <sys/stat.h>
#include <unistd.h>

struct dumping {
	struct options *options;
	struct output *output;
	const struct ms_process *process;
	ms_filter *filter;
	bool raw;
	bool snapshot, hashes;
	size_t target_count;
	struct stems stems;
};

static void wrote(void *ctx, const char *path, uint64_t size, const char *sha256)
{
	static const struct ms_column columns[] = {{"pid", MS_TYPE_U64}, {"process", MS_TYPE_TEXT},
		{"path", MS_TYPE_TEXT}, {"size", MS_TYPE_U64}};
	static const struct ms_schema schema = {"dump", 4, columns};
	struct dumping *dumping = ctx;
	const struct ms_value values[] = {number_value(dumping->process->pid),
		text_value(dumping->process->name), text_value(path), number_value(size)};

	(void)sha256;
	if (dumping->output->text) {
		output_bytes(dumping->output, path, strlen(path));
		output_bytes(dumping->output, "\n", 1);
	} else {
		output_record(dumping->output, &schema, values);
	}
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where the dump of a process goes; to be freed. */
static char *dump_path(const struct dumping *dumping, const char *stem)
{
	const struct options *options = dumping->options;
	const char *output = options->output;
	char time[17], *path = NULL;
	int n;

	time_compact(dumping->output->started, time);
	if (dumping->raw && options->region_count)
		return strdup(output ? output : ".");
	if (output && dumping->target_count == 1 && (dumping->raw || !is_folder(output)))
		return strdup(output);
	n = asprintf(&path, "%s%s%s.%s%s%s", output ? output : "", output ? "/" : "", stem, time,
		dumping->raw	  ? ""
		: dumping->hashes ? ".hashes"
				  : ".core",
		options->compress && !dumping->raw ? ".zst" : "");
	return n < 0 ? NULL : path;
}

static int dump_process(struct dumping *dumping, ms_host *host, const struct ms_job *job,
	struct ms_coverage *ret_coverage)
{
	const struct options *options = dumping->options;
	char *stem = stem_take(&dumping->stems, dumping->process);
	char *path = stem ? dump_path(dumping, stem) : NULL;
	ms_source *source = NULL;
	struct ms_dump dump = {
		.size = sizeof(dump),
		.path = path,
		.format = dumping->raw ? MS_DUMP_RAW : MS_DUMP_CORE,
		.filter = dumping->filter,
		.job = *job,
		.pause = pause_of(options),
		.zstd = options->compress,
		.file_flags = options->force ? MS_FILE_FORCE : 0,
		.wrote = wrote,
		.ctx = dumping,
		.whole_map = dumping->snapshot,
		.prefix = stem,
	};
	int r = path ? ms_source_open_process(host, dumping->process, &source) : MS_ERR_MEMORY;

	if (r == 0 && dump.pause)
		r = ms_source_pause(source, dump.pause);
	if (r == 0) {
		r = dumping->hashes ? ms_source_hash(source, &dump, ret_coverage)
				    : ms_source_dump(source, &dump, ret_coverage);
		/* The target is open: what is missing or forbidden is the place to write to. */
		r = r == MS_ERR_NOT_FOUND || r == MS_ERR_ACCESS ? MS_ERR_IO : r;
	}
	if (r == 0)
		ms_sink_coverage(&dumping->output->sink, dumping->process, ret_coverage);
	ms_source_free(source);
	free(path);
	free(stem);
	return r;
}

static void dump_group(
	struct dumping *dumping, const struct target_group *group, struct summary *summary)
{
	for (size_t i = 0; i < group->count && !interrupted() && !dumping->output->failed; i++) {
		struct ms_job job = job_make(dumping->options);
		struct ms_coverage coverage;
		int r;

		dumping->process = &group->list[i];
		if (!job_rest(&job, summary->bytes_read, dumping->output->started_ns)) {
			complain("--max-memory-size was reached; the targets that follow are left "
				 "out");
			summary->partial = true;
			return;
		}
		r = dump_process(dumping, group->host, &job, &coverage);
		if (r < 0) {
			output_error(dumping->output, group->list[i].pid, group->list[i].name,
				ms_error());
			summary_fail(summary, r);
			continue;
		}
		if (dumping->options->region_count && coverage.filtered == coverage.total) {
			complain("pid %u: nothing is mapped where --region says; `memsift regions` "
				 "lists "
				 "what is",
				group->list[i].pid);
			summary->partial = true;
		}
		summary->targets++;
		summary->bytes_read += coverage.read;
		summary->partial |= coverage.partial;
		if (summary->status == STATUS_TARGET)
			summary->status = STATUS_PARTIAL;
	}
}

/* Narrows the filter to the parts that --region names. */
static int take_regions(const struct options *options, ms_filter *filter)
{
	for (size_t i = 0; i < options->region_count; i++) {
		uint64_t base, size;

		if (region_spec_parse("--region", options->regions[i], &base, &size) < 0)
			return STATUS_USAGE;
		if (filter_add_range(filter, base, size) < 0)
			return fail(MS_ERR_ARGUMENT);
	}
	return STATUS_DONE;
}

static bool is_raw(const struct options *options)
{
	return options->as ? strcmp(options->as, "raw") == 0 : options->region_count > 0;
}

static int run_all(struct dumping *dumping)
{
	struct options *options = dumping->options;
	struct summary summary = {0};
	struct output output;
	struct targets targets;
	int status = targets_open(options, &targets);
	bool made = false;

	if (status != STATUS_DONE)
		return status;
	dumping->output = &output;
	dumping->target_count = targets.process_count;
	summary.partial = targets.missing > 0;
	if (options->output && (targets.process_count > 1 || is_folder(options->output)) &&
		ms_folder_make(options->output, &made) < 0) {
		complain("%s", ms_error());
		status = STATUS_OUTPUT;
	} else {
		status = output_open(&output, options);
	}
	if (status == STATUS_DONE) {
		for (size_t i = 0; i < targets.group_count; i++)
			dump_group(dumping, &targets.groups[i], &summary);
		status = output_close(&output, options, &summary);
	}
	if (made && !summary.targets)
		rmdir(options->output); /* unless there is something in it */
	targets_close(&targets);
	stems_done(&dumping->stems);
	return status;
}

int cmd_dump(struct options *options)
{
	struct dumping dumping = {
		.options = options, .filter = options->filter, .raw = is_raw(options)};
	int status = take_regions(options, options->filter);

	return status == STATUS_DONE ? run_all(&dumping) : status;
}

int cmd_snapshot(struct options *options)
{
	struct dumping dumping = {.options = options,
		.filter = options->filter,
		.snapshot = true,
		.hashes = options->hash_only};

	if (options->hash_only && options->compress) {
		complain(
			"snapshot: hashes do not compress; --hash-only and --compress exclude each "
			"other");
		return STATUS_USAGE;
	}
	return run_all(&dumping);
}
