/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows: which files of /proc/PID can make the reader wait. Most of /proc is
 * kernel memory. The command line is not: it is read from the target's stack, and a page of it
 * that is not there may be one that its owner holds back for ever (userfaultfd). So the page
 * table is asked first. A process that swaps its pages while it is being looked at can still
 * win that race; it then blocks the reader until it ends.
 *
 * The effective user of a process is the owner of its folder: the kernel keeps /proc/PID itself
 * (mode 0555) with the real owner even where the files in it belong to root because the process
 * is not dumpable (task_dump_owner() in fs/proc/base.c).
 */
#include "backend/linux_proc.h"

#include "backend/linux_procfs.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/auxvec.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

enum { CMDLINE_MAX = 64 * 1024, TEXT_MAX = CMDLINE_MAX + 1 };

static const char deleted_suffix[] = " (deleted)";

struct user {
	uint32_t uid;
	const char *name;
};

/* What one listing needs beside the list. */
struct lister {
	struct process_list *out;
	int proc;
	bool systemd;
	struct utsname machine;
	int64_t boot_ns; /* when the machine was started, since 1970 */
	uint64_t page_size;
	VEC(struct user) users; /* met so far */
	char *text;		/* TEXT_MAX bytes for whatever file is at hand */
	struct linux_pins *pins;
	size_t pins_room; /* how many more are wanted */
};

/* ---- The parts of a process ------------------------------------------------------------ */

/* Splits a line of /etc/passwd. */
static bool passwd_line(char *line, uint32_t *ret_uid, char **ret_name)
{
	char *password = strchr(line, ':');
	char *uid = password ? strchr(password + 1, ':') : NULL;
	char *end = uid ? strchr(uid + 1, ':') : NULL;

	if (!end || password == line)
		return false;
	*password = *end = '\0';
	*ret_name = line;
	return linux_number(uid + 1, ret_uid);
}

void linux_user_name(uint32_t uid, char *ret_name, size_t size)
{
	AUTO_FCLOSE FILE *file = fopen("/etc/passwd", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	uint32_t found;
	char *name;

	snprintf(ret_name, size, "%u", uid);
	while (file && getline(&line, &room, file) > 0)
		if (passwd_line(line, &found, &name) && found == uid) {
			snprintf(ret_name, size, "%s", name);
			return;
		}
}

static const char *user_of(struct lister *lister, uint32_t uid)
{
	char name[256];
	struct user user = {.uid = uid};

	for (size_t i = 0; i < lister->users.count; i++)
		if (lister->users.data[i].uid == uid)
			return lister->users.data[i].name;
	linux_user_name(uid, name, sizeof(name));
	user.name = arena_string(&lister->out->strings, name);
	return user.name && vec_push(&lister->users, user) ? user.name : NULL;
}

/*
 * A program may really be called "x (deleted)", so the inode has the last word. The link is
 * followed only where there is a doubt, and without asking the file system again: a remote one
 * could keep us waiting.
 */
static bool exe_is_deleted(int dir)
{
	struct statx st;

	return statx(dir, "exe", AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_NLINK, &st) != 0 ||
	       st.stx_nlink == 0;
}

/* Leaves exe NULL where it is unknown. False when memory runs out. */
static bool exe_of(struct lister *lister, int dir, struct ms_process *process)
{
	const size_t suffix = sizeof(deleted_suffix) - 1;
	ssize_t length = readlinkat(dir, "exe", lister->text, TEXT_MAX);
	size_t size = length > 0 ? (size_t)length : 0;

	if (size == 0)
		return true;
	if (size > suffix && memcmp(lister->text + size - suffix, deleted_suffix, suffix) == 0 &&
		exe_is_deleted(dir)) {
		process->exe_deleted = true;
		size -= suffix;
	}
	process->exe = arena_copy(&lister->out->strings, lister->text, size);
	return process->exe;
}

/* Whether the pages of the arguments are in memory, or nobody can tell. */
static bool arguments_present(struct lister *lister, int dir, const struct linux_stat *stat)
{
	enum { PAGES_MAX = CMDLINE_MAX / 4096 + 1 };
	uint64_t entries[PAGES_MAX];
	uint64_t size = min_u64(stat->arg_end - stat->arg_start, CMDLINE_MAX);
	uint64_t first = stat->arg_start / lister->page_size;
	size_t count = (size_t)((stat->arg_start + size - 1) / lister->page_size - first + 1);
	AUTO_CLOSE int fd = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return true;
	if (count > PAGES_MAX ||
		pread(fd, entries, count * 8, (off_t)(first * 8)) != (ssize_t)(count * 8))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!(entries[i] >> 63)) /* present: Documentation/admin-guide/mm/pagemap.rst */
			return false;
	return true;
}

