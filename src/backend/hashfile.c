/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot that keeps only hashes, as a source: it has regions and knows which pages held data,
 * but reading them gives nothing; what it has in place of bytes, identify() tells. The file is
 * loaded whole, checked once, and never looked at again.
 */
#include "backend/backends.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/os.h"
#include "core/hashfile.h"
#include "core/kept.h"
#include "core/pagehash.h"
#include "core/regionpack.h"

/* Hashes of 16 TiB of memory. */
static const uint64_t FILE_MAX = UINT64_C(1) << 36;

struct hashfile {
	uint8_t *bytes; /* the file */
	uint64_t size;
	struct ms_process process;
	struct region_list regions; /* holds the strings of process, too */
	struct kept_list kept;	    /* data: `at` is where its hashes begin in bytes */
	size_t page_size;
};

/* What is left of the file to take apart. */
struct rest {
	const uint8_t *data;
	uint64_t size;
};

static int damaged(const struct ms_host *host, const char *why)
{
	return err_set(MS_ERR_FORMAT, "%s is damaged: %s", host->name, why);
}

static bool take(struct rest *rest, uint64_t size, struct rest *ret_part)
{
	if (size > rest->size)
		return false;
	*ret_part = (struct rest){rest->data, size};
	rest->data += size;
	rest->size -= size;
	return true;
}

static bool process_take(struct hashfile *file, struct rest part)
{
	const char *texts[HASHFILE_TEXTS] = {0};
	const uint8_t *d = part.data;
	uint64_t at = HASHFILE_PROCESS;

	if (part.size < HASHFILE_PROCESS)
		return false;
	for (size_t i = 0; i < HASHFILE_TEXTS; i++) {
		uint32_t size = load_u32(d + 40 + 4 * i, false);

		if (size > part.size - at)
			return false;
		if (size)
			texts[i] = arena_copy(&file->regions.strings, d + at, size);
		at += size;
	}
	file->process = (struct ms_process){
		.pid = load_u32(d, false),
		.ppid = load_u32(d + 4, false),
		.uid = load_u32(d + 8, false),
		.exe_deleted = load_u32(d + 12, false) & HASHFILE_DELETED,
		.start_id = load_u64(d + 16, false),
		.started = (int64_t)load_u64(d + 24, false),
		.rss = load_u64(d + 32, false),
		.name = texts[0] ? texts[0] : "process",
		.exe = texts[1],
		.cmdline = texts[2],
		.user = texts[3],
		.arch = texts[4],
	};
	file->process.pid += !file->process.pid;
	return true;
}

/* Checks that a range follows what came before, and notes its borders. */
static bool range_follows(uint64_t base, uint64_t size, uint64_t *end, uint64_t *borders)
{
	if (!size || base < *end || !add_u64(base, size, end))
		return false;
	*borders |= base | *end;
	return true;
}

static bool region_take(struct hashfile *file, struct rest *rest, uint64_t *end, uint64_t *borders)
{
	struct ms_region region;
	size_t took = region_unpack(rest->data, rest->size, &file->regions.strings, &region);
	struct rest part;

	return took && take(rest, took, &part) && region.path &&
	       range_follows(region.base, region.size, end, borders) &&
	       vec_push(&file->regions.items, region);
}

/* *blocks is how many there are before this stretch. */
static bool stretch_take(struct hashfile *file, struct rest *rest, uint64_t *end, uint64_t *blocks)
{
	uint64_t base, size, borders = 0;
	uint32_t state;
	struct rest part;

	if (!take(rest, HASHFILE_STRETCH, &part))
		return false;
	base = load_u64(part.data, false);
	size = load_u64(part.data + 8, false);
	state = load_u32(part.data + 16, false);
	if (state >= MS_STATE_COUNT || !range_follows(base, size, end, &borders) ||
		!vec_push(&file->kept.items,
			(struct kept){base, size, (enum ms_state)state, *blocks}))
		return false;
	if (state == MS_STATE_DATA)
		*blocks += (*end - 1) / PAGEHASH_BLOCK - base / PAGEHASH_BLOCK + 1;
	return true;
}

/* Where hashes begin is known only now. */
static bool blocks_take(struct hashfile *file, struct rest *rest, uint64_t said, uint64_t counted)
{
	uint64_t at = (uint64_t)(rest->data - file->bytes);

	if (said != counted || rest->size % PAGEHASH_SIZE || rest->size / PAGEHASH_SIZE != said)
		return false;
	for (size_t i = 0; i < file->kept.items.count; i++)
		file->kept.items.data[i].at = at + file->kept.items.data[i].at * PAGEHASH_SIZE;
	return true;
}

