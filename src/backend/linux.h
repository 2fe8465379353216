/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the Linux backend's memory half share: an opened process. linux.c attaches,
 * linux_regions.c lists the regions, linux_read.c tells which pages hold data and reads them,
 * linux_file.c opens the file behind a region, linux_map.c maps it.
 *
 * Everything that is opened of a process belongs to the address space it had then. When that one
 * goes, by exit or exec, the descriptors fall silent, and only process_vm_readv(), which takes a
 * pid, could meet another one; linux_alive() tells afterwards whether it did.
 */
#ifndef MS_BACKEND_LINUX_H
#define MS_BACKEND_LINUX_H

#include "backend/linux_mounts.h"
#include "backend/linux_pages.h"
#include "backend/linux_pins.h"
#include "core/host.h"

#include <stdatomic.h>
#include <sys/types.h>

struct linux_pause;
struct linux_twin;

struct linux_host {
	pthread_mutex_t lock; /* guards all lists of mounts, those of sources, too */
	int mountinfo;	      /* of memsift's own namespace; polls as ready when mounts change */
	bool mounts_read;
	struct linux_mounts mounts;
	struct linux_pins pins;
	bool foreign_proc; /* /proc shows another pid namespace: its numbers are not ours */
};

/* What of a source is the twin's while there is one. */
struct linux_space {
	int dir, space, mem, maps;
	struct linux_pages pages;
	pid_t tid;
};

struct linux_source {
	int dir;   /* /proc/PID */
	int space; /* where mem, maps and the like are: dir, or /proc/PID/task/TID */
	int mem, maps;
	struct linux_pages pages;
	pid_t tid;	      /* a thread that has the address space; mostly the pid */
	atomic_bool mem_only; /* process_vm_readv() is out: forbidden, or could be led astray */
	bool smaps_always;    /* the kernel tells resident sizes no other way */
	bool own_mounts_read;
	struct linux_mounts own_mounts; /* of the target's namespace, where ours lacks something */
	struct linux_pause *pause;
	int uffd;	    /* tracks writes; -1 for none */
	int clear_refs;	    /* while soft-dirty bits track writes; -1 for none */
	uint64_t told_page; /* one whose bit was seen to be set; 0: none so far */
	struct linux_twin *twin;
	struct linux_space *original; /* what the twin stands in for */
};

static inline struct linux_source *linux_of(const struct ms_source *src)
{
	return src->priv;
}

static inline struct linux_space linux_space_now(const struct linux_source *ls)
{
	return (struct linux_space){ls->dir, ls->space, ls->mem, ls->maps, ls->pages, ls->tid};
}

/* Where a region's pages are: in the twin, if there is one, but for what a fork leaves out. */
static inline struct linux_space linux_space_of(
	const struct ms_source *src, const struct ms_region *region)
{
	const struct linux_source *ls = linux_of(src);

	if (ls->original && region && (region->flags & MS_REGION_LIVE))
		return *ls->original;
	return linux_space_now(ls);
}

/* The folder in which the target's threads are, whatever stands in for it. */
static inline int linux_threads_dir(const struct linux_source *ls)
{
	return ls->original ? ls->original->dir : ls->dir;
}

/* False once the address space is gone. */
bool linux_alive(const struct linux_source *ls);

/* Sets the error of an address space that is gone. */
int linux_gone(const struct ms_source *src);

/* 0 if ptrace() means the same process by this number as /proc does. */
int linux_may_stop(const struct ms_source *src);

/*
 * Where the file system of a device number, or of a mount's number, lives: as memsift's own
 * namespace shows it, else as the target's does. May be called from several threads.
 */
enum linux_place linux_place(struct ms_source *src, uint32_t major, uint32_t minor);
enum linux_place linux_place_of_mount(struct ms_source *src, uint64_t id);

int linux_regions(struct ms_source *src, struct region_list *out);
int linux_resident(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count);
int linux_read(struct ms_source *src, uint64_t addr, void *buf, size_t size, size_t *ret_size);
int linux_map(struct ms_source *src, uint64_t base, uint64_t size, struct source_map *ret_map);
int linux_dirty(struct ms_source *src, struct dirty_request *request);
int linux_identify(struct ms_source *src, uint64_t base, size_t count, struct page_id *ids);

#endif
