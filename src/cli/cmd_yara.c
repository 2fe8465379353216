/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * YARA rules over processes. In text, hits look as yara shows them: a line with the rule and the
 * pid, and with -s a line for each match below it.
 */
#include "cli.h"
#include "commands.h"

/* A part of memory to dump when the scan is over. */
struct dump_wish {
	uint32_t pid;
	uint64_t base, size;
};

struct yara_run {
	const struct options *options;
	uint64_t pid; /* of the last hit, and its rule */
	const void *rule, *space;
	struct dump_wish *wishes;
	size_t wish_count;
	bool failed; /* no memory for wishes */
};

static const struct ms_value *field(const struct ms_record *record, const char *name)
{
	const struct ms_schema *schema = record->schema;

	for (size_t i = 0; i < schema->column_count; i++)
		if (strcmp(schema->columns[i].name, name) == 0 && record->values[i].present)
			return &record->values[i];
	return NULL;
}

/* ---- Lines as yara writes them ---- */

/* Printable ASCII as it is, all else as \xNN. */
static void put_escaped(FILE *out, const struct ms_value *value)
{
	const unsigned char *data = value->v.data;

	for (size_t i = 0; i < value->size; i++)
		if (data[i] >= ' ' && data[i] <= '~')
			fputc(data[i], out);
		else
			fprintf(out, "\\x%02X", data[i]);
}

static void put_tags(FILE *out, const struct ms_value *tags)
{
	fputs(" [", out);
	for (size_t i = 0; i < tags->size; i++) {
		fputs(i ? "," : "", out);
		put_escaped(out, &tags->v.items[i].values[0]);
	}
	fputc(']', out);
}

static void put_meta(FILE *out, const struct ms_value *meta)
{
	fputs(" [", out);
	for (size_t i = 0; i < meta->size; i++) {
		const struct ms_record *item = &meta->v.items[i];
		const struct ms_value *value = &item->values[1];

		fputs(i ? "," : "", out);
		put_escaped(out, &item->values[0]);
		fputc('=', out);
		switch (item->schema->columns[1].type) {
		case MS_TYPE_U64:
			fprintf(out, "%llu", (unsigned long long)value->v.u);
			break;
		case MS_TYPE_F64:
			fprintf(out, "%.0f", value->v.f);
			break;
		case MS_TYPE_BOOL:
			fputs(value->v.u ? "true" : "false", out);
			break;
		default:
			fputc('"', out);
			put_escaped(out, value);
			fputc('"', out);
		}
	}
	fputc(']', out);
}

static void put_rule(FILE *out, const struct options *options, const struct ms_record *record)
{
	if (options->print_namespace) {
		put_escaped(out, field(record, "namespace"));
		fputc(':', out);
	}
	put_escaped(out, field(record, "rule"));
	if (options->print_tags)
		put_tags(out, field(record, "tags"));
	if (options->print_meta)
		put_meta(out, field(record, "meta"));
	fprintf(out, " %llu\n", (unsigned long long)field(record, "pid")->v.u);
}

static void put_match(FILE *out, const struct ms_record *record)
{
	const struct ms_value *bytes = field(record, "bytes");
	const struct ms_value *key = field(record, "xor_key");

	fprintf(out, "0x%llx:", (unsigned long long)field(record, "address")->v.u);
	put_escaped(out, field(record, "string"));
	if (key)
		fprintf(out, ":xor(0x%02llx)", (unsigned long long)key->v.u);
	fputs(": ", out);
	put_escaped(out, bytes);
	fputs(bytes->size < field(record, "size")->v.u ? "...\n" : "\n", out);
}

static int text_hit(struct yara_run *run, struct output *output, const struct ms_record *record)
{
	const struct ms_value *rule = field(record, "rule");
	uint64_t pid = field(record, "pid")->v.u;
	/* Hits come by rule, and the names of a rule live in one place. */
	bool same = pid == run->pid && rule->v.data == run->rule &&
		    field(record, "namespace")->v.data == run->space;
	bool strings = run->options->print_strings && field(record, "string");
	char *text = NULL;
	size_t size = 0;
	FILE *out;
	int r;

	if (same && !strings)
		return 0;
	out = open_memstream(&text, &size);
	if (!out)
		return -1;
	if (!same)
		put_rule(out, run->options, record);
	if (strings)
		put_match(out, record);
	r = fclose(out);
	if (r == 0)
		r = output_bytes(output, text, size);
	free(text);
	run->pid = pid;
	run->rule = rule->v.data;
	run->space = field(record, "namespace")->v.data;
	return r;
}

