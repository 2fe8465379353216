/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The format of a snapshot that keeps only hashes, for whoever writes it (track) and whoever
 * reads it (backend). All numbers are little endian.
 *
 *   header, 64 bytes:
 *     "MSHASHES"; u32 version, u32 bytes a block (4096); u64 regions, stretches, blocks;
 *     u64 bytes of the process; u64 taken (seconds since 1970); u64 zero
 *   process: u32 pid, ppid, uid, flags (1: the program was deleted); u64 start_id, started, rss;
 *            u32 sizes of name, exe, cmdline, user, arch; those texts; zeros to a multiple of 8
 *   regions: as in core/regionpack.h
 *   stretches: u64 base, size; u32 state, zero
 *   blocks:  for each stretch of data (state 0), block after block: u64 low, high of XXH3-128
 *   u64      hash_bytes() of all before it
 *
 * Regions and stretches ascend and do not overlap. A block ends at the next multiple of the block
 * size or with its stretch.
 */
#ifndef MS_CORE_HASHFILE_H
#define MS_CORE_HASHFILE_H

#define HASHFILE_MAGIC "MSHASHES"

enum {
	HASHFILE_VERSION = 1,
	HASHFILE_MAGIC_SIZE = 8,
	HASHFILE_HEADER = 64,
	HASHFILE_PROCESS = 60,
	HASHFILE_TEXTS = 5,
	HASHFILE_STRETCH = 24,
	HASHFILE_DELETED = 1,
};

/* A page_id of this kind is the hash of a block (object low, index high) of `frame` bytes. */
enum { PAGE_ID_HASH = 3 };

#endif
