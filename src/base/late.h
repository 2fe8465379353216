/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Libraries that are loaded by who first needs them, not with the program: to load and relocate
 * those three takes longer than most commands do, and a program whose libraries are not all there
 * still does the rest of its work.
 *
 * To make a library late: give it a symbol in `late` in meson.build and an entry here and in
 * late.c; put the functions that are used of it into a list as in engine/regex_lib.h, and include
 * that instead of the library's own header. Where the name of the library could not be found out
 * when this was built, NAME_SONAME is not defined, and it is linked like any other.
 */
#ifndef MS_BASE_LATE_H
#define MS_BASE_LATE_H

#include <stddef.h>

enum late { LATE_CRYPTO, LATE_REGEX, LATE_YARA, LATE_COUNT };

struct late_library {
	const char *soname;  /* NULL: not in this build, or linked with it */
	const char *purpose; /* what needs it: "YARA rules" */
	const char *remedy;  /* where it is missing: "install ..." */
};

/* Of all that may be late. */
extern const struct late_library late_libraries[LATE_COUNT];

/* For lists of functions: a member of a table, and its name. */
#define LATE_MEMBER(function) __typeof__(function) *function;
#define LATE_NAME(function) #function,

/*
 * Loads a library, if nobody did yet, and fills the table with the addresses of the functions of
 * those names. The library stays for good. May be called from several threads; fails with
 * MS_ERR_UNSUPPORTED, and tries anew when called again.
 */
int late_load(enum late which, const char *const *names, size_t count, void *table);

#endif
