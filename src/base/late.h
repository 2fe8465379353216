/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Libraries that are loaded by who first needs them, not with the program: to load and relocate
 * them takes longer than most commands do, and a program whose libraries are not all there still
 * does the rest of its work.
 *
 * To make a library late: give it a symbol in `late` in meson.build; put the functions that are
 * used of it into a list, with a table, macros and a note, as in engine/regex_lib.[ch]. If the
 * library (not the program) needs it, it also gets an entry in late.c. Where the name of the
 * library could not be found out when this was built, NAME_SONAME is not defined, and it is linked
 * like any other.
 */
#ifndef MS_BASE_LATE_H
#define MS_BASE_LATE_H

#include <stddef.h>
#include <stdint.h>

struct late_library {
	const char *soname;  /* NULL: not in this build, or linked with it */
	const char *purpose; /* what needs it: "YARA rules" */
	const char *remedy;  /* where it is missing: "install ..." */
};

enum { LATE_CRYPTO, LATE_REGEX, LATE_YARA, LATE_COUNT };

/* What the library itself loads late. */
extern const struct late_library late_libraries[LATE_COUNT];

/* For lists of functions (or variables): a member of a table, and its name. */
#define LATE_MEMBER(symbol) __typeof__(symbol) *symbol;
#define LATE_NAME(symbol) #symbol,

/*
 * What a program loads by dlopen() is not among the libraries that its headers name. This tells
 * package managers, in the section .note.dlopen (uapi-group.org, "ELF dlopen metadata").
 */
#define LATE_NOTE(soname, feature, purpose)                                                        \
	LATE_NOTE_OF("[{\"soname\":[\"" soname "\"],\"feature\":\"" feature                        \
		     "\",\"description\":\"" purpose "\",\"priority\":\"recommended\"}]")
#define LATE_NOTE_OF(json)                                                                         \
	static const struct {                                                                      \
		uint32_t name_size, text_size, type;                                               \
		char name[4], text[sizeof(json)];                                                  \
	} late_note __attribute__((used, aligned(4), section(".note.dlopen"))) = {                 \
		4, sizeof(json), 0x407c0c0a, "FDO", json}

/*
 * Loads a library, if nobody did yet, and fills the table with the addresses of the symbols of
 * those names. The library stays for good. May be called from several threads; fails with
 * MS_ERR_UNSUPPORTED, and tries anew when called again.
 */
int late_load(const struct late_library *late, const char *const *names, size_t count, void *table);

#endif
