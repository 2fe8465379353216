/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots in memory, in a core and as hashes, and what a diff makes of them: of memory whose
 * every byte is known, and of a child of this test that maps, unmaps, protects and writes when it
 * is told to.
 */
#include "test.h"

#include "base/hash.h"
#include "base/mem.h"
#include "memsift_track.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZED 1
#endif
#endif
#ifndef THREAD_SANITIZED
#define THREAD_SANITIZED 0
#endif

enum { PAGE = 4096, PAGES = 700, CHANGES_MAX = 5000 };

#define BASE UINT64_C(0x7f0000000000)

struct change {
	char kind;
	uint64_t address, size;
	bool old, now;
};

struct seen {
	struct change changes[CHANGES_MAX];
	size_t count;
	uint64_t total, filtered, absent, read, unreadable, skipped;
	bool partial;
};

static struct seen *seen;

static const struct ms_value *field(const struct ms_record *record, const char *name)
{
	for (size_t i = 0; i < record->schema->column_count; i++)
		if (strcmp(record->schema->columns[i].name, name) == 0)
			return &record->values[i];
	check_that(false, "there is no column %s", name);
	return NULL;
}

static int take(void *ctx, const struct ms_record *record)
{
	(void)ctx;
	if (record->schema == &ms_schema_coverage) {
		seen->total = field(record, "total")->v.u;
		seen->filtered = field(record, "filtered")->v.u;
		seen->absent = field(record, "absent")->v.u;
		seen->read = field(record, "read")->v.u;
		seen->unreadable = field(record, "unreadable")->v.u;
		seen->skipped = field(record, "skipped")->v.u;
		return 0;
	}
	check(record->schema == &ms_schema_change && seen->count < CHANGES_MAX);
	seen->changes[seen->count++] = (struct change){
		*(const char *)field(record, "change")->v.data,
		field(record, "address")->v.u,
		field(record, "size")->v.u,
		field(record, "old")->present,
		field(record, "new")->present,
	};
	return 0;
}

static struct ms_total diff(ms_source *before, ms_source *after, const ms_filter *filter)
{
	struct ms_diff options = {.size = sizeof(options), .filter = filter, .sink = {take, NULL}};
	struct ms_total total;

	seen = seen ? seen : malloc(sizeof(*seen));
	check(seen);
	memset(seen, 0, sizeof(*seen));
	check_ok(ms_diff_sources(before, after, &options, &total));
	check_u64(seen->total,
		seen->filtered + seen->absent + seen->read + seen->unreadable + seen->skipped);
	return total;
}

/* ---- Files ------------------------------------------------------------------------------ */

static char folder[64];

static void say_path(const char *name, char ret_path[128])
{
	if (!*folder) {
		snprintf(folder, sizeof(folder), "/tmp/memsift-snapshot-XXXXXX");
		check(mkdtemp(folder));
	}
	snprintf(ret_path, 128, "%s/%s", folder, name);
}

struct opened {
	ms_host *host;
	ms_source *source;
};

static struct opened open_path(const char *path)
{
	struct opened opened;

	check_ok(ms_host_open(path, &opened.host));
	check_ok(ms_source_open(opened.host, 0, &opened.source));
	return opened;
}

static void close_opened(struct opened *opened)
{
	ms_source_free(opened->source);
	ms_host_free(opened->host);
}

static bool can_hash(void)
{
	return strstr(ms_features(), "xxhash");
}

/* Writes a snapshot of hashes, or with `whole` a core, and opens it. */
static struct opened file_of(ms_source *source, const ms_filter *filter, bool hashes)
{
	struct ms_dump options = {.size = sizeof(options), .filter = filter, .whole_map = true};
	struct ms_coverage coverage;
	struct opened opened;
	char path[128];