static bool cmdline_of(
	struct lister *lister, int dir, const struct linux_stat *stat, struct ms_process *process)
{
	bool known = stat->arg_end != 0;
	ssize_t size;

	if (known && (stat->arg_start >= stat->arg_end || !arguments_present(lister, dir, stat)))
		return true;
	size = linux_read_at(dir, "cmdline", lister->text, TEXT_MAX);
	for (ssize_t i = 0; i < size; i++)
		if (!lister->text[i])
			lister->text[i] = ' ';
	while (size > 0 && lister->text[size - 1] == ' ')
		size--;
	if (size <= 0)
		return true;
	process->cmdline = arena_copy(&lister->out->strings, lister->text, (size_t)size);
	return process->cmdline;
}

/* Whether an auxiliary vector of words of that size has AT_PHENT with that value. */
static bool auxv_has_phent(const char *auxv, size_t size, size_t word, uint64_t value)
{
	for (size_t at = 0; at + 2 * word <= size; at += 2 * word) {
		uint64_t pair[2] = {0};

		for (size_t i = 0; i < 2; i++) {
			uint32_t narrow;

			memcpy(&narrow, auxv + at + i * word, sizeof(narrow));
			pair[i] = narrow;
			if (word == sizeof(uint64_t))
				memcpy(&pair[i], auxv + at + i * word, word);
		}
		if (pair[0] == AT_PHENT)
			return pair[1] == value;
	}
	return false;
}

/* The size of a program header gives a process's word size away: Elf64_Phdr has 56 bytes. */
static const char *arch_of(struct lister *lister, int dir)
{
	static const struct {
		const char *machine, *wide, *narrow;
	} names[] = {
		{"x86_64", "x86_64", "i386"},
		{"aarch64", "aarch64", "arm"},
		{"i686", NULL, "i386"},
		{"armv7l", NULL, "arm"},
		{"riscv64", "riscv64", "riscv32"},
		{"ppc64le", "ppc64le", NULL},
		{"s390x", "s390x", "s390"},
	};
	ssize_t size = linux_read_at(dir, "auxv", lister->text, TEXT_MAX);
	bool wide = size > 0 && auxv_has_phent(lister->text, (size_t)size, 8, 56);
	bool narrow = !wide && size > 0 && auxv_has_phent(lister->text, (size_t)size, 4, 32);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].machine, lister->machine.machine) == 0)
			return wide ? names[i].wide : narrow ? names[i].narrow : NULL;
	return NULL;
}

/* ---- Which are the system's ------------------------------------------------------------ */

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_service_group(const char *path)
{
	static const char suffix[] = ".service";
	size_t length = strlen(path);

	if (strcmp(path, "/init.scope") == 0)
		return true;
	return starts_with(path, "/system.slice/") && length > sizeof(suffix) - 1 &&
	       strcmp(path + length - (sizeof(suffix) - 1), suffix) == 0;
}

/*
 * Looks at the control groups that systemd manages: the line of the unified hierarchy, or that
 * of its own named one. *ret_placed tells whether the process is in one below the root.
 */
