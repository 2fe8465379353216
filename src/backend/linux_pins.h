/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that stay pinned from when they were listed until they are attached to. An open
 * /proc/PID never turns into another process, so whoever has it need not make sure again which
 * process a pid is by now: a tenth of what it takes to list the regions of all processes.
 */
#ifndef MS_BACKEND_LINUX_PINS_H
#define MS_BACKEND_LINUX_PINS_H

#include "base/vec.h"

struct linux_pin {
	uint32_t pid;
	int dir; /* -1: taken */
	uint64_t start_id;
};

struct linux_pins {
	VEC(struct linux_pin) items;
};

/* How many descriptors may be kept open for pins, so that many are left for all else. */
size_t linux_pins_room(void);

/* Keeps `dir`, which is closed where there is no memory for that. */
void linux_pins_add(struct linux_pins *pins, uint32_t pid, uint64_t start_id, int dir);

/* Moves all pins of `from`, which has none then. */
void linux_pins_join(struct linux_pins *into, struct linux_pins *from);

/* The open /proc/PID of that very process, which is the caller's then; -1 for none. */
int linux_pins_take(struct linux_pins *pins, uint32_t pid, uint64_t start_id);

/* Closes what nobody took. */
void linux_pins_done(struct linux_pins *pins);

#endif
