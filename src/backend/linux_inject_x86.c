/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls of x86-64. The registers are struct user_regs_struct; a thread in 32-bit code shows
 * fewer (task_user_regset_view() in arch/x86/kernel/ptrace.c). An orig_rax of -1 keeps the kernel
 * from taking what is in rax for an interrupted call that it has to restart
 * (arch_do_signal_or_restart() in arch/x86/kernel/signal.c).
 */
#include "backend/linux_inject_cpu.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/user.h>

const uint8_t inject_opcode[INJECT_OPCODE_MAX] = {0x0f, 0x05};
const size_t inject_opcode_size = 2;

static struct user_regs_struct load(const struct inject_regs *regs)
{
	struct user_regs_struct set;

	memcpy(&set, regs->bytes, sizeof(set));
	return set;
}

bool inject_regs_native(const struct inject_regs *regs)
{
	return regs->size == sizeof(struct user_regs_struct);
}

uint64_t inject_regs_pc(const struct inject_regs *regs)
{
	return load(regs).rip;
}

uint64_t inject_regs_sp(const struct inject_regs *regs)
{
	return load(regs).rsp;
}

void inject_regs_call(
	struct inject_regs *regs, uint64_t pc, long number, const uint64_t args[INJECT_ARGS])
{
	struct user_regs_struct set = load(regs);

	set.rip = pc;
	set.rax = (unsigned long)number;
	set.orig_rax = (unsigned long)-1;
	set.rdi = args[0];
	set.rsi = args[1];
	set.rdx = args[2];
	set.r10 = args[3];
	set.r8 = args[4];
	set.r9 = args[5];
	memcpy(regs->bytes, &set, sizeof(set));
}

int64_t inject_regs_result(const struct inject_regs *regs)
{
	return (int64_t)load(regs).rax;
}

long inject_regs_broken_off(const struct inject_regs *regs)
{
	struct user_regs_struct set = load(regs);

	/* A close() has done its work by then, and the number may be another file's. */
	if ((long)set.orig_rax < 0 || set.orig_rax == SYS_close || (long)set.rax != -EINTR)
		return -1;
	return (long)set.orig_rax;
}

void inject_regs_again(struct inject_regs *regs)
{
	struct user_regs_struct set = load(regs);

	set.rax = set.orig_rax;
	set.orig_rax = (unsigned long)-1;
	set.rip -= inject_opcode_size;
	memcpy(regs->bytes, &set, sizeof(set));
}
