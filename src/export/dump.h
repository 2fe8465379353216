/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the dump formats share. dump.c runs the scan loop over the source with an engine that
 * passes the bytes on; a format decides where they go. elfcore_write.c and raw_write.c are the
 * formats, corenotes.c makes the notes of a core.
 */
#ifndef MS_EXPORT_DUMP_H
#define MS_EXPORT_DUMP_H

#include "memsift.h"

#include "base/buf.h"
#include "core/coverage.h"
#include "core/engine.h"
#include "core/filter.h"
#include "core/host.h"

/* Bytes that came: where they lie in the target and in the order of the dump (struct planned). */
struct dump_piece {
	uint64_t address, size, position;
};

struct dump {
	ms_source *src;
	const struct ms_dump *options;
	const struct ms_filter *filter;
	struct ms_filter aligned; /* what filter points to for a core */
	const struct dump_format *format;
	void *priv;
	bool ordered; /* bytes come one piece after the other, through piece() */
	bool narrow;  /* a core of 32 bits, for a program of 32 bits */
	struct zstd_pool *zstd;
	struct coverage *coverage; /* at finish() */
	struct ms_coverage *ret_coverage;
};

struct dump_format {
	size_t priv_size;
	bool ordered; /* always, and uncompressed; else only for a hash or compression */

	/* The plan is made: `end` bytes of positions. */
	int (*begin)(struct dump *dump, const struct coverage *planned, uint64_t end);

	/* Writes bytes at their place; from several threads at once. Only when not ordered. */
	int (*place)(struct dump *dump, const struct ms_span *span);

	/* Tells of each piece by ascending address; with its bytes only when ordered. */
	int (*piece)(struct dump *dump, const struct dump_piece *piece, const void *bytes,
		size_t bytes_size);

	/* dump->coverage is complete. */
	int (*finish)(struct dump *dump);
	void (*done)(struct dump *dump); /* after a failed begin, too */
};

extern const struct dump_format core_format, raw_format;

/* Writes size bytes, compressed if the dump is to be; dump_zeros() that many zeros. */
int dump_write(struct dump *dump, ms_file *file, const void *data, size_t size);
int dump_zeros(struct dump *dump, ms_file *file, uint64_t size);

/* Region-like stretches that belong into the dump, by ascending address. */
struct dump_region {
	const struct ms_region *region;
	uint64_t base, size; /* the part that the filter's address ranges let through */
};

struct dump_regions {
	VEC(struct dump_region) items;
};

int dump_regions_list(const struct dump *dump, struct dump_regions *out);

/* A number as wide as the core's addresses. */
void put_word(const struct dump *dump, struct buf *buf, uint64_t value);

/* corenotes.c: all notes of a core, ready to be written. */
int core_notes_make(
	const struct dump *dump, const struct dump_regions *regions, struct buf *ret_notes);

/* zstd.c: a set of compression contexts shared by threads; all fail without the feature. */
int zstd_pool_new(struct zstd_pool **ret_pool);
void zstd_pool_free(struct zstd_pool *pool);

enum { ZSTD_STORED_HEAD = 10 };

/*
 * What stands before `size` bytes, 256 to 65,791, that are stored in a frame as they are: then
 * they can be written over later. RFC 8878, section 3.1.1.
 */
void zstd_stored_head(size_t size, uint8_t ret_head[ZSTD_STORED_HEAD]);

/* Compresses into one frame; *ret_data is to be freed. */
int zstd_frame(
	struct zstd_pool *pool, const void *data, size_t size, void **ret_data, size_t *ret_size);

#endif
