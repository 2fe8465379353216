/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Views of a child's memory. The same checks run over all kinds: memory that only a mirror can
 * show, tracked or not, and memory that can be shared; then what each kind alone has to do. The
 * child and this test share one page to talk by.
 */
#include "test.h"

#include "base/mem.h"
#include "core/host.h"
#include "memsift_track.h"
#include "track/mapping.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 32, LOOK_US = 25000, TRACKED = 6 };

enum wish { WISH_NONE, WISH_WRITE, WISH_DROP, WISH_UNMAP, WISH_REPLACE, WISH_FILTER, WISH_EXIT };

struct desk {
	atomic_int wish;
	uint64_t offset, size; /* of what to write, drop, map... */
	uint8_t value;
};

struct child {
	pid_t pid;
	struct desk *desk;
	uint8_t *memory; /* at the same address here, where it is the child's own affair */
	int fd;
	ms_host *host;
	ms_source *source;
	ms_mapper *mapper; /* of a kind that asks for tracking */
};

struct kind {
	const char *name;
	int (*file)(void); /* -1: anonymous */
	int flags;
	enum ms_mapping_kind kind;
	bool track;
};

static int no_file(void)
{
	return -1;
}

static int full_memfd(void)
{
	static const uint8_t ones[PAGES * PAGE] = {1};
	int fd = memfd_create("memsift-mapping", MFD_CLOEXEC);

	check(fd >= 0 && write(fd, ones, sizeof(ones)) == sizeof(ones));
	return fd;
}

static int sparse_memfd(void)
{
	int fd = memfd_create("memsift-sparse", MFD_CLOEXEC);

	check(fd >= 0 && ftruncate(fd, PAGES * PAGE) == 0);
	return fd;
}

static int disk_file(void)
{
	char path[] = "/var/tmp/memsift-mapping-XXXXXX";
	static const uint8_t ones[PAGES * PAGE] = {1};
	int fd = mkstemp(path);

	check(fd >= 0 && unlink(path) == 0);
	check(write(fd, ones, sizeof(ones)) == sizeof(ones));
	return fd;
}

static const struct kind kinds[] = {
	{"anonymous", no_file, MAP_PRIVATE | MAP_ANONYMOUS, MS_MAPPING_MIRROR, false},
	{"private memfd", full_memfd, MAP_PRIVATE, MS_MAPPING_MIRROR, false},
	{"private file", disk_file, MAP_PRIVATE, MS_MAPPING_MIRROR, false},
	{"shared memfd with holes", sparse_memfd, MAP_SHARED, MS_MAPPING_MIRROR, false},
	{"shared memfd", full_memfd, MAP_SHARED, MS_MAPPING_SHARED, false},
	{"shared file", disk_file, MAP_SHARED, MS_MAPPING_SHARED, false},
	{"tracked", no_file, MAP_PRIVATE | MAP_ANONYMOUS, MS_MAPPING_TRACKED, true},
	{"private file, tracking", disk_file, MAP_PRIVATE, MS_MAPPING_MIRROR, true},
	{"holes, tracking", sparse_memfd, MAP_SHARED, MS_MAPPING_MIRROR, true},
	{"shared memfd, tracking", full_memfd, MAP_SHARED, MS_MAPPING_SHARED, true},
};

/* ---- The child -------------------------------------------------------------------------- */

static void filter_nothing(void)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(1);
}

static void fulfil(struct desk *desk, uint8_t *memory)
{
	switch ((enum wish)desk->wish) {
	case WISH_WRITE:
		memset(memory + desk->offset, desk->value, desk->size);
		break;
	case WISH_DROP:
		madvise(memory + desk->offset, desk->size, MADV_DONTNEED);
		break;
	case WISH_UNMAP:
		munmap(memory + desk->offset, desk->size);
		break;
	case WISH_REPLACE:
		mmap(memory + desk->offset, desk->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		memset(memory + desk->offset, 0x77, PAGE);
		break;
	case WISH_FILTER:
		filter_nothing();
		break;
	case WISH_EXIT:
		_exit(0);
	default:
		break;
	}
	desk->wish = WISH_NONE;
}

static void child_run(struct desk *desk, uint8_t *memory)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		if (desk->wish != WISH_NONE)
			fulfil(desk, memory);
		usleep(100);
	}
}

static void wish(struct child *child, enum wish what, uint64_t offset, uint64_t size, int value)
{
	child->desk->offset = offset;
	child->desk->size = size;
	child->desk->value = (uint8_t)value;
	child->desk->wish = (int)what;
	while (child->desk->wish != WISH_NONE)
		usleep(100);
}

