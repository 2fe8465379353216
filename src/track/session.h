/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session file of a value scan: a head that says of which process and which values, the
 * program's path, blocks (struct block_head and what is stored), and a tail that shows that
 * nothing is missing. Numbers are in the byte order of the machine that wrote them.
 */
#ifndef MS_TRACK_SESSION_H
#define MS_TRACK_SESSION_H

#include "track/store.h"

enum { SESSION_EXE_MAX = 4096 };

/* What a scan is about; kept with its matches. */
struct subject {
	struct layout layout;
	uint32_t pid;
	uint64_t start_id;
	char *exe;	      /* NULL where unknown */
	bool swapped, device; /* what the filter of the first scan allowed */
	bool zstd;	      /* compress blocks */
};

struct session_writer {
	ms_file *file;
	uint64_t offset; /* bytes written */
	uint64_t blocks, count;
	uint64_t chain; /* of the hashes of all blocks */
};

/* Begins a file that will replace one at path, if that is a session, too. */
int session_begin(struct session_writer *writer, const char *path, const struct subject *subject);

/* Writes a block, whose hash it makes. The offset is that of what is stored. */
int session_block(struct session_writer *writer, struct block_head *head, const void *stored,
	uint64_t *ret_offset);

/* Writes the tail and gives the file its name. */
int session_end(struct session_writer *writer);
void session_done(struct session_writer *writer);

/*
 * Opens a session and checks all of it. The subject's exe is to be freed, and the generation, which
 * reads from the file, to be done with.
 */
int session_load(const char *path, struct subject *ret_subject, struct generation *ret_generation);

#endif
