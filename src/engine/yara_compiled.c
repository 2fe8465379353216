/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled rules. libyara's loader takes a file at its word: it makes pointers of what the file
 * says and runs the code in it. So a file is checked from the first byte to the last
 * (yara_image.c), and then tried out by another process (yara_trial.c), before it is loaded here.
 * That keeps out damaged and foreign files. A file that was made to pass can still do harm:
 * SECURITY.md says so.
 *
 * And what the rules look like in records.
 */
#include "engine/yara.h"

#include "base/err.h"
#include "engine/yara_image.h"

bool yara_is_compiled(const uint8_t *data, size_t size)
{
	return size >= 4 && memcmp(data, "YARA", 4) == 0;
}

struct stream {
	const uint8_t *data;
	size_t left;
};

static size_t stream_read(void *to, size_t size, size_t count, void *ctx)
{
	struct stream *stream = ctx;
	size_t bytes;

	if (!size || !mul_size(size, count, &bytes))
		return 0;
	bytes = (size_t)min_u64(bytes, stream->left);
	bytes -= bytes % size;
	memcpy(to, stream->data, bytes);
	stream->data += bytes;
	stream->left -= bytes;
	return bytes / size;
}

int yara_compiled_open(const char *path, const uint8_t *data, size_t size, YR_RULES **ret_rules)
{
	struct stream bytes = {data, size};
	YR_STREAM stream = {.user_data = &bytes, .read = stream_read};
	int e = yr_rules_load_stream(&stream, ret_rules);

	if (e == ERROR_INSUFFICIENT_MEMORY)
		return err_nomem();
	if (e != ERROR_SUCCESS)
		return err_set(MS_ERR_FORMAT, "%s: libyara cannot load these compiled rules (%d)",
			path, e);
	return 0;
}

int yara_compiled_load(const char *path, const uint8_t *data, size_t size,
	const struct ms_engine_options *options, YR_RULES **ret_rules)
{
	int r = yara_image_check(path, data, size);

	if (r == 0)
		r = yara_compiled_try(path, data, size, options);
	return r < 0 ? r : yara_compiled_open(path, data, size, ret_rules);
}

/* ---- Rules in records ---- */

static const struct ms_column tag_columns[] = {{"", MS_TYPE_TEXT}};
static const struct ms_schema tag_schema = {"tag", 1, tag_columns};

static const struct ms_column text_columns[] = {{"name", MS_TYPE_TEXT}, {"value", MS_TYPE_TEXT}};
static const struct ms_column number_columns[] = {{"name", MS_TYPE_TEXT}, {"value", MS_TYPE_U64}};
static const struct ms_column signed_columns[] = {{"name", MS_TYPE_TEXT}, {"value", MS_TYPE_F64}};
static const struct ms_column bool_columns[] = {{"name", MS_TYPE_TEXT}, {"value", MS_TYPE_BOOL}};
static const struct ms_schema text_schema = {"meta", 2, text_columns};
static const struct ms_schema number_schema = {"meta", 2, number_columns};
static const struct ms_schema signed_schema = {"meta", 2, signed_columns};
static const struct ms_schema bool_schema = {"meta", 2, bool_columns};

static struct ms_value text_of(const char *text)
{
	return (struct ms_value){.present = true, .v.data = text, .size = strlen(text)};
}

static void meta_describe(const YR_META *meta, struct ms_record *record, struct ms_value *values)
{
	values[0] = text_of(meta->identifier);
	if (meta->type == META_TYPE_STRING) {
		*record = (struct ms_record){&text_schema, values};
		values[1] = text_of(meta->string);
	} else if (meta->type == META_TYPE_BOOLEAN) {
		*record = (struct ms_record){&bool_schema, values};
		values[1] = (struct ms_value){.present = true, .v.u = meta->integer != 0};
	} else if (meta->integer >= 0) {
		*record = (struct ms_record){&number_schema, values};
		values[1] = (struct ms_value){.present = true, .v.u = (uint64_t)meta->integer};
	} else {
		*record = (struct ms_record){&signed_schema, values};
		values[1] = (struct ms_value){.present = true, .v.f = (double)meta->integer};
	}
}

static int rule_describe(struct arena *arena, YR_RULE *rule, struct ms_rule *shown)
{
	size_t tags = 0, metas = 0;
	struct ms_record *records;
	struct ms_value *values;
	const char *tag;
	YR_META *meta;

	yr_rule_tags_foreach(rule, tag) tags++;
	yr_rule_metas_foreach(rule, meta) metas++;
	records = arena_alloc(arena, (tags + metas + 1) * sizeof(*records));
	values = arena_alloc(arena, (tags + 2 * metas + 1) * sizeof(*values));
	if (!records || !values)
		return err_nomem();
	*shown = (struct ms_rule){
		rule->identifier, rule->ns->name, records, records + tags, tags, metas};
	yr_rule_tags_foreach(rule, tag)
	{
		*values = text_of(tag);
		*records++ = (struct ms_record){&tag_schema, values++};
	}
	yr_rule_metas_foreach(rule, meta)
	{
		meta_describe(meta, records++, values);
		values += 2;
	}
	return 0;
}

int yara_set_describe(struct yara *yara, struct yara_set *set)
{
	int r = 0;

	set->shown = arena_alloc(&yara->arena, (set->rules->num_rules + 1) * sizeof(*set->shown));
	if (!set->shown)
		return err_nomem();
	for (uint32_t i = 0; i < set->rules->num_rules && r == 0; i++)
		r = rule_describe(&yara->arena, &set->rules->rules_table[i], &set->shown[i]);
	return r;
}
