/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A growable byte string. The first allocation that fails marks the buffer; later calls do
 * nothing, so a builder may append freely and look at `failed` once at the end.
 */
#ifndef MS_BASE_BUF_H
#define MS_BASE_BUF_H

#include "base/mem.h"

struct buf {
	char *data; /* NUL-terminated once something was added */
	size_t size, room;
	bool failed;
};

/*
 * Makes room for so many bytes and a NUL behind what there is, for a caller that writes them there
 * itself and then adds to the size; false when memory runs out.
 */
bool buf_grow(struct buf *buf, size_t more);

static inline bool buf_reserve(struct buf *buf, size_t more)
{
	return (!buf->failed && more < buf->room - buf->size) || buf_grow(buf, more);
}

static inline void buf_add(struct buf *buf, const void *data, size_t size)
{
	if (!buf_reserve(buf, size))
		return;
	if (size)
		memcpy(buf->data + buf->size, data, size);
	buf->size += size;
	buf->data[buf->size] = '\0';
}

static inline void buf_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

static inline void buf_char(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a number in base 10, or in base 16 in lower case. */
void buf_decimal(struct buf *buf, uint64_t value);
void buf_hexadecimal(struct buf *buf, uint64_t value);

/* Appends a character count times. */
void buf_fill(struct buf *buf, char c, size_t count);

/* Appends little-endian numbers as bytes. */
void buf_u16(struct buf *buf, uint16_t value);
void buf_u32(struct buf *buf, uint32_t value);
void buf_u64(struct buf *buf, uint64_t value);

/* Appends lower-case hex. */
void buf_hex(struct buf *buf, const void *data, size_t size);

void buf_clear(struct buf *buf);
void buf_done(struct buf *buf);

/* How many bytes from data on are printable ASCII. */
size_t ascii_length(const void *data, size_t size);

/*
 * Appends bytes as text that is safe on a terminal and in a log: printable ASCII and valid UTF-8
 * (but no control characters) as they are, everything else as \n, \t or \xNN.
 */
void buf_printable(struct buf *buf, const void *data, size_t size);

/* The length of the valid UTF-8 sequence at data, 0 if there is none. */
size_t utf8_length(const unsigned char *data, size_t size);

#endif