/* ---- Dumps of what was hit ---- */

static void wish_add(struct yara_run *run, const struct ms_record *record)
{
	bool region = strcmp(run->options->dump_on_hit, "region") == 0;
	const struct ms_value *start = field(record, "region_start");
	struct dump_wish wish = {.pid = (uint32_t)field(record, "pid")->v.u};
	struct dump_wish *grown;

	if (region && !start)
		return;
	if (region) {
		wish.base = start->v.u;
		wish.size = field(record, "region_end")->v.u - start->v.u;
	}
	for (size_t i = run->wish_count; i-- > 0;)
		if (memcmp(&run->wishes[i], &wish, sizeof(wish)) == 0)
			return;
	grown = realloc(run->wishes, (run->wish_count + 1) * sizeof(*grown));
	run->failed |= !grown;
	if (!grown)
		return;
	run->wishes = grown;
	grown[run->wish_count++] = wish;
}

static void wrote(void *ctx, const char *path, uint64_t size, const char *sha256)
{
	const struct options *options = ctx;

	(void)size, (void)sha256;
	if (!options->quiet)
		complain("wrote %s", path);
}

static int wish_dump(const struct yara_run *run, const struct target_group *group,
	const struct dump_wish *wish, const struct output *output, const struct ms_job *job,
	struct summary *summary)
{
	const struct ms_process *process = NULL;
	struct ms_coverage coverage = {0};
	ms_source *source = NULL;
	ms_filter *filter = NULL;
	char *stem, *path = NULL, time[17];
	int r;

	for (size_t i = 0; i < group->count; i++)
		if (group->list[i].pid == wish->pid)
			process = &group->list[i];
	stem = process ? file_stem(process) : NULL;
	if (!stem)
		return 0;
	time_compact(output->started, time);
	if (!wish->size && asprintf(&path, "%s.%s.core", stem, time) < 0)
		path = NULL;
	r = ms_source_open_process(group->host, process, &source);
	if (r == 0)
		r = ms_filter_new(&filter);
	if (r == 0 && wish->size)
		r = filter_add_range(filter, wish->base, wish->size);
	if (r == 0) {
		struct ms_dump dump = {
			.size = sizeof(dump),
			.path = wish->size ? "." : path,
			.format = wish->size ? MS_DUMP_RAW : MS_DUMP_CORE,
			.filter = filter,
			.job = *job,
			.file_flags = run->options->force ? MS_FILE_FORCE : 0,
			.wrote = wrote,
			.ctx = (void *)run->options,
			.prefix = stem,
		};

		r = ms_source_dump(source, &dump, &coverage);
		summary->bytes_read += coverage.read;
		summary->partial |= coverage.partial;
	}
	ms_filter_free(filter);
	ms_source_free(source);
	free(path);
	free(stem);
	return r;
}

static void group_done(
	void *ctx, struct output *output, const struct target_group *group, struct summary *summary)
{
	struct yara_run *run = ctx;

	for (size_t i = 0; i < run->wish_count && !interrupted(); i++) {
		struct ms_job job = job_make(run->options);
		int r;

		/* The limits are those of the whole run. */
		if (!job_rest(&job, summary->bytes_read, output->started_ns)) {
			complain("--max-memory-size was reached; the dumps that follow are left "
				 "out");
			summary->partial = true;
			break;
		}
		r = wish_dump(run, group, &run->wishes[i], output, &job, summary);
		if (r < 0) {
			output_error(output, run->wishes[i].pid, "dump", ms_error());
			summary->partial = true;
		}
	}
	if (run->failed) {
		complain("out of memory: not all that was hit could be dumped");
		summary->partial = true;
	}
	run->wish_count = 0;
}

/* ---- Costs ---- */

static void cost_record(struct output *output, const struct ms_note *note)
{
	static const struct ms_column columns[] = {{"rule", MS_TYPE_TEXT},
		{"namespace", MS_TYPE_TEXT}, {"verified", MS_TYPE_U64}, {"matches", MS_TYPE_U64},
		{"targets", MS_TYPE_U64}, {"seconds", MS_TYPE_F64}};
	static const struct ms_schema schema = {"cost", 6, columns};
	const struct ms_value values[] = {text_value(note->text), text_value(note->file),
		{.present = note->count != UINT64_MAX, .v.u = note->count},
		number_value(note->matches), number_value(note->targets),
		{.present = note->time_ns > 0, .v.f = (double)note->time_ns / 1e9}};

	output_record(output, &schema, values);
}

