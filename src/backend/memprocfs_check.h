/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `doctor` tells of MemProcFS.
 */
#ifndef MS_BACKEND_MEMPROCFS_CHECK_H
#define MS_BACKEND_MEMPROCFS_CHECK_H

#include "core/host.h"

/* Tells where the library was looked for, what it is, which devices it has, and of an open one. */
int vmm_check(struct ms_host *host, struct check_list *out);

#endif
