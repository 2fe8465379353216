/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file behind a region, opened without a chance of waiting for another program or machine
 * and without touching a device: it is looked at by way of O_PATH first, and opened for reading
 * only if it is a regular file on a file system that is known and local.
 */
#ifndef MS_BACKEND_LINUX_FILE_H
#define MS_BACKEND_LINUX_FILE_H

#include "backend/linux.h"

enum linux_file_type {
	LINUX_FILE_REGULAR,
	LINUX_FILE_ZERO,   /* /dev/zero: a private mapping of it is anonymous memory */
	LINUX_FILE_DEVICE, /* another device */
	LINUX_FILE_BARRED, /* nobody can tell, or it might block */
	LINUX_FILE_SHORT,  /* no descriptors are left to open it */
};

/* What lies behind a region of a live source. */
struct linux_file {
	enum linux_file_type type;
	int fd;	       /* open for reading, or -1 */
	uint64_t size; /* of the file, in bytes */
};

/* Opens it as far as is allowed; the result is always valid. Close it with linux_file_close(). */
void linux_file_open(
	struct ms_source *src, const struct ms_region *region, struct linux_file *file);
void linux_file_close(struct linux_file *file);

/* What kind of file it is; nothing is opened. */
enum linux_file_type linux_file_type(struct ms_source *src, const struct ms_region *region);

/*
 * Whether the path, taken from a memory map with its " (deleted)" at the end, is the file's
 * present name in full.
 */
bool linux_file_has_name(struct ms_source *src, const struct ms_region *region);

/*
 * Tells whether [offset, ...) of an open file is data, and where that ends, at most at `end`.
 * Holes are not data, nor is what lies behind the last page of the file. Both ends of what is
 * told are multiples of the page size if the arguments are.
 */
bool linux_file_is_data(
	const struct linux_file *file, uint64_t offset, uint64_t end, uint64_t *ret_end);

/*
 * Reads up to size bytes at offset of an open file as a mapping of it would show them: with zeros
 * from the end of the file to the end of its last page. Returns how many it got.
 */
size_t linux_file_read(const struct linux_file *file, uint64_t offset, void *buf, size_t size);

#endif