static void child_start(struct child *child, const struct kind *kind)
{
	child->fd = kind->file();
	child->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, kind->flags, child->fd, 0);
	child->desk = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(child->memory != MAP_FAILED && child->desk != MAP_FAILED);
	child->pid = fork();
	check(child->pid >= 0);
	if (child->pid == 0)
		child_run(child->desk, child->memory);
	check_ok(ms_host_open(NULL, &child->host));
	check_ok(ms_source_open(child->host, (uint32_t)child->pid, &child->source));
	wish(child, WISH_WRITE, 0, 16 * PAGE, 0x11);
}

static void child_stop(struct child *child)
{
	ms_source_free(child->source);
	ms_host_free(child->host);
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	munmap(child->memory, PAGES * PAGE);
	munmap(child->desk, PAGE);
	if (child->fd >= 0)
		close(child->fd);
}

static uint64_t address(const struct child *child)
{
	return (uintptr_t)child->memory;
}

static ms_mapper *new_tracking(struct child *child)
{
	const struct ms_mapper_options options = {.size = sizeof(options), .track = true};
	ms_mapper *mapper;

	check_ok(ms_mapper_new(child->source, &options, &mapper));
	return mapper;
}

static ms_mapping *add(ms_mapper *mapper, uint64_t base, size_t size)
{
	size_t index;

	check_ok(ms_mapper_add(mapper, base, size, &index));
	return ms_mapper_get(mapper, index);
}

/* The end of a test, where there is nothing to test. */
static void need_tracking(const ms_mapping *mapping)
{
	if (ms_mapping_kind(mapping) != MS_MAPPING_TRACKED)
		skip("%s", ms_mapping_why(mapping));
}

/* A view made the way that the kind asks for; only one of a child at a time. */
static ms_mapping *view_new(
	struct child *child, const struct kind *kind, uint64_t base, size_t size)
{
	ms_mapping *mapping;

	if (kind->track) {
		child->mapper = new_tracking(child);
		mapping = add(child->mapper, base, size);
		if (kind->kind == MS_MAPPING_TRACKED)
			need_tracking(mapping);
		return mapping;
	}
	child->mapper = NULL;
	check_ok(ms_mapping_new(child->source, base, size, &mapping));
	return mapping;
}

static void view_free(struct child *child, ms_mapping *mapping)
{
	if (child->mapper)
		ms_mapper_free(child->mapper);
	else
		ms_mapping_free(mapping);
}

/* Runs a check over every kind of memory. */
static void each_kind(void (*examine)(struct child *child, const struct kind *kind))
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct child child;

		test_name = kinds[i].name;
		child_start(&child, &kinds[i]);
		examine(&child, &kinds[i]);
		child_stop(&child);
	}
}

/* ---- What holds for all kinds ---------------------------------------------------------- */

static void check_bytes(const ms_mapping *mapping, size_t offset, size_t size, uint8_t value)
{
	const uint8_t *data = ms_mapping_data(mapping);
	uint8_t copy[3 * PAGE];
	size_t got;

	check(size <= sizeof(copy));
	for (size_t i = 0; i < size; i++)
		check_that(data[offset + i] == value, "byte %zu is %02x, not %02x", offset + i,
			data[offset + i], value);
	check_ok(ms_mapping_read(mapping, offset, copy, size, &got));
	check_u64(got, size);
	check(memcmp(copy, data + offset, size) == 0);
}

static void examine_answers(struct child *child, const struct kind *kind)
{
	ms_mapping *mapping = view_new(child, kind, address(child), PAGES * PAGE);
	const struct ms_gap *gaps;
	size_t count, got;
	uint64_t read;
	char byte;

	check((ms_mapping_why(mapping) != NULL) ==
		(kind->track && kind->kind == MS_MAPPING_MIRROR));
	check(ms_mapping_kind(mapping) == kind->kind);
	check_u64(ms_mapping_base(mapping), address(child));
	check_u64(ms_mapping_size(mapping), PAGES * PAGE);
	check_bytes(mapping, 5 * PAGE, PAGE, 0x11);
	wish(child, WISH_WRITE, 5 * PAGE + 10, 20, 0x22);
	check_ok(ms_mapping_refresh(mapping, &read));
	check(kind->kind == MS_MAPPING_SHARED ? read == 0 : read > 0);
	check_bytes(mapping, 5 * PAGE, 10, 0x11);
	check_bytes(mapping, 5 * PAGE + 10, 20, 0x22);
	check_bytes(mapping, 5 * PAGE + 30, 2 * PAGE, 0x11);
	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, 0);
	check_ok(ms_mapping_read(mapping, PAGES * PAGE - 1, &byte, 5, &got));
	check_u64(got, 1);
	check_ok(ms_mapping_read(mapping, PAGES * PAGE, &byte, 5, &got));
	check_u64(got, 0);
	view_free(child, mapping);
}

