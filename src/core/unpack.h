/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are compressed with zstd, taken for what is in them: they are unpacked into a
 * temporary file that has no name, in $TMPDIR or /tmp, and takes room there until it is closed.
 */
#ifndef MS_CORE_UNPACK_H
#define MS_CORE_UNPACK_H

#include "memsift.h"

/*
 * Unpacks a file if it is compressed; *ret_fd is of what was in it, or -1 for any other file. What
 * is damaged, cut off or has something else behind it is refused, as is what is unreasonably large,
 * or would leave the disk with no room for others. Of the options, only `cancelled` matters.
 */
int unpack_file(const char *path, const struct ms_host_options *options, int *ret_fd);

#endif
