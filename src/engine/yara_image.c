/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled rules before libyara loads them. The file (arena.c of libyara 4.2): the four bytes
 * "YARA", the version, the number of parts; for each part 8 bytes of offset and 4 of size; the
 * parts one behind the other; then, to the end of the file, the places (part and offset, 4 bytes
 * each) that hold a place instead of a pointer. libyara makes pointers of these and takes all else
 * as it is. So here each pointer of each table must be one of these places and lead to an entry of
 * the right table, each index must be below the count it belongs to, and each list must end.
 */
#include "engine/yara_image.h"

#include "base/err.h"
#include "base/mem.h"

enum { HEADER_SIZE = 6, PART_SIZE = 12, REF_SIZE = 8 };

/* ---- Parts and places ---- */

static const char *parts_take(struct yara_image *image, const uint8_t *data, size_t size)
{
	uint64_t end = HEADER_SIZE + (uint64_t)YR_NUM_SECTIONS * PART_SIZE;

	for (size_t i = 0; i < YR_NUM_SECTIONS; i++) {
		const uint8_t *part = data + HEADER_SIZE + i * PART_SIZE;
		uint32_t length = load_u32(part + 8, false);

		if (load_u64(part, false) != end)
			return "a part is not where it belongs";
		if (length > size - end)
			return "it is cut short";
		image->parts[i] = (struct yara_part){data + end, length};
		end += length;
	}
	if ((size - end) % REF_SIZE)
		return "it is cut short";
	image->ref_count = (size_t)(size - end) / REF_SIZE;
	return NULL;
}

static int ref_compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static struct yara_place place_load(const uint8_t *from)
{
	return (struct yara_place){load_u32(from, false), load_u32(from + 4, false)};
}

static bool is_null(struct yara_place place)
{
	return place.part == UINT32_MAX && place.offset == UINT32_MAX;
}

/* Whether `size` bytes at a place lie in its part. */
static bool place_has(const struct yara_image *image, struct yara_place place, uint64_t size)
{
	return place.part < YR_NUM_SECTIONS && place.offset <= image->parts[place.part].size &&
	       size <= image->parts[place.part].size - place.offset;
}

/* Takes the list of places at `from`, which has room for ref_count of them. */
static const char *refs_take(struct yara_image *image, const uint8_t *from)
{
	for (size_t i = 0; i < image->ref_count; i++) {
		struct yara_place place = place_load(from + i * REF_SIZE), target;

		if (!place_has(image, place, REF_SIZE))
			return "a pointer lies outside of its part";
		target = place_load(image->parts[place.part].data + place.offset);
		if (!is_null(target) && !place_has(image, target, 0))
			return "a pointer leads out of its part";
		image->refs[i] = (uint64_t)place.part << 32 | place.offset;
	}
	if (image->ref_count)
		qsort(image->refs, image->ref_count, sizeof(*image->refs), ref_compare);
	for (size_t i = 1; i < image->ref_count; i++)
		if (image->refs[i] - image->refs[i - 1] < REF_SIZE)
			return "two pointers overlap";
	return NULL;
}

bool yara_image_ref(
	const struct yara_image *image, uint32_t part, uint64_t offset, struct yara_place *ret)
{
	uint64_t key = (uint64_t)part << 32 | offset;

	if (!image->ref_count ||
		!bsearch(&key, image->refs, image->ref_count, sizeof(key), ref_compare))
		return false;
	*ret = place_load(image->parts[part].data + offset);
	return true;
}

bool yara_image_entry(const struct yara_image *image, struct yara_place place, uint32_t part,
	size_t entry_size, uint32_t *ret_index)
{
	if (place.part != part || place.offset % entry_size || !place_has(image, place, entry_size))
		return false;
	*ret_index = (uint32_t)(place.offset / entry_size);
	return true;
}

bool yara_image_text(const struct yara_image *image, struct yara_place place)
{
	return place.part == YR_SZ_POOL && place_has(image, place, 1) &&
	       memchr(image->parts[YR_SZ_POOL].data + place.offset, 0,
		       image->parts[YR_SZ_POOL].size - place.offset);
}

/* ---- Tables ---- */

