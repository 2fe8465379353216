/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching to a process: which one it is, what is left of it once it has ended or become another
 * program, and what is spared to those who have just listed it.
 */
#include "puppet.h"

static void check_gone(struct puppet *p, uint64_t base)
{
	const struct ms_region *list, *region = region_at(p, base);
	struct run runs[RUNS];
	size_t count = 77, got = 77;
	char buf[PAGE];

	check_u64(-p->src->ops->read(p->src, base, buf, PAGE, &got), -MS_ERR_GONE);
	check_u64(-p->src->ops->resident(p->src, region, base, PAGE, runs, RUNS, &count),
		-MS_ERR_GONE);
	check(count == 77 && got == 77);
	check_u64(-ms_source_regions(p->src, &list, &count), -MS_ERR_GONE);
	check(strstr(ms_error(), "ended"));
}

static void test_exit(void)
{
	struct puppet p;

	start_and_open(&p, "plain");
	tell(&p, "exit");
	check(fgetc(p.out) == EOF);
	check_u64((unsigned)waitpid(p.pid, NULL, 0), (unsigned)p.pid);
	check_gone(&p, address_of(&p, "plain"));
	finish(&p);
}

static void test_zombie(void)
{
	struct puppet p;
	ms_source *again;
	siginfo_t info;

	start_and_open(&p, "plain");
	tell(&p, "exit");
	check(waitid(P_PID, (id_t)p.pid, &info, WEXITED | WNOWAIT) == 0);
	check_gone(&p, address_of(&p, "plain"));
	check_u64(-ms_source_open(p.host, (uint32_t)p.pid, &again), -MS_ERR_GONE);
	check(strstr(ms_error(), "zombie"));
	finish(&p);
}

static void test_exec(void)
{
	struct puppet p;
	uint64_t base;

	start_and_open(&p, "plain");
	base = address_of(&p, "plain");
	tell(&p, "exec");
	check(wait_ready(&p));
	check_gone(&p, base);
	ms_source_free(p.src);
	p.src = NULL;
	check_ok(ms_source_open(p.host, (uint32_t)p.pid, &p.src));
	check_filled(&p, address_of(&p, "plain"), PAGE, "puppet-plain-needle ");
	finish(&p);
}

static void test_identity(void)
{
	struct puppet p;
	struct ms_process process;
	ms_source *other;

	start_and_open(&p, "plain");
	process = *ms_source_process(p.src);
	process.start_id++;
	check_u64(-ms_source_open_process(p.host, &process, &other), -MS_ERR_GONE);
	check(strstr(ms_error(), "the number now belongs to another process"));
	if (ms_source_open(p.host, 2, &other) != MS_ERR_NOT_FOUND)
		check_text(ms_error(),
			"pid 2 (kthreadd) is a kernel thread: it has no memory of its own");
	finish(&p);
}

static void wait_for_leader_to_end(const struct puppet *p)
{
	char state[64] = "";

	for (int i = 0; i < 1000 && !strstr(state, "Z"); i++) {
		char path[64];
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/stat", p->pid);
		file = fopen(path, "r");
		check(file && fgets(state, sizeof(state), file));
		fclose(file);
		usleep(1000);
	}
}

/* A process whose first thread has ended looks like a zombie but is none. */
static void test_leader(void)
{
	struct puppet p;
	uint64_t base;

	start(&p, "plain leader threads");
	base = address_of(&p, "plain");
	wait_for_leader_to_end(&p);
	check_ok(ms_source_open(p.host, (uint32_t)p.pid, &p.src));
	check_ok(source_refresh(p.src));
	check_filled(&p, base, PAGE, "puppet-plain-needle ");
	check(region_at(&p, address_of(&p, "threads"))->kind == MS_KIND_STACK);
	finish(&p);
}

/* Lists all processes for looking into them right after that: they stay pinned meanwhile. */
static struct ms_process pin(const struct puppet *p)
{
	const struct ms_selection all = {
		.size = sizeof(all), .all = true, .include_system = true, .brief = true};
	const struct ms_process *list;
	size_t count;

	check_ok(ms_host_select(p->host, &all, &list, &count));
	for (size_t i = 0; i < count; i++)
		if (list[i].pid == (uint32_t)p->pid)
			return list[i];
	check_that(false, "the puppet is not in the list");
	return (struct ms_process){0};
}

static void open_pinned(struct puppet *p, const struct ms_process *process)
{
	ms_source_free(p->src);
	check_ok(ms_source_open_process(p->host, process, &p->src));
	check_ok(source_refresh(p->src));
	check_filled(p, address_of(p, "plain"), PAGE, "puppet-plain-needle ");
}

/* A pin serves once; whoever comes again makes sure of the process the long way. */
static void test_pinned(void)
{
	struct puppet p;
	struct ms_process process, other;

	start(&p, "plain threads");
	process = pin(&p);
	other = process;
	other.start_id++;
	check_u64(-ms_source_open_process(p.host, &other, &p.src), -MS_ERR_GONE);
	for (int i = 0; i < 2; i++)
		open_pinned(&p, &process);
	finish(&p);
}

static void test_pinned_leader(void)
{
	struct puppet p;
	struct ms_process process;

	start(&p, "plain threads");
	process = pin(&p);
	tell(&p, "leave");
	wait_for_leader_to_end(&p);
	open_pinned(&p, &process);
	check(region_at(&p, address_of(&p, "threads"))->kind == MS_KIND_STACK);
	finish(&p);
}

static void test_pinned_end(void)
{
	struct puppet p;
	struct ms_process process;

	start(&p, "plain");
	process = pin(&p);
	tell(&p, "exit");
	check_u64((unsigned)waitpid(p.pid, NULL, 0), (unsigned)p.pid);
	check_u64(-ms_source_open_process(p.host, &process, &p.src), -MS_ERR_GONE);
	check(strstr(ms_error(), "has ended"));
	finish(&p);
}

/* The same list as ever, and no byte. */
static void test_map_only(void)
{
	struct puppet p;
	ms_source *map;
	const struct ms_region *list;
	uint8_t byte;
	size_t count, got;

	start_and_open(&p, "plain threads spin file");
	check_ok(ms_source_open_map(p.host, ms_source_process(p.src), &map));
	check_ok(ms_source_regions(map, &list, &count));
	check_u64(count, p.src->regions.items.count);
	for (size_t i = 0; i < count; i++) {
		const struct ms_region *same = &p.src->regions.items.data[i];

		check_u64(list[i].base, same->base);
		check_u64(list[i].size, same->size);
		check_that(list[i].kind == same->kind, "%llx", (unsigned long long)list[i].base);
		check_text(list[i].path, same->path);
	}
	check_ok(map->ops->read(map, address_of(&p, "plain"), &byte, 1, &got));
	check_u64(got, 0);
	ms_source_free(map);
	finish(&p);
}

static const struct test tests[] = {
	{"exit", test_exit},
	{"zombie", test_zombie},
	{"exec", test_exec},
	{"identity", test_identity},
	{"leader", test_leader},
	{"map alone", test_map_only},
	{"pinned", test_pinned},
	{"pinned, then its leader ends", test_pinned_leader},
	{"pinned, then it ends", test_pinned_end},
};

TEST_MAIN(tests)
