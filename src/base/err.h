/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text that goes with a failure, one per thread. Whoever meets a failure first says what
 * happened in one sentence; callers pass the status up untouched.
 */
#ifndef MS_BASE_ERR_H
#define MS_BASE_ERR_H

#include "memsift.h"

enum { ERR_TEXT_MAX = 1024 };

/* Sets the thread's text and returns status, so that a caller can write `return err_set(...)`. */
int err_set(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, and appends ": " and what errno means. */
int err_errno(int status, int errnum, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The status that goes with an errno: access, not found, no space, or plain i/o error. */
int err_from_errno(int errnum);

int err_nomem(void);

/*
 * Says that text is wrong at the byte `at`, quoting it with a mark below that byte. `text` may
 * hold anything; what cannot be printed is shown as '.'.
 */
int err_at(const char *what, const char *text, size_t at, const char *why);

#endif
