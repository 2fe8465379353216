/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Searching with a compiled set. The data is taken in blocks of starts; in each block the filter
 * of every part sets its bits, then the bits of all parts are walked together, and at each start
 * the chains of the parts are merged by index. Nothing is kept from one block to the next, and
 * nothing is allocated, however many hits there are.
 *
 * Cost: a pass of each filter, and for each bit that it sets the length of one chain. A chain is
 * long only when many literals share a window (equal literals, or a common beginning of more
 * than FIND_AT_MAX bytes), or when many have no whole byte in their first FIND_AT_MAX. Each
 * comparison stops at the first eight bytes that differ, so the worst case is data that nearly
 * matches everywhere: the size of the literal for each byte of data.
 */
#include "find/part.h"

#include "base/err.h"

#include <assert.h>

enum { BLOCK_WORDS = 64, BLOCK = 64 * BLOCK_WORDS };

/* ---- Compiling ------------------------------------------------------------------------- */

const struct find_kernel *find_kernel_choose(void)
{
	const char *wanted = getenv("MEMSIFT_FIND");
	const struct find_kernel *best = NULL;

	for (size_t i = 0; find_kernels[i]; i++) {
		const struct find_kernel *kernel = find_kernels[i];

		if (!kernel->usable())
			continue;
		if (wanted && strcmp(kernel->name, wanted) == 0)
			return kernel;
		best = best ? best : kernel;
	}
	return best;
}

const char *find_kernel(void)
{
	return find_kernel_choose()->name;
}

static int literal_check(const struct find_literal *literal)
{
	unsigned fixed = 0;

	if (literal->size < 1 || literal->size > FIND_LITERAL_MAX)
		return err_set(MS_ERR_ARGUMENT, "a pattern of %zu bytes; it must have 1 to %d",
			literal->size, FIND_LITERAL_MAX);
	for (size_t i = 0; i < literal->size; i++) {
		assert(!(literal->value[i] & ~literal->mask[i]));
		fixed |= literal->mask[i];
	}
	if (!fixed)
		return err_set(MS_ERR_ARGUMENT, "a pattern of nothing but wildcards");
	return 0;
}

static int literals_check(const struct find_literal *literals, size_t count, size_t *ret_bytes)
{
	size_t bytes = 0, size;

	if (count > FIND_COUNT_MAX)
		return err_set(MS_ERR_ARGUMENT, "%zu patterns; at most %d can be searched at once",
			count, FIND_COUNT_MAX);
	for (size_t i = 0; i < count; i++) {
		int r = literal_check(&literals[i]);

		if (r < 0)
			return r;
		if (!mul_size(literals[i].size, 2, &size) || bytes > SIZE_MAX - size)
			return err_nomem();
		bytes += size;
	}
	*ret_bytes = bytes;
	return 0;
}

static void literals_copy(struct find *find, const struct find_literal *literals)
{
	size_t offset = 0;

	find->size_min = SIZE_MAX;
	for (size_t i = 0; i < find->count; i++) {
		size_t size = literals[i].size;

		memcpy(find->bytes + offset, literals[i].value, size);
		memcpy(find->bytes + offset + size, literals[i].mask, size);
		find->literals[i] = (struct literal){offset, size};
		find->size_min = (size_t)min_u64(find->size_min, size);
		offset += 2 * size;
	}
}

static void cleanup_find(struct find **find)
{
	find_free(*find);
}

int find_new(const struct find_literal *literals, size_t count, struct find **ret_find)
{
	CLEANUP(cleanup_find) struct find *find = NULL;
	size_t bytes = 0;
	int r = literals_check(literals, count, &bytes);

	if (r < 0)
		return r;
	find = calloc(1, sizeof(*find));
	if (!find)
		return err_nomem();
	find->kernel = find_kernel_choose();
	find->count = count;
	find->literals = calloc(count + 1, sizeof(*find->literals));
	find->bytes = malloc(bytes + 1);
	if (!find->literals || !find->bytes)
		return err_nomem();
	literals_copy(find, literals);
	r = partition(find);
	if (r < 0)
		return r;
	*ret_find = take_pointer(&find);
	return 0;
}

void find_free(struct find *find)
{
	if (!find)
		return;
	for (size_t i = 0; i < find->part_count; i++)
		part_done(&find->parts[i]);
	free(find->literals);
	free(find->bytes);
	free(find);
}

/* ---- Searching ------------------------------------------------------------------------- */

struct search {
	const struct find *find;
	const uint8_t *data;
	size_t size;
	int (*found)(void *ctx, size_t offset, size_t index);
	void *ctx;
};

/* Parts with candidates in a block, and their bits. */
struct block {
	const struct part *parts[FIND_PARTS_MAX];
	uint64_t bits[FIND_PARTS_MAX][BLOCK_WORDS];
	size_t part_count;
};

/* The rest of a chain at a start; `next` is a literal that matches there, `at` lies behind it. */
struct cursor {
	const struct entry *at, *end;
	uint32_t key, next;
};

