/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot is taken as a dump is: the plan tells where each stretch goes, and every thread puts
 * what it reads there, so bytes are copied once and need not come in order. The room is pages
 * that cost nothing until written to. What is known of every address, data or not, is one sorted
 * list of stretches; behind it the snapshot is a source like any other.
 */
#include "memsift_track.h"

#include "base/err.h"
#include "base/os.h"
#include "core/kept.h"
#include "core/scan.h"

struct ms_snapshot {
	ms_source *from; /* while it is taken */
	struct ms_process process;
	size_t page_size;
	struct region_list regions; /* holds the strings of process, too */
	uint8_t *bytes;
	uint64_t bytes_size;
	struct kept_list kept; /* data lies at bytes + at */
	struct ms_coverage coverage;
	struct arena gaps;
	ms_host *host;
	ms_source *source;
};

/* ---- As a source ------------------------------------------------------------------------ */

static const struct ms_snapshot *snapshot_of(const ms_source *src)
{
	return *(struct ms_snapshot **)src->host->priv;
}

static int snapshot_processes(struct ms_host *host, struct process_list *out)
{
	const struct ms_snapshot *snapshot = *(struct ms_snapshot **)host->priv;

	return process_list_add(out, &snapshot->process) ? 0 : err_nomem();
}

static int snapshot_attach(struct ms_host *host, ms_source *src)
{
	src->page_size = (*(struct ms_snapshot **)host->priv)->page_size;
	return 0;
}

static int regions_copy(const struct region_list *from, struct region_list *out)
{
	for (size_t i = 0; i < from->items.count; i++) {
		struct ms_region region = from->items.data[i];

		region.path = arena_string(&out->strings, region.path);
		if (!region.path || !vec_push(&out->items, region))
			return err_nomem();
	}
	return 0;
}

static int snapshot_regions(ms_source *src, struct region_list *out)
{
	return regions_copy(&snapshot_of(src)->regions, out);
}

static const void *snapshot_view(ms_source *src, uint64_t addr, size_t size, size_t *ret_size)
{
	const struct ms_snapshot *snapshot = snapshot_of(src);
	const struct kept *kept = kept_data(&snapshot->kept, addr);

	if (!kept)
		return NULL;
	*ret_size = (size_t)min_u64(size, kept->base + kept->size - addr);
	return snapshot->bytes + kept->at + (addr - kept->base);
}

static int snapshot_read(ms_source *src, uint64_t addr, void *buf, size_t size, size_t *ret_size)
{
	size_t got = 0;
	const void *bytes = snapshot_view(src, addr, size, &got);

	if (bytes)
		memcpy(buf, bytes, got);
	*ret_size = got;
	return 0;
}

static int snapshot_resident(ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	(void)region;
	*ret_count = kept_runs(&snapshot_of(src)->kept, base, size, runs, room);
	return 0;
}

static const struct ms_source_ops snapshot_source = {
	.regions = snapshot_regions,
	.read = snapshot_read,
	.view = snapshot_view,
	.resident = snapshot_resident,
};

static const struct ms_host_ops snapshot_host = {
	.scheme = "snapshot",
	.summary = "memory as it was at one moment",
	.priv_size = sizeof(struct ms_snapshot *),
	.processes = snapshot_processes,
	.attach = snapshot_attach,
	.source = &snapshot_source,
};

/* ---- Taking it -------------------------------------------------------------------------- */

/* Puts bytes in their place; from several threads at once. */
static int keep_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	struct ms_snapshot *snapshot = *(struct ms_snapshot **)engine->priv;
	struct ms_hit hit = {
		.address = span->address, .size = span->fresh, .value = span->position};

	(void)scratch;
	memcpy(snapshot->bytes + span->position, span->data, span->fresh);
	return emit->hit(emit, &hit);
}

static const struct ms_engine_ops keep_engine = {
	.name = "snapshot",
	.summary = "keeps all bytes",
	.priv_size = sizeof(struct ms_snapshot *),
	.span = keep_span,
};

static int planned(
	void *ctx, size_t index, ms_source *src, const struct coverage *coverage, uint64_t end)
{
	struct ms_snapshot *snapshot = ctx;

	(void)index, (void)src, (void)coverage;
	if (end > SIZE_MAX || !(snapshot->bytes = os_pages_new((size_t)end)))
		return err_set(MS_ERR_MEMORY,
			"a snapshot of %llu bytes does not fit into memory; take it into a file",
			(unsigned long long)end);
	snapshot->bytes_size = end;
	return 0;
}

