/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory as libyara walks through it: twice, and not the same way.
 *
 * At first it looks for matches. It is shown what was marked, in blocks of BLOCK_SIZE that
 * overlap by more than any attempt to match can look at, so that each attempt is made at least
 * once with all it needs; libyara keeps a match found twice once. Blocks are read right before
 * they are shown. Where that fails by now, the block is cut there and the gap goes to the account.
 *
 * Then it evaluates conditions, which may ask for bytes anywhere, marked or not. Now the blocks are
 * all of the data in pieces of PIECE_SIZE that overlap by the largest number there is to read;
 * they are only read when libyara fetches them. A module that is being imported wants to see a
 * program from its first byte on, as large as can be had, and nothing else.
 */
#include "engine/yara.h"

#include "base/err.h"
#include "base/os.h"

enum {
	BLOCK_SIZE = 256 * 1024,
	PIECE_SIZE = 256 * 1024,
	PIECE_OVERLAP = 16,
	PROGRAM_SIZE = 4 * 1024 * 1024, /* of a block for modules */
	MATCHES_MAX = 640000,		/* of all evaluations; about 80 bytes each, at most 136 */
	MATCHES_MIN = 16384,		/* of one, whatever the others have */
	NEAR = 8 * 1024, /* bytes that are read along rather than asking the system once more */
};

/* ---- Looking for matches ---- */

enum ms_state yara_blocks_stopped(const struct yara_blocks *b)
{
	return os_clock_ns() >= b->deadline_ns ? MS_STATE_DEADLINE : b->view->stopped(b->view);
}

/* Everything from here on is left out. */
static void marks_give_up(struct yara_blocks *b, enum ms_state why)
{
	const struct ms_view *view = b->view;

	for (; b->mark < view->mark_count; b->mark++, b->at = 0) {
		const struct ms_range *mark = &view->marks[b->mark];
		uint64_t at = max_u64(b->at, mark->base);

		if (at < mark->base + mark->size)
			b->view->missed(b->view, at, mark->base + mark->size - at, why);
	}
	b->late = why;
}

/* The parts of a stretch that were marked, as blocks to be shown. */
static int pieces_cut(struct yara_blocks *b, uint64_t base, uint64_t end)
{
	for (size_t i = b->mark; i < b->mark_end; i++) {
		const struct ms_range *mark = &b->view->marks[i];
		uint64_t first = max_u64(base, max_u64(mark->base, b->read_base));
		uint64_t last = min_u64(end, mark->base + mark->size);
		struct yara_piece piece = {.base = first};

		if (first >= last)
			continue;
		piece.offset = (size_t)(first - b->read_base);
		piece.size = (size_t)(last - first);
		piece.left = b->at > b->read_base && first == b->read_base;
		piece.right = last == b->read_end && last < mark->base + mark->size;
		if (!vec_push(&b->pieces, piece))
			return err_nomem();
	}
	return 0;
}

/* The parts of a gap that were marked; what an earlier block overlaps with was told already. */
static void gaps_tell(struct yara_blocks *b, uint64_t base, uint64_t end, enum ms_state state)
{
	base = max_u64(base, b->at);
	for (size_t i = b->mark; i < b->mark_end; i++) {
		const struct ms_range *mark = &b->view->marks[i];
		uint64_t first = max_u64(base, mark->base);
		uint64_t last = min_u64(end, mark->base + mark->size);

		if (first < last)
			b->view->missed(b->view, first, last - first, state);
	}
}

static int stretch_read(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct yara_blocks *b = ctx;

	if (state == MS_STATE_DATA)
		return pieces_cut(b, base, base + size);
	gaps_tell(b, base, base + size, state);
	return 0;
}