/* Any byte may be the first and the last. */
static void examine_borders(struct child *child, const struct kind *kind)
{
	/* The holes lie further behind. */
	bool shared = kind->flags & MAP_SHARED;

	wish(child, WISH_WRITE, 2 * PAGE + 7, 100, 0x33);
	for (size_t base = 2 * PAGE + 5; base < 2 * PAGE + 9; base++)
		for (size_t size = 1; size < 3 * PAGE; size = size * 3 + 1) {
			ms_mapping *mapping = view_new(child, kind, address(child) + base, size);
			const uint8_t *data;

			check(ms_mapping_kind(mapping) ==
				(shared ? MS_MAPPING_SHARED : kind->kind));
			data = ms_mapping_data(mapping);
			for (size_t i = 0; i < size; i++) {
				size_t at = base + i;
				bool in = at >= 2 * PAGE + 7 && at < 2 * PAGE + 107;

				check(data[i] == (in ? 0x33 : 0x11));
			}
			view_free(child, mapping);
		}
}

/* Part of it is unmapped, then all of it is something else. */
static void examine_changes_of_the_map(struct child *child, const struct kind *kind)
{
	ms_mapping *mapping = view_new(child, kind, address(child), PAGES * PAGE);
	const struct ms_gap *gaps;
	size_t count;

	wish(child, WISH_UNMAP, 4 * PAGE, 2 * PAGE, 0);
	usleep(LOOK_US);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check(ms_mapping_kind(mapping) ==
		(kind->kind == MS_MAPPING_SHARED ? MS_MAPPING_MIRROR : kind->kind));
	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, 1);
	check_u64(gaps[0].base, address(child) + 4 * PAGE);
	check_u64(gaps[0].size, 2 * PAGE);
	check_bytes(mapping, 3 * PAGE, PAGE, 0x11);
	check_bytes(mapping, 4 * PAGE, 2 * PAGE, 0);
	check_bytes(mapping, 6 * PAGE, PAGE, 0x11);
	wish(child, WISH_REPLACE, 0, PAGES * PAGE, 0);
	usleep(LOOK_US);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check_bytes(mapping, 0, PAGE, 0x77);
	check_bytes(mapping, PAGE, PAGE, 0);
	/* It is private memory now, and again as easy to track as any. */
	if (kind->track && ms_mapping_kind(mapping) != MS_MAPPING_TRACKED)
		skip("%s", ms_mapping_why(mapping));
	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, 0);
	view_free(child, mapping);
}

static void examine_the_end(struct child *child, const struct kind *kind)
{
	ms_mapping *mapping = view_new(child, kind, address(child), PAGES * PAGE);

	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	usleep(LOOK_US);
	check(ms_mapping_refresh(mapping, NULL) == MS_ERR_GONE);
	check_bytes(mapping, 2 * PAGE, PAGE, 0x11);
	view_free(child, mapping);
	check(ms_mapping_new(child->source, address(child), PAGE, &mapping) == MS_ERR_GONE);
}

static void all_kinds_answer_alike(void)
{
	each_kind(examine_answers);
}

static void borders_at_any_byte(void)
{
	each_kind(examine_borders);
}

static void changes_of_the_map(void)
{
	each_kind(examine_changes_of_the_map);
}

static void the_target_ends(void)
{
	each_kind(examine_the_end);
}

/* ---- What each kind has to do ----------------------------------------------------------- */

static void shared_views_need_no_refresh(void)
{
	for (size_t i = 4; i < TRACKED; i++) {
		struct child child;
		ms_mapping *mapping;

		child_start(&child, &kinds[i]);
		check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
		check(ms_mapping_kind(mapping) == MS_MAPPING_SHARED);
		wish(&child, WISH_WRITE, 9 * PAGE, 5, 0x44);
		check_bytes(mapping, 9 * PAGE, 5, 0x44);
		ms_mapping_free(mapping);
		child_stop(&child);
	}
}

static sigjmp_buf bus_jump;

static void on_bus(int number)
{
	(void)number;
	siglongjmp(bus_jump, 1);
}

