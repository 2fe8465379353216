/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every engine that ms_engine_new() can make.
 *
 * To add one:
 *  1. Write src/engine/NAME.c with a `const struct ms_engine_ops NAME_engine`; core/engine.h is
 *     the contract, bytes.c an example.
 *  2. Add it to the list below and its file to meson.build.
 *  3. Name its arguments at ms_engine_new() in memsift.h, and document them in docs/engines.md.
 *  4. Write tests/prop/NAME.c with a seed table and a naive oracle, as tests/prop/bytes.c has.
 */
#ifndef MS_ENGINE_ENGINES_H
#define MS_ENGINE_ENGINES_H

#include "core/engine.h"

extern const struct ms_engine_ops bytes_engine;
extern const struct ms_engine_ops regex_engine;
extern const struct ms_engine_ops strings_engine; /* strings.c */
extern const struct ms_engine_ops yara_engine;

static const struct ms_engine_ops *const engines[] = {
	&bytes_engine,
	&strings_engine,
#ifdef HAVE_REGEX
	&regex_engine,
#endif
#ifdef HAVE_YARA
	&yara_engine,
#endif
};

/* Engines that a build may lack, and what to say then. */
static const struct {
	const char *name, *why;
} engines_optional[] = {
	{"regex", "this build has no regular expressions: it was made without libhs"},
	{"yara", "this build has no YARA rules: it was made without libyara"},
};

#endif
