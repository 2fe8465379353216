/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the writers of dumps need of an output file beyond memsift.h: to write at any offset, from
 * several threads. None of it goes with MS_FILE_HASH, which needs the bytes in order.
 */
#ifndef MS_EXPORT_FILE_H
#define MS_EXPORT_FILE_H

#include "memsift.h"

/* The descriptor, owned by the file: for fstat() and the like. */
int file_fd(ms_file *file);

/*
 * Writes all of it at offset. May be called from several threads at once, and does not move the
 * place where ms_file_write() goes on.
 */
int file_write_at(ms_file *file, const void *data, size_t size, uint64_t offset);

/* The same two for memory: pages of zeros are not written but left as holes of the file. */
int file_write_sparse(ms_file *file, const void *data, size_t size);
int file_write_sparse_at(ms_file *file, const void *data, size_t size, uint64_t offset);

/*
 * Writes over what ms_file_write() wrote already. With MS_FILE_HASH the hash is then computed
 * anew from the file at the commit, which takes a second pass: for what is seldom needed.
 */
int file_rewrite(ms_file *file, const void *data, size_t size, uint64_t offset);

/*
 * Changes the name that the commit will give it, within the same folder: for a file whose name
 * tells what is in it.
 */
int file_set_path(ms_file *file, const char *path);

/* Makes the file so long; what nobody writes stays a hole. */
int file_set_size(ms_file *file, uint64_t size);

#endif
