/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pattern is a flat list of nodes: runs of masked bytes, jumps, and the marks ( | ) of
 * alternatives. Every node knows how far from the start of a match it may lie.
 */
#include "engine/hexpat_node.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"

/* ---- Parsing ---- */

/* An alternative that is still open. */
struct level {
	uint32_t open, branch; /* nodes: its OPEN; its last OR or else the OPEN */
	uint32_t min, max;     /* distances behind the branches that have ended */
	size_t at;	       /* of the parenthesis in the text */
};

struct parser {
	const char *what, *text;
	size_t at;
	struct hexpat *pattern;
	VEC(struct hexpat_node) nodes;
	VEC(uint8_t) value, mask;
	uint32_t min, max; /* distance from the start of a match to here */
	bool empty;	   /* nothing in this sequence yet */
	bool jumped;	   /* the last item of this sequence is a jump, ... */
	size_t jump_at;	   /* ... which is here */
	unsigned depth;	   /* levels in use */
	struct level levels[HEXPAT_DEPTH_MAX];
};

static void cleanup_parser(struct parser *p)
{
	free(p->nodes.data);
	free(p->value.data);
	free(p->mask.data);
	hexpat_free(p->pattern);
}

static int fail(const struct parser *p, size_t at, const char *why)
{
	return err_at(p->what, p->text, at, why);
}

static void skip_blanks(struct parser *p)
{
	while (is_blank(p->text[p->at]))
		p->at++;
}

static int node_add(struct parser *p, struct hexpat_node node)
{
	if (p->nodes.count == HEXPAT_NODES_MAX)
		return fail(p, p->at, "the pattern has too many parts");
	node.min = p->min;
	node.max = p->max;
	return vec_push(&p->nodes, node) ? 0 : err_nomem();
}

/* Moves on by what an item may match. */
static int distance_add(struct parser *p, uint32_t min, uint32_t max)
{
	if (p->max + max > HEXPAT_SIZE_MAX)
		return fail(p, p->at, "the pattern may match more than 65536 bytes");
	p->min += min;
	p->max += max;
	return 0;
}

static int byte_add(struct parser *p, uint8_t value, uint8_t mask)
{
	size_t count = p->nodes.count;
	uint32_t from = (uint32_t)p->value.count;
	int r;

	if (from == HEXPAT_SIZE_MAX)
		return fail(p, p->at, "the pattern has more than 65536 bytes");
	if (!count || p->nodes.data[count - 1].type != NODE_RUN) {
		r = node_add(p, (struct hexpat_node){.type = NODE_RUN, .from = from});
		if (r < 0)
			return r;
		count++;
	}
	if (!vec_push(&p->value, value) || !vec_push(&p->mask, mask))
		return err_nomem();
	p->nodes.data[count - 1].size++;
	return distance_add(p, 1, 1);
}

static bool is_nibble(char c)
{
	return c == '?' || hex_digit(c) >= 0;
}

static int fail_digit(const struct parser *p, size_t at)
{
	char why[] = "'.' is not a hex digit";

	if (p->text[at] < '!' || p->text[at] > '~')
		return fail(p, at, "this is not a hex digit");
	why[1] = p->text[at];
	return fail(p, at, why);
}

static int parse_byte(struct parser *p)
{
	uint8_t value = 0, mask = 0;
	int r;

	for (size_t i = 0; i < 2; i++) {
		char c = p->text[p->at + i];
		bool ends = !c || is_blank(c) || strchr("()[]{}|", c);

		if (i && ends)
			return fail(p, p->at, "this is half a byte");
		if (!is_nibble(c))
			return fail_digit(p, p->at + i);
		value = (uint8_t)(value << 4 | (c == '?' ? 0 : hex_digit(c)));
		mask = (uint8_t)(mask << 4 | (c == '?' ? 0 : 0xf));
	}
	r = byte_add(p, value, mask);
	if (r < 0)
		return r;
	p->at += 2;
	p->empty = p->jumped = false;
	return 0;
}

