/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public scan: opens the targets for the loop, and makes records of what comes out of it,
 * each hit with its process, region and module.
 */
#include "core/record.h"
#include "core/scan.h"

#include "base/err.h"

struct hits {
	ms_host *host;
	const struct ms_process *list;
	ms_source *only; /* scanning one open source: not ours to free */
	const struct ms_scan *options;
	struct ms_total total;

	/* Modules of the target whose hits are coming out, listed at its first hit. */
	const struct ms_module *modules;
	size_t module_count, module_next;
	uint64_t module_address; /* of the last search */
	bool modules_known;

	/* The record of the last hit: one at an address of `place` is in its region and module. */
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_range place;
	const struct ms_module *module;
};

static int open_target(void *ctx, size_t index, ms_source **ret_source)
{
	struct hits *hits = ctx;

	return ms_source_open_process(hits->host, &hits->list[index], ret_source);
}

/*
 * Hits mostly come by ascending address, and so do modules: the search goes on where it was, or
 * from the beginning.
 */
static const struct ms_module *module_at(struct hits *hits, uint64_t address)
{
	const struct ms_module *module;

	if (address < hits->module_address)
		hits->module_next = 0;
	hits->module_address = address;
	while (hits->module_next < hits->module_count &&
		hits->modules[hits->module_next].base + hits->modules[hits->module_next].size <=
			address)
		hits->module_next++;
	module = &hits->modules[hits->module_next];
	return hits->module_next < hits->module_count && module->base <= address ? module : NULL;
}

/* Where the place ends that an address is in: region and module are the same up to there. */
static uint64_t place_end(const struct hits *hits, const struct ms_region *region)
{
	const struct ms_module *next = &hits->modules[hits->module_next];
	uint64_t end = region->base + region->size;

	if (hits->module_next == hits->module_count)
		return end;
	return min_u64(end, hits->module ? next->base + next->size : next->base);
}

/* Makes the part of the record that depends on the place. */
static void place_find(struct hits *hits, ms_source *src, const struct ms_hit *hit)
{
	bool placed = !hit->rule || hit->string; /* at an address */
	const struct ms_region *region;

	if (!hits->modules_known) {
		/* Without modules a hit still has its region; the target may have ended. */
		if (ms_source_modules(src, &hits->modules, &hits->module_count) < 0)
			hits->module_count = 0;
		hits->modules_known = true;
		hits->module_next = 0;
	}
	region = placed ? region_find(&src->regions, hit->address) : NULL;
	hits->module = placed ? module_at(hits, hit->address) : NULL;
	hits->place = (struct ms_range){hit->address, 0};
	if (region)
		hits->place.size = place_end(hits, region) - hit->address;
	record_hit_place(&src->process, region, hits->module, hits->values);
}

static int hit_out(void *ctx, size_t index, ms_source *src, const struct ms_hit *hit)
{
	struct hits *hits = ctx;
	const struct ms_sink *sink = &hits->options->sink;
	struct ms_record record = {&ms_schema_hit, hits->values};

	(void)index;
	if (hit->rule || hit->address - hits->place.base >= hits->place.size)
		place_find(hits, src, hit);
	record_hit_found(hit, hits->module, hits->values);
	hits->total.hits++;
	return sink->record(sink->ctx, &record) ? err_set(MS_ERR_STOPPED, "stopped by its caller")
						: 0;
}

static int failed_out(struct hits *hits, size_t index, int status, const char *error)
{
	const struct ms_process *process = hits->only ? &hits->only->process : &hits->list[index];

	/* One that the job never came to is not one that cannot be opened. */
	bool unreached = status == MS_ERR_TIMEOUT || status == MS_ERR_STOPPED;
	char text[ERR_TEXT_MAX];

	hits->total.targets_failed += !unreached;
	hits->total.targets_denied += status == MS_ERR_ACCESS;
	hits->total.partial = true;
	if (!error)
		error = "out of memory";
	/* The scan did not know whom it was about. */
	if (unreached && process->pid)
		snprintf(text, sizeof(text), "pid %u (%s): %s", process->pid, process->name, error);
	else if (unreached)
		snprintf(text, sizeof(text), "%s: %s", process->name, error);
	else
		snprintf(text, sizeof(text), "%s", error);
	return sink_error(&hits->options->sink, process->pid, process->name, text);
}

/* Told of the target as a whole: what was found still counts. */
static int troubled_out(void *ctx, size_t index, ms_source *src, const char *error)
{
	struct hits *hits = ctx;

	(void)index;
	return sink_error(&hits->options->sink, src->process.pid, src->process.name, error);
}

static int done_out(void *ctx, size_t index, ms_source *src, struct coverage *coverage, int status,
	const char *error)
{
	struct hits *hits = ctx;
	int r;

	hits->modules_known = false;
	hits->module_address = 0;
	hits->place = (struct ms_range){0};
	if (!coverage) {
		/* The job failed: nobody wants to hear any more. */
		if (!hits->only)
			ms_source_free(src);
		return 0;
	}
	if (status < 0) {
		if (!hits->only)
			ms_source_free(src);
		return failed_out(hits, index, status, error);
	}
	hits->total.targets++;
	hits->total.bytes_read += coverage->sums.read;
	hits->total.partial |= coverage->sums.partial;
	r = ms_sink_coverage(&hits->options->sink, &src->process, &coverage->sums);
	if (!hits->only)
		ms_source_free(src);
	return r;
}

static int run(struct hits *hits, size_t count, struct ms_total *ret_total)
{
	const struct ms_scan *options = hits->options;
	struct scan scan = {
		.engine = options->engine,
		.filter = options->filter ? options->filter : &filter_default,
		.job = &options->job,
		.context = min_u64(options->context, MS_CONTEXT_MAX),
		.target_count = count,
		.source = hits->only,
		.open = open_target,
		.hit = hit_out,
		.done = done_out,
		.troubled = troubled_out,
		.ctx = hits,
	};
	int r = scan_run(&scan, &hits->total.hit_limit, &hits->total.stopped);

	if (r == 0)
		*ret_total = hits->total;
	return r;
}

int ms_scan_processes(ms_host *host, const struct ms_process *list, size_t count,
	const struct ms_scan *scan, struct ms_total *ret_total)
{
	struct hits hits = {.host = host, .list = list, .options = scan};

	return run(&hits, count, ret_total);
}

int ms_scan_source(ms_source *source, const struct ms_scan *scan, struct ms_total *ret_total)
{
	struct hits hits = {.only = source, .options = scan};

	return run(&hits, 1, ret_total);
}
