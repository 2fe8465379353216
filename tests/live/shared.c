/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that processes have in common: looking at them leaves them shared, and searching them
 * once for all gives the same hits as searching each process by itself.
 */
#include "test.h"

#include "base/mem.h"
#include "base/vec.h"
#include "memsift.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { CHILDREN = 4, PAGE = 4096, HEAP_PAGES = 1024, FILE_PAGES = 300 };

static const char needle[] = "shared-needle!";

struct family {
	pid_t pids[CHILDREN];
	uint8_t *heap;
	size_t heap_size;
};

static void plant(uint8_t *memory, size_t at)
{
	memcpy(memory + at, needle, sizeof(needle) - 1);
}

/* Each child has its own idea of a few pages, and the file at an address of its own. */
static void child_main(int index, uint8_t *heap, int file)
{
	size_t own = (size_t)(100 + 150 * index) * PAGE;
	uint8_t *view;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	plant(heap, own + 10);
	if (index == 2)
		plant(heap, 300 * PAGE - 5); /* over a border of pages, here only */
	/* Room before the mapping moves it: by a page for each child. */
	view = mmap(NULL, (FILE_PAGES + 8) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	view = mmap(view + index * PAGE, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_FIXED, file, 0);
	for (size_t i = 0; i < FILE_PAGES; i++)
		*(volatile uint8_t *)(view + i * PAGE);
	if (index == 1)
		plant(view, 7 * PAGE + 99);
	if (write(STDOUT_FILENO, "", 0) < 0)
		_exit(1);
	kill(getpid(), SIGSTOP);
	_exit(0);
}

static int make_file(void)
{
	uint8_t page[PAGE];
	uint64_t state = 3;
	int fd = memfd_create("shared", MFD_CLOEXEC);

	for (size_t i = 0; i < FILE_PAGES && fd >= 0; i++) {
		for (size_t k = 0; k < PAGE; k += 8)
			memcpy(page + k, &(uint64_t){test_random(&state)}, 8);
		if (i % 50 == 20)
			plant(page, 1000);
		if (write(fd, page, PAGE) != PAGE)
			return -1;
	}
	return fd;
}

static void family_start(struct family *family)
{
	uint64_t state = 7;
	int file = make_file(), status;

	check(file >= 0);
	family->heap_size = HEAP_PAGES * PAGE;
	family->heap = mmap(NULL, family->heap_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(family->heap != MAP_FAILED);
	madvise(family->heap, family->heap_size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < family->heap_size; i += 8)
		memcpy(family->heap + i, &(uint64_t){test_random(&state)}, 8);
	for (size_t i = 0; i < HEAP_PAGES; i += 64)
		plant(family->heap, i * PAGE + PAGE - 7);
	for (int i = 0; i < CHILDREN; i++) {
		family->pids[i] = fork();
		if (family->pids[i] == 0)
			child_main(i, family->heap, file);
		check(family->pids[i] > 0);
		check(waitpid(family->pids[i], &status, WUNTRACED) == family->pids[i]);
		check(WIFSTOPPED(status));
	}
	close(file);
}

static void family_end(struct family *family)
{
	for (int i = 0; i < CHILDREN; i++) {
		kill(family->pids[i], SIGKILL);
		waitpid(family->pids[i], NULL, 0);
	}
	munmap(family->heap, family->heap_size);
}

/* A number in kB of a process's smaps_rollup; 0 where there is none. */
static unsigned long rollup(pid_t pid, const char *field)
{
	char path[64], line[256];
	unsigned long value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtoul(line + strlen(field), NULL, 10);
	if (file)
		fclose(file);
	return value;
}

static void reading_leaves_pages_shared(void)
{
	static uint8_t buf[HEAP_PAGES * PAGE];
	struct family family;
	unsigned long before, after;
	ms_host *host;
	ms_source *src;
	size_t done = 0, got;

	family_start(&family);
	before = rollup(family.pids[0], "Shared_Dirty:");
	check_ok(ms_host_open("local", &host));
	check_ok(ms_source_open(host, (uint32_t)family.pids[0], &src));
	while (done < sizeof(buf)) {
		check_ok(ms_source_read(src, (uintptr_t)family.heap + done, buf + done,
			sizeof(buf) - done, &got, NULL));
		check(got > 0);
		done += got;
	}
	ms_source_free(src);
	ms_host_free(host);
	after = rollup(family.pids[0], "Shared_Dirty:");
	family_end(&family);
	if (!before)
		skip("this kernel has no smaps_rollup");
	check_that(after + 64 >= before, "shared pages fell from %lu to %lu kB", before, after);
}

struct found {
	uint64_t pid, address;
};

struct finds {
	VEC(struct found) items;
	uint64_t bytes;
};

static int take(void *ctx, const struct ms_record *record)
{
	struct finds *finds = ctx;

	if (record->schema == &ms_schema_hit)
		return !vec_push(&finds->items,
			(struct found){record->values[0].v.u, record->values[2].v.u});
	return record->schema == &ms_schema_error;
}

static void search(ms_host *host, const struct ms_process *list, size_t count, const char *align,
	struct finds *ret_finds)
{
	struct ms_arg args[] = {{"text", needle}, {"align", align}};
	struct ms_scan scan = {.size = sizeof(scan), .job = {.threads = 2},
		.sink = {take, ret_finds}};
	struct ms_total total;
	ms_engine *engine;

	check_ok(ms_engine_new("bytes", args, 2, &engine));
	scan.engine = engine;
	check_ok(ms_scan_processes(host, list, count, &scan, &total));
	ret_finds->bytes += total.bytes_read;
	ms_engine_free(engine);
}

static void once_is_as_good_as_each(void)
{
	static const char *const aligns[] = {"1", "3", "16"};
	struct family family;
	struct ms_selection selection = {.size = sizeof(selection)};
	const struct ms_process *list;
	char pids[128] = "";
	size_t count, length = 0;
	ms_host *host;

	family_start(&family);
	for (int i = 0; i < CHILDREN; i++)
		length += (size_t)snprintf(
			pids + length, sizeof(pids) - length, "%s%d", i ? "," : "", family.pids[i]);
	selection.pids = pids;
	check_ok(ms_host_open("local", &host));
	check_ok(ms_host_select(host, &selection, &list, &count));
	check_u64(count, CHILDREN);
	for (size_t a = 0; a < sizeof(aligns) / sizeof(*aligns); a++) {
		struct finds together = {0}, each = {0};

		search(host, list, count, aligns[a], &together);
		for (size_t i = 0; i < count; i++)
			search(host, &list[i], 1, aligns[a], &each);
		check_u64(together.bytes, each.bytes);
		check_u64(together.items.count, each.items.count);
		/* 16 in the heap and 6 in the file for each, more where a child planted its own. */
		check(a > 0 || each.items.count >= CHILDREN * 22 + CHILDREN + 2);
		check(memcmp(together.items.data, each.items.data,
			      each.items.count * sizeof(struct found)) == 0);
		free(together.items.data);
		free(each.items.data);
	}
	ms_host_free(host);
	family_end(&family);
}

static const struct test tests[] = {
	{"reading leaves pages shared", reading_leaves_pages_shared},
	{"once is as good as each", once_is_as_good_as_each},
};

TEST_MAIN(tests)
