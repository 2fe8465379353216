/* SPDX-License-Identifier: BSD-2-Clause */
/* The classifying kernels of a build for a processor that has none of its own. */
#include "find/classify.h"

const struct classify_kernel *const classify_kernels[] = {
	&classify_scalar,
	NULL,
};
