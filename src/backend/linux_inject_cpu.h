/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What running a system call inside another process takes of the processor: which instruction
 * enters the kernel, and where number, arguments and result are. The build picks one
 * linux_inject_CPU.c, linux_inject_none.c where there is none. Pure functions.
 */
#ifndef MS_BACKEND_LINUX_INJECT_CPU_H
#define MS_BACKEND_LINUX_INJECT_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INJECT_ARGS = 6, INJECT_OPCODE_MAX = 8 };

/* The general registers of a thread, as NT_PRSTATUS has them. */
struct inject_regs {
	_Alignas(16) uint8_t bytes[512];
	size_t size;
};

/* The instruction; a size of 0 means that this processor is not supported. */
extern const uint8_t inject_opcode[INJECT_OPCODE_MAX];
extern const size_t inject_opcode_size;

/* Whether these are registers of a thread that runs programs of memsift's own kind. */
bool inject_regs_native(const struct inject_regs *regs);

uint64_t inject_regs_pc(const struct inject_regs *regs);
uint64_t inject_regs_sp(const struct inject_regs *regs);

/* Sets them so that the thread, let go, makes the system call by the instruction at pc. */
void inject_regs_call(
	struct inject_regs *regs, uint64_t pc, long number, const uint64_t args[INJECT_ARGS]);

/* After the call: its result, or a negative errno. */
int64_t inject_regs_result(const struct inject_regs *regs);

/*
 * The number of the system call that a stop has just broken off with EINTR for good; -1 for any
 * other state of a thread. inject_regs_again() makes the thread enter it again.
 */
long inject_regs_broken_off(const struct inject_regs *regs);
void inject_regs_again(struct inject_regs *regs);

#endif
