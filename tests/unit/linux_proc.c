/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of processes, and what the system allows, on live Linux. */
#include "linux_puppets.h"

#include "backend/linux_check.h"

#include <sys/stat.h>

/* ---- Parsing --------------------------------------------------------------------------- */

#define STAT_REST                                                                                  \
	" S 7 8 9 1025 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 4096 33 18446744073709551615 1 2 3" \
	" 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 1 2 3 4096 8192 8192 12288 0"

static void test_stat_names(void)
{
	static const char *const names[] = {
		"sleep", "", " ", "a b", ")", "(", "a) R (b ) x", "))((", "two\nlines", "\xff\xfe"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct linux_stat stat;
		char text[512];
		int size = snprintf(text, sizeof(text), "42 (%s)%s\n", names[i], STAT_REST);

		check_ok(linux_stat_parse(text, (size_t)size, &stat));
		check_u64(stat.name_size, strlen(names[i]));
		check(memcmp(stat.name, names[i], stat.name_size) == 0);
		check_u64(stat.pid, 42);
		check_u64(stat.ppid, 7);
		check_u64(stat.session, 9);
		check(stat.state == 'S' && stat.terminal && !stat.kernel);
		check_u64(stat.start_ticks, 777);
		check_u64(stat.rss_pages, 33);
		check_u64(stat.arg_start, 4096);
		check_u64(stat.arg_end, 8192);
	}
}

static void test_stat_nonsense(void)
{
	static const char *const texts[] = {"", "42", "42 (", "42 (sleep", "42 (sleep)", ")42(",
		"42 (sleep) ", "42 (sleep) S", "42 (sleep) S 1 2 3", "x (sleep)" STAT_REST,
		"42 (sleep) S -", "99999999999 (sleep)" STAT_REST,
		"42 (sleep) S 99999999999999999999999 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"42 (sleep)S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct linux_stat stat;

		check_that(linux_stat_parse(texts[i], strlen(texts[i]), &stat) == MS_ERR_FORMAT,
			"\"%s\" was taken", texts[i]);
	}
}

static void test_syscall_text(void)
{
	check_u64(linux_syscall_stack_pointer("running\n"), 0);
	check_u64(linux_syscall_stack_pointer(""), 0);
	check_u64(linux_syscall_stack_pointer("-1 0x7ffc1000 0x7f0012\n"), 0x7ffc1000);
	check_u64(linux_syscall_stack_pointer("0 0x3 0x55 0x400 0x0 0x0 0x0 0x7ffd2000 0x7f00\n"),
		0x7ffd2000);
}

/* ---- Processes ------------------------------------------------------------------------- */

static const char *puppet_name;

static void run_named(void)
{
	prctl(PR_SET_NAME, puppet_name);
	atomic_store(&shared->ready, 1);
	wait_for_ever();
}

static void test_names(void)
{
	static const char *const names[] = {
		"plain", "two words", "a) R (b", ")", "((", "new\nline"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct ms_process *process;
		pid_t pid;

		begin();
		puppet_name = names[i];
		pid = start(run_named);
		wait_until(atomic_load(&shared->ready));
		process = listed(pid);
		check_text(process->name, names[i]);
		check_u64(process->pid, (uint64_t)pid);
		check_u64(process->ppid, (uint64_t)getpid());
		check(!process->kernel && !process->system && !process->exe_deleted);
	}
}

static void test_fields(void)
{
	char exe[4096], stat[65536], name[256];
	const struct ms_process *self, *puppet;
	ssize_t size;
	int64_t boot;
	pid_t pid;

	begin();
	puppet_name = "puppet";
	pid = start(run_named);
	wait_until(atomic_load(&shared->ready));
	listed(getpid());
	puppet = listed(pid);
	self = &processes.items.data[0];
	size = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	check(size > 0);
	exe[size] = '\0';
	check_text(puppet->exe, exe);
	check_text(puppet->cmdline, self->cmdline);
	linux_user_name(geteuid(), name, sizeof(name));
	check_text(puppet->user, name);
	check_u64(puppet->uid, geteuid());
	check(puppet->rss > 0);
#if defined(__x86_64__)
	check_text(puppet->arch, "x86_64");
#elif defined(__aarch64__)
	check_text(puppet->arch, "aarch64");
#endif
	check(puppet->start_id >= self->start_id);
	check(linux_read_at(AT_FDCWD, "/proc/stat", stat, sizeof(stat)) > 0);
	check(strstr(stat, "\nbtime "));
	boot = strtoll(strstr(stat, "\nbtime ") + 7, NULL, 10);
	boot += (int64_t)puppet->start_id / sysconf(_SC_CLK_TCK);
	check(puppet->started >= boot - 1 && puppet->started <= boot + 1);
}

