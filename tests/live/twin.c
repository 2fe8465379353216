/* SPDX-License-Identifier: BSD-2-Clause */
/* The twin that a process is forked into, and what becomes of it when the process ends. */
#include "test.h"

#include "puppet.h"

#include <errno.h>

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

static const struct test tests[] = {
	{"target is killed", test_twin_of_a_killed_target},
};

TEST_MAIN(tests)
