/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that several targets have in common are read and searched once: libraries, shared memory,
 * what a fork left shared. A chunk is known by the identities of its pages and of those around
 * it that a hit may reach; when the same pages come up again, in any process and at any address,
 * the hits found before are reported there without a look at the bytes.
 */
#ifndef MS_CORE_SHARE_H
#define MS_CORE_SHARE_H

#include "core/engine.h"
#include "core/host.h"
#include "core/plan.h"

struct share;

enum { SHARE_PAGES_MAX = 1024 }; /* that are looked at at once */

/* What the pages of some neighbouring chunks, and those around them, are. */
struct share_pages {
	uint64_t base;
	size_t count; /* 0: nothing is known */
	struct page_id ids[SHARE_PAGES_MAX];
};

struct share_key {
	uint64_t a, b;
};

/* The hits and marks of a chunk; addresses count from its base. */
struct share_entry {
	struct share_key key;
	struct share_entry *next;
	size_t count;
	struct ms_hit *hits;
	size_t mark_count;
	struct ms_range *marks; /* may begin in front of it */
	struct arena bytes;
};

int share_new(struct share **ret_share);
void share_free(struct share *share);

/* Asks the source about the pages of so many (> 0) ascending chunks, or of as many as fit. */
void share_pages_learn(
	struct share_pages *pages, struct ms_source *src, const struct chunk *chunks, size_t count);

/*
 * Makes the key of a chunk; false if it has a page that no other process can have, or that is
 * not among those known. Hits depend on the address modulo `period` besides the bytes.
 */
bool share_key_make(const struct share *share, const struct share_pages *pages,
	const struct ms_source *src, const struct chunk *chunk, uint64_t period,
	struct share_key *ret_key);

/* Whether the chunk still has that key, asked anew. */
bool share_key_is(const struct share *share, struct ms_source *src, const struct chunk *chunk,
	uint64_t period, struct share_key key);

/* The entry of that key, or NULL; it stays as it is until share_free(). Any thread. */
const struct share_entry *share_find(struct share *share, struct share_key key);

/*
 * Keeps a copy of the hits and marks of a chunk at `base`. Does nothing when there is one already,
 * or no room for it: then the chunk is searched again. Any thread.
 */
void share_add(struct share *share, struct share_key key, uint64_t base, const struct ms_hit *hits,
	size_t count, const struct ms_range *marks, size_t mark_count);

#endif
