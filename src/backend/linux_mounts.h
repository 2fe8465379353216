/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which file systems may block whoever reads a file on them: those that another program or
 * another machine answers for. Told by the device number that a memory map shows.
 */
#ifndef MS_BACKEND_LINUX_MOUNTS_H
#define MS_BACKEND_LINUX_MOUNTS_H

#include "base/vec.h"

enum linux_place {
	LINUX_PLACE_UNKNOWN,  /* mounted nowhere that we can see */
	LINUX_PLACE_LOCAL,    /* a disk or memory of this machine */
	LINUX_PLACE_REMOTE,   /* FUSE, NFS, SMB... */
	LINUX_PLACE_INTERNAL, /* the kernel's own: memfd, shared anonymous and System V memory */
};

struct linux_mount {
	uint64_t id;
	uint32_t major, minor;
	enum linux_place place;
};

struct linux_mounts {
	VEC(struct linux_mount) items;
};

/* Appends what the text of a mountinfo file lists; lines that make no sense are left out. */
int linux_mounts_parse(const char *text, size_t size, struct linux_mounts *out);

/* Appends the file systems that the kernel keeps for itself; they are in no mountinfo. */
int linux_mounts_add_internal(struct linux_mounts *out);

enum linux_place linux_mounts_find(
	const struct linux_mounts *mounts, uint32_t major, uint32_t minor);

/* The same by the number of the mount, which statx() tells. */
enum linux_place linux_mounts_find_id(const struct linux_mounts *mounts, uint64_t id);

#endif
