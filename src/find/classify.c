/* SPDX-License-Identifier: BSD-2-Clause */
/* The choice of the kernel, and the one that runs anywhere: a table lookup for each byte. */
#include "find/classify.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct classify_kernel *classify_choose(void)
{
	const char *wanted = getenv("MEMSIFT_FIND");
	const struct classify_kernel *best = NULL;

	for (size_t i = 0; classify_kernels[i]; i++) {
		const struct classify_kernel *kernel = classify_kernels[i];

		if (!kernel->usable())
			continue;
		if (wanted && strcmp(kernel->name, wanted) == 0)
			return kernel;
		best = best ? best : kernel;
	}
	return best;
}

/* Which classes a byte is in, a bit each. */
static void table_make(const struct byte_class *classes, size_t count, uint16_t table[256])
{
	memset(table, 0, 256 * sizeof(*table));
	for (size_t c = 0; c < count; c++)
		for (size_t r = 0; r < classes[c].count; r++)
			for (unsigned b = classes[c].ranges[r].low; b <= classes[c].ranges[r].high;
				b++)
				table[b] |= (uint16_t)(1u << c);
}

static void scalar_words(const struct byte_class *classes, size_t count, const uint8_t *data,
	size_t words, uint64_t *masks)
{
	uint16_t table[256];

	assert(count <= CLASSIFY_CLASSES_MAX);
	table_make(classes, count, table);
	for (size_t w = 0; w < words; w++, data += 64, masks += count)
		for (size_t c = 0; c < count; c++) {
			uint64_t mask = 0;

			for (unsigned i = 0; i < 64; i++)
				mask |= (uint64_t)(table[data[i]] >> c & 1) << i;
			masks[c] = mask;
		}
}

static bool usable(void)
{
	return true;
}

const struct classify_kernel classify_scalar = {
	.name = "scalar",
	.usable = usable,
	.words = scalar_words,
};
