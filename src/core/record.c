/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The schemas: what each type of record is called and which columns it has. They are a promise
 * to scripts (docs/records.md): columns may be added at the end, never renamed or moved.
 */
#include "core/record.h"

#include "base/err.h"
#include "base/mem.h"

#define SCHEMA(name, columns)                                                                      \
	const struct ms_schema ms_schema_##name = {#name, ARRAY_SIZE(columns), columns};           \
	_Static_assert(ARRAY_SIZE(columns) <= MS_COLUMNS_MAX, #name " has too many columns")

static const struct ms_column process_columns[] = {
	{"pid", MS_TYPE_U64},
	{"ppid", MS_TYPE_U64},
	{"name", MS_TYPE_TEXT},
	{"exe", MS_TYPE_TEXT},
	{"cmdline", MS_TYPE_TEXT},
	{"user", MS_TYPE_TEXT},
	{"started", MS_TYPE_TIME},
	{"arch", MS_TYPE_TEXT},
	{"rss", MS_TYPE_U64},
	{"system", MS_TYPE_BOOL},
	{"kernel", MS_TYPE_BOOL},
	{"exe_deleted", MS_TYPE_BOOL},
};
SCHEMA(process, process_columns);

static const struct ms_column region_columns[] = {
	{"pid", MS_TYPE_U64},
	{"process", MS_TYPE_TEXT},
	{"start", MS_TYPE_ADDRESS},
	{"end", MS_TYPE_ADDRESS},
	{"size", MS_TYPE_U64},
	{"perm", MS_TYPE_TEXT},
	{"kind", MS_TYPE_TEXT},
	{"path", MS_TYPE_TEXT},
	{"offset", MS_TYPE_U64},
	{"resident", MS_TYPE_U64},
	{"device", MS_TYPE_TEXT},
	{"inode", MS_TYPE_U64},
	{"deleted", MS_TYPE_BOOL},
	{"device_memory", MS_TYPE_BOOL},
	{"anonymous", MS_TYPE_BOOL},
};
SCHEMA(region, region_columns);

static const struct ms_column module_columns[] = {
	{"pid", MS_TYPE_U64},
	{"process", MS_TYPE_TEXT},
	{"base", MS_TYPE_ADDRESS},
	{"size", MS_TYPE_U64},
	{"path", MS_TYPE_TEXT},
	{"name", MS_TYPE_TEXT},
	{"version", MS_TYPE_TEXT},
	{"build_id", MS_TYPE_TEXT},
};
SCHEMA(module, module_columns);

/* The columns of a hit, which may be one of millions: they are written one by one. */
enum {
	HIT_PID,
	HIT_PROCESS,
	HIT_ADDRESS,
	HIT_SIZE,
	HIT_PATTERN,
	HIT_BYTES,
	HIT_CONTEXT,
	HIT_CONTEXT_BEFORE,
	HIT_REGION_START,
	HIT_REGION_END,
	HIT_PERM,
	HIT_KIND,
	HIT_PATH,
	HIT_MODULE,
	HIT_MODULE_OFFSET,
	HIT_ENCODING,
	HIT_TEXT,
	HIT_CONTINUED,
	HIT_RULE,
	HIT_NAMESPACE,
	HIT_TAGS,
	HIT_META,
	HIT_STRING,
	HIT_XOR_KEY,
	HIT_COLUMNS,
};

static const struct ms_column hit_columns[] = {
	[HIT_PID] = {"pid", MS_TYPE_U64},
	[HIT_PROCESS] = {"process", MS_TYPE_TEXT},
	[HIT_ADDRESS] = {"address", MS_TYPE_ADDRESS},
	[HIT_SIZE] = {"size", MS_TYPE_U64},
	[HIT_PATTERN] = {"pattern", MS_TYPE_TEXT},
	[HIT_BYTES] = {"bytes", MS_TYPE_BYTES},
	[HIT_CONTEXT] = {"context", MS_TYPE_BYTES},
	[HIT_CONTEXT_BEFORE] = {"context_before", MS_TYPE_U64},
	[HIT_REGION_START] = {"region_start", MS_TYPE_ADDRESS},
	[HIT_REGION_END] = {"region_end", MS_TYPE_ADDRESS},
	[HIT_PERM] = {"perm", MS_TYPE_TEXT},
	[HIT_KIND] = {"kind", MS_TYPE_TEXT},
	[HIT_PATH] = {"path", MS_TYPE_TEXT},
	[HIT_MODULE] = {"module", MS_TYPE_TEXT},
	[HIT_MODULE_OFFSET] = {"module_offset", MS_TYPE_U64},
	[HIT_ENCODING] = {"encoding", MS_TYPE_TEXT},
	[HIT_TEXT] = {"text", MS_TYPE_TEXT},
	[HIT_CONTINUED] = {"continued", MS_TYPE_BOOL},
	[HIT_RULE] = {"rule", MS_TYPE_TEXT},
	[HIT_NAMESPACE] = {"namespace", MS_TYPE_TEXT},
	[HIT_TAGS] = {"tags", MS_TYPE_LIST},
	[HIT_META] = {"meta", MS_TYPE_LIST},
	[HIT_STRING] = {"string", MS_TYPE_TEXT},
	[HIT_XOR_KEY] = {"xor_key", MS_TYPE_U64},
};
SCHEMA(hit, hit_columns);
_Static_assert(ARRAY_SIZE(hit_columns) == HIT_COLUMNS, "one value a column");

static const struct ms_column change_columns[] = {
	{"pid", MS_TYPE_U64},
	{"process", MS_TYPE_TEXT},
	{"round", MS_TYPE_U64},
	{"time", MS_TYPE_TIME},
	{"address", MS_TYPE_ADDRESS},
	{"size", MS_TYPE_U64},
	{"old", MS_TYPE_BYTES},
	{"new", MS_TYPE_BYTES},
	{"change", MS_TYPE_TEXT},
	{"region_start", MS_TYPE_ADDRESS},
	{"region_end", MS_TYPE_ADDRESS},
	{"perm", MS_TYPE_TEXT},
	{"kind", MS_TYPE_TEXT},
	{"path", MS_TYPE_TEXT},
	{"old_perm", MS_TYPE_TEXT},
	{"module", MS_TYPE_TEXT},
	{"module_offset", MS_TYPE_U64},
};
SCHEMA(change, change_columns);

static const struct ms_column gap_columns[] = {
	{"start", MS_TYPE_ADDRESS},
	{"end", MS_TYPE_ADDRESS},
	{"reason", MS_TYPE_TEXT},
};
SCHEMA(gap, gap_columns);

static const struct ms_column coverage_columns[] = {
	{"pid", MS_TYPE_U64},
	{"process", MS_TYPE_TEXT},
	{"total", MS_TYPE_U64},
	{"filtered", MS_TYPE_U64},
	{"absent", MS_TYPE_U64},
	{"read", MS_TYPE_U64},
	{"unreadable", MS_TYPE_U64},
	{"skipped", MS_TYPE_U64},
	{"status", MS_TYPE_TEXT},
	{"gaps", MS_TYPE_LIST},
	{"gaps_dropped", MS_TYPE_U64},
};
SCHEMA(coverage, coverage_columns);

static const struct ms_column error_columns[] = {
	{"pid", MS_TYPE_U64},
	{"what", MS_TYPE_TEXT},
	{"why", MS_TYPE_TEXT},
};
SCHEMA(error, error_columns);

static const struct ms_column check_columns[] = {
	{"name", MS_TYPE_TEXT},
	{"status", MS_TYPE_TEXT},
	{"detail", MS_TYPE_TEXT},
	{"remedy", MS_TYPE_TEXT},
};
SCHEMA(check, check_columns);

struct ms_value value_u64(uint64_t u)
{
	return (struct ms_value){.present = true, .v.u = u};
}

struct ms_value value_unknown(void)
{
	return (struct ms_value){.present = false};
}

struct ms_value value_bool(bool b)
{
	return value_u64(b);
}

struct ms_value value_time(int64_t seconds)
{
	return (struct ms_value){.present = seconds != 0, .v.i = seconds};
}

struct ms_value value_text(const char *text)
{
	return text ? value_bytes(text, strlen(text)) : value_unknown();
}

struct ms_value value_bytes(const void *data, size_t size)
{
	return (struct ms_value){.present = true, .v.data = data, .size = size};
}

static struct ms_value value_list(const struct ms_record *items, size_t count)
{
	return (struct ms_value){.present = true, .v.items = items, .size = count};
}

/* The text of "rwxp" for each combination, so that records can borrow it. */
static const char *perm_text(unsigned perm)
{
	static const char texts[16][5] = {"---p", "r--p", "-w-p", "rw-p", "--xp", "r-xp", "-wxp",
		"rwxp", "---s", "r--s", "-w-s", "rw-s", "--xs", "r-xs", "-wxs", "rwxs"};

	return texts[perm & 15];
}

void ms_record_process(const struct ms_process *process, struct ms_value ret_values[MS_COLUMNS_MAX])
{
	const struct ms_value values[] = {
		value_u64(process->pid),
		value_u64(process->ppid),
		value_text(process->name),
		value_text(process->exe),
		value_text(process->cmdline),
		value_text(process->user),
		value_time(process->started),
		value_text(process->arch),
		value_u64(process->rss),
		value_bool(process->system || process->kernel),
		value_bool(process->kernel),
		value_bool(process->exe_deleted),
	};

	_Static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(process_columns), "one value a column");
	memcpy(ret_values, values, sizeof(values));
}

