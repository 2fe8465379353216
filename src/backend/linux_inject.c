/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Neither job may leave anything behind, nor show anything to the target's other threads.
 *
 * The userfaultfd is made by a thread that a clone() in the target adds. From Linux 6.9 on, where a
 * pidfd can name a thread (PIDFD_THREAD), that thread has a table of descriptors of its own, so
 * the target's never has the new one, no child that it forks at that moment inherits it, and no
 * close() of the target's can hit it. On older kernels the table is the target's, for less than a
 * millisecond. The thread ends itself; a thread leaves nothing to be waited for.
 *
 * A twin must be a process, and one that is the target's child would be seen by its
 * waitpid(-1, __WALL). So, all threads standing still, a middleman is made that shares the target's
 * memory and has 0 for its exit signal; it forks the twin and ends, which gives the twin to the
 * next reaper of orphans (init, as a rule); and the target's thread waits for the middleman before
 * any of them runs again. Twin and middleman share the target's table of descriptors, so nothing
 * is opened twice; the twin then trades it for an empty one.
 */
#include "backend/linux_inject.h"

#include "backend/linux_guard.h"
#include "backend/linux_threads.h"

#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	PIDFD_OF_THREAD = O_EXCL, /* PIDFD_THREAD of linux/pidfd.h, since 6.9 */
	MODE_USER_ONLY = 1,	  /* UFFD_USER_MODE_ONLY, since 5.11; asks for no privilege */
	UNSHARE_RANGE = 2,	  /* CLOSE_RANGE_UNSHARE, since 5.9 */
	EXITKILL_OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL,
};

static int call_failed(const struct guard *guard, const char *call, int64_t result)
{
	int errnum = result < 0 && result > -4096 ? (int)-result : EINVAL;

	/* EINVAL: the kernel is older than one of the flags. */
	return err_errno(errnum == ENOSYS || errnum == EPERM || errnum == EINVAL
				 ? MS_ERR_UNSUPPORTED
				 : MS_ERR_IO,
		errnum, "pid %u: a %s() made in it failed", guard->pid, call);
}

/* ---- The userfaultfd -------------------------------------------------------------------- */