static bool in_service_group(struct lister *lister, int dir, bool *ret_placed)
{
	char *rest = lister->text;
	bool service = false;

	*ret_placed = false;
	if (linux_read_at(dir, "cgroup", lister->text, TEXT_MAX) < 0)
		return false;
	for (char *line; (line = strsep(&rest, "\n"));) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path ||
			(!starts_with(line, "0::") && !starts_with(controllers, ":name=systemd:")))
			continue;
		path++;
		*ret_placed |= strcmp(path, "/") != 0;
		service |= is_service_group(path);
	}
	return service;
}

static bool is_daemon(
	struct lister *lister, int dir, const struct linux_stat *stat, struct ms_process *process)
{
	static const char *const folders[] = {
		"/usr/sbin/", "/sbin/", "/usr/lib/systemd/", "/lib/systemd/"};

	if (stat->terminal || stat->session != stat->pid || stat->ppid != 1 || process->uid >= 1000)
		return false;
	if ((!process->exe && !exe_of(lister, dir, process)) || !process->exe)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (starts_with(process->exe, folders[i]))
			return true;
	return false;
}

static bool is_system(
	struct lister *lister, int dir, const struct linux_stat *stat, struct ms_process *process)
{
	bool placed = false;

	if (stat->kernel || stat->pid == 1)
		return true;
	if (lister->systemd && in_service_group(lister, dir, &placed))
		return true;
	return !placed && is_daemon(lister, dir, stat, process);
}

/* ---- The list -------------------------------------------------------------------------- */

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void lister_done(struct lister *lister)
{
	cleanup_close(&lister->proc);
	free(lister->users.data);
	free(lister->text);
}

static int lister_init(struct lister *lister, struct process_list *out)
{
	*lister = (struct lister){
		.out = out,
		.proc = -1,
		.systemd = access("/run/systemd/system", F_OK) == 0, /* sd_booted(3) */
		/* What the kernel prints as btime in /proc/stat, without reading all of that. */
		.boot_ns = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME),
		.page_size = os_page_size(),
		.text = malloc(TEXT_MAX),
	};
	if (!lister->text)
		return err_nomem();
	lister->proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lister->proc < 0)
		return err_errno(err_from_errno(errno), errno, "cannot open /proc");
	uname(&lister->machine);
	return 0;
}

static int64_t started_at(const struct lister *lister, uint64_t ticks)
{
	uint64_t rate = (uint64_t)sysconf(_SC_CLK_TCK);

	return lister->boot_ns / 1000000000 + (int64_t)(ticks / rate);
}

/* What is only in user processes; false when memory runs out. */
static bool fill_program(
	struct lister *lister, int dir, const struct linux_stat *stat, struct ms_process *process)
{
	process->arch = arch_of(lister, dir);
	return exe_of(lister, dir, process) && cmdline_of(lister, dir, stat, process);
}

/* Only the user of a process is known where /proc is mounted with hidepid=1. */
static int add_hidden(struct lister *lister, struct ms_process *process)
{
	process->name = "";
	return vec_push(&lister->out->items, *process) ? 0 : err_nomem();
}

/* Keeps the open folder of a process that is likely to be attached to soon. */
static void pin(struct lister *lister, const struct linux_stat *stat, int *dir)
{
	if (!lister->pins_room || stat->kernel || stat->state == 'Z' || stat->state == 'X')
		return;
	lister->pins_room--;
	linux_pins_add(lister->pins, stat->pid, stat->start_ticks, take_fd(dir));
}

