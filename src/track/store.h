/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The matches of one scan: blocks of cells by ascending address, in memory or in the session
 * file. A block is what is compressed, written and read as a whole. session.c knows the file.
 */
#ifndef MS_TRACK_STORE_H
#define MS_TRACK_STORE_H

#include "base/vec.h"
#include "track/cell.h"

enum {
	BLOCK_MAX = 60 * 1024,	  /* bytes of cells; with a head it fits 64 KiB */
	BLOCK_GATHER = 32 * 1024, /* smaller ones are put together */
};

/* As it stands in front of a block in the file, too. */
struct block_head {
	uint32_t tag;	 /* BLOCK_TAG */
	uint32_t stored; /* bytes that follow; less than raw: compressed */
	uint32_t raw;	 /* bytes of cells */
	uint32_t count;	 /* matches */
	uint64_t first;	 /* where the first cell begins, */
	uint64_t end;	 /* and cell_end() of the last one */
	uint64_t hash;	 /* of all the above and the bytes that follow */
};

enum { BLOCK_TAG = 0x434c424d };

/* A block on its way from the thread that made it. */
struct packet {
	struct block_head head;
	uint8_t data[BLOCK_MAX];
};

struct block {
	struct block_head head;
	union {
		void *data;	 /* in memory */
		uint64_t offset; /* in the file */
	} at;
};

struct generation {
	VEC(struct block) blocks;
	uint64_t count;	     /* matches */
	uint64_t bytes_kept; /* what it takes, wherever it lies */
	bool in_file;	     /* else in memory */
	int fd;		     /* of the file; -1 until it is whole */
};

void generation_init(struct generation *generation);
void generation_done(struct generation *generation);

/* Makes the hash that belongs into the head. */
uint64_t block_hash(const struct block_head *head, const void *stored);

/* Whether there is room for any cell behind data + head.raw; and counts one that was put there. */
bool packet_has_room(const struct packet *packet);
void packet_took(struct packet *packet, const struct layout *layout, size_t size);

/* Adds the cells of another packet, which is not compressed; false if they do not fit. */
bool packet_join(struct packet *packet, const struct packet *more);

/*
 * Compresses the packet into another one if that makes it smaller by an eighth or more, and
 * returns the one to be used. Without the feature "zstd" that is always the first.
 */
struct packet *packet_compress(struct packet *packet, struct packet *room);

/* Keeps a copy of the packet in memory, at the end of the generation. */
int generation_add(struct generation *generation, const struct packet *packet);

/* Notes where in the file a block is, at the end of the generation. */
int generation_note(struct generation *generation, const struct block_head *head, uint64_t offset);

/* What of a block is read into; a cursor of one thread. */
struct cursor {
	const struct generation *generation;
	const struct layout *layout;
	size_t block;	     /* that is loaded; SIZE_MAX for none */
	const uint8_t *data; /* its cells, head.raw bytes */
	size_t at;	     /* where in them the cursor is */
	uint8_t stored[BLOCK_MAX], raw[BLOCK_MAX];
};

void cursor_init(
	struct cursor *cursor, const struct generation *generation, const struct layout *layout);

/* Goes to the first cell that ends above address. */
int cursor_seek(struct cursor *cursor, uint64_t address);

/*
 * Opens the cell that the cursor is at; returns 1, 0 at the end, or a negative status. The view
 * lives until the cursor is at another block.
 */
int cursor_peek(struct cursor *cursor, struct cell_view *ret_view);

/* Goes on behind the cell that cursor_peek() showed. */
static inline void cursor_pass(struct cursor *cursor, const struct cell_view *view)
{
	cursor->at += view->size;
}

/* Reads the stored bytes of a block, which live as long as the cursor stays there. */
int block_fetch(const struct generation *generation, const struct block *block, uint8_t *room,
	const uint8_t **ret_stored);

/* Checks every cell of a block that was loaded from a file. */
int block_check(struct cursor *cursor, size_t block);

#endif
