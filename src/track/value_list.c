/* SPDX-License-Identifier: BSD-2-Clause */
/* Matches as records, with what is there now beside what was there at the last scan. */
#include "track/values.h"

#include "base/err.h"
#include "base/os.h"
#include "core/record.h"

static const struct ms_column value_columns[] = {
	{"pid", MS_TYPE_U64},
	{"process", MS_TYPE_TEXT},
	{"address", MS_TYPE_ADDRESS},
	{"size", MS_TYPE_U64},
	{"value_type", MS_TYPE_TEXT},
	{"value", MS_TYPE_TEXT},
	{"previous", MS_TYPE_TEXT},
	{"region_start", MS_TYPE_ADDRESS},
	{"region_end", MS_TYPE_ADDRESS},
	{"perm", MS_TYPE_TEXT},
	{"kind", MS_TYPE_TEXT},
	{"path", MS_TYPE_TEXT},
	{"module", MS_TYPE_TEXT},
	{"module_offset", MS_TYPE_U64},
};

const struct ms_schema ms_schema_value = {"value", ARRAY_SIZE(value_columns), value_columns};

struct listing {
	const ms_values *values;
	ms_source *source;
	const struct ms_job *job;
	uint64_t deadline_ns;
	const struct ms_sink *sink;
	const struct ms_module *modules;
	size_t module_count;
	const struct ms_module *module; /* of all addresses from the last one up to this: */
	uint64_t module_from, module_end;
	uint64_t listed;

	/* What was read of the cell being listed. */
	uint8_t bytes[CELL_EXTENT_MAX], mask[CELL_PAGE];
	size_t read;
};

/* Finds the first module that holds the address, and how far the answer stays the same. */
static void module_find(struct listing *listing, uint64_t address)
{
	listing->module = NULL;
	listing->module_from = address;
	listing->module_end = UINT64_MAX;
	for (size_t i = 0; i < listing->module_count; i++) {
		const struct ms_module *module = &listing->modules[i];
		bool inside = address - module->base < module->size;

		if (inside || module->base > address)
			listing->module_end = min_u64(listing->module_end,
				inside ? module->base + module->size : module->base);
		if (inside && !listing->module)
			listing->module = module;
	}
}

/* There may be very many matches and modules, so not each of those is looked at for each of these.
 */
static const struct ms_module *module_at(struct listing *listing, uint64_t address)
{
	if (address < listing->module_from || address >= listing->module_end)
		module_find(listing, address);
	return listing->module;
}

/* Hands out one match; now is NULL if its bytes cannot be read. */
static int match_out(
	struct listing *listing, uint64_t address, const uint8_t *now, const uint8_t *previous)
{
	const struct layout *layout = &listing->values->subject.layout;
	const struct ms_process *process = &listing->source->process;
	const struct ms_region *region = region_find(&listing->source->regions, address);
	const struct ms_module *module = module_at(listing, address);
	char value_text_now[VALUE_TEXT_MAX], value_text_before[VALUE_TEXT_MAX], perm[5];
	struct ms_value unknown = value_unknown();

	value_format(layout, previous, value_text_before);
	if (now)
		value_format(layout, now, value_text_now);
	if (region)
		ms_perm_text(region->perm, perm);
	const struct ms_value values[] = {
		value_u64(process->pid),
		value_text(process->name),
		value_u64(address),
		value_u64(layout->size),
		value_text(layout->type->name),
		now ? value_text(value_text_now) : unknown,
		value_text(value_text_before),
		region ? value_u64(region->base) : unknown,
		region ? value_u64(region->base + region->size) : unknown,
		region ? value_text(perm) : unknown,
		region ? value_text(ms_kind_name(region->kind)) : unknown,
		region ? value_text(region->path) : unknown,
		module ? value_text(module->name) : unknown,
		module ? value_u64(address - module->base) : unknown,
	};
	struct ms_record record = {&ms_schema_value, values};

	_Static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(value_columns), "one value a column");
	listing->listed++;
	return listing->sink->record(listing->sink->ctx, &record)
		       ? err_set(MS_ERR_STOPPED, "stopped by its caller")
		       : 0;
}

static bool listing_over(const struct listing *listing)
{
	const struct ms_job *job = listing->job;

	return (job->hits_max && listing->listed >= job->hits_max) ||
	       os_clock_ns() >= listing->deadline_ns ||
	       (job->cancelled && job->cancelled(job->ctx));
}

static int list_cell(struct listing *listing, const struct cell_view *view)
{
	static const uint8_t zeros[VALUE_SIZE_MAX];
	const struct layout *layout = &listing->values->subject.layout;
	uint64_t max = listing->job->hits_max ? listing->job->hits_max : UINT64_MAX;
	const uint8_t *listed = view->bytes;
	int r = ms_source_read(listing->source, view->head.base, listing->bytes, view->head.extent,
		&listing->read, NULL);

	if (r < 0)
		return r;
	cell_mask(view, listing->mask);
	for (size_t i = 0; i < view->slots && r == 0 && listing->listed < max; i++) {
		size_t at = view->first + i * layout->align;
		const uint8_t *previous = view->bytes ? view->bytes + at : zeros;

		if (!listing->mask[i])
			continue;
		if (view->list && view->bytes) {
			previous = listed;
			listed += layout->size;
		}
		r = match_out(listing, view->head.base + at,
			at + layout->size <= listing->read ? listing->bytes + at : NULL, previous);
	}
	return r;
}

static int list_all(struct listing *listing)
{
	AUTO_FREE struct cursor *cursor = malloc(sizeof(*cursor));
	struct cell_view view;
	int r;

	if (!cursor)
		return err_nomem();
	cursor_init(cursor, &listing->values->now, &listing->values->subject.layout);
	r = cursor_seek(cursor, 0);
	while (r == 0 && !listing_over(listing) && (r = cursor_peek(cursor, &view)) > 0) {
		r = list_cell(listing, &view);
		cursor_pass(cursor, &view);
	}
	return r;
}

int ms_values_list(const ms_values *values, ms_source *source, const struct ms_job *job,
	const struct ms_sink *sink, uint64_t *ret_count)
{
	static const struct ms_job plain_job = {.size = sizeof(plain_job)};
	AUTO_FREE struct listing *listing = calloc(1, sizeof(*listing));
	int r = values_check_source(values, source);

	if (r < 0)
		return r;
	if (!listing)
		return err_nomem();
	listing->values = values;
	listing->source = source;
	listing->job = job ? job : &plain_job;
	listing->sink = sink;
	if (!listing->job->timeout_ns ||
		!add_u64(os_clock_ns(), listing->job->timeout_ns, &listing->deadline_ns))
		listing->deadline_ns = UINT64_MAX;
	r = source_refresh(source);
	/* Without modules a match still has its region. */
	if (r == 0 && ms_source_modules(source, &listing->modules, &listing->module_count) < 0)
		listing->module_count = 0;
	if (r == 0)
		r = list_all(listing);
	if (r == 0)
		*ret_count = listing->listed;
	return r;
}
