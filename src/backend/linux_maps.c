/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * show_map_vma() in fs/proc/task_mmu.c of the kernel (6.18) writes "start-end perm offset
 * major:minor inode", blanks up to a column, and the name. Numbers are hex but for the inode. The
 * name is last and the only field that may hold anything; in a file's name the kernel turns a
 * newline into \012 and leaves all else alone, a backslash too. Lines that smaps adds begin with
 * a capital letter, which no address does.
 */
#include "backend/linux_maps.h"

#include "base/bytes.h"
#include "base/err.h"

struct cursor {
	const char *at, *end;
};

static bool take_char(struct cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

/* A number in lower-case hex or in decimal. */
static bool take_number(struct cursor *cursor, unsigned base, uint64_t *ret_value)
{
	const char *first = cursor->at;
	uint64_t value = 0;

	for (; cursor->at < cursor->end; cursor->at++) {
		int digit = hex_digit(*cursor->at);

		if (digit < 0 || (unsigned)digit >= base)
			break;
		if (__builtin_mul_overflow(value, base, &value) ||
			!add_u64(value, (unsigned)digit, &value))
			return false;
	}
	*ret_value = value;
	return cursor->at > first;
}

static bool take_perm(struct cursor *cursor, unsigned *ret_perm)
{
	static const struct {
		char set, clear;
		unsigned bit;
	} letters[] = {
		{'r', '-', MS_PERM_READ},
		{'w', '-', MS_PERM_WRITE},
		{'x', '-', MS_PERM_EXEC},
		{'s', 'p', MS_PERM_SHARED},
	};
	unsigned perm = 0;

	for (size_t i = 0; i < ARRAY_SIZE(letters); i++) {
		if (take_char(cursor, letters[i].set))
			perm |= letters[i].bit;
		else if (!take_char(cursor, letters[i].clear))
			return false;
	}
	*ret_perm = perm;
	return true;
}

static bool take_fields(struct cursor *cursor, struct ms_region *ret_region)
{
	struct ms_region region = {.resident = UINT64_MAX};
	uint64_t end, major, minor;

	if (!take_number(cursor, 16, &region.base) || !take_char(cursor, '-') ||
		!take_number(cursor, 16, &end) || !take_char(cursor, ' ') ||
		!take_perm(cursor, &region.perm) || !take_char(cursor, ' ') ||
		!take_number(cursor, 16, &region.offset) || !take_char(cursor, ' ') ||
		!take_number(cursor, 16, &major) || !take_char(cursor, ':') ||
		!take_number(cursor, 16, &minor) || !take_char(cursor, ' ') ||
		!take_number(cursor, 10, &region.inode))
		return false;
	if (end <= region.base || major > UINT32_MAX || minor > UINT32_MAX)
		return false;
	region.size = end - region.base;
	region.dev_major = (uint32_t)major;
	region.dev_minor = (uint32_t)minor;
	while (take_char(cursor, ' '))
		;
	*ret_region = region;
	return true;
}

/* The name, with each \012 turned into the newline it stands for. */
static const char *take_name(struct cursor *cursor, struct region_list *out)
{
	size_t size = (size_t)(cursor->end - cursor->at), length = 0;
	const char *from = cursor->at;
	char *name;

	if (size == 0)
		return "";
	if (!(name = arena_copy(&out->strings, from, size)))
		return NULL;
	if (!memchr(name, '\\', size))
		return name;
	for (size_t i = 0; i < size; i++) {
		bool newline = size - i >= 4 && memcmp(from + i, "\\012", 4) == 0;

		name[length++] = newline ? '\n' : from[i];
		i += newline ? 3 : 0;
	}
	name[length] = '\0';
	return name;
}

static struct ms_region *last_region(struct region_list *list)
{
	return list->items.count ? &list->items.data[list->items.count - 1] : NULL;
}

/* Cuts what the list has already off the front of region; false when nothing is left. */
static bool cut_overlap(struct region_list *out, struct ms_region *region)
{
	struct ms_region *last = last_region(out);
	uint64_t seen = last ? last->base + last->size : 0;
	uint64_t cut = seen > region->base ? seen - region->base : 0;

	if (cut >= region->size)
		return false;
	region->base += cut;
	region->size -= cut;
	region->offset += linux_maps_backed(region) ? cut : 0;
	return true;
}

static int parse_region(struct cursor *line, struct region_list *out)
{
	struct ms_region *last = last_region(out);
	struct ms_region region;
	const char *name;
	size_t size;

	if (!take_fields(line, &region))
		return err_set(MS_ERR_FORMAT, "a line of the memory map makes no sense");
	size = (size_t)(line->end - line->at);
	/* Neighbours mostly share their name; one copy serves them all. */
	if (last && strlen(last->path) == size && memcmp(last->path, line->at, size) == 0 &&
		!memchr(line->at, '\\', size))
		name = last->path;
	else if (!(name = take_name(line, out)))
		return err_nomem();
	region.path = name;
	if (!linux_maps_backed(&region))
		region.flags |= MS_REGION_ANONYMOUS;
	if (cut_overlap(out, &region) && !vec_push(&out->items, region))
		return err_nomem();
	return 0;
}

/* Whether a list of words separated by blanks has this word of two letters. */
static bool has_flag(struct cursor words, const char *flag)
{
	for (; words.end - words.at >= 2; words.at++)
		if (memcmp(words.at, flag, 2) == 0 && words.at[-1] == ' ' &&
			(words.end - words.at == 2 || words.at[2] == ' '))
			return true;
	return false;
}

static bool take_key(struct cursor *line, const char *key)
{
	size_t size = strlen(key);

	if ((size_t)(line->end - line->at) < size || memcmp(line->at, key, size) != 0)
		return false;
	line->at += size;
	return true;
}

static void parse_detail(struct cursor *line, struct ms_region *region)
{
	uint64_t kilobytes;

	if (take_key(line, "Rss:")) {
		while (take_char(line, ' '))
			;
		if (take_number(line, 10, &kilobytes) && kilobytes <= UINT64_MAX / 1024)
			region->resident = min_u64(kilobytes * 1024, region->size);
	} else if (take_key(line, "VmFlags:")) {
		if (has_flag(*line, "io") || has_flag(*line, "pf"))
			region->flags |= MS_REGION_DEVICE;
		/* MADV_DONTFORK, MADV_WIPEONFORK */
		else if (has_flag(*line, "dc") || has_flag(*line, "wf"))
			region->flags |= MS_REGION_LIVE;
	}
}

static int parse_line(struct cursor *line, struct region_list *out)
{
	char c = line->at < line->end ? *line->at : '\0';

	if (c < 'A' || c > 'Z')
		return parse_region(line, out);
	if (!last_region(out))
		return err_set(MS_ERR_FORMAT, "a line of the memory map belongs to no region");
	parse_detail(line, last_region(out));
	return 0;
}

int linux_maps_parse(const char *text, size_t size, struct region_list *out)
{
	const char *end = text + size;
	int r = 0;

	while (text < end && r == 0) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		struct cursor line = {text, newline ? newline : end};

		r = parse_line(&line, out);
		text = newline ? newline + 1 : end;
	}
	return r;
}

