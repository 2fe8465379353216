/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buf.h"

#include "base/bytes.h"

#include <stdarg.h>

bool buf_grow(struct buf *buf, size_t more)
{
	size_t room = buf->room ? buf->room : 256;
	char *grown;

	if (buf->failed)
		return false;
	if (more < buf->room - buf->size)
		return true;
	while (room - buf->size <= more && room <= SIZE_MAX / 4)
		room *= 2;
	grown = room - buf->size > more ? realloc(buf->data, room) : NULL;
	if (!grown) {
		buf->failed = true;
		return false;
	}
	buf->data = grown;
	buf->room = room;
	return true;
}

void buf_format(struct buf *buf, const char *format, ...)
{
	va_list args, again;
	int length;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	if (length >= 0 && buf_reserve(buf, (size_t)length)) {
		vsnprintf(buf->data + buf->size, (size_t)length + 1, format, again);
		buf->size += (size_t)length;
	}
	va_end(again);
	va_end(args);
}

void buf_decimal(struct buf *buf, uint64_t value)
{
	char text[20], *at = text + sizeof(text);

	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10));
	buf_add(buf, at, (size_t)(text + sizeof(text) - at));
}

static const char hex_digits[] = "0123456789abcdef";

void buf_hexadecimal(struct buf *buf, uint64_t value)
{
	char text[16], *at = text + sizeof(text);

	do
		*--at = hex_digits[value & 15];
	while ((value >>= 4));
	buf_add(buf, at, (size_t)(text + sizeof(text) - at));
}

void buf_fill(struct buf *buf, char c, size_t count)
{
	if (!buf_reserve(buf, count))
		return;
	memset(buf->data + buf->size, c, count);
	buf->size += count;
	buf->data[buf->size] = '\0';
}

void buf_u16(struct buf *buf, uint16_t value)
{
	const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8)};

	buf_add(buf, bytes, sizeof(bytes));
}

void buf_u32(struct buf *buf, uint32_t value)
{
	buf_u16(buf, (uint16_t)value);
	buf_u16(buf, (uint16_t)(value >> 16));
}

void buf_u64(struct buf *buf, uint64_t value)
{
	buf_u32(buf, (uint32_t)value);
	buf_u32(buf, (uint32_t)(value >> 32));
}

void buf_hex(struct buf *buf, const void *data, size_t size)
{
	const unsigned char *bytes = data;
	char *to;

	if (size > SIZE_MAX / 2 || !buf_reserve(buf, size * 2)) {
		buf->failed = true;
		return;
	}
	to = buf->data + buf->size;
	for (size_t i = 0; i < size; i++) {
		*to++ = hex_digits[bytes[i] >> 4];
		*to++ = hex_digits[bytes[i] & 15];
	}
	*to = '\0';
	buf->size += size * 2;
}

void buf_clear(struct buf *buf)
{
	buf->size = 0;
	buf->failed = false;
}

void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

size_t utf8_length(const unsigned char *data, size_t size)
{
	/* The least value that each length may encode, so that overlong forms are refused. */
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t value;
	size_t length;

	if (!size)
		return 0;
	if (data[0] < 0x80)
		return 1;
	length = data[0] >= 0xf0 ? 4 : data[0] >= 0xe0 ? 3 : 2;
	if (data[0] < 0xc2 || data[0] > 0xf4 || length > size)
		return 0;
	value = data[0] & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((data[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (data[i] & 0x3f);
	}
	if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	return length;
}

/* Control characters of Unicode's second block, and the marks that turn text round. */
static bool utf8_unsafe(const unsigned char *data, size_t length)
{
	if (length == 2)
		return data[0] == 0xc2 && data[1] < 0xa0;
	if (length == 3 && data[0] == 0xe2)
		return (data[1] == 0x80 && (data[2] >= 0xa8 && data[2] <= 0xae)) ||
		       (data[1] == 0x80 && (data[2] == 0x8e || data[2] == 0x8f)) ||
		       (data[1] == 0x81 && data[2] >= 0xa6 && data[2] <= 0xaf);
	return false;
}

/* Whether eight bytes are all from 0x20 to 0x7e, and none a backslash if that is asked for. */
static inline bool word_is_plain(uint64_t word, bool backslash)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t other = word ^ ones * '\\';
	uint64_t bits = word | (word - ones * ' ') | (word + ones);

	if (backslash)
		bits |= (other - ones) & ~other;
	return !(bits & ones * 0x80);
}

/* The last eight bytes of four or more; of less than eight, those in the middle twice. */
static inline uint64_t word_last(const unsigned char *bytes, size_t size)
{
	if (size >= 8)
		return load_u64(bytes + size - 8, false);
	return (uint64_t)load_u32(bytes + size - 4, false) << 32 | load_u32(bytes, false);
}

static inline size_t length_of_plain(const unsigned char *bytes, size_t size, bool backslash)
{
	size_t length = 0;

	while (length + 8 <= size && word_is_plain(load_u64(bytes + length, false), backslash))
		length += 8;
	if (length + 8 > size && size >= 4 && word_is_plain(word_last(bytes, size), backslash))
		return size;
	while (length < size && bytes[length] >= ' ' && bytes[length] < 0x7f &&
		!(backslash && bytes[length] == '\\'))
		length++;
	return length;
}

size_t ascii_length(const void *data, size_t size)
{
	return length_of_plain(data, size, false);
}

void buf_printable(struct buf *buf, const void *data, size_t size)
{
	const unsigned char *bytes = data;
	size_t length;

	for (size_t i = 0; i < size; i += length) {
		length = length_of_plain(bytes + i, size - i, true);
		if (length) {
			buf_add(buf, bytes + i, length);
			continue;
		}
		length = utf8_length(bytes + i, size - i);
		if (length == 1 && bytes[i] == '\n')
			buf_text(buf, "\\n");
		else if (length == 1 && bytes[i] == '\t')
			buf_text(buf, "\\t");
		else if (length == 1 && bytes[i] == '\\')
			buf_text(buf, "\\\\");
		else if (length > 1 && !utf8_unsafe(bytes + i, length))
			buf_add(buf, bytes + i, length);
		else {
			length = length ? length : 1;
			for (size_t k = 0; k < length; k++)
				buf_format(buf, "\\x%02x", bytes[i + k]);
		}
	}
}
