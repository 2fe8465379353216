/* SPDX-License-Identifier: BSD-2-Clause */
/* libyara, loaded when it is first needed; included instead of its own header. */
#ifndef MS_ENGINE_YARA_LIB_H
#define MS_ENGINE_YARA_LIB_H

#include "base/late.h"

#include <yara.h>

#ifdef YARA_SONAME

#define YARA_FUNCTIONS(X)                                                                          \
	X(yr_compiler_add_file)                                                                    \
	X(yr_compiler_add_string)                                                                  \
	X(yr_compiler_create)                                                                      \
	X(yr_compiler_define_boolean_variable)                                                     \
	X(yr_compiler_define_float_variable)                                                       \
	X(yr_compiler_define_integer_variable)                                                     \
	X(yr_compiler_define_string_variable)                                                      \
	X(yr_compiler_destroy)                                                                     \
	X(yr_compiler_get_rules)                                                                   \
	X(yr_compiler_set_callback)                                                                \
	X(yr_compiler_set_include_callback)                                                        \
	X(yr_finalize)                                                                             \
	X(yr_initialize)                                                                           \
	X(yr_rules_define_boolean_variable)                                                        \
	X(yr_rules_define_float_variable)                                                          \
	X(yr_rules_define_integer_variable)                                                        \
	X(yr_rules_define_string_variable)                                                         \
	X(yr_rules_destroy)                                                                        \
	X(yr_rules_load_stream)                                                                    \
	X(yr_scanner_create)                                                                       \
	X(yr_scanner_destroy)                                                                      \
	X(yr_scanner_get_profiling_info)                                                           \
	X(yr_scanner_last_error_string)                                                            \
	X(yr_scanner_scan_mem_blocks)                                                              \
	X(yr_scanner_set_callback)                                                                 \
	X(yr_scanner_set_flags)                                                                    \
	X(yr_set_configuration_uint32)

extern struct yara_lib {
	YARA_FUNCTIONS(LATE_MEMBER)
} yara_lib;

/* To be called before any of the functions. */
int yara_lib_load(void);

#define yr_compiler_add_file yara_lib.yr_compiler_add_file
#define yr_compiler_add_string yara_lib.yr_compiler_add_string
#define yr_compiler_create yara_lib.yr_compiler_create
#define yr_compiler_define_boolean_variable yara_lib.yr_compiler_define_boolean_variable
#define yr_compiler_define_float_variable yara_lib.yr_compiler_define_float_variable
#define yr_compiler_define_integer_variable yara_lib.yr_compiler_define_integer_variable
#define yr_compiler_define_string_variable yara_lib.yr_compiler_define_string_variable
#define yr_compiler_destroy yara_lib.yr_compiler_destroy
#define yr_compiler_get_rules yara_lib.yr_compiler_get_rules
#define yr_compiler_set_callback yara_lib.yr_compiler_set_callback
#define yr_compiler_set_include_callback yara_lib.yr_compiler_set_include_callback
#define yr_finalize yara_lib.yr_finalize
#define yr_initialize yara_lib.yr_initialize
#define yr_rules_define_boolean_variable yara_lib.yr_rules_define_boolean_variable
#define yr_rules_define_float_variable yara_lib.yr_rules_define_float_variable
#define yr_rules_define_integer_variable yara_lib.yr_rules_define_integer_variable
#define yr_rules_define_string_variable yara_lib.yr_rules_define_string_variable
#define yr_rules_destroy yara_lib.yr_rules_destroy
#define yr_rules_load_stream yara_lib.yr_rules_load_stream
#define yr_scanner_create yara_lib.yr_scanner_create
#define yr_scanner_destroy yara_lib.yr_scanner_destroy
#define yr_scanner_get_profiling_info yara_lib.yr_scanner_get_profiling_info
#define yr_scanner_last_error_string yara_lib.yr_scanner_last_error_string
#define yr_scanner_scan_mem_blocks yara_lib.yr_scanner_scan_mem_blocks
#define yr_scanner_set_callback yara_lib.yr_scanner_set_callback
#define yr_scanner_set_flags yara_lib.yr_scanner_set_flags
#define yr_set_configuration_uint32 yara_lib.yr_set_configuration_uint32

#else

static inline int yara_lib_load(void)
{
	return 0;
}

#endif
#endif
