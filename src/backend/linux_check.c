/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows: how to find out what a kernel can do by trying it on ourselves. The
 * version number says little, as distributions carry features back and turn others off. Numbers
 * and layouts of newer interfaces are spelled out here, so that memsift builds with old headers.
 */
#include "backend/linux_check.h"

#include "backend/linux_proc.h"
#include "backend/linux_procfs.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/late.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>

enum { CAP_PTRACE = 19 }; /* CAP_SYS_PTRACE, include/uapi/linux/capability.h */

/* Inode numbers of the first namespaces: include/linux/proc_ns.h, the same on every kernel. */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"
#define FIRST_USER_NAMESPACE "user:[4026531837]"

#define RUN_AS_ROOT "run as root or give memsift CAP_SYS_PTRACE"

/* Appends one line; an empty remedy means none. False when memory runs out. */
static bool add(struct check_list *out, const char *name, int status, const char *detail,
	const char *remedy)
{
	struct ms_check check = {
		.name = name,
		.status = status,
		.detail = arena_string(&out->strings, detail),
		.remedy = status == 1 ? NULL : remedy,
	};

	return check.detail && vec_push(&out->items, check);
}

static bool has_capability(int number)
{
	uint64_t set = 0;

	return linux_status_number(AT_FDCWD, "/proc/self/status", "CapEff", 16, &set) &&
	       (set >> number & 1);
}

/* -1 where the kernel has no Yama. */
static int yama_scope(void)
{
	char text[16];

	if (linux_read_at(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) <= 0)
		return -1;
	return atoi(text);
}

static bool in_namespace(const char *path, const char *first)
{
	char text[64];
	ssize_t size = readlink(path, text, sizeof(text) - 1);

	if (size <= 0)
		return false;
	text[size] = '\0';
	return strcmp(text, first) != 0;
}

/* ---- Kernel and user ------------------------------------------------------------------- */

static bool check_kernel(struct check_list *out)
{
	struct utsname names = {0};
	char detail[256];

	uname(&names);
	snprintf(detail, sizeof(detail), "%.64s %.64s, %.64s, pages of %zu bytes", names.sysname,
		names.release, names.machine, os_page_size());
	return add(out, "kernel", 1, detail, NULL);
}

static bool check_user(struct check_list *out)
{
	char name[128], detail[256];
	bool able = has_capability(CAP_PTRACE);

	linux_user_name(geteuid(), name, sizeof(name));
	snprintf(detail, sizeof(detail), "%s (uid %u), %s", name, (unsigned)geteuid(),
		able ? "CAP_SYS_PTRACE: processes of all users"
		     : "no CAP_SYS_PTRACE: this user's own processes only");
	return add(out, "user", able, detail,
		"Run as root, or run \"setcap cap_sys_ptrace=ep\" on the memsift program, to "
		"examine "
		"processes of other users.");
}

static bool check_yama(struct check_list *out)
{
	static const char *const meaning[] = {
		"0: a user may examine all of their own processes",
		"1: without CAP_SYS_PTRACE only descendants of memsift may be examined",
		"2: only with CAP_SYS_PTRACE",
		"3: nobody may attach to a process until the machine is restarted",
	};
	int scope = yama_scope();
	bool able = scope <= 0 || (scope < 3 && has_capability(CAP_PTRACE));

	if (scope < 0)
		return add(
			out, "ptrace_scope", 1, "this kernel does not restrict it (no Yama)", NULL);
	return add(out, "ptrace_scope",
		able	     ? 1
		: scope == 1 ? 0
			     : -1,
		scope < (int)ARRAY_SIZE(meaning) ? meaning[scope] : "unknown value",
		scope == 3 ? "Set kernel.yama.ptrace_scope to a lower value in /etc/sysctl.d and "
			     "restart the machine."
			   : "Run as root, give memsift CAP_SYS_PTRACE, or run \"sysctl "
			     "kernel.yama.ptrace_scope=0\".");
}