	say_path(hashes ? "snapshot.hashes" : "snapshot.core", path);
	options.path = path;
	if (hashes)
		check_ok(ms_source_hash(source, &options, &coverage));
	else
		check_ok(ms_source_dump(source, &options, &coverage));
	opened = open_path(path);
	check(unlink(path) == 0);
	return opened;
}

/* ---- Known memory ----------------------------------------------------------------------- */

struct memory {
	uint8_t *bytes;
	struct ms_segment segments[8];
	size_t count;
	struct opened opened;
};

static void memory_open(struct memory *memory, uint64_t *seed, const struct memory *like)
{
	static const enum ms_state states[] = {MS_STATE_DATA, MS_STATE_DATA, MS_STATE_ABSENT,
		MS_STATE_DATA, MS_STATE_DATA, MS_STATE_GUARD, MS_STATE_NO_ACCESS};
	size_t size = PAGES * PAGE / 7;

	memory->bytes = calloc(PAGES, PAGE);
	check(memory->bytes);
	for (size_t i = 0; i < PAGES * PAGE; i += 8)
		if (i / PAGE % 5)
			memcpy(memory->bytes + i, &(uint64_t){test_random(seed)}, 8);
	if (like)
		memcpy(memory->bytes, like->bytes, PAGES * PAGE);
	for (size_t i = 0; like && i < 120; i++)
		memory->bytes[test_random(seed) % (PAGES * PAGE)] ^= 1;
	memory->count = 7;
	for (size_t i = 0; i < memory->count; i++)
		memory->segments[i] = (struct ms_segment){BASE + i * size, size,
			memory->bytes + i * size, MS_PERM_READ | MS_PERM_WRITE, states[i]};
	/* One more page on one side has data, or none, than on the other. */
	if (like) {
		memory->segments[2].state = MS_STATE_DATA;
		memory->segments[3].state = MS_STATE_ABSENT;
	}
	check_ok(ms_host_open_memory(memory->segments, memory->count, &memory->opened.host));
	check_ok(ms_source_open(memory->opened.host, 0, &memory->opened.source));
}

static void memory_close(struct memory *memory)
{
	close_opened(&memory->opened);
	free(memory->bytes);
}

/* The pages that changes touch, a bit each. */
static void pages_of(bool ret_pages[PAGES])
{
	memset(ret_pages, 0, PAGES);
	for (size_t i = 0; i < seen->count; i++) {
		const struct change *c = &seen->changes[i];

		check(c->kind == 'w' && c->address >= BASE);
		for (uint64_t at = c->address & ~(uint64_t)(PAGE - 1); at < c->address + c->size;
			at += PAGE)
			ret_pages[(at - BASE) / PAGE] = true;
	}
}

/* Every kind of snapshot tells the same pages from another. */
static void kinds_agree(void)
{
	uint64_t seed = 11;

	for (unsigned round = 0; round < 12; round++) {
		struct memory old, now;
		struct opened old_hashes, now_hashes, old_core;
		ms_snapshot *snapshot;
		bool wanted[PAGES], pages[PAGES];
		uint64_t read;

		if (!can_hash())
			skip("this build has no xxhash");
		memory_open(&old, &seed, NULL);
		memory_open(&now, &seed, &old);
		check_ok(ms_snapshot_take(old.opened.source, NULL, &snapshot));
		old_core = file_of(old.opened.source, NULL, false);
		old_hashes = file_of(old.opened.source, NULL, true);
		now_hashes = file_of(now.opened.source, NULL, true);

		diff(old.opened.source, now.opened.source, NULL);
		pages_of(wanted);
		check(seen->count > 20 && seen->changes[0].old && seen->changes[0].now);
		read = seen->read;

		diff(ms_snapshot_source(snapshot), now.opened.source, NULL);
		pages_of(pages);
		check(memcmp(pages, wanted, PAGES) == 0);
		check_u64(seen->read, read);
		diff(old_core.source, now.opened.source, NULL);
		pages_of(pages);
		check(memcmp(pages, wanted, PAGES) == 0);
		check_u64(seen->read, read);
		diff(old_hashes.source, now.opened.source, NULL);
		pages_of(pages);
		check(memcmp(pages, wanted, PAGES) == 0);
		check(!seen->changes[0].old && seen->changes[0].now);
		check_u64(seen->read, read);
		diff(old.opened.source, now_hashes.source, NULL);
		pages_of(pages);
		check(memcmp(pages, wanted, PAGES) == 0);
		check(seen->changes[0].old && !seen->changes[0].now);
		diff(old_hashes.source, now_hashes.source, NULL);
		pages_of(pages);
		check(memcmp(pages, wanted, PAGES) == 0);
		check(!seen->changes[0].old && !seen->changes[0].now);
		check_u64(seen->read, read);
		diff(old_hashes.source, ms_snapshot_source(snapshot), NULL);
		check_u64(seen->count, 0);

		close_opened(&old_core);
		close_opened(&old_hashes);
		close_opened(&now_hashes);
		ms_snapshot_free(snapshot);
		memory_close(&old);
		memory_close(&now);
	}
}