/* Reading never kills; a refresh makes the view safe again. */
static void files_that_become_shorter(void)
{
	struct child child;
	ms_mapping *mapping;
	uint8_t bytes[4 * PAGE];
	volatile bool bus = false;
	size_t got;

	child_start(&child, &kinds[5]);
	check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
	check(ms_mapping_kind(mapping) == MS_MAPPING_SHARED);
	check(ftruncate(child.fd, 3 * PAGE + 100) == 0);
	check_ok(ms_mapping_read(mapping, 2 * PAGE, bytes, sizeof(bytes), &got));
	check_u64(got, 2 * PAGE);
	check(bytes[0] == 0x11 && bytes[PAGE + 99] == 0x11 && bytes[PAGE + 100] == 0);
	signal(SIGBUS, on_bus);
	if (sigsetjmp(bus_jump, 1) == 0)
		bytes[0] = ((const volatile uint8_t *)ms_mapping_data(mapping))[10 * PAGE];
	else
		bus = true;
	signal(SIGBUS, SIG_DFL);
	check(bus);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
	check_bytes(mapping, 2 * PAGE, PAGE, 0x11);
	check_bytes(mapping, 10 * PAGE, PAGE, 0);
	ms_mapping_free(mapping);
	child_stop(&child);
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	check(fstat(fd, &st) == 0);
	return (uint64_t)st.st_blocks;
}

/* Holes stay holes. */
static void looking_fills_no_holes(void)
{
	struct child child;
	ms_mapping *mapping;
	uint64_t blocks;

	child_start(&child, &kinds[3]);
	blocks = blocks_of(child.fd);
	check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
	for (size_t i = 0; i < PAGES * PAGE; i++)
		check(((const uint8_t *)ms_mapping_data(mapping))[i] == (i < 16 * PAGE ? 0x11 : 0));
	check_u64(blocks_of(child.fd), blocks);
	ms_mapping_free(mapping);
	child_stop(&child);
}

/* What is given back reads as zeros again. */
static void dropped_pages_are_zeros(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[0]);
	check_ok(ms_mapping_new(child.source, address(&child), PAGES * PAGE, &mapping));
	check_bytes(mapping, 5 * PAGE, PAGE, 0x11);
	wish(&child, WISH_DROP, 5 * PAGE, PAGE, 0);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check_bytes(mapping, 5 * PAGE, PAGE, 0);
	check_bytes(mapping, 6 * PAGE, PAGE, 0x11);
	ms_mapping_free(mapping);
	child_stop(&child);
}

static void wrong_ranges(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[0]);
	check(ms_mapping_new(child.source, address(&child), 0, &mapping) == MS_ERR_ARGUMENT);
	check(ms_mapping_new(child.source, UINT64_MAX - 10, 5, &mapping) == MS_ERR_ARGUMENT);
	check(ms_mapping_new(child.source, 10, SIZE_MAX, &mapping) == MS_ERR_ARGUMENT);
	/* Nothing is there: a view of nothing but a gap. */
	check_ok(ms_mapping_new(child.source, 0x1000, PAGE, &mapping));
	check_bytes(mapping, 0, PAGE, 0);
	ms_mapping_free(mapping);
	ms_mapping_free(NULL);
	child_stop(&child);
}

static size_t descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* How often this process has mapped memfds. */
static size_t mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	size_t count = 0;

	check(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "/memfd:memsift-mapping") != NULL;
	fclose(maps);
	return count;
}

static void mappers_hold_many(void)
{
	struct child child;
	ms_mapper *mapper;
	ms_filter *filter;
	size_t index, count, fds, maps;
	char range[64];

	child_start(&child, &kinds[4]);
	fds = descriptors();
	maps = mappings();
	check_ok(ms_mapper_new(child.source, NULL, &mapper));
	for (size_t i = 0; i < 10; i++) {
		check_ok(ms_mapper_add(mapper, address(&child) + i * PAGE, PAGE, &index));
		check_u64(index, i);
	}
	check_u64(ms_mapper_count(mapper), 10);
	check(ms_mapper_find(mapper, address(&child) + 3 * PAGE + 5) == ms_mapper_get(mapper, 3));
	check(!ms_mapper_find(mapper, address(&child) + 10 * PAGE));
	check(!ms_mapper_get(mapper, 10));
	ms_mapper_remove(mapper, 3);
	ms_mapper_remove(mapper, 3);
	ms_mapper_remove(mapper, 77);
	check(!ms_mapper_get(mapper, 3) && !ms_mapper_find(mapper, address(&child) + 3 * PAGE));
	check_u64(ms_mapper_count(mapper), 10);
	check_ok(ms_filter_new(&filter));
	snprintf(range, sizeof(range), "%llx-%llx", (unsigned long long)address(&child) + 100,
		(unsigned long long)address(&child) + 2 * PAGE);
	check_ok(ms_filter_set(filter, "address", range));
	check_ok(ms_mapper_add_regions(mapper, filter, &count));
	check_u64(count, 1);
	check_u64(ms_mapping_base(ms_mapper_get(mapper, 10)), address(&child) + 100);
	wish(&child, WISH_WRITE, 0, PAGE, 0x55);
	check_ok(ms_mapper_refresh(mapper, NULL));
	check_bytes(ms_mapper_get(mapper, 0), 0, PAGE, 0x55);
	check_bytes(ms_mapper_get(mapper, 10), 0, PAGE - 100, 0x55);
	ms_mapper_free(mapper);
	ms_filter_free(filter);
	check_u64(descriptors(), fds);
	check_u64(mappings(), maps);
	child_stop(&child);
}

