/* SPDX-License-Identifier: BSD-2-Clause */
/* The two hosts without a format: a file of plain bytes, and a caller's buffers. */
#include "memsift.h"

#include "core/host.h"
#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

static int open_file(const void *data, size_t size, ms_host **ret_host)
{
	AUTO_CLOSE int fd = memfd_create("raw", MFD_CLOEXEC);
	char path[64];

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "raw:/proc/self/fd/%d", fd);
	return ms_host_open(path, ret_host);
}

static void raw_file(void)
{
	const struct ms_region *regions;
	ms_host *host;
	ms_source *src;
	struct ms_gap gap;
	char buf[64];
	size_t count, got;

	check_ok(open_file("0123456789", 10, &host));
	check_ok(ms_source_open(host, 0, &src));
	check_u64(ms_source_process(src)->pid, 1);
	check_ok(ms_source_regions(src, &regions, &count));
	check_u64(count, 1);
	check_u64(regions[0].base, 0);
	check_u64(regions[0].size, 10);
	check_u64(regions[0].perm, MS_PERM_READ);
	check_u64(regions[0].kind, MS_KIND_MAPPED);
	check_text(regions[0].path, ms_host_name(host));
	check_ok(ms_source_read(src, 3, buf, sizeof(buf), &got, &gap));
	check_u64(got, 7);
	check(memcmp(buf, "3456789", 7) == 0);
	check_ok(ms_source_read(src, 10, buf, 1, &got, &gap));
	check_u64(got, 0);
	check_u64(gap.state, MS_STATE_VANISHED);
	ms_source_free(src);
	ms_host_free(host);
}

static void raw_refuses(void)
{
	ms_host *host;

	check_u64(open_file("", 0, &host), MS_ERR_FORMAT);
	check(strstr(ms_error(), "empty"));
	check_u64(ms_host_open("raw:/nowhere/at/all", &host), MS_ERR_NOT_FOUND);
	check_u64(ms_host_open("raw:/tmp", &host), MS_ERR_ARGUMENT);
	check_u64(ms_host_open("raw:/dev/zero", &host), MS_ERR_ARGUMENT);
}

static void memory_pieces(void)
{
	const struct ms_segment segments[] = {
		{.base = 0x1001, .size = 5, .data = "abcde", .perm = MS_PERM_READ},
		{.base = 0x1006, .size = 3, .data = "fgh", .perm = MS_PERM_READ | MS_PERM_WRITE},
		{.base = 0x1009, .size = 7, .state = MS_STATE_SWAPPED, .perm = MS_PERM_EXEC},
		{.base = 0x1020, .size = 1, .data = "i", .state = MS_STATE_GUARD},
	};
	const struct ms_region *regions;
	ms_host *host;
	ms_source *src;
	struct ms_gap gap;
	char buf[64];
	size_t count, got;

	check_ok(ms_host_open_memory(segments, ARRAY_SIZE(segments), &host));
	check_text(ms_host_name(host), "memory");
	check_ok(ms_source_open(host, 1, &src));
	check_u64(ms_source_process(src)->rss, 8);
	check_ok(ms_source_regions(src, &regions, &count));
	check_u64(count, ARRAY_SIZE(segments));
	for (size_t i = 0; i < count; i++) {
		check_u64(regions[i].base, segments[i].base);
		check_u64(regions[i].size, segments[i].size);
		check_u64(regions[i].perm, segments[i].perm);
	}
	check_u64(regions[2].kind, MS_KIND_CODE);
	check_u64(regions[2].resident, 0);
	check_ok(src->ops->read(src, 0x1002, buf, sizeof(buf), &got));
	check_u64(got, 4); /* short at the end of its piece... */
	check_ok(ms_source_read(src, 0x1002, buf, sizeof(buf), &got, &gap));
	check_u64(got, 7); /* ...which the core joins with the next */
	check(memcmp(buf, "bcdefgh", 7) == 0);
	check_ok(ms_source_read(src, 0x100b, buf, sizeof(buf), &got, &gap));
	check_u64(got, 0);
	check_u64(gap.state, MS_STATE_SWAPPED);
	check_u64(gap.base, 0x100b);
	check_u64(gap.size, 5);
	check_ok(ms_source_read(src, 0x1020, buf, 1, &got, &gap));
	check_u64(got, 0);
	check_u64(gap.state, MS_STATE_GUARD);
	check_ok(ms_source_read(src, 0x1010, buf, 1, &got, &gap));
	check_u64(gap.state, MS_STATE_VANISHED);
	ms_source_free(src);
	ms_host_free(host);
}

static void memory_refuses(void)
{
	static const struct ms_segment good = {
		.base = 0x1000, .size = 0x10, .data = "0123456789abcdef"};
	static const struct ms_segment bad[] = {
		{.base = 0x100f, .size = 1, .data = "x"}, /* overlaps */
		{.base = 0x500, .size = 1, .data = "x"},  /* descends */
		{.base = 0x2000, .size = 0, .data = "x"},
		{.base = UINT64_MAX, .size = 1, .data = "x"},
		{.base = 0x2000, .size = UINT64_MAX, .state = MS_STATE_ABSENT},
		{.base = 0x2000, .size = 1, .data = NULL},
		{.base = 0x2000, .size = 1, .data = "x", .state = MS_STATE_COUNT},
		{.base = 0x2000, .size = 1, .data = "x", .state = -1},
		{.base = 0x2000, .size = 1, .data = "x", .perm = 16},
	};
	ms_host *host;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct ms_segment both[] = {good, bad[i]};

		check_that(ms_host_open_memory(both, 2, &host) == MS_ERR_ARGUMENT,
			"segment %zu was accepted", i);
		check_that(strstr(ms_error(), "segment 1 at"), "%s", ms_error());
	}
	check_u64(ms_host_open_memory(NULL, 1, &host), MS_ERR_ARGUMENT);
	check_ok(ms_host_open_memory(&good, 1, &host));
	ms_host_free(host);
	check_ok(ms_host_open_memory(NULL, 0, &host));
	ms_host_free(host);
}

static const struct test tests[] = {
	{"raw_file", raw_file},
	{"raw_refuses", raw_refuses},
	{"memory_pieces", memory_pieces},
	{"memory_refuses", memory_refuses},
};

TEST_MAIN(tests)