static int piece_take(void *ctx, size_t index, ms_source *src, const struct ms_hit *hit)
{
	struct ms_snapshot *snapshot = ctx;
	struct kept kept = {hit->address, hit->size, MS_STATE_DATA, hit->value};

	(void)index, (void)src;
	return kept_add(&snapshot->kept, kept) ? 0 : err_nomem();
}

static int account(struct ms_snapshot *snapshot, const struct coverage *coverage)
{
	const struct ms_coverage *sums = &coverage->sums;

	if (!kept_account(&snapshot->kept, coverage))
		return err_nomem();
	snapshot->coverage = *sums;
	snapshot->coverage.gaps = (struct ms_gap *)arena_copy(
		&snapshot->gaps, sums->gaps, sums->gap_count * sizeof(*sums->gaps));
	return snapshot->coverage.gaps ? 0 : err_nomem();
}

static int target_done(void *ctx, size_t index, ms_source *src, struct coverage *coverage,
	int status, const char *error)
{
	struct ms_snapshot *snapshot = ctx;

	(void)index;
	if (!coverage)
		return 0;
	if (status < 0)
		return err_set(status, "%s", error ? error : "out of memory");
	/* Not earlier: who cannot list them cannot be scanned, either. */
	if (!process_copy(&snapshot->process, &src->process, &snapshot->regions.strings))
		return err_nomem();
	status = regions_copy(&src->regions, &snapshot->regions);
	return status < 0 ? status : account(snapshot, coverage);
}

static int run_scan(struct ms_snapshot *snapshot, const struct ms_snapshot_options *options)
{
	struct ms_engine engine = {&keep_engine, &snapshot};
	struct scan scan = {
		.engine = &engine,
		.filter = options->filter ? options->filter : &filter_default,
		.job = &options->job,
		.source = snapshot->from,
		.hit = piece_take,
		.done = target_done,
		.planned = planned,
		.ctx = snapshot,
	};

	return scan_run_whole(&scan);
}

static int snapshot_read_all(
	struct ms_snapshot *snapshot, const struct ms_snapshot_options *options)
{
	enum ms_pause paused = snapshot->from->paused;
	int r = options->pause && !paused ? ms_source_pause(snapshot->from, options->pause) : 0;

	if (r == 0)
		r = run_scan(snapshot, options);
	if (options->pause && !paused)
		ms_source_pause(snapshot->from, MS_PAUSE_NONE);
	return r;
}

static int source_make(struct ms_snapshot *snapshot)
{
	int r = host_new(&snapshot_host, "snapshot", &snapshot->host);

	if (r < 0)
		return r;
	*(struct ms_snapshot **)snapshot->host->priv = snapshot;
	return ms_source_open_process(snapshot->host, &snapshot->process, &snapshot->source);
}

int ms_snapshot_take(
	ms_source *source, const struct ms_snapshot_options *options, ms_snapshot **ret_snapshot)
{
	static const struct ms_snapshot_options none = {0};
	struct ms_snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int r;

	if (!snapshot)
		return err_nomem();
	snapshot->from = source;
	snapshot->page_size = source->page_size;
	r = snapshot_read_all(snapshot, options ? options : &none);
	snapshot->from = NULL;
	if (r == 0)
		r = source_make(snapshot);
	if (r < 0) {
		ms_snapshot_free(snapshot);
		return r;
	}
	*ret_snapshot = snapshot;
	return 0;
}

ms_source *ms_snapshot_source(const ms_snapshot *snapshot)
{
	return snapshot->source;
}

const struct ms_coverage *ms_snapshot_coverage(const ms_snapshot *snapshot)
{
	return &snapshot->coverage;
}

void ms_snapshot_free(ms_snapshot *snapshot)
{
	if (!snapshot)
		return;
	ms_source_free(snapshot->source);
	ms_host_free(snapshot->host);
	os_pages_free(snapshot->bytes, (size_t)snapshot->bytes_size);
	region_list_done(&snapshot->regions);
	arena_done(&snapshot->gaps);
	free(snapshot->kept.items.data);
	free(snapshot);
}
