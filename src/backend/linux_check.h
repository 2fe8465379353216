/* SPDX-License-Identifier: BSD-2-Clause */
/* What this machine, kernel and user allow, and why a process could not be examined. */
#ifndef MS_BACKEND_LINUX_CHECK_H
#define MS_BACKEND_LINUX_CHECK_H

#include "core/host.h"

/*
 * Appends a line for each thing that memsift can make use of. Everything is tried on the calling
 * process alone.
 */
int linux_check(struct check_list *out);

/*
 * Sets the sentence for a process that the system refuses to let us examine, and says what is
 * missing. `what` is what was tried, such as "read its memory". Returns MS_ERR_ACCESS for EPERM
 * and EACCES, else the status that goes with errnum.
 */
int linux_access_error(uint32_t pid, int errnum, const char *what);

#endif
