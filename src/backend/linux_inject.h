/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What memsift has a target do for it, by way of linux_guard.h: make a userfaultfd, which is bound
 * to the memory of whoever makes it, and fork a twin that stands still.
 */
#ifndef MS_BACKEND_LINUX_INJECT_H
#define MS_BACKEND_LINUX_INJECT_H

#include "core/host.h"

/*
 * A userfaultfd for the target's memory, in memsift's hands alone. Stops one thread of the target
 * for some tenths of a millisecond; *ret_stop_ns (may be NULL) tells how long.
 */
int linux_inject_userfaultfd(struct ms_source *src, int *ret_fd, uint64_t *ret_stop_ns);

struct linux_twin;

/*
 * A copy of the target that never runs: the target's memory at one moment, all threads being
 * stopped while the kernel copies the page tables. It is no child of the target, nor of memsift,
 * and ends with linux_twin_free() or with memsift.
 */
int linux_twin_new(struct ms_source *src, struct linux_twin **ret_twin);
void linux_twin_free(struct linux_twin *twin);

pid_t linux_twin_pid(const struct linux_twin *twin);

/*
 * Appends the threads that the target had at that moment, with their registers then. dir: /proc/PID
 * of the target.
 */
int linux_twin_threads(const struct linux_twin *twin, int dir, struct thread_list *out);

/* How long the target stood still. */
uint64_t linux_twin_stop_ns(const struct linux_twin *twin);

#endif