static int file_parse(struct ms_host *host, struct hashfile *file)
{
	struct rest rest = {file->bytes, file->size - 8}, header, part;
	uint64_t regions, stretches, end = 0, borders = PAGEHASH_BLOCK, blocks = 0;

	if (hash_bytes(0, rest.data, (size_t)rest.size) != load_u64(file->bytes + rest.size, false))
		return damaged(host, "its contents and their hash do not agree");
	if (!take(&rest, HASHFILE_HEADER, &header) ||
		load_u32(header.data + 12, false) != PAGEHASH_BLOCK)
		return damaged(host, "its blocks are of an unknown size");
	regions = load_u64(header.data + 16, false);
	stretches = load_u64(header.data + 24, false);
	if (!take(&rest, load_u64(header.data + 40, false), &part) || !process_take(file, part))
		return damaged(host, "it tells nothing of its process");
	for (uint64_t i = 0; i < regions; i++)
		if (!region_take(file, &rest, &end, &borders))
			return damaged(host, "its regions make no sense");
	end = 0;
	for (uint64_t i = 0; i < stretches; i++)
		if (!stretch_take(file, &rest, &end, &blocks))
			return damaged(host, "its stretches make no sense");
	if (!blocks_take(file, &rest, load_u64(header.data + 32, false), blocks))
		return damaged(host, "it has not as many hashes as it says");
	file->page_size = (size_t)(borders & -borders);
	return 0;
}

static int file_load(struct ms_host *host, int fd, struct hashfile *file)
{
	size_t got;
	int r;

	if (file->size > FILE_MAX)
		return err_set(MS_ERR_FORMAT, "%s is too large for a file of hashes", host->name);
	file->bytes = os_pages_new((size_t)file->size);
	if (!file->bytes)
		return err_nomem();
	r = os_file_read(fd, file->bytes, (size_t)file->size, 0, &got);
	if (r < 0)
		return r;
	return got == file->size ? 0 : damaged(host, "it ends early");
}

static int hashfile_open(struct ms_host *host, const char *path)
{
	struct hashfile *file = host->priv;
	uint8_t head[HASHFILE_MAGIC_SIZE + 4];
	AUTO_CLOSE int fd = -1;
	size_t got;
	int r = host_file_open(host, path, &fd, &file->size);

	if (r < 0)
		return r;
	if (os_file_read(fd, head, sizeof(head), 0, &got) < 0 || got < sizeof(head) ||
		memcmp(head, HASHFILE_MAGIC, HASHFILE_MAGIC_SIZE) != 0)
		return HOST_NOT_MINE;
	if (load_u32(head + HASHFILE_MAGIC_SIZE, false) != HASHFILE_VERSION)
		return err_set(MS_ERR_FORMAT, "%s is of a version that this memsift does not know",
			host->name);
	if (file->size < HASHFILE_HEADER + 8)
		return damaged(host, "it ends early");
	r = file_load(host, fd, file);
	return r < 0 ? r : file_parse(host, file);
}

static void hashfile_close(struct ms_host *host)
{
	struct hashfile *file = host->priv;

	os_pages_free(file->bytes, (size_t)file->size);
	region_list_done(&file->regions);
	free(file->kept.items.data);
}

static int hashfile_processes(struct ms_host *host, struct process_list *out)
{
	struct hashfile *file = host->priv;

	return process_list_add(out, &file->process) ? 0 : err_nomem();
}

static int hashfile_attach(struct ms_host *host, struct ms_source *src)
{
	struct hashfile *file = host->priv;

	src->page_size = file->page_size;
	return 0;
}

static int hashfile_regions(struct ms_source *src, struct region_list *out)
{
	struct hashfile *file = src->host->priv;

	for (size_t i = 0; i < file->regions.items.count; i++) {
		struct ms_region region = file->regions.items.data[i];

		region.path = arena_string(&out->strings, region.path);
		if (!region.path || !vec_push(&out->items, region))
			return err_nomem();
	}
	return 0;
}

static int hashfile_read(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	(void)src, (void)address, (void)buf, (void)size;
	*ret_size = 0;
	return 0;
}

static int hashfile_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	struct hashfile *file = src->host->priv;

	(void)region;
	*ret_count = kept_runs(&file->kept, base, size, runs, room);
	return 0;
}

static struct page_id block_id(const struct hashfile *file, uint64_t address)
{
	const struct kept *kept = kept_data(&file->kept, address);
	uint64_t block, start, end;
	const uint8_t *hash;

	if (!kept)
		return (struct page_id){0};
	block = align_down(address, PAGEHASH_BLOCK);
	start = max_u64(block, kept->base);
	end = min_u64(block + (PAGEHASH_BLOCK - 1), kept->base + (kept->size - 1));
	hash = file->bytes + kept->at +
	       (block / PAGEHASH_BLOCK - kept->base / PAGEHASH_BLOCK) * PAGEHASH_SIZE;
	return (struct page_id){PAGE_ID_HASH, load_u64(hash, false), load_u64(hash + 8, false),
		start == address ? end - start + 1 : 0};
}

static int hashfile_identify(
	struct ms_source *src, uint64_t base, size_t count, struct page_id *ids)
{
	struct hashfile *file = src->host->priv;

	for (size_t i = 0; i < count; i++) {
		ids[i] = block_id(file, base);
		base = align_down(base, PAGEHASH_BLOCK) + PAGEHASH_BLOCK;
	}
	return 0;
}

static const struct ms_source_ops hashfile_source = {
	.hashed = true,
	.regions = hashfile_regions,
	.read = hashfile_read,
	.resident = hashfile_resident,
	.identify = hashfile_identify,
};

const struct ms_host_ops hashfile_host = {
	.scheme = "hashes",
	.summary = "a snapshot that keeps only hashes",
	.priv_size = sizeof(struct hashfile),
	.is_file = true,
	.open = hashfile_open,
	.close = hashfile_close,
	.processes = hashfile_processes,
	.attach = hashfile_attach,
	.source = &hashfile_source,
};
