/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An open table of blocks of sixteen pages by block number, at most half full. Blocks stay once
 * they are made; when all pages of one are dropped its bytes go.
 */
#include "track/mirror.h"

#include "base/hash.h"
#include "base/mem.h"

enum { BLOCK_PAGES = 16, ROOM_MIN = 1024 };

struct mirror_block {
	uint64_t number; /* of the block, plus one; 0: the place is free */
	uint8_t *bytes;
	uint16_t stored, marked; /* a bit a page */
};

static size_t block_size(const struct mirror *mirror)
{
	return mirror->page * BLOCK_PAGES;
}

static struct mirror_block *find_place(struct mirror_block *blocks, size_t room, uint64_t number)
{
	size_t at = (size_t)hash_mix(number) & (room - 1);

	while (blocks[at].number && blocks[at].number != number)
		at = (at + 1) & (room - 1);
	return &blocks[at];
}

static struct mirror_block *find_block(const struct mirror *mirror, uint64_t address)
{
	struct mirror_block *block;

	if (!mirror->count)
		return NULL;
	block = find_place(mirror->blocks, mirror->room, address / block_size(mirror) + 1);
	return block->number ? block : NULL;
}

static bool grow(struct mirror *mirror)
{
	size_t room = mirror->room ? mirror->room * 2 : ROOM_MIN;
	struct mirror_block *blocks;

	if (mirror->count * 2 < mirror->room)
		return true;
	blocks = calloc(room, sizeof(*blocks));
	if (!blocks)
		return false;
	for (size_t i = 0; i < mirror->room; i++)
		if (mirror->blocks[i].number)
			*find_place(blocks, room, mirror->blocks[i].number) = mirror->blocks[i];
	mirror->bytes += (room - mirror->room) * sizeof(*blocks);
	free(mirror->blocks);
	mirror->blocks = blocks;
	mirror->room = room;
	return true;
}

static struct mirror_block *make_block(struct mirror *mirror, uint64_t address)
{
	uint64_t number = address / block_size(mirror) + 1;
	struct mirror_block *block;

	if (!grow(mirror))
		return NULL;
	block = find_place(mirror->blocks, mirror->room, number);
	if (block->number)
		return block;
	if (!vec_push(&mirror->numbers, number))
		return NULL;
	mirror->count++;
	block->number = number;
	return block;
}

static unsigned bit_of(const struct mirror *mirror, uint64_t address)
{
	return 1u << (address / mirror->page % BLOCK_PAGES);
}

static uint8_t *page_of(const struct mirror *mirror, struct mirror_block *block, uint64_t address)
{
	return block->bytes + address % block_size(mirror);
}

uint8_t *mirror_find(const struct mirror *mirror, uint64_t address)
{
	struct mirror_block *block = find_block(mirror, address);

	return block && (block->stored & bit_of(mirror, address)) ? page_of(mirror, block, address)
								  : NULL;
}

const uint8_t *mirror_view(const struct mirror *mirror, uint64_t address, size_t *ret_size)
{
	struct mirror_block *block = find_block(mirror, address);
	unsigned first = (unsigned)(address / mirror->page % BLOCK_PAGES), end = first;

	while (block && end < BLOCK_PAGES && (block->stored >> end & 1))
		end++;
	*ret_size = (end - first) * mirror->page;
	return end > first ? page_of(mirror, block, address) : NULL;
}

uint8_t *mirror_put(struct mirror *mirror, uint64_t address)
{
	struct mirror_block *block = make_block(mirror, address);

	if (!block)
		return NULL;
	if (!block->bytes) {
		if (mirror->bytes + block_size(mirror) > mirror->max)
			return NULL;
		/* On a line of the cache, so that comparing it reads no line twice. */
		block->bytes = aligned_alloc(64, block_size(mirror));
		if (!block->bytes)
			return NULL;
		mirror->bytes += block_size(mirror);
	}
	block->stored |= (uint16_t)bit_of(mirror, address);
	block->marked &= (uint16_t)~bit_of(mirror, address);
	return page_of(mirror, block, address);
}

bool mirror_mark(struct mirror *mirror, uint64_t address)
{
	struct mirror_block *block = make_block(mirror, address);

	if (block)
		block->marked |= (uint16_t)bit_of(mirror, address);
	return block;
}

bool mirror_marked(const struct mirror *mirror, uint64_t address)
{
	struct mirror_block *block = find_block(mirror, address);

	return block && (block->marked & bit_of(mirror, address));
}

static void drop_from(
	struct mirror *mirror, struct mirror_block *block, uint64_t base, uint64_t end)
{
	uint64_t first = (block->number - 1) * block_size(mirror);

	for (unsigned i = 0; i < BLOCK_PAGES; i++) {
		uint64_t at = first + i * mirror->page;

		if (at < base || at >= end)
			continue;
		block->stored &= (uint16_t) ~(1u << i);
		block->marked &= (uint16_t) ~(1u << i);
	}
	if (block->stored || !block->bytes)
		return;
	free(block->bytes);
	block->bytes = NULL;
	mirror->bytes -= block_size(mirror);
}

void mirror_drop(struct mirror *mirror, uint64_t base, uint64_t end)
{
	size_t size = block_size(mirror);

	/* Whichever is less to walk: the range, or the table. */
	if ((end - base) / size < mirror->room) {
		for (uint64_t at = base - base % size; at < end; at += size) {
			struct mirror_block *block = find_block(mirror, at);

			if (block)
				drop_from(mirror, block, base, end);
		}
		return;
	}
	for (size_t i = 0; i < mirror->room; i++)
		if (mirror->blocks[i].number)
			drop_from(mirror, &mirror->blocks[i], base, end);
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The place in the ordered list of the first block whose number is at least this one. */
static size_t find_number(struct mirror *mirror, uint64_t number)
{
	uint64_t *numbers = mirror->numbers.data;
	size_t i;

	if (mirror->sorted < mirror->numbers.count)
		vec_sort(&mirror->numbers, by_number);
	mirror->sorted = mirror->numbers.count;
	bisect(i, mirror->numbers.count, numbers[i] >= number);
	return i;
}

bool mirror_next(struct mirror *mirror, uint64_t address, uint64_t end, uint64_t *ret_address)
{
	size_t size = block_size(mirror);
	size_t i = find_number(mirror, address / size + 1);

	for (; i < mirror->numbers.count; i++) {
		uint64_t first = (mirror->numbers.data[i] - 1) * size;
		const struct mirror_block *block = find_block(mirror, first);

		if (first >= end)
			return false;
		for (uint64_t at = max_u64(first, address);
			at < end && at - first < size && block->stored; at += mirror->page)
			if (block->stored & bit_of(mirror, at)) {
				*ret_address = at;
				return true;
			}
	}
	return false;
}

void mirror_done(struct mirror *mirror)
{
	for (size_t i = 0; i < mirror->room; i++)
		free(mirror->blocks[i].bytes);
	free(mirror->blocks);
	free(mirror->numbers.data);
	*mirror = (struct mirror){0};
}
