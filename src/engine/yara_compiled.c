/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled rules. libyara's loader takes a file at its word: what it loads holds code for its
 * machine and places in memory. So a file is only handed over when its version is the one this
 * libyara writes and its table of parts (four bytes "YARA", the version, the number of parts,
 * then 8 bytes of offset and 4 of size for each) lies inside the file. That keeps out damaged and
 * foreign files. It does not make a hostile one harmless: SECURITY.md says so.
 *
 * And what the rules look like in records.
 */
#include "engine/yara.h"

#include "base/bytes.h"
#include "base/err.h"

enum { HEADER_SIZE = 6, PART_SIZE = 12 };

bool yara_is_compiled(const uint8_t *data, size_t size)
{
	return size >= 4 && memcmp(data, "YARA", 4) == 0;
}

static int compiled_check(const char *path, const uint8_t *data, size_t size)
{
	uint64_t end = HEADER_SIZE + (uint64_t)YR_NUM_SECTIONS * PART_SIZE;

	if (size < end)
		return err_set(MS_ERR_FORMAT, "%s: these compiled rules are cut short", path);
	if (data[4] != YR_ARENA_FILE_VERSION || data[5] != YR_NUM_SECTIONS)
		return err_set(MS_ERR_FORMAT,
			"%s: these rules were compiled for another version of YARA (%u; this is "
			"%u); "
			"compile them anew with yarac %s, or give their source",
			path, data[4], YR_ARENA_FILE_VERSION, YR_VERSION);
	for (size_t i = 0; i < YR_NUM_SECTIONS; i++) {
		const uint8_t *part = data + HEADER_SIZE + i * PART_SIZE;
		uint64_t offset = load_u64(part, false), length = load_u32(part + 8, false);

		if (!length)
			continue;
		if (offset < end || offset > size || length > size - offset)
			return err_set(MS_ERR_FORMAT, "%s: these compiled rules are damaged", path);
		end = offset + length;
	}
	return 0;
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

int yara_compiled_load(const char *path, const uint8_t *data, size_t size, YR_RULES **ret_rules)
{
	struct stream bytes = {data, size};
	YR_STREAM stream = {.user_data = &bytes, .read = stream_read};
	int r = compiled_check(path, data, size);
	int e;

	if (r < 0)
		return r;
	e = yr_rules_load_stream(&stream, ret_rules);
	if (e == ERROR_INSUFFICIENT_MEMORY)
		return err_nomem();
	if (e != ERROR_SUCCESS)
		return err_set(MS_ERR_FORMAT, "%s: libyara cannot load these compiled rules (%d)",
			path, e);
	return 0;
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
