/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions, and which of their pages hold data. Windows keeps two accounts of an address space: the
 * VADs say what a program asked for, the page tables what it has. Regions are the VADs, cut where
 * the rights of pages differ, and what the page tables know beyond any VAD.
 *
 * A VAD's protection is what it was made with: an image is always execute-writecopy, and private
 * memory keeps its first protection whatever VirtualProtect() did to it later. So the rights of
 * pages count where there are any. But the processor's write bit is off in a page of writable
 * memory that was not written yet; there the VAD is right, unless execution shows that the page
 * was given other rights.
 */
#include "backend/memprocfs.h"

#include "base/err.h"

enum {
	REGIONS_MAX = 4 * 1024 * 1024,
	DETAIL_PAGES = 1024, /* asked about at once, page by page */
	/* Of a larger section the library reads no prototype entries (5.19, mm_vad.c: 64 KiB). */
	PROTOTYPES_MAX = 32 * 1024 * 1024,
};

/* ---- Fetching the maps --------------------------------------------------------------------- */

void vmm_maps_done(struct vmm_maps *maps)
{
	free(maps->runs.data);
	free(maps->ranges.data);
	free(maps->stacks.data);
	arena_done(&maps->strings);
	*maps = (struct vmm_maps){0};
}

/* Whether [base, base + size) lies on pages, behind `end`, and does not wrap round. */
static bool is_sound(uint64_t base, uint64_t size, uint64_t end)
{
	uint64_t upto;

	return size && base % VMM_PAGE == 0 && size % VMM_PAGE == 0 && base >= end &&
	       add_u64(base, size, &upto);
}

