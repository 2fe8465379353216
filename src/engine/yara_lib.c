/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/yara_lib.h"

#include "base/mem.h"

#ifdef YARA_SONAME

LATE_NOTE(YARA_SONAME, "yara", "YARA rules");

struct yara_lib yara_lib;

int yara_lib_load(void)
{
	static const char *const names[] = {YARA_FUNCTIONS(LATE_NAME)};

	_Static_assert(
		sizeof(yara_lib) == ARRAY_SIZE(names) * sizeof(void *), "a table of pointers");
	return late_load(&late_libraries[LATE_YARA], names, ARRAY_SIZE(names), &yara_lib);
}

#endif
