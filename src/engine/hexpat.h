/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Patterns of bytes as people write them in hex, such as `4D 5A ?? [4-8] (50 45|4E 4?)`: their
 * parser, what a fast search may look for in their place, and their exact matcher.
 *
 * The grammar; white space may stand between any two tokens:
 *	pattern  = sequence | "{" sequence "}"
 *	sequence = item { [ jump ] item }        a jump never begins or ends a sequence
 *	item     = two of 0-9 a-f A-F ?  |  "(" sequence { "|" sequence } ")"
 *	jump     = "[" number "]"  |  "[" number "-" number "]"
 */
#ifndef MS_ENGINE_HEXPAT_H
#define MS_ENGINE_HEXPAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HEXPAT_TEXT_MAX = 256 * 1024, /* characters of a pattern */
	HEXPAT_SIZE_MAX = 64 * 1024,  /* bytes a match may have, and bytes a pattern may list */
	HEXPAT_JUMP_MAX = 65535,
	HEXPAT_DEPTH_MAX = 16,	 /* alternatives within alternatives */
	HEXPAT_NODES_MAX = 4096, /* runs of bytes, jumps, and the marks ( | ) */
};

struct hexpat_node;

/*
 * Bytes that a match must hold: it begins before_min to before_max bytes in front of them. Every
 * match holds at least one of the pattern's anchors.
 */
struct hexpat_anchor {
	const uint8_t *value, *mask;
	size_t size;
	uint32_t before_min, before_max;
};

/* A parsed pattern; immutable, shared by threads. */
struct hexpat {
	size_t size_min, size_max; /* of a match */
	uint8_t *value, *mask;	   /* every byte of the pattern, as the anchors and runs use them */
	size_t byte_count;
	struct hexpat_node *nodes;
	size_t node_count;
	unsigned depth;
	struct hexpat_anchor *anchors;
	size_t anchor_count;
};

/*
 * Parses a pattern. `what` names it in the error, which points at the character that is wrong. A
 * pattern that would match anywhere is refused.
 */
int hexpat_new(const char *what, const char *text, struct hexpat **ret_pattern);
void hexpat_free(struct hexpat *pattern);

/* True when value and mask, size_max bytes of each, say all there is to the pattern. */
bool hexpat_is_literal(const struct hexpat *pattern);

/* Memory that one thread uses again from match to match; begin with zeros. */
struct hexpat_work {
	uint32_t *ends;
	size_t room;
};

void hexpat_work_done(struct hexpat_work *work);

/*
 * Tries every start from first to last (both less than size) and calls matched(), by ascending
 * offset, for those where the pattern matches within data[0..size), with the size of the shortest
 * match. The time grows with (last - first + size_max) * node_count, whatever the data.
 * Returns the first non-zero return of matched(), MS_ERR_MEMORY or 0.
 */
int hexpat_match(const struct hexpat *pattern, struct hexpat_work *work, const uint8_t *data,
	size_t size, size_t first, size_t last,
	int (*matched)(void *ctx, size_t offset, size_t size), void *ctx);

#endif
