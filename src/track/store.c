/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks come in ascending order, and cells are found again by the addresses in the heads of
 * blocks. A cursor that moves forward never walks over the same cell twice, so that going
 * through a generation page by page takes one pass.
 */
#include "track/store.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/os.h"

#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

_Static_assert(sizeof(struct block_head) == 40, "heads are written as they are in memory");

/* ---- Generations ------------------------------------------------------------------------ */

void generation_init(struct generation *generation)
{
	*generation = (struct generation){.fd = -1};
}

void generation_done(struct generation *generation)
{
	for (size_t i = 0; !generation->in_file && i < generation->blocks.count; i++)
		free(generation->blocks.data[i].at.data);
	free(generation->blocks.data);
	cleanup_close(&generation->fd);
	generation_init(generation);
}

static int block_push(struct generation *generation, const struct block *block)
{
	if (!vec_push(&generation->blocks, *block))
		return err_nomem();
	generation->count += block->head.count;
	generation->bytes_kept += block->head.stored + sizeof(*block);
	return 0;
}

int generation_add(struct generation *generation, const struct packet *packet)
{
	struct block block = {.head = packet->head};
	int r;

	block.at.data = malloc(packet->head.stored);
	if (!block.at.data)
		return err_nomem();
	memcpy(block.at.data, packet->data, packet->head.stored);
	r = block_push(generation, &block);
	if (r < 0)
		free(block.at.data);
	return r;
}

int generation_note(struct generation *generation, const struct block_head *head, uint64_t offset)
{
	struct block block = {.head = *head, .at.offset = offset};

	generation->in_file = true;
	return block_push(generation, &block);
}

/* ---- Packets ---------------------------------------------------------------------------- */

uint64_t block_hash(const struct block_head *head, const void *stored)
{
	uint64_t seed = hash_bytes(0, head, offsetof(struct block_head, hash));

	return hash_bytes(seed, stored, head->stored);
}

bool packet_has_room(const struct packet *packet)
{
	return BLOCK_MAX - packet->head.raw >= CELL_MAX;
}

void packet_took(struct packet *packet, const struct layout *layout, size_t size)
{
	struct cell cell;

	memcpy(&cell, packet->data + packet->head.raw, sizeof(cell));
	if (!packet->head.raw)
		packet->head.first = cell.base;
	packet->head.tag = BLOCK_TAG;
	packet->head.raw += (uint32_t)size;
	packet->head.stored = packet->head.raw;
	packet->head.count += cell.count;
	packet->head.end = cell_end(layout, &cell);
}

bool packet_join(struct packet *packet, const struct packet *more)
{
	if (BLOCK_MAX - packet->head.raw < more->head.raw)
		return false;
	if (!packet->head.raw)
		packet->head.first = more->head.first;
	memcpy(packet->data + packet->head.raw, more->data, more->head.raw);
	packet->head.tag = BLOCK_TAG;
	packet->head.raw += more->head.raw;
	packet->head.stored = packet->head.raw;
	packet->head.count += more->head.count;
	packet->head.end = more->head.end;
	return true;
}

#ifdef HAVE_ZSTD

enum { LEVEL = 1 };

struct packet *packet_compress(struct packet *packet, struct packet *room)
{
	size_t n = ZSTD_compress(room->data, packet->head.raw - packet->head.raw / 8, packet->data,
		packet->head.raw, LEVEL);

	/* The room is what is acceptable: everything else is an error. */
	if (ZSTD_isError(n))
		return packet;
	room->head = packet->head;
	room->head.stored = (uint32_t)n;
	return room;
}

static int expand(const uint8_t *stored, const struct block_head *head, uint8_t *raw)
{
	size_t n = ZSTD_decompress(raw, BLOCK_MAX, stored, head->stored);

	if (ZSTD_isError(n) || n != head->raw)
		return err_set(MS_ERR_FORMAT, "a block of the session does not unpack");
	return 0;
}

#else

struct packet *packet_compress(struct packet *packet, struct packet *room)
{
	(void)room;
	return packet;
}

static int expand(const uint8_t *stored, const struct block_head *head, uint8_t *raw)
{
	(void)stored, (void)head, (void)raw;
	return err_set(MS_ERR_UNSUPPORTED,
		"the session is compressed, and this build was made without zstd");
}

#endif

/* ---- Cursors ---------------------------------------------------------------------------- */

