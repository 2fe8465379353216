/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot of hashes is a scan whose engine gives 16 bytes for each block; they come in order,
 * 2 KiB for each chunk. What else the file has (core/hashfile.h) is known only when the scan is
 * done, so all of it is gathered first: a part in 256 of what was read.
 */
#include "memsift_track.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/os.h"
#include "core/hashfile.h"
#include "core/kept.h"
#include "core/pagehash.h"
#include "core/regionpack.h"
#include "core/scan.h"

struct hashing {
	ms_source *src;
	const struct ms_dump *options;
	struct kept_list kept;
	struct buf blocks;
	struct ms_coverage *ret_coverage;
};

enum { HASHES_MAX = SCAN_CHUNK / PAGEHASH_BLOCK + 2 };

struct hash_scratch {
	uint8_t hashes[HASHES_MAX * PAGEHASH_SIZE];
};

static void store_u64(uint8_t *to, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static size_t hash_overlap(const struct ms_engine *engine)
{
	(void)engine;
	return PAGEHASH_BLOCK;
}

static size_t hash_behind(const struct ms_engine *engine)
{
	(void)engine;
	return 1;
}

/* One hit for all blocks that begin in the fresh bytes: from the first of them to the last. */
static int hash_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	struct hash_scratch *room = scratch;
	struct ms_hit hit = {.bytes = room->hashes};
	size_t size, count = 0;

	(void)engine;
	for (size_t at = 0; pagehash_block(span, &at, &size); at += size) {
		struct pagehash hash = pagehash_make(span->data + at, size);

		if (!count)
			hit.address = span->address + at;
		store_u64(room->hashes + count * PAGEHASH_SIZE, hash.low);
		store_u64(room->hashes + count * PAGEHASH_SIZE + 8, hash.high);
		hit.size = span->address + at + size - hit.address;
		count++;
	}
	hit.bytes_size = count * PAGEHASH_SIZE;
	return count ? emit->hit(emit, &hit) : 0;
}

static const struct ms_engine_ops hash_engine = {
	.name = "hashes",
	.summary = "keeps a hash of every block",
	.scratch_size = sizeof(struct hash_scratch),
	.overlap = hash_overlap,
	.behind = hash_behind,
	.span = hash_span,
};

/* Only to have stretches without data remembered. */
static int planned(
	void *ctx, size_t index, ms_source *src, const struct coverage *coverage, uint64_t end)
{
	(void)ctx, (void)index, (void)src, (void)coverage, (void)end;
	return 0;
}

/* Stretches are joined by address alone: hashes follow each other in the file as they do here. */
static int hashes_take(void *ctx, size_t index, ms_source *src, const struct ms_hit *hit)
{
	struct hashing *hashing = ctx;
	struct kept *last = hashing->kept.items.count
				    ? &hashing->kept.items.data[hashing->kept.items.count - 1]
				    : NULL;
	struct kept kept = {hit->address, hit->size, MS_STATE_DATA, 0};

	(void)index, (void)src;
	buf_add(&hashing->blocks, hit->bytes, hit->bytes_size);
	if (hashing->blocks.failed)
		return err_nomem();
	if (last && last->base + last->size == hit->address && hit->address % PAGEHASH_BLOCK == 0) {
		last->size += hit->size;
		return 0;
	}
	return vec_push(&hashing->kept.items, kept) ? 0 : err_nomem();
}

/* ---- The file --------------------------------------------------------------------------- */

static void add_padding(struct buf *buf)
{
	static const char zeros[8];

	buf_add(buf, zeros, (size_t)(align_up(buf->size, 8) - buf->size));
}

static void add_process(struct buf *buf, const struct ms_process *process)
{
	const char *texts[HASHFILE_TEXTS] = {
		process->name, process->exe, process->cmdline, process->user, process->arch};

	buf_u32(buf, process->pid);
	buf_u32(buf, process->ppid);
	buf_u32(buf, process->uid);
	buf_u32(buf, process->exe_deleted ? HASHFILE_DELETED : 0);
	buf_u64(buf, process->start_id);
	buf_u64(buf, (uint64_t)process->started);
	buf_u64(buf, process->rss);
	for (size_t i = 0; i < HASHFILE_TEXTS; i++)
		buf_u32(buf, texts[i] ? (uint32_t)strlen(texts[i]) : 0);
	for (size_t i = 0; i < HASHFILE_TEXTS; i++)
		if (texts[i])
			buf_text(buf, texts[i]);
	add_padding(buf);
}

