/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every kind of host, in the order in which a file is offered to them: raw takes anything, so it
 * comes last.
 *
 * To add a backend:
 *  1. Write src/backend/NAME.c with a `const struct ms_host_ops NAME_host`; raw.c is the example
 *     to copy, core/host.h the contract of each function.
 *  2. Add it to the list below and its file to meson.build.
 *  3. Add it to the conformance suite, tests/unit/conformance.c, which every backend passes.
 *  4. If it parses a file, add a fuzz target under fuzz/.
 */
#ifndef MS_BACKEND_BACKENDS_H
#define MS_BACKEND_BACKENDS_H

#include "core/host.h"

extern const struct ms_host_ops local_host; /* this machine: linux.c */
extern const struct ms_host_ops elfcore_host;
extern const struct ms_host_ops hashfile_host;
extern const struct ms_host_ops raw_host;
extern const struct ms_host_ops memory_host; /* memory.c: a caller's buffers */

static const struct ms_host_ops *const backends[] = {
	&local_host,
	&elfcore_host,
	&hashfile_host,
	&raw_host,
};

#endif
