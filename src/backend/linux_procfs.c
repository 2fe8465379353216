/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows: how the kernel writes the files of /proc that hold a text or a list
 * of numbers.
 */
#include "backend/linux_procfs.h"

#include "base/bytes.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

enum {
	STAT_FIELDS_MIN = 24, /* up to the resident size */
	STAT_FIELDS_MAX = 52,
	PF_KTHREAD = 0x00200000, /* include/linux/sched.h */
};

/* ---- Reading /proc --------------------------------------------------------------------- */

ssize_t linux_read_at(int dirfd, const char *path, char *buf, size_t size)
{
	AUTO_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t got;

	if (fd < 0)
		return -errno;
	/* Whatever fits comes at once: these files are made anew for each read from their start. */
	do {
		got = read(fd, buf, size - 1);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	buf[got] = '\0';
	return got;
}

bool linux_status_number(
	int dirfd, const char *path, const char *key, int number_base, uint64_t *ret_value)
{
	char text[8192], wanted[32];
	const char *at;
	char *end;
	uint64_t value;

	/* A name cannot forge a line: the kernel escapes newlines in "Name:". */
	snprintf(wanted, sizeof(wanted), "\n%s:", key);
	if (linux_read_at(dirfd, path, text, sizeof(text)) < 0 || !(at = strstr(text, wanted)))
		return false;
	at += strlen(wanted);
	errno = 0;
	value = strtoull(at, &end, number_base);
	if (end == at || errno)
		return false;
	*ret_value = value;
	return true;
}

bool linux_number(const char *text, uint32_t *ret_number)
{
	uint64_t number = 0;
	size_t i;

	for (i = 0; is_digit(text[i]) && number <= UINT32_MAX; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	if (i == 0 || text[i] || number > UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

int linux_numbers(int fd, int (*each)(void *ctx, uint32_t number), void *ctx)
{
	/* struct linux_dirent64: inode, offset, record length (16 bits) at 16, name at 19. */
	enum { LENGTH_AT = 16, NAME_AT = 19 };
	_Alignas(8) char entries[16 * 1024];
	uint32_t number;
	uint16_t length;
	int r;

	for (;;) {
		long size = syscall(SYS_getdents64, fd, entries, sizeof(entries));

		if (size < 0)
			return err_errno(
				errno == ENOENT || errno == ESRCH ? MS_ERR_GONE : MS_ERR_IO, errno,
				"cannot list a folder of /proc");
		if (size == 0)
			return 0;
		for (long at = 0; at < size; at += length) {
			memcpy(&length, entries + at + LENGTH_AT, sizeof(length));
			if (linux_number(entries + at + NAME_AT, &number) &&
				(r = each(ctx, number)))
				return r;
		}
	}
}

/* ---- stat ------------------------------------------------------------------------------ */

/* A decimal number, negative ones as two's complement; moves *at behind it. */
static bool stat_number(const char **at, const char *end, uint64_t *ret_value)
{
	const char *p = *at;
	bool negative = p < end && *p == '-';
	const char *digits = p += negative;
	uint64_t value = 0;

	for (; p < end && is_digit(*p); p++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return false;
	if (p == digits)
		return false;
	*ret_value = negative ? 0 - value : value;
	*at = p;
	return true;
}

/* Fields are numbered as in proc(5). Returns how many there are, counted from 1. */
static size_t stat_numbers(const char *at, const char *end, uint64_t fields[STAT_FIELDS_MAX + 1])
{
	size_t field = 4;

	for (; field <= STAT_FIELDS_MAX && at < end && *at == ' '; field++) {
		at++;
		if (!stat_number(&at, end, &fields[field]))
			break;
	}
	return field - 1;
}

int linux_stat_parse(const char *text, size_t size, struct linux_stat *ret_stat)
{
	const char *end = text + size, *at = text;
	/* The name may hold parentheses and spaces; what follows it holds only numbers. */
	const char *open = size ? memchr(text, '(', size) : NULL;
	const char *close = open ? memrchr(open, ')', (size_t)(end - open)) : NULL;
	uint64_t fields[STAT_FIELDS_MAX + 1] = {0};

	if (!close || end - close < 3 || close[1] != ' ' || !stat_number(&at, open, &fields[1]) ||
		stat_numbers(close + 3, end, fields) < STAT_FIELDS_MIN || fields[1] > UINT32_MAX ||
		fields[4] > UINT32_MAX)
		return err_set(MS_ERR_FORMAT, "the text of a stat file in /proc makes no sense");
	*ret_stat = (struct linux_stat){
		.pid = (uint32_t)fields[1],
		.name = open + 1,
		.name_size = (size_t)(close - open - 1),
		.state = close[2],
		.ppid = (uint32_t)fields[4],
		.session = (uint32_t)fields[6],
		.terminal = fields[7] != 0,
		.kernel = fields[9] & PF_KTHREAD,
		.start_ticks = fields[22],
		.rss_pages = fields[24],
		.arg_start = fields[48],
		.arg_end = fields[49],
	};
	return 0;
}
