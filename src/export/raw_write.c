/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw dumps: a file for each stretch of a region that could be read, with its addresses in the
 * name. Bytes in a file lie side by side in the target, too: a gap ends the file, only a short
 * stretch that was never touched is written as the zeros it reads as.
 */
#include "export/dump.h"

#include "base/err.h"
#include "export/file.h"

struct raw_writer {
	ms_file *file; /* the stretch being written */
	const struct ms_region *region;
	uint64_t base, end; /* what it has so far */
	const struct coverage *planned;
	size_t absent;	     /* the first stretch without data that may come next */
	bool made, finished; /* the folder */
};

static int raw_begin(struct dump *dump, const struct coverage *planned, uint64_t end)
{
	struct raw_writer *raw = dump->priv;

	(void)end;
	raw->planned = planned;
	return ms_folder_make(dump->options->path, &raw->made);
}

/* What the file is called that holds [base, end). */
static int file_path(const struct dump *dump, uint64_t base, uint64_t end, struct buf *out)
{
	const char *prefix = dump->options->prefix;

	buf_format(out, "%s/%s%s0x%llx-0x%llx.bin%s", dump->options->path, prefix ? prefix : "",
		prefix ? "." : "", (unsigned long long)base, (unsigned long long)end,
		dump->zstd ? ".zst" : "");
	return out->failed ? err_nomem() : 0;
}

/* Gives the open file its name. */
static int stretch_close(struct dump *dump)
{
	struct raw_writer *raw = dump->priv;
	const struct ms_dump *options = dump->options;
	struct buf path = {0};
	int r;

	if (!raw->file)
		return 0;
	r = file_path(dump, raw->base, raw->end, &path);
	if (r == 0)
		r = file_set_path(raw->file, path.data);
	if (r == 0)
		r = ms_file_commit(raw->file);
	if (r == 0 && options->wrote)
		options->wrote(options->ctx, path.data, ms_file_size(raw->file),
			ms_file_sha256(raw->file));
	ms_file_free(raw->file);
	raw->file = NULL;
	buf_done(&path);
	return r;
}

static int stretch_open(struct dump *dump, uint64_t base)
{
	struct raw_writer *raw = dump->priv;
	struct buf path = {0};
	/* The end is known when it is reached; until then the file goes by its beginning. */
	int r = file_path(dump, base, base, &path);

	if (r == 0)
		r = ms_file_create(path.data, dump->options->file_flags, &raw->file);
	buf_done(&path);
	raw->base = raw->end = base;
	raw->region = region_find(&dump->src->regions, base);
	return r;
}

/* Whether nothing but one short stretch without data lies between the file's end and address. */
static bool only_absent(struct raw_writer *raw, uint64_t address)
{
	const struct absent *absents = raw->planned->absents.data;
	size_t count = raw->planned->absents.count;

	while (raw->absent < count && absents[raw->absent].base < raw->end)
		raw->absent++;
	return raw->absent < count && absents[raw->absent].position != UINT64_MAX &&
	       absents[raw->absent].base == raw->end &&
	       absents[raw->absent].base + absents[raw->absent].size == address;
}

/* Makes the open file one that goes on at address. */
static int stretch_seek(struct dump *dump, uint64_t address)
{
	struct raw_writer *raw = dump->priv;
	bool same = raw->file && raw->region && address - raw->region->base < raw->region->size;
	int r;

	if (same && address == raw->end)
		return 0;
	if (same && only_absent(raw, address)) {
		r = dump_zeros(dump, raw->file, address - raw->end);
		raw->end = address;
		return r;
	}
	r = stretch_close(dump);
	return r < 0 ? r : stretch_open(dump, address);
}

static int raw_piece(
	struct dump *dump, const struct dump_piece *piece, const void *bytes, size_t bytes_size)
{
	struct raw_writer *raw = dump->priv;
	size_t at = 0;

	/* A piece may run on into the next region, which gets a file of its own. */
	while (at < bytes_size) {
		uint64_t address = piece->address + at;
		const struct ms_region *region = region_find(&dump->src->regions, address);
		size_t size = bytes_size - at;
		int r = stretch_seek(dump, address);

		if (region)
			size = (size_t)min_u64(size, region->base + region->size - address);
		if (r == 0)
			r = dump_write(dump, raw->file, (const char *)bytes + at, size);
		if (r < 0)
			return r;
		raw->end = address + size;
		at += size;
	}
	return 0;
}

static int raw_finish(struct dump *dump)
{
	struct raw_writer *raw = dump->priv;
	int r = stretch_close(dump);

	raw->finished = r == 0;
	return r;
}

static void raw_done(struct dump *dump)
{
	struct raw_writer *raw = dump->priv;

	ms_file_free(raw->file);
	/* A folder that a dump made and then failed to put anything into; another one stays. */
	if (raw->made && !raw->finished)
		rmdir(dump->options->path);
}

const struct dump_format raw_format = {
	.priv_size = sizeof(struct raw_writer),
	.ordered = true,
	.begin = raw_begin,
	.piece = raw_piece,
	.finish = raw_finish,
	.done = raw_done,
};