static bool check_namespaces(struct check_list *out)
{
	bool pid = in_namespace("/proc/self/ns/pid", FIRST_PID_NAMESPACE);
	bool user = in_namespace("/proc/self/ns/user", FIRST_USER_NAMESPACE);

	if (!pid && !user)
		return add(
			out, "namespaces", 1, "the machine's own: all processes are visible", NULL);
	return add(out, "namespaces", 0,
		pid ? "inside a container: only its own processes are visible"
		    : "inside a user namespace: capabilities hold only for processes in it",
		"Run memsift outside the container, or start the container with --pid=host and "
		"--cap-add SYS_PTRACE, to see the whole machine.");
}

/* Finds the options of the last mount on /proc. */
static void proc_options(char *ret_options, size_t size)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/mounts", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;

	ret_options[0] = '\0';
	while (file && getline(&line, &room, file) > 0) {
		char *rest = line;
		const char *field[4] = {NULL};

		for (size_t i = 0; i < ARRAY_SIZE(field); i++)
			field[i] = strsep(&rest, " ");
		if (field[3] && strcmp(field[1], "/proc") == 0 && strcmp(field[2], "proc") == 0)
			snprintf(ret_options, size, "%s", field[3]);
	}
}

static bool check_hidepid(struct check_list *out)
{
	static const char *const off[] = {"hidepid=0", "hidepid=off"};
	char options[512], detail[128];
	char *option;
	bool able = has_capability(CAP_PTRACE);

	proc_options(options, sizeof(options));
	option = strstr(options, "hidepid=");
	if (option)
		option[strcspn(option, ",")] = '\0';
	for (size_t i = 0; option && i < ARRAY_SIZE(off); i++)
		if (strcmp(option, off[i]) == 0)
			option = NULL;
	if (!option)
		return add(out, "hidepid", 1, "/proc shows the processes of all users", NULL);
	snprintf(detail, sizeof(detail), "/proc is mounted with %.64s%s", option,
		able ? ", which CAP_SYS_PTRACE overrides" : ": other users' processes are hidden");
	return add(
		out, "hidepid", able, detail, "Run as root, or mount /proc again with hidepid=0.");
}

static bool check_lockdown(struct check_list *out)
{
	char text[128];
	char *on, *end;

	if (linux_read_at(AT_FDCWD, "/sys/kernel/security/lockdown", text, sizeof(text)) <= 0 ||
		!(on = strchr(text, '[')) || !(end = strchr(on, ']')))
		return add(out, "lockdown", 1, "this kernel is not locked down", NULL);
	*end = '\0';
	if (strcmp(on + 1, "none") == 0)
		return add(out, "lockdown", 1, "none", NULL);
	return add(out, "lockdown", 0, on + 1,
		"Processes can be examined all the same; to read physical memory, turn Secure Boot "
		"or "
		"the kernel's lockdown= option off.");
}

/* ---- Reading --------------------------------------------------------------------------- */

static bool check_vm_readv(struct check_list *out)
{
	uint32_t from = 0x6d736674, to = 0;
	struct iovec local = {&to, sizeof(to)}, remote = {&from, sizeof(from)};

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof(to) && to == from)
		return add(out, "process_vm_readv", 1, "works", NULL);
	return add(out, "process_vm_readv", -1, strerror(errno),
		"Memory is read through /proc/PID/mem instead, more slowly; a container's seccomp "
		"profile or CONFIG_CROSS_MEMORY_ATTACH may be in the way.");
}

static bool check_mem(struct check_list *out)
{
	AUTO_CLOSE int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	uint32_t from = 0x6d736674, to = 0;

	if (fd >= 0 && pread(fd, &to, sizeof(to), (off_t)(uintptr_t)&from) == sizeof(to) &&
		to == from)
		return add(out, "/proc/PID/mem", 1, "works", NULL);
	return add(out, "/proc/PID/mem", -1, strerror(errno),
		"memsift needs it to keep hold of a process; look for a security module that "
		"forbids "
		"it.");
}

/* struct pm_scan_arg of include/uapi/linux/fs.h since 6.7. */
struct scan_request {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof, wanted;
};

static bool scan_knows(int pagemap, void *page, uint64_t categories)
{
	uint64_t result[3];
	struct scan_request request = {
		.size = sizeof(request),
		.start = (uintptr_t)page,
		.end = (uintptr_t)page + os_page_size(),
		.vec = (uintptr_t)result,
		.vec_len = 1,
		.wanted = categories,
	};

	return ioctl(pagemap, _IOWR('f', 16, struct scan_request), &request) >= 0;
}