static int add_from_folder(struct lister *lister, int *dir, uint32_t pid, uint32_t uid)
{
	char text[4096];
	struct linux_stat stat;
	struct ms_process process = {.pid = pid, .uid = uid, .user = user_of(lister, uid)};
	ssize_t size = linux_read_at(*dir, "stat", text, sizeof(text));
	int r;

	if (!process.user)
		return err_nomem();
	if (size == -EPERM || size == -EACCES)
		return add_hidden(lister, &process);
	if (size == -ENOENT || size == -ESRCH)
		return 0;
	if (size < 0)
		return err_errno(MS_ERR_IO, (int)-size, "cannot read /proc/%u/stat", pid);
	if ((r = linux_stat_parse(text, (size_t)size, &stat)) < 0)
		return r;
	process.ppid = stat.ppid;
	process.kernel = stat.kernel;
	process.start_id = stat.start_ticks;
	process.started = started_at(lister, stat.start_ticks);
	process.rss = stat.rss_pages * lister->page_size;
	process.name = arena_copy(&lister->out->strings, stat.name, stat.name_size);
	if (!process.name || (!stat.kernel && !lister->out->brief &&
				     !fill_program(lister, *dir, &stat, &process)))
		return err_nomem();
	process.system = is_system(lister, *dir, &stat, &process);
	if (!vec_push(&lister->out->items, process))
		return err_nomem();
	pin(lister, &stat, dir);
	return 0;
}

/* Adds the process unless it has ended. */
static int add_process(void *ctx, uint32_t pid)
{
	struct lister *lister = ctx;
	char name[16];
	struct stat st;

	snprintf(name, sizeof(name), "%u", pid);
	/* O_PATH works where hidepid=1 does not let the folder be opened for reading. */
	AUTO_CLOSE int dir = openat(lister->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno != ENOENT && errno != ESRCH)
		return err_errno(err_from_errno(errno), errno, "cannot open /proc/%u", pid);
	if (dir < 0 || fstat(dir, &st) != 0)
		return 0;
	return add_from_folder(lister, &dir, pid, st.st_uid);
}

/* /proc/TID can be opened, too, though it is not listed; *ret_leader is whose thread it is. */
static bool is_thread(struct lister *lister, uint32_t pid, uint64_t *ret_leader)
{
	char path[32];

	snprintf(path, sizeof(path), "%u/status", pid);
	return linux_status_number(lister->proc, path, "Tgid", 10, ret_leader) &&
	       *ret_leader != pid;
}

static int add_only(struct lister *lister, const struct process_list *wanted)
{
	uint64_t leader;
	int r = 0;

	for (size_t i = 0; i < wanted->only_count && r == 0; i++) {
		bool twice = false;

		for (size_t k = 0; k < i; k++)
			twice |= wanted->only[k] == wanted->only[i];
		if (!twice && !is_thread(lister, wanted->only[i], &leader))
			r = add_process(lister, wanted->only[i]);
	}
	return r;
}

/* ---- All of them ----------------------------------------------------------------------- */

/*
 * Looking up a process takes the kernel longer than all that is done with it here, and it lets
 * several threads do that at once.
 */
enum { LOOKERS_MAX = 8, PIDS_A_LOOKER = 32, FILES_A_LOOKER = 16 };

static unsigned lookers_wanted(size_t pids)
{
	uint64_t useful = min_u64(pids / PIDS_A_LOOKER, os_descriptor_limit() / FILES_A_LOOKER);
	uint64_t count = min_u64(min_u64(os_core_count(), LOOKERS_MAX), useful);

	return count ? (unsigned)count : 1;
}

struct pids {
	VEC(uint32_t) items;
	atomic_size_t next; /* that nobody has looked at */
	size_t pins_room;   /* of each who looks */
};

struct looker {
	struct pids *pids;
	struct process_list found;
	struct linux_pins pins;
	pthread_t thread;
	int status;
	char error[ERR_TEXT_MAX];
};

static int add_pid(void *ctx, uint32_t pid)
{
	struct pids *pids = ctx;

	return vec_push(&pids->items, pid) ? 0 : err_nomem();
}

static int list_pids(struct pids *pids)
{
	AUTO_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (proc < 0)
		return err_errno(err_from_errno(errno), errno, "cannot open /proc");
	return linux_numbers(proc, add_pid, pids);
}

