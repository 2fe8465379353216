/* SPDX-License-Identifier: BSD-2-Clause */
#include "memsift.h"

const char *ms_version(void)
{
	return MS_VERSION_TEXT;
}

const char *ms_features(void)
{
	return MS_FEATURES_TEXT;
}
