/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of chunks seen. Its size is bounded: once it is full, new chunks are not kept.
 */
#include "core/share.h"

#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

enum {
	BUCKETS = 1 << 16,
	ENTRIES_MAX = 1 << 20,	      /* half a TiB of different chunks */
	HITS_MAX = 4096,	      /* of a chunk that is worth keeping, and marks */
	BYTES_MAX = 64 * 1024 * 1024, /* of hits in all */
};

/* Random, so that nobody can foresee which chunks would be taken for one another. */
struct secret {
	struct share_key seed;
	uint64_t factors[2][4];
};

struct share {
	struct secret secret;
	pthread_mutex_t lock;
	struct share_entry *buckets[BUCKETS];
	size_t entries, bytes;
};

int share_new(struct share **ret_share)
{
	struct share *share = calloc(1, sizeof(*share));

	if (!share)
		return err_nomem();
	if (getrandom(&share->secret, sizeof(share->secret), 0) != sizeof(share->secret)) {
		free(share);
		return err_errno(MS_ERR_IO, errno, "cannot get a random number");
	}
	pthread_mutex_init(&share->lock, NULL);
	*ret_share = share;
	return 0;
}

static void entry_free(struct share_entry *entry)
{
	arena_done(&entry->bytes);
	free(entry->marks);
	free(entry->hits);
	free(entry);
}

void share_free(struct share *share)
{
	if (!share)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (share->buckets[i]) {
			struct share_entry *next = share->buckets[i]->next;

			entry_free(share->buckets[i]);
			share->buckets[i] = next;
		}
	pthread_mutex_destroy(&share->lock);
	free(share);
}

/* The finisher of SplitMix64 (Steele, Lea, Flood 2014): every bit depends on every bit. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void key_add(struct share_key *key, uint64_t value)
{
	key->a = mix(key->a ^ value) + 0x9e3779b97f4a7c15u;
	key->b = mix(key->b + value * 0xff51afd7ed558ccdu) ^ (key->b << 1);
}

/* A page at one blow: a sum of products with random odd factors, which mix() then spreads. */
static void key_add_page(
	struct share_key *key, const struct secret *secret, const struct page_id *id)
{
	const uint64_t *f = secret->factors[0], *g = secret->factors[1];

	key->a = mix(key->a ^ (id->kind * (f[0] | 1) + id->object * (f[1] | 1) +
				      id->index * (f[2] | 1) + id->frame * (f[3] | 1))) +
		 f[0];
	key->b = mix(key->b ^ (id->kind * (g[0] | 1) + id->object * (g[1] | 1) +
				      id->index * (g[2] | 1) + id->frame * (g[3] | 1))) +
		 g[0];
}

/* The pages of a chunk and of what lies around it. */
static uint64_t chunk_pages(
	const struct ms_source *src, const struct chunk *chunk, uint64_t *ret_base)
{
	uint64_t end = chunk->base + chunk->fresh + chunk->after;

	*ret_base = align_down(chunk->base - chunk->before, src->page_size);
	return (align_up(end, src->page_size) - *ret_base) / src->page_size;
}

void share_pages_learn(
	struct share_pages *pages, struct ms_source *src, const struct chunk *chunks, size_t count)
{
	uint64_t room = SHARE_PAGES_MAX, base, last, size = chunk_pages(src, &chunks[0], &base);

	for (size_t i = 1; i < count; i++) {
		uint64_t more = chunk_pages(src, &chunks[i], &last);

		more += (last - base) / src->page_size;
		if (more <= room)
			size = max_u64(size, more);
	}
	pages->base = base;
	pages->count = (size_t)size;
	if (!src->ops->identify || size > room ||
		src->ops->identify(src, base, (size_t)size, pages->ids) < 0)
		pages->count = 0;
}

bool share_key_make(const struct share *share, const struct share_pages *pages,
	const struct ms_source *src, const struct chunk *chunk, uint64_t period,
	struct share_key *ret_key)
{
	uint64_t base, count = chunk_pages(src, chunk, &base);
	uint64_t first = (base - pages->base) / src->page_size;
	struct share_key key = share->secret.seed;

