/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compression by zstd, a frame a chunk, so that all threads compress at once: a file of several
 * frames is a valid zstd file (RFC 8878, section 3). Contexts are kept, as making one costs as
 * much as compressing a small chunk.
 */
#include "export/dump.h"

#include "base/err.h"

void zstd_stored_head(size_t size, uint8_t ret_head[ZSTD_STORED_HEAD])
{
	uint32_t block = (uint32_t)size << 3 | 1; /* the last block, of raw bytes */
	const uint8_t head[ZSTD_STORED_HEAD] = {0x28, 0xb5, 0x2f, 0xfd, /* magic number */
		0x60, /* a single segment, its size in two bytes, less 256 */
		(uint8_t)(size - 256), (uint8_t)((size - 256) >> 8), (uint8_t)block,
		(uint8_t)(block >> 8), (uint8_t)(block >> 16)};

	memcpy(ret_head, head, sizeof(head));
}

#ifdef HAVE_ZSTD

#include <pthread.h>
#include <zstd.h>

enum { LEVEL = 3, POOL_MAX = 256 };

struct zstd_pool {
	pthread_mutex_t lock;
	ZSTD_CCtx *idle[POOL_MAX];
	size_t count;
};

int zstd_pool_new(struct zstd_pool **ret_pool)
{
	struct zstd_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return err_nomem();
	pthread_mutex_init(&pool->lock, NULL);
	*ret_pool = pool;
	return 0;
}

void zstd_pool_free(struct zstd_pool *pool)
{
	if (!pool)
		return;
	for (size_t i = 0; i < pool->count; i++)
		ZSTD_freeCCtx(pool->idle[i]);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* With a sum of what is in each frame, so that whoever unpacks it knows that it is whole. */
static ZSTD_CCtx *context_new(void)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();

	if (context) {
		ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL);
		ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	}
	return context;
}

static ZSTD_CCtx *pool_take(struct zstd_pool *pool)
{
	ZSTD_CCtx *context = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->count)
		context = pool->idle[--pool->count];
	pthread_mutex_unlock(&pool->lock);
	return context ? context : context_new();
}

static void pool_give(struct zstd_pool *pool, ZSTD_CCtx *context)
{
	pthread_mutex_lock(&pool->lock);
	if (pool->count < POOL_MAX) {
		pool->idle[pool->count++] = context;
		context = NULL;
	}
	pthread_mutex_unlock(&pool->lock);
	ZSTD_freeCCtx(context);
}

int zstd_frame(
	struct zstd_pool *pool, const void *data, size_t size, void **ret_data, size_t *ret_size)
{
	size_t room = ZSTD_compressBound(size);
	AUTO_FREE void *out = malloc(room);
	ZSTD_CCtx *context = pool_take(pool);
	size_t n;

	if (!out || !context) {
		ZSTD_freeCCtx(context);
		return err_nomem();
	}
	n = ZSTD_compress2(context, out, room, data, size);
	pool_give(pool, context);
	if (ZSTD_isError(n))
		return err_set(MS_ERR_MEMORY, "cannot compress: %s", ZSTD_getErrorName(n));
	*ret_data = take_pointer(&out);
	*ret_size = n;
	return 0;
}

#else

int zstd_pool_new(struct zstd_pool **ret_pool)
{
	(void)ret_pool;
	return err_set(MS_ERR_UNSUPPORTED, "this build cannot compress: it was made without zstd");
}

void zstd_pool_free(struct zstd_pool *pool)
{
	(void)pool;
}

int zstd_frame(
	struct zstd_pool *pool, const void *data, size_t size, void **ret_data, size_t *ret_size)
{
	(void)pool, (void)data, (void)size, (void)ret_data, (void)ret_size;
	return err_set(MS_ERR_UNSUPPORTED, "this build cannot compress: it was made without zstd");
}

#endif