/* A terabyte without data is mapped like anything else, and nothing comes of it. */
static void huge_and_sparse(void)
{
	const uint64_t size = 1ull << 40;
	void *space = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct child child;
	ms_mapping *mapping;

	if (space == MAP_FAILED)
		skip("no terabyte of addresses");
	*((volatile uint8_t *)space + size / 2) = 9;
	child_start(&child, &kinds[0]);
	check_ok(ms_mapping_new(child.source, (uintptr_t)space, size, &mapping));
	check(((const uint8_t *)ms_mapping_data(mapping))[size / 2] == 9);
	check(((const uint8_t *)ms_mapping_data(mapping))[size / 3] == 0);
	check_ok(ms_mapping_refresh(mapping, NULL));
	check(((const uint8_t *)ms_mapping_data(mapping))[size / 2] == 9);
	ms_mapping_free(mapping);
	child_stop(&child);
	munmap(space, size);
}

/* What is in this process already is shown where it is. */
static void snapshots_are_shown_as_they_are(void)
{
	struct child child;
	ms_snapshot *snapshot;
	ms_mapping *mapping;

	child_start(&child, &kinds[0]);
	check_ok(ms_snapshot_take(child.source, NULL, &snapshot));
	wish(&child, WISH_WRITE, 0, PAGE, 0x66);
	check_ok(
		ms_mapping_new(ms_snapshot_source(snapshot), address(&child), 16 * PAGE, &mapping));
	check(ms_mapping_kind(mapping) == MS_MAPPING_SHARED);
	check_bytes(mapping, 0, PAGE, 0x11);
	check_ok(ms_mapping_refresh(mapping, NULL));
	ms_mapping_free(mapping);
	check_ok(ms_mapping_new(
		ms_snapshot_source(snapshot), address(&child), PAGES * PAGE, &mapping));
	check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
	check_bytes(mapping, 15 * PAGE, PAGE, 0x11);
	check_bytes(mapping, 16 * PAGE, PAGE, 0);
	ms_mapping_free(mapping);
	ms_snapshot_free(snapshot);
	child_stop(&child);
}

/* ---- Tracked mirrors -------------------------------------------------------------------- */

static uint64_t bytes_read; /* of any source whose reads are counted */
static const struct ms_source_ops *counted;

static int counting_read(
	struct ms_source *src, uint64_t base, void *buf, size_t size, size_t *ret_size)
{
	int r = counted->read(src, base, buf, size, ret_size);

	bytes_read += r == 0 ? *ret_size : 0;
	return r;
}

static void count_reads(ms_source *source)
{
	static struct ms_source_ops ops;

	counted = source->ops;
	ops = *counted;
	ops.read = counting_read;
	source->ops = &ops;
}

/* By soft-dirty bits a page that was written is told more than once. */
static bool piles_up(const ms_mapping *mapping)
{
	return mapping->tracker && mapping->tracker->piles_up;
}

/* Refreshes, and checks how many pages were read to do it. */
static void check_refresh(ms_mapping *mapping, uint64_t pages)
{
	uint64_t read;

	bytes_read = 0;
	check_ok(ms_mapping_refresh(mapping, &read));
	check_u64(bytes_read, read);
	if (piles_up(mapping))
		check(read >= pages * PAGE);
	else
		check_u64(read, pages * PAGE);
}

