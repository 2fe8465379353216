/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * This machine as a host. What only this file knows is how to attach without mixing up two
 * processes or two programs:
 *
 * An open /proc/PID stays with its process: once that has ended, opening anything below it fails
 * even if the pid was given away again. An open mem, maps or pagemap stays with the address space
 * it had when it was opened. So mem is opened first and the others after it, and if mem's address
 * space is still alive then, all of them show that one.
 *
 * An address space can outlive the exec of one process if another one shares it, as the parent of
 * a vfork() child does. process_vm_readv() would then follow the pid to the new program, and
 * nothing would show it; such a target is read by way of /proc/PID/mem alone.
 *
 * A process whose first thread has ended looks like a zombie while its other threads run on; its
 * memory is then to be had below /proc/PID/task/TID.
 */
#include "backend/linux.h"

#include "backend/linux_check.h"
#include "backend/linux_inject.h"
#include "backend/linux_proc.h"
#include "backend/linux_procfs.h"
#include "backend/linux_threads.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sys/syscall.h>

enum {
	ATTACH_TRIES = 3, /* a process may exec while it is attached to, but hardly often */
	STAT_TEXT = 1024,
	STATUS_TEXT = 16 * 1024, /* a few hundred bytes, but for long lists of groups */
	AUXV_MAX = 4096,
	MOUNTINFO_MAX = 64 * 1024 * 1024,
	DESCRIPTORS = 1024,
};

/* ---- Where file systems live ----------------------------------------------------------- */

static int read_mounts(int fd, struct linux_mounts *out)
{
	CLEANUP(buf_done) struct buf text = {0};
	char piece[16 * 1024];
	ssize_t got;

	while (text.size < MOUNTINFO_MAX &&
		(got = pread(fd, piece, sizeof(piece), (off_t)text.size)) > 0)
		buf_add(&text, piece, (size_t)got);
	if (text.failed)
		return err_nomem();
	return text.size ? linux_mounts_parse(text.data, text.size, out) : 0;
}

/* Brings the list of memsift's own mounts up to date; the lock is held. */
static void refresh_mounts(struct linux_host *lh)
{
	struct pollfd changed = {.fd = lh->mountinfo, .events = POLLPRI};

	/* proc(5): a change of mounts since the last look makes mountinfo poll as POLLPRI. */
	if (lh->mounts_read && (poll(&changed, 1, 0) != 1 || !(changed.revents & POLLPRI)))
		return;
	lh->mounts.items.count = 0;
	lh->mounts_read = linux_mounts_add_internal(&lh->mounts) == 0 &&
			  read_mounts(lh->mountinfo, &lh->mounts) == 0;
}

