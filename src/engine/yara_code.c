/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The code in compiled rules, of two kinds. That of conditions (exec.c of libyara 4.2) is one
 * instruction after the other, to the one that halts; jumps count from their own first byte. Which
 * values lie on the stack is not followed here, so what an instruction does to a value of the wrong
 * kind is left to the trial (yara_trial.c).
 *
 * That of expressions (re.c) is entered in many places: where atoms are, and where conditions have
 * an expression. So it is followed from there. A repetition puts a counter on a stack, so how many
 * there are is known of each instruction. One that jumps back does so to a split, of which each is
 * taken once at a time; any other circle would have no end.
 */
#include "engine/yara_image.h"

#include "base/err.h"
#include "base/mem.h"

/* ---- Conditions ---- */

enum operand {
	OPERAND_UNKNOWN, /* no such instruction */
	OPERAND_NONE,
	OPERAND_1,
	OPERAND_2,
	OPERAND_4,
	OPERAND_JUMP,
	OPERAND_START, /* a jump, and the number of a rule */
	OPERAND_VALUE, /* a number or a place */
	OPERAND_TEXT,
	OPERAND_RULE,
	OPERAND_CELL, /* of the loops' memory */
	OPERAND_SLOT, /* the first or the second value on the stack */
	OPERAND_SET,  /* of strings or of rules */
};

enum { CELLS = YR_MAX_LOOP_NESTING * (YR_MAX_LOOP_VARS + YR_INTERNAL_LOOP_VARS) };

static const uint8_t operand_sizes[] = {
	[OPERAND_1] = 1,
	[OPERAND_2] = 2,
	[OPERAND_4] = 4,
	[OPERAND_JUMP] = 4,
	[OPERAND_START] = 8,
	[OPERAND_VALUE] = 8,
	[OPERAND_TEXT] = 8,
	[OPERAND_RULE] = 8,
	[OPERAND_CELL] = 8,
	[OPERAND_SLOT] = 8,
	[OPERAND_SET] = 8,
};

static const uint8_t operands[256] = {
	[OP_HALT] = OPERAND_NONE,
	[OP_NOP] = OPERAND_NONE,
	[OP_AND... OP_MOD] = OPERAND_NONE,
	[OP_INT_TO_DBL] = OPERAND_SLOT,
	[OP_STR_TO_BOOL] = OPERAND_NONE,
	[OP_PUSH] = OPERAND_VALUE,
	[OP_POP] = OPERAND_NONE,
	[OP_CALL... OP_OBJ_LOAD] = OPERAND_TEXT,
	[OP_OBJ_VALUE] = OPERAND_NONE,
	[OP_OBJ_FIELD] = OPERAND_TEXT,
	[OP_INDEX_ARRAY... OP_OFFSET] = OPERAND_NONE,
	[OP_OF] = OPERAND_SET,
	[OP_PUSH_RULE] = OPERAND_RULE,
	[OP_INIT_RULE] = OPERAND_START,
	[OP_MATCH_RULE] = OPERAND_RULE,
	[OP_INCR_M... OP_SWAPUNDEF] = OPERAND_CELL,
	[OP_FILESIZE... OP_ENTRYPOINT] = OPERAND_NONE,
	[OP_MATCHES] = OPERAND_NONE,
	[OP_IMPORT] = OPERAND_TEXT,
	[OP_LOOKUP_DICT] = OPERAND_NONE,
	[OP_JUNDEF_P... OP_JNUNDEF] = OPERAND_JUMP,
	[OP_JFALSE... OP_JLE_P] = OPERAND_JUMP,
	[OP_ITER_NEXT... OP_ITER_START_INT_ENUM] = OPERAND_NONE,
	[OP_JZ... OP_JZ_P] = OPERAND_JUMP,
	[OP_PUSH_8] = OPERAND_1,
	[OP_PUSH_16] = OPERAND_2,
	[OP_PUSH_32] = OPERAND_4,
	[OP_PUSH_U... OP_IEQUALS] = OPERAND_NONE,
	[OP_OF_PERCENT] = OPERAND_SET,
	[OP_OF_FOUND_IN... OP_DEFINED] = OPERAND_NONE,
	[OP_INT_BEGIN... OP_INT_END] = OPERAND_NONE,
	[OP_DBL_BEGIN... OP_DBL_END] = OPERAND_NONE,
	[OP_STR_BEGIN... OP_STR_END] = OPERAND_NONE,
	[OP_INT8... OP_UINT32BE] = OPERAND_NONE,
};

