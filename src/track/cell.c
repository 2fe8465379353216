/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing and reading of cells. Readers trust nothing: a cell may come from a damaged file. */
#include "track/cell.h"

#include "base/bytes.h"

_Static_assert(sizeof(struct cell) == 16, "cells are written as they are in memory");

size_t slot_first(const struct layout *layout, uint64_t base)
{
	return (size_t)(-base & (layout->align - 1));
}

size_t slot_count(const struct layout *layout, uint64_t base, size_t extent)
{
	size_t used = slot_first(layout, base) + layout->size;

	return extent < used ? 0 : (extent - used) / layout->align + 1;
}

static size_t bits_size(size_t slots)
{
	return (slots + 7) / 8;
}

/* ---- Reading ---------------------------------------------------------------------------- */

bool cell_list_fits(const struct layout *layout, size_t slots, size_t extent, size_t count)
{
	return count * (2 + layout->size) <= bits_size(slots) + extent;
}

static bool head_check(const struct layout *layout, const struct cell_view *view)
{
	const struct cell *head = &view->head;
	unsigned form = head->form & ~(unsigned)CELL_ZERO;
	uint64_t end;

	if (head->form == CELL_LIST &&
		!cell_list_fits(layout, view->slots, head->extent, head->count))
		return false;
	return form <= CELL_LIST && head->extent >= layout->size &&
	       head->extent < CELL_PAGE + layout->size && add_u64(head->base, head->extent, &end) &&
	       head->count >= 1 && head->count <= view->slots &&
	       (form != CELL_ALL || head->count == view->slots) && !head->unused[0] &&
	       !head->unused[1] && !head->unused[2];
}

bool cell_open(
	const struct layout *layout, const uint8_t *data, size_t size, struct cell_view *ret_view)
{
	struct cell_view view = {.size = sizeof(view.head)};
	size_t keys, values;
	unsigned form;

	if (size < sizeof(view.head))
		return false;
	memcpy(&view.head, data, sizeof(view.head));
	view.first = slot_first(layout, view.head.base);
	view.slots = slot_count(layout, view.head.base, view.head.extent);
	if (!head_check(layout, &view))
		return false;
	form = view.head.form & ~(unsigned)CELL_ZERO;
	keys = form == CELL_BITS   ? bits_size(view.slots)
	       : form == CELL_LIST ? 2 * (size_t)view.head.count
				   : 0;
	values = view.head.form & CELL_ZERO ? 0
		 : form == CELL_LIST	    ? layout->size * view.head.count
					    : view.head.extent;
	if (size - sizeof(view.head) < keys + values)
		return false;
	view.bits = form == CELL_BITS ? data + view.size : NULL;
	view.list = form == CELL_LIST ? data + view.size : NULL;
	view.bytes = view.head.form & CELL_ZERO ? NULL : data + view.size + keys;
	view.size += keys + values;
	*ret_view = view;
	return true;
}

static bool list_check(const struct cell_view *view)
{
	size_t least = 0;

	for (size_t i = 0; i < view->head.count; i++) {
		size_t number = cell_listed(view, i);

		if (number < least || number >= view->slots)
			return false;
		least = number + 1;
	}
	return true;
}

static bool bits_check(const struct cell_view *view)
{
	size_t count = 0;

	for (size_t i = 0; i < bits_size(view->slots); i++)
		count += (size_t)__builtin_popcount(view->bits[i]);
	if (view->slots % 8 && view->bits[view->slots / 8] >> view->slots % 8)
		return false;
	return count == view->head.count;
}

bool cell_check(const struct layout *layout, const struct cell_view *view)
{
	(void)layout;
	if (view->list)
		return list_check(view);
	return !view->bits || bits_check(view);
}