/* Writes at least two digits; returns where they end. */
static char *put_hex(char *at, uint32_t number)
{
	int digits = 2;

	while (digits < 8 && number >> (4 * digits))
		digits++;
	while (digits--)
		*at++ = "0123456789abcdef"[number >> (4 * digits) & 15];
	return at;
}

/* "08:01" as in /proc/PID/maps; the text lives in a static table of the calling thread. */
static const char *device_text(const struct ms_region *region)
{
	static _Thread_local char text[24];
	char *at = put_hex(text, region->dev_major);

	*at++ = ':';
	*put_hex(at, region->dev_minor) = '\0';
	return text;
}

void ms_record_region(const struct ms_process *process, const struct ms_region *region,
	struct ms_value ret_values[MS_COLUMNS_MAX])
{
	const struct ms_value values[] = {
		value_u64(process->pid),
		value_text(process->name),
		value_u64(region->base),
		value_u64(region->base + region->size),
		value_u64(region->size),
		value_text(perm_text(region->perm)),
		value_text(ms_kind_name(region->kind)),
		value_text(region->path),
		value_u64(region->offset),
		region->resident == UINT64_MAX ? value_unknown() : value_u64(region->resident),
		value_text(device_text(region)),
		value_u64(region->inode),
		value_bool(region->flags & MS_REGION_DELETED),
		value_bool(region->flags & MS_REGION_DEVICE),
		value_bool(region->flags & MS_REGION_ANONYMOUS),
	};

