/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The teddy filter, named after the algorithm of Hyperscan: each literal belongs to one of eight
 * buckets; for each column a table of sixteen entries tells which buckets allow a nibble there.
 * An offset stays a candidate as long as some bucket allows every nibble of its window.
 *
 * On top of what pair.inc.h asks for, the including file defines
 *
 *	vec spread(const uint8_t table[16])   the table in every 16 bytes of the vector
 *	vec lookup(vec table, vec nibbles)
 *	vec low_nibbles(vec), high_nibbles(vec)
 */
static TARGET uint64_t teddy_filter(
	const struct part *part, const uint8_t *data, size_t words, uint64_t *bits)
{
	vec low[FIND_WINDOW], high[FIND_WINDOW];
	uint64_t any = 0;

#pragma GCC unroll 4
	for (size_t c = 0; c < FIND_WINDOW; c++) {
		low[c] = spread(part->teddy->low[c]);
		high[c] = spread(part->teddy->high[c]);
	}
	for (size_t w = 0; w < words; w++, data += 64) {
		vec hit[WORD_VECS];

#pragma GCC unroll 4
		for (size_t i = 0; i < WORD_VECS; i++) {
			hit[i] = splat(0xff);
#pragma GCC unroll 4
			for (size_t c = 0; c < FIND_WINDOW; c++) {
				vec bytes = load(data + i * sizeof(vec) + c);

				hit[i] &= lookup(low[c], low_nibbles(bytes)) &
					  lookup(high[c], high_nibbles(bytes));
			}
		}
		bits[w] = ~zero_bits(hit);
		any |= bits[w];
	}
	return any;
}