/* The mounts that the target sees; the lock is held. */
static const struct linux_mounts *target_mounts(struct linux_source *ls)
{
	AUTO_CLOSE int fd = -1;

	if (!ls->own_mounts_read)
		fd = openat(ls->space, "mountinfo", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		read_mounts(fd, &ls->own_mounts);
	ls->own_mounts_read = true;
	return &ls->own_mounts;
}

enum linux_place linux_place(struct ms_source *src, uint32_t major, uint32_t minor)
{
	struct linux_host *lh = src->host->priv;
	enum linux_place place;

	pthread_mutex_lock(&lh->lock);
	refresh_mounts(lh);
	place = linux_mounts_find(&lh->mounts, major, minor);
	if (place == LINUX_PLACE_UNKNOWN)
		place = linux_mounts_find(target_mounts(linux_of(src)), major, minor);
	pthread_mutex_unlock(&lh->lock);
	/* Numbers other than 0 belong to real block devices, mounted where we cannot see. */
	return place == LINUX_PLACE_UNKNOWN && major != 0 ? LINUX_PLACE_LOCAL : place;
}

enum linux_place linux_place_of_mount(struct ms_source *src, uint64_t id)
{
	struct linux_host *lh = src->host->priv;
	enum linux_place place;

	pthread_mutex_lock(&lh->lock);
	refresh_mounts(lh);
	place = linux_mounts_find_id(&lh->mounts, id);
	if (place == LINUX_PLACE_UNKNOWN)
		place = linux_mounts_find_id(target_mounts(linux_of(src)), id);
	pthread_mutex_unlock(&lh->lock);
	return place;
}

/* ---- The host -------------------------------------------------------------------------- */

/*
 * Makes the table of descriptors large at once. While threads share it the kernel waits, some 10
 * ms, for all processors whenever it grows (expand_fdtable() in fs/file.c calls synchronize_rcu()).
 */
static void grow_descriptor_table(int any_fd)
{
	int last = (int)min_u64(os_descriptor_limit(), DESCRIPTORS) - 1;
	AUTO_CLOSE int fd = fcntl(any_fd, F_DUPFD_CLOEXEC, last);

	(void)fd;
}

/* Seen from a pid namespace further out, a process has one number more (Linux 4.1). */
static bool has_other_numbers(void)
{
	char text[STATUS_TEXT];
	ssize_t size = linux_read_at(AT_FDCWD, "/proc/self/status", text, sizeof(text));
	const char *line = size > 0 ? strstr(text, "\nNSpid:") : NULL;
	char *end = NULL;

	if (!line)
		return false;
	strtol(line + strlen("\nNSpid:"), &end, 10);
	return *end == '\t';
}

static int local_open(struct ms_host *host, const char *spec)
{
	struct linux_host *lh = host->priv;
	char self[32] = "";
	ssize_t length;

	pthread_mutex_init(&lh->lock, NULL);
	lh->mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	grow_descriptor_table(lh->mountinfo);
	if (strcmp(spec, "local") != 0)
		return err_set(MS_ERR_ARGUMENT,
			"\"%s\": the host \"local\" takes nothing behind its name", spec);
	length = readlink("/proc/self", self, sizeof(self) - 1);
	if (length <= 0)
		return err_errno(err_from_errno(errno), errno,
			"cannot list processes: /proc is not mounted, or of no use");
	lh->foreign_proc = strtol(self, NULL, 10) != getpid() || has_other_numbers();
	return 0;
}

static void local_close(struct ms_host *host)
{
	struct linux_host *lh = host->priv;

	linux_pins_done(&lh->pins);
	cleanup_close(&lh->mountinfo);
	free(lh->mounts.items.data);
	pthread_mutex_destroy(&lh->lock);
}

static int local_processes(struct ms_host *host, struct process_list *out)
{
	struct linux_host *lh = host->priv;
	struct linux_pins pins = {0};
	/* Whoever asks for little is about to look into them. */
	int r = linux_processes(out, out->brief ? &pins : NULL);

	pthread_mutex_lock(&lh->lock);
	linux_pins_done(&lh->pins);
	lh->pins = pins;
	pthread_mutex_unlock(&lh->lock);
	return r;
}

static int local_check(struct ms_host *host, struct check_list *out)
{
	(void)host;
	return linux_check(out);
}

/* ---- Attaching ------------------------------------------------------------------------- */

bool linux_alive(const struct linux_source *ls)
{
	uint64_t entry;

	/* Both give 0 bytes, and no error, once the address space has no user left. */
	if (ls->pages.fd >= 0)
		return pread(ls->pages.fd, &entry, sizeof(entry), 0) != 0;
	return pread(ls->mem, &entry, 1, 0) != 0;
}

int linux_gone(const struct ms_source *src)
{
	return err_set(MS_ERR_GONE, "pid %u (%s) ended or became another program", src->process.pid,
		src->process.name ? src->process.name : "?");
}

static bool has_ended(const struct linux_stat *st)
{
	return st->state == 'Z' || st->state == 'X';
}

static int read_stat(int dir, const char *path, char text[STAT_TEXT], struct linux_stat *ret_st)
{
	ssize_t size = linux_read_at(dir, path, text, STAT_TEXT);

	return size <= 0 ? MS_ERR_GONE : linux_stat_parse(text, (size_t)size, ret_st);
}

/* Stops at the first thread that has not ended. */
static int try_thread(void *ctx, uint32_t tid)
{
	struct linux_source *ls = ctx;
	char text[STAT_TEXT], path[32];
	struct linux_stat st;

	snprintf(path, sizeof(path), "task/%u/stat", tid);
	if (read_stat(ls->dir, path, text, &st) < 0 || has_ended(&st))
		return 0;
	snprintf(path, sizeof(path), "task/%u", tid);
	ls->space = openat(ls->dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ls->tid = (pid_t)tid;
	return ls->space >= 0;
}

/* Takes another thread's word for the address space of a process whose first one has ended. */
static bool find_live_thread(struct linux_source *ls)
{
	AUTO_CLOSE int task = openat(ls->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return task >= 0 && linux_numbers(task, try_thread, ls) == 1;
}

/* What errno says of a process: it has ended, or memsift itself is short of something. */
static int gone_or_short(const struct ms_source *src)
{
	const char *name = src->process.name ? src->process.name : "?";

	if (errno == EMFILE || errno == ENFILE)
		return err_errno(MS_ERR_IO, errno,
			"cannot look into pid %u (%s); raise the limit with ulimit -n",
			src->process.pid, name);
	if (errno == ENOMEM)
		return err_nomem();
	return err_set(MS_ERR_GONE, "pid %u (%s) has ended", src->process.pid, name);
}

/* KCMP_VM tells whether two processes share an address space (Linux >= 3.5). */
static void note_shared_space(struct ms_source *src, uint32_t parent)
{
	struct linux_source *ls = linux_of(src);

	if (src->map_only || syscall(SYS_kcmp, ls->tid, parent, KCMP_VM, 0, 0) == 0)
		atomic_store(&ls->mem_only, true);
}

/* Makes sure that the open folder is that of the very process that was listed. */
static int check_identity(struct ms_source *src)
{
	struct linux_source *ls = linux_of(src);
	const struct ms_process *process = &src->process;
	const char *name = process->name ? process->name : "?";
	struct linux_stat st;
	char text[STAT_TEXT];

	if (read_stat(ls->dir, "stat", text, &st) < 0)
		return gone_or_short(src);
	if (process->start_id && process->start_id != st.start_ticks)
		return err_set(MS_ERR_GONE,
			"pid %u ended; the number now belongs to another process", process->pid);
	if (st.kernel || process->kernel)
		return err_set(MS_ERR_UNSUPPORTED,
			"pid %u (%s) is a kernel thread: it has no memory of its own", process->pid,
			name);
	if (has_ended(&st) && !find_live_thread(ls))
		return err_set(MS_ERR_GONE,
			"pid %u (%s) has ended; only its exit status is left (a zombie)",
			process->pid, name);
	note_shared_space(src, st.ppid);
	return 0;
}

int linux_may_stop(const struct ms_source *src)
{
	const struct linux_host *lh = src->host->priv;

	if (!lh->foreign_proc)
		return 0;
	return err_set(MS_ERR_UNSUPPORTED,
		"pid %u cannot be stopped: /proc is that of another pid namespace, and here the "
		"number is another process's; run memsift there, or mount /proc anew",
		src->process.pid);
}

static int open_file(const struct ms_source *src, const char *name, const char *what, int *ret_fd)
{
	int fd = openat(linux_of(src)->space, name, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errno == ENOENT || errno == ESRCH || errno == EMFILE || errno == ENFILE ||
		errno == ENOMEM)
		return gone_or_short(src);
	return linux_access_error(src->process.pid, errno, what);
}

static void close_files(struct linux_source *ls)
{
	cleanup_close(&ls->mem);
	cleanup_close(&ls->maps);
	cleanup_close(&ls->pages.fd);
	ls->mem = ls->maps = ls->pages.fd = -1;
}

static int open_files(struct ms_source *src)
{
	struct linux_source *ls = linux_of(src);
	int r = src->map_only ? 0 : open_file(src, "mem", "read its memory", &ls->mem);

	if (r == 0)
		r = open_file(src, "maps", "read its memory map", &ls->maps);
	if (r < 0)
		return r;
	errno = 0;
	linux_pages_open(ls->space, &ls->pages);
	/* A system may refuse pagemap; but to go without it for want of a descriptor would mean to
	   touch pages that nobody has touched. */
	if (ls->pages.fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return gone_or_short(src);
	/* One of them has to tell when the address space is gone. */
	if (ls->pages.fd < 0 && ls->mem < 0)
		return open_file(src, "mem", "tell when it ends", &ls->mem);
	return 0;
}

static int open_space(struct ms_source *src)
{
	struct linux_source *ls = linux_of(src);

	for (int i = 0; i < ATTACH_TRIES; i++) {
		int r = open_files(src);

		if (r < 0 || linux_alive(ls))
			return r;
		close_files(ls);
	}
	return linux_gone(src);
}

/* For a folder that may be any process's by now. */
static int open_unpinned(struct ms_source *src)
{
	int r = check_identity(src);

	return r < 0 ? r : open_space(src);
}

/* For the folder that the process was listed from: it can be no other's. */
static int open_pinned(struct ms_source *src)
{
	struct linux_source *ls = linux_of(src);
	int r;

	note_shared_space(src, src->process.ppid);
	r = open_space(src);
	if (r != MS_ERR_GONE)
		return r;
	/* Its first thread may have ended since then, and others may not. */
	close_files(ls);
	return open_unpinned(src);
}

static int take_pin(struct linux_host *lh, const struct ms_process *process)
{
	int dir;

	pthread_mutex_lock(&lh->lock);
	dir = linux_pins_take(&lh->pins, process->pid, process->start_id);
	pthread_mutex_unlock(&lh->lock);
	return dir;
}

static int local_attach(struct ms_host *host, struct ms_source *src)
{
	struct linux_host *lh = host->priv;
	struct linux_source *ls = linux_of(src);
	char path[32];
	bool pinned;
	int r;

	*ls = (struct linux_source){.dir = -1,
		.space = -1,
		.mem = -1,
		.maps = -1,
		.pages.fd = -1,
		.uffd = -1,
		.clear_refs = -1};
	ls->tid = (pid_t)src->process.pid;
	atomic_init(&ls->mem_only, lh->foreign_proc);
	src->page_size = (size_t)sysconf(_SC_PAGESIZE);
	snprintf(path, sizeof(path), "/proc/%u", src->process.pid);
	ls->dir = take_pin(lh, &src->process);
	pinned = ls->dir >= 0;
	if (!pinned)
		ls->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ls->dir < 0)
		return gone_or_short(src);
	ls->space = ls->dir;
	r = pinned ? open_pinned(src) : open_unpinned(src);
	ls->smaps_always = !ls->pages.scan;
	return r;
}

static void space_set(struct linux_source *ls, const struct linux_space *space)
{
	ls->dir = space->dir;
	ls->space = space->space;
	ls->mem = space->mem;
	ls->maps = space->maps;
	ls->pages = space->pages;
	ls->tid = space->tid;
}

/* Goes back from the twin to the target. */
static void leave_twin(struct linux_source *ls)
{
	if (ls->original) {
		close_files(ls);
		cleanup_close(&ls->dir);
		space_set(ls, ls->original);
		free(ls->original);
		ls->original = NULL;
	}
	linux_twin_free(ls->twin);
	ls->twin = NULL;
}

static void source_close(struct ms_source *src)
{
	struct linux_source *ls = linux_of(src);

	leave_twin(ls);
	linux_resume(ls->pause);
	cleanup_close(&ls->uffd);
	cleanup_close(&ls->clear_refs);
	close_files(ls);
	if (ls->space != ls->dir)
		cleanup_close(&ls->space);
	cleanup_close(&ls->dir);
	free(ls->own_mounts.items.data);
}

/* ---- The rest of a source -------------------------------------------------------------- */

static int source_auxv(struct ms_source *src, const void **ret_data, size_t *ret_size)
{
	const struct linux_source *ls = linux_of(src);
	char text[AUXV_MAX];
	ssize_t size = linux_read_at(ls->space, "auxv", text, sizeof(text));
	const void *copy;

	/* It is that of the program which the process runs by now. */
	if (size <= 0 || !linux_alive(ls))
		return linux_gone(src);
	if (!(copy = arena_copy(&src->strings, text, (size_t)size)))
		return err_nomem();
	*ret_data = copy;
	*ret_size = (size_t)size;
	return 0;
}

static int source_threads(struct ms_source *src, struct thread_list *out)
{
	struct linux_source *ls = linux_of(src);

	if (ls->pause)
		return linux_pause_threads(ls->pause, out);
	if (ls->twin)
		return linux_twin_threads(ls->twin, linux_threads_dir(ls), out);
	return linux_threads(ls->dir, src->process.pid, out);
}

static int enter_twin(struct ms_source *src)
{
	struct linux_source *ls = linux_of(src);
	char path[32];
	int r = linux_twin_new(src, &ls->twin);

	if (r < 0)
		return r;
	ls->original = malloc(sizeof(*ls->original));
	if (!ls->original)
		return err_nomem();
	*ls->original = linux_space_now(ls);
	ls->tid = linux_twin_pid(ls->twin);
	ls->mem = ls->maps = ls->pages.fd = -1;
	snprintf(path, sizeof(path), "/proc/%d", ls->tid);
	ls->dir = ls->space = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ls->dir < 0)
		return gone_or_short(src);
	src->stop_ns = linux_twin_stop_ns(ls->twin);
	return open_files(src);
}

static int source_pause(struct ms_source *src, enum ms_pause how)
{
	struct linux_source *ls = linux_of(src);
	int r = how == MS_PAUSE_FREEZE ? linux_may_stop(src) : 0;

	if (r < 0)
		return r;
	if (how == MS_PAUSE_FREEZE)
		return ls->pause ? 0 : linux_pause(src->process.pid, ls->dir, &ls->pause);
	if (how == MS_PAUSE_FORK)
		r = enter_twin(src);
	if (how == MS_PAUSE_FORK && r == 0)
		return 0;
	leave_twin(ls);
	linux_resume(ls->pause);
	ls->pause = NULL;
	return r;
}

static const struct ms_source_ops local_source = {
	.priv_size = sizeof(struct linux_source),
	.close = source_close,
	.regions = linux_regions,
	.read = linux_read,
	.auxv = source_auxv,
	.threads = source_threads,
	.resident = linux_resident,
	.identify = linux_identify,
	.counts_resident = true,
	.map = linux_map,
	.pause = source_pause,
	.dirty = linux_dirty,
};

const struct ms_host_ops local_host = {
	.scheme = "local",
	.summary = "the processes of this machine",
	.priv_size = sizeof(struct linux_host),
	.open = local_open,
	.close = local_close,
	.processes = local_processes,
	.attach = local_attach,
	.check = local_check,
	.source = &local_source,
};