/* What is pushed as a pointer: a string of a rule, a text with its length, an expression. */
static bool value_is_right(const struct yara_image *image, struct yara_place place)
{
	const struct yara_part *pool = &image->parts[YR_SZ_POOL];
	const uint32_t head = offsetof(SIZED_STRING, c_string);
	uint32_t index, length;

	if (place.part == YR_STRINGS_TABLE)
		return yara_image_entry(image, place, YR_STRINGS_TABLE, sizeof(YR_STRING), &index);
	if (place.part == YR_RE_CODE_SECTION)
		return place.offset <= image->parts[YR_RE_CODE_SECTION].size &&
		       image->parts[YR_RE_CODE_SECTION].size - place.offset > sizeof(struct RE);
	if (place.part != YR_SZ_POOL || place.offset > pool->size ||
		pool->size - place.offset <= head)
		return false;
	length = load_u32(pool->data + place.offset, false);
	return length < pool->size - place.offset - head &&
	       !pool->data[place.offset + head + length];
}

struct conditions {
	const struct yara_image *image;
	const uint8_t *code;
	size_t size, ref_count, ref_last; /* met so far; where the last one is */
	uint8_t *begins;		  /* an instruction, at this offset */
};

/*
 * Places are listed in the order they were made, so a file that lost its end lacks the last ones.
 * Behind the last one that is left, a number that would be right as a place was one. Nearly any
 * place in the code of expressions is right, but only what matches a text takes one of them.
 */
static bool ref_is_missing(const struct conditions *c, size_t at)
{
	struct yara_place place = {
		load_u32(c->code + at + 1, false), load_u32(c->code + at + 5, false)};
	size_t next = at + 1 + operand_sizes[OPERAND_VALUE];

	if (at < c->ref_last || !value_is_right(c->image, place))
		return false;
	return place.part != YR_RE_CODE_SECTION || (next < c->size && c->code[next] == OP_MATCHES);
}

static const char *operand_fault(struct conditions *c, size_t at)
{
	const uint8_t *operand = c->code + at + 1;
	struct yara_place place;
	uint64_t number;

	switch (operands[c->code[at]]) {
	case OPERAND_START:
		return load_u32(operand + 4, false) < c->image->rules
			       ? NULL
			       : "a condition belongs to no rule";
	case OPERAND_VALUE:
		if (!yara_image_ref(c->image, YR_CODE_SECTION, at + 1, &place))
			return ref_is_missing(c, at) ? "it is cut short" : NULL;
		c->ref_count++;
		return value_is_right(c->image, place) ? NULL
						       : "a condition has a value of no known kind";
	case OPERAND_TEXT:
		c->ref_count++;
		return yara_image_ref(c->image, YR_CODE_SECTION, at + 1, &place) &&
				       yara_image_text(c->image, place)
			       ? NULL
			       : "a condition lacks a name";
	case OPERAND_RULE:
		return load_u64(operand, false) < c->image->rules ? NULL
								  : "a condition refers to no rule";
	case OPERAND_CELL:
		return load_u64(operand, false) < CELLS ? NULL : "a loop has no such variable";
	case OPERAND_SLOT:
		number = load_u64(operand, false);
		return number == 1 || number == 2 ? NULL : "a condition has a wrong operand";
	case OPERAND_SET:
		number = load_u64(operand, false);
		return number == OF_STRING_SET || number == OF_RULE_SET
			       ? NULL
			       : "a condition has a wrong operand";
	default:
		return NULL;
	}
}

static const char *instructions_fault(struct conditions *c)
{
	const char *fault = NULL;
	size_t at = 0, last = 0;

	while (at < c->size && !fault) {
		uint8_t kind = operands[c->code[at]];

		if (kind == OPERAND_UNKNOWN)
			return "a condition has an instruction that is unknown";
		if (c->size - at < 1u + operand_sizes[kind])
			return "a condition is cut short";
		c->begins[at] = 1;
		fault = operand_fault(c, at);
		last = at;
		at += 1u + operand_sizes[kind];
	}
	if (!fault && (!c->size || c->code[last] != OP_HALT))
		fault = "its conditions do not end";
	return fault;
}

static const char *jumps_fault(const struct conditions *c)
{
	for (size_t at = 0; at < c->size; at++) {
		uint8_t kind = operands[c->code[at]];
		int64_t to;

		if (!c->begins[at] || (kind != OPERAND_JUMP && kind != OPERAND_START))
			continue;
		to = (int64_t)at + (int32_t)load_u32(c->code + at + 1, false);
		if (to < 0 || (uint64_t)to >= c->size || !c->begins[to])
			return "a condition jumps astray";
	}
	return NULL;
}