static void as_many_pages_as_were_written(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[TRACKED]);
	count_reads(child.source);
	mapping = view_new(&child, &kinds[TRACKED], address(&child), PAGES * PAGE);
	check_refresh(mapping, 0);
	for (size_t count = 1; count <= 16; count++) {
		for (size_t i = 0; i < count; i++)
			wish(&child, WISH_WRITE, i * PAGE + 10 * i, 1, (int)(0x80 + count));
		check_refresh(mapping, count);
		check_refresh(mapping, 0);
		for (size_t i = 0; i < 16; i++)
			check_bytes(mapping, i * PAGE + 10 * i, 1,
				(uint8_t)(i < count ? 0x80 + count : 0x11));
	}
	/* Written over with what was there. */
	wish(&child, WISH_WRITE, 15 * PAGE, 5, 0x11);
	check_refresh(mapping, 1);
	/* Pages that come into being, and all of them. */
	wish(&child, WISH_WRITE, 20 * PAGE + 5, 3 * PAGE, 0x23);
	check_refresh(mapping, 4);
	check_bytes(mapping, 20 * PAGE + 5, 3 * PAGE, 0x23);
	wish(&child, WISH_WRITE, 0, PAGES * PAGE, 0x24);
	check_refresh(mapping, PAGES);
	/* Given back, which is no write, and costs no read. */
	wish(&child, WISH_DROP, 7 * PAGE, 3 * PAGE, 0);
	check_refresh(mapping, 0);
	check_bytes(mapping, 6 * PAGE, PAGE, 0x24);
	check_bytes(mapping, 7 * PAGE, 3 * PAGE, 0);
	check_bytes(mapping, 10 * PAGE, PAGE, 0x24);
	wish(&child, WISH_WRITE, 8 * PAGE, 1, 0x25);
	check_refresh(mapping, 1);
	check_bytes(mapping, 8 * PAGE, 1, 0x25);
	view_free(&child, mapping);
	child_stop(&child);
}

static void check_gap(const ms_mapping *mapping, uint64_t base, uint64_t size)
{
	const struct ms_gap *gaps;
	size_t count;

	ms_mapping_gaps(mapping, &gaps, &count);
	check_u64(count, size ? 1 : 0);
	if (size) {
		check_u64(gaps[0].base, base);
		check_u64(gaps[0].size, size);
	}
}

static void gaps_are_kept(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[TRACKED]);
	count_reads(child.source);
	mapping = view_new(&child, &kinds[TRACKED], address(&child), PAGES * PAGE);
	wish(&child, WISH_UNMAP, 4 * PAGE, 2 * PAGE, 0);
	check_refresh(mapping, 0);
	check_gap(mapping, address(&child) + 4 * PAGE, 2 * PAGE);
	check_bytes(mapping, 4 * PAGE, 2 * PAGE, 0);
	for (int i = 0; i < 3; i++) {
		wish(&child, WISH_WRITE, 12 * PAGE, 1, i);
		check_refresh(mapping, 1);
		check_gap(mapping, address(&child) + 4 * PAGE, 2 * PAGE);
		check_bytes(mapping, 12 * PAGE, 1, (uint8_t)i);
	}
	check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
	/* Other memory: what was told of the old says nothing, so that all is read once. */
	wish(&child, WISH_REPLACE, 0, PAGES * PAGE, 0);
	check_refresh(mapping, 1);
	check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
	check_gap(mapping, 0, 0);
	check_bytes(mapping, 0, PAGE, 0x77);
	check_bytes(mapping, PAGE, PAGE, 0);
	check_bytes(mapping, 12 * PAGE, PAGE, 0);
	wish(&child, WISH_WRITE, 4 * PAGE, 2, 0x78);
	check_refresh(mapping, 1);
	check_bytes(mapping, 4 * PAGE, 2, 0x78);
	/* The same text in the memory map, again and again. */
	for (int i = 0; i < 5; i++) {
		wish(&child, WISH_WRITE, 0, 3 * PAGE, 0x79);
		wish(&child, WISH_REPLACE, 0, PAGES * PAGE, 0);
		check_refresh(mapping, 1);
		check_bytes(mapping, 0, PAGE, 0x77);
		check_bytes(mapping, PAGE, 2 * PAGE, 0);
	}
	view_free(&child, mapping);
	child_stop(&child);
}

/* Where part of it is mapped anew, what was told of the rest is not lost. */
static void partly_mapped_anew(void)
{
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[TRACKED]);
	mapping = view_new(&child, &kinds[TRACKED], address(&child), PAGES * PAGE);
	for (int i = 0; i < 3; i++) {
		wish(&child, WISH_WRITE, 3 * PAGE, 10, 0x41 + i);
		wish(&child, WISH_WRITE, 15 * PAGE, 10, 0x51 + i);
		wish(&child, WISH_REPLACE, (5 + i) * PAGE, 2 * PAGE, 0);
		check_ok(ms_mapping_refresh(mapping, NULL));
		check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
		check_bytes(mapping, 3 * PAGE, 10, (uint8_t)(0x41 + i));
		check_bytes(mapping, 15 * PAGE, 10, (uint8_t)(0x51 + i));
		check_bytes(mapping, (5 + i) * PAGE, PAGE, 0x77);
		check_bytes(mapping, (6 + i) * PAGE, PAGE, 0);
	}
	view_free(&child, mapping);
	child_stop(&child);
}

