/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which processes a selection names: on a host with a made-up list, where every criterion can be
 * told from the others, and among live children.
 */
#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/host.h"
#include "memsift.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static const struct ms_process made_up[] = {
	/* Not in order: the core sorts. */
	{.pid = 30,
		.ppid = 20,
		.uid = 1000,
		.name = "worker",
		.exe = "/opt/app/worker-bin",
		.user = "ann"},
	{.pid = 1, .ppid = 0, .name = "init", .exe = "/sbin/init", .user = "root", .system = true},
	{.pid = 2, .ppid = 0, .name = "kthreadd", .user = "root", .kernel = true},
	{.pid = 3, .ppid = 2, .name = "kworker/0:1", .user = "root", .kernel = true},
	{.pid = 20,
		.ppid = 10,
		.uid = 1000,
		.name = "server",
		.exe = "/usr/bin/server",
		.user = "ann"},
	{.pid = 10, .ppid = 1, .uid = 0, .name = "sshd", .exe = "/usr/sbin/sshd", .user = "root"},
	{.pid = 40, .ppid = 1, .uid = 1001, .name = "1234", .exe = NULL, .user = "1001"},
	/* Their parents are each other: a list that was taken while pids were recycled. */
	{.pid = 50, .ppid = 51, .uid = 1002, .name = "loop-a", .user = "bob"},
	{.pid = 51, .ppid = 50, .uid = 1002, .name = "loop-b", .user = "bob"},
	{.pid = 60, .ppid = 60, .uid = 1002, .name = "own, parent", .user = "bob"},
};

static int list_made_up(struct ms_host *host, struct process_list *out)
{
	(void)host;
	for (size_t i = 0; i < ARRAY_SIZE(made_up); i++)
		if (!process_list_add(out, &made_up[i]))
			return err_nomem();
	return 0;
}

static struct ms_host_ops made_up_ops;

static ms_host *made_up_host(void)
{
	ms_host *host;

	check_ok(ms_host_open_memory(NULL, 0, &host));
	made_up_ops = *host->ops;
	made_up_ops.processes = list_made_up;
	host->ops = &made_up_ops;
	return host;
}

struct missed {
	char text[256];
};

static void note_missing(void *ctx, const char *what)
{
	struct missed *missed = ctx;

	strcat(strcat(missed->text, what), ";");
}

/* Writes the pids that were selected, or the status. */
static void selected(
	ms_host *host, const struct ms_selection *selection, char *ret_text, size_t size)
{
	const struct ms_process *list;
	size_t count, at = 0;
	int r = ms_host_select(host, selection, &list, &count);

	if (r < 0) {
		snprintf(ret_text, size, "%d", r);
		return;
	}
	for (size_t i = 0; i < count; i++)
		at += (size_t)snprintf(ret_text + at, size - at, "%s%u", i ? " " : "", list[i].pid);
}

