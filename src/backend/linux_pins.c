/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only this file knows: how many descriptors pins may take, of those that the process may
 * have.
 */
#include "backend/linux_pins.h"

#include "base/os.h"

/* Less than the table of descriptors is made for in linux.c; and one in so many of what may be. */
enum { PINS_MAX = 512, SHARE = 4 };

size_t linux_pins_room(void)
{
	return (size_t)min_u64(os_descriptor_limit() / SHARE, PINS_MAX);
}

void linux_pins_add(struct linux_pins *pins, uint32_t pid, uint64_t start_id, int dir)
{
	if (!vec_push(&pins->items, (struct linux_pin){pid, dir, start_id}))
		close(dir);
}

void linux_pins_join(struct linux_pins *into, struct linux_pins *from)
{
	for (size_t i = 0; i < from->items.count; i++) {
		const struct linux_pin *pin = &from->items.data[i];

		linux_pins_add(into, pin->pid, pin->start_id, pin->dir);
	}
	free(from->items.data);
	*from = (struct linux_pins){0};
}

int linux_pins_take(struct linux_pins *pins, uint32_t pid, uint64_t start_id)
{
	for (size_t i = 0; i < pins->items.count; i++) {
		struct linux_pin *pin = &pins->items.data[i];

		if (pin->pid == pid && pin->start_id == start_id)
			return take_fd(&pin->dir);
	}
	return -1;
}

void linux_pins_done(struct linux_pins *pins)
{
	for (size_t i = 0; i < pins->items.count; i++)
		cleanup_close(&pins->items.data[i].dir);
	free(pins->items.data);
	*pins = (struct linux_pins){0};
}
