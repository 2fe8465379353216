/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/filter.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/number.h"

#include <fnmatch.h>

enum { RANGES_MAX = 65536, KINDS_ALL = 0x1f };

const struct ms_filter filter_default = {.kinds = KINDS_ALL, .size_max = UINT64_MAX};

static const char *const kind_names[] = {
	[MS_KIND_OTHER] = "other",
	[MS_KIND_STACK] = "stack",
	[MS_KIND_HEAP] = "heap",
	[MS_KIND_CODE] = "code",
	[MS_KIND_MAPPED] = "mapped",
};

const char *ms_kind_name(enum ms_kind kind)
{
	return (unsigned)kind < ARRAY_SIZE(kind_names) ? kind_names[kind] : "other";
}

void ms_perm_text(unsigned perm, char ret_text[5])
{
	ret_text[0] = perm & MS_PERM_READ ? 'r' : '-';
	ret_text[1] = perm & MS_PERM_WRITE ? 'w' : '-';
	ret_text[2] = perm & MS_PERM_EXEC ? 'x' : '-';
	ret_text[3] = perm & MS_PERM_SHARED ? 's' : 'p';
	ret_text[4] = '\0';
}

int ms_filter_new(ms_filter **ret_filter)
{
	struct ms_filter *filter = malloc(sizeof(*filter));

	if (!filter)
		return err_nomem();
	*filter = filter_default;
	*ret_filter = filter;
	return 0;
}

void ms_filter_free(ms_filter *filter)
{
	if (!filter)
		return;
	free(filter->path);
	free(filter->ranges.data);
	free(filter->ignored.data);
	free(filter);
}

static int kind_parse(const char *list, size_t at, size_t length, unsigned *ret_bits)
{
	if (length == 3 && memcmp(list + at, "all", 3) == 0) {
		*ret_bits = KINDS_ALL;
		return 0;
	}
	for (size_t kind = 0; kind < ARRAY_SIZE(kind_names); kind++)
		if (strlen(kind_names[kind]) == length &&
			memcmp(list + at, kind_names[kind], length) == 0) {
			*ret_bits = 1u << kind;
			return 0;
		}
	return err_at("--memory-regions", list, at,
		"this is none of stack, heap, code, mapped, other, all");
}

static int set_kinds(struct ms_filter *filter, const char *value)
{
	unsigned kinds = 0;
	size_t at = 0;

	for (;;) {
		size_t length = strcspn(value + at, ",");
		unsigned bits = 0;
		int r = kind_parse(value, at, length, &bits);

		if (r < 0)
			return r;
		kinds |= bits;
		at += length;
		if (!value[at])
			break;
		at++;
	}
	filter->kinds = kinds;
	return 0;
}

static int set_perm(struct ms_filter *filter, const char *value)
{
	static const char letters[] = "rwxs";
	unsigned mask = 0, wanted = 0;
	size_t length = strlen(value);

	for (size_t i = 0; i < length && i < 4; i++) {
		unsigned bit = 1u << i;

		if (value[i] == letters[i])
			wanted |= bit;
		else if (value[i] == '?')
			continue;
		else if (value[i] != (i == 3 ? 'p' : '-'))
			return err_at("--perm", value, i,
				i == 3 ? "here stands p, s or ?"
				       : "here stands its letter, - or ?");
		mask |= bit;
	}
	if (length < 3 || length > 4)
		return err_at("--perm", value, length < 3 ? length : 4,
			"permissions have three letters, such as rw-, and p or s if you like");
	filter->perm_mask = mask;
	filter->perm_value = wanted;
	return 0;
}

