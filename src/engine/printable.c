/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text is found without looking at single bytes: a kernel tells for 64 of them at once which are
 * in which class, and characters of several bytes come out of shifting those masks together.
 *
 * UTF-16 counts only letters, digits and signs of the Latin, Greek and Cyrillic blocks (up to
 * U+052F, but for the few with a low byte of zero, which mostly are small numbers), dashes and
 * quotation marks (U+2010 to U+201F) and the euro sign. Almost any two bytes
 * are some letter of Unicode, two ASCII letters a Chinese one; with this choice no ASCII text and
 * no UTF-8 is UTF-16 text as well, and little else is that was not meant to be.
 */
#include "engine/printable.h"

#include "base/buf.h"
#include "base/mem.h"

#include <assert.h>

enum { BLOCK_WORDS = 32 };

static const struct byte_class ascii_classes[] = {
	{{{0x20, 0x7e}, {'\t', '\t'}}, 2},
};

/* The bytes that UTF-8 is made of (RFC 3629, section 4). */
enum { U_TEXT, U_REST, U_CONTROL, U_C2, U_LEAD2, U_LEAD3, U_LEAD4, U_COUNT };

static const struct byte_class utf8_classes[] = {
	[U_TEXT] = {{{0x20, 0x7e}, {'\t', '\t'}}, 2},
	[U_REST] = {{{0x80, 0xbf}}, 1},
	[U_CONTROL] = {{{0x80, 0x9f}}, 1}, /* behind C2 */
	[U_C2] = {{{0xc2, 0xc2}}, 1},
	[U_LEAD2] = {{{0xc3, 0xdf}}, 1},
	[U_LEAD3] = {{{0xe0, 0xef}}, 1},
	[U_LEAD4] = {{{0xf0, 0xf4}}, 1},
};

/* Pairs: low bytes, and the high bytes that they go with. */
static const struct byte_class utf16_classes[] = {
	{{{0x20, 0x7e}, {'\t', '\t'}, {0xa1, 0xff}}, 3},
	{{{0x00, 0x00}}, 1},
	{{{0x01, 0xff}}, 1},
	{{{0x01, 0x01}, {0x04, 0x04}}, 2},
	{{{0x01, 0x4f}}, 1},
	{{{0x02, 0x02}}, 1},
	{{{0x70, 0xff}}, 1},
	{{{0x03, 0x03}}, 1},
	{{{0x01, 0x2f}}, 1},
	{{{0x05, 0x05}}, 1},
	{{{0x10, 0x1f}, {0xac, 0xac}}, 2},
	{{{0x20, 0x20}}, 1},
};

/* A mask moved `by` bytes towards its start, with the first bits of the one behind it. */
static uint64_t ahead(const uint64_t *mask, size_t stride, unsigned by)
{
	return mask[0] >> by | mask[stride] << (64 - by);
}

static uint64_t ascii_word(const uint64_t *masks, const uint8_t *data, uint64_t *carry)
{
	(void)data, (void)carry;
	return masks[0];
}

/* Characters that print nothing, or turn the text around them round, are no text. */
static bool is_silent(uint32_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xffff) ||
	       (c & 0xfffe) == 0xfffe || (c >= 0xe0000 && c < 0xe1000);
}

static bool is_text(const uint8_t *data, size_t length)
{
	uint32_t c = data[0] & (0xffu >> (length + 1));

	for (size_t i = 1; i < length; i++)
		c = c << 6 | (data[i] & 0x3f);
	return utf8_length(data, length) == length && !is_silent(c);
}

/* The candidates among sequences of three or four bytes that really are text. */
static uint64_t longer_sequences(uint64_t starts, const uint8_t *data, size_t length)
{
	uint64_t good = 0;

	for (; starts; starts &= starts - 1) {
		unsigned i = (unsigned)__builtin_ctzll(starts);

		if (is_text(data + i, length))
			good |= starts & -starts;
	}
	return good;
}

