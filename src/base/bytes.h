/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads from bytes at any alignment, in either byte order, and the character classes of ASCII
 * whatever the locale says.
 */
#ifndef MS_BASE_BYTES_H
#define MS_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>

static inline uint16_t load_u16(const void *from, bool big)
{
	const uint8_t *b = from;

	return big ? (uint16_t)(b[0] << 8 | b[1]) : (uint16_t)(b[1] << 8 | b[0]);
}

static inline uint32_t load_u32(const void *from, bool big)
{
	const uint8_t *b = from;

	return big ? (uint32_t)load_u16(b, true) << 16 | load_u16(b + 2, true)
		   : (uint32_t)load_u16(b + 2, false) << 16 | load_u16(b, false);
}

static inline uint64_t load_u64(const void *from, bool big)
{
	const uint8_t *b = from;

	return big ? (uint64_t)load_u32(b, true) << 32 | load_u32(b + 4, true)
		   : (uint64_t)load_u32(b + 4, false) << 32 | load_u32(b, false);
}

/* 0-15, or -1 if c is no hex digit. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

#endif
