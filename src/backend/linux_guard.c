/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a guardian: how it is started, what it runs under, and how its end is met.
 */
#include "backend/linux_guard.h"

#include "backend/linux.h"
#include "base/os.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Never returns. */
static void live(struct guard *guard)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	syscall(SYS_setsid);
	/* A target stands still while this runs: it had better run at once, if that is allowed. */
	setpriority(PRIO_PROCESS, 0, -20);
	prctl(PR_SET_NAME, "memsift-guard");
	sigaction(SIGCHLD, &action, NULL);
	guard->status = guard->job(guard);
	if (guard->status < 0)
		snprintf(guard->error, sizeof(guard->error), "%s", ms_error());
	for (;;)
		syscall(SYS_exit_group, 0);
}

int guard_start(struct guard *guard)
{
	sigset_t all, before;
	long pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Like fork(), but for the shared descriptors, and no signal tells of the end. */
	pid = syscall(SYS_clone, CLONE_FILES, NULL, NULL, NULL, NULL);
	if (pid == 0)
		live(guard);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return err_errno(MS_ERR_MEMORY, errno, "cannot start a process");
	guard->guardian = (pid_t)pid;
	guard->pidfd = (int)syscall(SYS_pidfd_open, guard->guardian, 0);
	return 0;
}

/* Finds the instruction in the vDSO, which every process has unless it took it away. */
static int find_instruction(struct ms_source *src, uint64_t *ret_pc)
{
	uint8_t page[4096];

	if (!inject_opcode_size)
		return err_set(MS_ERR_UNSUPPORTED,
			"memsift cannot make system calls in other processes on this processor");
	for (size_t i = 0; i < src->regions.items.count; i++) {
		const struct ms_region *region = &src->regions.items.data[i];
		size_t got = 0;

		if (strcmp(region->path, "[vdso]") != 0)
			continue;
		for (uint64_t at = 0; at < region->size; at += sizeof(page)) {
			if (src->ops->read(src, region->base + at, page, sizeof(page), &got) < 0)
				return MS_ERR_GONE;
			const uint8_t *found = memmem(page, got, inject_opcode, inject_opcode_size);

			if (found) {
				*ret_pc = region->base + at + (uint64_t)(found - page);
				return 0;
			}
		}
	}
	return err_set(MS_ERR_UNSUPPORTED, "pid %u has no vDSO with a system call instruction",
		src->process.pid);
}

int guard_new(struct ms_source *src, int (*job)(struct guard *guard), struct guard **ret_guard)
{
	struct linux_source *ls = linux_of(src);
	struct guard *guard;
	uint64_t pc = 0;
	int r = linux_may_stop(src);

	if (r == 0 && !src->regions_known)
		r = source_refresh(src);
	if (r < 0 || (r = find_instruction(src, &pc)) < 0)
		return r;
	if (src->process.pid == (uint32_t)getpid())
		return err_set(MS_ERR_ARGUMENT, "memsift cannot do this to itself");
	guard = mmap(NULL, sizeof(*guard), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (guard == MAP_FAILED)
		return err_nomem();
	guard->pid = src->process.pid;
	guard->dir = ls->dir;
	guard->mem = ls->mem;
	guard->pc = pc;
	guard->job = job;
	guard->status = GUARD_PENDING;
	guard->pidfd = guard->fd = guard->ready = guard->release = guard->parent = -1;
	*ret_guard = guard;
	return 0;
}

/* Whether the guardian is still there; waits for its end if told to. */
static bool guardian_ended(const struct guard *guard, bool wait)
{
	siginfo_t info = {0};
	int how = WEXITED | WNOWAIT | __WALL | (wait ? 0 : WNOHANG);

	while (waitid(P_PID, (id_t)guard->guardian, &info, how) != 0)
		if (errno != EINTR)
			return true;
	return info.si_pid != 0;
}

int guard_result(struct guard *guard)
{
	if (guard->guardian && guardian_ended(guard, true) && guard->status == GUARD_PENDING)
		return err_set(
			MS_ERR_IO, "pid %u: memsift's guardian process was killed", guard->pid);
	return guard->status < 0 ? err_set(guard->status, "%s", guard->error) : 0;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	while (guard->guardian &&
		waitid(P_PID, (id_t)guard->guardian, NULL, WEXITED | __WALL) != 0 && errno == EINTR)
		;
	cleanup_close(&guard->pidfd);
	munmap(guard, sizeof(*guard));
}