static void head_make(const struct hashing *hashing, struct buf *out)
{
	const struct region_list *regions = &hashing->src->regions;
	struct buf process = {0};

	add_process(&process, &hashing->src->process);
	buf_add(out, HASHFILE_MAGIC, HASHFILE_MAGIC_SIZE);
	buf_u32(out, HASHFILE_VERSION);
	buf_u32(out, PAGEHASH_BLOCK);
	buf_u64(out, regions->items.count);
	buf_u64(out, hashing->kept.items.count);
	buf_u64(out, hashing->blocks.size / PAGEHASH_SIZE);
	buf_u64(out, process.size);
	buf_u64(out, (uint64_t)os_time());
	buf_u64(out, 0);
	buf_add(out, process.data, process.size);
	for (size_t i = 0; i < regions->items.count; i++)
		region_pack(out, &regions->items.data[i]);
	for (size_t i = 0; i < hashing->kept.items.count; i++) {
		const struct kept *kept = &hashing->kept.items.data[i];

		buf_u64(out, kept->base);
		buf_u64(out, kept->size);
		buf_u32(out, kept->state);
		buf_u32(out, 0);
	}
	out->failed |= process.failed;
	buf_done(&process);
}

/* The hash of the whole is not the sum of its parts: they are put together first. */
static int file_write(struct hashing *hashing, ms_file *file)
{
	struct buf out = {0};
	int r;

	head_make(hashing, &out);
	buf_add(&out, hashing->blocks.data, hashing->blocks.size);
	buf_done(&hashing->blocks);
	if (!out.failed)
		buf_u64(&out, hash_bytes(0, out.data, out.size));
	r = out.failed ? err_nomem() : ms_file_write(file, out.data, out.size);
	buf_done(&out);
	return r;
}

static int file_make(struct hashing *hashing)
{
	const struct ms_dump *options = hashing->options;
	ms_file *file;
	int r = ms_file_create(options->path, options->file_flags, &file);

	if (r < 0)
		return r;
	r = file_write(hashing, file);
	if (r == 0)
		r = ms_file_commit(file);
	if (r == 0 && options->wrote)
		options->wrote(
			options->ctx, options->path, ms_file_size(file), ms_file_sha256(file));
	ms_file_free(file);
	return r;
}

static int target_done(void *ctx, size_t index, ms_source *src, struct coverage *coverage,
	int status, const char *error)
{
	struct hashing *hashing = ctx;
	struct ms_coverage copy;
	int r;

	(void)index;
	if (!coverage)
		return 0;
	if (status < 0)
		return err_set(status, "%s", error ? error : "out of memory");
	if (!kept_account(&hashing->kept, coverage))
		return err_nomem();
	r = file_make(hashing);
	if (r < 0)
		return r;
	copy = coverage->sums;
	arena_reset(&src->kept);
	copy.gaps = (struct ms_gap *)arena_copy(
		&src->kept, copy.gaps, copy.gap_count * sizeof(*copy.gaps));
	if (!copy.gaps)
		return err_nomem();
	*hashing->ret_coverage = copy;
	return 0;
}

static int run_scan(struct hashing *hashing)
{
	const struct ms_dump *options = hashing->options;
	struct ms_engine engine = {&hash_engine, NULL};
	struct scan scan = {
		.engine = &engine,
		.filter = options->filter ? options->filter : &filter_default,
		.job = &options->job,
		.source = hashing->src,
		.hit = hashes_take,
		.done = target_done,
		.planned = planned,
		.ctx = hashing,
	};

	return scan_run_whole(&scan);
}

int ms_source_hash(
	ms_source *source, const struct ms_dump *options, struct ms_coverage *ret_coverage)
{
	struct hashing hashing = {.src = source, .options = options, .ret_coverage = ret_coverage};
	enum ms_pause paused = source->paused;
	int r = pagehash_check();

	if (r == 0 && options->pause && !paused)
		r = ms_source_pause(source, options->pause);
	if (r == 0)
		r = run_scan(&hashing);
	if (options->pause && !paused)
		ms_source_pause(source, MS_PAUSE_NONE);
	free(hashing.kept.items.data);
	buf_done(&hashing.blocks);
	return r;
}
