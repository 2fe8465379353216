/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows is which mask of signals counts: PTRACE_GETSIGMASK tells the one that a
 * thread will have again after epoll_pwait() and the like, not that of the call. A signal that only
 * the call lets through is found by the call when it is entered again, so that one serves.
 */
#include "backend/linux_regs.h"

#include "backend/linux_procfs.h"

#include <elf.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { GET_SIGMASK = 0x420a }; /* PTRACE_GETSIGMASK, which glibc's ptrace() does not know */

bool linux_regs_get(pid_t tid, struct inject_regs *ret_regs)
{
	struct iovec vector = {ret_regs->bytes, sizeof(ret_regs->bytes)};

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &vector) != 0)
		return false;
	ret_regs->size = vector.iov_len;
	return true;
}

bool linux_regs_set(pid_t tid, const struct inject_regs *regs)
{
	struct iovec vector = {(void *)regs->bytes, regs->size};

	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &vector) == 0;
}

size_t linux_register_set(pid_t tid, size_t set, void *buf, size_t size)
{
	static const int notes[LINUX_REGISTER_SETS] = {NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE};
	struct iovec vector = {buf, size};
	long r = ptrace(PTRACE_GETREGSET, tid, (void *)(intptr_t)notes[set], &vector);

	return r == 0 ? vector.iov_len : 0;
}

uint64_t linux_thread_status(
	int pid_dirfd, pid_t tid, const char *key, int base, uint64_t otherwise)
{
	char path[48];
	uint64_t value;

	snprintf(path, sizeof(path), "task/%d/status", tid);
	return linux_status_number(pid_dirfd, path, key, base, &value) ? value : otherwise;
}

bool linux_signal_waits(int pid_dirfd, pid_t tid, uint64_t mask)
{
	uint64_t waiting = linux_thread_status(pid_dirfd, tid, "SigPnd", 16, ~0ull) |
			   linux_thread_status(pid_dirfd, tid, "ShdPnd", 16, ~0ull);

	return waiting & ~mask;
}

void linux_let_go(int pid_dirfd, pid_t tid)
{
	struct inject_regs regs;
	uint64_t mask;

	if (linux_regs_get(tid, &regs) && inject_regs_native(&regs) &&
		inject_regs_broken_off(&regs) >= 0 &&
		syscall(SYS_ptrace, (long)GET_SIGMASK, (long)tid, sizeof(mask), &mask) == 0 &&
		!linux_signal_waits(pid_dirfd, tid, mask)) {
		inject_regs_again(&regs);
		linux_regs_set(tid, &regs);
	}
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
}
