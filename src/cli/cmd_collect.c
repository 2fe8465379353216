/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Evidence: a folder with a subfolder for each process, and a manifest with the hash of every
 * file, computed while it was written. Processes are collected side by side, unless a limit on
 * all of them makes their order matter.
 */
#include "cli.h"
#include "commands.h"

#include "../base/os.h"
#include "evidence.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKERS_MAX = 8, COVERAGE_STATUS = 8 /* the column of ms_schema_coverage */ };

struct item {
	ms_host *host;
	const struct ms_process *process;
};

/* A part of memory to dump, as --dump-memory-region names it. */
struct part {
	uint64_t pid, base, size;
};

struct collect {
	struct options *options;
	struct evidence *evidence;
	struct output *output;
	ms_engine *engine; /* NULL: nothing to search for */
	ms_engine *rules;  /* YARA rules; NULL: none */
	bool dump;
	struct item *items;
	size_t item_count;
	struct part *parts;
	size_t part_count;
	char *part_pids;  /* of all parts, by commas, where nothing else names targets */
	unsigned threads; /* of each job */

	pthread_mutex_t lock; /* guards what follows, and output */
	size_t next, finished;
	uint64_t bytes_left; /* UINT64_MAX for no limit; one worker then, here and below */
	uint64_t hits_left;
	struct stems stems; /* of the folders made so far */
	struct summary summary;
};

/* One process being collected. */
struct subject {
	struct collect *collect;
	const struct ms_process *process;
	ms_source *source;
	char *stem, *folder;
	int status; /* the first library status below 0 */
};

static void lock(struct collect *collect)
{
	pthread_mutex_lock(&collect->lock);
}

static void unlock(struct collect *collect)
{
	pthread_mutex_unlock(&collect->lock);
}

/* Notes what went wrong with a process, everywhere it should be seen. */
static void subject_error(struct subject *subject, int status, const char *what)
{
	struct collect *collect = subject->collect;
	const char *why = ms_error();

	lock(collect);
	output_error(collect->output, subject->process->pid, what, why);
	evidence_error(collect->evidence, subject->process->pid, what, why);
	summary_fail(&collect->summary, status);
	unlock(collect);
	if (!subject->status)
		subject->status = status;
}

static char *subject_path(const struct subject *subject, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", subject->folder, name) < 0 ? NULL : path;
}

static int write_process(struct subject *subject, struct ms_sink *sink)
{
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_record record = {&ms_schema_process, values};

	ms_record_process(subject->process, values);
	return sink->record(sink->ctx, &record) ? MS_ERR_STOPPED : 0;
}

static int write_regions(struct subject *subject, struct ms_sink *sink)
{
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_record record = {&ms_schema_region, values};
	const struct ms_region *regions;
	size_t count;
	int r = ms_source_regions(subject->source, &regions, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		ms_record_region(subject->process, &regions[i], values);
		r = sink->record(sink->ctx, &record) ? MS_ERR_STOPPED : 0;
	}
	return r;
}

static int write_modules(struct subject *subject, struct ms_sink *sink)
{
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_record record = {&ms_schema_module, values};
	const struct ms_module *modules;
	size_t count;
	int r = ms_source_modules(subject->source, &modules, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		ms_record_module(subject->process, &modules[i], values);
		r = sink->record(sink->ctx, &record) ? MS_ERR_STOPPED : 0;
	}
	return r;
}

/* Of several processes it is told of each how far it is, and of all how many are done. */
static void tell_progress(void *ctx, const struct ms_progress *progress)
{
	struct collect *collect = ctx;
	struct ms_progress one = *progress;

	lock(collect);
	one.targets_done = collect->finished;
	one.targets_total = collect->item_count;
	progress_show(NULL, &one);
	unlock(collect);
}

static struct ms_job subject_job(const struct subject *subject)
{
	struct ms_job job = job_make(subject->collect->options);

	job.threads = subject->collect->threads;
	if (subject->collect->item_count > 1 && job.progress) {
		job.progress = tell_progress;
		job.ctx = subject->collect;
	}
	job.bytes_max = 0;
	job_rest(&job, 0, subject->collect->output->started_ns);
	if (subject->collect->bytes_left != UINT64_MAX)
		job.bytes_max = subject->collect->bytes_left;
	return job;
}

