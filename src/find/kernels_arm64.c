/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernels of an AArch64 build. */
#include "find/part.h"

const struct find_kernel *const find_kernels[] = {
	&find_neon,
	&find_scalar,
	NULL,
};