/* Reads one end of a jump. */
static int parse_number(struct parser *p, uint32_t *ret_value)
{
	size_t from;
	uint32_t value = 0;

	skip_blanks(p);
	from = p->at;
	for (; is_digit(p->text[p->at]); p->at++) {
		value = value * 10 + (uint32_t)(p->text[p->at] - '0');
		if (value > HEXPAT_JUMP_MAX)
			return fail(p, from, "the jump is longer than 65535 bytes");
	}
	if (p->at == from)
		return fail(p, from, "a jump is written [4] or [4-8], with both its ends");
	skip_blanks(p);
	*ret_value = value;
	return 0;
}

static int parse_jump_ends(struct parser *p, uint32_t *ret_least, uint32_t *ret_most)
{
	uint32_t least, most;
	size_t most_at;
	int r;

	p->at++;
	r = parse_number(p, &least);
	if (r < 0)
		return r;
	most = least;
	if (p->text[p->at] == '-') {
		most_at = ++p->at;
		r = parse_number(p, &most);
		if (r < 0)
			return r;
		if (most < least)
			return fail(p, most_at, "the jump ends before it begins");
	}
	if (p->text[p->at] != ']')
		return fail(p, p->at, "the ] of the jump is missing");
	*ret_least = least;
	*ret_most = most;
	return 0;
}

/* A jump of one size is so many bytes of any value: a longer run is easier to find. */
static int jump_add(struct parser *p, uint32_t least, uint32_t most)
{
	int r = 0;

	if (least < most) {
		r = node_add(
			p, (struct hexpat_node){.type = NODE_JUMP, .least = least, .most = most});
		return r < 0 ? r : distance_add(p, least, most);
	}
	for (uint32_t i = 0; i < least && r == 0; i++)
		r = byte_add(p, 0, 0);
	return r;
}

static int parse_jump(struct parser *p)
{
	uint32_t least = 0, most = 0;
	size_t from = p->at, behind;
	int r;

	if (p->empty)
		return fail(p, from,
			p->depth ? "an alternative may not begin with a jump"
				 : "a pattern may not begin with a jump");
	r = parse_jump_ends(p, &least, &most);
	if (r < 0)
		return r;
	behind = p->at + 1;
	p->at = from;
	r = jump_add(p, least, most);
	if (r < 0)
		return r;
	p->at = behind;
	p->jumped = true;
	p->jump_at = from;
	return 0;
}

static int parse_open(struct parser *p)
{
	struct level *level = &p->levels[p->depth];
	int r;

	if (p->depth == HEXPAT_DEPTH_MAX)
		return fail(p, p->at, "alternatives are nested more than 16 deep");
	*level = (struct level){.min = UINT32_MAX, .at = p->at};
	level->open = level->branch = (uint32_t)p->nodes.count;
	r = node_add(p, (struct hexpat_node){.type = NODE_OPEN});
	if (r < 0)
		return r;
	p->depth++;
	if (p->depth > p->pattern->depth)
		p->pattern->depth = p->depth;
	p->at++;
	p->empty = true;
	p->jumped = false;
	return 0;
}

/* Ends a branch in front of | or ). */
static int branch_end(struct parser *p, struct level *level)
{
	if (p->empty)
		return fail(p, p->at, "an alternative is empty");
	if (p->jumped)
		return fail(p, p->jump_at, "an alternative may not end with a jump");
	level->min = (uint32_t)min_u64(level->min, p->min);
	level->max = (uint32_t)max_u64(level->max, p->max);
	p->nodes.data[level->branch].next = (uint32_t)p->nodes.count;
	level->branch = (uint32_t)p->nodes.count;
	return 0;
}

static int parse_or(struct parser *p)
{
	struct level *level;
	int r;

	if (!p->depth)
		return fail(p, p->at, "alternatives are written in parentheses, as in (AA|BB)");
	level = &p->levels[p->depth - 1];
	r = branch_end(p, level);
	if (r < 0)
		return r;
	p->min = p->nodes.data[level->open].min;
	p->max = p->nodes.data[level->open].max;
	r = node_add(p, (struct hexpat_node){.type = NODE_OR});
	p->at++;
	p->empty = true;
	return r;
}

