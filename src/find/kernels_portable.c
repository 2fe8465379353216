/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernels of a build for any other processor. */
#include "find/part.h"

const struct find_kernel *const find_kernels[] = {
	&find_scalar,
	NULL,
};
