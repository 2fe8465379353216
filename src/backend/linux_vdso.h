/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vDSO, a library that the kernel maps into every process. Its pages come into a process as
 * they are touched, but what they hold is known without: the same image is in memsift itself.
 */
#ifndef MS_BACKEND_LINUX_VDSO_H
#define MS_BACKEND_LINUX_VDSO_H

#include "core/host.h"

/*
 * The bytes of the region, all region->size of them, if it is the vDSO and is known to be the
 * same image as our own; else NULL.
 */
const uint8_t *linux_vdso(const struct ms_source *src, const struct ms_region *region);

#endif
