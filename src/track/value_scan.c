/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A span is taken page by page, as cells are. The first scan looks at every value of a page; the
 * next one only at pages that have matches, and there at the matches alone if they are few.
 */
#include "track/value_scan.h"

/* The memory of one thread. */
struct work {
	struct packet out, packed;
	uint8_t mask[CELL_PAGE + 8], before[CELL_PAGE];
	uint16_t numbers[CELL_PAGE];
	uint8_t now_values[CELL_MAX], old_values[CELL_MAX];
	bool at_cursor; /* the cursor was initialised */
	struct cursor cursor;
};

/* Values that begin in a stretch of one page; bytes holds `extent` bytes from base on. */
struct stretch {
	uint64_t base;
	size_t extent;
	const uint8_t *bytes;
};

static const uint8_t zeros[CELL_EXTENT_MAX];

static const struct value_scan *scan_of(const struct ms_engine *engine)
{
	return engine->priv;
}

static size_t value_overlap(const struct ms_engine *engine)
{
	return scan_of(engine)->layout->size - 1;
}

static int packet_emit(const struct value_scan *scan, struct work *work, struct ms_emit *emit)
{
	struct packet *packet = &work->out;
	struct ms_hit hit = {.address = packet->head.first};
	int r;

	if (!packet->head.raw)
		return 0;
	if (scan->zstd && packet->head.raw >= BLOCK_GATHER)
		packet = packet_compress(packet, &work->packed);
	hit.size = packet->head.end - packet->head.first;
	hit.bytes = (const uint8_t *)packet;
	hit.bytes_size = offsetof(struct packet, data) + packet->head.stored;
	r = emit->hit(emit, &hit);
	work->out.head = (struct block_head){0};
	return r;
}

/* Where the next cell is written to. */
static int cell_room(
	const struct value_scan *scan, struct work *work, struct ms_emit *emit, uint8_t **ret_room)
{
	int r = packet_has_room(&work->out) ? 0 : packet_emit(scan, work, emit);

	*ret_room = work->out.data + work->out.head.raw;
	return r;
}

/* Keeps the values of the stretch that the mask has. */
static int keep(const struct value_scan *scan, struct work *work, const struct stretch *stretch,
	uint8_t *mask, struct ms_emit *emit)
{
	uint8_t *room;
	int r = cell_room(scan, work, emit, &room);
	size_t size;

	if (r < 0)
		return r;
	size = cell_put(scan->layout, stretch->base, stretch->extent, stretch->bytes, mask, room);
	if (size)
		packet_took(&work->out, scan->layout, size);
	return 0;
}

/* A look that costs little, and that most pages do not pass when a rare value is searched for. */
static bool may_match(const struct value_scan *scan, const uint8_t *bytes, size_t slots)
{
	const struct layout *layout = scan->layout;
	bool side_by_side = layout->align == layout->size;
	size_t phases = side_by_side || layout->type->kind == VALUE_BYTES ? 1 : layout->size;

	if (scan->condition->op != CONDITION_WITHIN || (!side_by_side && layout->align != 1))
		return true;
	if (layout->type->kind == VALUE_BYTES && layout->align != 1)
		return true;
	/* Unaligned: values that begin at each offset modulo the size lie side by side. */
	for (size_t phase = 0; phase < phases && phase < slots; phase++) {
		size_t count = (slots - phase - 1) / phases + 1;

		if (layout->type->any(scan->condition, bytes + phase, count))
			return true;
	}
	return false;
}

/* ---- The first scan --------------------------------------------------------------------- */

static int first_stretch(const struct value_scan *scan, struct work *work,
	const struct stretch *stretch, struct ms_emit *emit)
{
	const struct layout *layout = scan->layout;
	size_t slots = slot_count(layout, stretch->base, stretch->extent);
	const uint8_t *bytes = stretch->bytes + slot_first(layout, stretch->base);

	if (!slots)
		return 0;
	if (scan->condition->op == CONDITION_ANY)
		return keep(scan, work, stretch, NULL, emit);
	if (!may_match(scan, bytes, slots))
		return 0;
	layout->type->compare(scan->condition, bytes, NULL, slots, layout->align, work->mask);
	return keep(scan, work, stretch, work->mask, emit);
}

static int first_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	const struct value_scan *scan = scan_of(engine);
	uint64_t at = span->address, end = span->address + span->fresh;
	uint64_t readable = span->address + span->size;
	int r = 0;

	while (at < end && r == 0) {
		uint64_t next = min_u64(align_down(at, CELL_PAGE) + CELL_PAGE, end);
		struct stretch stretch = {
			.base = at,
			.extent =
				(size_t)min_u64(next - at + scan->layout->size - 1, readable - at),
			.bytes = span->data + (at - span->address),
		};

		r = first_stretch(scan, scratch, &stretch, emit);
		at = next;
	}
	return r < 0 ? r : packet_emit(scan, scratch, emit);
}

const struct ms_engine_ops value_first_engine = {
	.name = "value-first",
	.summary = "compares all values with a condition",
	.scratch_size = sizeof(struct work),
	.overlap = value_overlap,
	.span = first_span,
};

/* ---- The next scan ---------------------------------------------------------------------- */

/* The part of a cell that a span shows. */
struct part {
	const struct cell_view *view;
	struct stretch stretch;
	size_t skip;  /* values of the cell in front of it */
	size_t slots; /* values in it */
	size_t first; /* offset of its first value */
};