static void test_user_names(void)
{
	char name[256];

	linux_user_name(0, name, sizeof(name));
	check_text(name, "root");
	linux_user_name(4294967293u, name, sizeof(name));
	check_text(name, "4294967293");
}

/* Enough processes that several threads list them. */
static void test_list(void)
{
	bool self = false;
	size_t seen = 0;

	begin();
	while (puppet_count < PUPPETS_MAX)
		start(wait_for_ever);
	check_ok(linux_processes(&processes, NULL));
	for (size_t i = 0; i < processes.items.count; i++) {
		const struct ms_process *process = &processes.items.data[i];

		check(i == 0 || process->pid > process[-1].pid);
		check(process->name && process->user);
		check(!process->kernel || process->system);
		self |= process->pid == (uint32_t)getpid();
		for (size_t k = 0; k < puppet_count; k++)
			seen += process->pid == (uint32_t)puppets[k];
	}
	check(self);
	check_u64(seen, puppet_count);
}

static int open_stat(int dir)
{
	AUTO_CLOSE int fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

/* A brief list pins; what is taken of it stays with the process it was listed from. */
static void test_pins(void)
{
	struct process_list brief = {.brief = true};
	struct linux_pins pins = {0};
	AUTO_CLOSE int dir = -1;
	uint64_t start_id;
	pid_t pid;

	begin();
	pid = start(wait_for_ever);
	start_id = listed(pid)->start_id;
	check_ok(linux_processes(&brief, &pins));
	check(pins.items.count && pins.items.count <= linux_pins_room());
	check(linux_pins_take(&pins, (uint32_t)pid, start_id + 1) == -1);
	dir = linux_pins_take(&pins, (uint32_t)pid, start_id);
	check(dir >= 0 && open_stat(dir) == 0);
	check(linux_pins_take(&pins, (uint32_t)pid, start_id) == -1);
	begin();
	check(open_stat(dir) == -ESRCH);
	linux_pins_done(&pins);
	free(brief.items.data);
	arena_done(&brief.strings);
}

/* A brief list has the same processes with the same names, and is silent of their programs. */
static void test_brief(void)
{
	struct process_list brief = {.brief = true};
	const struct ms_process *whole, *seen = NULL;
	pid_t pid;

	begin();
	pid = start(wait_for_ever);
	whole = listed(pid);
	check_ok(linux_processes(&brief, NULL));
	for (size_t i = 0; i < brief.items.count; i++)
		if (brief.items.data[i].pid == (uint32_t)pid)
			seen = &brief.items.data[i];
	check(seen && !seen->cmdline && !seen->arch);
	check_text(seen->name, whole->name);
	check_text(seen->user, whole->user);
	check_u64(seen->start_id, whole->start_id);
	check(seen->system == whole->system);
	free(brief.items.data);
	arena_done(&brief.strings);
}

static void test_no_such_process(void)
{
	char expected[64];
	pid_t pid;

	begin();
	pid = start(wait_for_ever);
	begin();
	snprintf(expected, sizeof(expected), "no process with pid %d", pid);
	check(linux_process_one((uint32_t)pid, &processes) == MS_ERR_NOT_FOUND);
	check_text(ms_error(), expected);
	check(linux_process_one(UINT32_MAX, &processes) == MS_ERR_NOT_FOUND);
	check_u64(processes.items.count, 0);
}

static void run_zombie(void)
{
}

static void test_zombie(void)
{
	const struct ms_process *process;
	siginfo_t info;
	pid_t pid;

	begin();
	pid = start(run_zombie);
	check(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	process = listed(pid);
	check(process->name[0] && !process->exe && !process->cmdline && !process->arch);
	check_u64(process->rss, 0);
	check_ok(linux_threads(puppet_dir, (uint32_t)pid, &threads));
}

/* ---- Programs -------------------------------------------------------------------------- */

static const char *program, *const *program_args;
static int program_stdin[2];

static void run_program(void)
{
	dup2(program_stdin[0], 0);
	close(program_stdin[0]);
	close(program_stdin[1]);
	execv(program, (char *const *)program_args);
	_exit(1);
}

static bool begins_with(const char *text, const char *prefix)
{
	return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *name_of(const char *path)
{
	return path && strrchr(path, '/') ? strrchr(path, '/') : "";
}

/* Starts a program that reads stdin and so waits until the test ends it. */
static pid_t start_program(const char *path, const char *const *args)
{
	pid_t pid;

	program = path;
	program_args = args;
	check(pipe2(program_stdin, O_CLOEXEC) == 0);
	pid = start(run_program);
	close(program_stdin[0]);
	/* It waits in its first read() once its arguments are its own. */
	wait_until(strcmp(name_of(listed(pid)->exe), name_of(path)) == 0 && state_of(pid) == 'S');
	return pid;
}

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0700);
	ssize_t n;

	check(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		check(write(out, buf, (size_t)n) == n);
	close(in);
	close(out);
}

static void check_deleted(const char *name)
{
	static const char *const args[] = {"cat", "-", NULL};
	char folder[] = "/tmp/memsift-test-XXXXXX", path[256];
	const struct ms_process *process;
	pid_t pid;

	begin();
	check(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	copy_file("/bin/cat", path);
	pid = start_program(path, args);
	process = listed(pid);
	check_text(process->exe, path);
	check(!process->exe_deleted);
	check_text(process->cmdline, "cat -");
	check(unlink(path) == 0 && rmdir(folder) == 0);
	process = listed(pid);
	check_text(process->exe, path);
	check(process->exe_deleted);
	close(program_stdin[1]);
}

static void test_deleted(void)
{
	check_deleted("tool");
	check_deleted("x (deleted)");
	check_deleted("x (deleted) (deleted)");
}

static void test_empty_arguments(void)
{
	static const char *const none[] = {NULL};
	pid_t pid;

	begin();
	pid = start_program("/bin/cat", none);
	check(!listed(pid)->cmdline);
	close(program_stdin[1]);
}

static void test_long_arguments(void)
{
	static char longer[100 * 1024];
	const char *const args[] = {"sh", "-c", "read x", longer, NULL};
	pid_t pid;

	begin();
	memset(longer, 'a', sizeof(longer) - 1);
	program = "/bin/sh";
	program_args = args;
	check(pipe2(program_stdin, O_CLOEXEC) == 0);
	pid = start(run_program);
	close(program_stdin[0]);
	wait_until(begins_with(listed(pid)->cmdline, "sh -c read x aaa"));
	check_u64(strlen(listed(pid)->cmdline), 64 * 1024);
	close(program_stdin[1]);
}

/* Throws the page of its arguments away: reading it would bring it back. */
static void run_without_arguments(void)
{
	char text[4096];
	ssize_t size = linux_read_at(AT_FDCWD, "/proc/self/stat", text, sizeof(text));
	uintptr_t page = (uintptr_t)getpagesize();
	struct linux_stat stat;

	if (size <= 0 || linux_stat_parse(text, (size_t)size, &stat) < 0 ||
		madvise((void *)(uintptr_t)(stat.arg_start & ~(page - 1)), page, MADV_DONTNEED))
		_exit(1);
	atomic_store(&shared->count, stat.arg_start / page);
	atomic_store(&shared->ready, 1);
	for (;;)
		syscall(SYS_pause);
}

static void test_absent_arguments(void)
{
	uint64_t entry = 0;
	int pagemap;
	pid_t pid;

	begin();
	pid = start(run_without_arguments);
	wait_until(atomic_load(&shared->ready));
	check(!listed(pid)->cmdline);
	check((pagemap = openat(puppet_dir, "pagemap", O_RDONLY)) >= 0);
	check(pread(pagemap, &entry, 8, (off_t)(atomic_load(&shared->count) * 8)) == 8);
	close(pagemap);
	check_that(!(entry >> 63), "looking at the process brought its page back");
}

/* ---- Checks ---------------------------------------------------------------------------- */

static void test_check(void)
{
	struct check_list list = {0};

	check_ok(linux_check(&list));
	check(list.items.count >= 10);
	for (size_t i = 0; i < list.items.count; i++) {
		const struct ms_check *line = &list.items.data[i];

		check(line->name[0] && line->detail[0]);
		check(line->status >= -1 && line->status <= 1);
		check_that((line->remedy == NULL) == (line->status == 1), "%s", line->name);
	}
	free(list.items.data);
	arena_done(&list.strings);
}

static void test_access_error(void)
{
	pid_t pid;

	begin();
	pid = start(wait_for_ever);
	check(linux_access_error((uint32_t)pid, ESRCH, "read its memory") == MS_ERR_GONE);
	check(strstr(ms_error(), "cannot read its memory: "));
	check(linux_access_error((uint32_t)pid, EPERM, "read its memory") == MS_ERR_ACCESS);
	check(strstr(ms_error(), "cannot read its memory: "));
	begin();
}

static const struct test tests[] = {
	{"stat: names", test_stat_names},
	{"stat: nonsense", test_stat_nonsense},
	{"syscall text", test_syscall_text},
	{"process: names", test_names},
	{"process: fields", test_fields},
	{"process: users", test_user_names},
	{"process: list", test_list},
	{"process: brief list", test_brief},
	{"process: pins", test_pins},
	{"process: none", test_no_such_process},
	{"process: zombie", test_zombie},
	{"program: deleted", test_deleted},
	{"program: no arguments", test_empty_arguments},
	{"program: long arguments", test_long_arguments},
	{"program: absent arguments", test_absent_arguments},
	{"check", test_check},
	{"access error", test_access_error},
};

TEST_MAIN(tests)
