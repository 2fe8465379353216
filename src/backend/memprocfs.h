/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the MemProcFS backend share. memprocfs.c opens devices and lists processes,
 * memprocfs_library.c finds and loads the library, memprocfs_map.c lists regions and tells which
 * pages hold data, memprocfs_read.c reads, memprocfs_list.c lists modules and threads.
 *
 * Whatever the library hands out comes from the memory of a machine that may be hostile, by way
 * of a program that is not ours: counts are measured against the size of the allocation, texts
 * must end inside it.
 */
#ifndef MS_BACKEND_MEMPROCFS_H
#define MS_BACKEND_MEMPROCFS_H

#include "backend/memprocfs_api.h"
#include "base/os.h"
#include "core/host.h"

enum { VMM_PATH_MAX = 4096 };

/* ---- The library ------------------------------------------------------------------------ */

/* One place where the library was looked for. */
struct vmm_place {
	const char *path, *how;
	const char *outcome;
	bool found;
};

struct vmm_search {
	struct arena strings;
	VEC(struct vmm_place) places;
};

struct vmm_library {
	void *handle;
	struct vmm_api api;
	char path[VMM_PATH_MAX];   /* of the library itself */
	char folder[VMM_PATH_MAX]; /* where its companion, and so the plugins for devices, lie */
	const char *how;
};

/*
 * Finds, loads and examines the library. What was looked at goes into *search (may be NULL) even
 * when that fails; path is what the user named, or NULL.
 */
int vmm_library_open(const char *path, struct vmm_library *ret_library, struct vmm_search *search);
void vmm_library_close(struct vmm_library *library);
void vmm_search_done(struct vmm_search *search);

/* Whether a plugin for a device of that name lies with the library. */
bool vmm_library_has_plugin(const struct vmm_library *library, const char *device);

/* ---- What the library hands out ---------------------------------------------------------- */

/* An allocation of the library's, which ends with it. */
struct vmm_block {
	const struct vmm_api *api;
	void *data;
	size_t size;
};

void vmm_block_init(struct vmm_block *block, const struct vmm_api *api, void *data);
void vmm_block_done(struct vmm_block *block);

/*
 * The entries of a map; fails where the version is another or the count cannot be true. what: for
 * the error, such as "VAD map".
 */
int vmm_block_entries(const struct vmm_block *block, const char *what, uint32_t version,
	size_t entry_size, const void **ret_entries, size_t *ret_count);

/* A text inside the block; "" where it is none. */
const char *vmm_block_text(const struct vmm_block *block, const char *text);

/* Whether size bytes at pointer lie inside the block. */
bool vmm_block_holds(const struct vmm_block *block, const void *pointer, size_t size);

/* ---- The host and its sources ------------------------------------------------------------ */

struct vmm_host {
	char *library_path; /* as the user named it; NULL to search */
	struct vmm_library library;
	struct vmm_search search;
	void *vmm; /* NULL: no device was named */
	char *device;
	uint64_t version[3];
	uint64_t system, model;
	bool windows, is_volatile, has_page_file;
	struct process_list processes; /* of a device that does not change */
	bool listed;
	pthread_mutex_t lock; /* guards refreshed_ns */
	uint64_t refreshed_ns;
};

/* A run of pages of one kind of rights that the page tables know. */
struct vmm_run {
	uint64_t base, size;
	bool write, execute;
	uint32_t software;
};

/* What Windows planned to be there. */
struct vmm_range {
	uint64_t base, size;
	uint32_t bits;
	uint64_t backed; /* bytes from base on that can have prototype entries */
	uint32_t ex_base, ex_pages;
	const char *path;
};

/* A thread's stack. */
struct vmm_stack {
	uint64_t low, high;
};

struct vmm_maps {
	VEC(struct vmm_run) runs;     /* ascending, never overlapping */
	VEC(struct vmm_range) ranges; /* likewise */
	VEC(struct vmm_stack) stacks;
	struct arena strings;
};

struct vmm_source {
	uint32_t pid;
	bool kernel;	       /* its upper half is listed as well */
	uint64_t peb, tables;  /* tables: physical, of the highest level */
	pthread_rwlock_t lock; /* guards maps */
	struct vmm_maps maps;
	bool mapped;
};

static inline struct vmm_host *vmm_host_of(const struct ms_source *src)
{
	return (struct vmm_host *)src->host->priv;
}

static inline struct vmm_source *vmm_of(const struct ms_source *src)
{
	return (struct vmm_source *)src->priv;
}

/* Where user memory ends on x64; what is above belongs to the kernel. */
#define VMM_USER_END UINT64_C(0x0000800000000000)

/* Brings a device that changes up to date, at most so often as makes sense. */
void vmm_refresh(struct vmm_host *vh, uint64_t option);

int vmm_regions(struct ms_source *src, struct region_list *out);
int vmm_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count);
void vmm_maps_done(struct vmm_maps *maps);

/* The maps of a process as the library tells them; for regions, and to see whether there are any.
 */
int vmm_maps_fetch(struct vmm_host *vh, uint32_t pid, bool kernel, struct vmm_maps *ret_maps);

/* The name of a mapped file, "" where it cannot be told. */
int vmm_file_name(
	struct vmm_host *vh, uint64_t file_object, struct arena *strings, const char **ret_name);

/* What the page tables say of a page. */
enum vmm_entry {
	VMM_ENTRY_BELOW,   /* no answer: the next table has it */
	VMM_ENTRY_NONE,	   /* never touched */
	VMM_ENTRY_SOME,	   /* it is somewhere */
	VMM_ENTRY_UNKNOWN, /* the tables themselves cannot be read */
};

/* Looks at the tables of the process; the answer holds from address up to *ret_upto. */
enum vmm_entry vmm_tables_look(struct ms_source *src, uint64_t address, uint64_t *ret_upto);

/* Adds the stacks of the process's threads to its maps. */
int vmm_stacks_find(struct ms_source *src, struct vmm_maps *maps);

int vmm_read(struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size);

/* Reads whole pages; good[i] tells for each. Returns how many were read. */
size_t vmm_read_pages(
	struct vmm_host *vh, uint32_t pid, uint64_t address, void *buf, size_t count, bool *good);

int vmm_modules(struct ms_source *src, struct module_list *out);
int vmm_threads(struct ms_source *src, struct thread_list *out);

#endif