#define FIELD(type, name) (uint32_t) offsetof(type, name)

static const uint8_t *entry_at(const struct yara_image *image, uint32_t part, uint64_t offset)
{
	return image->parts[part].data + offset;
}

static uint32_t number_at(const struct yara_image *image, uint32_t part, uint64_t offset)
{
	return load_u32(entry_at(image, part, offset), false);
}

/* A pointer to a text; NULL only where `null` says so. */
static bool text_is_right(const struct yara_image *image, uint32_t part, uint64_t offset, bool null)
{
	struct yara_place place;

	return yara_image_ref(image, part, offset, &place) &&
	       (is_null(place) ? null : yara_image_text(image, place));
}

static const char *summary_fault(struct yara_image *image)
{
	const struct yara_part *parts = image->parts;

	if (parts[YR_SUMMARY_SECTION].size != sizeof(YR_SUMMARY))
		return "its summary is not of the right size";
	image->rules = number_at(image, YR_SUMMARY_SECTION, FIELD(YR_SUMMARY, num_rules));
	image->strings = number_at(image, YR_SUMMARY_SECTION, FIELD(YR_SUMMARY, num_strings));
	image->spaces = number_at(image, YR_SUMMARY_SECTION, FIELD(YR_SUMMARY, num_namespaces));
	/* Behind the last rule and the last variable stands one that marks the end. */
	if (parts[YR_RULES_TABLE].size != ((uint64_t)image->rules + 1) * sizeof(YR_RULE) ||
		parts[YR_STRINGS_TABLE].size != (uint64_t)image->strings * sizeof(YR_STRING) ||
		parts[YR_NAMESPACES_TABLE].size != (uint64_t)image->spaces * sizeof(YR_NAMESPACE) ||
		parts[YR_METAS_TABLE].size % sizeof(YR_META) ||
		!parts[YR_EXTERNAL_VARIABLES_TABLE].size ||
		parts[YR_EXTERNAL_VARIABLES_TABLE].size % sizeof(YR_EXTERNAL_VARIABLE))
		return "a table is not of the size that its summary tells";
	return NULL;
}

static const char *spaces_fault(const struct yara_image *image)
{
	for (uint32_t i = 0; i < image->spaces; i++) {
		uint64_t at = (uint64_t)i * sizeof(YR_NAMESPACE);

		if (!text_is_right(
			    image, YR_NAMESPACES_TABLE, at + FIELD(YR_NAMESPACE, name), false) ||
			number_at(image, YR_NAMESPACES_TABLE, at + FIELD(YR_NAMESPACE, idx)) != i)
			return "a namespace is wrong";
	}
	return NULL;
}

static const char *metas_fault(const struct yara_image *image)
{
	for (uint64_t at = 0; at < image->parts[YR_METAS_TABLE].size; at += sizeof(YR_META)) {
		bool text = number_at(image, YR_METAS_TABLE, at + FIELD(YR_META, type)) ==
			    META_TYPE_STRING;

		if (!text_is_right(image, YR_METAS_TABLE, at + FIELD(YR_META, identifier), false) ||
			!text_is_right(image, YR_METAS_TABLE, at + FIELD(YR_META, string), !text))
			return "a piece of metadata is wrong";
	}
	return NULL;
}

static const char *variables_fault(const struct yara_image *image)
{
	const uint32_t part = YR_EXTERNAL_VARIABLES_TABLE;
	uint64_t last = image->parts[part].size - sizeof(YR_EXTERNAL_VARIABLE);

	for (uint64_t at = 0; at <= last; at += sizeof(YR_EXTERNAL_VARIABLE)) {
		uint32_t type = number_at(image, part, at + FIELD(YR_EXTERNAL_VARIABLE, type));
		uint64_t value = at + FIELD(YR_EXTERNAL_VARIABLE, value);
		bool end = type == EXTERNAL_VARIABLE_TYPE_NULL;

		/* A text that libyara would free comes from no file. */
		if (end != (at == last) || type > EXTERNAL_VARIABLE_TYPE_STRING)
			return "a variable is of no known type";
		if (!end && !text_is_right(image, part,
				    at + FIELD(YR_EXTERNAL_VARIABLE, identifier), false))
			return "a variable has no name";
		if (type == EXTERNAL_VARIABLE_TYPE_STRING &&
			!text_is_right(image, part, value, false))
			return "a variable has no value";
	}
	return NULL;
}

