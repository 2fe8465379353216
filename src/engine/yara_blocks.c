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
	MATCH_BYTES_MAX = 64 * 1024 * 1024,
};

/* ---- Looking for matches ---- */

/* Everything from here on is left out. */
static void marks_give_up(struct yara_blocks *b)
{
	const struct ms_view *view = b->view;

	for (; b->mark < view->mark_count; b->mark++, b->at = 0) {
		const struct ms_range *mark = &view->marks[b->mark];
		uint64_t at = max_u64(b->at, mark->base);

		if (at < mark->base + mark->size)
			b->view->missed(
				b->view, at, mark->base + mark->size - at, MS_STATE_DEADLINE);
	}
	b->late = true;
}

static int piece_read(void *ctx, uint64_t base, size_t size, enum ms_state state)
{
	struct yara_blocks *b = ctx;
	struct yara_piece piece = {.base = base, .size = size};

	if (state != MS_STATE_DATA) {
		/* What an earlier block overlaps with was told already. */
		uint64_t first = max_u64(base, b->at);

		if (first < base + size)
			b->view->missed(b->view, first, base + size - first, state);
		return 0;
	}
	piece.offset = (size_t)(base - b->next);
	return vec_push(&b->pieces, piece) ? 0 : err_nomem();
}

/* Whether an address is where data begins, or ends. */
static bool data_edge(struct yara_blocks *b, uint64_t address, bool end)
{
	const struct ms_view *view = b->view;
	const struct ms_range *data;

	while (b->data + 1 < view->data_count &&
		view->data[b->data].base + view->data[b->data].size < address + !end)
		b->data++;
	data = &view->data[b->data];
	return address == (end ? data->base + data->size : data->base);
}

/* Reads the next part of the marked memory; 0 when there is none. */
static int part_read(struct yara_blocks *b)
{
	const struct ms_range *mark = &b->view->marks[b->mark];
	uint64_t begin, end = mark->base + mark->size;
	enum yara_edge left, right;
	int r;

	begin = b->at ? b->at - b->overlap : mark->base;
	b->at = max_u64(b->at, mark->base);
	left = b->at > begin		    ? YARA_EDGE_CUT
	       : data_edge(b, begin, false) ? YARA_EDGE_NONE
					    : YARA_EDGE_WINDOW;
	right = end - begin > b->buffer_size ? YARA_EDGE_CUT
		: data_edge(b, end, true)    ? YARA_EDGE_NONE
					     : YARA_EDGE_WINDOW;
	end = min_u64(end, begin + b->buffer_size);
	b->pieces.count = b->piece = 0;
	b->next = begin;
	r = b->view->read(b->view, begin, b->buffer, (size_t)(end - begin), piece_read, b);
	if (r < 0)
		return r;
	for (size_t i = 0; i < b->pieces.count; i++) {
		struct yara_piece *piece = &b->pieces.data[i];

		piece->left = piece->base == begin ? left : YARA_EDGE_NONE;
		piece->right = piece->base + piece->size == end ? right : YARA_EDGE_NONE;
	}
	b->at = end;
	if (end == mark->base + mark->size) {
		b->mark++;
		b->at = 0;
	}
	return 0;
}

/* Looks after the block that libyara is done with. */
static void block_finish(struct yara_blocks *b)
{
	if (!b->shown)
		return;
	b->shown = false;
	b->match_bytes +=
		yara_edges_trim(b->scanner, &b->pieces.data[b->piece++], b->yara->atoms.span_max);
	if (b->match_bytes > MATCH_BYTES_MAX) {
		b->limited = yara_matches_limit(b->scanner);
		if (b->limited)
			b->limited_count = b->scanner->matches[b->limited->idx].count;
		b->match_bytes = 0;
	}
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

	block_finish(b);
	if (b->view->stopped(b->view) || os_clock_ns() >= b->deadline_ns)
		marks_give_up(b);
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
	struct ms_view *view, YR_SCANNER *scanner)
{
	*b = (struct yara_blocks){
		.yara = yara,
		.set = set,
		.view = view,
		.scanner = scanner,
		.deadline_ns = UINT64_MAX,
		.matching = true,
		.overlap = 2 * yara->atoms.span_max,
	};
	b->buffer_size = max_u64(BLOCK_SIZE, 4 * b->overlap);
	b->buffer = malloc(b->buffer_size);
	if (!b->buffer)
		return err_nomem();
	if (yara->timeout_ns && !add_u64(os_clock_ns(), yara->timeout_ns, &b->deadline_ns))
		b->deadline_ns = UINT64_MAX;
	b->block = (YR_MEMORY_BLOCK){.context = b, .fetch_data = block_fetch};
	b->iterator =
		(YR_MEMORY_BLOCK_ITERATOR){.context = b, .first = block_first, .next = block_next};
	return 0;
}

void yara_blocks_done(struct yara_blocks *b)
{
	for (size_t i = 0; i < b->kept.count; i++)
		free(b->kept.data[i]);
	free(b->kept.data);
	free(b->pieces.data);
	free(b->buffer);
	free(b->fetched);
}
