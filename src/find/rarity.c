/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How common each byte value is in the memory of processes. Counted over every readable resident
 * page, except those that are all zeros, of a Python interpreter, gdb with a program loaded, a C
 * compiler and a shell on x86-64 Linux, each with the same weight. Zero makes a third of it,
 * then come 0xff, the prefix 0x48 of 64-bit instructions, and lower-case letters. The exact
 * numbers do not matter; the order of magnitude does. None is below 40, since a value
 * that was rare in those four may be common elsewhere.
 */
#include "find/part.h"

/* clang-format off */
static const uint16_t rates[256] = {
	20618, 1021, 559, 401, 436, 455, 252, 168, 628, 159, 181, 157, 161, 149, 523, 1016,
	452, 113, 128, 93, 128, 109, 77, 78, 280, 74, 68, 59, 87, 61, 61, 308,
	677, 106, 77, 60, 636, 124, 54, 64, 256, 142, 91, 90, 88, 94, 156, 84,
	393, 338, 94, 70, 104, 121, 68, 75, 187, 176, 74, 80, 106, 112, 52, 74,
	264, 561, 228, 141, 491, 303, 97, 109, 1842, 344, 64, 76, 473, 150, 123, 82,
	200, 52, 95, 189, 182, 152, 105, 73, 100, 57, 66, 104, 115, 119, 65, 285,
	163, 301, 120, 230, 242, 435, 375, 118, 169, 279, 60, 81, 254, 149, 280, 300,
	226, 49, 303, 280, 571, 261, 99, 104, 125, 104, 57, 65, 148, 77, 65, 578,
	366, 106, 57, 483, 369, 435, 95, 56, 120, 1066, 47, 741, 91, 542, 67, 66,
	169, 43, 40, 43, 62, 65, 41, 45, 82, 40, 107, 280, 51, 42, 40, 40,
	105, 40, 40, 40, 47, 40, 45, 40, 78, 40, 54, 50, 51, 40, 40, 40,
	104, 40, 40, 41, 52, 48, 93, 337, 102, 54, 78, 57, 62, 57, 84, 79,
	443, 183, 95, 178, 128, 125, 107, 189, 96, 99, 60, 43, 118, 53, 60, 46,
	146, 74, 108, 54, 67, 61, 52, 59, 147, 50, 52, 72, 69, 66, 65, 113,
	158, 69, 73, 75, 92, 90, 87, 82, 516, 256, 74, 138, 102, 86, 83, 122,
	182, 65, 81, 103, 82, 88, 150, 112, 171, 95, 122, 116, 122, 131, 274, 2333,
};
/* clang-format on */

unsigned byte_rate(uint8_t value, uint8_t mask)
{
	unsigned free_bits = (uint8_t)~mask, bits = free_bits, sum = 0;

	/* Every value that the mask lets through: counts down through the subsets of free_bits. */
	for (;;) {
		sum += rates[value | bits];
		if (!bits)
			return sum;
		bits = (bits - 1) & free_bits;
	}
}