static int look_at_pids(struct pids *pids, struct process_list *out, struct linux_pins *found)
{
	CLEANUP(lister_done) struct lister lister;
	int r = lister_init(&lister, out);
	size_t i;

	lister.pins = found;
	lister.pins_room = pids->pins_room;
	while (r == 0 && (i = atomic_fetch_add(&pids->next, 1)) < pids->items.count)
		r = add_process(&lister, pids->items.data[i]);
	return r;
}

static void *looker_main(void *ctx)
{
	struct looker *looker = ctx;

	looker->status = look_at_pids(looker->pids, &looker->found, &looker->pins);
	if (looker->status < 0)
		snprintf(looker->error, sizeof(looker->error), "%s", ms_error());
	return NULL;
}

/* Starts at most `wanted` of them; as many as there are to be had will do. */
static unsigned start_lookers(
	struct looker *lookers, unsigned wanted, struct pids *pids, const struct process_list *out)
{
	unsigned count = 0;

	for (; count < wanted; count++) {
		struct looker *looker = &lookers[count];

		*looker = (struct looker){.pids = pids, .found.brief = out->brief};
		if (os_thread_beside(&looker->thread, looker_main, looker) != 0)
			break;
	}
	return count;
}

/* Adds what a looker found to the list. */
static int take_found(struct looker *looker, struct process_list *out)
{
	int r = looker->status < 0 ? err_set(looker->status, "%s", looker->error) : 0;

	for (size_t i = 0; i < looker->found.items.count && r == 0; i++)
		if (!vec_push(&out->items, looker->found.items.data[i]))
			r = err_nomem();
	arena_join(&out->strings, &looker->found.strings);
	free(looker->found.items.data);
	return r;
}

static int by_pid(const void *a, const void *b)
{
	const struct ms_process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static int list_all(struct pids *pids, struct process_list *out, struct linux_pins *pins)
{
	struct looker lookers[LOOKERS_MAX];
	unsigned wanted = lookers_wanted(pids->items.count);
	size_t before = out->items.count;
	unsigned count;
	int r;

	pids->pins_room = pins ? linux_pins_room() / wanted : 0;
	count = start_lookers(lookers, wanted - 1, pids, out);
	r = look_at_pids(pids, out, pins);
	for (unsigned i = 0; i < count; i++) {
		int taken;

		pthread_join(lookers[i].thread, NULL);
		taken = take_found(&lookers[i], out);
		if (pins)
			linux_pins_join(pins, &lookers[i].pins);
		if (r == 0)
			r = taken;
	}
	if (r == 0 && count)
		array_sort(out->items.data + before, out->items.count - before,
			sizeof(*out->items.data), by_pid);
	return r;
}

int linux_processes(struct process_list *out, struct linux_pins *pins)
{
	struct pids pids = {0};
	int r;

	if (out->only) {
		CLEANUP(lister_done) struct lister lister;

		r = lister_init(&lister, out);
		return r < 0 ? r : add_only(&lister, out);
	}
	r = list_pids(&pids);
	if (r == 0)
		r = list_all(&pids, out, pins);
	free(pids.items.data);
	return r;
}

int linux_process_one(uint32_t pid, struct process_list *out)
{
	CLEANUP(lister_done) struct lister lister;
	size_t before = out->items.count;
	uint64_t leader;
	int r = lister_init(&lister, out);

	if (r < 0)
		return r;
	if (is_thread(&lister, pid, &leader))
		return err_set(MS_ERR_NOT_FOUND,
			"no process with pid %u: that is a thread of process %llu", pid,
			(unsigned long long)leader);
	if ((r = add_process(&lister, pid)) < 0)
		return r;
	if (out->items.count == before)
		return err_set(MS_ERR_NOT_FOUND, "no process with pid %u", pid);
	return 0;
}