	if (base < pages->base || first >= pages->count || count > pages->count - first)
		return false;
	key_add(&key, chunk->base % period);
	key_add(&key, chunk->base - chunk->before - base);
	key_add(&key, chunk->before);
	key_add(&key, chunk->fresh);
	key_add(&key, chunk->after);
	for (uint64_t i = first; i < first + count; i++) {
		if (!pages->ids[i].kind)
			return false;
		key_add_page(&key, &share->secret, &pages->ids[i]);
	}
	*ret_key = key;
	return true;
}

bool share_key_is(const struct share *share, struct ms_source *src, const struct chunk *chunk,
	uint64_t period, struct share_key key)
{
	struct share_pages pages;
	struct share_key now;

	share_pages_learn(&pages, src, chunk, 1);
	return share_key_make(share, &pages, src, chunk, period, &now) && now.a == key.a &&
	       now.b == key.b;
}

static struct share_entry *bucket_find(const struct share *share, struct share_key key)
{
	struct share_entry *entry = share->buckets[key.a % BUCKETS];

	while (entry && (entry->key.a != key.a || entry->key.b != key.b))
		entry = entry->next;
	return entry;
}

const struct share_entry *share_find(struct share *share, struct share_key key)
{
	const struct share_entry *entry;

	pthread_mutex_lock(&share->lock);
	entry = bucket_find(share, key);
	pthread_mutex_unlock(&share->lock);
	/* Entries are never changed or taken out, so it may be used without the lock. */
	return entry;
}

/* A mark that was cut off at either end of all addresses says nothing of one elsewhere. */
static bool marks_copy(
	struct share_entry *entry, uint64_t base, const struct ms_range *marks, size_t count)
{
	entry->marks = calloc(count + 1, sizeof(*entry->marks));
	if (!entry->marks)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!marks[i].base || marks[i].base + marks[i].size == UINT64_MAX)
			return false;
		entry->marks[i] = (struct ms_range){marks[i].base - base, marks[i].size};
	}
	entry->mark_count = count;
	return true;
}

static struct share_entry *entry_new(struct share_key key, uint64_t base, const struct ms_hit *hits,
	size_t count, const struct ms_range *marks, size_t mark_count)
{
	struct share_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->key = key;
	entry->count = count;
	entry->hits = calloc(count + 1, sizeof(*entry->hits));
	for (size_t i = 0; entry->hits && i < count; i++) {
		if (!hit_copy(&entry->hits[i], &hits[i], &entry->bytes)) {
			entry_free(entry);
			return NULL;
		}
		entry->hits[i].address -= base;
	}
	if (!entry->hits || !marks_copy(entry, base, marks, mark_count)) {
		entry_free(entry);
		return NULL;
	}
	return entry;
}

/* Puts the entry in, unless there is no room for it. */
static bool entry_put(struct share *share, struct share_entry *entry)
{
	size_t bytes = entry->bytes.total + entry->count * sizeof(*entry->hits) +
		       entry->mark_count * sizeof(*entry->marks);
	struct share_entry **bucket = &share->buckets[entry->key.a % BUCKETS];

	if (share->entries >= ENTRIES_MAX || share->bytes + bytes > BYTES_MAX ||
		bucket_find(share, entry->key))
		return false;
	entry->next = *bucket;
	*bucket = entry;
	share->entries++;
	share->bytes += bytes;
	return true;
}

void share_add(struct share *share, struct share_key key, uint64_t base, const struct ms_hit *hits,
	size_t count, const struct ms_range *marks, size_t mark_count)
{
	struct share_entry *entry = count <= HITS_MAX && mark_count <= HITS_MAX
					    ? entry_new(key, base, hits, count, marks, mark_count)
					    : NULL;
	bool kept;

	if (!entry)
		return;
	pthread_mutex_lock(&share->lock);
	kept = entry_put(share, entry);
	pthread_mutex_unlock(&share->lock);
	if (!kept)
		entry_free(entry);
}
