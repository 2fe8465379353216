/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where results go: through an exporter to stdout or to a file that appears whole or not at all.
 * A reader of stdout that goes away (| head) ends the program quietly.
 */
#include "cli.h"

#include <errno.h>
#include <unistd.h>

static int write_stdout(struct output *output, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(STDOUT_FILENO, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			output->closed = true;
		else if (n < 0)
			complain("cannot write to stdout: %s", strerror(errno));
		if (n < 0) {
			output->failed = true;
			return -1;
		}
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int keep(struct output *output, const void *data, size_t size)
{
	char *grown = realloc(output->held, output->held_size + size);

	if (!grown) {
		complain("out of memory");
		output->failed = true;
		return -1;
	}
	memcpy(grown + output->held_size, data, size);
	output->held = grown;
	output->held_size += size;
	return 0;
}

void output_hold(struct output *output)
{
	output->holds++;
}

void output_release(struct output *output)
{
	if (--output->holds || !output->held)
		return;
	if (!output->failed)
		write_stdout(output, output->held, output->held_size);
	free(output->held);
	output->held = NULL;
	output->held_size = 0;
}

static int write_out(void *ctx, const void *data, size_t size)
{
	struct output *output = ctx;
	int r;

	if (output->failed)
		return -1;
	if (output->holds)
		return keep(output, data, size);
	progress_clear();
	if (!output->file)
		return write_stdout(output, data, size);
	r = ms_file_write(output->file, data, size);
	if (r < 0) {
		complain("%s", ms_error());
		output->failed = true;
	}
	return r;
}

static bool want_colour(const struct options *options)
{
	const char *when = options->colour ? options->colour : "auto";
	const char *no_color = getenv("NO_COLOR");

	if (strcmp(when, "auto") != 0)
		return strcmp(when, "always") == 0;
	return isatty(STDOUT_FILENO) && !options->output && !(no_color && *no_color);
}

struct ms_value text_value(const char *text)
{
	return (struct ms_value){.present = text, .v.data = text, .size = text ? strlen(text) : 0};
}

struct ms_value number_value(uint64_t number)
{
	return (struct ms_value){.present = true, .v.u = number};
}

struct ms_value address_value(uint64_t address)
{
	return number_value(address);
}

/* In text, errors are no results: they go to stderr. */
static int take_record(void *ctx, const struct ms_record *record)
{
	struct output *output = ctx;
	struct ms_sink sink = ms_exporter_sink(output->exporter);

	if (output->text && record->schema == &ms_schema_error) {
		const struct ms_value *why = &record->values[2];

		complain("%.*s", (int)why->size, (const char *)why->v.data);
		return 0;
	}
	return sink.record(sink.ctx, record);
}

int meta_put(
	const struct ms_sink *sink, const struct options *options, int64_t started, int64_t ended)
{
	static const struct ms_column word_columns[] = {{"", MS_TYPE_TEXT}};
	static const struct ms_schema word = {"argument", 1, word_columns};
	static const struct ms_column columns[] = {{"schema", MS_TYPE_TEXT},
		{"version", MS_TYPE_TEXT}, {"command", MS_TYPE_TEXT}, {"arguments", MS_TYPE_LIST},
		{"host", MS_TYPE_TEXT}, {"user", MS_TYPE_TEXT}, {"started", MS_TYPE_TIME},
		{"backend", MS_TYPE_TEXT}, {"backend_why", MS_TYPE_TEXT}, {"ended", MS_TYPE_TIME}};
	static const struct ms_schema running = {"meta", 9, columns}, over = {"meta", 10, columns};
	size_t count = (size_t)options->argc - 1;
	struct ms_value *words = calloc(count + 1, sizeof(*words));
	struct ms_record *records = calloc(count + 1, sizeof(*records));
	char host[256], user[256];
	int r = -1;

	if (words && records) {
		for (size_t i = 0; i < count; i++) {
			words[i] = text_value(options->argv[i + 1]);
			records[i] = (struct ms_record){&word, &words[i]};
		}
		ms_machine_name(host, sizeof(host));
		ms_user_name(user, sizeof(user));
		const struct ms_value values[] = {text_value("memsift/1"), text_value(ms_version()),
			text_value(options->command),
			{.present = true, .v.items = records, .size = count}, text_value(host),
			text_value(user), {.present = true, .v.i = started},
			text_value(options->backend), text_value(options->why),
			{.present = true, .v.i = ended}};
		struct ms_record record = {ended ? &over : &running, values};

		r = sink->record(sink->ctx, &record);
	}
	free(words);
	free(records);
	return r == 0 ? 0 : -1;
}

static bool is_for_people(const struct options *options)
{
	return !options->format || strcmp(options->format, "text") == 0 || options->plain ||
	       options->raw;
}

int output_open(struct output *output, const struct options *options)
{
	const char *format = options->format ? options->format : "text";
	bool folder = strcmp(options->command, "dump") == 0 ||
		      strcmp(options->command, "snapshot") == 0 ||
		      strcmp(options->command, "collect") == 0;
	int r;

	*output = (struct output){.started = time_now(),
		.started_ns = clock_now_ns(),
		.text = strcmp(format, "text") == 0};
	/* dump, snapshot and collect say with -o where the files go. */
	if (options->output && !folder) {
		r = ms_file_create(
			options->output, options->force ? MS_FILE_FORCE : 0, &output->file);
		if (r < 0) {
			complain("%s", ms_error());
			return STATUS_OUTPUT;
		}
	}
	r = ms_exporter_new(format, write_out, output, &output->exporter);
	if (r < 0) {
		ms_file_free(output->file);
		return fail(r);
	}
	ms_exporter_colour(output->exporter, want_colour(options));
	output->sink = (struct ms_sink){take_record, output};
	meta_put(&output->sink, options, output->started, 0);
	/* People were told already. */
	for (size_t i = 0; i < options->fault_count && !is_for_people(options); i++)
		output_error(output, 0, options->faults[i].what, options->faults[i].why);
	return STATUS_DONE;
}

int output_faults(const struct options *options, int status)
{
	struct summary summary = {.status = status};
	struct output output;
	int r = is_for_people(options) ? status : output_open(&output, options);

	return r == STATUS_DONE ? output_close(&output, options, &summary) : r;
}

int output_bytes(struct output *output, const void *data, size_t size)
{
	/* What records said so far comes first. */
	if (ms_exporter_flush(output->exporter) < 0)
		return -1;
	return write_out(output, data, size);
}

int output_record(
	struct output *output, const struct ms_schema *schema, const struct ms_value *values)
{
	struct ms_record record = {schema, values};

	if (output->sink.record(output->sink.ctx, &record))
		return -1;
	return output->failed ? -1 : 0;
}

int output_error(struct output *output, uint32_t pid, const char *what, const char *why)
{
	const struct ms_value values[] = {
		pid ? number_value(pid) : (struct ms_value){0}, text_value(what), text_value(why)};

	return output_record(output, &ms_schema_error, values);
}

static void write_summary(struct output *output, const struct summary *summary, const char *status)
{
	static const struct ms_column columns[] = {{"targets", MS_TYPE_U64}, {"hits", MS_TYPE_U64},
		{"findings", MS_TYPE_U64}, {"bytes_read", MS_TYPE_U64}, {"seconds", MS_TYPE_F64},
		{"status", MS_TYPE_TEXT}};
	static const struct ms_schema schema = {"summary", 6, columns};
	/* Zero hits of a command that does not search would read like a result. */
	struct ms_value hits = number_value(summary->hits);

	hits.present = summary->searched;
	const struct ms_value values[] = {number_value(summary->targets), hits,
		number_value(summary->findings), number_value(summary->bytes_read),
		{.present = true, .v.f = (double)(clock_now_ns() - output->started_ns) / 1e9},
		text_value(status)};

	output_record(output, &schema, values);
}

static int final_status(const struct options *options, const struct summary *summary)
{
	if (interrupted())
		return STATUS_INTERRUPTED;
	if (summary->status == STATUS_OUTPUT || summary->status == STATUS_USAGE)
		return summary->status;
	if (options->fail_on_hit && (summary->hits || summary->findings))
		return STATUS_HITS;
	if (summary->status)
		return summary->status;
	return summary->partial ? STATUS_PARTIAL : STATUS_DONE;
}

int output_close(struct output *output, const struct options *options, struct summary *summary)
{
	int status = final_status(options, summary);
	const char *word = status == STATUS_INTERRUPTED		      ? "interrupted"
			   : summary->partial || summary->status != 0 ? "partial"
								      : "complete";

	progress_clear();
	if (!output->failed)
		write_summary(output, summary, word);
	if (ms_exporter_finish(output->exporter) < 0)
		output->failed = true;
	if (output->file && !output->failed && ms_file_commit(output->file) < 0) {
		complain("%s", ms_error());
		output->failed = true;
	}
	ms_exporter_free(output->exporter);
	ms_file_free(output->file);
	if (output->closed)
		return interrupted() ? STATUS_INTERRUPTED : STATUS_DONE;
	return output->failed ? STATUS_OUTPUT : status;
}

int stdout_close(int status)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	if (errno == EPIPE)
		return status;
	complain("cannot write to stdout: %s", strerror(errno ? errno : EIO));
	return STATUS_OUTPUT;
}
