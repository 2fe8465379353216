/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What glibc (nptl/allocatestack.c, sysdeps/x86_64/nptl/tls.h, 2.1 to 2.42) puts at the top of
 * every stack that it allocates on x86-64: a struct pthread, aligned to 64 bytes, in the last
 * page, whose first and third words hold its own address and which has the thread's number at
 * 0x2d0. No other word pattern in the last page is mistaken for it easily, and if one is, a
 * region of the heap is called a stack: nothing is lost.
 */
#include "backend/linux_stacks.h"

#include "backend/linux_procfs.h"
#include "backend/linux_threads.h"
#include "base/bytes.h"
#include "base/err.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
	BLOCK_ALIGN = 64,
	BLOCK_SELF = 16,
	BLOCK_TID = 0x2d0,
	SYSCALL_TEXT = 256, /* nine numbers of at most 18 characters */
};

struct lister {
	struct linux_stacks *out;
	int dir; /* /proc/PID */
	VEC(uint32_t) running;
};

/* What the file says of the stack of a thread. */
static int add_stack(struct lister *lister, const char *path, uint32_t tid)
{
	char text[SYSCALL_TEXT];
	uint64_t address;

	if (linux_read_at(lister->dir, path, text, sizeof(text)) <= 0)
		return 0;
	address = linux_syscall_stack_pointer(text);
	if (address)
		return vec_push(&lister->out->items, address) ? 0 : err_nomem();
	return vec_push(&lister->running, tid) ? 0 : err_nomem();
}

static int add_stack_of(void *ctx, uint32_t tid)
{
	char path[48];

	snprintf(path, sizeof(path), "task/%u/syscall", tid);
	return add_stack(ctx, path, tid);
}

static bool is_running(const struct lister *lister, uint32_t tid)
{
	for (size_t i = 0; i < lister->running.count; i++)
		if (lister->running.data[i] == tid)
			return true;
	return false;
}

/* Whether the page at address holds the control block of a running thread. */
static bool has_control_block(
	const struct lister *lister, const uint8_t *page, size_t size, uint64_t address)
{
	for (size_t at = 0; at + BLOCK_TID + 4 <= size; at += BLOCK_ALIGN)
		if (load_u64(page + at, false) == address + at &&
			load_u64(page + at + BLOCK_SELF, false) == address + at &&
			is_running(lister, load_u32(page + at + BLOCK_TID, false)))
			return true;
	return false;
}

static bool may_be_stack(const struct ms_region *region)
{
	return (region->flags & MS_REGION_ANONYMOUS) && region->path[0] != '[' &&
	       (region->perm & MS_PERM_WRITE) && !(region->perm & MS_PERM_SHARED);
}

/* Reads the last page of a region, if it is in memory. */
static bool read_last_page(
	struct ms_source *src, int mem, const struct ms_region *region, uint8_t *page)
{
	const struct linux_source *ls = linux_of(src);
	uint64_t address = region->base + region->size - src->page_size, end;
	struct linux_page_run run;
	size_t count;

	return ls->pages.fd >= 0 &&
	       linux_pages_find(&ls->pages, address, address + src->page_size, LINUX_PAGE_PRESENT,
		       &run, 1, &count, &end) == 0 &&
	       count == 1 &&
	       pread(mem, page, src->page_size, (off_t)address) == (ssize_t)src->page_size;
}

static int find_running(
	struct ms_source *src, const struct region_list *regions, const struct lister *lister)
{
	AUTO_FREE uint8_t *page = malloc(src->page_size);
	AUTO_CLOSE int opened = -1;
	int mem = linux_of(src)->mem;

	/* It is open for its map alone. */
	if (mem < 0)
		mem = opened = openat(linux_of(src)->space, "mem", O_RDONLY | O_CLOEXEC);
	if (!page)
		return err_nomem();
	for (size_t i = 0; i < regions->items.count; i++) {
		const struct ms_region *region = &regions->items.data[i];
		uint64_t last = region->base + region->size - src->page_size;

		if (may_be_stack(region) && read_last_page(src, mem, region, page) &&
			has_control_block(lister, page, src->page_size, last) &&
			!vec_push(&lister->out->items, last))
			return err_nomem();
	}
	return 0;
}

static int add_stacks(struct lister *lister, uint32_t pid)
{
	AUTO_CLOSE int task = -1;
	struct stat st;

	/* The folder has a link for each thread besides the two that any folder has. */
	if (fstatat(lister->dir, "task", &st, 0) == 0 && st.st_nlink == 3)
		return add_stack(lister, "syscall", pid);
	task = openat(lister->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return task < 0 ? 0 : linux_numbers(task, add_stack_of, lister);
}

int linux_stacks_find(
	struct ms_source *src, const struct region_list *regions, struct linux_stacks *out)
{
	struct lister lister = {.out = out, .dir = linux_threads_dir(linux_of(src))};
	int r = add_stacks(&lister, src->process.pid);

	/* Where the threads cannot be listed, what is known of the regions has to do. */
	if (r != MS_ERR_MEMORY)
		r = 0;
	/* A lone thread that runs needs no search: its stack is the one called [stack]. */
	if (r == 0 && lister.running.count && (lister.running.count > 1 || out->items.count))
		r = find_running(src, regions, &lister);
	free(lister.running.data);
	return r;
}