static int run_order(const void *a, const void *b)
{
	const struct vmm_run *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

static int range_order(const void *a, const void *b)
{
	const struct vmm_range *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

/* Keeps what is sound and does not overlap what comes before it. */
static void sort_runs(struct vmm_maps *maps)
{
	uint64_t end = 0;
	size_t kept = 0;

	vec_sort(&maps->runs, run_order);
	for (size_t i = 0; i < maps->runs.count; i++) {
		struct vmm_run run = maps->runs.data[i];

		if (!is_sound(run.base, run.size, end))
			continue;
		end = run.base + run.size;
		maps->runs.data[kept++] = run;
	}
	maps->runs.count = kept;
}

static void sort_ranges(struct vmm_maps *maps)
{
	uint64_t end = 0;
	size_t kept = 0;

	vec_sort(&maps->ranges, range_order);
	for (size_t i = 0; i < maps->ranges.count; i++) {
		struct vmm_range range = maps->ranges.data[i];

		if (!is_sound(range.base, range.size, end))
			continue;
		end = range.base + range.size;
		maps->ranges.data[kept++] = range;
	}
	maps->ranges.count = kept;
}

/* A 32-bit Windows gives a process two gigabytes, or three if it was started so. */
static uint64_t user_end(const struct vmm_host *vh, const struct vmm_maps *maps)
{
	const struct vmm_range *last =
		maps->ranges.count ? &maps->ranges.data[maps->ranges.count - 1] : NULL;

	if (vh->system != VMM_SYSTEM_WINDOWS_32)
		return VMM_USER_END;
	return max_u64(UINT64_C(1) << 31, last ? last->base + last->size : 0);
}

static int fetch_runs(struct vmm_host *vh, uint32_t pid, bool kernel, struct vmm_maps *maps)
{
	const struct vmm_api *api = &vh->library.api;
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	struct vmm_map *map = NULL;
	const struct vmm_pte *ptes;
	const void *list = NULL;
	size_t count = 0;
	int r;

	/* There is none of a process that has ended. */
	if (!api->pte_map(vh->vmm, pid, 0, &map))
		return 0;
	vmm_block_init(&block, api, map);
	r = vmm_block_entries(&block, "page map", VMM_PTE_VERSION, sizeof(*ptes), &list, &count);
	ptes = r == 0 ? list : NULL;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct vmm_run run = {
			.base = ptes[i].base,
			.write = ptes[i].flags & VMM_PTE_WRITE,
			.execute = !(ptes[i].flags & VMM_PTE_NO_EXECUTE),
			.software = ptes[i].software,
		};

		if (ptes[i].pages > UINT64_MAX / VMM_PAGE ||
			(!kernel && ptes[i].base >= user_end(vh, maps)))
			continue;
		run.size = ptes[i].pages * VMM_PAGE;
		if (!vec_push(&maps->runs, run))
			r = err_nomem();
	}
	sort_runs(maps);
	return r;
}

static int add_range(struct vmm_host *vh, struct vmm_maps *maps, const struct vmm_block *block,
	const struct vmm_vad *vad)
{
	struct vmm_range range = {
		.base = vad->start,
		.bits = vad->bits,
		.backed = (uint64_t)vad->prototype_size / 8 * VMM_PAGE,
		.ex_base = vad->ex_base,
		.ex_pages = vad->ex_pages,
		.path = arena_string(&maps->strings, vmm_block_text(block, vad->text)),
	};
	int r = range.path ? 0 : err_nomem();

	if (r == 0 && !*range.path && (vad->bits & (VMM_VAD_IMAGE | VMM_VAD_FILE)))
		r = vmm_file_name(vh, vad->file, &maps->strings, &range.path);
	if (r < 0)
		return r;
	if (vad->last <= vad->start || vad->last == UINT64_MAX)
		return 0;
	range.size = vad->last + 1 - vad->start;
	return vec_push(&maps->ranges, range) ? 0 : err_nomem();
}

static int fetch_ranges(struct vmm_host *vh, uint32_t pid, struct vmm_maps *maps)
{
	const struct vmm_api *api = &vh->library.api;
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	struct vmm_map *map = NULL;
	const struct vmm_vad *vads;
	const void *list = NULL;
	size_t count = 0;
	int r;

	/*
	 * FALSE is no failure: other systems than Windows have none, and the library gives none of
	 * a process all of whose VADs are private (5.19: the fetch of their details ends early).
	 */
	if (!api->vad_map(vh->vmm, pid, 1, &map))
		return 0;
	vmm_block_init(&block, api, map);
	r = vmm_block_entries(&block, "VAD map", VMM_VAD_VERSION, sizeof(*vads), &list, &count);
	vads = r == 0 ? list : NULL;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_range(vh, maps, &block, &vads[i]);
	sort_ranges(maps);
	return r;
}

int vmm_maps_fetch(struct vmm_host *vh, uint32_t pid, bool kernel, struct vmm_maps *ret_maps)
{
	struct vmm_maps maps = {0};
	int r = fetch_ranges(vh, pid, &maps);

	if (r == 0)
		r = fetch_runs(vh, pid, kernel, &maps);
	if (r < 0)
		vmm_maps_done(&maps);
	else
		*ret_maps = maps;
	return r;
}

/* The first run that ends above address, or count. */
static size_t run_from(const struct vmm_maps *maps, uint64_t address)
{
	size_t i;

	bisect(i, maps->runs.count, maps->runs.data[i].base + maps->runs.data[i].size > address);
	return i;
}

static const struct vmm_range *range_find(const struct vmm_maps *maps, uint64_t address)
{
	size_t i;

	bisect(i, maps->ranges.count, maps->ranges.data[i].base > address);
	if (!i || address - maps->ranges.data[i - 1].base >= maps->ranges.data[i - 1].size)
		return NULL;
	return &maps->ranges.data[i - 1];
}

/* ---- Regions ------------------------------------------------------------------------------- */

struct builder {
	struct region_list *out;
	const struct vmm_source *vs;
	const struct vmm_range *range; /* of the last region; NULL for none */
	int error;
};

static unsigned protection(const struct vmm_range *range)
{
	return range->bits >> VMM_VAD_PROTECTION_SHIFT & VMM_VAD_PROTECTION;
}

/* What the VAD allows. Protections are those of Windows' own list (MM_READONLY = 1 and so on). */
static unsigned planned_rights(const struct vmm_range *range)
{
	static const unsigned rights[8] = {
		0,
		MS_PERM_READ,
		MS_PERM_EXEC,
		MS_PERM_READ | MS_PERM_EXEC,
		MS_PERM_READ | MS_PERM_WRITE,
		MS_PERM_READ | MS_PERM_WRITE, /* writecopy */
		MS_PERM_READ | MS_PERM_WRITE | MS_PERM_EXEC,
		MS_PERM_READ | MS_PERM_WRITE | MS_PERM_EXEC,
	};

	return rights[protection(range) & 7];
}

static unsigned run_rights(const struct vmm_run *run, const struct vmm_range *range)
{
	unsigned rights = MS_PERM_READ, planned;

	rights |= run->write ? MS_PERM_WRITE : 0;
	rights |= run->execute ? MS_PERM_EXEC : 0;
	if (!range || (range->bits & VMM_VAD_IMAGE))
		return rights;
	planned = planned_rights(range);
	if ((planned & MS_PERM_EXEC) == (rights & MS_PERM_EXEC))
		rights |= planned & MS_PERM_WRITE;
	return rights;
}

/* Shared is what others see when it is written: no image, and no copy on write. */
static bool is_shared(const struct vmm_range *range)
{
	if (!range || (range->bits & (VMM_VAD_PRIVATE | VMM_VAD_IMAGE)))
		return false;
	/* Writecopy, without and with execution. */
	return (protection(range) & 7) != 5 && (protection(range) & 7) != 7;
}

static bool is_device(const struct vmm_range *range)
{
	unsigned type = range ? range->bits & VMM_VAD_TYPE : 0;

	return type == VMM_VAD_TYPE_DEVICE || type == VMM_VAD_TYPE_ROTATE;
}

static bool has_file(const struct vmm_range *range)
{
	return range && (range->bits & (VMM_VAD_IMAGE | VMM_VAD_FILE)) && range->path[0];
}

/* The rules of docs/platforms.md. */
static enum ms_kind kind_of(
	const struct vmm_source *vs, const struct vmm_range *range, const struct ms_region *region)
{
	bool own = !(region->perm & MS_PERM_SHARED) && (region->flags & MS_REGION_ANONYMOUS) &&
		   !(range && (range->bits & VMM_VAD_IMAGE));

	if (range && (range->bits & VMM_VAD_STACK))
		return MS_KIND_STACK;
	for (size_t i = 0; own && (region->perm & MS_PERM_WRITE) && i < vs->maps.stacks.count; i++)
		if (vs->maps.stacks.data[i].low < region->base + region->size &&
			vs->maps.stacks.data[i].high > region->base)
			return MS_KIND_STACK;
	if (region->perm & MS_PERM_EXEC)
		return MS_KIND_CODE;
	if (range && (range->bits & VMM_VAD_HEAP))
		return MS_KIND_HEAP;
	if (own && (region->perm & MS_PERM_WRITE))
		return MS_KIND_HEAP;
	if (range && !(range->bits & VMM_VAD_PRIVATE))
		return MS_KIND_MAPPED;
	return MS_KIND_OTHER;
}

/* Appends a stretch, or makes the last region longer if it is the same. */
static void add_stretch(struct builder *b, const struct vmm_range *range, uint64_t base,
	uint64_t size, unsigned perm, uint64_t resident)
{
	struct ms_region *last =
		b->out->items.count ? &b->out->items.data[b->out->items.count - 1] : NULL;
	struct ms_region region = {.base = base, .size = size, .resident = resident, .path = ""};

	if (is_shared(range))
		perm |= MS_PERM_SHARED;
	if (last && b->range == range && last->perm == perm && last->base + last->size == base) {
		last->size += size;
		last->resident += resident;
		return;
	}
	region.perm = perm;
	region.flags = (has_file(range) ? 0 : MS_REGION_ANONYMOUS) |
		       (is_device(range) ? MS_REGION_DEVICE : 0);
	if (range)
		region.path = arena_string(&b->out->strings, range->path);
	b->range = range;
	if (!region.path || b->out->items.count >= REGIONS_MAX || !vec_push(&b->out->items, region))
		b->error =
			b->out->items.count >= REGIONS_MAX
				? err_set(MS_ERR_FORMAT,
					  "pid %u has more than %d regions: its maps make no sense",
					  b->vs->pid, REGIONS_MAX)
				: err_nomem();
}

/*
 * One VAD: runs of pages, and between them what has no page. In an image that takes the rights of
 * what is in front of it, as its own say nothing.
 */
static size_t add_range_regions(struct builder *b, const struct vmm_range *range, size_t at)
{
	const struct vmm_maps *maps = &b->vs->maps;
	uint64_t from = range->base, end = range->base + range->size;
	bool image = range->bits & VMM_VAD_IMAGE;
	unsigned gap_rights = image ? MS_PERM_READ : planned_rights(range);

	for (; at < maps->runs.count && maps->runs.data[at].base < end && !b->error; at++) {
		const struct vmm_run *run = &maps->runs.data[at];
		uint64_t base = max_u64(run->base, from),
			 upto = min_u64(run->base + run->size, end);
		uint64_t missing = min_u64((uint64_t)run->software * VMM_PAGE, upto - base);

		if (base > from)
			add_stretch(b, range, from, base - from, gap_rights, 0);
		add_stretch(
			b, range, base, upto - base, run_rights(run, range), upto - base - missing);
		if (image)
			gap_rights = run_rights(run, range);
		from = upto;
		if (run->base + run->size > end)
			break;
	}
	if (from < end && !b->error)
		add_stretch(b, range, from, end - from, gap_rights, 0);
	return at;
}

/* Pages that no VAD accounts for, from address on up to `end`. */
static size_t add_bare_regions(struct builder *b, uint64_t address, uint64_t end, size_t at)
{
	const struct vmm_maps *maps = &b->vs->maps;

	for (; at < maps->runs.count && maps->runs.data[at].base < end && !b->error; at++) {
		const struct vmm_run *run = &maps->runs.data[at];
		uint64_t base = max_u64(run->base, address);
		uint64_t upto = min_u64(run->base + run->size, end);
		uint64_t missing = min_u64((uint64_t)run->software * VMM_PAGE, upto - base);

		if (base < upto)
			add_stretch(b, NULL, base, upto - base, run_rights(run, NULL),
				upto - base - missing);
		if (run->base + run->size > end)
			break;
	}
	return at;
}

static int build(const struct vmm_source *vs, struct region_list *out)
{
	struct builder b = {.out = out, .vs = vs};
	uint64_t end = 0;
	size_t at = 0;

	for (size_t i = 0; i < vs->maps.ranges.count && !b.error; i++) {
		const struct vmm_range *range = &vs->maps.ranges.data[i];

		at = add_bare_regions(&b, end, range->base, at);
		at = add_range_regions(&b, range, at);
		end = range->base + range->size;
	}
	if (!b.error)
		add_bare_regions(&b, end, UINT64_MAX, at);
	for (size_t i = 0; i < out->items.count && !b.error; i++) {
		struct ms_region *region = &out->items.data[i];

		region->resident = min_u64(region->resident, region->size);
		region->kind = kind_of(vs, range_find(&vs->maps, region->base), region);
	}
	return b.error;
}

/* Takes the process's maps anew, unless nothing can have changed. */
static int update(struct ms_source *src)
{
	struct vmm_host *vh = vmm_host_of(src);
	struct vmm_source *vs = vmm_of(src);
	struct vmm_maps maps = {0};
	int r;

	if (vs->mapped && !vh->is_volatile)
		return 0;
	vmm_refresh(vh, VMM_OPT_REFRESH_TLB);
	r = vmm_maps_fetch(vh, vs->pid, vs->kernel, &maps);
	if (r == 0)
		r = vmm_stacks_find(src, &maps);
	if (r < 0) {
		vmm_maps_done(&maps);
		return r;
	}
	pthread_rwlock_wrlock(&vs->lock);
	vmm_maps_done(&vs->maps);
	vs->maps = maps;
	vs->mapped = true;
	pthread_rwlock_unlock(&vs->lock);
	return 0;
}

int vmm_regions(struct ms_source *src, struct region_list *out)
{
	int r = update(src);

	/* Only this function changes the maps, and it never runs twice at once. */
	return r < 0 ? r : build(vmm_of(src), out);
}

/* ---- Which pages hold data ------------------------------------------------------------------ */

struct stating {
	struct run *runs;
	size_t room, count;
	uint64_t at, end;
};

/* Adds a stretch up to `upto`; false when there is no room for more. */
static bool state_add(struct stating *s, uint64_t upto, enum ms_state state)
{
	struct run *last = s->count ? &s->runs[s->count - 1] : NULL;
	uint64_t size = min_u64(upto, s->end) - s->at;

	if (last && last->state == state)
		last->size += size;
	else if (s->count == s->room)
		return false;
	else
		s->runs[s->count++] = (struct run){s->at, size, state};
	s->at += size;
	return s->at < s->end;
}

/* What a page holds that no page table knows. */
static enum ms_state untouched(const struct vmm_range *range)
{
	return range && protection(range) >> 3 == VMM_VAD_GUARD ? MS_STATE_GUARD : MS_STATE_ABSENT;
}

static enum ms_state page_state(
	const struct vmm_host *vh, const struct vmm_range *range, const struct vmm_vadex *page)
{
	static const enum ms_state states[VMM_PAGE_COUNT] = {
		[VMM_PAGE_NONE] = MS_STATE_ABSENT,
		[VMM_PAGE_HARDWARE] = MS_STATE_DATA,
		[VMM_PAGE_TRANSITION] = MS_STATE_DATA,
		[VMM_PAGE_PROTOTYPE] = MS_STATE_ABSENT,
		[VMM_PAGE_DEMAND_ZERO] = MS_STATE_ABSENT,
		[VMM_PAGE_COMPRESSED] = MS_STATE_DATA,
		[VMM_PAGE_IN_PAGE_FILE] = MS_STATE_SWAPPED,
		[VMM_PAGE_IN_FILE] = MS_STATE_REMOTE_FILE,
	};
	uint32_t type = page->type == VMM_PAGE_PROTOTYPE ? page->prototype_type : page->type;
	enum ms_state state = type < VMM_PAGE_COUNT ? states[type] : MS_STATE_ABSENT;

	/* Nothing is known of it, but the file has it. */
	if (state == MS_STATE_ABSENT && type != VMM_PAGE_DEMAND_ZERO && has_file(range))
		return MS_STATE_REMOTE_FILE;
	if (state == MS_STATE_ABSENT)
		return untouched(range);
	if (state == MS_STATE_SWAPPED && vh->has_page_file)
		return MS_STATE_DATA;
	return state;
}

/*
 * By address translation, where the library tells nothing more of pages. touched: the page tables
 * have something to say of them.
 */
static bool state_translated(struct ms_source *src, struct stating *s,
	const struct vmm_range *range, uint64_t upto, bool touched)
{
	struct vmm_host *vh = vmm_host_of(src);
	uint8_t page[VMM_PAGE];
	uint64_t physical;

	upto = min_u64(upto, s->at + DETAIL_PAGES * VMM_PAGE);
	while (s->at < upto) {
		bool there = vh->library.api.translate(vh->vmm, vmm_of(src)->pid, s->at, &physical);

		/* What is not in memory may be in a page file or another process all the same. */
		if (!there)
			vmm_read_pages(vh, vmm_of(src)->pid, s->at, page, 1, &there);

		if (!state_add(s, s->at + VMM_PAGE,
			    there	      ? MS_STATE_DATA
			    : has_file(range) ? MS_STATE_REMOTE_FILE
			    : touched	      ? MS_STATE_SWAPPED
					      : untouched(range)))
			return false;
	}
	return true;
}

/*
 * Which of the details of a VAD is that of the page at address: those of files have one for each
 * page, the others only for pages that the page tables know.
 */
static uint64_t detail_index(
	const struct vmm_maps *maps, const struct vmm_range *range, uint64_t address)
{
	uint64_t index = 0;

	if (range->bits & (VMM_VAD_IMAGE | VMM_VAD_FILE))
		return (address - range->base) / VMM_PAGE;
	for (size_t i = run_from(maps, range->base); i < maps->runs.count; i++) {
		const struct vmm_run *run = &maps->runs.data[i];
		uint64_t base = max_u64(run->base, range->base);
		uint64_t upto = min_u64(run->base + run->size, address);

		if (base >= address)
			break;
		index += (upto - base) / VMM_PAGE;
	}
	return index;
}

/* Page by page, for what the page tables leave open. False when there is no room for more. */
static bool state_pages(struct ms_source *src, struct stating *s, const struct vmm_range *range,
	uint64_t upto, bool touched)
{
	struct vmm_host *vh = vmm_host_of(src);
	const struct vmm_api *api = &vh->library.api;
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	struct vmm_vadex_map *map = NULL;
	const struct vmm_vadex *pages;
	uint64_t first, left, from = s->at;

	first = range ? detail_index(&vmm_of(src)->maps, range, s->at) : 0;
	if (!range || !api->vadex_map || first >= range->ex_pages)
		return state_translated(src, s, range, upto, touched);
	left = min_u64(min_u64((upto - s->at) / VMM_PAGE, range->ex_pages - first), DETAIL_PAGES);
	if (!api->vadex_map(vh->vmm, vmm_of(src)->pid, range->ex_base + (uint32_t)first,
		    (uint32_t)left, &map))
		return state_translated(src, s, range, upto, touched);
	vmm_block_init(&block, api, map);
	if (block.size < sizeof(*map) || map->version != VMM_VADEX_VERSION ||
		(block.size - sizeof(*map)) / sizeof(*pages) < map->count)
		return state_translated(src, s, range, upto, touched);
	pages = (const struct vmm_vadex *)(map + 1);
	for (size_t i = 0; i < map->count && i < left && pages[i].address == s->at; i++)
		if (!state_add(s, s->at + VMM_PAGE, page_state(vh, range, &pages[i])))
			return false;
	return s->at > from || state_translated(src, s, range, upto, touched);
}

/* A stretch that the library's map of pages does not mention. */
static bool state_outside(
	struct ms_source *src, struct stating *s, const struct vmm_range *range, uint64_t upto)
{
	uint64_t far, backed;
	enum vmm_entry entry = vmm_tables_look(src, s->at, &far);

	upto = min_u64(upto, far);
	/* The frame is not in the image; to read it is to find that out. */
	if (entry == VMM_ENTRY_SOME)
		return state_add(s, upto, MS_STATE_DATA);
	if (entry == VMM_ENTRY_UNKNOWN)
		return state_add(s, upto, MS_STATE_IO_ERROR);
	if (!range || (range->bits & VMM_VAD_PRIVATE))
		return state_add(s, upto, untouched(range));
	backed = min_u64(range->backed, range->size);
	/* No prototype entry, no data: what is reserved behind the end of a section. */
	if (backed && s->at - range->base >= backed)
		return state_add(s, upto, MS_STATE_ABSENT);
	if (!backed || backed > PROTOTYPES_MAX)
		return state_add(
			s, upto, has_file(range) ? MS_STATE_REMOTE_FILE : untouched(range));
	upto = min_u64(upto, range->base + backed);
	return state_pages(src, s, range, upto, false);
}

/* The next stretch of one kind; false when there is no room for more, or at the end. */
static bool state_next(struct ms_source *src, struct stating *s)
{
	const struct vmm_maps *maps = &vmm_of(src)->maps;
	const struct vmm_range *range = range_find(maps, s->at);
	size_t i = run_from(maps, s->at);
	const struct vmm_run *run = i < maps->runs.count ? &maps->runs.data[i] : NULL;
	bool inside = run && run->base <= s->at;
	uint64_t upto = s->end;

	if (inside)
		upto = min_u64(upto, run->base + run->size);
	else if (run)
		upto = min_u64(upto, run->base);
	if (range)
		upto = min_u64(upto, range->base + range->size);
	if (inside && !run->software)
		return state_add(s, upto, MS_STATE_DATA);
	if (inside)
		return state_pages(src, s, range, upto, true);
	return state_outside(src, s, range, upto);
}

int vmm_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	struct stating s = {.runs = runs, .room = room, .at = base, .end = base + size};
	struct vmm_source *vs = vmm_of(src);

	(void)region;
	pthread_rwlock_rdlock(&vs->lock);
	while (s.at < s.end && state_next(src, &s))
		;
	pthread_rwlock_unlock(&vs->lock);
	*ret_count = s.count;
	return 0;
}