void cursor_init(
	struct cursor *cursor, const struct generation *generation, const struct layout *layout)
{
	cursor->generation = generation;
	cursor->layout = layout;
	cursor->block = SIZE_MAX;
	cursor->at = 0;
}

int block_fetch(const struct generation *generation, const struct block *block, uint8_t *room,
	const uint8_t **ret_stored)
{
	size_t got;
	int r;

	if (!generation->in_file) {
		*ret_stored = block->at.data;
		return 0;
	}
	r = os_file_read(generation->fd, room, block->head.stored, block->at.offset, &got);
	if (r < 0)
		return r;
	if (got != block->head.stored || block_hash(&block->head, room) != block->head.hash)
		return err_set(MS_ERR_FORMAT, "the session is damaged at offset %llu",
			(unsigned long long)block->at.offset);
	*ret_stored = room;
	return 0;
}

static int load(struct cursor *cursor, size_t number)
{
	const struct block *block = &cursor->generation->blocks.data[number];
	int r = block_fetch(cursor->generation, block, cursor->stored, &cursor->data);

	cursor->block = SIZE_MAX;
	if (r == 0 && block->head.stored < block->head.raw) {
		r = expand(cursor->data, &block->head, cursor->raw);
		cursor->data = cursor->raw;
	}
	if (r < 0)
		return r;
	cursor->block = number;
	cursor->at = 0;
	return 0;
}

/* The first block that ends above address. */
static size_t block_find(const struct generation *generation, uint64_t address)
{
	size_t i;

	bisect(i, generation->blocks.count, generation->blocks.data[i].head.end > address);
	return i;
}

static int open_cell(const struct cursor *cursor, struct cell_view *ret_view)
{
	size_t raw = cursor->generation->blocks.data[cursor->block].head.raw;

	if (!cell_open(cursor->layout, cursor->data + cursor->at, raw - cursor->at, ret_view))
		return err_set(MS_ERR_FORMAT, "the session is damaged: a block has a wrong cell");
	return 0;
}

int cursor_seek(struct cursor *cursor, uint64_t address)
{
	size_t block = block_find(cursor->generation, address);
	struct cell_view view;
	int r = 0;

	if (block == cursor->generation->blocks.count) {
		cursor->block = SIZE_MAX;
		return 0;
	}
	if (block != cursor->block)
		r = load(cursor, block);
	if (r == 0 && cursor->at >= cursor->generation->blocks.data[block].head.raw)
		cursor->at = 0;
	if (r == 0)
		r = open_cell(cursor, &view);
	if (r == 0 && view.head.base > address)
		cursor->at = 0;
	while (r == 0 && (r = open_cell(cursor, &view)) == 0 &&
		cell_end(cursor->layout, &view.head) <= address) {
		cursor->at += view.size;
		if (cursor->at >= cursor->generation->blocks.data[block].head.raw)
			return err_set(MS_ERR_FORMAT, "the session is damaged: a cell is missing");
	}
	return r;
}

int cursor_peek(struct cursor *cursor, struct cell_view *ret_view)
{
	const struct generation *generation = cursor->generation;
	int r;

	if (cursor->block == SIZE_MAX)
		return 0;
	if (cursor->at >= generation->blocks.data[cursor->block].head.raw) {
		if (cursor->block + 1 >= generation->blocks.count)
			return 0;
		r = load(cursor, cursor->block + 1);
		if (r < 0)
			return r;
	}
	r = open_cell(cursor, ret_view);
	return r < 0 ? r : 1;
}

int block_check(struct cursor *cursor, size_t number)
{
	const struct block_head *head = &cursor->generation->blocks.data[number].head;
	uint64_t end = head->first, count = 0;
	int r = load(cursor, number);

	while (r == 0 && cursor->at < head->raw) {
		struct cell_view view;

		r = open_cell(cursor, &view);
		if (r < 0)
			return r;
		if (view.head.base < end || (cursor->at == 0 && view.head.base != head->first) ||
			!cell_check(cursor->layout, &view))
			return err_set(
				MS_ERR_FORMAT, "the session is damaged: a block has a wrong cell");
		end = cell_end(cursor->layout, &view.head);
		count += view.head.count;
		cursor->at += view.size;
	}
	if (r == 0 && (end != head->end || count != head->count))
		return err_set(MS_ERR_FORMAT, "the session is damaged: a block is not what its "
					      "head says");
	return r;
}