static bool pidfds_name_threads(void)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)syscall(SYS_gettid), PIDFD_OF_THREAD);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int take_descriptor(
	struct guard *guard, const struct guard_task *maker, bool own, int number)
{
	int pidfd = own ? (int)syscall(SYS_pidfd_open, maker->tid, PIDFD_OF_THREAD)
			: (int)syscall(SYS_pidfd_open, (pid_t)guard->pid, 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	int errnum = errno;

	if (pidfd >= 0)
		close(pidfd);
	if (fd < 0)
		return err_errno(MS_ERR_UNSUPPORTED, errnum,
			"pid %u: its userfaultfd cannot be taken over", guard->pid);
	guard->fd = fd;
	return 0;
}

/* The thread that was added makes the userfaultfd. */
static int make_userfaultfd(struct guard *guard, struct guard_task *maker, bool own)
{
	const uint64_t args[INJECT_ARGS] = {O_CLOEXEC | O_NONBLOCK | MODE_USER_ONLY};
	int64_t number, closed;
	int r = guard_call(guard, maker, SYS_userfaultfd, args, &number);

	if (r < 0)
		return r;
	if (number < 0)
		return call_failed(guard, "userfaultfd", number);
	r = take_descriptor(guard, maker, own, (int)number);
	if (!own)
		guard_call(guard, maker, SYS_close, (const uint64_t[INJECT_ARGS]){(uint64_t)number},
			&closed);
	return r;
}

static int userfaultfd_job(struct guard *guard)
{
	bool own = pidfds_name_threads();
	const uint64_t args[INJECT_ARGS] = {
		CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | (own ? 0u : CLONE_FILES)};
	struct guard_task task, maker;
	int64_t tid = -1;
	int r = guard_stop_one(guard, &task);

	if (r < 0)
		return r;
	r = guard_call(guard, &task, SYS_clone, args, &tid);
	/* The target's own thread has done its part. */
	guard_leave(guard, &task);
	if (r < 0)
		return r;
	if (tid < 0)
		return call_failed(guard, "clone", tid);
	if ((r = guard_take_child(guard, task.child, &maker)) < 0)
		return r;
	r = make_userfaultfd(guard, &maker, own);
	guard_exit(guard, &maker);
	return r;
}

int linux_inject_userfaultfd(struct ms_source *src, int *ret_fd, uint64_t *ret_stop_ns)
{
	CLEANUP(guard_cleanup) struct guard *guard = NULL;
	int r = guard_new(src, userfaultfd_job, &guard);

	if (r < 0 || (r = guard_start(guard)) < 0)
		return r;
	r = guard_result(guard);
	if (r < 0) {
		cleanup_close(&guard->fd);
		return r;
	}
	if (ret_stop_ns)
		*ret_stop_ns = guard->stop_ns;
	*ret_fd = guard->fd;
	return 0;
}

/* ---- The twin --------------------------------------------------------------------------- */

/* The middleman forks the twin and ends. */
static int fork_twin(struct guard *guard, struct guard_task *middle, struct guard_task *ret_twin)
{
	const uint64_t args[INJECT_ARGS] = {CLONE_FS | CLONE_FILES};
	int64_t pid = -1;
	int r;

	/* From here on neither outlives the guardian. */
	ptrace(PTRACE_SETOPTIONS, middle->tid, NULL, (void *)(intptr_t)EXITKILL_OPTIONS);
	r = guard_call(guard, middle, SYS_clone, args, &pid);
	if (r == 0 && pid < 0)
		r = call_failed(guard, "fork", pid);
	if (r == 0)
		r = guard_take_child(guard, middle->child, ret_twin);
	if (r < 0)
		guard_kill(guard, middle->tid);
	else
		guard_exit(guard, middle);
	return r;
}

/* All threads stand still; one of them makes the middleman and waits for its end. */
static int make_twin(struct guard *guard, struct guard_task *task, struct guard_task *ret_twin)
{
	const uint64_t args[INJECT_ARGS] = {CLONE_VM | CLONE_FS | CLONE_FILES};
	struct guard_task middle;
	int64_t pid = -1, reaped;
	int r = guard_call(guard, task, SYS_clone, args, &pid);

	if (r < 0)
		return r;
	if (pid < 0)
		return call_failed(guard, "clone", pid);
	if ((r = guard_take_child(guard, task->child, &middle)) < 0)
		return r;
	r = fork_twin(guard, &middle, ret_twin);
	/* In the target's own numbers, should it have a namespace of its own. */
	guard_call(guard, task, SYS_wait4, (const uint64_t[INJECT_ARGS]){(uint64_t)pid, 0, __WALL},
		&reaped);
	return r;
}

static void notify(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void wait_for_release(const struct guard *guard)
{
	struct pollfd fds[2] = {
		{.fd = guard->release, .events = POLLIN}, {.fd = guard->parent, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
}

static int twin_job(struct guard *guard)
{
	const uint64_t args[INJECT_ARGS] = {0, UINT32_MAX, UNSHARE_RANGE};
	struct guard_task task, twin = {0};
	int64_t closed;
	int r = guard_stop_all(guard, &task);

	if (r < 0)
		return r;
	guard_keep_registers(guard);
	r = make_twin(guard, &task, &twin);
	guard_leave(guard, &task);
	guard_resume(guard, &task);
	if (r < 0)
		return r;
	r = guard_call(guard, &twin, SYS_close_range, args, &closed);
	if (r == 0) {
		guard->twin = twin.tid;
		notify(guard->ready);
		wait_for_release(guard);
	}
	guard_kill(guard, twin.tid);
	return r;
}

struct linux_twin {
	struct guard *guard;
};

static int open_events(struct guard *guard)
{
	guard->ready = eventfd(0, EFD_CLOEXEC);
	guard->release = eventfd(0, EFD_CLOEXEC);
	guard->parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (guard->ready < 0 || guard->release < 0 || guard->parent < 0)
		return err_errno(
			MS_ERR_IO, errno, "cannot watch over a copy of pid %u", guard->pid);
	return 0;
}

/* Waits until there is a twin, or will be none. */
static int wait_for_twin(struct guard *guard)
{
	struct pollfd fds[2] = {
		{.fd = guard->ready, .events = POLLIN}, {.fd = guard->pidfd, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	return guard->twin ? 0 : guard_result(guard);
}

int linux_twin_new(struct ms_source *src, struct linux_twin **ret_twin)
{
	struct linux_twin *twin = calloc(1, sizeof(*twin));
	int r = twin ? guard_new(src, twin_job, &twin->guard) : err_nomem();

	if (r == 0)
		r = open_events(twin->guard);
	if (r == 0)
		r = guard_start(twin->guard);
	if (r == 0)
		r = wait_for_twin(twin->guard);
	if (r < 0)
		linux_twin_free(twin);
	else
		*ret_twin = twin;
	return r;
}

void linux_twin_free(struct linux_twin *twin)
{
	struct guard *guard = twin ? twin->guard : NULL;

	if (guard) {
		int fds[3] = {guard->ready, guard->release, guard->parent};

		if (guard->release >= 0)
			notify(guard->release);
		guard_free(guard);
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
			cleanup_close(&fds[i]);
	}
	free(twin);
}

pid_t linux_twin_pid(const struct linux_twin *twin)
{
	return twin->guard->twin;
}

uint64_t linux_twin_stop_ns(const struct linux_twin *twin)
{
	return twin->guard->stop_ns;
}

/* Copies a thread's registers, as the list outlives the twin; false when memory runs out. */
static bool add_registers(const struct guard *guard, const struct guard_thread *from,
	struct ms_thread *thread, struct arena *strings)
{
	const uint8_t *at = guard->registers + from->registers;
	const void *copies[LINUX_REGISTER_SETS] = {NULL};
	struct inject_regs regs = {.size = from->sizes[0]};

	for (size_t i = 0; i < LINUX_REGISTER_SETS; at += from->sizes[i++])
		if (from->sizes[i] && !(copies[i] = arena_copy(strings, at, from->sizes[i])))
			return false;
	thread->gregs = copies[0];
	thread->gregs_size = from->sizes[0];
	thread->fpregs = copies[1];
	thread->fpregs_size = from->sizes[1];
	thread->xstate = copies[2];
	thread->xstate_size = from->sizes[2];
	if (inject_regs_native(&regs)) {
		memcpy(regs.bytes, copies[0], regs.size);
		thread->stack_pointer = inject_regs_sp(&regs);
	}
	return true;
}

int linux_twin_threads(const struct linux_twin *twin, int dir, struct thread_list *out)
{
	const struct guard *guard = twin->guard;
	AUTO_CLOSE int task = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < guard->thread_count; i++) {
		const struct guard_thread *from = &guard->threads[i];
		struct ms_thread thread = {.tid = (uint32_t)from->tid, .name = ""};

		if (!from->stopped)
			continue;
		/* Only its name is of now; that of one which has ended since is not known. */
		if (linux_thread_name(task, thread.tid, &out->strings, &thread.name) ==
				MS_ERR_MEMORY ||
			!add_registers(guard, from, &thread, &out->strings) ||
			!vec_push(&out->items, thread))
			return err_nomem();
	}
	return 0;
}
