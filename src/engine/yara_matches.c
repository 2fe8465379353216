/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libyara 4.2 makes of blocks, put right in its lists of matches (YR_SCAN_CONTEXT.matches,
 * by ascending address) between two blocks and before it evaluates conditions.
 *
 * Edges. A block ends where our buffer does, and libyara takes that for the end of all memory: ^,
 * $, \b, \B and fullword find something there that is not so, and a greedy expression ends too
 * early. Two blocks side by side overlap by twice what an attempt to match can look at, and each
 * start belongs to the one that has all around it: matches that start in the half of the overlap
 * at a block's edge are taken out, unless the other block found them, too (then the list names
 * that one as their base). At the edges of a window nothing real can match, as all that atoms ask
 * for lies within; but the memory may have changed, so what touches such an edge is taken out.
 *
 * Chains. A string with a long jump is cut into parts whose matches libyara joins when their
 * distance is right. It compares places within their blocks, though (scan.c,
 * _yr_scan_verify_chained_string_match), so parts in two blocks join by chance, parts that belong
 * together do not, and the copy of the bytes is made from outside of the block. So the parts are
 * made strings of their own, before the first scan, and joined here by address, within memory
 * that lies side by side. As in libyara, each match of the head counts, with its shortest end.
 */
#include "engine/yara.h"

#include "base/err.h"

enum { LIMIT_FIRST = 65536 };

static uint64_t match_start(const yara_match *match)
{
	return (uint64_t)match->base + (uint64_t)match->offset;
}

static uint64_t match_end(const yara_match *match)
{
	return match_start(match) + (uint64_t)match->match_length;
}

static void match_remove(YR_MATCHES *list, yara_match *match)
{
	yara_match *before = match->prev, *behind = match->next;

	if (before)
		before->next = behind;
	else
		list->head = behind;
	if (behind)
		behind->prev = before;
	else
		list->tail = before;
	list->count--;
}

/* ---- Edges ---- */

static void list_trim(YR_MATCHES *list, const struct yara_piece *piece, size_t span)
{
	uint64_t end = piece->base + piece->size;
	yara_match *before;

	for (yara_match *match = list->tail; match && match_start(match) >= piece->base;
		match = before) {
		uint64_t start = match_start(match);

		before = match->prev;
		if ((uint64_t)match->base == piece->base &&
			((piece->left && start < piece->base + span) ||
				(piece->right && start + span >= end)))
			match_remove(list, match);
	}
}

void yara_cuts_trim(YR_SCANNER *scanner, const struct yara_piece *piece, size_t span)
{
	for (uint32_t i = 0; i < scanner->rules->num_strings; i++)
		if (scanner->matches[i].tail)
			list_trim(&scanner->matches[i], piece, span);
}

/* The range that holds address, or the one behind it, or none: the count. */
static size_t range_find(const struct ms_range *list, size_t count, uint64_t address)
{
	size_t i;

	bisect(i, count, list[i].base + list[i].size > address);
	return i;
}

static bool touches_window(const yara_match *match, const struct ms_view *view)
{
	uint64_t start = match_start(match), end = match_end(match);
	size_t m = range_find(view->marks, view->mark_count, start);
	size_t d = range_find(view->data, view->data_count, start);
	const struct ms_range *mark, *data;

	if (m == view->mark_count || d == view->data_count)
		return false;
	mark = &view->marks[m];
	data = &view->data[d];
	return (mark->base != data->base && start < mark->base + 2) ||
	       (mark->base + mark->size != data->base + data->size &&
		       end + 1 >= mark->base + mark->size);
}

void yara_windows_trim(YR_SCANNER *scanner, const struct ms_view *view)
{
	for (uint32_t i = 0; i < scanner->rules->num_strings; i++)
		for (yara_match *match = scanner->matches[i].head, *next; match; match = next) {
			next = match->next;
			if (touches_window(match, view))
				match_remove(&scanner->matches[i], match);
		}
}

/* libyara may be adding to it. */
static int32_t list_count(const YR_SCANNER *scanner, uint32_t string)
{
	return __atomic_load_n(&scanner->matches[string].count, __ATOMIC_RELAXED);
}

uint64_t yara_matches_count(const YR_SCANNER *scanner)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < scanner->rules->num_strings; i++)
		count += (uint64_t)list_count(scanner, i);
	return count;
}

const YR_STRING *yara_matches_limit(YR_SCANNER *scanner)
{
	const YR_STRING *limited = NULL;

	for (int32_t limit = LIMIT_FIRST; !limited && limit; limit /= 2)
		for (uint32_t i = 0; i < scanner->rules->num_strings; i++)
			if (list_count(scanner, i) >= limit) {
				/* Two threads may do the same. */
				__atomic_fetch_or(
					&scanner->strings_temp_disabled[i / YR_BITMASK_SLOT_BITS],
					1ul << i % YR_BITMASK_SLOT_BITS, __ATOMIC_RELAXED);
				limited = &scanner->rules->strings_table[i];
			}
	return limited;
}

/* ---- Chains ---- */