static int parse_close(struct parser *p)
{
	struct level *level;
	int r;

	if (!p->depth)
		return fail(p, p->at, "this ) closes nothing");
	level = &p->levels[p->depth - 1];
	r = branch_end(p, level);
	if (r < 0)
		return r;
	p->min = level->min;
	p->max = level->max;
	r = node_add(p, (struct hexpat_node){.type = NODE_CLOSE, .open = level->open});
	p->depth--;
	p->at++;
	return r;
}

static int parse_item(struct parser *p)
{
	switch (p->text[p->at]) {
	case '(':
		return parse_open(p);
	case '|':
		return parse_or(p);
	case ')':
		return parse_close(p);
	case '[':
		return parse_jump(p);
	default:
		return parse_byte(p);
	}
}

static int parse_sequence(struct parser *p)
{
	int r;

	for (skip_blanks(p); p->text[p->at] && p->text[p->at] != '}'; skip_blanks(p)) {
		r = parse_item(p);
		if (r < 0)
			return r;
	}
	if (p->depth)
		return fail(p, p->levels[p->depth - 1].at, "this ( is never closed");
	if (p->empty)
		return fail(p, p->at, "the pattern is empty");
	if (p->jumped)
		return fail(p, p->jump_at, "a pattern may not end with a jump");
	return 0;
}

static int parse_pattern(struct parser *p)
{
	size_t brace;
	bool braced;
	int r;

	if (strlen(p->text) > HEXPAT_TEXT_MAX)
		return fail(p, HEXPAT_TEXT_MAX, "the pattern is longer than 262144 characters");
	skip_blanks(p);
	brace = p->at;
	braced = p->text[p->at] == '{';
	p->at += braced;
	r = parse_sequence(p);
	if (r < 0)
		return r;
	if (!p->text[p->at])
		return braced ? fail(p, brace, "this { is never closed") : 0;
	if (!braced)
		return fail(p, p->at, "this } closes nothing");
	p->at++;
	skip_blanks(p);
	return p->text[p->at] ? fail(p, p->at, "nothing may follow the }") : 0;
}

/* ---- Choosing what to find a pattern by ---- */

/* Zeros fill much of any memory, in long runs; these others are more common than the rest. */
static unsigned byte_score(uint8_t value, uint8_t mask)
{
	static const uint8_t common[] = {0x01, 0x20, 0x48, 0x7f, 0x8b, 0x90, 0xcc, 0xff};

	if (mask != 0xff)
		return (unsigned)__builtin_popcount(mask) / 2;
	if (!value)
		return 1;
	return memchr(common, value, sizeof(common)) ? 4 : 8;
}

/* How well a run tells a match from anything else: 0 not at all; long is no better than 6 bytes. */
static unsigned run_score(const struct parser *p, const struct hexpat_node *node)
{
	enum { ENOUGH = 48 };
	uint32_t spread = node->max - node->min;
	unsigned score = 0, cost = spread ? 32u - (unsigned)__builtin_clz(spread) : 0;
	bool fixed = false;

	for (uint32_t i = 0; i < node->size && score < ENOUGH; i++) {
		fixed |= p->mask.data[node->from + i] != 0;
		score += byte_score(p->value.data[node->from + i], p->mask.data[node->from + i]);
	}
	if (!fixed)
		return 0;
	return score > cost ? score - cost : 1;
}

/* The best node of a sequence so far, and what the alternative around it is worth. */
struct choice {
	unsigned score, group_score;
	uint32_t node, open, branch, branches;
};

static void choice_offer(struct choice *choice, uint32_t node, unsigned score)
{
	if (score <= choice->score)
		return;
	choice->score = score;
	choice->node = node;
}

/* An alternative is found by all its branches, so it is worth what the worst is. */
static void choice_branch_end(struct choice *choice, struct hexpat_node *nodes)
{
	nodes[choice->branch].chosen = choice->node;
	if (choice->score < choice->group_score)
		choice->group_score = choice->score;
	choice->score = 0;
	choice->branches++;
}