static bool holds_any(const struct ms_region *region, const uint64_t *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (addresses[i] - region->base < region->size)
			return true;
	return false;
}

/* Private, anonymous and writable. */
static bool is_own_memory(const struct ms_region *region)
{
	return (region->flags & MS_REGION_ANONYMOUS) && (region->perm & MS_PERM_WRITE) &&
	       !(region->perm & MS_PERM_SHARED);
}

/* An anonymous region right behind a module's private writable mapping. */
static bool is_bss(const struct ms_region *region, const struct ms_region *before)
{
	return before && before->base + before->size == region->base && region->path[0] == '\0' &&
	       linux_maps_backed(before) && !(before->flags & MS_REGION_ANONYMOUS) &&
	       (before->perm & MS_PERM_WRITE) && !(before->perm & MS_PERM_SHARED);
}

static enum ms_kind kind_of(const struct ms_region *region, const struct ms_region *before,
	const uint64_t *stack_pointers, size_t count)
{
	bool private_write = (region->perm & MS_PERM_WRITE) && !(region->perm & MS_PERM_SHARED);

	if (strcmp(region->path, "[stack]") == 0 ||
		(private_write && holds_any(region, stack_pointers, count)))
		return MS_KIND_STACK;
	if (region->perm & MS_PERM_EXEC)
		return MS_KIND_CODE;
	if (strcmp(region->path, "[heap]") == 0)
		return MS_KIND_HEAP;
	if (is_own_memory(region))
		return is_bss(region, before) ? MS_KIND_MAPPED : MS_KIND_HEAP;
	if (!(region->flags & MS_REGION_ANONYMOUS) || (region->perm & MS_PERM_SHARED))
		return MS_KIND_MAPPED;
	return MS_KIND_OTHER;
}

void linux_maps_classify(struct region_list *list, const uint64_t *stack_pointers, size_t count)
{
	struct ms_region *regions = list->items.data;

	for (size_t i = 0; i < list->items.count; i++)
		regions[i].kind =
			kind_of(&regions[i], i ? &regions[i - 1] : NULL, stack_pointers, count);
}
