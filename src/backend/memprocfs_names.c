/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of mapped files. The library tells them with the VADs, but some releases (5.18.10 and
 * 5.19.0 among them) leave them out although they name the file object; its FileName, a
 * UNICODE_STRING, has been at the same place in all 64-bit Windows.
 */
#include "backend/memprocfs.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum { FILE_NAME = 0x58, NAME_MAX_BYTES = 2048, SYSTEM_PID = 4 };

/* Reads all of it, or nothing. */
static bool read_all(struct vmm_host *vh, uint64_t address, void *buf, size_t size)
{
	uint8_t page[VMM_PAGE];

	for (size_t done = 0; done < size;) {
		uint64_t at = address + done, base = align_down(at, VMM_PAGE);
		size_t part = (size_t)min_u64(size - done, base + VMM_PAGE - at);
		bool good = false;

		vmm_read_pages(vh, SYSTEM_PID, base, page, 1, &good);
		if (!good)
			return false;
		memcpy((char *)buf + done, page + (at - base), part);
		done += part;
	}
	return true;
}

static void add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_char(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_char(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_char(out, (char)(0xe0 | c >> 12));
		} else {
			buf_char(out, (char)(0xf0 | c >> 18));
			buf_char(out, (char)(0x80 | (c >> 12 & 63)));
		}
		buf_char(out, (char)(0x80 | (c >> 6 & 63)));
	}
	buf_char(out, (char)(0x80 | (c & 63)));
}

/* Halves of a pair that stand alone become U+FFFD. */
static void add_utf16(struct buf *out, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 2 <= size; i += 2) {
		uint32_t c = load_u16(data + i, false);
		uint32_t low = i + 4 <= size ? load_u16(data + i + 2, false) : 0;

		if (c == 0)
			return;
		if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			i += 2;
		} else if (c >= 0xd800 && c < 0xe000) {
			c = 0xfffd;
		}
		add_utf8(out, c);
	}
}

int vmm_file_name(
	struct vmm_host *vh, uint64_t file_object, struct arena *strings, const char **ret_name)
{
	CLEANUP(buf_done) struct buf text = {0};
	uint8_t string[16], name[NAME_MAX_BYTES];
	size_t size = 0;

	if (vh->system == VMM_SYSTEM_WINDOWS_64 && file_object >= VMM_USER_END &&
		read_all(vh, file_object + FILE_NAME, string, sizeof(string)))
		size = load_u16(string, false);
	if (size > sizeof(name))
		size = sizeof(name);
	if (size && read_all(vh, load_u64(string + 8, false), name, size))
		add_utf16(&text, name, size);
	*ret_name = arena_copy(strings, text.data ? text.data : "", text.size);
	return text.failed || !*ret_name ? err_nomem() : 0;
}