/* What a filter left out of a snapshot was there all the same. */
static void left_out_is_no_change(void)
{
	struct memory old;
	struct ms_filter *filter;
	uint64_t seed = 12, left;
	ms_snapshot *snapshot;

	memory_open(&old, &seed, NULL);
	left = BASE + PAGES / 7 * PAGE / 2;
	check_ok(ms_filter_new(&filter));
	check_ok(ms_filter_set(filter, "address", "7f0000000000-7f0000010000"));
	check_ok(ms_snapshot_take(old.opened.source,
		&(struct ms_snapshot_options){
			.size = sizeof(struct ms_snapshot_options), .filter = filter},
		&snapshot));
	check_u64(ms_snapshot_coverage(snapshot)->read, 0x10000);
	old.bytes[left - BASE] ^= 1;
	diff(ms_snapshot_source(snapshot), old.opened.source, NULL);
	check_u64(seen->count, 0);
	check_u64(seen->read, 0x10000);
	check(seen->skipped > 0);
	for (int hashes = 0; hashes <= can_hash(); hashes++) {
		struct opened file = file_of(old.opened.source, filter, hashes);

		old.bytes[left - BASE] ^= 1;
		diff(file.source, old.opened.source, NULL);
		check_u64(seen->count, 0);
		check_u64(seen->read, 0x10000);
		old.bytes[0x2345] ^= 1;
		diff(file.source, old.opened.source, NULL);
		check_u64(seen->count, 1);
		old.bytes[0x2345] ^= 1;
		close_opened(&file);
	}
	ms_snapshot_free(snapshot);
	ms_filter_free(filter);
	memory_close(&old);
}

static void limits_keep_what_there_is(void)
{
	struct ms_snapshot_options options = {
		.size = sizeof(options), .job.bytes_max = 10 * PAGE + 5};
	struct memory old;
	uint64_t seed = 13;
	ms_snapshot *snapshot;

	memory_open(&old, &seed, NULL);
	check_ok(ms_snapshot_take(old.opened.source, &options, &snapshot));
	check(ms_snapshot_coverage(snapshot)->partial);
	check_u64(ms_snapshot_coverage(snapshot)->read, 10 * PAGE + 5);
	old.bytes[PAGE] ^= 1;
	old.bytes[20 * PAGE] ^= 1;
	diff(ms_snapshot_source(snapshot), old.opened.source, NULL);
	check_u64(seen->count, 1);
	check_u64(seen->changes[0].address, BASE + PAGE);
	check_u64(seen->read, 10 * PAGE + 5);
	ms_snapshot_free(snapshot);
	if (can_hash()) {
		struct ms_dump dump = {.size = sizeof(dump), .job.bytes_max = 10 * PAGE + 5};
		struct ms_coverage coverage;
		struct opened file;
		char path[128];

		say_path("limited.hashes", path);
		dump.path = path;
		check_ok(ms_source_hash(old.opened.source, &dump, &coverage));
		check(coverage.partial);
		file = open_path(path);
		old.bytes[PAGE] ^= 1;
		diff(file.source, old.opened.source, NULL);
		check_u64(seen->count, 1);
		check_u64(seen->read, 10 * PAGE + 5);
		close_opened(&file);
		check(unlink(path) == 0);
	}
	memory_close(&old);
}