/* How many there are in the code, and where the last one is. */
static size_t refs_within(const struct yara_image *image, size_t *ret_last)
{
	size_t count = 0;

	*ret_last = 0;
	for (size_t i = 0; i < image->ref_count; i++)
		if (image->refs[i] >> 32 == YR_CODE_SECTION) {
			*ret_last = (uint32_t)image->refs[i];
			count++;
		}
	return count;
}

static const char *conditions_fault(const struct yara_image *image, uint8_t *begins)
{
	struct conditions c = {.image = image,
		.code = image->parts[YR_CODE_SECTION].data,
		.size = image->parts[YR_CODE_SECTION].size,
		.begins = begins};
	size_t ref_count = refs_within(image, &c.ref_last);
	const char *fault = instructions_fault(&c);

	if (!fault)
		fault = jumps_fault(&c);
	/* All of them were met, so none lies in the middle of something else. */
	if (!fault && c.ref_count != ref_count)
		fault = "a condition has a pointer where none belongs";
	return fault;
}

/* ---- Expressions ---- */

enum {
	/* Masks for what is known of an instruction: one more than its counters, or 0. */
	COUNTERS = 0x7fff,
	FAST = 0x8000, /* it has been reached by the simple way of matching, which knows few */
	SPLIT_SIZE = 4,
	JUMP_SIZE = 3,
	REPEAT_SIZE = 9, /* 2 bytes each of least and most, 4 of a jump */
	ANY_SIZE = 5,
	CLASS_SIZE = 1 + sizeof(RE_CLASS),
};

static const uint8_t expression_sizes[256] = {
	[RE_OPCODE_ANY] = 1,
	[RE_OPCODE_LITERAL] = 2,
	[RE_OPCODE_MASKED_LITERAL] = 3,
	[RE_OPCODE_CLASS] = CLASS_SIZE,
	[RE_OPCODE_WORD_CHAR... RE_OPCODE_MATCH] = 1,
	[RE_OPCODE_MATCH_AT_END... RE_OPCODE_NON_WORD_BOUNDARY] = 1,
	[RE_OPCODE_REPEAT_ANY_GREEDY... RE_OPCODE_REPEAT_ANY_UNGREEDY] = ANY_SIZE,
	[RE_OPCODE_SPLIT_A... RE_OPCODE_SPLIT_B] = SPLIT_SIZE,
	[RE_OPCODE_JUMP] = JUMP_SIZE,
	[RE_OPCODE_REPEAT_START_GREEDY... RE_OPCODE_REPEAT_END_UNGREEDY] = REPEAT_SIZE,
};

struct expressions {
	const uint8_t *code;
	size_t size;
	uint16_t *known;
	uint32_t *todo;
	size_t todo_count;
};

/* Goes on at an instruction with so many counters; false if that cannot be. */
static bool instruction_reach(struct expressions *e, int64_t at, int64_t counters)
{
	uint16_t known;

	if (at < 0 || (uint64_t)at >= e->size || counters < 0 || counters >= RE_MAX_STACK - 1)
		return false;
	known = e->known[at] & COUNTERS;
	if (known)
		return known == counters + 1;
	if (!expression_sizes[e->code[at]] || e->size - (size_t)at < expression_sizes[e->code[at]])
		return false;
	e->known[at] |= (uint16_t)(counters + 1);
	e->todo[e->todo_count++] = (uint32_t)at;
	return true;
}

static bool jump_is_right(const struct expressions *e, int64_t at, int64_t to)
{
	return to > at ||
	       (to >= 0 && (e->code[to] == RE_OPCODE_SPLIT_A || e->code[to] == RE_OPCODE_SPLIT_B));
}

