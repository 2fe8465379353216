/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A dump is a scan whose engine matches everything: the loop brings the bytes, in parallel and
 * with every gap accounted for, and a format puts them into files. Where the order of bytes in
 * the file matters (a hash, compression) they come as hits, which the loop hands out in order;
 * otherwise each thread writes its own at their place.
 */
#include "export/dump.h"

#include "base/err.h"
#include "core/record.h"
#include "core/scan.h"
#include "export/file.h"

static const uint8_t zeros[64 * 1024];

void put_word(const struct dump *dump, struct buf *buf, uint64_t value)
{
	if (dump->narrow)
		buf_u32(buf, (uint32_t)value);
	else
		buf_u64(buf, value);
}

int dump_write(struct dump *dump, ms_file *file, const void *data, size_t size)
{
	AUTO_FREE void *frame = NULL;
	size_t frame_size;
	int r;

	if (!dump->zstd)
		return file_write_sparse(file, data, size);
	r = zstd_frame(dump->zstd, data, size, &frame, &frame_size);
	return r < 0 ? r : ms_file_write(file, frame, frame_size);
}

int dump_zeros(struct dump *dump, ms_file *file, uint64_t size)
{
	while (size) {
		size_t n = (size_t)min_u64(size, sizeof(zeros));
		int r = dump_write(dump, file, zeros, n);

		if (r < 0)
			return r;
		size -= n;
	}
	return 0;
}

int dump_regions_list(const struct dump *dump, struct dump_regions *out)
{
	const struct region_list *list = &dump->src->regions;

	for (size_t i = 0; i < list->items.count; i++) {
		const struct ms_region *region = &list->items.data[i];
		uint64_t at = region->base, end = region->base + region->size;
		struct dump_region part = {.region = region};

		if (!ms_filter_match(dump->filter, region) ||
			((region->flags & MS_REGION_DEVICE) && !dump->filter->device))
			continue;
		while (at < end &&
			filter_clip(dump->filter, at, end - at, &part.base, &part.size)) {
			if (!vec_push(&out->items, part))
				return err_nomem();
			at = part.base + part.size;
		}
	}
	return 0;
}

/* ---- The engine ------------------------------------------------------------------------- */

static int emit_ordered(
	struct dump *dump, const struct ms_span *span, struct ms_hit *hit, struct ms_emit *emit)
{
	AUTO_FREE void *frame = NULL;
	int r;

	hit->bytes = span->data;
	hit->bytes_size = span->fresh;
	if (dump->zstd && !dump->format->ordered) {
		r = zstd_frame(dump->zstd, span->data, span->fresh, &frame, &hit->bytes_size);
		if (r < 0)
			return r;
		hit->bytes = frame;
	}
	return emit->hit(emit, hit);
}

static int dump_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	struct dump *dump = *(struct dump **)engine->priv;
	struct ms_hit hit = {
		.address = span->address, .size = span->fresh, .value = span->position};
	int r;

	(void)scratch;
	if (dump->ordered)
		return emit_ordered(dump, span, &hit, emit);
	r = dump->format->place(dump, span);
	return r < 0 ? r : emit->hit(emit, &hit);
}

static const struct ms_engine_ops dump_engine = {
	.name = "dump",
	.summary = "passes all bytes on",
	.priv_size = sizeof(struct dump *),
	.span = dump_span,
};

/* ---- The loop's callbacks --------------------------------------------------------------- */

static int planned(
	void *ctx, size_t index, ms_source *src, const struct coverage *coverage, uint64_t end)
{
	struct dump *dump = ctx;

	(void)index, (void)src;
	return dump->format->begin(dump, coverage, end);
}

static int piece_out(void *ctx, size_t index, ms_source *src, const struct ms_hit *hit)
{
	struct dump *dump = ctx;
	struct dump_piece piece = {hit->address, hit->size, hit->value};

	(void)index, (void)src;
	return dump->format->piece(dump, &piece, hit->bytes, hit->bytes_size);
}

/* Copies the account into the source's keeping: the loop frees its own. */
static int keep_coverage(struct dump *dump)
{
	struct ms_coverage copy = dump->coverage->sums;

	arena_reset(&dump->src->kept);
	copy.gaps = (struct ms_gap *)arena_copy(
		&dump->src->kept, copy.gaps, copy.gap_count * sizeof(*copy.gaps));
	if (!copy.gaps)
		return err_nomem();
	*dump->ret_coverage = copy;
	return 0;
}