/* Counts bytes against the limit on all processes; locked. */
static void take_bytes(struct collect *collect, uint64_t bytes)
{
	collect->summary.bytes_read += bytes;
	if (collect->bytes_left != UINT64_MAX)
		collect->bytes_left -= bytes < collect->bytes_left ? bytes : collect->bytes_left;
}

/* Notes that a limit leaves nothing for this process. */
static int limit_reached(struct subject *subject, const char *what)
{
	evidence_log(subject->collect->evidence, "%s: not %s, a limit was reached before",
		subject->stem, what);
	lock(subject->collect);
	subject->collect->summary.partial = true;
	unlock(subject->collect);
	return 0;
}

/* A search on its way into its file. */
struct searching {
	struct subject *subject;
	struct ms_sink file;
};

static bool says_complete(const struct ms_record *coverage)
{
	static const char complete[] = "complete";
	const struct ms_value *status = &coverage->values[COVERAGE_STATUS];

	return status->size == strlen(complete) &&
	       memcmp(status->v.data, complete, status->size) == 0;
}

/* What a search did not read is told like what a dump did not, unless a dump tells the same. */
static int take_found(void *ctx, const struct ms_record *record)
{
	struct searching *searching = ctx;
	struct collect *collect = searching->subject->collect;

	if (record->schema == &ms_schema_coverage && (!collect->dump || !says_complete(record))) {
		lock(collect);
		collect->output->sink.record(collect->output->sink.ctx, record);
		evidence_record(collect->evidence, record);
		unlock(collect);
	}
	return searching->file.record(searching->file.ctx, record);
}

static int write_hits_of(struct subject *subject, const ms_engine *engine, struct ms_sink *sink)
{
	struct collect *collect = subject->collect;
	struct searching searching = {subject, *sink};
	struct ms_scan scan = {
		.size = sizeof(scan),
		.engine = engine,
		.filter = collect->options->filter,
		.job = subject_job(subject),
		.context = 64,
		.sink = {take_found, &searching},
	};
	struct ms_total total;
	int r;

	lock(collect);
	collect->summary.searched = true;
	unlock(collect);
	if (collect->hits_left != UINT64_MAX)
		scan.job.hits_max = collect->hits_left;
	if (!collect->bytes_left || !collect->hits_left)
		return limit_reached(subject, "searched");
	r = ms_scan_source(subject->source, &scan, &total);
	if (r < 0)
		return r;
	lock(collect);
	collect->summary.hits += total.hits;
	collect->summary.partial |= total.partial || total.hit_limit;
	take_bytes(collect, total.bytes_read);
	if (collect->hits_left != UINT64_MAX)
		collect->hits_left -= total.hits;
	unlock(collect);
	evidence_log(collect->evidence, "%s: %llu hits in %llu bytes read: %s", subject->stem,
		(unsigned long long)total.hits, (unsigned long long)total.bytes_read,
		total.partial || total.hit_limit ? "partial" : "complete");
	return 0;
}

static int write_hits(struct subject *subject, struct ms_sink *sink)
{
	return write_hits_of(subject, subject->collect->engine, sink);
}

static int write_yara(struct subject *subject, struct ms_sink *sink)
{
	return write_hits_of(subject, subject->collect->rules, sink);
}

/* Writes one of the files above. */
static void write_records(struct subject *subject, const char *name,
	int (*write)(struct subject *subject, struct ms_sink *sink))
{
	struct evidence_file *file;
	struct ms_sink sink;
	char *path = subject_path(subject, name);
	int r = path ? evidence_file_open(subject->collect->evidence, path, &file, &sink)
		     : MS_ERR_MEMORY;

	if (r == 0) {
		r = write(subject, &sink);
		/* The file keeps what came before the failure. */
		r = evidence_file_close(file, r);
	}
	if (r < 0)
		subject_error(subject, r, name);
	free(path);
}

static void wrote(void *ctx, const char *path, uint64_t size, const char *sha256)
{
	struct subject *subject = ctx;

	evidence_add(subject->collect->evidence, path, size, sha256);
}