static unsigned choice_group_score(const struct choice *choice)
{
	unsigned cost = 31u - (unsigned)__builtin_clz(choice->branches);

	if (!choice->group_score)
		return 0;
	return choice->group_score > cost ? choice->group_score - cost : 1;
}

/* Marks the nodes to find the pattern by; returns false when there are none. */
static bool choose(struct parser *p)
{
	struct choice choices[HEXPAT_DEPTH_MAX + 1] = {{0}}, *top = choices;
	struct hexpat_node *nodes = p->nodes.data;

	for (uint32_t i = 0; i < p->nodes.count; i++) {
		if (nodes[i].type == NODE_RUN) {
			choice_offer(top, i, run_score(p, &nodes[i]));
		} else if (nodes[i].type == NODE_OPEN) {
			*++top = (struct choice){.group_score = UINT32_MAX, .open = i, .branch = i};
		} else if (nodes[i].type == NODE_OR) {
			choice_branch_end(top, nodes);
			top->branch = i;
		} else if (nodes[i].type == NODE_CLOSE) {
			choice_branch_end(top, nodes);
			top--;
			choice_offer(top, top[1].open, choice_group_score(&top[1]));
		}
	}
	if (!top->score)
		return false;
	nodes[top->node].wanted = true;
	return true;
}

/* Fills an anchor with a run, less the bytes of any value at its ends. */
static void anchor_set(
	struct hexpat_anchor *anchor, const struct hexpat *pattern, const struct hexpat_node *node)
{
	uint32_t from = node->from, to = node->from + node->size;

	while (!pattern->mask[from])
		from++;
	while (!pattern->mask[to - 1])
		to--;
	*anchor = (struct hexpat_anchor){
		.value = pattern->value + from,
		.mask = pattern->mask + from,
		.size = to - from,
		.before_min = node->min + (from - node->from),
		.before_max = node->max + (from - node->from),
	};
}

/* Follows the marks inwards: what is chosen inside an alternative comes behind its OPEN. */
static int anchors_collect(struct hexpat *pattern)
{
	struct hexpat_node *nodes = pattern->nodes;

	pattern->anchors = calloc(pattern->node_count, sizeof(*pattern->anchors));
	if (!pattern->anchors)
		return err_nomem();
	for (uint32_t i = 0; i < pattern->node_count; i++) {
		if (!nodes[i].wanted)
			continue;
		if (nodes[i].type == NODE_RUN) {
			anchor_set(&pattern->anchors[pattern->anchor_count++], pattern, &nodes[i]);
			continue;
		}
		for (uint32_t k = i; nodes[k].type != NODE_CLOSE; k = nodes[k].next)
			nodes[nodes[k].chosen].wanted = true;
	}
	return 0;
}

int hexpat_new(const char *what, const char *text, struct hexpat **ret_pattern)
{
	CLEANUP(cleanup_parser) struct parser p = {.what = what, .text = text, .empty = true};
	int r;

	p.pattern = calloc(1, sizeof(*p.pattern));
	if (!p.pattern)
		return err_nomem();
	r = parse_pattern(&p);
	if (r < 0)
		return r;
	if (!choose(&p))
		return fail(&p, 0, "the pattern fixes nothing and would match anywhere");
	p.pattern->size_min = p.min;
	p.pattern->size_max = p.max;
	p.pattern->byte_count = p.value.count;
	p.pattern->node_count = p.nodes.count;
	p.pattern->nodes = take_pointer(&p.nodes.data);
	p.pattern->value = take_pointer(&p.value.data);
	p.pattern->mask = take_pointer(&p.mask.data);
	r = anchors_collect(p.pattern);
	if (r < 0)
		return r;
	*ret_pattern = take_pointer(&p.pattern);
	return 0;
}

void hexpat_free(struct hexpat *pattern)
{
	if (!pattern)
		return;
	free(pattern->anchors);
	free(pattern->nodes);
	free(pattern->value);
	free(pattern->mask);
	free(pattern);
}

bool hexpat_is_literal(const struct hexpat *pattern)
{
	return pattern->node_count == 1;
}
