/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/engine.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/scan.h"
#include "engine/engines.h"

#include <assert.h>

int ms_engine_new(const char *name, const struct ms_arg *args, size_t count, ms_engine **ret_engine)
{
	return ms_engine_new_with(name, args, count, NULL, ret_engine);
}

int ms_engine_new_with(const char *name, const struct ms_arg *args, size_t count,
	const struct ms_engine_options *options, ms_engine **ret_engine)
{
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		ms_engine *engine;
		int r;

		if (strcmp(engines[i]->name, name) != 0)
			continue;
		r = engine_new(engines[i], &engine);
		if (r < 0)
			return r;
		engine->options = options;
		r = engine->ops->create(engine, args, count);
		engine->options = NULL;
		if (r < 0) {
			ms_engine_free(engine);
			return r;
		}
		assert(engine_overlap(engine) <= SCAN_OVERLAP_MAX);
		*ret_engine = engine;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(engines_optional); i++)
		if (strcmp(engines_optional[i].name, name) == 0)
			return err_set(MS_ERR_UNSUPPORTED, "%s", engines_optional[i].why);
	return err_set(MS_ERR_UNSUPPORTED, "this build has no engine \"%s\"", name);
}

int engine_new(const struct ms_engine_ops *ops, struct ms_engine **ret_engine)
{
	struct ms_engine *engine = calloc(1, sizeof(*engine));

	*ret_engine = NULL;
	if (engine)
		engine->priv = calloc(1, ops->priv_size ? ops->priv_size : 1);
	if (!engine || !engine->priv) {
		free(engine);
		return err_nomem();
	}
	engine->ops = ops;
	*ret_engine = engine;
	return 0;
}

void ms_engine_free(ms_engine *engine)
{
	if (!engine)
		return;
	if (engine->ops->destroy)
		engine->ops->destroy(engine);
	free(engine->priv);
	free(engine);
}

int ms_engine_notes(const ms_engine *engine, const struct ms_note **ret_list, size_t *ret_count)
{
	*ret_list = NULL;
	*ret_count = 0;
	if (engine->ops->notes)
		engine->ops->notes(engine, ret_list, ret_count);
	return 0;
}

size_t engine_overlap(const struct ms_engine *engine)
{
	return engine->ops->overlap ? engine->ops->overlap(engine) : 0;
}

uint64_t engine_period(const struct ms_engine *engine)
{
	return engine->ops->period ? engine->ops->period(engine) : 1;
}

bool hit_copy(struct ms_hit *to, const struct ms_hit *from, struct arena *bytes)
{
	*to = *from;
	if (from->bytes)
		to->bytes = (uint8_t *)arena_copy(bytes, from->bytes, from->bytes_size);
	if (from->context)
		to->context = (uint8_t *)arena_copy(bytes, from->context, from->context_size);
	if (from->text)
		to->text = from->text == (const char *)from->bytes
				   ? (const char *)to->bytes
				   : arena_copy(bytes, from->text, from->text_size);
	return (to->bytes || !from->bytes) && (to->context || !from->context) &&
	       (to->text || !from->text);
}

size_t engine_behind(const struct ms_engine *engine)
{
	return engine->ops->behind ? engine->ops->behind(engine) : 0;
}