/* How many marks from the current one on are near enough to be read in one go. */
static void marks_gather(struct yara_blocks *b)
{
	const struct ms_view *view = b->view;
	const struct ms_range *mark = &view->marks[b->mark];

	while (b->data + 1 < view->data_count &&
		view->data[b->data].base + view->data[b->data].size <= mark->base)
		b->data++;
	b->mark_end = b->mark + 1;
	while (b->mark_end < view->mark_count) {
		const struct ms_range *next = &view->marks[b->mark_end];

		if (next->base + next->size > b->read_base + b->buffer_size ||
			next->base - (mark->base + mark->size) > NEAR ||
			next->base >= view->data[b->data].base + view->data[b->data].size)
			break;
		mark = next;
		b->mark_end++;
	}
	b->read_end = min_u64(mark->base + mark->size, b->read_base + b->buffer_size);
}

/* Reads the next part of the marked memory; pieces has what there is of it. */
static int part_read(struct yara_blocks *b)
{
	const struct ms_range *last;
	int r;

	b->read_base = b->at ? b->at - b->overlap : b->view->marks[b->mark].base;
	b->at = max_u64(b->at, b->view->marks[b->mark].base);
	marks_gather(b);
	b->pieces.count = b->piece = 0;
	r = b->view->read(b->view, b->read_base, b->buffer, (size_t)(b->read_end - b->read_base),
		stretch_read, b);
	if (r < 0)
		return r;
	last = &b->view->marks[b->mark_end - 1];
	b->mark = b->read_end == last->base + last->size ? b->mark_end : b->mark;
	b->at = b->read_end == last->base + last->size ? 0 : b->read_end;
	return 0;
}

static uint64_t matches_account(struct yara_blocks *b, uint64_t count)
{
	uint64_t before = atomic_exchange(&b->matches, count);

	/* It is const to all but this and the counters of atoms. */
	atomic_fetch_add(&((struct yara *)b->yara)->matches, count - before);
	return before;
}

void yara_blocks_count(struct yara_blocks *b)
{
	uint64_t count = yara_matches_count(b->scanner);
	const YR_STRING *limited;

	if (matches_account(b, count) >= count || count <= MATCHES_MIN ||
		b->yara->matches <= MATCHES_MAX)
		return;
	limited = yara_matches_limit(b->scanner);
	if (limited) {
		b->limited_count = b->scanner->matches[limited->idx].count;
		b->limited = limited;
	}
}

/* Looks after the block that libyara is done with. */
static void block_finish(struct yara_blocks *b)
{
	const struct yara_piece *piece = &b->pieces.data[b->piece];

	if (!b->shown)
		return;
	b->shown = false;
	b->piece++;
	if (piece->left || piece->right)
		yara_cuts_trim(b->scanner, piece, b->yara->atoms.span_max);
	b->shown_bytes += piece->size;
	if (b->shown_bytes < BLOCK_SIZE)
		return;
	b->shown_bytes = 0;
	yara_blocks_count(b);
}

static YR_MEMORY_BLOCK *matching_end(struct yara_blocks *b)
{
	b->matching = false;
	if (b->status == 0)
		b->status =
			yara_chains_join(b->set, b->scanner, b->view->data, b->view->data_count);
	if (b->status < 0)
		b->iterator.last_error = ERROR_CALLBACK_ERROR;
	return NULL;
}

static YR_MEMORY_BLOCK *matching_next(struct yara_blocks *b)
{
	const struct yara_piece *piece;
	enum ms_state why = yara_blocks_stopped(b);

	block_finish(b);
	if (why)
		marks_give_up(b, why);
	while (b->status == 0 && b->piece == b->pieces.count && b->mark < b->view->mark_count)
		b->status = part_read(b);
	if (b->status < 0 || b->piece == b->pieces.count)
		return matching_end(b);
	piece = &b->pieces.data[b->piece];
	b->block.base = piece->base;
	b->block.size = piece->size;
	b->shown = true;
	return &b->block;
}

/* ---- Evaluating conditions ---- */