static bool chain_add(struct yara_set *set, YR_STRING *tail)
{
	struct yara_chain chain = {set->links.count, 0};
	struct yara_link *links;

	for (YR_STRING *part = tail; part && chain.count <= set->rules->num_strings;
		part = part->chained_to, chain.count++) {
		struct yara_link link = {part->idx, part->chain_gap_min, part->chain_gap_max};

		if (!vec_push(&set->links, link))
			return false;
	}
	/* They were found from the tail on. */
	links = &set->links.data[chain.first];
	for (size_t i = 0; i < chain.count / 2; i++) {
		struct yara_link link = links[i];

		links[i] = links[chain.count - 1 - i];
		links[chain.count - 1 - i] = link;
	}
	return vec_push(&set->chains, chain);
}

int yara_chains_take(struct yara_set *set)
{
	YR_RULES *rules = set->rules;

	for (uint32_t i = 0; i < rules->num_strings; i++)
		if (STRING_IS_CHAIN_TAIL(&rules->strings_table[i]) &&
			!chain_add(set, &rules->strings_table[i]))
			return err_nomem();
	for (uint32_t i = 0; i < rules->num_strings; i++)
		rules->strings_table[i].flags &=
			~(uint32_t)(STRING_FLAGS_CHAIN_PART | STRING_FLAGS_CHAIN_TAIL);
	return 0;
}

/* The matches of a part, and where the chain ends for each: the last byte's successor, or 0. */
struct part {
	yara_match **list;
	uint64_t *ends;
	size_t count;
};

static void part_done(struct part *part)
{
	free(part->list);
	free(part->ends);
}

static int part_init(struct part *part, const YR_MATCHES *matches)
{
	*part = (struct part){0};
	part->list = calloc((size_t)matches->count + 1, sizeof(*part->list));
	part->ends = calloc((size_t)matches->count + 1, sizeof(*part->ends));
	if (!part->list || !part->ends)
		return err_nomem();
	for (yara_match *match = matches->head; match; match = match->next)
		part->list[part->count++] = match;
	return 0;
}

/* The first match of the part that starts at `address` or behind it. */
static size_t part_from(const struct part *part, uint64_t address)
{
	size_t i;

	bisect(i, part->count, match_start(part->list[i]) >= address);
	return i;
}

/* The end of the data that holds address. */
static uint64_t data_end(const struct ms_range *data, size_t count, uint64_t address)
{
	size_t found = range_find(data, count, address);

	return found < count ? data[found].base + data[found].size : address;
}

/*
 * For each match of a part, the nearest match of the next one from which the tail is reached. The
 * next part's list has its matches without such an end already taken out.
 */
static void part_join(struct part *part, const struct part *next, const struct yara_link *link,
	const struct ms_range *data, size_t data_count)
{
	size_t kept = 0;

	for (size_t i = 0; i < part->count; i++) {
		uint64_t end = match_end(part->list[i]);
		uint64_t limit = data_end(data, data_count, match_start(part->list[i]));
		size_t k = part_from(next, end + (uint64_t)link->gap_min);

		if (k == next->count || match_start(next->list[k]) >= limit ||
			match_start(next->list[k]) - end > (uint64_t)link->gap_max)
			continue;
		part->list[kept] = part->list[i];
		part->ends[kept++] = next->ends[k];
	}
	part->count = kept;
}

/* Makes the head's list that of the whole string's matches. */
static void head_fill(YR_MATCHES *matches, struct part *head)
{
	*matches = (YR_MATCHES){0};
	for (size_t i = 0; i < head->count; i++) {
		yara_match *match = head->list[i], *last = matches->tail;

		match->match_length = (int32_t)(head->ends[i] - match_start(match));
		match->prev = matches->tail;
		match->next = NULL;
		if (last)
			last->next = match;
		else
			matches->head = match;
		matches->tail = match;
		matches->count++;
	}
}

static int chain_join(const struct yara_set *set, const struct yara_chain *chain,
	YR_SCANNER *scanner, const struct ms_range *data, size_t data_count)
{
	const struct yara_link *links = &set->links.data[chain->first];
	struct part next = {0}, part;
	int r = 0;

	for (size_t i = chain->count; i-- > 0 && r == 0;) {
		YR_MATCHES *matches = &scanner->matches[links[i].string];

		r = part_init(&part, matches);
		if (r == 0 && i + 1 < chain->count)
			part_join(&part, &next, &links[i + 1], data, data_count);
		for (size_t k = 0; r == 0 && i + 1 == chain->count && k < part.count; k++)
			part.ends[k] = match_end(part.list[k]);
		part_done(&next);
		next = part;
		*matches = (YR_MATCHES){0};
	}
	if (r == 0)
		head_fill(&scanner->matches[links[0].string], &next);
	part_done(&next);
	return r;
}

int yara_chains_join(const struct yara_set *set, YR_SCANNER *scanner, const struct ms_range *data,
	size_t data_count)
{
	int r = 0;

	for (size_t i = 0; i < set->chains.count && r == 0; i++)
		r = chain_join(set, &set->chains.data[i], scanner, data, data_count);
	return r;
}
