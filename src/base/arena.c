/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bump allocator in a list of blocks. Blocks double in size up to a limit, so that a list of
 * ten processes stays small and one of ten thousand takes few allocations.
 */
#include "base/arena.h"

#include <stdarg.h>

enum { BLOCK_MIN = 1024, BLOCK_MAX = 256 * 1024 };

static struct arena_block *block_add(struct arena *arena, size_t size)
{
	size_t room = arena->blocks ? arena->blocks->room * 2 : BLOCK_MIN;
	struct arena_block *block;

	if (room > BLOCK_MAX)
		room = BLOCK_MAX;
	if (room < size)
		room = size;
	block = malloc(sizeof(*block) + room);
	if (!block)
		return NULL;
	block->next = arena->blocks;
	block->used = 0;
	block->room = room;
	arena->blocks = block;
	return block;
}

void *arena_alloc_block(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	return block_add(arena, size) ? arena_alloc(arena, size) : NULL;
}

char *arena_copy(struct arena *arena, const void *data, size_t size)
{
	char *copy = arena_alloc(arena, size + 1);

	if (!copy)
		return NULL;
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

char *arena_string(struct arena *arena, const char *string)
{
	return arena_copy(arena, string, strlen(string));
}

char *arena_format(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	char *text = NULL;
	int length;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	if (length >= 0)
		text = arena_alloc(arena, (size_t)length + 1);
	if (text)
		vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void arena_join(struct arena *into, struct arena *from)
{
	struct arena_block **end = &into->blocks;

	/* Behind the newest one, which may have room left. */
	while (*end)
		end = &(*end)->next;
	*end = from->blocks;
	into->total += from->total;
	*from = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
	struct arena_block *kept = arena->blocks;

	if (!kept)
		return;
	while (kept->next) {
		struct arena_block *next = kept->next->next;

		free(kept->next);
		kept->next = next;
	}
	kept->used = 0;
	arena->total = 0;
}

void arena_done(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	arena->total = 0;
}
