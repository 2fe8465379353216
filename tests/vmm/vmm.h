/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where tests/vmm/prepare.sh put MemProcFS's library and the images: MEMSIFT_TEST_MEMPROCFS names
 * the folder, else it is `memprocfs` in the build folder. Tests without it are skipped.
 */
#ifndef MS_TESTS_VMM_H
#define MS_TESTS_VMM_H

#include "test.h"

#include "memsift.h"

#include <limits.h>
#include <unistd.h>

/* The path of something in that folder. */
static inline void vmm_path(const char *name, char ret_path[PATH_MAX])
{
	const char *folder = getenv("MEMSIFT_TEST_MEMPROCFS");
	char beside[PATH_MAX / 2] = "";

	if (!folder && readlink("/proc/self/exe", beside, sizeof(beside) - 32) > 0) {
		/* BUILD/tests/program */
		*strrchr(beside, '/') = '\0';
		strcpy(strrchr(beside, '/'), "/memprocfs");
		folder = beside;
	}
	snprintf(ret_path, PATH_MAX, "%s/%s", folder ? folder : ".", name);
}

/* Ends the test unless library and images are there. */
static inline void vmm_need(void)
{
	char path[PATH_MAX];

	vmm_path("images/pagefile.sys", path);
	if (access(path, R_OK) != 0)
		skip("no %s: tests/vmm/prepare.sh makes it, with MemProcFS's library", path);
}

/* Opens an image by the real library. */
static inline int vmm_open_image(const char *image, const char *dtb, ms_host **ret_host)
{
	char path[PATH_MAX], spec[PATH_MAX + 8], library[PATH_MAX];
	struct ms_host_options options = {
		.size = sizeof(options), .memprocfs_path = library, .dtb = dtb};

	vmm_path("", library);
	vmm_path(image, path);
	snprintf(spec, sizeof(spec), "vmm:%s", path);
	return ms_host_open_with(spec, &options, ret_host);
}

#endif