/* Whether the entries from a pointer on end with one that has the flag. */
static bool list_ends(const struct yara_image *image, uint64_t pointer, uint32_t part,
	size_t entry_size, uint32_t flags_at, uint32_t flag)
{
	struct yara_place place;
	uint32_t index;

	if (!yara_image_ref(image, YR_RULES_TABLE, pointer, &place))
		return false;
	if (is_null(place))
		return true;
	if (!yara_image_entry(image, place, part, entry_size, &index))
		return false;
	for (uint64_t at = place.offset; at < image->parts[part].size; at += entry_size)
		if (number_at(image, part, at + flags_at) & flag)
			return true;
	return false;
}

/* Texts one behind the other; an empty one ends them. */
static bool tags_end(const struct yara_image *image, uint64_t pointer)
{
	const struct yara_part *pool = &image->parts[YR_SZ_POOL];
	struct yara_place place;

	if (!yara_image_ref(image, YR_RULES_TABLE, pointer, &place))
		return false;
	if (is_null(place))
		return true;
	while (yara_image_text(image, place)) {
		size_t length = strlen((const char *)pool->data + place.offset);

		if (!length)
			return true;
		place.offset += (uint32_t)length + 1;
	}
	return false;
}

static bool rule_is_right(const struct yara_image *image, uint64_t at)
{
	struct yara_place space;
	uint32_t index;

	return text_is_right(image, YR_RULES_TABLE, at + FIELD(YR_RULE, identifier), false) &&
	       tags_end(image, at + FIELD(YR_RULE, tags)) &&
	       list_ends(image, at + FIELD(YR_RULE, metas), YR_METAS_TABLE, sizeof(YR_META),
		       FIELD(YR_META, flags), META_FLAGS_LAST_IN_RULE) &&
	       list_ends(image, at + FIELD(YR_RULE, strings), YR_STRINGS_TABLE, sizeof(YR_STRING),
		       FIELD(YR_STRING, flags), STRING_FLAGS_LAST_IN_RULE) &&
	       yara_image_ref(image, YR_RULES_TABLE, at + FIELD(YR_RULE, ns), &space) &&
	       yara_image_entry(image, space, YR_NAMESPACES_TABLE, sizeof(YR_NAMESPACE), &index);
}

static const char *rules_fault(const struct yara_image *image)
{
	for (uint32_t i = 0; i <= image->rules; i++) {
		uint64_t at = (uint64_t)i * sizeof(YR_RULE);
		bool end = number_at(image, YR_RULES_TABLE, at + FIELD(YR_RULE, flags)) &
			   RULE_FLAGS_NULL;

		if (end != (i == image->rules))
			return "its rules do not end where they should";
		if (!end && !rule_is_right(image, at))
			return "a rule is wrong";
	}
	return NULL;
}

/* The parts of a string refer to the one before, so no chain has a circle. */
static bool string_is_right(const struct yara_image *image, uint32_t i)
{
	uint64_t at = (uint64_t)i * sizeof(YR_STRING);
	uint32_t flags = number_at(image, YR_STRINGS_TABLE, at + FIELD(YR_STRING, flags));
	uint32_t length = number_at(image, YR_STRINGS_TABLE, at + FIELD(YR_STRING, length));
	struct yara_place bytes, before;
	uint32_t index;

	if (number_at(image, YR_STRINGS_TABLE, at + FIELD(YR_STRING, idx)) != i ||
		number_at(image, YR_STRINGS_TABLE, at + FIELD(YR_STRING, rule_idx)) >=
			image->rules ||
		!text_is_right(image, YR_STRINGS_TABLE, at + FIELD(YR_STRING, identifier), false) ||
		!yara_image_ref(image, YR_STRINGS_TABLE, at + FIELD(YR_STRING, string), &bytes) ||
		!yara_image_ref(
			image, YR_STRINGS_TABLE, at + FIELD(YR_STRING, chained_to), &before))
		return false;
	if (flags & STRING_FLAGS_LITERAL &&
		(bytes.part != YR_SZ_POOL || !length || length > INT32_MAX ||
			!place_has(image, bytes, length)))
		return false;
	if (is_null(before))
		return !(flags & STRING_FLAGS_CHAIN_TAIL);
	return yara_image_entry(image, before, YR_STRINGS_TABLE, sizeof(YR_STRING), &index) &&
	       index < i;
}

