/* SPDX-License-Identifier: BSD-2-Clause */
/* libhs, loaded when it is first needed; included instead of its own header. */
#ifndef MS_ENGINE_REGEX_LIB_H
#define MS_ENGINE_REGEX_LIB_H

#include "base/late.h"

#include <hs.h>

#ifdef REGEX_SONAME

#define REGEX_FUNCTIONS(X)                                                                         \
	X(hs_alloc_scratch)                                                                        \
	X(hs_clone_scratch)                                                                        \
	X(hs_compile)                                                                              \
	X(hs_compile_multi)                                                                        \
	X(hs_expression_info)                                                                      \
	X(hs_free_compile_error)                                                                   \
	X(hs_free_database)                                                                        \
	X(hs_free_scratch)                                                                         \
	X(hs_scan)                                                                                 \
	X(hs_valid_platform)

extern struct regex_lib {
	REGEX_FUNCTIONS(LATE_MEMBER)
} regex_lib;

/* To be called before any of the functions. */
int regex_lib_load(void);

#define hs_alloc_scratch regex_lib.hs_alloc_scratch
#define hs_clone_scratch regex_lib.hs_clone_scratch
#define hs_compile regex_lib.hs_compile
#define hs_compile_multi regex_lib.hs_compile_multi
#define hs_expression_info regex_lib.hs_expression_info
#define hs_free_compile_error regex_lib.hs_free_compile_error
#define hs_free_database regex_lib.hs_free_database
#define hs_free_scratch regex_lib.hs_free_scratch
#define hs_scan regex_lib.hs_scan
#define hs_valid_platform regex_lib.hs_valid_platform

#else

static inline int regex_lib_load(void)
{
	return 0;
}

#endif
#endif
