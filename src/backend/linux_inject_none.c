/* SPDX-License-Identifier: BSD-2-Clause */
/* A processor that nobody has taught memsift to run system calls of other processes on. */
#include "backend/linux_inject_cpu.h"

const uint8_t inject_opcode[INJECT_OPCODE_MAX] = {0};
const size_t inject_opcode_size = 0;

bool inject_regs_native(const struct inject_regs *regs)
{
	(void)regs;
	return false;
}

uint64_t inject_regs_pc(const struct inject_regs *regs)
{
	(void)regs;
	return 0;
}

uint64_t inject_regs_sp(const struct inject_regs *regs)
{
	(void)regs;
	return 0;
}

void inject_regs_call(
	struct inject_regs *regs, uint64_t pc, long number, const uint64_t args[INJECT_ARGS])
{
	(void)regs, (void)pc, (void)number, (void)args;
}

int64_t inject_regs_result(const struct inject_regs *regs)
{
	(void)regs;
	return -1;
}

long inject_regs_broken_off(const struct inject_regs *regs)
{
	(void)regs;
	return -1;
}

void inject_regs_again(struct inject_regs *regs)
{
	(void)regs;
}