static void account(struct subject *subject, const struct ms_coverage *coverage)
{
	struct collect *collect = subject->collect;

	lock(collect);
	collect->summary.partial |= coverage->partial;
	take_bytes(collect, coverage->read);
	ms_sink_coverage(&collect->output->sink, subject->process, coverage);
	evidence_coverage(collect->evidence, subject->process, coverage);
	unlock(collect);
}

static void dump_part(struct subject *subject, const char *path, ms_filter *filter, bool raw)
{
	const struct options *options = subject->collect->options;
	struct ms_coverage coverage;
	struct ms_dump dump = {
		.size = sizeof(dump),
		.path = path,
		.format = raw ? MS_DUMP_RAW : MS_DUMP_CORE,
		.filter = filter,
		.job = subject_job(subject),
		.zstd = options->compress,
		.file_flags = evidence_file_flags(subject->collect->evidence),
		.wrote = wrote,
		.ctx = subject,
		.prefix = subject->stem,
	};
	int r;

	if (subject->collect->bytes_left == 0) {
		limit_reached(subject, "dumped");
		return;
	}
	r = ms_source_dump(subject->source, &dump, &coverage);
	if (r < 0) {
		subject_error(subject, r, "dump");
		return;
	}
	/* Of a part that was asked for, nothing is there. */
	coverage.partial |= raw && coverage.filtered == coverage.total;
	account(subject, &coverage);
}

static void dump_whole(struct subject *subject)
{
	char time[17], *path;

	time_compact(subject->collect->output->started, time);
	if (asprintf(&path, "%s/%s.%s.core%s", subject->folder, subject->stem, time,
		    subject->collect->options->compress ? ".zst" : "") < 0)
		return;
	dump_part(subject, path, subject->collect->options->filter, false);
	free(path);
}

static void dump_parts(struct subject *subject)
{
	const struct collect *collect = subject->collect;

	for (size_t i = 0; i < collect->part_count && !interrupted(); i++) {
		const struct part *part = &collect->parts[i];
		ms_filter *filter;

		if (part->pid != subject->process->pid || ms_filter_new(&filter) < 0)
			continue;
		if (filter_add_range(filter, part->base, part->size) == 0)
			dump_part(subject, subject->folder, filter, true);
		ms_filter_free(filter);
	}
}

/* What reads its memory: of one moment, so that what was found is in the dump. */
static void collect_memory(struct subject *subject)
{
	struct collect *collect = subject->collect;
	int r = ms_source_pause(subject->source, pause_of(collect->options));

	/* It can be searched as it runs, but a dump of what changes is not what was asked for. */
	if (r < 0)
		subject_error(subject, r, "pause");
	if (collect->engine && !interrupted())
		write_records(subject, "hits.json", write_hits);
	if (collect->rules && !interrupted())
		write_records(subject, "yara.json", write_yara);
	if (collect->dump && r == 0 && !interrupted())
		dump_whole(subject);
	if (r == 0)
		dump_parts(subject);
	ms_source_pause(subject->source, MS_PAUSE_NONE);
}

static void collect_source(struct subject *subject)
{
	struct collect *collect = subject->collect;
	bool stops = pause_of(collect->options) == MS_PAUSE_FREEZE;

	write_records(subject, "process.json", write_process);
	write_records(subject, "regions.json", write_regions);
	write_records(subject, "modules.json", write_modules);
	lock(collect);
	if (stops)
		output_hold(collect->output);
	unlock(collect);
	collect_memory(subject);
	lock(collect);
	if (stops)
		output_release(collect->output);
	unlock(collect);
}