static const char *strings_fault(const struct yara_image *image)
{
	for (uint32_t i = 0; i < image->strings; i++)
		if (!string_is_right(image, i))
			return "a string is wrong";
	return NULL;
}

/* ---- The automaton ---- */

/*
 * A state is a place in the table of transitions. Each edge leads away from the root, to a state
 * that no other edge leads to; a state falls back to one that is nearer to the root. So `depth`
 * tells all: 0 for what is no state, else the distance from the root, counted from 1.
 */
struct automaton {
	const struct yara_image *image;
	uint8_t *depth;
	uint32_t *todo;
	size_t size, todo_count;
};

static const char *edges_fault(struct automaton *a, uint32_t state)
{
	for (uint32_t c = 1; c <= 256; c++) {
		uint32_t t = number_at(a->image, YR_AC_TRANSITION_TABLE,
			((uint64_t)state + c) * sizeof(YR_AC_TRANSITION));
		uint32_t next = YR_AC_NEXT_STATE(t);

		if (YR_AC_INVALID_TRANSITION(t, c))
			continue;
		if ((uint64_t)next + 256 >= a->size || a->depth[next] ||
			a->depth[state] > YR_MAX_ATOM_LENGTH)
			return "its automaton goes astray";
		a->depth[next] = a->depth[state] + 1;
		a->todo[a->todo_count++] = next;
	}
	return NULL;
}

static const char *states_fault(struct automaton *a)
{
	const char *fault = NULL;

	a->depth[0] = 1;
	a->todo[a->todo_count++] = 0;
	for (size_t i = 0; i < a->todo_count && !fault; i++)
		fault = edges_fault(a, a->todo[i]);
	for (size_t i = 1; i < a->todo_count && !fault; i++) {
		uint32_t t = number_at(a->image, YR_AC_TRANSITION_TABLE,
			(uint64_t)a->todo[i] * sizeof(YR_AC_TRANSITION));
		uint32_t back = YR_AC_NEXT_STATE(t);

		if (back >= a->size || !a->depth[back] || a->depth[back] >= a->depth[a->todo[i]])
			fault = "its automaton does not find back";
	}
	for (size_t i = 0; i < a->todo_count && !fault; i++)
		if (number_at(a->image, YR_AC_STATE_MATCHES_TABLE,
			    (uint64_t)a->todo[i] * sizeof(uint32_t)) >
			a->image->parts[YR_AC_STATE_MATCHES_POOL].size / sizeof(YR_AC_MATCH))
			fault = "a state of its automaton has no matches where it should";
	return fault;
}

static const char *match_fault(const struct yara_image *image, uint64_t at)
{
	const uint32_t part = YR_AC_STATE_MATCHES_POOL;
	struct yara_place string, forward, backward;
	uint32_t index, flags;

	if (!yara_image_ref(image, part, at + FIELD(YR_AC_MATCH, string), &string) ||
		!yara_image_ref(image, part, at + FIELD(YR_AC_MATCH, forward_code), &forward) ||
		!yara_image_ref(image, part, at + FIELD(YR_AC_MATCH, backward_code), &backward) ||
		!yara_image_entry(image, string, YR_STRINGS_TABLE, sizeof(YR_STRING), &index))
		return "an atom belongs to no string";
	flags = number_at(image, YR_STRINGS_TABLE, string.offset + FIELD(YR_STRING, flags));
	if ((!is_null(forward) && forward.part != YR_RE_CODE_SECTION) ||
		(!is_null(backward) && backward.part != YR_RE_CODE_SECTION) ||
		(is_null(forward) && !(flags & STRING_FLAGS_LITERAL)))
		return "an atom has no code";
	return NULL;
}