/* Says that pages are swapped out; a machine of which tests may swap pages out is rare. */
static int all_swapped(struct ms_source *src, const struct ms_region *region, uint64_t base,
	uint64_t size, struct run *runs, size_t room, size_t *ret_count)
{
	(void)src;
	(void)region;
	*ret_count = room ? 1 : 0;
	if (room)
		runs[0] = (struct run){base, size, MS_STATE_SWAPPED};
	return 0;
}

/* To come in is no write, so nobody tells it. */
static void swapped_pages_come_in(void)
{
	const struct ms_source_ops *ops;
	struct ms_source_ops swapped;
	struct child child;
	ms_mapping *mapping;

	child_start(&child, &kinds[TRACKED]);
	count_reads(child.source);
	mapping = view_new(&child, &kinds[TRACKED], address(&child), 8 * PAGE);
	ops = child.source->ops;
	swapped = *ops;
	swapped.resident = all_swapped;
	child.source->ops = &swapped;
	check_refresh(mapping, 0);
	check_gap(mapping, address(&child), 8 * PAGE);
	check_bytes(mapping, 0, PAGE, 0);
	child.source->ops = ops;
	check_refresh(mapping, 8);
	check_gap(mapping, 0, 0);
	check_bytes(mapping, 0, PAGE, 0x11);
	check_bytes(mapping, 7 * PAGE, PAGE, 0x11);
	check_refresh(mapping, 0);
	view_free(&child, mapping);
	child_stop(&child);
}

/* Whatever a child does, the mirror is what it has. */
static void many_changes_at_random(void)
{
	struct child child;
	ms_mapping *mapping, *plain;
	unsigned random = 12345;

	child_start(&child, &kinds[TRACKED]);
	mapping = view_new(&child, &kinds[TRACKED], address(&child) + 5, PAGES * PAGE - 10);
	check_ok(ms_mapping_new(child.source, address(&child) + 5, PAGES * PAGE - 10, &plain));
	for (int round = 0; round < 300; round++) {
		const struct ms_gap *gaps;
		size_t count;

		for (int i = 0; i < round % 4; i++) {
			uint64_t page, pages;

			random = random * 1103515245 + 12345;
			page = (random >> 16) % PAGES;
			pages = 1 + (random >> 24) % 3;
			pages = page + pages > PAGES ? 1 : pages;
			if ((random >> 8) % 16 == 0)
				wish(&child, WISH_REPLACE, page * PAGE, pages * PAGE, 0);
			else if ((random >> 8) % 4 == 0)
				wish(&child, WISH_DROP, page * PAGE, pages * PAGE, 0);
			else
				wish(&child, WISH_WRITE, page * PAGE, pages * PAGE,
					(int)(random >> 4));
		}
		check_ok(ms_mapping_refresh(mapping, NULL));
		check_ok(ms_mapping_refresh(plain, NULL));
		check(memcmp(ms_mapping_data(plain), ms_mapping_data(mapping), PAGES * PAGE - 10) ==
			0);
		ms_mapping_gaps(mapping, &gaps, &count);
		check_u64(count, 0);
	}
	check(ms_mapping_kind(plain) == MS_MAPPING_MIRROR);
	ms_mapping_free(plain);
	view_free(&child, mapping);
	child_stop(&child);
}

