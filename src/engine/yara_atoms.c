/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where libyara need not look.
 *
 * libyara searches for atoms, pieces of at most four bytes of each string, with one automaton,
 * and verifies a string only where the automaton finds one of its atoms. So memory without atoms
 * cannot match, and our kernels find atoms much faster than the automaton does. The atoms are
 * taken out of the compiled automaton itself: a path of edges from its root to a state with
 * matches spells one. (libyara 4.2: for state s and byte c the slot s + c + 1 of the transition
 * table holds the edge, if its low 9 bits are c + 1, and the next state above them.)
 *
 * How far around an atom libyara looks. An entry of a state's matches has a string and `backtrack`,
 * how far the place of verification lies in front of the atom's end. From that place on,
 *  - a literal is compared once: its length, twice that if it is wide. With `fullword` the
 *    character on either side counts, of two bytes in a wide string.
 *  - anything else (expressions, hex strings with jumps) is run forwards and backwards, each over
 *    at most YR_RE_SCAN_LIMIT bytes (re.c), whatever the expression says; \b looks at one more
 *    character, `fullword` likewise.
 * Strings with long jumps are cut by the compiler into parts that have atoms each; their distance
 * is judged by address afterwards (yara_matches.c), so it needs no window.
 *
 * With YARA_MARGIN bytes more on both sides, the window of an atom has everything that verifying
 * at this atom can look at, and neither edge is seen. Windows are joined where they meet. What
 * libyara is shown holds other atoms, too, but each of those has its own window, which then is
 * part of the same block. So each attempt sees the same bytes as in the whole memory, and those
 * that are not made could not have found an atom.
 *
 * An atom at the root, for a string without any, can be anywhere: then all memory is marked. So it
 * is where atoms are so short or so many that the windows would cover most of the memory anyway.
 */
#include "engine/yara.h"

#include "base/err.h"
#include "find/find.h"

#include <stdatomic.h>

enum {
	STATES_MAX = 1 << 24,
	ATOMS_MAX = 1 << 19,
	WINDOWS_JOIN = 512, /* bytes between two that libyara is shown sooner than two blocks */
	FOUND_MAX = 4096,   /* in one span; with more of them, the rest is marked as it is */
};

/* A state on the way from the root. */
struct step {
	uint32_t state;
	uint8_t depth, bytes[YARA_ATOM_MAX];
};

struct walk {
	struct yara *yara;
	const struct yara_set *set;
	const YR_RULES *rules;	      /* of the set */
	size_t table_size, pool_size; /* entries of transitions; bytes of matches */
	VEC(struct step) todo;
	VEC(struct step) atoms; /* of all sets; depth is the length */
	bool anywhere;		/* some string has no atom, or one too short to tell anything */
	double expected;	/* bytes to be marked for each byte of noise */
};

static void cleanup_walk(struct walk *walk)
{
	free(walk->todo.data);
	free(walk->atoms.data);
}

static uint32_t reach_max(uint32_t a, int64_t b)
{
	return b > (int64_t)a ? (uint32_t)b : a;
}

/* Widens reach by what verifying at this entry may look at; the atom has `depth` bytes. */
static void reach_add(struct yara_reach *reach, const YR_AC_MATCH *match, size_t depth)
{
	const YR_STRING *string = match->string;
	int64_t at = (int64_t)depth - match->backtrack;
	int64_t back = YARA_MARGIN, on = YR_RE_SCAN_LIMIT + YARA_MARGIN;

	if (STRING_IS_LITERAL(string))
		on = (int64_t)string->length * 2 + YARA_MARGIN;
	else
		back += YR_RE_SCAN_LIMIT;
	reach->before = reach_max(reach->before, back - at);
	reach->after = reach_max(reach->after, at + on);
}

static int owner_add(struct walk *walk, const YR_AC_MATCH *match)
{
	struct yara_atoms *atoms = &walk->yara->atoms;
	struct yara_owner owner = {
		(uint32_t)walk->atoms.count, &walk->set->shown[match->string->rule_idx]};

	for (size_t i = atoms->owners.count; i-- > 0 && atoms->owners.data[i].atom == owner.atom;)
		if (atoms->owners.data[i].rule == owner.rule)
			return 0;
	return vec_push(&atoms->owners, owner) ? 0 : err_nomem();
}