static void collect_process(struct collect *collect, const struct item *item)
{
	struct subject subject = {.collect = collect, .process = item->process};
	int r;

	lock(collect);
	subject.stem = stem_take(&collect->stems, item->process);
	unlock(collect);
	if (!subject.stem || asprintf(&subject.folder, "%s/%s", evidence_folder(collect->evidence),
				     subject.stem) < 0) {
		complain("out of memory");
		lock(collect);
		collect->summary.status = STATUS_OUTPUT;
		unlock(collect);
		free(subject.stem);
		return;
	}
	r = ms_source_open_process(item->host, item->process, &subject.source);
	if (r < 0) {
		subject_error(&subject, r, item->process->name);
	} else if (mkdir(subject.folder, 0700) != 0) {
		complain("cannot make the folder %s: %s", subject.folder, strerror(errno));
		lock(collect);
		collect->summary.status = STATUS_OUTPUT;
		unlock(collect);
	} else {
		evidence_log(collect->evidence, "%s: begun", subject.stem);
		collect_source(&subject);
		evidence_log(collect->evidence, "%s: done", subject.stem);
		lock(collect);
		collect->summary.targets++;
		if (collect->summary.status == STATUS_TARGET)
			collect->summary.status = STATUS_PARTIAL;
		unlock(collect);
	}
	lock(collect);
	collect->finished++;
	unlock(collect);
	ms_source_free(subject.source);
	free(subject.folder);
	free(subject.stem);
}

static void *collect_worker(void *ctx)
{
	struct collect *collect = ctx;

	for (;;) {
		size_t index;

		lock(collect);
		index = collect->next++;
		unlock(collect);
		if (index >= collect->item_count || interrupted())
			return NULL;
		collect_process(collect, &collect->items[index]);
	}
}

