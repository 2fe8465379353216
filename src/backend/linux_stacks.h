/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the stacks of a process are, told by the stack pointers of its threads. One that runs at
 * this very moment shows none; its stack is found by the thread's own control block, which glibc
 * keeps at the top of it.
 */
#ifndef MS_BACKEND_LINUX_STACKS_H
#define MS_BACKEND_LINUX_STACKS_H

#include "backend/linux.h"

struct linux_stacks {
	VEC(uint64_t) items; /* an address in each stack that was found; free the data */
};

int linux_stacks_find(
	struct ms_source *src, const struct region_list *regions, struct linux_stacks *out);

#endif
