/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "yara" inside: yara.c is the engine, yara_rules.c makes rules of sources,
 * yara_compiled.c loads and describes them, yara_trial.c lets another process do so first (and
 * yara_image.h judges their files before that), yara_atoms.c knows where libyara need not look,
 * yara_blocks.c shows it memory, yara_matches.c puts right what it makes of blocks,
 * yara_watch.c ends it when it must, yara_window.c shows what lies around
 * matches, yara_cost.c counts what rules cost.
 */
#ifndef MS_ENGINE_YARA_H
#define MS_ENGINE_YARA_H

#include "base/arena.h"
#include "base/vec.h"
#include "core/engine.h"
#include "engine/yara_lib.h"

#include <stdatomic.h>

enum {
	YARA_MARGIN = 4,   /* bytes beside a match that may decide on it: two wide characters */
	YARA_ATOM_MAX = 4, /* bytes of an atom */
	YARA_ENTRY_SIZE = 4096, /* holds the headers of a program */
	YARA_MATCH_SHOWN = 64,	/* bytes of a match that are kept */
};

/* ---- Rules ---- */

/* One part of a string that libyara cuts up at a long jump. */
struct yara_link {
	uint32_t string;	  /* index of the part */
	int64_t gap_min, gap_max; /* to the part before */
};

/* A string of several parts, from its head to its tail. */
struct yara_chain {
	size_t first, count; /* in links */
};

struct yara_cost;

/* Rules that were compiled together. */
struct yara_set {
	YR_RULES *rules;
	struct ms_rule *shown; /* one for each rule */
	VEC(struct yara_chain) chains;
	VEC(struct yara_link) links;
	struct yara_cost *costs; /* one for each rule; NULL unless they are asked for */
};

/* What an atom that was found at `offset` asks to be looked at: from offset - before to + after. */
struct yara_reach {
	uint32_t before, after;
};

struct find;

/* An atom belongs to a string of a rule; a rule with several such strings counts once. */
struct yara_owner {
	uint32_t atom;
	const struct ms_rule *rule;
};

struct yara_atoms {
	struct find *find;		/* NULL: the filter is off */
	VEC(struct yara_reach) reaches; /* one for each literal of find */
	VEC(struct yara_owner) owners;	/* only to profile, as the next one */
	_Atomic uint64_t *found;	/* how often each literal was found */
	size_t span_max;		/* no attempt to match looks at more bytes in a row */
};

struct yara {
	struct arena arena;
	VEC(struct ms_note) notes;
	VEC(struct yara_set) sets;
	struct yara_atoms atoms;
	const char *tag, *identifier; /* NULL: all rules */
	uint64_t timeout_ns;	      /* 0: none */
	bool keep_going, no_prefilter, profile;
	bool initialized;	  /* libyara was, for this engine */
	_Atomic uint64_t matches; /* that all evaluations under way keep */
};

/* Makes sets of the arguments' rules; yara->sets owns them, even after a failure. */
int yara_rules_make(struct yara *yara, const struct ms_arg *args, size_t count,
	const struct ms_engine_options *options);

/* A note whose texts are copied. */
int yara_note(struct yara *yara, enum ms_note_kind kind, const char *file, uint64_t line,
	const char *text);

/* Loads rules that yara or yarac compiled, after a check and a trial. */
int yara_compiled_load(const char *path, const uint8_t *data, size_t size,
	const struct ms_engine_options *options, YR_RULES **ret_rules);

/* The last part of that, without the other two. */
int yara_compiled_open(const char *path, const uint8_t *data, size_t size, YR_RULES **ret_rules);

/* The trial: has another process load and evaluate them. */
int yara_compiled_try(const char *path, const uint8_t *data, size_t size,
	const struct ms_engine_options *options);

/* Whether a file's first bytes are those of compiled rules. */
bool yara_is_compiled(const uint8_t *data, size_t size);

/* Describes the rules of a set for records. */
int yara_set_describe(struct yara *yara, struct yara_set *set);

/* ---- Atoms ---- */

/* Takes the atoms out of all sets. */
int yara_atoms_make(struct yara *yara);
void yara_atoms_done(struct yara_atoms *atoms);

/* Marks what libyara must see of a span. */
int yara_atoms_mark(const struct yara *yara, const struct ms_span *span, struct ms_emit *emit);

/* ---- Costs: nothing unless --profile asked for them ---- */

int yara_costs_make(struct yara *yara);

/* A rule holds in a target; how many matches there are when it has been evaluated. */
void yara_costs_held(const struct yara_set *set, const YR_RULE *rule);
void yara_costs_count(const struct yara_set *set, const YR_SCAN_CONTEXT *context);