/* A job has threads of its own, but hashing keeps to one: several processes fill the cores. */
static void collect_all(struct collect *collect)
{
	unsigned threads =
		collect->options->threads ? (unsigned)collect->options->threads : os_core_count();
	bool ordered = collect->bytes_left != UINT64_MAX || collect->options->hits_max;
	unsigned workers = ordered ? 1 : threads;
	pthread_t ids[WORKERS_MAX];
	unsigned started = 0;

	if (workers > collect->item_count)
		workers = (unsigned)collect->item_count;
	if (workers > WORKERS_MAX)
		workers = WORKERS_MAX;
	collect->threads = workers > 1 ? (threads + workers - 1) / workers : threads;
	while (started + 1 < workers &&
		pthread_create(&ids[started], NULL, collect_worker, collect) == 0)
		started++;
	collect_worker(collect);
	for (unsigned i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
}

static int take_items(struct collect *collect, const struct targets *targets)
{
	collect->items = calloc(targets->process_count, sizeof(*collect->items));
	if (!collect->items)
		return MS_ERR_MEMORY;
	for (size_t g = 0; g < targets->group_count; g++)
		for (size_t i = 0; i < targets->groups[g].count; i++)
			collect->items[collect->item_count++] =
				(struct item){targets->groups[g].host, &targets->groups[g].list[i]};
	return 0;
}

/* "PID:ADDRESS:SIZE" */
static int part_parse(const char *text, struct part *ret_part)
{
	const char *colon = strchr(text, ':');
	char number[24] = "";

	if (colon && strchr(colon + 1, ':') && (size_t)(colon - text) < sizeof(number))
		memcpy(number, text, (size_t)(colon - text));
	if (!*number || ms_parse_number("--dump-memory-region", number, &ret_part->pid) < 0) {
		complain("--dump-memory-region %s: a part of memory is written PID:ADDRESS:SIZE",
			text);
		return -1;
	}
	return region_spec_parse(
		"--dump-memory-region", colon + 1, &ret_part->base, &ret_part->size);
}

/* Parts name their processes: where nothing else does, these are the targets. */
static int take_parts(struct options *options, struct collect *collect)
{
	bool named = options->operand_count || options->pids || options->names || options->all ||
		     options->user || options->from;

	collect->parts = calloc(options->region_count + 1, sizeof(*collect->parts));
	for (size_t i = 0; collect->parts && i < options->region_count; i++) {
		struct part *part = &collect->parts[collect->part_count++];
		char *pids;

		if (part_parse(options->regions[i], part) < 0)
			return -1;
		if (asprintf(&pids, "%s%s%llu", collect->part_pids ? collect->part_pids : "",
			    collect->part_pids ? "," : "", (unsigned long long)part->pid) < 0)
			return -1;
		free(collect->part_pids);
		collect->part_pids = pids;
	}
	if (!named)
		options->pids = collect->part_pids;
	return collect->parts ? 0 : -1;
}

/* A part of a process that is no target would silently not be dumped. */
static int check_parts(const struct collect *collect)
{
	for (size_t i = 0; i < collect->part_count; i++) {
		bool found = false;

		for (size_t k = 0; k < collect->item_count; k++)
			found |= collect->items[k].process->pid == collect->parts[i].pid;
		if (found)
			continue;
		complain("--dump-memory-region: pid %llu is none of the targets",
			(unsigned long long)collect->parts[i].pid);
		return STATUS_TARGET;
	}
	return STATUS_DONE;
}

/* A file or a folder; anything else is the text of rules, which no file is called like. */
static int rules_make(const struct options *options, struct collect *collect)
{
	struct stat st;
	bool text = stat(options->memory_yara, &st) < 0 && strchr(options->memory_yara, '{');
	struct ms_arg arg = {text ? "rule" : "rules", options->memory_yara};
	bool errors = false;
	int status = yara_new(&arg, 1, &collect->rules);

	if (status == STATUS_DONE)
		yara_notes_tell(collect->rules, options, &errors);
	return status;
}

/* Checks what can be wrong before anything is opened, and fills in what it implies. */
static int check_options(struct options *options, struct collect *collect)
{
	struct ms_arg arg = {"hex", options->memory_search};
	int r;

	collect->dump = options->dump_memory || (!options->memory_search && !options->memory_yara &&
							!options->region_count);
	collect->bytes_left = options->bytes_max ? options->bytes_max : UINT64_MAX;
	collect->hits_left = options->hits_max ? options->hits_max : UINT64_MAX;
	if (take_parts(options, collect) < 0)
		return STATUS_USAGE;
	if (options->memory_search) {
		r = ms_engine_new("bytes", &arg, 1, &collect->engine);
		if (r < 0)
			return fail(r);
	}
	return options->memory_yara ? rules_make(options, collect) : STATUS_DONE;
}

/* The rules are evidence, too: each file goes into the folder, and its hash into the manifest. */
static void keep_rules(struct collect *collect)
{
	const struct ms_note *notes;
	size_t count, number = 0;
	int r = 0;

	ms_engine_notes(collect->rules, &notes, &count);
	for (size_t i = 0; i < count && r == 0; i++)
		if (notes[i].kind == MS_NOTE_FILE)
			r = evidence_keep(collect->evidence, notes[i].file, ++number);
	if (r < 0) {
		evidence_error(collect->evidence, 0, "rules", "not all of them could be kept");
		collect->summary.partial = true;
	}
}

static int collect_into(struct collect *collect, const struct targets *targets)
{
	int status = output_open(collect->output, collect->options);

	if (status != STATUS_DONE)
		return status;
	collect->summary.partial = targets->missing > 0;
	if (take_items(collect, targets) < 0)
		collect->summary.status = STATUS_OUTPUT;
	else if ((status = check_parts(collect)) != STATUS_DONE)
		collect->summary.status = status;
	else if (evidence_open(collect->options, collect->output->started, &collect->evidence) < 0)
		collect->summary.status = STATUS_OUTPUT;
	if (collect->evidence) {
		const struct options *options = collect->options;

		for (size_t i = 0; i < options->fault_count; i++)
			evidence_error(collect->evidence, 0, options->faults[i].what,
				options->faults[i].why);
		if (collect->rules)
			keep_rules(collect);
		collect_all(collect);
		if (evidence_close(collect->evidence, &collect->summary) < 0)
			collect->summary.status = STATUS_OUTPUT;
		if (collect->output->text && !collect->output->failed)
			evidence_tell(collect->evidence, collect->output);
		evidence_free(collect->evidence);
	}
	free(collect->items);
	stems_done(&collect->stems);
	return output_close(collect->output, collect->options, &collect->summary);
}

int cmd_collect(struct options *options)
{
	struct output output;
	struct targets targets;
	struct collect collect = {.options = options, .output = &output};
	int status = check_options(options, &collect);

	if (status == STATUS_DONE)
		status = targets_open(options, &targets);
	if (status == STATUS_DONE) {
		pthread_mutex_init(&collect.lock, NULL);
		status = collect_into(&collect, &targets);
		pthread_mutex_destroy(&collect.lock);
		targets_close(&targets);
	}
	ms_engine_free(collect.engine);
	ms_engine_free(collect.rules);
	free(collect.parts);
	free(collect.part_pids);
	return status;
}
