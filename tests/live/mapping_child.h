/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child whose memory the tests of mappings look at, and that changes it as they wish. The child
 * and the test share one page to talk by. Included by the test programs that need it, once each.
 */
#ifndef MS_TESTS_LIVE_MAPPING_CHILD_H
#define MS_TESTS_LIVE_MAPPING_CHILD_H

#include "test.h"

#include "core/host.h"
#include "memsift_track.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 32 };

enum wish { WISH_NONE, WISH_WRITE, WISH_DROP, WISH_UNMAP, WISH_REPLACE, WISH_FILTER, WISH_EXIT };

struct desk {
	atomic_int wish;
	uint64_t offset, size; /* of what to write, drop, map... */
	uint8_t value;
};

struct child {
	pid_t pid;
	struct desk *desk;
	uint8_t *memory; /* at the same address here, where it is the child's own affair */
	int fd;
	ms_host *host;
	ms_source *source;
	ms_mapper *mapper; /* of a kind that asks for tracking */
};

struct kind {
	const char *name;
	int (*file)(void); /* -1: anonymous */
	int flags;
	enum ms_mapping_kind kind;
	bool track;
};

static inline int no_file(void)
{
	return -1;
}

/* ---- The child -------------------------------------------------------------------------- */

static inline void filter_nothing(void)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(1);
}

static inline void fulfil(struct desk *desk, uint8_t *memory)
{
	switch ((enum wish)desk->wish) {
	case WISH_WRITE:
		memset(memory + desk->offset, desk->value, desk->size);
		break;
	case WISH_DROP:
		madvise(memory + desk->offset, desk->size, MADV_DONTNEED);
		break;
	case WISH_UNMAP:
		munmap(memory + desk->offset, desk->size);
		break;
	case WISH_REPLACE:
		mmap(memory + desk->offset, desk->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		memset(memory + desk->offset, 0x77, PAGE);
		break;
	case WISH_FILTER:
		filter_nothing();
		break;
	case WISH_EXIT:
		_exit(0);
	default:
		break;
	}
	desk->wish = WISH_NONE;
}

static inline void child_run(struct desk *desk, uint8_t *memory)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		if (desk->wish != WISH_NONE)
			fulfil(desk, memory);
		usleep(100);
	}
}

static inline void wish(
	struct child *child, enum wish what, uint64_t offset, uint64_t size, int value)
{
	child->desk->offset = offset;
	child->desk->size = size;
	child->desk->value = (uint8_t)value;
	child->desk->wish = (int)what;
	while (child->desk->wish != WISH_NONE)
		usleep(100);
}

static inline void child_start(struct child *child, const struct kind *kind)
{
	child->fd = kind->file();
	child->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, kind->flags, child->fd, 0);
	child->desk = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(child->memory != MAP_FAILED && child->desk != MAP_FAILED);
	child->pid = fork();
	check(child->pid >= 0);
	if (child->pid == 0)
		child_run(child->desk, child->memory);
	check_ok(ms_host_open(NULL, &child->host));
	check_ok(ms_source_open(child->host, (uint32_t)child->pid, &child->source));
	wish(child, WISH_WRITE, 0, 16 * PAGE, 0x11);
}

static inline void child_stop(struct child *child)
{
	ms_source_free(child->source);
	ms_host_free(child->host);
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	munmap(child->memory, PAGES * PAGE);
	munmap(child->desk, PAGE);
	if (child->fd >= 0)
		close(child->fd);
}

static inline uint64_t address(const struct child *child)
{
	return (uintptr_t)child->memory;
}

static inline ms_mapper *new_tracking(struct child *child)
{
	const struct ms_mapper_options options = {.size = sizeof(options), .track = true};
	ms_mapper *mapper;

	check_ok(ms_mapper_new(child->source, &options, &mapper));
	return mapper;
}

static inline ms_mapping *add(ms_mapper *mapper, uint64_t base, size_t size)
{
	size_t index;

	check_ok(ms_mapper_add(mapper, base, size, &index));
	return ms_mapper_get(mapper, index);
}

/* The end of a test, where there is nothing to test. */
static inline void need_tracking(const ms_mapping *mapping)
{
	if (ms_mapping_kind(mapping) != MS_MAPPING_TRACKED)
		skip("%s", ms_mapping_why(mapping));
}

/* A view made the way that the kind asks for; only one of a child at a time. */
static inline ms_mapping *view_new(
	struct child *child, const struct kind *kind, uint64_t base, size_t size)
{
	ms_mapping *mapping;

	if (kind->track) {
		child->mapper = new_tracking(child);
		mapping = add(child->mapper, base, size);
		if (kind->kind == MS_MAPPING_TRACKED)
			need_tracking(mapping);
		return mapping;
	}
	child->mapper = NULL;
	check_ok(ms_mapping_new(child->source, base, size, &mapping));
	return mapping;
}

static inline void view_free(struct child *child, ms_mapping *mapping)
{
	if (child->mapper)
		ms_mapper_free(child->mapper);
	else
		ms_mapping_free(mapping);
}

/* ---- Checks ------------------------------------------------------------------------------ */

static inline void check_bytes(const ms_mapping *mapping, size_t offset, size_t size, uint8_t value)
{
	const uint8_t *data = ms_mapping_data(mapping);
	uint8_t copy[3 * PAGE];
	size_t got;

	check(size <= sizeof(copy));
	for (size_t i = 0; i < size; i++)
		check_that(data[offset + i] == value, "byte %zu is %02x, not %02x", offset + i,
			data[offset + i], value);
	check_ok(ms_mapping_read(mapping, offset, copy, size, &got));
	check_u64(got, size);
	check(memcmp(copy, data + offset, size) == 0);
}

#endif
