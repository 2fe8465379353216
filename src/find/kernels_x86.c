/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernels of an x86-64 build. */
#include "find/part.h"

const struct find_kernel *const find_kernels[] = {
	&find_avx512,
	&find_avx2,
	&find_sse2,
	&find_scalar,
	NULL,
};
