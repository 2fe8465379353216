/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256, as far as this build has it (the feature "crypto"). */
#ifndef MS_EXPORT_SHA256_H
#define MS_EXPORT_SHA256_H

#include <stddef.h>

struct sha256;

enum { SHA256_HEX = 65 }; /* 64 digits and a NUL */

/* Fails with MS_ERR_UNSUPPORTED in a build without it. */
int sha256_new(struct sha256 **ret_hash);
void sha256_free(struct sha256 *hash);

int sha256_add(struct sha256 *hash, const void *data, size_t size);

/* Writes the hash in lower-case hex; nothing can be added any more. */
int sha256_end(struct sha256 *hash, char ret_hex[SHA256_HEX]);

#endif
