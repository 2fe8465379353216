/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unpacks any bytes as a file compressed with zstd, and reads what came of them. Whatever is in the
 * file, what comes out has a size that can be read to the end, or nothing comes out.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/os.h"
#include "core/unpack.h"
#include "memsift.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CLOSE int fd = memfd_create("packed", MFD_CLOEXEC), unpacked = -1;
	char path[64], last;
	uint64_t whole;
	size_t got;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	r = unpack_file(path, &(struct ms_host_options){0}, &unpacked);
	require(r == 0 || r == MS_ERR_FORMAT || r == MS_ERR_SPACE || r == MS_ERR_UNSUPPORTED);
	require(r == 0 || unpacked < 0);
	if (unpacked < 0)
		return 0;
	whole = os_file_size(unpacked);
	require(whole == 0 || (os_file_read(unpacked, &last, 1, whole - 1, &got) == 0 && got == 1));
	return 0;
}
