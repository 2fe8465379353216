/* SPDX-License-Identifier: BSD-2-Clause */
/* What ends under a source's hands: the target behind its twin, and memsift's own descriptors. */
#include "test.h"

#include "puppet.h"

#include <errno.h>
#include <sys/resource.h>

/* A refresh by a twin that finds this file where its target's smaps should be. */
static void refresh_with(struct puppet *p, int smaps)
{
	struct linux_space *original = linux_of(p->src)->original;
	AUTO_CLOSE int folder = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int space = original->space;
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", smaps);
	check(symlinkat(link, folder, "smaps") == 0);
	original->space = folder;
	check_ok(source_refresh(p->src));
	original->space = space;
	check(unlinkat(folder, "smaps", 0) == 0);
}

/*
 * A twin outlives its target: it is read to the end. A target that ends between the opening of
 * its smaps and the reading (then ESRCH) is had by way of another file of it that was opened
 * before.
 */
static void test_twin_of_a_killed_target(void)
{
	char path[128];
	struct puppet p;
	uint64_t base;
	int r, status;

	start_and_open(&p, "plain unforked");
	base = address_of(&p, "plain");
	r = ms_source_pause(p.src, MS_PAUSE_FORK);
	if (r == MS_ERR_UNSUPPORTED) {
		finish(&p);
		skip("%s", ms_error());
	}
	check_ok(r);
	check_ok(source_refresh(p.src));
	check(region_at(&p, address_of(&p, "unforked"))->flags & MS_REGION_LIVE);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)p.pid);
	AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
	kill(p.pid, SIGKILL);
	check(waitpid(p.pid, &status, 0) == p.pid);
	check(read(file, path, sizeof(path)) < 0 && errno == ESRCH);
	p.pid = 0;
	refresh_with(&p, file);
	check(!region_find(&p.src->regions, address_of(&p, "unforked")));
	check_filled(&p, base, PAGE, "puppet-plain-needle ");
	finish(&p);
}

static uint64_t bytes_in_state(struct puppet *p, enum ms_state state)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < p->src->regions.items.count; i++) {
		const struct ms_region *region = &p->src->regions.items.data[i];
		struct run runs[RUNS];
		size_t count = states(p, region->base, region->size, runs);

		for (size_t k = 0; k < count; k++)
			bytes += runs[k].state == state ? runs[k].size : 0;
	}
	return bytes;
}

/* That nobody may read a file is one thing, that memsift cannot open it just now is another. */
static void test_no_descriptors_left(void)
{
	struct rlimit before, none;
	struct puppet p;
	uint64_t no_access;

	start_and_open(&p, "plain");
	no_access = bytes_in_state(&p, MS_STATE_NO_ACCESS);
	check_u64(bytes_in_state(&p, MS_STATE_IO_ERROR), 0);
	check(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = (struct rlimit){0, before.rlim_max};
	check(setrlimit(RLIMIT_NOFILE, &none) == 0);
	check_u64(bytes_in_state(&p, MS_STATE_NO_ACCESS), no_access);
	check(bytes_in_state(&p, MS_STATE_IO_ERROR) > 0);
	check(setrlimit(RLIMIT_NOFILE, &before) == 0);
	check_u64(bytes_in_state(&p, MS_STATE_IO_ERROR), 0);
	finish(&p);
}

static const struct test tests[] = {
	{"twin of a killed target", test_twin_of_a_killed_target},
	{"no descriptors are left", test_no_descriptors_left},
};

TEST_MAIN(tests)
