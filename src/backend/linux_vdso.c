/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel has one vDSO image for each word size (arch/x86/entry/vdso and the like), mapped
 * whole. So a region of that name in a process of our own architecture that is as long as our
 * own image is that image.
 */
#include "backend/linux_vdso.h"

#include "base/mem.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/utsname.h>

/* Where our own image ends: behind its section headers, which the linker puts last. */
static uint64_t image_size(const uint8_t *image)
{
	ElfW(Ehdr) header;

	memcpy(&header, image, sizeof(header));
	return align_up(header.e_shoff + (uint64_t)header.e_shnum * header.e_shentsize,
		(uint64_t)sysconf(_SC_PAGESIZE));
}

static bool same_arch(const struct ms_source *src)
{
	struct utsname machine;

	return sizeof(void *) == 8 && src->process.arch && uname(&machine) == 0 &&
	       strcmp(machine.machine, src->process.arch) == 0;
}

const uint8_t *linux_vdso(const struct ms_source *src, const struct ms_region *region)
{
	const uint8_t *image;

	if (strcmp(region->path, "[vdso]") != 0 || !same_arch(src))
		return NULL;
	image = (const uint8_t *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	return image && image_size(image) == region->size ? image : NULL;
}
