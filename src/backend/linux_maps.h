/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of /proc/PID/maps and smaps, and what kind of memory a region is. Pure functions: they
 * look at nothing but their arguments.
 *
 * The kind of a region is the first of these that holds:
 *  1. Stack: the region the system calls [stack], or a private writable one in which the stack
 *     pointer of a thread lies (a thread's stack is ordinary memory; nothing else tells).
 *  2. Code: any other executable region, whatever lies behind it.
 *  3. Heap: the region the system calls [heap], or private anonymous writable memory: arenas of
 *     malloc, large allocations, heaps of language runtimes. Not among them is an anonymous
 *     region that begins where a private writable mapping of a file ends: those are the zeroed
 *     variables (.bss) of that program or library, and belong to it.
 *  4. Mapped: what has a file behind it, is shared, or is a module's .bss.
 *  5. Other: the rest, such as reserved address space and the kernel's own pages.
 */
#ifndef MS_BACKEND_LINUX_MAPS_H
#define MS_BACKEND_LINUX_MAPS_H

#include "core/host.h"

/*
 * Appends the regions of whole lines of maps or smaps. Paths are as the text has them but for
 * \012, which becomes a newline; the " (deleted)" that the kernel appends is still there. Of
 * the lines that smaps has in addition, Rss becomes the resident size (UINT64_MAX without it)
 * and the flags io and pf of VmFlags become MS_REGION_DEVICE. A region that overlaps the one
 * before, as happens when the target changes its memory between two reads of the text, is cut
 * to what is new in it. Fails with MS_ERR_FORMAT at a line that is none of these.
 */
int linux_maps_parse(const char *text, size_t size, struct region_list *out);

/* Sets the kind of every region. The stack pointers are in any order. */
void linux_maps_classify(struct region_list *list, const uint64_t *stack_pointers, size_t count);

/* True if the system has something behind the region that can be named by device and inode. */
static inline bool linux_maps_backed(const struct ms_region *region)
{
	return region->inode || region->dev_major || region->dev_minor;
}

#endif