static bool check_pagemap_scan(struct check_list *out, int pagemap, void *page)
{
	enum { PRESENT = 8, SOFT_DIRTY = 128, GUARD = 256 };
	bool dirty = scan_knows(pagemap, page, PRESENT | SOFT_DIRTY);
	bool guard = scan_knows(pagemap, page, PRESENT | GUARD);
	char detail[128];

	if (!scan_knows(pagemap, page, PRESENT))
		return add(out, "PAGEMAP_SCAN", 0,
			pagemap < 0 ? "/proc/PID/pagemap cannot be opened"
				    : "this kernel does not have it",
			"Which pages hold data is found out entry by entry, more slowly; Linux 6.7 "
			"and later have it.");
	snprintf(detail, sizeof(detail), "works; knows soft-dirty pages: %s, guard pages: %s",
		dirty ? "yes" : "no", guard ? "yes" : "no");
	return add(out, "PAGEMAP_SCAN", 1, detail, NULL);
}

static bool check_procmap_query(struct check_list *out)
{
	/* struct procmap_query of include/uapi/linux/fs.h since 6.11. */
	struct query {
		uint64_t size, flags, address, start, end, vma_flags, page_size, offset, inode;
		uint32_t dev_major, dev_minor, name_size, build_id_size;
		uint64_t name, build_id;
	} query = {.size = sizeof(query), .address = (uintptr_t)&query};
	AUTO_CLOSE int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, _IOWR('f', 17, struct query), &query) == 0)
		return add(out, "PROCMAP_QUERY", 1, "works", NULL);
	return add(out, "PROCMAP_QUERY", 0, "this kernel does not have it",
		"Nothing is lost, the text of /proc/PID/maps is read; Linux 6.11 and later have "
		"it.");
}

/* Finds a mapping of ours that has a file; writes its name in map_files. */
static bool own_file_mapping(char *ret_path, size_t size)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/maps", "re");
	AUTO_FREE char *line = NULL;
	unsigned long long start, end;
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0)
		if (strchr(line, '/') && sscanf(line, "%llx-%llx", &start, &end) == 2) {
			snprintf(ret_path, size, "/proc/self/map_files/%llx-%llx", start, end);
			return true;
		}
	return false;
}

static bool check_map_files(struct check_list *out)
{
	char path[96];

	if (!own_file_mapping(path, sizeof(path)))
		return add(out, "map_files", 0, "cannot be tried", "Mount /proc.");
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return add(out, "map_files", 1, "works", NULL);
	return add(out, "map_files", 0, strerror(errno),
		"Mapped files are opened by name instead, and deleted ones are not found; run as "
		"root "
		"or give memsift CAP_CHECKPOINT_RESTORE.");
}

/* ---- Change tracking ------------------------------------------------------------------- */

static bool check_soft_dirty(struct check_list *out, int pagemap, void *page)
{
	enum { SOFT_DIRTY_BIT = 55 };
	uint64_t entry = 0;
	off_t at = (off_t)((uintptr_t)page / os_page_size() * sizeof(entry));

	/* A page that was just written for the first time is soft-dirty, where there is such. */
	*(volatile char *)page = 1;
	if (pread(pagemap, &entry, sizeof(entry), at) == sizeof(entry) &&
		(entry >> SOFT_DIRTY_BIT & 1))
		return add(out, "soft-dirty", 1, "works", NULL);
	return add(out, "soft-dirty", 0, "this kernel does not have it",
		"Nothing is lost where change tracking works; else changes are found by "
		"comparing.");
}

static int open_userfaultfd(void)
{
	enum { USER_MODE_ONLY = 1 };
	int flags = O_CLOEXEC | O_NONBLOCK;
	int fd = (int)syscall(SYS_userfaultfd, flags);

	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd, flags | USER_MODE_ONLY);
	if (fd < 0) {
		AUTO_CLOSE int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

		/* USERFAULTFD_IOC_NEW, since 6.1 */
		if (device >= 0)
			fd = ioctl(device, _IO(0xAA, 0), flags);
	}
	return fd;
}

