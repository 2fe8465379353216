/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of compiled rules as libyara 4.2 lays it out, judged before libyara sees it:
 * yara_image.c knows the parts and tables of the file, yara_code.c the code in it.
 */
#ifndef MS_ENGINE_YARA_IMAGE_H
#define MS_ENGINE_YARA_IMAGE_H

#include "base/bytes.h"

#include <yara.h>

struct yara_part {
	const uint8_t *data;
	uint32_t size;
};

/* A place in a part. In the file, places stand where pointers will be. */
struct yara_place {
	uint32_t part, offset;
};

struct yara_image {
	struct yara_part parts[YR_NUM_SECTIONS];
	uint64_t *refs; /* part << 32 | offset of each place that holds a place; ascending */
	size_t ref_count;
	uint32_t rules, strings, spaces; /* how many */
};

/* What stands at a place: false if it is no place at all; ret->part UINT32_MAX for NULL. */
bool yara_image_ref(
	const struct yara_image *image, uint32_t part, uint64_t offset, struct yara_place *ret);

/* Whether a place is the beginning of an entry of a table; *ret_index: which. */
bool yara_image_entry(const struct yara_image *image, struct yara_place place, uint32_t part,
	size_t entry_size, uint32_t *ret_index);

/* Whether a text with a NUL behind it stands at a place. */
bool yara_image_text(const struct yara_image *image, struct yara_place place);

/*
 * Checks the code of conditions, and that of expressions: where it may go and what it names.
 * NULL, or what is wrong with it; MS_ERR_MEMORY in *ret_status.
 */
const char *yara_code_fault(const struct yara_image *image, int *ret_status);

/*
 * Checks a whole file: 0, or MS_ERR_FORMAT and a sentence that begins with `path`. What passes
 * has no index and no pointer that leads out of its table; what its conditions do with the
 * values that they compute is not checked.
 */
int yara_image_check(const char *path, const uint8_t *data, size_t size);

#endif