static int range_order(const void *a, const void *b)
{
	const struct filter_range *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

static void ranges_join(struct filter_ranges *ranges)
{
	struct filter_range *items = ranges->data;
	size_t kept = 0;

	qsort(items, ranges->count, sizeof(*items), range_order);
	for (size_t i = 1; i < ranges->count; i++) {
		struct filter_range *last = &items[kept];
		uint64_t end = items[i].base + items[i].size;

		if (items[i].base > last->base + last->size)
			items[++kept] = items[i];
		else if (end > last->base + last->size)
			last->size = end - last->base;
	}
	ranges->count = kept + 1;
}

static int add_range(struct filter_ranges *ranges, const char *what, const char *value)
{
	struct filter_range range;
	int r = range_parse(what, value, &range.base, &range.size);

	if (r < 0)
		return r;
	if (ranges->count >= RANGES_MAX)
		return err_set(MS_ERR_ARGUMENT, "%s: at most %d ranges", what, RANGES_MAX);
	if (!vec_push(ranges, range))
		return err_nomem();
	ranges_join(ranges);
	return 0;
}

static int set_wanted(struct ms_filter *filter, const char *value)
{
	return add_range(&filter->ranges, "--address", value);
}

static int set_ignored(struct ms_filter *filter, const char *value)
{
	return add_range(&filter->ignored, "--ignore", value);
}

static int set_path(struct ms_filter *filter, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return err_nomem();
	free(filter->path);
	filter->path = copy;
	return 0;
}

static int set_size_min(struct ms_filter *filter, const char *value)
{
	return ms_parse_size("--min-size", value, 1, &filter->size_min);
}

static int set_size_max(struct ms_filter *filter, const char *value)
{
	return ms_parse_size("--max-size", value, 1, &filter->size_max);
}

static int set_device(struct ms_filter *filter, const char *value)
{
	(void)value;
	filter->device = true;
	return 0;
}

static int set_swapped(struct ms_filter *filter, const char *value)
{
	(void)value;
	filter->swapped = true;
	return 0;
}

int ms_filter_set(ms_filter *filter, const char *key, const char *value)
{
	static const struct {
		const char *key;
		int (*set)(struct ms_filter *filter, const char *value);
	} keys[] = {
		{"memory-regions", set_kinds},
		{"perm", set_perm},
		{"address", set_wanted},
		{"ignore", set_ignored},
		{"min-size", set_size_min},
		{"max-size", set_size_max},
		{"path", set_path},
		{"include-device", set_device},
		{"include-swapped", set_swapped},
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(key, keys[i].key) == 0)
			return keys[i].set(filter, value ? value : "");
	return err_set(MS_ERR_ARGUMENT, "there is no filter \"%s\"", key);
}

/* Paths of Windows begin with a backslash or a drive, and have their parts between backslashes. */
static bool path_match(const char *glob, const char *path)
{
	bool windows = path[0] == '\\' || (is_letter(path[0]) && path[1] == ':' && path[2] == '\\');
	char separator = windows ? '\\' : '/';
	const char *last = strrchr(path, separator);

	if (!strchr(glob, separator) && last)
		path = last + 1;
	/* "[heap]" is also a glob, for one letter; who copies it from a list means the name. */
	return strcmp(glob, path) == 0 || fnmatch(glob, path, windows ? FNM_NOESCAPE : 0) == 0;
}

/* The first of the ranges that ends above `base`, or one behind the last. */
static size_t ranges_from(const struct filter_ranges *ranges, uint64_t base)
{
	size_t i;

	bisect(i, ranges->count, ranges->data[i].base + ranges->data[i].size > base);
	return i;
}

/* The first stretch of [base, end) in the wanted ranges. */
static bool clip_wanted(const struct ms_filter *filter, uint64_t base, uint64_t end,
	uint64_t *ret_base, uint64_t *ret_end)
{
	const struct filter_ranges *ranges = &filter->ranges;
	size_t i = ranges_from(ranges, base);

	*ret_base = base;
	*ret_end = end;
	if (!ranges->count || base >= end)
		return base < end;
	if (i == ranges->count || ranges->data[i].base >= end)
		return false;
	*ret_base = max_u64(base, ranges->data[i].base);
	*ret_end = min_u64(end, ranges->data[i].base + ranges->data[i].size);
	return true;
}

bool filter_clip(const struct ms_filter *filter, uint64_t base, uint64_t size, uint64_t *ret_base,
	uint64_t *ret_size)
{
	const struct filter_ranges *ignored = &filter->ignored;
	uint64_t end = base + size, first, last;

	while (clip_wanted(filter, base, end, &first, &last)) {
		size_t i = ranges_from(ignored, first);

		if (i < ignored->count && ignored->data[i].base <= first) {
			base = ignored->data[i].base + ignored->data[i].size;
			if (base >= end)
				return false;
			continue;
		}
		if (i < ignored->count)
			last = min_u64(last, ignored->data[i].base);
		*ret_base = first;
		*ret_size = last - first;
		return true;
	}
	return false;
}

bool ms_filter_match(const ms_filter *filter, const struct ms_region *region)
{
	uint64_t base, size;

	return (filter->kinds >> region->kind & 1) &&
	       (region->perm & filter->perm_mask) == filter->perm_value &&
	       region->size >= filter->size_min && region->size <= filter->size_max &&
	       (!filter->path || path_match(filter->path, region->path)) &&
	       filter_clip(filter, region->base, region->size, &base, &size);
}