void cell_mask(const struct cell_view *view, uint8_t *mask)
{
	if (!view->bits && !view->list) {
		memset(mask, 1, view->slots);
		return;
	}
	if (view->bits) {
		for (size_t i = 0; i < view->slots; i++)
			mask[i] = view->bits[i / 8] >> i % 8 & 1;
		return;
	}
	memset(mask, 0, view->slots);
	for (size_t i = 0; i < view->head.count; i++)
		if (cell_listed(view, i) < view->slots)
			mask[cell_listed(view, i)] = 1;
}

/* ---- Writing ---------------------------------------------------------------------------- */

static bool all_zero(const uint8_t *bytes, size_t size)
{
	return !size || (!bytes[0] && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Bytes that are 0 or 1 become bits, lowest first. */
static void bits_pack(const uint8_t *mask, size_t slots, uint8_t *bits)
{
	for (size_t i = 0; i < bits_size(slots); i++)
		/* Brings bit 0 of byte n to bit 56 + n; no two products meet in a bit. */
		bits[i] = (uint8_t)(load_u64(mask + 8 * i, false) * UINT64_C(0x0102040810204080) >>
				    56);
}

static size_t mask_count(const uint8_t *mask, size_t slots)
{
	size_t count = 0;

	for (size_t i = 0; i < slots; i++)
		count += mask[i];
	return count;
}

static size_t append(uint8_t *data, size_t size, const void *more, size_t more_size)
{
	memcpy(data + size, more, more_size);
	return size + more_size;
}

size_t cell_put_list(const struct layout *layout, uint64_t base, size_t extent,
	const uint16_t *numbers, const uint8_t *values, size_t count, uint8_t *ret_data)
{
	struct cell head = {.base = base,
		.extent = (uint16_t)extent,
		.count = (uint16_t)count,
		.form = CELL_LIST};
	bool zero = !values || all_zero(values, count * layout->size);
	size_t size;

	head.form |= zero ? CELL_ZERO : 0;
	size = append(ret_data, 0, &head, sizeof(head));
	size = append(ret_data, size, numbers, count * sizeof(*numbers));
	return zero ? size : append(ret_data, size, values, count * layout->size);
}

/* Makes the list of what the mask has; bytes may be NULL: all zero. */
static size_t put_as_list(const struct layout *layout, uint64_t base, size_t extent,
	const uint8_t *bytes, const uint8_t *mask, size_t count, uint8_t *ret_data)
{
	/* A list is only made where it is shorter than bits and bytes. */
	uint16_t numbers[CELL_PAGE];
	uint8_t values[CELL_MAX];
	size_t first = slot_first(layout, base), n = 0;

	for (size_t i = 0; n < count; i++) {
		if (!mask[i])
			continue;
		numbers[n] = (uint16_t)i;
		if (bytes)
			memcpy(values + n * layout->size, bytes + first + i * layout->align,
				layout->size);
		n++;
	}
	return cell_put_list(layout, base, extent, numbers, bytes ? values : NULL, count, ret_data);
}

size_t cell_put(const struct layout *layout, uint64_t base, size_t extent, const uint8_t *bytes,
	uint8_t *mask, uint8_t *ret_data)
{
	size_t slots = slot_count(layout, base, extent), size;
	size_t count = mask ? mask_count(mask, slots) : slots;
	struct cell head = {.base = base, .extent = (uint16_t)extent, .count = (uint16_t)count};
	bool zero;

	if (!count)
		return 0;
	zero = all_zero(bytes, extent);
	head.form = count < slots ? CELL_BITS : CELL_ALL;
	if (head.form == CELL_BITS && (zero ? 2 * count < bits_size(slots)
					    : cell_list_fits(layout, slots, extent, count)))
		return put_as_list(
			layout, base, extent, zero ? NULL : bytes, mask, count, ret_data);
	head.form |= zero ? CELL_ZERO : 0;
	size = append(ret_data, 0, &head, sizeof(head));
	if (head.form & CELL_BITS) {
		memset(mask + slots, 0, 8);
		bits_pack(mask, slots, ret_data + size);
		size += bits_size(slots);
	}
	return zero ? size : append(ret_data, size, bytes, extent);
}
