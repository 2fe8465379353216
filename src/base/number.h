/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers as people type them: the public ms_parse_number(), ms_parse_size() and
 * ms_parse_duration(), and what only the library needs.
 */
#ifndef MS_BASE_NUMBER_H
#define MS_BASE_NUMBER_H

#include "memsift.h"

/* "A-B" in hex with or without 0x, half open; `what` names the option in the error. */
int range_parse(const char *what, const char *text, uint64_t *ret_base, uint64_t *ret_size);

#endif
