/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading. The library is asked page by page, many pages at once: its other functions fill what
 * they cannot read with zeros and return a sum that does not tell where. Whole pages go straight
 * into the caller's buffer; the ragged ends go through one page of our own.
 */
#include "backend/memprocfs.h"

enum { BATCH = 192 }; /* pages; more than a chunk of the scan loop has */

size_t vmm_read_pages(
	struct vmm_host *vh, uint32_t pid, uint64_t address, void *buf, size_t count, bool *good)
{
	struct vmm_scatter reads[BATCH], *list[BATCH];
	size_t done = 0;

	for (size_t at = 0; at < count;) {
		size_t batch = (size_t)min_u64(count - at, BATCH);

		for (size_t i = 0; i < batch; i++) {
			reads[i] = (struct vmm_scatter){
				.version = VMM_SCATTER_VERSION,
				.address = address + (at + i) * VMM_PAGE,
				.data = (char *)buf + (at + i) * VMM_PAGE,
				.size = VMM_PAGE,
			};
			list[i] = &reads[i];
		}
		vh->library.api.read_scatter(vh->vmm, pid, list, (uint32_t)batch,
			vh->is_volatile ? VMM_READ_NOCACHE : 0);
		for (size_t i = 0; i < batch; i++) {
			good[at + i] = reads[i].good;
			done += reads[i].good != 0;
		}
		at += batch;
	}
	return done;
}

/* Part of one page. */
static size_t read_part(struct vmm_host *vh, uint32_t pid, uint64_t address, void *buf, size_t size)
{
	uint64_t page = align_down(address, VMM_PAGE);
	uint8_t bytes[VMM_PAGE];
	bool good = false;

	size = (size_t)min_u64(size, page + VMM_PAGE - address);
	vmm_read_pages(vh, pid, page, bytes, 1, &good);
	if (!good)
		return 0;
	memcpy(buf, bytes + (address - page), size);
	return size;
}

int vmm_read(struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	struct vmm_host *vh = vmm_host_of(src);
	uint32_t pid = vmm_of(src)->pid;
	size_t got = 0;

	if (address % VMM_PAGE || size < VMM_PAGE) {
		got = read_part(vh, pid, address, buf, size);
		if (!got || (address + got) % VMM_PAGE) {
			*ret_size = got;
			return 0;
		}
	}
	while (size - got >= VMM_PAGE) {
		size_t count = (size_t)min_u64((size - got) / VMM_PAGE, BATCH), whole = 0;
		bool good[BATCH];

		vmm_read_pages(vh, pid, address + got, (char *)buf + got, count, good);
		while (whole < count && good[whole])
			whole++;
		got += whole * VMM_PAGE;
		if (whole < count) {
			*ret_size = got;
			return 0;
		}
	}
	if (got < size)
		got += read_part(vh, pid, address + got, (char *)buf + got, size - got);
	*ret_size = got;
	return 0;
}