/* Whether a pointer leads to an entry of a table; compiled rules come from files. */
static bool in_table(const void *entry, const void *table, size_t size, size_t entry_size)
{
	uintptr_t at = (uintptr_t)entry - (uintptr_t)table;

	return entry && at < size && size - at >= entry_size && at % entry_size == 0;
}

static bool match_is_right(const struct walk *walk, const YR_AC_MATCH *match)
{
	const YR_RULES *rules = walk->rules;

	return in_table(match, rules->ac_match_pool, walk->pool_size, sizeof(*match)) &&
	       in_table(match->string, rules->strings_table,
		       (size_t)rules->num_strings * sizeof(YR_STRING), sizeof(YR_STRING)) &&
	       match->string->rule_idx < rules->num_rules;
}

static int atom_add(struct walk *walk, const struct step *step)
{
	struct yara_atoms *atoms = &walk->yara->atoms;
	struct yara_reach reach = {0, (uint32_t)step->depth};
	uint32_t index = walk->rules->ac_match_table[step->state];
	size_t seen = 0, seen_max = walk->pool_size / sizeof(YR_AC_MATCH);
	double rate = 1;

	for (const YR_AC_MATCH *match = &walk->rules->ac_match_pool[index - 1]; match;
		match = match->next) {
		if (!match_is_right(walk, match) || seen++ == seen_max)
			return err_set(MS_ERR_FORMAT, "the compiled rules are damaged");
		reach_add(&reach, match, step->depth);
		if (walk->yara->profile && owner_add(walk, match) < 0)
			return MS_ERR_MEMORY;
	}
	for (size_t i = 0; i < step->depth; i++)
		rate /= 256;
	walk->expected += rate * ((double)reach.before + reach.after);
	walk->anywhere |= step->depth < 2 || walk->atoms.count >= ATOMS_MAX;
	atoms->span_max = max_u64(atoms->span_max, (uint64_t)reach.before + reach.after);
	if (walk->anywhere)
		return 0;
	return vec_push(&walk->atoms, *step) && vec_push(&atoms->reaches, reach) ? 0 : err_nomem();
}

static int edges_follow(struct walk *walk, const struct step *from)
{
	for (unsigned c = 0; c < 256; c++) {
		struct step step = *from;
		uint64_t slot = (uint64_t)from->state + c + 1;
		YR_AC_TRANSITION t;

		if (slot >= walk->table_size)
			break;
		t = walk->rules->ac_transition_table[slot];
		if (YR_AC_INVALID_TRANSITION(t, c + 1) || YR_AC_NEXT_STATE(t) >= walk->table_size)
			continue;
		step.state = YR_AC_NEXT_STATE(t);
		step.bytes[step.depth++] = (uint8_t)c;
		if (!vec_push(&walk->todo, step))
			return err_nomem();
	}
	return 0;
}

/* Walks all edges of one set's automaton. */
static int automaton_walk(struct walk *walk)
{
	const YR_ARENA_BUFFER *parts = walk->rules->arena->buffers;
	size_t seen = 0;
	int r = 0;

	walk->pool_size = parts[YR_AC_STATE_MATCHES_POOL].used;
	walk->table_size = min_u64(parts[YR_AC_TRANSITION_TABLE].used / sizeof(YR_AC_TRANSITION),
		parts[YR_AC_STATE_MATCHES_TABLE].used / sizeof(uint32_t));
	walk->todo.count = 0;
	if (walk->table_size && !vec_push(&walk->todo, (struct step){0}))
		return err_nomem();
	while (r == 0 && walk->todo.count) {
		struct step step = walk->todo.data[--walk->todo.count];

		if (walk->rules->ac_match_table[step.state]) {
			walk->anywhere |= step.depth == 0;
			r = atom_add(walk, &step);
		}
		if (seen++ > STATES_MAX)
			return err_set(MS_ERR_FORMAT, "the compiled rules have too many states");
		if (r == 0 && step.depth < YARA_ATOM_MAX)
			r = edges_follow(walk, &step);
	}
	return r;
}

