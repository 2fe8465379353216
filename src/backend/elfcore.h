/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the ELF core reader share. elfcore.c opens the file, elfcore_read.c reads
 * memory, elfcore_notes.c takes the notes apart, elfcore_own.c the notes that only memsift
 * writes, elfcore_map.c makes regions and a process out of all of it. Once open, nothing changes,
 * so that several threads may read at once.
 */
#ifndef MS_BACKEND_ELFCORE_H
#define MS_BACKEND_ELFCORE_H

#include "core/host.h"

enum {
	CORE_SEGMENTS_MAX = 1 << 21,	    /* program headers; vm.max_map_count is rarely higher */
	CORE_NOTE_SEGMENTS_MAX = 16,	    /* PT_NOTE headers that are looked at */
	CORE_NOTES_MAX = 256 * 1024 * 1024, /* bytes of notes kept in memory */
	CORE_THREADS_MAX = 1 << 18,
};

/* A PT_LOAD, cut so that segments ascend and do not overlap. have <= stored <= size. */
struct core_segment {
	uint64_t base, size;
	uint64_t offset; /* of its bytes in the file */
	uint64_t stored; /* bytes that the header says are in the file */
	uint64_t have;	 /* bytes that really are: fewer when the file was cut off */
	unsigned perm;
	uint32_t order; /* place among the headers */
};

/* A note's content; data is NULL when there is no such note. */
struct core_bytes {
	const uint8_t *data;
	size_t size;
};

/* The first note of each kind that is there once a process. */
struct core_notes {
	struct core_bytes psinfo, auxv, files;
	struct core_bytes own_regions, own_gaps, own_process;
};

struct elfcore {
	int fd;
	uint64_t file_size;
	bool wide; /* ELF64 */
	bool big;  /* big endian */
	unsigned machine;
	uint64_t program_offset, program_count; /* of program headers */

	VEC(struct core_segment) segments;

	uint8_t *note_bytes;
	struct core_notes notes;
	VEC(struct ms_thread) threads; /* register sets point into note_bytes */

	/* Entries of memsift's note of gaps, checked but left as they are in the file. */
	const uint8_t *gaps;
	size_t gap_count;

	struct ms_process process;
	struct region_list regions; /* holds the strings of process, too */
	size_t page_size;	    /* every border of a region, segment or gap is a multiple */
};

/* elfcore_read.c */
extern const struct ms_source_ops elfcore_source;

/* Where a PT_NOTE lies. */
struct core_note_segment {
	uint64_t offset, size;
	unsigned align;
};

/* Loads the notes and takes apart those of the system. Damaged ones are passed over. */
int core_notes_load(struct elfcore *core, const struct core_note_segment *parts, size_t count);

/* The value of an entry of the auxiliary vector; 0 when there is none. */
uint64_t core_auxv_find(const struct elfcore *core, uint64_t type);

/*
 * memsift's own notes. Each returns 1 when the note is there and was used, 0 when it is missing
 * or of a version that is not known, and MS_ERR_FORMAT when it contradicts itself.
 */
int core_own_regions(struct elfcore *core);
int core_own_gaps(struct elfcore *core);
int core_own_process(struct elfcore *core);

/* A gap of the own note, for index < gap_count. */
struct run core_own_gap(const struct elfcore *core, size_t index);

/* Fills core->regions and core->process from whatever notes there are. */
int core_map_build(struct elfcore *core, const char *path);

#endif