static bool instruction_follow(struct expressions *e, int64_t at)
{
	const uint8_t *code = e->code + at;
	int64_t next = at + expression_sizes[*code], counters = (e->known[at] & COUNTERS) - 1, to;

	switch (*code) {
	case RE_OPCODE_MATCH:
		return true;
	case RE_OPCODE_JUMP:
		to = at + (int16_t)load_u16(code + 1, false);
		return jump_is_right(e, at, to) && instruction_reach(e, to, counters);
	case RE_OPCODE_SPLIT_A:
	case RE_OPCODE_SPLIT_B:
		to = at + (int16_t)load_u16(code + 2, false);
		return code[1] < RE_MAX_SPLIT_ID && to != at &&
		       instruction_reach(e, to, counters) && instruction_reach(e, next, counters);
	case RE_OPCODE_REPEAT_START_GREEDY:
	case RE_OPCODE_REPEAT_START_UNGREEDY:
		to = at + (int32_t)load_u32(code + 5, false);
		return load_u16(code + 3, false) > 0 && to > at &&
		       instruction_reach(e, to, counters) &&
		       instruction_reach(e, next, counters + 1);
	case RE_OPCODE_REPEAT_END_GREEDY:
	case RE_OPCODE_REPEAT_END_UNGREEDY:
		to = at + (int32_t)load_u32(code + 5, false);
		return to < at && instruction_reach(e, to, counters) &&
		       instruction_reach(e, next, counters - 1);
	default:
		return instruction_reach(e, next, counters);
	}
}

static const char *expression_fault(struct expressions *e, uint64_t start)
{
	bool right = instruction_reach(e, (int64_t)start, 0);

	while (right && e->todo_count)
		right = instruction_follow(e, e->todo[--e->todo_count]);
	return right ? NULL : "the code of an expression goes astray";
}

/* The simple way of matching knows some instructions only. */
static const char *simple_fault(struct expressions *e, uint64_t start)
{
	for (uint64_t at = start; !(e->known[at] & FAST); at += expression_sizes[e->code[at]]) {
		e->known[at] |= FAST;
		switch (e->code[at]) {
		case RE_OPCODE_MATCH:
			return NULL;
		case RE_OPCODE_ANY:
		case RE_OPCODE_LITERAL:
		case RE_OPCODE_MASKED_LITERAL:
		case RE_OPCODE_REPEAT_ANY_UNGREEDY:
			break;
		default:
			return "an expression is not as simple as it says";
		}
	}
	return NULL;
}

static const char *entry_fault(
	const struct yara_image *image, struct expressions *e, uint64_t match, uint32_t field)
{
	const uint32_t pool = YR_AC_STATE_MATCHES_POOL;
	struct yara_place code, string;
	const char *fault;
	uint32_t flags;

	if (!yara_image_ref(image, pool, match + field, &code) ||
		!yara_image_ref(image, pool, match + offsetof(YR_AC_MATCH, string), &string) ||
		code.part != YR_RE_CODE_SECTION)
		return NULL;
	flags = load_u32(
		image->parts[YR_STRINGS_TABLE].data + string.offset + offsetof(YR_STRING, flags),
		false);
	fault = expression_fault(e, code.offset);
	return fault || !(flags & STRING_FLAGS_FAST_REGEXP) ? fault : simple_fault(e, code.offset);
}

static const char *expressions_fault(
	const struct yara_image *image, struct expressions *e, const uint8_t *begins)
{
	const char *fault = NULL;

	for (uint64_t at = 0; at < image->parts[YR_AC_STATE_MATCHES_POOL].size && !fault;
		at += sizeof(YR_AC_MATCH)) {
		fault = entry_fault(image, e, at, offsetof(YR_AC_MATCH, forward_code));
		if (!fault)
			fault = entry_fault(image, e, at, offsetof(YR_AC_MATCH, backward_code));
	}
	for (size_t at = 0; at < image->parts[YR_CODE_SECTION].size && !fault; at++) {
		struct yara_place place;

		if (begins[at] && image->parts[YR_CODE_SECTION].data[at] == OP_PUSH &&
			yara_image_ref(image, YR_CODE_SECTION, at + 1, &place) &&
			place.part == YR_RE_CODE_SECTION)
			fault = expression_fault(
				e, (uint64_t)place.offset + offsetof(struct RE, code));
	}
	return fault;
}

const char *yara_code_fault(const struct yara_image *image, int *ret_status)
{
	struct expressions e = {.code = image->parts[YR_RE_CODE_SECTION].data,
		.size = image->parts[YR_RE_CODE_SECTION].size};
	AUTO_FREE uint8_t *begins = calloc((size_t)image->parts[YR_CODE_SECTION].size + 1, 1);
	AUTO_FREE uint16_t *known = calloc(e.size + 1, sizeof(*known));
	AUTO_FREE uint32_t *todo = calloc(e.size + 1, sizeof(*todo));
	const char *fault;

	if (!begins || !known || !todo) {
		*ret_status = err_nomem();
		return NULL;
	}
	e.known = known;
	e.todo = todo;
	fault = conditions_fault(image, begins);
	return fault ? fault : expressions_fault(image, &e, begins);
}
