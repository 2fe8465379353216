/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is given back all at once: the strings of a process list, the hits of a chunk.
 */
#ifndef MS_BASE_ARENA_H
#define MS_BASE_ARENA_H

#include "base/mem.h"

enum { ARENA_ALIGNMENT = 16 };

struct arena_block {
	struct arena_block *next;
	size_t used, room;
	_Alignas(ARENA_ALIGNMENT) unsigned char data[];
};

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t total;		    /* bytes in use */
};

/* What arena_alloc() does when the newest block is full. */
void *arena_alloc_block(struct arena *arena, size_t size);

/* Returns size bytes aligned for any type, or NULL. */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	size_t rounded = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	void *data;

	if (!block || size > SIZE_MAX / 2 || block->room - block->used < rounded)
		return arena_alloc_block(arena, size);
	data = block->data + block->used;
	block->used += rounded;
	arena->total += rounded;
	return data;
}

/* Copies size bytes and adds a NUL; returns NULL when memory runs out. */
char *arena_copy(struct arena *arena, const void *data, size_t size);

char *arena_string(struct arena *arena, const char *string);

char *arena_format(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Moves all that `from` holds, where it is, to `into`; `from` is empty then. */
void arena_join(struct arena *into, struct arena *from);

/* Forgets everything but keeps one block for the next use. */
void arena_reset(struct arena *arena);

void arena_done(struct arena *arena);

#endif
