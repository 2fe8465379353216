/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is given back all at once: the strings of a process list, the hits of a chunk.
 */
#ifndef MS_BASE_ARENA_H
#define MS_BASE_ARENA_H

#include "base/mem.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t total;		    /* bytes in use */
};

/* Returns size bytes aligned for any type, or NULL. */
void *arena_alloc(struct arena *arena, size_t size);

/* Copies size bytes and adds a NUL; returns NULL when memory runs out. */
char *arena_copy(struct arena *arena, const void *data, size_t size);

char *arena_string(struct arena *arena, const char *string);

char *arena_format(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Forgets everything but keeps one block for the next use. */
void arena_reset(struct arena *arena);

void arena_done(struct arena *arena);

#endif