static uint64_t utf8_word(const uint64_t *masks, const uint8_t *data, uint64_t *carry)
{
	uint64_t rest1 = ahead(masks + U_REST, U_COUNT, 1);
	uint64_t rest2 = ahead(masks + U_REST, U_COUNT, 2);
	uint64_t rest3 = ahead(masks + U_REST, U_COUNT, 3);
	uint64_t control = ahead(masks + U_CONTROL, U_COUNT, 1);
	uint64_t two = (masks[U_LEAD2] & rest1) | (masks[U_C2] & rest1 & ~control);
	uint64_t three = longer_sequences(masks[U_LEAD3] & rest1 & rest2, data, 3);
	uint64_t four = longer_sequences(masks[U_LEAD4] & rest1 & rest2 & rest3, data, 4);
	uint64_t bits = masks[U_TEXT] | *carry | two | two << 1;

	bits |= three | three << 1 | three << 2;
	bits |= four | four << 1 | four << 2 | four << 3;
	*carry = two >> 63 | three >> 63 | three >> 62 | four >> 63 | four >> 62 | four >> 61;
	return bits;
}

static uint64_t utf16le_word(const uint64_t *masks, const uint8_t *data, uint64_t *carry)
{
	uint64_t bits = 0;

	(void)data, (void)carry;
	for (size_t i = 0; i < ARRAY_SIZE(utf16_classes); i += 2)
		bits |= masks[i] & ahead(masks + i + 1, ARRAY_SIZE(utf16_classes), 1);
	return bits;
}

static uint64_t utf16be_word(const uint64_t *masks, const uint8_t *data, uint64_t *carry)
{
	uint64_t bits = 0;

	(void)data, (void)carry;
	for (size_t i = 0; i < ARRAY_SIZE(utf16_classes); i += 2)
		bits |= ahead(masks + i, ARRAY_SIZE(utf16_classes), 1) & masks[i + 1];
	return bits;
}

static const struct {
	const struct byte_class *classes;
	size_t count;
	size_t unit;
	uint64_t (*word)(const uint64_t *masks, const uint8_t *data, uint64_t *carry);
} forms[] = {
	[PRINTABLE_ASCII] = {ascii_classes, ARRAY_SIZE(ascii_classes), 1, ascii_word},
	[PRINTABLE_UTF8] = {utf8_classes, ARRAY_SIZE(utf8_classes), 1, utf8_word},
	[PRINTABLE_UTF16LE] = {utf16_classes, ARRAY_SIZE(utf16_classes), 2, utf16le_word},
	[PRINTABLE_UTF16BE] = {utf16_classes, ARRAY_SIZE(utf16_classes), 2, utf16be_word},
};

/* Classifies words from number `first` on; bytes behind the end are zero, words there empty. */
static void words_classify(classify_words *classify, enum printable encoding, const uint8_t *data,
	size_t size, size_t first, size_t count, uint64_t *masks)
{
	const struct byte_class *classes = forms[encoding].classes;
	size_t class_count = forms[encoding].count, whole = size / 64, direct = 0;
	uint8_t rest[64] = {0};

	if (first < whole)
		direct = (size_t)min_u64(count, whole - first);
	classify(classes, class_count, data + first * 64, direct, masks);
	if (direct == count)
		return;
	masks += direct * class_count;
	memset(masks, 0, (count - direct) * class_count * sizeof(*masks));
	memcpy(rest, data + whole * 64, size % 64);
	classify(classes, class_count, rest, 1, masks);
}

void printable_mark(classify_words *classify, const enum printable *wanted, size_t wanted_count,
	const uint8_t *data, size_t size, uint64_t *const *bits)
{
	uint64_t masks[(BLOCK_WORDS + 1) * CLASSIFY_CLASSES_MAX];
	size_t words = (size + 63) / 64, count = forms[wanted[0]].count;
	uint64_t carry = 0;

	assert(wanted_count == 1 || forms[wanted[0]].classes == utf16_classes);
	for (size_t first = 0; first < words; first += BLOCK_WORDS) {
		size_t n = (size_t)min_u64(BLOCK_WORDS, words - first);

		words_classify(classify, wanted[0], data, size, first, n + 1, masks);
		for (size_t f = 0; f < wanted_count; f++)
			for (size_t i = 0; i < n; i++)
				bits[f][first + i] = forms[wanted[f]].word(
					masks + i * count, data + (first + i) * 64, &carry);
	}
	/* The last byte has no other half. */
	for (size_t f = 0; f < wanted_count && size; f++)
		if (forms[wanted[f]].unit == 2)
			bits[f][(size - 1) / 64] &= ~(UINT64_C(1) << (size - 1) % 64);
}