/* The hash of a page tells nothing of a part of it. */
static void parts_of_hashed_pages_are_unknown(void)
{
	struct memory old;
	struct ms_filter *filter;
	struct opened file;
	uint64_t seed = 16;

	if (!can_hash())
		skip("this build has no xxhash");
	memory_open(&old, &seed, NULL);
	file = file_of(old.opened.source, NULL, true);
	old.bytes[1 * PAGE + 200] ^= 1;
	old.bytes[2 * PAGE + 200] ^= 1;
	old.bytes[4 * PAGE + 200] ^= 1;
	check_ok(ms_filter_new(&filter));
	check_ok(ms_filter_set(filter, "address", "7f0000001064-7f0000004ffe"));
	diff(file.source, old.opened.source, filter);
	check_u64(seen->count, 1);
	check_u64(seen->changes[0].address, BASE + 2 * PAGE);
	check_u64(seen->read, 2 * PAGE);
	check_u64(seen->unreadable, PAGE - 0x64 + PAGE - 2);
	ms_filter_free(filter);
	close_opened(&file);
	memory_close(&old);
}

/* After a little while. */
static bool cancel_soon(void *ctx)
{
	return ++*(unsigned *)ctx > 4;
}

static void cancelled_diffs_say_so(void)
{
	struct memory old, now;
	uint64_t seed = 14;
	unsigned asked = 0;
	struct ms_diff options = {.size = sizeof(options),
		.job = {.threads = 1, .cancelled = cancel_soon, .ctx = &asked},
		.sink = {take, NULL}};
	struct ms_total total;

	memory_open(&old, &seed, NULL);
	memory_open(&now, &seed, &old);
	diff(old.opened.source, now.opened.source, NULL);
	memset(seen, 0, sizeof(*seen));
	check_ok(ms_diff_sources(old.opened.source, now.opened.source, &options, &total));
	check(total.stopped && total.partial);
	check(seen->skipped > 0 && seen->count > 0);
	check_u64(seen->total,
		seen->filtered + seen->absent + seen->read + seen->unreadable + seen->skipped);
	memory_close(&old);
	memory_close(&now);
}

/* ---- Damaged files of hashes ------------------------------------------------------------ */

