/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages a target wrote, by the soft-dirty bits of its page tables: the way for kernels
 * without asynchronous write protection, and for targets in which no call may be made.
 */
#ifndef MS_BACKEND_LINUX_SOFTDIRTY_H
#define MS_BACKEND_LINUX_SOFTDIRTY_H

#include "core/host.h"

/* The same as the steps of struct dirty_request, which they answer. */
int linux_softdirty_begin(struct ms_source *src, struct dirty_request *request);
int linux_softdirty_watch(struct ms_source *src, struct dirty_request *request);
int linux_softdirty_scan(struct ms_source *src, struct dirty_request *request);
int linux_softdirty_renew(struct ms_source *src, struct dirty_request *request);

/* Whether somebody else has cleared the bits, as far as that can be seen. */
bool linux_softdirty_disturbed(struct ms_source *src);

#endif
