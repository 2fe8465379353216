/* SPDX-License-Identifier: BSD-2-Clause */
/* Manifests: whatever is accepted has sorted, unique paths that stay inside the folder. */
#include "export/manifest.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest manifest;
	FILE *stream = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
	int r;

	if (!stream)
		return 0;
	r = manifest_read(stream, &manifest);
	fclose(stream);
	if (r < 0)
		return 0;
	for (size_t i = 0; i < manifest.entries.count; i++) {
		const struct manifest_entry *entry = &manifest.entries.data[i];

		assert(entry->path[0] && entry->path[0] != '/' && strcmp(entry->path, "..") != 0);
		assert(strncmp(entry->path, "../", 3) != 0 && !strstr(entry->path, "/../"));
		assert(strlen(entry->sha256) == SHA256_HEX - 1);
		assert(!i || strcmp(entry[-1].path, entry->path) < 0);
		assert(manifest_find(&manifest, entry->path) == entry);
	}
	manifest_done(&manifest);
	return 0;
}
