/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of /proc/PID/stat, in which a process chooses its own name. */
#include "backend/linux_procfs.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct linux_stat stat;

	if (linux_stat_parse(text, size, &stat) < 0)
		return 0;
	assert(stat.name > text && stat.name + stat.name_size < text + size);
	assert(stat.name[-1] == '(' && stat.name[stat.name_size] == ')');
	return 0;
}
