/* SPDX-License-Identifier: BSD-2-Clause */
/* Which bytes are text, in each of the encodings that the engine "strings" knows. */
#ifndef MS_ENGINE_PRINTABLE_H
#define MS_ENGINE_PRINTABLE_H

#include "find/classify.h"

enum printable { PRINTABLE_ASCII, PRINTABLE_UTF8, PRINTABLE_UTF16LE, PRINTABLE_UTF16BE };

enum {
	PRINTABLE_REACH = 4, /* whether a byte is text depends on no byte so far away */
};

/*
 * Sets bit i % 64 of bits[f][i / 64] for each byte i of data[0..size) that is part of a printable
 * character of wanted[f] (ASCII and UTF-8), or at which a printable unit of two bytes begins
 * (UTF-16, at odd and even places alike), and clears the other bits of those words. Only the two
 * kinds of UTF-16 may be wanted together; they take little more than one.
 */
void printable_mark(classify_words *classify, const enum printable *wanted, size_t wanted_count,
	const uint8_t *data, size_t size, uint64_t *const *bits);

#endif