static bool check_tracking(struct check_list *out)
{
	const uint64_t unpopulated = 1 << 13, async = 1 << 15; /* since 6.4 and 6.7 */
	struct uffdio_api api = {.api = UFFD_API, .features = unpopulated | async};
	AUTO_CLOSE int fd = open_userfaultfd();

	if (fd < 0)
		return add(out, "change tracking", 0, "userfaultfd is not permitted",
			"Changes are found by comparing instead; run as root, or run \"sysctl "
			"vm.unprivileged_userfaultfd=1\".");
	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return add(out, "change tracking", 1, "works (userfaultfd, asynchronous)", NULL);
	return add(out, "change tracking", 0, "this kernel's userfaultfd is too old for it",
		"Changes are found by comparing instead; Linux 6.7 and later have it.");
}

/* ---- Libraries ------------------------------------------------------------------------- */

static bool check_late(struct check_list *out, const struct late_library *late)
{
	char detail[256];
	void *library;

	if (os_library_open(late->soname, NULL, &library) < 0)
		return add(out, late->purpose, -1, ms_error(), late->remedy);
	os_library_close(library);
	snprintf(detail, sizeof(detail), "%s is loaded when it is needed", late->soname);
	return add(out, late->purpose, 1, detail, NULL);
}

/* What is loaded late may be missing where memsift runs. */
static bool check_libraries(struct check_list *out)
{
	for (size_t i = 0; i < LATE_COUNT; i++)
		if (late_libraries[i].soname && !check_late(out, &late_libraries[i]))
			return false;
	return true;
}

int linux_check(struct check_list *out)
{
	AUTO_CLOSE int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t size = os_page_size();
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok;

	if (page == MAP_FAILED)
		return err_nomem();
	ok = check_kernel(out) && check_user(out) && check_yama(out) && check_namespaces(out) &&
	     check_hidepid(out) && check_lockdown(out) && check_vm_readv(out) && check_mem(out) &&
	     check_map_files(out) && check_pagemap_scan(out, pagemap, page) &&
	     check_procmap_query(out) && check_tracking(out) &&
	     check_soft_dirty(out, pagemap, page) && check_libraries(out);
	munmap(page, size);
	return ok ? 0 : err_nomem();
}

/* ---- Why it was refused ---------------------------------------------------------------- */

/* What stands in the way of somebody who has CAP_SYS_PTRACE. */
static const char *why_not_even_root(void)
{
	if (yama_scope() >= 3)
		return "kernel.yama.ptrace_scope is 3, which forbids it to everybody until the "
		       "machine is restarted";
	if (in_namespace("/proc/self/ns/user", FIRST_USER_NAMESPACE))
		return "memsift runs in a user namespace and the process does not; run memsift "
		       "outside the container";
	return "a security module (SELinux, AppArmor...) or the sandbox that memsift runs in "
	       "forbids it";
}

static const char *why_refused(uint32_t owner)
{
	int scope = yama_scope();

	if (has_capability(CAP_PTRACE))
		return why_not_even_root();
	if (owner != geteuid())
		return "permission denied; " RUN_AS_ROOT;
	if (scope == 1)
		return "kernel.yama.ptrace_scope is 1: only descendants may be examined; run as "
		       "root, or set it to 0";
	if (scope == 2)
		return "kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE may do it; run as root, "
		       "or set it to 0";
	if (scope >= 3)
		return why_not_even_root();
	return "permission denied though it is the same user: the process guards itself (it is "
	       "set-uid, has capabilities or is not dumpable) or is in another user "
	       "namespace; " RUN_AS_ROOT;
}

int linux_access_error(uint32_t pid, int errnum, const char *what)
{
	char path[32], user[128];
	struct stat st;

	if (errnum != EPERM && errnum != EACCES)
		return err_errno(err_from_errno(errnum), errnum, "pid %u: cannot %s", pid, what);
	snprintf(path, sizeof(path), "/proc/%u", pid);
	if (stat(path, &st) != 0)
		return err_set(MS_ERR_ACCESS, "pid %u: cannot %s: permission denied; " RUN_AS_ROOT,
			pid, what);
	linux_user_name(st.st_uid, user, sizeof(user));
	return err_set(MS_ERR_ACCESS, "pid %u (%s): cannot %s: %s", pid, user, what,
		why_refused(st.st_uid));
}
