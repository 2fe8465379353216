/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input is a hex pattern; one that is accepted is searched for in bytes that hold long runs
 * as well as every value.
 */
#include "engine/engines.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 4096, BEFORE = 16 };

struct last {
	struct ms_emit emit;
	const struct ms_span *span;
	uint64_t address;
};

static int hit_take(struct ms_emit *emit, const struct ms_hit *hit)
{
	struct last *last = (struct last *)emit;

	assert(hit->address > last->address || !last->address);
	assert(hit->address - last->span->address < last->span->fresh);
	assert(hit->address - last->span->address + hit->size <= last->span->size);
	last->address = hit->address;
	return 0;
}

static void data_fill(uint8_t data[SIZE])
{
	for (size_t i = 0; i < SIZE; i++)
		data[i] = i < 1024 ? 0 : i < 2048 ? (uint8_t)i : (uint8_t)(i * i >> 3);
	memset(data + 3000, 0xaa, 500);
}

static void pattern_search(const struct ms_engine *engine)
{
	uint8_t *data = malloc(SIZE);
	struct ms_span span = {
		.size = SIZE - BEFORE, .fresh = SIZE - 512, .before = BEFORE, .address = 0x1000};
	struct last last = {.emit.hit = hit_take, .span = &span};

	if (!data)
		return;
	data_fill(data);
	span.data = data + BEFORE;
	engine->ops->span(engine, NULL, &span, &last.emit);
	free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	char *text = malloc(size + 1);
	struct ms_arg arg = {"hex", text};
	struct ms_engine engine = {&bytes_engine, calloc(1, bytes_engine.priv_size)};

	if (text && engine.priv) {
		memcpy(text, input, size);
		text[size] = '\0';
		if (engine.ops->create(&engine, &arg, 1) == 0)
			pattern_search(&engine);
		engine.ops->destroy(&engine);
	}
	free(engine.priv);
	free(text);
	return 0;
}