static int target_done(void *ctx, size_t index, ms_source *src, struct coverage *coverage,
	int status, const char *error)
{
	struct dump *dump = ctx;
	int r;

	(void)index, (void)src;
	if (status < 0)
		return err_set(status, "%s", error ? error : "out of memory");
	dump->coverage = coverage;
	r = dump->format->finish(dump);
	return r < 0 ? r : keep_coverage(dump);
}

/* ---- The public function ---------------------------------------------------------------- */

/* A core is made of pages: ranges that begin or end inside one are widened. */
static bool widen_wanted(struct dump *dump, const struct filter_ranges *ranges)
{
	struct filter_ranges *to = &dump->aligned.ranges;
	uint64_t page = dump->src->page_size;

	for (size_t i = 0; i < ranges->count; i++) {
		uint64_t base = align_down(ranges->data[i].base, page);
		uint64_t end = align_up(ranges->data[i].base + ranges->data[i].size, page);
		struct filter_range *last = to->count ? &to->data[to->count - 1] : NULL;

		if (last && base <= last->base + last->size)
			last->size = max_u64(last->size, end - last->base);
		else if (!vec_push(to, (struct filter_range){base, end - base}))
			return false;
	}
	return true;
}

/* For the same reason what is to be left out is so only in whole pages. */
static bool narrow_ignored(struct dump *dump, const struct filter_ranges *ranges)
{
	uint64_t page = dump->src->page_size;

	for (size_t i = 0; i < ranges->count; i++) {
		uint64_t base = align_up(ranges->data[i].base, page);
		uint64_t end = align_down(ranges->data[i].base + ranges->data[i].size, page);

		if (base < end &&
			!vec_push(&dump->aligned.ignored, (struct filter_range){base, end - base}))
			return false;
	}
	return true;
}

static int align_filter(struct dump *dump)
{
	const struct ms_filter *filter = dump->filter;

	dump->aligned = *filter;
	dump->aligned.ranges = dump->aligned.ignored = (struct filter_ranges){0};
	if (!widen_wanted(dump, &filter->ranges) || !narrow_ignored(dump, &filter->ignored))
		return err_nomem();
	dump->filter = &dump->aligned;
	return 0;
}

static int run_scan(struct dump *dump)
{
	struct ms_engine engine = {&dump_engine, &dump};
	struct scan scan = {
		.engine = &engine,
		.filter = dump->filter,
		.job = &dump->options->job,
		.source = dump->src,
		.hit = piece_out,
		.done = target_done,
		.planned = planned,
		.ctx = dump,
	};

	return scan_run_whole(&scan);
}

static int dump_run(struct dump *dump)
{
	const struct ms_dump *options = dump->options;
	enum ms_pause paused = dump->src->paused;
	int r = 0;

	if (options->zstd)
		r = zstd_pool_new(&dump->zstd);
	if (r == 0 && options->format == MS_DUMP_CORE)
		r = align_filter(dump);
	if (r == 0 && options->pause && !paused)
		r = ms_source_pause(dump->src, options->pause);
	if (r == 0)
		r = run_scan(dump);
	if (options->pause && !paused)
		ms_source_pause(dump->src, MS_PAUSE_NONE);
	return r;
}

int ms_source_dump(
	ms_source *source, const struct ms_dump *options, struct ms_coverage *ret_coverage)
{
	struct dump dump = {
		.src = source,
		.options = options,
		.filter = options->filter ? options->filter : &filter_default,
		.format = options->format == MS_DUMP_RAW ? &raw_format : &core_format,
		.ret_coverage = ret_coverage,
	};
	int r;

	dump.ordered =
		dump.format->ordered || options->zstd || (options->file_flags & MS_FILE_HASH);
	dump.priv = calloc(1, dump.format->priv_size);
	r = dump.priv ? dump_run(&dump) : err_nomem();
	if (dump.priv)
		dump.format->done(&dump);
	zstd_pool_free(dump.zstd);
	free(dump.aligned.ranges.data);
	free(dump.aligned.ignored.data);
	free(dump.priv);
	return r;
}