/* Whoever tracks first goes on to be told everything; the other is refused or reads it all. */
static void one_owner(void)
{
	struct ms_detector_options options = {.size = sizeof(options), .method = MS_METHOD_DIRTY};
	struct ms_detector_info info;
	struct child child;
	ms_mapper *first, *second;
	ms_mapping *mapping, *other;
	ms_detector *detector;
	ms_source *source;

	child_start(&child, &kinds[TRACKED]);
	first = new_tracking(&child);
	mapping = add(first, address(&child), PAGES * PAGE);
	need_tracking(mapping);
	check(ms_detector_new(child.source, &options, &detector) == MS_ERR_ARGUMENT);
	check(strstr(ms_error(), "another"));
	options.method = MS_METHOD_AUTO;
	check_ok(ms_detector_new(child.source, &options, &detector));
	ms_detector_info(detector, &info);
	check(info.method == MS_METHOD_COMPARE && strstr(info.why, "another"));
	second = new_tracking(&child);
	other = add(second, address(&child), PAGES * PAGE);
	check(ms_mapping_kind(other) == MS_MAPPING_MIRROR);
	check(strstr(ms_mapping_why(other), "another"));
	/* Overlapping mappings of one mapper, and through another source, which the kernel refuses.
	 */
	ms_mapper_free(second);
	other = add(first, address(&child) + 3 * PAGE + 5, 1);
	check(ms_mapping_kind(other) == MS_MAPPING_MIRROR);
	check(strstr(ms_mapping_why(other), "another"));
	check_ok(ms_source_open(child.host, (uint32_t)child.pid, &source));
	check_ok(ms_mapper_new(source,
		&(struct ms_mapper_options){
			.size = sizeof(struct ms_mapper_options), .track = true},
		&second));
	check(ms_mapping_kind(add(second, address(&child), PAGE)) == MS_MAPPING_MIRROR);
	check_ok(ms_detector_initialize(detector));
	for (int i = 0; i < 5; i++) {
		struct ms_round told;

		wish(&child, WISH_WRITE, 3 * PAGE + 5, 1, i);
		check_ok(ms_detector_detect(detector, true, NULL, &told));
		check(told.changes >= 1);
		check_ok(ms_mapper_refresh(second, NULL));
		check_ok(ms_mapper_refresh(first, NULL));
		check_bytes(mapping, 3 * PAGE + 5, 1, (uint8_t)i);
		check_bytes(other, 0, 1, (uint8_t)i);
	}
	ms_detector_free(detector);
	/* The end of one that was refused ends nothing. */
	count_reads(child.source);
	wish(&child, WISH_WRITE, 3 * PAGE, 1, 0x32);
	check_refresh(mapping, 1);
	ms_mapper_free(first);
	ms_mapper_free(second);
	ms_source_free(source);
	/* And then it is free again. */
	options.method = MS_METHOD_DIRTY;
	check_ok(ms_detector_new(child.source, &options, &detector));
	first = new_tracking(&child);
	mapping = add(first, address(&child), PAGES * PAGE);
	check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
	wish(&child, WISH_WRITE, 3 * PAGE, 1, 0x33);
	check_ok(ms_mapper_refresh(first, NULL));
	check_bytes(mapping, 3 * PAGE, 1, 0x33);
	ms_mapper_free(first);
	ms_detector_free(detector);
	child_stop(&child);
}

/* A filter that lets everything pass is enough for memsift to keep its hands off. */
static void cannot_be_tracked(void)
{
	struct child child;
	ms_mapper *mapper;
	ms_mapping *mapping;
	uint64_t read;

	child_start(&child, &kinds[TRACKED]);
	wish(&child, WISH_FILTER, 0, 0, 0);
	mapper = new_tracking(&child);
	mapping = add(mapper, address(&child), PAGES * PAGE);
	/* Soft-dirty bits take no call in the target. */
	if (piles_up(mapping)) {
		check(ms_mapping_kind(mapping) == MS_MAPPING_TRACKED);
	} else {
		check(ms_mapping_kind(mapping) == MS_MAPPING_MIRROR);
		check_that(
			strstr(ms_mapping_why(mapping), "seccomp"), "%s", ms_mapping_why(mapping));
	}
	wish(&child, WISH_WRITE, 5 * PAGE, PAGE, 0x26);
	check_ok(ms_mapper_refresh(mapper, &read));
	check(read >= (piles_up(mapping) ? PAGE : 16 * PAGE));
	check_bytes(mapping, 5 * PAGE, PAGE, 0x26);
	ms_mapper_free(mapper);
	child_stop(&child);
}

static const struct test tests[] = {
	{"all kinds answer alike", all_kinds_answer_alike},
	{"borders at any byte", borders_at_any_byte},
	{"changes of the map", changes_of_the_map},
	{"the target ends", the_target_ends},
	{"shared views need no refresh", shared_views_need_no_refresh},
	{"files that become shorter", files_that_become_shorter},
	{"looking fills no holes", looking_fills_no_holes},
	{"dropped pages are zeros", dropped_pages_are_zeros},
	{"wrong ranges", wrong_ranges},
	{"mappers hold many", mappers_hold_many},
	{"huge and sparse", huge_and_sparse},
	{"snapshots are shown as they are", snapshots_are_shown_as_they_are},
	{"as many pages as were written", as_many_pages_as_were_written},
	{"gaps are kept", gaps_are_kept},
	{"partly mapped anew", partly_mapped_anew},
	{"swapped pages come in", swapped_pages_come_in},
	{"many changes at random", many_changes_at_random},
	{"one owner", one_owner},
	{"cannot be tracked", cannot_be_tracked},
};

TEST_MAIN(tests)