	_Static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(region_columns), "one value a column");
	memcpy(ret_values, values, sizeof(values));
}

void ms_record_module(const struct ms_process *process, const struct ms_module *module,
	struct ms_value ret_values[MS_COLUMNS_MAX])
{
	const struct ms_value values[] = {
		value_u64(process->pid),
		value_text(process->name),
		value_u64(module->base),
		value_u64(module->size),
		value_text(module->path),
		value_text(module->name),
		*module->version ? value_text(module->version) : value_unknown(),
		*module->build_id ? value_text(module->build_id) : value_unknown(),
	};

	_Static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(module_columns), "one value a column");
	memcpy(ret_values, values, sizeof(values));
}

void ms_record_check(const struct ms_check *check, struct ms_value ret_values[MS_COLUMNS_MAX])
{
	const char *status = check->status > 0 ? "ok" : check->status == 0 ? "limited" : "missing";
	const struct ms_value values[] = {
		value_text(check->name),
		value_text(status),
		value_text(check->detail),
		value_text(check->remedy),
	};

	_Static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(check_columns), "one value a column");
	memcpy(ret_values, values, sizeof(values));
}

void record_hit_place(const struct ms_process *process, const struct ms_region *region,
	const struct ms_module *module, struct ms_value values[MS_COLUMNS_MAX])
{
	struct ms_value unknown = value_unknown();

	values[HIT_PID] = value_u64(process->pid);
	values[HIT_PROCESS] = value_text(process->name);
	values[HIT_REGION_START] = region ? value_u64(region->base) : unknown;
	values[HIT_REGION_END] = region ? value_u64(region->base + region->size) : unknown;
	values[HIT_PERM] = region ? value_text(perm_text(region->perm)) : unknown;
	values[HIT_KIND] = region ? value_text(ms_kind_name(region->kind)) : unknown;
	values[HIT_PATH] = region ? value_text(region->path) : unknown;
	values[HIT_MODULE] = module ? value_text(module->name) : unknown;
}

static void hit_rule(const struct ms_hit *hit, struct ms_value values[MS_COLUMNS_MAX])
{
	const struct ms_rule *rule = hit->rule;
	struct ms_value unknown = value_unknown();

	values[HIT_RULE] = rule ? value_text(rule->name) : unknown;
	values[HIT_NAMESPACE] = rule ? value_text(rule->space) : unknown;
	values[HIT_TAGS] = rule ? value_list(rule->tags, rule->tag_count) : unknown;
	values[HIT_META] = rule ? value_list(rule->meta, rule->meta_count) : unknown;
	values[HIT_STRING] = rule ? value_text(hit->string) : unknown;
	values[HIT_XOR_KEY] =
		rule && hit->xor_key >= 0 ? value_u64((uint64_t)hit->xor_key) : unknown;
}

/* A text that is mostly the one that is there already. */
static void text_renew(struct ms_value *value, const char *text)
{
	if (value->v.data != text)
		*value = value_text(text);
}

/* Written field by field: a copy of a whole value waits for the fields to be stored. */
static void number_put(struct ms_value *value, bool present, uint64_t number)
{
	value->present = present;
	value->v.u = number;
}

static void bytes_put(struct ms_value *value, bool present, const void *data, size_t size)
{
	value->present = present;
	value->v.data = data;
	value->size = size;
}