static YR_MEMORY_BLOCK *condition_next(struct yara_blocks *b)
{
	const struct ms_view *view = b->view;
	const struct ms_range *data;
	uint64_t end;

	while (b->range < view->data_count &&
		b->next >= view->data[b->range].base + view->data[b->range].size) {
		b->range++;
		b->next = b->range < view->data_count ? view->data[b->range].base : 0;
	}
	if (b->range == view->data_count)
		return NULL;
	data = &view->data[b->range];
	end = data->base + data->size;
	b->block.base = b->next;
	b->block.size = (size_t)min_u64(
		end - b->next, b->importing ? PROGRAM_SIZE : PIECE_SIZE + PIECE_OVERLAP);
	b->next = b->importing || b->block.base + b->block.size == end ? end : b->next + PIECE_SIZE;
	return &b->block;
}

/* Takes what lies at the beginning of the piece. */
static int fetch_piece(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct yara_blocks *b = ctx;

	if (state == MS_STATE_DATA && base == b->fetched_base + b->fetched_size)
		b->fetched_size += size;
	return 0;
}

static bool fetched_room(struct yara_blocks *b, size_t size)
{
	uint8_t *grown;

	if (b->fetched && b->fetched_room >= size)
		return true;
	grown = realloc(b->fetched, size);
	if (!grown)
		return false;
	b->fetched = grown;
	b->fetched_room = size;
	return true;
}

static const uint8_t *condition_fetch(struct yara_blocks *b, const YR_MEMORY_BLOCK *block)
{
	if (b->fetched_size && b->fetched_base == block->base && b->fetched_size == block->size)
		return b->fetched;
	b->fetched_size = 0;
	b->fetched_base = block->base;
	if (!block->size || !fetched_room(b, block->size) ||
		b->view->read(b->view, block->base, b->fetched, block->size, fetch_piece, b) < 0)
		return NULL;
	/* Part of it has gone: what is asked for may be in the rest, so that is all there is. */
	return b->fetched_size == block->size ? b->fetched : NULL;
}

void yara_blocks_import(struct yara_blocks *b, bool begins)
{
	b->importing = begins;
	if (begins || !b->fetched_size)
		return;
	/* The module may keep pointers to the last block that it looked at. */
	if (!vec_push(&b->kept, b->fetched))
		b->status = MS_ERR_MEMORY;
	else
		b->fetched = NULL;
	b->fetched_size = 0;
}

/* ---- What libyara calls ---- */

static struct yara_blocks *blocks_of(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	return iterator->context;
}

static YR_MEMORY_BLOCK *block_next(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	struct yara_blocks *b = blocks_of(iterator);

	iterator->last_error = ERROR_SUCCESS;
	return b->matching ? matching_next(b) : condition_next(b);
}

static YR_MEMORY_BLOCK *block_first(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	struct yara_blocks *b = blocks_of(iterator);

	b->range = 0;
	b->next = b->view->data_count ? b->view->data[0].base : 0;
	return block_next(iterator);
}

static const uint8_t *block_fetch(YR_MEMORY_BLOCK *block)
{
	struct yara_blocks *b = block->context;

	if (b->matching)
		return b->buffer + b->pieces.data[b->piece].offset;
	return condition_fetch(b, block);
}

int yara_blocks_init(struct yara_blocks *b, const struct yara *yara, const struct yara_set *set,
	struct ms_view *view, YR_SCANNER *scanner, uint64_t deadline_ns)
{
	*b = (struct yara_blocks){
		.yara = yara,
		.set = set,
		.view = view,
		.scanner = scanner,
		.deadline_ns = deadline_ns,
		.matching = true,
		.overlap = 2 * yara->atoms.span_max,
	};
	b->buffer_size = max_u64(BLOCK_SIZE, 4 * b->overlap);
	b->buffer = malloc(b->buffer_size);
	if (!b->buffer)
		return err_nomem();
	b->block = (YR_MEMORY_BLOCK){.context = b, .fetch_data = block_fetch};
	b->iterator =
		(YR_MEMORY_BLOCK_ITERATOR){.context = b, .first = block_first, .next = block_next};
	return 0;
}

void yara_blocks_done(struct yara_blocks *b)
{
	matches_account(b, 0);
	for (size_t i = 0; i < b->kept.count; i++)
		free(b->kept.data[i]);
	free(b->kept.data);
	free(b->pieces.data);
	free(b->buffer);
	free(b->fetched);
}
