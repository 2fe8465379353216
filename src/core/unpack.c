/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing that a compressed file says of itself is believed. A few bytes may unpack to any size: so
 * blocks of zeros, which is what a bomb has most of, as memory does, become holes, the whole has a
 * limit, and what is written must leave the disk a part of its room.
 */
#include "core/unpack.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/os.h"

#ifdef HAVE_ZSTD

#include <errno.h>
#include <sys/statvfs.h>
#include <zstd.h>

/* Of what is in a file: more memory than is dumped to one file, and minutes of work. */
static const uint64_t UNPACKED_MAX = UINT64_C(1) << 38;

enum {
	BLOCK = 4096,	      /* holes are made of whole ones */
	ROOM_EACH = 64 << 20, /* bytes that are written between looks at the disk's room */
	ROOM_PART = 20,	      /* of the disk, a twentieth stays free */
};

struct unpacking {
	const char *path;
	const struct ms_host_options *options;
	ZSTD_DCtx *context;
	ZSTD_inBuffer in;
	ZSTD_outBuffer out;
	size_t in_room, out_room;
	int from, to;
	uint64_t read, size; /* bytes that were read, and that came of them */
	uint64_t unseen;     /* written since the last look at the disk's room */
};

static void unpacking_done(struct unpacking *u)
{
	ZSTD_freeDCtx(u->context);
	free((void *)(uintptr_t)u->in.src);
	free(u->out.dst);
	cleanup_close(&u->from);
	cleanup_close(&u->to);
}

static int disk_full(const struct unpacking *u)
{
	return err_set(MS_ERR_SPACE,
		"%s is compressed, and there is no room for what is in it; name a folder that has "
		"by TMPDIR",
		u->path);
}

static int damaged(const struct unpacking *u, const char *why)
{
	return err_set(MS_ERR_FORMAT, "%s cannot be unpacked: %s", u->path, why);
}

static bool is_cancelled(const struct unpacking *u)
{
	return u->options->cancelled && u->options->cancelled(u->options->ctx);
}

static bool has_room(const struct unpacking *u)
{
	struct statvfs disk;

	return fstatvfs(u->to, &disk) != 0 || disk.f_bavail > disk.f_blocks / ROOM_PART;
}

static int write_block(struct unpacking *u, const uint8_t *block, size_t size, uint64_t offset)
{
	if (block[0] == 0 && memcmp(block, block + 1, size - 1) == 0)
		return 0;
	u->unseen += size;
	if (u->unseen > ROOM_EACH) {
		u->unseen = 0;
		if (!has_room(u))
			return disk_full(u);
	}
	while (size) {
		ssize_t n = pwrite(u->to, block, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 || errno == ENOSPC || errno == EDQUOT || errno == EFBIG
				       ? disk_full(u)
				       : err_errno(MS_ERR_IO, errno, "cannot unpack %s", u->path);
		block += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Writes what has come out; the next begins at a border of blocks again. */
static int flush(struct unpacking *u, bool last)
{
	size_t size = last ? u->out.pos : u->out.pos - u->out.pos % BLOCK;
	uint8_t *data = u->out.dst;
	int r = 0;

	if (UNPACKED_MAX - u->size < size)
		return damaged(u, "it holds more than 256 GiB");
	for (size_t at = 0; at < size && r == 0; at += BLOCK)
		r = write_block(u, data + at, (size_t)min_u64(BLOCK, size - at), u->size + at);
	u->size += size;
	u->out.pos -= size;
	memmove(data, data + size, u->out.pos);
	return r;
}

static int refill(struct unpacking *u)
{
	size_t got;
	int r = os_file_read(u->from, (void *)(uintptr_t)u->in.src, u->in_room, u->read, &got);

	u->in.size = r < 0 ? 0 : got;
	u->in.pos = 0;
	u->read += u->in.size;
	return r;
}

static int unpack(struct unpacking *u)
{
	size_t more = 0;
	int r;

	for (;;) {
		if (is_cancelled(u))
			return err_set(
				MS_ERR_STOPPED, "%s: interrupted while it was unpacked", u->path);
		r = u->in.pos == u->in.size ? refill(u) : 0;
		size_t before = u->out.pos;

		if (r < 0 || (!u->in.size && !more))
			break;
		more = ZSTD_decompressStream(u->context, &u->out, &u->in);
		if (ZSTD_isError(more))
			return damaged(u, ZSTD_getErrorName(more));
		/* What is left in the decoder comes out without anything going in, too. */
		if (!u->in.size && u->out.pos == before)
			break;
		if (u->out.pos >= u->out_room / 2 && (r = flush(u, false)) < 0)
			return r;
	}
	if (r < 0)
		return r;
	return more ? damaged(u, "it is cut off") : flush(u, true);
}

static int prepare(struct unpacking *u)
{
	u->in_room = ZSTD_DStreamInSize();
	u->out_room = 8 * ZSTD_DStreamOutSize();
	u->context = ZSTD_createDCtx();
	u->in.src = malloc(u->in_room);
	u->out.dst = malloc(u->out_room);
	u->out.size = u->out_room;
	if (!u->context || !u->in.src || !u->out.dst)
		return err_nomem();
	return os_file_temporary(&u->to);
}

static int unpack_opened(
	const char *path, const struct ms_host_options *options, int from, int *ret_fd)
{
	CLEANUP(unpacking_done)
	struct unpacking u = {.path = path, .options = options, .from = from, .to = -1};
	int r = prepare(&u);

	if (r == 0)
		r = unpack(&u);
	/* A hole at the end is still to be made. */
	if (r == 0 && ftruncate(u.to, (off_t)u.size) != 0)
		r = err_errno(MS_ERR_IO, errno, "cannot unpack %s", path);
	if (r == 0)
		*ret_fd = take_fd(&u.to);
	return r;
}

#else

static int unpack_opened(
	const char *path, const struct ms_host_options *options, int from, int *ret_fd)
{
	close(from);
	(void)options, (void)ret_fd;
	return err_set(MS_ERR_UNSUPPORTED,
		"%s is compressed, and this build was made without zstd; decompress it with "
		"`zstd -d` first",
		path);
}

#endif

/* RFC 8878: a frame, or one that is to be skipped, as some programs begin with. */
static bool is_compressed(int fd)
{
	uint8_t head[4];
	size_t got;
	uint32_t magic;

	if (os_file_read(fd, head, sizeof(head), 0, &got) < 0 || got < sizeof(head))
		return false;
	magic = load_u32(head, false);
	return magic == 0xfd2fb528 || (magic & 0xfffffff0) == 0x184d2a50;
}

int unpack_file(const char *path, const struct ms_host_options *options, int *ret_fd)
{
	uint64_t size;
	int fd, r = os_file_open(path, &fd, &size);

	if (r < 0)
		return r;
	if (is_compressed(fd))
		return unpack_opened(path, options, fd, ret_fd);
	close(fd);
	*ret_fd = -1;
	return 0;
}