static bool part_find(const struct value_scan *scan, const struct ms_span *span,
	const struct cell_view *view, struct part *ret_part)
{
	const struct layout *layout = scan->layout;
	uint64_t low = max_u64(view->head.base, span->address);
	uint64_t high = min_u64(cell_end(layout, &view->head), span->address + span->fresh);
	uint64_t first = view->head.base + view->first;

	if (span->size < layout->size)
		return false;
	high = min_u64(high, span->address + span->size - layout->size + 1);
	if (low >= high)
		return false;
	*ret_part = (struct part){
		.view = view,
		.stretch = {low, (size_t)(high - low) + layout->size - 1,
			span->data + (low - span->address)},
		.skip = low <= first ? 0 : (size_t)((low - first - 1) / layout->align + 1),
		.first = slot_first(layout, low),
	};
	ret_part->slots = slot_count(layout, low, ret_part->stretch.extent);
	return ret_part->slots > 0;
}

/* Gathers the listed values that lie in the part, old and new, side by side. */
static size_t list_gather(const struct layout *layout, struct work *work, const struct part *part)
{
	const uint8_t *now = part->stretch.bytes + part->first;
	size_t count = 0;

	for (size_t i = 0; i < part->view->head.count; i++) {
		size_t number = cell_listed(part->view, i) - part->skip;

		/* Numbers below skip have wrapped round. */
		if (number >= part->slots)
			continue;
		memcpy(work->now_values + count * layout->size, now + number * layout->align,
			layout->size);
		memcpy(work->old_values + count * layout->size,
			part->view->bytes ? part->view->bytes + i * layout->size : zeros,
			layout->size);
		work->numbers[count++] = (uint16_t)number;
	}
	return count;
}

/* Moves what the mask has to the front of numbers and now_values. */
static size_t list_compact(const struct layout *layout, struct work *work, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (!work->mask[i])
			continue;
		work->numbers[kept] = work->numbers[i];
		memmove(work->now_values + kept * layout->size, work->now_values + i * layout->size,
			layout->size);
		kept++;
	}
	return kept;
}

static int keep_list(const struct value_scan *scan, struct work *work, const struct part *part,
	size_t count, struct ms_emit *emit)
{
	const struct stretch *stretch = &part->stretch;
	uint8_t *room;
	int r;

	if (!cell_list_fits(scan->layout, part->slots, stretch->extent, count)) {
		memset(work->mask, 0, part->slots);
		for (size_t i = 0; i < count; i++)
			work->mask[work->numbers[i]] = 1;
		return keep(scan, work, stretch, work->mask, emit);
	}
	r = cell_room(scan, work, emit, &room);
	if (r < 0)
		return r;
	packet_took(&work->out, scan->layout,
		cell_put_list(scan->layout, stretch->base, stretch->extent, work->numbers,
			work->now_values, count, room));
	return 0;
}

static int next_list(const struct value_scan *scan, struct work *work, const struct part *part,
	size_t *seen, struct ms_emit *emit)
{
	const struct layout *layout = scan->layout;
	size_t count = list_gather(layout, work, part);

	*seen += count;
	layout->type->compare(scan->condition, work->now_values, work->old_values, count,
		layout->size, work->mask);
	count = list_compact(layout, work, count);
	return count ? keep_list(scan, work, part, count, emit) : 0;
}

static int next_page(const struct value_scan *scan, struct work *work, const struct part *part,
	size_t *seen, struct ms_emit *emit)
{
	const struct layout *layout = scan->layout;
	const struct cell_view *view = part->view;
	const uint8_t *now = part->stretch.bytes + part->first, *old = zeros;
	const uint8_t *before = work->before + part->skip;

	if (view->bytes)
		old = view->bytes + view->first + part->skip * layout->align;
	cell_mask(view, work->before);
	for (size_t i = 0; i < part->slots; i++)
		*seen += before[i];
	if (!may_match(scan, now, part->slots))
		return 0;
	layout->type->compare(scan->condition, now, old, part->slots, layout->align, work->mask);
	for (size_t i = 0; i < part->slots; i++)
		work->mask[i] &= before[i];
	return keep(scan, work, &part->stretch, work->mask, emit);
}

static int next_cell(const struct value_scan *scan, struct work *work, const struct part *part,
	size_t *seen, struct ms_emit *emit)
{
	const struct cell_view *view = part->view;
	/* A list of zeros may be long where it would not be with its values. */
	bool gather = view->list && cell_list_fits(scan->layout, view->slots, view->head.extent,
					    view->head.count);

	return gather ? next_list(scan, work, part, seen, emit)
		      : next_page(scan, work, part, seen, emit);
}

static int next_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	struct value_scan *scan = engine->priv;
	struct work *work = scratch;
	struct cell_view view;
	struct part part;
	size_t seen = 0;
	int r;

	if (!work->at_cursor)
		cursor_init(&work->cursor, scan->old, scan->layout);
	work->at_cursor = true;
	r = cursor_seek(&work->cursor, span->address);
	while (r == 0 && (r = cursor_peek(&work->cursor, &view)) > 0) {
		r = 0;
		if (view.head.base >= span->address + span->fresh)
			break;
		if (part_find(scan, span, &view, &part))
			r = next_cell(scan, work, &part, &seen, emit);
		cursor_pass(&work->cursor, &view);
	}
	atomic_fetch_add(&scan->seen, seen);
	return r < 0 ? r : packet_emit(scan, work, emit);
}

const struct ms_engine_ops value_next_engine = {
	.name = "value-next",
	.summary = "compares values found before with what they are now",
	.scratch_size = sizeof(struct work),
	.overlap = value_overlap,
	.span = next_span,
};
