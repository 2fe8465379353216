/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a backend fills in: a host that lists processes and attaches to one, and a source that
 * lists regions and reads bytes. The core allocates the private state (priv_size, zeroed) and
 * frees it after close; close is called after a failed open or attach, too. backend/backends.h
 * has the recipe for a new backend, backend/raw.c is the worked example.
 */
#ifndef MS_CORE_HOST_H
#define MS_CORE_HOST_H

#include "memsift.h"

#include "base/arena.h"
#include "base/vec.h"

#include <pthread.h>

/* A list of values whose strings live in the arena beside them. */
struct process_list {
	VEC(struct ms_process) items;
	struct arena strings;

	/* Asked for: */
	bool brief;	      /* exe, cmdline and arch may stay NULL where they take long */
	const uint32_t *only; /* other pids than these may be left out; NULL: none may */
	size_t only_count;
};

struct region_list {
	VEC(struct ms_region) items; /* ascending, never overlapping */
	struct arena strings;
};

struct module_list {
	VEC(struct ms_module) items;
	struct arena strings;
};

struct thread_list {
	VEC(struct ms_thread) items;
	struct arena strings;
};

struct check_list {
	VEC(struct ms_check) items;
	struct arena strings;
};

/* Every bit that a region's perm and flags may have; parsers of regions refuse others. */
enum {
	PERM_ALL = MS_PERM_READ | MS_PERM_WRITE | MS_PERM_EXEC | MS_PERM_SHARED,
	REGION_ALL = MS_REGION_DELETED | MS_REGION_DEVICE | MS_REGION_ANONYMOUS | MS_REGION_REMOTE |
		     MS_REGION_LIVE,
};

/* A range of one state; anything but MS_STATE_DATA is not worth reading. */
struct run {
	uint64_t base, size;
	enum ms_state state;
};

/*
 * What a page of memory is, wherever it is mapped: two pages with the same identity hold the same
 * bytes. kind 0 means that no other process can have the page, or that nothing is known of it.
 */
struct page_id {
	uint64_t kind, object, index, frame;
};

/*
 * A stretch of a target's memory in this process, shared with it: what the target writes is seen
 * at once. Whoever asked for it closes fd and gives the pages back with os_pages_free().
 */
struct source_map {
	const void *data;
	size_t size;
	int fd;		 /* of the file that it belongs to */
	uint64_t offset; /* of the first byte in there */
};

enum dirty_what {
	/*
	 * See whether writes can be told at all. Whoever began is the only one to ask until its
	 * DIRTY_END; to others it fails with MS_ERR_ARGUMENT. A page is told once, unless
	 * ret_piles_up says that what was told is told again in every scan, until DIRTY_RENEW.
	 */
	DIRTY_BEGIN,
	DIRTY_WATCH, /* watch [base, end); may be asked for what is watched already */
	/*
	 * Which pages of [base, end) were written since they were last told; those that never were
	 * count as written if they are there. At most `room` ascending runs; ret_reached is how far
	 * it came. MS_ERR_NOT_FOUND: part of it is not watched, or not any more, as other memory
	 * was mapped in its place.
	 */
	DIRTY_SCAN,
	/*
	 * ret_map is another number once the memory map has changed. ret_disturbed: somebody else
	 * has meddled, and writes may go untold until DIRTY_RENEW.
	 */
	DIRTY_MAP,
	DIRTY_RENEW, /* nothing counts as written any more; the caller then reads everything */
	DIRTY_END,
};

/* Bases and ends are multiples of the page size. */
struct dirty_request {
	enum dirty_what what;
	bool softdirty_only; /* of DIRTY_BEGIN: nothing else may be used */
	uint64_t base, end;
	struct run *runs;
	size_t room;
	size_t ret_count;
	uint64_t ret_reached;
	uint64_t ret_map;
	uint64_t ret_stop_ns; /* of DIRTY_BEGIN: how long the target was stopped */
	bool ret_piles_up;    /* of DIRTY_BEGIN */
	bool ret_disturbed;   /* of DIRTY_MAP */
};

struct ms_source_ops {
	size_t priv_size;
	bool hashed; /* keeps a hash of each block in place of bytes, told by identify() */
	/*
	 * A region that regions() found resident as a whole holds data throughout: resident() is
	 * not asked about it.
	 */
	bool counts_resident;

	/* Ends what attach() began. */
	void (*close)(struct ms_source *src);

	/*
	 * Fills the list with all regions of the address space as it is now. May run while other
	 * threads read, but never twice at once.
	 */
	int (*regions)(struct ms_source *src, struct region_list *out);

	/*
	 * Reads up to size bytes at addr. May be short; *ret_size == 0 means that the byte at addr
	 * cannot be read. Knows nothing of gaps. Called from several threads at once. Fails only
	 * when the address space as a whole is gone (MS_ERR_GONE).
	 */
	int (*read)(struct ms_source *src, uint64_t addr, void *buf, size_t size, size_t *ret_size);

	/* The rest may be NULL; the core then does without, as said at each. */

	/*
	 * The bytes from addr on as they lie in this process's own memory, where they stay, as
	 * they are, until the source is freed: *ret_size of them, at most size. NULL, or returning
	 * NULL: they can only be read. Called from several threads at once.
	 */
	const void *(*view)(struct ms_source *src, uint64_t addr, size_t size, size_t *ret_size);

	/* NULL: ELF modules are found from the regions (core/module.c). */
	int (*modules)(struct ms_source *src, struct module_list *out);