/* What libyara's clocks say, if it has any. */
void yara_costs_time(const struct yara_set *set, YR_SCANNER *scanner);

/* Notes what rules cost so far; notes of an earlier call are replaced. */
int yara_costs_note(struct yara *yara);

/* ---- Matches ---- */

/* libyara puts matches behind each other without regard to alignment. */
typedef YR_MATCH yara_match __attribute__((aligned(1)));

/* Takes over the joining of parts from libyara, which gets it wrong across blocks. */
int yara_chains_take(struct yara_set *set);

/* Joins the parts again when all blocks have been seen. */
int yara_chains_join(const struct yara_set *set, YR_SCANNER *scanner, const struct ms_range *data,
	size_t data_count);

struct yara_piece;

/* Takes matches out that start where the block beside it knows better; `span` is span_max. */
void yara_cuts_trim(YR_SCANNER *scanner, const struct yara_piece *piece, size_t span);

/* Takes out matches that touch the edge of a mark where memory goes on. */
void yara_windows_trim(YR_SCANNER *scanner, const struct ms_view *view);

/* For any thread, as the next one: the number may be a little old. */
uint64_t yara_matches_count(const YR_SCANNER *scanner);

/* Has libyara no longer look for the strings that match most; returns one of them. */
const YR_STRING *yara_matches_limit(YR_SCANNER *scanner);

/* ---- What is shown of matches ---- */

struct yara_window {
	struct ms_view *view;
	uint8_t *buffer;
	uint64_t base; /* of what was read last */
	size_t size;
	VEC(struct ms_range) pieces; /* what there is of it, each side by side */
};

/* Adds to a hit what lies around it, and bytes of the match that libyara did not keep. */
int yara_window_show(struct yara_window *window, const yara_match *match, struct ms_hit *hit);
void yara_window_done(struct yara_window *window);

/* ---- One evaluation ---- */

/* A block to be shown. */
struct yara_piece {
	uint64_t base;
	size_t offset, size; /* in the buffer */
	bool left, right;    /* the mark goes on there, and another block overlaps */
};

struct yara_blocks {
	const struct yara *yara;
	const struct yara_set *set;
	struct ms_view *view;
	YR_SCANNER *scanner;
	YR_MEMORY_BLOCK block;
	YR_MEMORY_BLOCK_ITERATOR iterator;
	uint64_t deadline_ns;
	int status; /* why it goes no further; MS_ERR_MEMORY */

	/* While libyara looks for matches: blocks of what was marked. */
	bool matching;
	size_t mark, mark_end;	      /* the marks being shown... */
	size_t data;		      /* ...and the data they lie in */
	uint64_t at;		      /* the first byte that was not shown; 0: all of the mark */
	uint64_t read_base, read_end; /* what is in the buffer */
	uint8_t *buffer;
	size_t buffer_size, overlap;
	VEC(struct yara_piece) pieces;
	size_t piece;
	bool shown;	    /* a block is being looked at */
	size_t shown_bytes; /* since matches were counted */
	enum ms_state late; /* why some of the marked memory was left out; MS_STATE_DATA: none */

	/* Also used by the thread of yara_watch.c: */
	_Atomic uint64_t matches;	    /* as many as were counted last */
	_Atomic(const YR_STRING *) limited; /* a string with too many... */
	atomic_int limited_count;	    /* ...and how many were kept */
	_Atomic enum ms_state ended;	    /* why it was ended from outside */

	/* While it evaluates conditions: all data, read when it is asked for. */
	bool importing; /* a module looks for a program: only where memory begins */
	size_t range;
	uint64_t next;
	uint8_t *fetched;
	uint64_t fetched_base;
	size_t fetched_size, fetched_room;
	VEC(uint8_t *) kept; /* modules point into these */
};

int yara_blocks_init(struct yara_blocks *blocks, const struct yara *yara,
	const struct yara_set *set, struct ms_view *view, YR_SCANNER *scanner,
	uint64_t deadline_ns);
void yara_blocks_done(struct yara_blocks *blocks);

/*
 * Counts the matches and, if all evaluations together have too many, has libyara look for fewer.
 * For the thread of yara_watch.c, too: a block can bring millions.
 */
void yara_blocks_count(struct yara_blocks *blocks);

/* Why it is to end: its own time is over, or the whole job's; MS_STATE_DATA: it is not. */
enum ms_state yara_blocks_stopped(const struct yara_blocks *blocks);

/* A module begins or ends looking at memory. */
void yara_blocks_import(struct yara_blocks *blocks, bool begins);

/* Ends an evaluation that goes on for too long after it was told to stop. */
struct yara_watch;

int yara_watch_begin(struct yara_blocks *blocks, struct yara_watch **ret_watch);
void yara_watch_end(struct yara_watch *watch);

#endif