static int find_make(struct yara_atoms *atoms, const struct walk *walk)
{
	static const uint8_t mask[YARA_ATOM_MAX] = {0xff, 0xff, 0xff, 0xff};
	AUTO_FREE struct find_literal *literals = calloc(walk->atoms.count, sizeof(*literals));

	if (walk->yara->profile)
		atoms->found = calloc(walk->atoms.count, sizeof(*atoms->found));
	if (!literals || (walk->yara->profile && !atoms->found))
		return err_nomem();
	for (size_t i = 0; i < walk->atoms.count; i++)
		literals[i] = (struct find_literal){
			walk->atoms.data[i].bytes, mask, walk->atoms.data[i].depth};
	return find_new(literals, walk->atoms.count, &atoms->find);
}

int yara_atoms_make(struct yara *yara)
{
	CLEANUP(cleanup_walk) struct walk walk = {.yara = yara};
	int r = 0;

	for (size_t i = 0; i < yara->sets.count && r == 0; i++) {
		walk.set = &yara->sets.data[i];
		walk.rules = walk.set->rules;
		if (walk.rules->num_strings)
			r = automaton_walk(&walk);
	}
	if (r < 0 || walk.anywhere || walk.expected > 0.5)
		yara->no_prefilter = true;
	if (r < 0 || yara->no_prefilter || !walk.atoms.count)
		return r;
	return find_make(&yara->atoms, &walk);
}

void yara_atoms_done(struct yara_atoms *atoms)
{
	find_free(atoms->find);
	free(atoms->reaches.data);
	free(atoms->owners.data);
	free(atoms->found);
}

struct marking {
	const struct yara_atoms *atoms;
	const struct ms_span *span;
	struct ms_emit *emit;
	uint64_t base, end; /* the window being widened */
	size_t found;
};

static int window_out(struct marking *marking)
{
	uint64_t size = marking->end - marking->base;

	return size ? marking->emit->mark(marking->emit, marking->base, size) : 0;
}

static int atom_found(void *ctx, size_t offset, size_t index)
{
	struct marking *marking = ctx;
	struct yara_reach reach = marking->atoms->reaches.data[index];
	uint64_t address = marking->span->address + offset;
	uint64_t base = address - min_u64(reach.before, address);
	uint64_t end;
	int r = 0;

	if (!add_u64(address, reach.after, &end))
		end = UINT64_MAX;
	if (marking->atoms->found)
		atomic_fetch_add_explicit(&marking->atoms->found[index], 1, memory_order_relaxed);
	if (++marking->found > FOUND_MAX && !marking->atoms->found) {
		/* So dense that windows would cover nearly all; the atoms to come may reach far. */
		base = marking->span->address -
		       min_u64(marking->atoms->span_max, marking->span->address);
		if (!add_u64(marking->span->address + marking->span->fresh,
			    marking->atoms->span_max, &end))
			end = UINT64_MAX;
		r = marking->emit->mark(marking->emit, base, end - base);
		return r < 0 ? r : 1;
	}
	if (base >= marking->base && base <= marking->end + WINDOWS_JOIN &&
		marking->end > marking->base) {
		marking->end = max_u64(marking->end, end);
		return 0;
	}
	r = window_out(marking);
	marking->base = base;
	marking->end = end;
	return r;
}

/* Whether a program's headers are here; libyara looks for them where a block begins. */
static bool is_program(const struct ms_span *span)
{
	return span->size >= 4 && (memcmp(span->data,
					   "\x7f"
					   "ELF",
					   4) == 0 ||
					  memcmp(span->data, "MZ", 2) == 0);
}

int yara_atoms_mark(const struct yara *yara, const struct ms_span *span, struct ms_emit *emit)
{
	struct marking marking = {.atoms = &yara->atoms, .span = span, .emit = emit};
	int r = 0;

	if (yara->no_prefilter)
		return emit->mark(emit, span->address, span->fresh);
	if (span->before == 0 && is_program(span))
		r = emit->mark(emit, span->address, min_u64(span->size, YARA_ENTRY_SIZE));
	if (r == 0 && yara->atoms.find)
		r = find_all(yara->atoms.find, span->data, span->size, span->fresh, atom_found,
			&marking);
	return r < 0 ? r : window_out(&marking);
}