static void write_all(const char *path, const uint8_t *data, size_t size)
{
	FILE *file = fopen(path, "w");

	check(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void sign(uint8_t *data, size_t size)
{
	uint64_t hash = hash_bytes(0, data, size - 8);

	for (size_t i = 0; i < 8; i++)
		data[size - 8 + i] = (uint8_t)(hash >> 8 * i);
}

static size_t make_file(uint8_t *ret_data, size_t room, const char *path)
{
	static uint8_t bytes[5 * PAGE];
	struct ms_segment segments[] = {{BASE, 3 * PAGE, bytes, 3, MS_STATE_DATA},
		{BASE + 3 * PAGE, PAGE, NULL, 1, MS_STATE_ABSENT},
		{BASE + 9 * PAGE, 2 * PAGE, bytes, 5, MS_STATE_DATA}};
	struct ms_dump dump = {.size = sizeof(dump), .path = path, .file_flags = MS_FILE_FORCE};
	struct ms_coverage coverage;
	struct opened opened;
	FILE *file;
	size_t size;

	check_ok(ms_host_open_memory(segments, ARRAY_SIZE(segments), &opened.host));
	check_ok(ms_source_open(opened.host, 0, &opened.source));
	check_ok(ms_source_hash(opened.source, &dump, &coverage));
	close_opened(&opened);
	file = fopen(path, "r");
	check(file);
	size = fread(ret_data, 1, room, file);
	fclose(file);
	check(size > 200 && size < room);
	return size;
}

/* Opens it, and if that works uses all of it; what it says is not known. */
static int use_file(const char *path)
{
	struct opened opened;
	const struct ms_region *regions;
	size_t count;
	int r = ms_host_open(path, &opened.host);

	if (r < 0)
		return r;
	check_ok(ms_source_open(opened.host, 0, &opened.source));
	check_ok(ms_source_regions(opened.source, &regions, &count));
	diff(opened.source, opened.source, NULL);
	close_opened(&opened);
	return 0;
}

static void damaged_files_are_refused(void)
{
	static uint8_t data[4096], changed[4096];
	char path[128];
	size_t size;

	if (!can_hash())
		skip("this build has no xxhash");
	say_path("damaged.hashes", path);
	size = make_file(data, sizeof(data), path);
	check_ok(use_file(path));
	for (size_t i = 8; i < size; i++) {
		memcpy(changed, data, size);
		changed[i] ^= 0x41;
		write_all(path, changed, size);
		check_that(use_file(path) == MS_ERR_FORMAT, "byte %zu", i);
		/* Made on purpose, with the right hash: anything but a crash. */
		sign(changed, size);
		write_all(path, changed, size);
		use_file(path);
	}
	for (size_t cut = 12; cut < size; cut++) {
		write_all(path, data, cut);
		check_that(use_file(path) == MS_ERR_FORMAT, "cut at %zu", cut);
		memcpy(changed, data, cut);
		if (cut > 80)
			sign(changed, cut);
		write_all(path, changed, cut);
		check_that(use_file(path) == MS_ERR_FORMAT, "cut and signed at %zu", cut);
	}
	unlink(path);
}

/* ---- A live target ---------------------------------------------------------------------- */

struct child {
	pid_t pid;
	int in, out;
	struct opened opened;
	uint8_t *memory; /* at the same address here and there */
};

enum { CHILD_PAGES = 64, MAPPINGS = 3000 };

static void child_act(char what, uint8_t *memory)
{
	switch (what) {
	case 'w':
		memory[3 * PAGE + 100] ^= 0xff;
		memory[5 * PAGE] = 7;
		break;
	case 'm':
		check(mmap(memory + CHILD_PAGES * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
		break;
	case 'u':
		munmap(memory + 40 * PAGE, 2 * PAGE);
		break;
	case 'p':
		mprotect(memory + 50 * PAGE, PAGE, PROT_READ);
		break;
	case 'd':
		madvise(memory + 10 * PAGE, 2 * PAGE, MADV_DONTNEED);
		break;
	case 's':
		mmap((void *)0x100000000000, 1ul << 40, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
		*(volatile char *)0x108000000000 = 1;
		break;
	case 't':
		for (size_t i = 0; i < MAPPINGS; i++) {
			char *at = (char *)0x300000000000 + i * 2 * PAGE;

			mmap(at, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			if (i % 2 == 0)
				*at = 1;
		}
		break;
	default:
		_exit(0);
	}
}

static void child_run(int in, int out, uint8_t *memory)
{
	char what;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(in, &what, 1) == 1) {
		child_act(what, memory);
		if (write(out, &what, 1) != 1)
			break;
	}
	_exit(0);
}

static void child_start(struct child *child)
{
	int in[2], out[2];

	/* With a hole behind it. */
	child->memory =
		mmap(NULL, 2 * CHILD_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(child->memory != MAP_FAILED);
	munmap(child->memory + CHILD_PAGES * PAGE, CHILD_PAGES * PAGE);
	check(mprotect(child->memory, CHILD_PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
	memset(child->memory, 0x5a, 60 * PAGE);
	check(pipe(in) == 0 && pipe(out) == 0);
	child->pid = fork();
	check(child->pid >= 0);
	if (child->pid == 0)
		child_run(in[0], out[1], child->memory);
	close(in[0]);
	close(out[1]);
	child->in = in[1];
	child->out = out[0];
	check_ok(ms_host_open(NULL, &child->opened.host));
	check_ok(ms_source_open(child->opened.host, (uint32_t)child->pid, &child->opened.source));
}

static void child_tell(struct child *child, char what)
{
	char answer;

	check(write(child->in, &what, 1) == 1 && read(child->out, &answer, 1) == 1);
}

static void child_stop(struct child *child)
{
	close_opened(&child->opened);
	close(child->in);
	close(child->out);
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	munmap(child->memory, CHILD_PAGES * PAGE);
}

/* The change of that kind at the child's page, or NULL. */
static const struct change *change_at(const struct child *child, char kind, size_t offset)
{
	for (size_t i = 0; i < seen->count; i++)
		if (seen->changes[i].kind == kind &&
			seen->changes[i].address == (uintptr_t)child->memory + offset)
			return &seen->changes[i];
	return NULL;
}

static void examine_live(struct child *child, ms_source *before, bool hashed)
{
	const struct change *change;

	child_tell(child, 'w');
	child_tell(child, 'm');
	child_tell(child, 'u');
	child_tell(child, 'p');
	child_tell(child, 'd');
	diff(before, child->opened.source, NULL);
	change = change_at(child, 'w', hashed ? 3 * PAGE : 3 * PAGE + 100);
	check(change && change->size == (hashed ? PAGE : 1) && change->old == !hashed);
	change = change_at(child, 'w', 5 * PAGE);
	check(change && change->size == (hashed ? PAGE : 1) && change->now);
	change = change_at(child, 'm', CHILD_PAGES * PAGE);
	check(change && change->size == 2 * PAGE);
	change = change_at(child, 'u', 40 * PAGE);
	check(change && change->size == 2 * PAGE);
	change = change_at(child, 'p', 50 * PAGE);
	check(change && change->size == PAGE);
	/* Given back to the system, they read as zeros. */
	change = change_at(child, 'w', 10 * PAGE);
	check(change && change->size == 2 * PAGE);
}

static void live_changes_are_found(void)
{
	for (int kind = 0; kind < 3; kind++) {
		struct child child;
		struct opened file = {0};
		ms_snapshot *snapshot = NULL;

		if (kind == 2 && !can_hash())
			continue;
		child_start(&child);
		if (kind == 0)
			check_ok(ms_snapshot_take(child.opened.source, NULL, &snapshot));
		else
			file = file_of(child.opened.source, NULL, kind == 2);
		examine_live(
			&child, snapshot ? ms_snapshot_source(snapshot) : file.source, kind == 2);
		ms_snapshot_free(snapshot);
		close_opened(&file);
		child_stop(&child);
	}
}

static uint64_t resident_of(pid_t pid)
{
	unsigned long long size = 0, resident = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "r");
	check(file && fscanf(file, "%llu %llu", &size, &resident) == 2);
	fclose(file);
	return resident * PAGE;
}

/* A terabyte that was never touched costs neither of us anything. */
static void sparse_memory_costs_nothing(void)
{
	struct child child;
	ms_snapshot *snapshot;
	uint64_t before, mine = resident_of(getpid());

	if (THREAD_SANITIZED)
		skip("ThreadSanitizer has these addresses for itself");
	child_start(&child);
	child_tell(&child, 's');
	before = resident_of(child.pid);
	check_ok(ms_snapshot_take(child.opened.source, NULL, &snapshot));
	diff(ms_snapshot_source(snapshot), child.opened.source, NULL);
	check_u64(seen->count, 0);
	check(seen->absent > (1ull << 39));
	check(resident_of(child.pid) < before + (1 << 20));
	check(resident_of(getpid()) < mine + (256 << 20));
	ms_snapshot_free(snapshot);
	child_stop(&child);
}

static void thousands_of_regions(void)
{
	struct child child;
	ms_snapshot *snapshot;
	size_t maps = 0;

	if (THREAD_SANITIZED)
		skip("ThreadSanitizer has these addresses for itself");
	child_start(&child);
	check_ok(ms_snapshot_take(child.opened.source, NULL, &snapshot));
	child_tell(&child, 't');
	diff(ms_snapshot_source(snapshot), child.opened.source, NULL);
	for (size_t i = 0; i < seen->count; i++)
		maps += seen->changes[i].kind == 'm' && seen->changes[i].address >= 0x300000000000;
	check_u64(maps, MAPPINGS);
	ms_snapshot_free(snapshot);
	check_ok(ms_snapshot_take(child.opened.source, NULL, &snapshot));
	diff(ms_snapshot_source(snapshot), child.opened.source, NULL);
	check_u64(seen->count, 0);
	ms_snapshot_free(snapshot);
	child_stop(&child);
}

/* A target that ended is said to have; what was kept of it stays. */
static void ended_targets(void)
{
	struct ms_diff options = {.size = sizeof(options), .sink = {take, NULL}};
	struct child child;
	struct ms_total total;
	ms_snapshot *snapshot, *again;

	child_start(&child);
	check_ok(ms_snapshot_take(child.opened.source, NULL, &snapshot));
	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
	check(ms_diff_sources(ms_snapshot_source(snapshot), child.opened.source, &options,
		      &total) == MS_ERR_GONE);
	check(ms_snapshot_take(child.opened.source, NULL, &again) == MS_ERR_GONE);
	diff(ms_snapshot_source(snapshot), ms_snapshot_source(snapshot), NULL);
	check_u64(seen->count, 0);
	check(seen->read > 60 * PAGE);
	ms_snapshot_free(snapshot);
	child_stop(&child);
}

/* Two processes that have little in common, or a process and a file. */
static void different_processes(void)
{
	struct child child;
	struct memory other;
	uint64_t seed = 15;
	size_t maps = 0, unmaps = 0;

	child_start(&child);
	memory_open(&other, &seed, NULL);
	diff(child.opened.source, other.opened.source, NULL);
	for (size_t i = 0; i < seen->count; i++) {
		maps += seen->changes[i].kind == 'm';
		unmaps += seen->changes[i].kind == 'u';
	}
	check(maps > 0 && unmaps > 3);
	memory_close(&other);
	child_stop(&child);
}

static void a_pause_ends(void)
{
	struct ms_snapshot_options options = {.size = sizeof(options), .pause = true};
	struct child child;
	ms_snapshot *snapshot;

	child_start(&child);
	check_ok(ms_snapshot_take(child.opened.source, &options, &snapshot));
	child_tell(&child, 'w');
	diff(ms_snapshot_source(snapshot), child.opened.source, NULL);
	check(change_at(&child, 'w', 3 * PAGE + 100));
	ms_snapshot_free(snapshot);
	child_stop(&child);
}

static const struct test tests[] = {
	{"kinds of snapshots agree", kinds_agree},
	{"what was left out is no change", left_out_is_no_change},
	{"limits keep what there is", limits_keep_what_there_is},
	{"parts of hashed pages are unknown", parts_of_hashed_pages_are_unknown},
	{"cancelled diffs say so", cancelled_diffs_say_so},
	{"damaged files of hashes are refused", damaged_files_are_refused},
	{"live changes are found", live_changes_are_found},
	{"sparse memory costs nothing", sparse_memory_costs_nothing},
	{"thousands of regions", thousands_of_regions},
	{"targets that ended", ended_targets},
	{"different processes", different_processes},
	{"a pause ends", a_pause_ends},
};

int main(int argc, char **argv)
{
	int failed = test_run(tests, ARRAY_SIZE(tests), argc, argv);

	if (*folder)
		rmdir(folder);
	free(seen);
	return failed;
}