static void criteria(void)
{
	static const struct {
		struct ms_selection selection;
		const char *pids, *missing;
	} cases[] = {
		{{0}, "-3", ""},
		{{.all = true}, "10 20 30 40 50 51 60", ""},
		{{.all = true, .include_system = true}, "1 2 3 10 20 30 40 50 51 60", ""},
		{{.pids = "20"}, "20", ""},
		{{.pids = "30,10,30"}, "10 30", ""},
		{{.pids = "2"}, "2", ""},
		{{.pids = "20,77"}, "20", "77;"},
		{{.pids = "77"}, "-3", "77;"},
		{{.pids = "0x14"}, "20", ""},
		{{.pids = "18446744073709551615"}, "-3", "18446744073709551615;"},
		{{.pids = "4294967316"}, "-3", "4294967316;"},
		{{.pids = "18446744073709551616"}, "-1", ""},
		{{.pids = "20,"}, "-1", ""},
		{{.pids = ""}, "-1", ""},
		{{.pids = "20 "}, "-1", ""},
		{{.pids = "server"}, "-1", ""},
		{{.pids = "-1"}, "-1", ""},
		{{.names = "server"}, "20", ""},
		{{.names = "worker-bin"}, "30", ""},
		{{.names = "serve"}, "-3", "serve;"},
		{{.names = "/usr/bin/server"}, "-3", "/usr/bin/server;"},
		{{.names = "init"}, "1", ""},
		{{.names = "1234"}, "40", ""},
		{{.names = "kworker/0:1"}, "3", ""},
		{{.names = "sshd,nobody,worker"}, "10 30", "nobody;"},
		{{.names = "sshd,,worker"}, "-1", ""},
		{{.names = "re:^s"}, "10 20", ""},
		{{.names = "re:-bin$"}, "30", ""},
		{{.names = "re:loop-(a|b)"}, "50 51", ""},
		{{.names = "re:"}, "1 2 3 10 20 30 40 50 51 60", ""},
		{{.names = "re:^x,sshd"}, "10", "re:^x;"},
		{{.names = "re:("}, "-1", ""},
		{{.names = "re:[", .all = true}, "-1", ""},
		{{.names = "re:^s", .exclude = "server"}, "10", ""},
		{{.all = true, .exclude = "10,re:loop,1234"}, "20 30 40 60", ""},
		{{.all = true, .exclude = "nobody,99"}, "10 20 30 40 50 51 60", ""},
		{{.all = true, .exclude = "re:("}, "-1", ""},
		{{.pids = "20", .exclude = "20"}, "-3", ""},
		{{.pids = "20", .exclude = "worker"}, "20", ""},
		{{.user = "ann"}, "20 30", ""},
		{{.user = "1000"}, "20 30", ""},
		{{.user = "0", .include_system = true}, "1 2 3 10", ""},
		{{.user = "root"}, "10", ""},
		{{.user = "nobody"}, "-3", ""},
		{{.user = "1001"}, "40", ""},
		{{.user = "ann", .pids = "10"}, "10 20 30", ""},
		{{.pids = "10", .tree = true}, "10 20 30", ""},
		{{.pids = "20", .tree = true}, "20 30", ""},
		{{.pids = "1", .tree = true}, "1 10 20 30 40", ""},
		{{.pids = "10", .tree = true, .exclude = "20"}, "10 30", ""},
		{{.pids = "50", .tree = true}, "50 51", ""},
		{{.names = "re:own", .tree = true}, "60", ""},
		{{.tree = true}, "-3", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ms_host *host = made_up_host();
		struct ms_selection selection = cases[i].selection;
		struct missed missed = {""};
		char text[256];

		selection.size = sizeof(selection);
		selection.missing = note_missing;
		selection.ctx = &missed;
		selected(host, &selection, text, sizeof(text));
		check_that(strcmp(text, cases[i].pids) == 0, "case %zu: %s, not %s", i, text,
			cases[i].pids);
		check_that(strcmp(missed.text, cases[i].missing) == 0, "case %zu: missing %s", i,
			missed.text);
		/* Nobody has to listen. */
		selection.missing = NULL;
		selected(host, &selection, text, sizeof(text));
		check_text(text, cases[i].pids);
		ms_host_free(host);
	}
}

/* Whoever looks into processes wants no kernel threads but those that are named. */
static void kernel_threads(void)
{
	static const struct {
		struct ms_selection selection;
		const char *pids;
		size_t left_out;
	} cases[] = {
		{{.all = true, .include_system = true}, "1 10 20 30 40 50 51 60", 2},
		{{.all = true}, "10 20 30 40 50 51 60", 0},
		{{.user = "root", .include_system = true}, "1 10", 2},
		{{.pids = "2", .tree = true}, "2", 1},
		{{.pids = "2,3", .tree = true}, "2 3", 0},
		{{.names = "re:^k"}, "2 3", 0},
		{{.pids = "3", .all = true, .include_system = true}, "1 3 10 20 30 40 50 51 60", 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ms_host *host = made_up_host();
		struct ms_selection selection = cases[i].selection;
		size_t left_out = 77;
		char text[256];

		selection.size = sizeof(selection);
		selection.kernel_threads = &left_out;
		selected(host, &selection, text, sizeof(text));
		check_text(text, cases[i].pids);
		check_that(left_out == cases[i].left_out, "case %zu: %zu left out", i, left_out);
		ms_host_free(host);
	}
}

/* The list is sorted, and lives through the opening of a source by what it says. */
static void lists_are_sorted_and_kept(void)
{
	ms_host *host = made_up_host();
	const struct ms_process *list;
	ms_source *src;
	size_t count;

	check_ok(ms_host_processes(host, &list, &count));
	check_u64(count, ARRAY_SIZE(made_up));
	for (size_t i = 1; i < count; i++)
		check(list[i].pid > list[i - 1].pid);
	check(ms_source_open(host, 0, &src) == MS_ERR_ARGUMENT);
	check(strstr(ms_error(), "10 processes"));
	check(ms_source_open(host, 11, &src) == MS_ERR_NOT_FOUND);
	check_ok(ms_source_open(host, 20, &src));
	check_ok(ms_host_processes(host, &list, &count));
	check_text(ms_source_process(src)->name, "server");
	check_u64(ms_source_process(src)->ppid, 10);
	ms_source_free(src);
	ms_host_free(host);
}

static void the_memory_host_has_one_process(void)
{
	struct ms_selection selection = {.size = sizeof(selection), .pids = "1"};
	ms_host *host;
	char text[32];

	check_ok(ms_host_open_memory(NULL, 0, &host));
	selected(host, &selection, text, sizeof(text));
	check_text(text, "1");
	check_text(ms_host_name(host), "memory");
	check(!ms_host_is_local(host));
	ms_host_free(host);
	ms_host_free(NULL);
}

static void hosts_that_do_not_open(void)
{
	ms_host *host;

	check(ms_host_open("/nonexistent/file", &host) == MS_ERR_NOT_FOUND);
	check(ms_host_open("raw:/nonexistent", &host) == MS_ERR_NOT_FOUND);
	check(ms_host_open("elfcore:/dev/null", &host) < 0);
	check(ms_host_open("/dev", &host) < 0);
}

/* ---- Live children ---------------------------------------------------------------------- */

/* A child of that name, which ends with the test; with a child of its own if asked for. */
static pid_t child_new(const char *name, pid_t *ret_grandchild)
{
	int ready[2];
	pid_t child, grandchild = 0;

	check(pipe(ready) == 0);
	child = fork();
	check(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		if (ret_grandchild && (grandchild = fork()) == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		if (write(ready[1], &grandchild, sizeof(grandchild)) != sizeof(grandchild))
			_exit(1);
		for (;;)
			pause();
	}
	check(read(ready[0], &grandchild, sizeof(grandchild)) == sizeof(grandchild));
	close(ready[0]);
	close(ready[1]);
	if (ret_grandchild)
		*ret_grandchild = grandchild;
	return child;
}

static void child_end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void live_children(void)
{
	struct missed missed = {""};
	struct ms_selection selection = {
		.size = sizeof(selection), .missing = note_missing, .ctx = &missed};
	char text[256], want[80], names[32], pids[160];
	pid_t grandchild, one, two;
	ms_host *host;

	snprintf(names, sizeof(names), "t%d-", getpid());
	snprintf(text, sizeof(text), "%sa", names);
	one = child_new(text, &grandchild);
	snprintf(text, sizeof(text), "%sb", names);
	two = child_new(text, NULL);
	check_ok(ms_host_open(NULL, &host));
	check(ms_host_is_local(host));

	snprintf(pids, sizeof(pids), "%sb,%sc", names, names);
	selection.names = pids;
	selected(host, &selection, text, sizeof(text));
	snprintf(want, sizeof(want), "%d", two);
	check_text(text, want);
	snprintf(want, sizeof(want), "%sc;", names);
	check_text(missed.text, want);

	snprintf(names + strlen(names), 8, "[ab]$");
	snprintf(pids, sizeof(pids), "re:^%s", names);
	selected(host, &selection, text, sizeof(text));
	/* The grandchild bears its parent's name. Pids may have wrapped round between them. */
	for (int i = 0; i < 3; i++) {
		snprintf(want, sizeof(want), "%d", (pid_t[]){one, grandchild, two}[i]);
		check_that(strstr(text, want), "%s is not in %s", want, text);
	}

	selection.names = NULL;
	snprintf(pids, sizeof(pids), "%d", one);
	selection.pids = pids;
	selection.tree = true;
	selected(host, &selection, text, sizeof(text));
	snprintf(want, sizeof(want), "%d", grandchild);
	check_that(strstr(text, want) && strstr(text, pids), "%s lacks %s", text, want);

	child_end(one);
	child_end(two);
	kill(grandchild, SIGKILL);
	ms_host_free(host);
}

/* Whoever asks is left out of what was swept in, and there when named by pid. */
static void the_caller_is_left_out(void)
{
	struct ms_selection selection = {
		.size = sizeof(selection), .all = true, .include_system = true};
	const struct ms_process *list;
	size_t count;
	char pids[32];
	ms_host *host;

	check_ok(ms_host_open("local", &host));
	check_ok(ms_host_select(host, &selection, &list, &count));
	for (size_t i = 0; i < count; i++)
		check(list[i].pid != (uint32_t)getpid());
	snprintf(pids, sizeof(pids), "%d", getpid());
	selection = (struct ms_selection){.size = sizeof(selection), .pids = pids};
	check_ok(ms_host_select(host, &selection, &list, &count));
	check(count == 1 && list[0].pid == (uint32_t)getpid());
	ms_host_free(host);
}

static const struct test tests[] = {
	{"criteria", criteria},
	{"kernel threads", kernel_threads},
	{"lists are sorted and kept", lists_are_sorted_and_kept},
	{"the memory host has one process", the_memory_host_has_one_process},
	{"hosts that do not open", hosts_that_do_not_open},
	{"live children", live_children},
	{"the caller is left out", the_caller_is_left_out},
};

TEST_MAIN(tests)
