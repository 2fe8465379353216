/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/regex_lib.h"

#include "base/mem.h"

#ifdef REGEX_SONAME

LATE_NOTE(REGEX_SONAME, "regex", "regular expressions");

struct regex_lib regex_lib;

int regex_lib_load(void)
{
	static const char *const names[] = {REGEX_FUNCTIONS(LATE_NAME)};

	_Static_assert(
		sizeof(regex_lib) == ARRAY_SIZE(names) * sizeof(void *), "a table of pointers");
	return late_load(&late_libraries[LATE_REGEX], names, ARRAY_SIZE(names), &regex_lib);
}

#endif