	/*
	 * The auxiliary vector as the system keeps it, for dumps; it lives as long as the source.
	 * NULL, or failing: unknown.
	 */
	int (*auxv)(struct ms_source *src, const void **ret_data, size_t *ret_size);

	/* NULL: the source knows no threads. */
	int (*threads)(struct ms_source *src, struct thread_list *out);

	/*
	 * Tells which pages of [base, base + size), all of them inside `region`, hold data: fills
	 * at most `room` runs, ascending and without holes from base on, and stops early when room
	 * runs out, or when it takes long: then whoever asks may see whether there is time to go
	 * on. Called from several threads at once. NULL: all of it is data.
	 */
	int (*resident)(struct ms_source *src, const struct ms_region *region, uint64_t base,
		uint64_t size, struct run *runs, size_t room, size_t *ret_count);

	/*
	 * Tells what `count` pages from base on are, whether they hold data or not. Called from
	 * several threads at once. NULL: nothing is known. A failure means the same.
	 */
	int (*identify)(struct ms_source *src, uint64_t base, size_t count, struct page_id *ids);

	/*
	 * Shares the pages of [base, base + size), which are whole. src->regions is fresh. Fails
	 * with MS_ERR_UNSUPPORTED where that cannot be, or would do the target harm. NULL: nowhere.
	 */
	int (*map)(struct ms_source *src, uint64_t base, uint64_t size, struct source_map *ret_map);

	/*
	 * Holds the target's memory as it is at this moment, or ends that: by stopping all
	 * threads, or by a copy that reads, regions and the like are then of. NULL: nothing runs
	 * that could change it.
	 */
	int (*pause)(struct ms_source *src, enum ms_pause how);

	/*
	 * Tells what the target writes, without reading it; see struct dirty_request. NULL, or
	 * failing: memory has to be read and compared.
	 */
	int (*dirty)(struct ms_source *src, struct dirty_request *request);
};

struct ms_host_ops {
	const char *scheme;  /* what a spec begins with, before ':' */
	const char *summary; /* one line for people */
	size_t priv_size;
	bool is_file; /* specs without a scheme are files that open() may claim */

	/*
	 * Opens what the spec (without its scheme) names. A file backend returns HOST_NOT_MINE
	 * for a file that is whole but of another kind.
	 */
	int (*open)(struct ms_host *host, const char *spec);
	void (*close)(struct ms_host *host);

	int (*processes)(struct ms_host *host, struct process_list *out);

	/* Opens the address space of src->process, which this host listed. */
	int (*attach)(struct ms_host *host, struct ms_source *src);

	/* NULL: there is nothing to tell. */
	int (*check)(struct ms_host *host, struct check_list *out);

	const struct ms_source_ops *source;
};

enum { HOST_NOT_MINE = -100 };

struct ms_host {
	const struct ms_host_ops *ops;
	void *priv;
	char *name;
	const struct ms_host_options *options; /* while it is opened; may be NULL */
	char *why;			       /* this kind of host; may be NULL */
	int unpacked; /* while it is opened: what is in its file; -1 if that is not compressed */
	struct process_list processes;
	VEC(struct ms_process) selected;
	struct check_list checks;
};

struct ms_source {
	const struct ms_source_ops *ops;
	void *priv;
	struct ms_host *host;
	struct ms_process process; /* strings are in `strings` */
	bool map_only;		   /* attach need not see to it that bytes can be read */
	struct arena strings;
	/*
	 * What it means when bytes that resident() calls data cannot be read, for attach to set;
	 * MS_STATE_DATA: no access, or without that function an i/o error.
	 */
	enum ms_state unread;
	size_t page_size; /* granularity of what can be read or not; set to 4096 before attach */

	struct region_list regions; /* as of the last ms_source_regions() or scan */
	bool regions_known;
	struct module_list modules;
	struct thread_list threads;
	struct arena kept;	/* what the last dump's coverage points to */
	pthread_mutex_t relist; /* held around ops->regions() while a scan runs */
	enum ms_pause paused;
	uint64_t stop_ns; /* how long the last twin stopped the target */
};

/* Allocates a host of that kind with zeroed private state; ms_host_free() frees it. */
int host_new(const struct ms_host_ops *ops, const char *name, struct ms_host **ret_host);

/* Opens the file that a host of files is of, or what was in it if it is compressed. */
int host_file_open(const struct ms_host *host, const char *path, int *ret_fd, uint64_t *ret_size);

/* The region that holds address in an ascending list, or NULL. */
const struct ms_region *region_find(const struct region_list *list, uint64_t address);

/* The first region that ends above address, or NULL. */
const struct ms_region *region_find_from(const struct region_list *list, uint64_t address);

void region_list_done(struct region_list *list);
void region_list_clear(struct region_list *list);

/* Fills src->regions anew. */
int source_refresh(struct ms_source *src);

/* Adds a copy of a process, strings included. */
bool process_copy(struct ms_process *to, const struct ms_process *from, struct arena *strings);

/* What a backend's host without processes of its own uses for its only one. */
/* Lists the host's processes; `wanted` says of what a process_list can be asked for. */
int host_processes(struct ms_host *host, const struct process_list *wanted,
	const struct ms_process **ret_list, size_t *ret_count);

bool process_list_add(struct process_list *list, const struct ms_process *process);

/* Fills the list from ELF images found in the regions; the fallback for ops->modules. */
int modules_from_elf(struct ms_source *src, struct module_list *out);

#endif