/* Compares eight bytes at a time; the last eight may overlap those before. */
static bool bytes_match(const uint8_t *value, const uint8_t *mask, const uint8_t *data, size_t size)
{
	if (size < 8) {
		for (size_t i = 0; i < size; i++)
			if ((data[i] ^ value[i]) & mask[i])
				return false;
		return true;
	}
	for (size_t i = 0;;) {
		uint64_t differ = load_u64(data + i, false) ^ load_u64(value + i, false);

		if (differ & load_u64(mask + i, false))
			return false;
		if (i == size - 8)
			return true;
		i = i + 8 < size - 8 ? i + 8 : size - 8;
	}
}

/* Moves on to the next literal of the chain that matches; false at the end. */
static bool cursor_next(const struct search *search, size_t start, struct cursor *cursor)
{
	while (cursor->at < cursor->end) {
		const struct entry *entry = cursor->at++;
		const struct literal *literal = &search->find->literals[entry->literal];
		const uint8_t *value = search->find->bytes + literal->offset;

		if (entry->key != cursor->key || literal->size > search->size - start ||
			!bytes_match(
				value, value + literal->size, search->data + start, literal->size))
			continue;
		cursor->next = entry->literal;
		return true;
	}
	return false;
}

/* Looks up a part's chain for a start; false if none of its literals matches. */
static bool cursor_init(
	const struct search *search, const struct part *part, size_t start, struct cursor *cursor)
{
	size_t phase = part->stride - 1 - start % part->stride;
	size_t chain;

	cursor->key =
		window_load(search->data, search->size, start + part->at + phase) & part->mask;
	chain = chain_number(part, cursor->key, phase);
	cursor->at = part->entries + part->first[chain];
	cursor->end = part->entries + part->first[chain + 1];
	return cursor_next(search, start, cursor);
}

/* Reports every literal that matches at a start, given the parts whose bit is set there. */
static int start_report(const struct search *search, const struct block *block, size_t word,
	unsigned bit, size_t start)
{
	struct cursor cursors[FIND_PARTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < block->part_count; i++)
		if (block->bits[i][word] >> bit & 1)
			count += cursor_init(search, block->parts[i], start, &cursors[count]);
	while (count) {
		size_t least = 0;
		int r;

		for (size_t i = 1; i < count; i++)
			if (cursors[i].next < cursors[least].next)
				least = i;
		r = search->found(search->ctx, start, cursors[least].next);
		if (r)
			return r;
		if (!cursor_next(search, start, &cursors[least]))
			cursors[least] = cursors[--count];
	}
	return 0;
}

/* Walks the bits of all parts; `starts` is how many offsets of the block count. */
static int block_report(
	const struct search *search, const struct block *block, size_t base, size_t starts)
{
	for (size_t w = 0; w * 64 < starts; w++) {
		uint64_t any = 0;

		for (size_t i = 0; i < block->part_count; i++)
			any |= block->bits[i][w];
		if (starts - w * 64 < 64)
			any &= (UINT64_C(1) << (starts - w * 64)) - 1;
		for (; any; any &= any - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(any);
			int r = start_report(search, block, w, bit, base + w * 64 + bit);

			if (r)
				return r;
		}
	}
	return 0;
}

/*
 * Runs a part's filter over `words` times 64 starts. Where that would read behind the end of the
 * data, the filter gets a copy of the rest that is long enough.
 */
static uint64_t part_bits(const struct search *search, const struct part *part, size_t base,
	size_t words, uint64_t *bits)
{
	uint8_t rest[128 + FIND_REACH] = {0};
	size_t size = base + part->at < search->size ? search->size - base - part->at : 0;
	size_t whole = size < FIND_REACH ? 0 : (size_t)min_u64(words, (size - FIND_REACH) / 64);
	const uint8_t *data = search->data + search->size - size;
	uint64_t any = part->filter(part, data, whole, bits);
	size_t more;

	if (whole == words)
		return any;
	/* Fewer than 64 + FIND_REACH bytes are left: starts in at most two words. */
	size -= whole * 64;
	more = (size_t)min_u64(words - whole, 2);
	memset(bits + whole, 0, (words - whole) * sizeof(*bits));
	memcpy(rest, data + whole * 64, size);
	return any | part->filter(part, rest, more, bits + whole);
}

static int block_search(const struct search *search, size_t base, size_t starts)
{
	const struct find *find = search->find;
	struct block block;

	block.part_count = 0;
	for (size_t i = 0; i < find->part_count; i++) {
		uint64_t *bits = block.bits[block.part_count];

		if (part_bits(search, &find->parts[i], base, (starts + 63) / 64, bits))
			block.parts[block.part_count++] = &find->parts[i];
	}
	return block.part_count ? block_report(search, &block, base, starts) : 0;
}

int find_all(const struct find *find, const uint8_t *data, size_t size, size_t starts,
	int (*found)(void *ctx, size_t offset, size_t index), void *ctx)
{
	const struct search search = {find, data, size, found, ctx};

	if (size < find->size_min)
		return 0;
	starts = (size_t)min_u64(starts, size - find->size_min + 1);
	for (size_t base = 0; base < starts; base += BLOCK) {
		int r = block_search(&search, base, (size_t)min_u64(BLOCK, starts - base));

		if (r)
			return r;
	}
	return 0;
}