static void cost_number(FILE *out, uint64_t number, bool known)
{
	if (known)
		fprintf(out, "%12llu", (unsigned long long)number);
	else
		fprintf(out, "%12s", "-");
}

/* A line of the table that people are shown; NULL: its head. */
static void cost_line(struct output *output, const struct ms_note *note)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	if (note) {
		cost_number(out, note->count, note->count != UINT64_MAX);
		cost_number(out, note->matches, true);
		cost_number(out, note->targets, true);
		cost_number(out, note->time_ns / 1000, note->time_ns > 0);
		fprintf(out, "  %s:%s\n", note->file, note->text);
	} else {
		fprintf(out,
			"what rules cost: how often one of its strings was verified, its matches,\n"
			"the targets in which it holds, and microseconds, where libyara was built "
			"to "
			"measure them\n%12s%12s%12s%12s  rule\n",
			"verified", "matches", "targets", "us");
	}
	if (fclose(out) == 0)
		output_bytes(output, text, size);
	free(text);
}

static void costs_tell(void *ctx, struct output *output, const ms_engine *engine)
{
	const struct yara_run *run = ctx;
	const struct ms_note *notes;
	size_t count, told = 0;

	if (!run->options->profile)
		return;
	ms_engine_notes(engine, &notes, &count);
	for (size_t i = 0; i < count; i++) {
		if (notes[i].kind != MS_NOTE_COST)
			continue;
		if (!told++ && output->text)
			cost_line(output, NULL);
		(output->text ? cost_line : cost_record)(output, &notes[i]);
	}
	if (!told && !run->options->quiet)
		complain("--profile: no rule cost anything: no atom of one was found, and none "
			 "holds");
}

/* ---- The command ---- */

static int take_record(void *ctx, struct output *output, const struct ms_record *record)
{
	struct yara_run *run = ctx;

	if (record->schema == &ms_schema_hit && run->options->dump_on_hit)
		wish_add(run, record);
	if (record->schema == &ms_schema_hit && output->text)
		return text_hit(run, output, record);
	return output->sink.record(output->sink.ctx, record);
}

int yara_new(const struct ms_arg *args, size_t count, ms_engine **ret_engine)
{
	const struct ms_engine_options options = {
		.size = sizeof(options), .cancelled = job_cancelled};
	int status, r = ms_engine_new_with("yara", args, count, &options, ret_engine);

	if (r == 0)
		return STATUS_DONE;
	/* A rule file that is missing or broken is wrong use, as no target was looked at. */
	status = fail(r);
	return status == STATUS_TARGET ? STATUS_USAGE : status;
}

void yara_notes_tell(const ms_engine *engine, const struct options *options, bool *ret_errors)
{
	const struct ms_note *notes;
	size_t count;

	ms_engine_notes(engine, &notes, &count);
	for (size_t i = 0; i < count; i++) {
		const struct ms_note *note = &notes[i];

		if (note->kind == MS_NOTE_ERROR) {
			*ret_errors = true;
			complain("left out: %s", note->text);
		} else if (note->kind == MS_NOTE_WARNING && !options->quiet) {
			complain("warning: %s:%llu: %s", note->file ? note->file : "rule",
				(unsigned long long)note->line, note->text);
		}
	}
}

static int check_usage(const struct options *options)
{
	bool rules = false;

	for (size_t i = 0; i < options->arg_count; i++)
		rules |= strcmp(options->args[i].key, "rules") == 0 ||
			 strcmp(options->args[i].key, "rule") == 0;
	if (!rules)
		complain("yara: say which rules, with -r FILE-OR-FOLDER or --rule TEXT");
	else if (options->context > MS_CONTEXT_MAX)
		complain("--context: at most %d", MS_CONTEXT_MAX);
	else
		return STATUS_DONE;
	return STATUS_USAGE;
}

int cmd_yara(struct options *options)
{
	struct yara_run run = {.options = options};
	struct searcher searcher = {
		.record = take_record, .group_done = group_done, .finish = costs_tell, .ctx = &run};
	ms_engine *engine;
	int status = check_usage(options);

	if (status != STATUS_DONE)
		return status;
	/* Text does not show it, and reading it takes longer than finding most matches. */
	if (!options->format || strcmp(options->format, "text") == 0)
		options->context = 0;
	status = yara_new(options->args, options->arg_count, &engine);
	if (status != STATUS_DONE)
		return status;
	yara_notes_tell(engine, options, &searcher.partial);
	status = search_run_with(options, engine, &searcher);
	free(run.wishes);
	return status;
}