/* Lists of matches may share their ends, but none may be a circle: `seen` tells in which walk. */
static const char *lists_fault(const struct yara_image *image, uint32_t *seen, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i, next = i;

		while (!seen[at]) {
			struct yara_place place;

			seen[at] = i + 1;
			if (!yara_image_ref(image, YR_AC_STATE_MATCHES_POOL,
				    (uint64_t)at * sizeof(YR_AC_MATCH) + FIELD(YR_AC_MATCH, next),
				    &place))
				return "a list of atoms is broken";
			if (is_null(place))
				break;
			if (!yara_image_entry(image, place, YR_AC_STATE_MATCHES_POOL,
				    sizeof(YR_AC_MATCH), &next) ||
				seen[next] == i + 1)
				return "a list of atoms does not end";
			at = next;
		}
	}
	return NULL;
}

static const char *matches_fault(const struct yara_image *image, int *ret_status)
{
	uint32_t size = image->parts[YR_AC_STATE_MATCHES_POOL].size;
	AUTO_FREE uint32_t *seen = calloc(size / sizeof(YR_AC_MATCH) + 1, sizeof(*seen));
	const char *fault = NULL;

	if (!seen) {
		*ret_status = err_nomem();
		return NULL;
	}
	if (size % sizeof(YR_AC_MATCH))
		return "its table of atoms is not of the right size";
	for (uint64_t at = 0; at < size && !fault; at += sizeof(YR_AC_MATCH))
		fault = match_fault(image, at);
	return fault ? fault : lists_fault(image, seen, (uint32_t)(size / sizeof(YR_AC_MATCH)));
}

static const char *automaton_fault(const struct yara_image *image, int *ret_status)
{
	uint32_t size = image->parts[YR_AC_TRANSITION_TABLE].size;
	size_t states = size / sizeof(YR_AC_TRANSITION);
	AUTO_FREE uint8_t *depth = calloc(states + 1, 1);
	AUTO_FREE uint32_t *todo = calloc(states + 1, sizeof(*todo));
	struct automaton a = {image, depth, todo, states, 0};
	const char *fault;

	if (!depth || !todo) {
		*ret_status = err_nomem();
		return NULL;
	}
	if (size % sizeof(YR_AC_TRANSITION) || states <= 256 ||
		image->parts[YR_AC_STATE_MATCHES_TABLE].size < size)
		return "its automaton is not of the right size";
	fault = states_fault(&a);
	return fault ? fault : matches_fault(image, ret_status);
}

/* ---- The whole ---- */

static const char *image_fault(struct yara_image *image, int *ret_status)
{
	static const char *(*const checks[])(const struct yara_image *) = {
		spaces_fault, metas_fault, variables_fault, strings_fault, rules_fault};
	const char *fault = summary_fault(image);

	for (size_t i = 0; i < ARRAY_SIZE(checks) && !fault; i++)
		fault = checks[i](image);
	if (!fault)
		fault = automaton_fault(image, ret_status);
	return fault || *ret_status < 0 ? fault : yara_code_fault(image, ret_status);
}

int yara_image_check(const char *path, const uint8_t *data, size_t size)
{
	struct yara_image image = {0};
	AUTO_FREE uint64_t *refs = NULL;
	const char *fault;
	int status = 0;

	if (size < HEADER_SIZE + YR_NUM_SECTIONS * PART_SIZE)
		return err_set(MS_ERR_FORMAT, "%s: these compiled rules are cut short", path);
	if (data[4] != YR_ARENA_FILE_VERSION || data[5] != YR_NUM_SECTIONS)
		return err_set(MS_ERR_FORMAT,
			"%s: these rules were compiled for another version of YARA (%u; this is "
			"%u); compile them anew with yarac %s, or give their source",
			path, data[4], YR_ARENA_FILE_VERSION, YR_VERSION);
	fault = parts_take(&image, data, size);
	if (!fault) {
		image.refs = refs = calloc(image.ref_count + 1, sizeof(*refs));
		if (!refs)
			return err_nomem();
		fault = refs_take(&image, data + size - image.ref_count * REF_SIZE);
	}
	if (!fault)
		fault = image_fault(&image, &status);
	if (fault)
		return err_set(
			MS_ERR_FORMAT, "%s: these compiled rules are damaged: %s", path, fault);
	return status;
}