void record_hit_found(const struct ms_hit *hit, const struct ms_module *module,
	struct ms_value values[MS_COLUMNS_MAX])
{
	bool placed = !hit->rule || hit->string; /* at an address */

	number_put(&values[HIT_ADDRESS], placed, hit->address);
	number_put(&values[HIT_SIZE], placed, hit->size);
	bytes_put(&values[HIT_BYTES], placed, hit->bytes, hit->bytes_size);
	bytes_put(&values[HIT_CONTEXT], hit->context, hit->context, hit->context_size);
	number_put(&values[HIT_CONTEXT_BEFORE], hit->context, hit->context_before);
	number_put(&values[HIT_MODULE_OFFSET], module, module ? hit->address - module->base : 0);
	bytes_put(&values[HIT_TEXT], hit->text, hit->text, hit->text_size);
	number_put(&values[HIT_CONTINUED], hit->text, hit->continued);
	text_renew(&values[HIT_PATTERN], hit->pattern);
	text_renew(&values[HIT_ENCODING], hit->encoding);
	if (hit->rule || values[HIT_RULE].present)
		hit_rule(hit, values);
}

static const char *change_name(enum change_kind kind)
{
	static const char *const names[] = {[CHANGE_WRITE] = "write",
		[CHANGE_MAP] = "map",
		[CHANGE_UNMAP] = "unmap",
		[CHANGE_PROTECT] = "protect"};

	return names[kind];
}

void record_change(const struct ms_process *process, const struct change *change,
	const struct ms_region *region, const struct ms_module *module,
	struct ms_value ret_values[MS_COLUMNS_MAX])
{
	struct ms_value unknown = value_unknown();
	const struct ms_value values[] = {
		value_u64(process->pid),
		value_text(process->name),
		change->round ? value_u64(change->round) : unknown,
		value_time(change->time),
		value_u64(change->address),
		value_u64(change->size),
		change->old ? value_bytes(change->old, change->shown) : unknown,
		change->now ? value_bytes(change->now, change->shown) : unknown,
		value_text(change_name(change->kind)),
		region ? value_u64(region->base) : unknown,
		region ? value_u64(region->base + region->size) : unknown,
		region ? value_text(perm_text(region->perm)) : unknown,
		region ? value_text(ms_kind_name(region->kind)) : unknown,
		region ? value_text(region->path) : unknown,
		change->kind == CHANGE_PROTECT ? value_text(perm_text(change->old_perm)) : unknown,
		module ? value_text(module->name) : unknown,
		module ? value_u64(change->address - module->base) : unknown,
	};

	_Static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(change_columns), "one value a column");
	memcpy(ret_values, values, sizeof(values));
}

int sink_error(const struct ms_sink *sink, uint32_t pid, const char *what, const char *why)
{
	const struct ms_value values[] = {value_u64(pid), value_text(what), value_text(why)};
	struct ms_record record = {&ms_schema_error, values};

	return sink->record(sink->ctx, &record) ? err_set(MS_ERR_STOPPED, "stopped by its caller")
						: 0;
}

int ms_sink_coverage(const struct ms_sink *sink, const struct ms_process *process,
	const struct ms_coverage *coverage)
{
	enum { GAP_COLUMNS = ARRAY_SIZE(gap_columns) };
	AUTO_FREE struct ms_value(*gap_values)[GAP_COLUMNS] =
		calloc(coverage->gap_count + 1, sizeof(*gap_values));
	AUTO_FREE struct ms_record *gaps = calloc(coverage->gap_count + 1, sizeof(*gaps));

	if (!gap_values || !gaps)
		return err_nomem();
	for (size_t i = 0; i < coverage->gap_count; i++) {
		const struct ms_gap *gap = &coverage->gaps[i];

		gap_values[i][0] = value_u64(gap->base);
		gap_values[i][1] = value_u64(gap->base + gap->size);
		gap_values[i][2] = value_text(ms_state_name(gap->state));
		gaps[i] = (struct ms_record){&ms_schema_gap, gap_values[i]};
	}
	const struct ms_value values[] = {
		value_u64(process->pid),
		value_text(process->name),
		value_u64(coverage->total),
		value_u64(coverage->filtered),
		value_u64(coverage->absent),
		value_u64(coverage->read),
		value_u64(coverage->unreadable),
		value_u64(coverage->skipped),
		value_text(coverage->partial ? "partial" : "complete"),
		{.present = true, .v.items = gaps, .size = coverage->gap_count},
		value_u64(coverage->gaps_dropped),
	};
	struct ms_record record = {&ms_schema_coverage, values};

	_Static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(coverage_columns), "one value a column");
	return sink->record(sink->ctx, &record) ? err_set(MS_ERR_STOPPED, "stopped by its caller")
						: 0;
}
