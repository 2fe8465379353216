/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lies around matches, read when they are reported. Matches of a string come by ascending
 * address, often close to each other, and each read costs several system calls. So those that lie
 * near the next one are read in one go, with what is wanted around them; what lies farther apart
 * is not read along.
 */
#include "engine/yara.h"

#include "base/err.h"

enum {
	WINDOW_SIZE = 64 * 1024,
	APART_MAX = 4 * 1024, /* bytes between two matches that are read in one go */
};

_Static_assert(WINDOW_SIZE >= 3 * MS_CONTEXT_MAX, "a window holds any match and its context");

static uint64_t match_start(const yara_match *match)
{
	return (uint64_t)match->base + (uint64_t)match->offset;
}

/* The first byte of the data that holds address. */
static uint64_t data_start(const struct ms_view *view, uint64_t address)
{
	size_t i;

	bisect(i, view->data_count, view->data[i].base + view->data[i].size > address);
	return i < view->data_count && view->data[i].base <= address ? view->data[i].base : address;
}

/* What is wanted of a match: from where on, and up to where. */
static uint64_t wanted_base(const struct ms_view *view, uint64_t address)
{
	return address - min_u64(view->context, address - data_start(view, address));
}

static uint64_t wanted_end(const struct ms_view *view, const yara_match *match)
{
	uint64_t size = min_u64((uint64_t)match->match_length, MS_CONTEXT_MAX) + view->context, end;

	return add_u64(match_start(match), size, &end) ? end : UINT64_MAX;
}

static int piece_take(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct yara_window *window = ctx;

	if (state == MS_STATE_DATA && !vec_push(&window->pieces, (struct ms_range){base, size}))
		return err_nomem();
	return 0;
}

/* Reads from `base` on what is wanted of the match and of those behind it that lie near. */
static int window_read(struct yara_window *window, const yara_match *match, uint64_t base)
{
	struct ms_view *view = window->view;
	uint64_t end = wanted_end(view, match);

	for (match = match->next; match; match = match->next) {
		uint64_t more = wanted_end(view, match);

		if (more - base > WINDOW_SIZE ||
			(match_start(match) > end && match_start(match) - end > APART_MAX))
			break;
		end = max_u64(end, more);
	}
	if (!window->buffer && !(window->buffer = malloc(WINDOW_SIZE)))
		return err_nomem();
	window->base = base;
	window->size = (size_t)(end - base);
	window->pieces.count = 0;
	/* Where it cannot be read by now, there is nothing to show. */
	return view->read(view, base, window->buffer, window->size, piece_take, window) ==
			       MS_ERR_MEMORY
		       ? MS_ERR_MEMORY
		       : 0;
}

/* The bytes side by side that hold address, or NULL. */
static const struct ms_range *piece_find(const struct yara_window *window, uint64_t address)
{
	for (size_t i = 0; i < window->pieces.count; i++) {
		const struct ms_range *piece = &window->pieces.data[i];

		if (address >= piece->base && address - piece->base < piece->size)
			return piece;
	}
	return NULL;
}

static void hit_fill(
	const struct yara_window *window, uint64_t base, uint64_t end, struct ms_hit *hit)
{
	const struct ms_range *piece = piece_find(window, hit->address);
	size_t shown = (size_t)min_u64(hit->size, YARA_MATCH_SHOWN);
	const uint8_t *at;

	if (!piece)
		return;
	at = window->buffer + (hit->address - window->base);
	base = max_u64(base, piece->base);
	end = min_u64(end, piece->base + piece->size);
	/* Of a string of several parts libyara keeps the first part only. */
	if (hit->bytes_size < min_u64(shown, end - hit->address)) {
		hit->bytes = at;
		hit->bytes_size = (size_t)min_u64(shown, end - hit->address);
	}
	if (!window->view->context)
		return;
	hit->context_before = (size_t)(hit->address - base);
	hit->context = at - hit->context_before;
	hit->context_size = (size_t)(end - base);
}

int yara_window_show(struct yara_window *window, const yara_match *match, struct ms_hit *hit)
{
	const struct ms_view *view = window->view;
	uint64_t base = wanted_base(view, hit->address), end = wanted_end(view, match);
	int r = 0;

	if (!view->context && hit->bytes_size >= min_u64(hit->size, YARA_MATCH_SHOWN))
		return 0;
	if (base < window->base || end - window->base > window->size || end < window->base)
		r = window_read(window, match, base);
	if (r == 0)
		hit_fill(window, base, end, hit);
	return r;
}

void yara_window_done(struct yara_window *window)
{
	free(window->pieces.data);
	free(window->buffer);
}
