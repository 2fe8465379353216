/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thread-local error text. It is the one piece of state outside a handle: an enum alone cannot
 * say which file or address it was, and an error object would have to be freed by everyone.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char error_text[ERR_TEXT_MAX];

const char *ms_error(void)
{
	return error_text[0] ? error_text : "no error";
}

int err_set(int status, const char *format, ...)
{
	/* Formatted aside first: an argument may be the old text itself. */
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(error_text, text, sizeof(text));
	return status;
}

int err_errno(int status, int errnum, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	char reason[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
	const char *why = strerror_r(errnum, reason, sizeof(reason));
#else
	const char *why = strerror_r(errnum, reason, sizeof(reason)) ? "unknown error" : reason;
#endif
	return err_set(status, "%.800s: %s", text, why);
}

int err_from_errno(int errnum)
{
	switch (errnum) {
	case EACCES:
	case EPERM:
		return MS_ERR_ACCESS;
	case ENOENT:
	case ENOTDIR:
		return MS_ERR_NOT_FOUND;
	case ESRCH:
		return MS_ERR_GONE;
	case ENOMEM:
		return MS_ERR_MEMORY;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return MS_ERR_SPACE;
	case EEXIST:
		return MS_ERR_EXISTS;
	default:
		return MS_ERR_IO;
	}
}

int err_nomem(void)
{
	return err_set(MS_ERR_MEMORY, "memsift is out of memory");
}

int err_at(const char *what, const char *text, size_t at, const char *why)
{
	/* A window of the text around the spot, so that a long one stays readable. */
	enum { BEFORE = 40, WINDOW = 72 };
	char shown[WINDOW + 1];
	size_t length = strlen(text);
	size_t from = at > BEFORE ? at - BEFORE : 0;
	size_t count = 0;

	for (size_t i = from; i < length && count < WINDOW; i++, count++)
		shown[count] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '.';
	shown[count] = '\0';
	return err_set(MS_ERR_ARGUMENT, "%s: %s, at character %zu\n  %s\n  %*s^", what, why, at + 1,
		shown, (int)(at - from), "");
}
