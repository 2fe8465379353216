/* SPDX-License-Identifier: BSD-2-Clause */
/* The check of compiled rules that comes before libyara sees them. */
#include "engine/yara_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	yara_image_check("input", data, size);
	return 0;
}
