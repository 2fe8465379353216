/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an engine fills in. A span engine is a pure function of the bytes it is shown: it knows
 * neither where they come from nor how they were cut, and reports only what starts in the fresh
 * part. The core guarantees that a span shows at least `overlap` bytes behind the fresh part and
 * `behind` bytes in front of it wherever the target has them side by side.
 */
#ifndef MS_CORE_ENGINE_H
#define MS_CORE_ENGINE_H

#include "memsift.h"

struct ms_span {
	const uint8_t *data; /* data[0] lies at address; data[-before] is readable */
	const uint8_t *twin; /* in a scan of two sources: the other one's bytes, just as readable */
	size_t size;	     /* readable bytes from data on */
	size_t fresh;	     /* hits may start in the first `fresh` of them */
	size_t before;
	uint64_t address;
	uint64_t position; /* planned bytes of the target before data[0] */
};

struct ms_hit {
	uint64_t address;
	uint64_t size;
	uint64_t value;	      /* for the engine's own use */
	const char *pattern;  /* as the user wrote it; lives as long as the engine */
	const uint8_t *bytes; /* what was found, or its beginning */
	size_t bytes_size;
	const uint8_t *context; /* with what lies around it; NULL unless asked for */
	size_t context_size, context_before;

	/* Of a string; else NULL. */
	const char *encoding; /* a constant */
	const char *text;     /* in UTF-8; may be the very bytes */
	size_t text_size;
	bool continued; /* goes on where a piece of the same string ended */

	/* Of a rule; else NULL. It lives as long as the engine. */
	const struct ms_rule *rule;
	const char *string; /* its identifier; NULL: the rule as a whole, without an address */
	int xor_key;	    /* -1: none */
};

/* A rule as records show it. */
struct ms_rule {
	const char *name, *space; /* its identifier and its namespace */
	const struct ms_record *tags, *meta;
	size_t tag_count, meta_count;
};

/* Where hits go; made by the core. */
struct ms_emit {
	int (*hit)(struct ms_emit *emit, const struct ms_hit *hit);

	/* Only for engines with a `source` operation: a range to come back to. */
	int (*mark)(struct ms_emit *emit, uint64_t base, uint64_t size);
};

struct ms_range {
	uint64_t base, size;
};

/*
 * A target whose spans have all been shown, for the `source` operation of an engine: what was
 * read of it, and what the spans marked. Lives for that one call and its one thread, except for
 * stopped(), which may be called by others.
 */
struct ms_view {
	const struct ms_range *data, *marks; /* ascending, apart from each other; marks in data */
	size_t data_count, mark_count;
	size_t context; /* bytes that a hit is to be shown with, before and behind */

	/*
	 * Reads anew (the target goes on, so the bytes may be others than those of the spans), and
	 * calls piece() for each stretch as reader_read() does.
	 */
	int (*read)(struct ms_view *view, uint64_t base, void *buf, size_t size,
		int (*piece)(void *ctx, uint64_t base, size_t size, enum ms_state state),
		void *ctx);

	/* Says that a part of `data` could not be judged after all, and why. */
	void (*missed)(struct ms_view *view, uint64_t base, uint64_t size, enum ms_state state);

	/*
	 * When the job is to end, the reason: MS_STATE_LIMIT or MS_STATE_DEADLINE; until then
	 * MS_STATE_DATA, which is 0. Asks the clock and the caller.
	 */
	enum ms_state (*stopped)(const struct ms_view *view);
};

struct ms_engine_ops {
	const char *name;
	const char *summary;
	size_t priv_size;    /* of the compiled query, shared by threads */
	size_t scratch_size; /* zeroed, one per thread */

	int (*create)(struct ms_engine *engine, const struct ms_arg *args, size_t count);
	void (*destroy)(struct ms_engine *engine); /* after a failed create, too */

	/* How many bytes behind the fresh part a hit may need, and in front of it; NULL: none. */
	size_t (*overlap)(const struct ms_engine *engine);
	size_t (*behind)(const struct ms_engine *engine);

	/*
	 * Hits depend on the bytes and, of the address, only on its remainder by this number.
	 * NULL: on the bytes alone; so do marks. 0: each span is to be shown, whatever was shown
	 * before.
	 */
	uint64_t (*period)(const struct ms_engine *engine);

	/* Reports hits by ascending address. A non-zero return of emit->hit() is passed on. */
	int (*span)(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
		struct ms_emit *emit);

	/*
	 * NULL: spans are all. Otherwise spans only mark, and this is called once for each target
	 * when its spans are done, for many targets at once. It reports hits in any order, with
	 * their context; a negative return other than MS_ERR_STOPPED becomes the error of the
	 * target, not of the job, unless it is MS_ERR_MEMORY.
	 */
	int (*source)(const struct ms_engine *engine, void *scratch, struct ms_view *view,
		struct ms_emit *emit);

	/* NULL: there is nothing to tell of how the engine was made. */
	void (*notes)(
		const struct ms_engine *engine, const struct ms_note **ret_list, size_t *ret_count);
};

struct ms_engine {
	const struct ms_engine_ops *ops;
	void *priv;
	const struct ms_engine_options *options; /* for create() only; may be NULL */
};

/* An engine of these ops with zeroed private state, before create(). */
int engine_new(const struct ms_engine_ops *ops, struct ms_engine **ret_engine);

size_t engine_overlap(const struct ms_engine *engine);
size_t engine_behind(const struct ms_engine *engine);
uint64_t engine_period(const struct ms_engine *engine);

struct arena;

/* Copies a hit with all that it points to; false when memory runs out. */
bool hit_copy(struct ms_hit *to, const struct ms_hit *from, struct arena *bytes);

#endif
