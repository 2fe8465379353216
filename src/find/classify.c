/* SPDX-License-Identifier: BSD-2-Clause */
/* The way that runs anywhere: a table lookup for each byte. */
#include "find/part.h"

#include <assert.h>
#include <string.h>

classify_words *classify_choose(void)
{
	return find_kernel_choose()->classify;
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

void classify_scalar(const struct byte_class *classes, size_t count, const uint8_t *data,
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
