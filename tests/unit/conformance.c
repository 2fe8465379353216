/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every backend owes its callers, whatever lies beneath. Each subject says where it has
 * known bytes; the checks know nothing else of it. A new backend is a new line in `subjects`.
 *
 * The live subject needs tests/live/puppet.c: MEMSIFT_PUPPET names the program, else it lies
 * beside this one.
 */
#include "test.h"

#include "base/mem.h"
#include "core/host.h"
#include "memsift_track.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	PAGE = 4096,
	KNOWN_MAX = 8,
	RAW_SIZE = 3 * 512 * 1024 + 4321,
	MEMORY_SIZE = 2 * 1024 * 1024,
	THREADS = 4,
	READS = 300,
	RUNS = 16,
	SECONDS_MAX = 100, /* of one test; only a hang takes so long */
};

#define NEEDLE "conformance-needle"

/* A stretch whose bytes the test knows, or that it knows to be of that state. */
struct known {
	uint64_t base, size;
	const uint8_t *data;
	enum ms_state state;
};

struct subject {
	ms_host *host;
	ms_source *src;
	ms_snapshot *snapshot; /* that the host belongs to */
	uint32_t pid;
	struct known known[KNOWN_MAX];
	size_t known_count;
	uint8_t *bytes;
	char dir[64];

	/* The live subject. */
	pid_t puppet;
	FILE *in, *out;
};

static void say_path(const struct subject *s, const char *name, char ret_path[128])
{
	snprintf(ret_path, 128, "%s/%s", s->dir, name);
}

static void add_known(
	struct subject *s, uint64_t base, uint64_t size, const uint8_t *data, enum ms_state state)
{
	check(s->known_count < KNOWN_MAX);
	s->known[s->known_count++] = (struct known){base, size, data, state};
}

static void make_bytes(struct subject *s, size_t size)
{
	uint64_t state = 11;

	s->bytes = malloc(size);
	check(s->bytes);
	for (size_t i = 0; i < size; i++)
		s->bytes[i] = (uint8_t)(test_random(&state) >> 7);
	/* Once over a border of chunks, once at the very end. */
	memcpy(s->bytes + 512 * 1024 - 5, NEEDLE, sizeof(NEEDLE) - 1);
	memcpy(s->bytes + size - (sizeof(NEEDLE) - 1), NEEDLE, sizeof(NEEDLE) - 1);
}

/* ---- The subjects ----------------------------------------------------------------------- */

static void open_raw(struct subject *s)
{
	char path[128];
	FILE *file;

	make_bytes(s, RAW_SIZE);
	say_path(s, "image.raw", path);
	file = fopen(path, "wb");
	check(file && fwrite(s->bytes, 1, RAW_SIZE, file) == RAW_SIZE && fclose(file) == 0);
	check_ok(ms_host_open(path, &s->host));
	add_known(s, 0, RAW_SIZE, s->bytes, MS_STATE_DATA);
}

static void open_memory(struct subject *s)
{
	static struct ms_segment segments[6];
	const uint64_t base = 0x7f1200000000;

	make_bytes(s, MEMORY_SIZE);
	segments[0] = (struct ms_segment){0x10000, 16 * PAGE, NULL, 3, MS_STATE_GUARD};
	segments[1] = (struct ms_segment){base, PAGE, s->bytes, 1, MS_STATE_DATA};
	segments[2] = (struct ms_segment){
		base + PAGE, MEMORY_SIZE - PAGE, s->bytes + PAGE, 3, MS_STATE_DATA};
	segments[3] = (struct ms_segment){base + MEMORY_SIZE, 4 * PAGE, NULL, 3, MS_STATE_SWAPPED};
	segments[4] = (struct ms_segment){
		base + MEMORY_SIZE + 4 * PAGE, 2 * PAGE, NULL, 5, MS_STATE_IO_ERROR};
	segments[5] = (struct ms_segment){
		base + MEMORY_SIZE + 8 * PAGE, 4 * PAGE, NULL, 3, MS_STATE_ABSENT};
	check_ok(ms_host_open_memory(segments, ARRAY_SIZE(segments), &s->host));
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++)
		add_known(s, segments[i].base, segments[i].size, segments[i].data,
			(enum ms_state)segments[i].state);
}

/* Borders at any byte: nothing may count on pages. */
static void open_odd_memory(struct subject *s)
{
	static struct ms_segment segments[5];
	uint64_t at = 0x1003;

	make_bytes(s, MEMORY_SIZE);
	segments[0] = (struct ms_segment){at, 77, s->bytes, 1, MS_STATE_DATA};
	segments[1] =
		(struct ms_segment){at + 77, MEMORY_SIZE - 77, s->bytes + 77, 3, MS_STATE_DATA};
	at += MEMORY_SIZE;
	segments[2] = (struct ms_segment){at, 33, NULL, 3, MS_STATE_GUARD};
	segments[3] = (struct ms_segment){at + 33, 9000, NULL, 3, MS_STATE_SWAPPED};
	segments[4] = (struct ms_segment){at + 20000, 11, s->bytes, 5, MS_STATE_DATA};
	check_ok(ms_host_open_memory(segments, ARRAY_SIZE(segments), &s->host));
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++)
		add_known(s, segments[i].base, segments[i].size, segments[i].data,
			(enum ms_state)segments[i].state);
}

static void run_puppet(const char *dir, int in, int out)
{
	const char *path = getenv("MEMSIFT_PUPPET");
	char beside[4096] = "";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (readlink("/proc/self/exe", beside, sizeof(beside) - 32) > 0)
		strcpy(strrchr(beside, '/'), "/puppet");
	path = path ? realpath(path, NULL) : beside;
	if (!path || dup2(in, 0) < 0 || dup2(out, 1) < 0 || chdir(dir) != 0)
		_exit(127);
	execl(path, "puppet", "plain", "guard", "adjacent", "holes", "untouched", "file",
		"noaccess", "named", "shared", NULL);
	_exit(127);
}

static void note_puppet(struct subject *s, const char *name, uint64_t address)
{
	if (strcmp(name, "plain") == 0) {
		s->bytes = malloc(16 * PAGE);
		check(s->bytes);
		for (size_t i = 0; i < 16 * PAGE; i++)
			s->bytes[i] = (uint8_t) "puppet-plain-needle "[i % PAGE % 20];
		add_known(s, address, 16 * PAGE, s->bytes, MS_STATE_DATA);
	}
	if (strcmp(name, "guard") == 0 && address)
		add_known(s, address + 2 * PAGE, PAGE, NULL, MS_STATE_GUARD);
	if (strcmp(name, "untouched") == 0)
		add_known(s, address, PAGE << 8, NULL, MS_STATE_ABSENT);
}

static void open_live(struct subject *s)
{
	int in[2], out[2];
	char line[128], name[32];
	unsigned long address;

	check(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	s->puppet = fork();
	check(s->puppet >= 0);
	if (s->puppet == 0)
		run_puppet(s->dir, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	s->in = fdopen(in[1], "w");
	s->out = fdopen(out[0], "r");
	s->pid = (uint32_t)s->puppet;
	check(s->in && s->out);
	for (;;) {
		check_that(fgets(line, sizeof(line), s->out), "the puppet does not start");
		if (strcmp(line, "ready\n") == 0)
			break;
		if (sscanf(line, "%31s 0x%lx", name, &address) == 2)
			note_puppet(s, name, address);
	}
	check_ok(ms_host_open("local", &s->host));
}

static void dump_to(struct subject *s, const char *path, ms_host **ret_host)
{
	struct ms_dump dump = {.size = sizeof(dump),
		.path = path,
		.format = MS_DUMP_CORE,
		.file_flags = MS_FILE_FORCE,
		.job = {.size = sizeof(dump.job), .threads = 2}};
	struct ms_coverage coverage;

	check_ok(ms_source_dump(s->src, &dump, &coverage));
	check_u64(coverage.total, coverage.filtered + coverage.absent + coverage.read +
					  coverage.unreadable + coverage.skipped);
	check_ok(ms_host_open(path, ret_host));
}

/* A core made of another subject takes that one's place, known bytes and all. */
static void become_core(struct subject *s)
{
	ms_host *core;
	char path[128];

	check_ok(ms_source_open(s->host, s->pid, &s->src));
	check_ok(ms_source_pause(s->src, true));
	say_path(s, "subject.core", path);
	dump_to(s, path, &core);
	ms_source_free(s->src);
	ms_host_free(s->host);
	s->src = NULL;
	s->host = core;
}

static void open_core_of_memory(struct subject *s)
{
	open_memory(s);
	become_core(s);
}

static void open_core_of_live(struct subject *s)
{
	open_live(s);
	become_core(s);
}

/* A snapshot takes its place: what it was taken of is not needed any more. */
static void become_snapshot(struct subject *s)
{
	check_ok(ms_source_open(s->host, s->pid, &s->src));
	check_ok(ms_snapshot_take(s->src, NULL, &s->snapshot));
	check(!ms_snapshot_coverage(s->snapshot)->gone);
	ms_source_free(s->src);
	ms_host_free(s->host);
	s->src = NULL;
	s->host = ms_snapshot_source(s->snapshot)->host;
}

static void open_snapshot_of_memory(struct subject *s)
{
	open_memory(s);
	become_snapshot(s);
}

static void open_snapshot_of_odd_memory(struct subject *s)
{
	open_odd_memory(s);
	become_snapshot(s);
}

static void open_snapshot_of_live(struct subject *s)
{
	open_live(s);
	become_snapshot(s);
}

static const struct {
	const char *name;
	void (*open)(struct subject *s);
	const char *needle;
} subjects[] = {
	{"raw", open_raw, NEEDLE},
	{"memory", open_memory, NEEDLE},
	{"odd memory", open_odd_memory, NEEDLE},
	{"live", open_live, "puppet-plain-needle"},
	{"core of memory", open_core_of_memory, NEEDLE},
	{"core of live", open_core_of_live, "puppet-plain-needle"},
	{"snapshot of memory", open_snapshot_of_memory, NEEDLE},
	{"snapshot of odd memory", open_snapshot_of_odd_memory, NEEDLE},
	{"snapshot of live", open_snapshot_of_live, "puppet-plain-needle"},
};

static void close_subject(struct subject *s)
{
	static const char *const files[] = {
		"image.raw", "subject.core", "again.core", "puppet-file", "puppet-private"};
	char path[128];

	ms_source_free(s->src);
	if (!s->snapshot)
		ms_host_free(s->host);
	ms_snapshot_free(s->snapshot);
	free(s->bytes);
	if (s->puppet > 0) {
		kill(s->puppet, SIGKILL);
		waitpid(s->puppet, NULL, 0);
		fclose(s->in);
		fclose(s->out);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		say_path(s, files[i], path);
		unlink(path);
	}
	check_that(rmdir(s->dir) == 0, "the folder %s is not empty", s->dir);
}

/* Runs a check over every subject; says which it was. */
static void each_subject(void (*examine)(struct subject *s, size_t index))
{
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		struct subject s = {.dir = "/tmp/memsift-conformance-XXXXXX"};

		alarm(SECONDS_MAX);
		test_name = subjects[i].name;
		check(mkdtemp(s.dir));
		subjects[i].open(&s);
		check_ok(ms_source_open(s.host, s.pid, &s.src));
		examine(&s, i);
		close_subject(&s);
		alarm(0);
	}
}

/* ---- Processes and regions -------------------------------------------------------------- */

static void examine_processes(struct subject *s, size_t index)
{
	const struct ms_process *list, *mine = NULL;
	ms_source *again;
	size_t count;

	(void)index;
	check_ok(ms_host_processes(s->host, &list, &count));
	for (size_t i = 0; i < count; i++) {
		check(i == 0 || list[i].pid > list[i - 1].pid);
		check(list[i].name && list[i].pid);
		if (list[i].pid == ms_source_process(s->src)->pid)
			mine = &list[i];
	}
	check(mine);
	check_text(mine->name, ms_source_process(s->src)->name);
	check_ok(ms_source_open_process(s->host, mine, &again));
	ms_source_free(again);
	check_ok(ms_source_open(s->host, mine->pid, &again));
	ms_source_free(again);
	check(ms_source_open(s->host, 0x7ffffff0, &again) == MS_ERR_NOT_FOUND);
	if (count == 1)
		check_ok(ms_source_open(s->host, 0, &again));
	else
		check(ms_source_open(s->host, 0, &again) == MS_ERR_ARGUMENT);
	if (count == 1)
		ms_source_free(again);
	check(*ms_host_name(s->host));
}

static void processes(void)
{
	each_subject(examine_processes);
}

static const struct ms_region *region_over(
	const struct ms_region *list, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++)
		if (address - list[i].base < list[i].size)
			return &list[i];
	return NULL;
}

static void examine_regions(struct subject *s, size_t index)
{
	const struct ms_region *list;
	uint64_t end = 0;
	size_t count;

	(void)index;
	for (int round = 0; round < 2; round++, end = 0) {
		check_ok(ms_source_regions(s->src, &list, &count));
		check(count > 0);
		for (size_t i = 0; i < count; i++) {
			check_that(list[i].base >= end && list[i].size, "region %zu at 0x%llx", i,
				(unsigned long long)list[i].base);
			check(add_u64(list[i].base, list[i].size, &end));
			check(list[i].path && list[i].perm < 16);
			check((unsigned)list[i].kind <= MS_KIND_MAPPED);
			check(list[i].resident == UINT64_MAX || list[i].resident <= list[i].size);
		}
	}
	for (size_t i = 0; i < s->known_count; i++)
		check_that(region_over(list, count, s->known[i].base),
			"no region holds what is known at 0x%llx",
			(unsigned long long)s->known[i].base);
}

static void regions(void)
{
	each_subject(examine_regions);
}

/* ---- Reading ---------------------------------------------------------------------------- */

static void examine_known(struct subject *s, size_t index)
{
	AUTO_FREE uint8_t *buf = malloc(MEMORY_SIZE);

	(void)index;
	check(buf);
	for (size_t i = 0; i < s->known_count; i++) {
		const struct known *k = &s->known[i];
		size_t got, size = (size_t)min_u64(k->size, MEMORY_SIZE);
		struct ms_gap gap = {0};

		check_ok(ms_source_read(s->src, k->base, buf, size, &got, &gap));
		if (k->state == MS_STATE_DATA) {
			check_u64(got, k->size);
			check(memcmp(buf, k->data, got) == 0);
			continue;
		}
		check_u64(got, 0);
		check_text(ms_state_name(gap.state), ms_state_name(k->state));
		check(gap.base == k->base && gap.size > 0);
	}
}

static void known_bytes(void)
{
	each_subject(examine_known);
}

/* Any part of the known bytes, however odd. */
static void check_random_reads(ms_source *src, const struct known *k, uint64_t seed, int reads)
{
	uint8_t buf[9000];

	for (int i = 0; i < reads; i++) {
		uint64_t at = test_random(&seed) % k->size;
		size_t size = 1 + test_random(&seed) % (i % 2 ? 40 : sizeof(buf)), got;

		size = (size_t)min_u64(size, k->size - at);
		check_ok(ms_source_read(src, k->base + at, buf, size, &got, NULL));
		check_u64(got, size);
		check(memcmp(buf, k->data + at, size) == 0);
	}
}

static const struct known *known_data(const struct subject *s)
{
	for (size_t i = 0; i < s->known_count; i++)
		if (s->known[i].data && s->known[i].size > 2 * PAGE)
			return &s->known[i];
	return NULL;
}

static void examine_parts(struct subject *s, size_t index)
{
	check(known_data(s));
	check_random_reads(s->src, known_data(s), index + 1, READS);
}

static void parts_of_known_bytes(void)
{
	each_subject(examine_parts);
}

static void examine_outside(struct subject *s, size_t index)
{
	const struct ms_region *list;
	size_t count, got;
	struct ms_gap gap;
	char byte;

	(void)index;
	check_ok(ms_source_regions(s->src, &list, &count));
	for (size_t i = 0; i < count; i++) {
		uint64_t end = list[i].base + list[i].size;

		if (i + 1 < count && list[i + 1].base == end)
			continue;
		check_ok(ms_source_read(s->src, end, &byte, 1, &got, &gap));
		check_u64(got, 0);
		check_text(ms_state_name(gap.state), "vanished");
		if (i + 1 < count)
			check_u64(gap.base + gap.size, list[i + 1].base);
	}
}

static void outside_of_everything(void)
{
	each_subject(examine_outside);
}

/* The operations themselves, below what the core makes of them. */
static void examine_runs(struct subject *s, size_t index)
{
	const struct ms_region *list;
	size_t count;

	(void)index;
	if (!s->src->ops->resident)
		return;
	check_ok(ms_source_regions(s->src, &list, &count));
	for (size_t i = 0; i < count; i++) {
		uint64_t at = list[i].base, end = at + list[i].size;

		for (int round = 0; at < end && round < 64; round++) {
			struct run runs[RUNS + 1] = {[RUNS] = {1, 2, MS_STATE_COUNT}};
			size_t room = round % 2 ? 1 : RUNS, got = 0;

			check_ok(s->src->ops->resident(
				s->src, &list[i], at, end - at, runs, room, &got));
			check(got > 0 && got <= room && runs[RUNS].base == 1);
			for (size_t k = 0; k < got; k++) {
				check_u64(runs[k].base, at);
				check(runs[k].size && runs[k].size <= end - at);
				check(runs[k].state < MS_STATE_COUNT);
				at += runs[k].size;
			}
		}
	}
}

static void runs_without_holes(void)
{
	each_subject(examine_runs);
}

struct reading {
	ms_source *src;
	const struct known *known;
	uint64_t seed;
	bool wrong;
};

/* As the scan loop reads: by the operation itself, from several threads at once. */
static void *read_along(void *ctx)
{
	struct reading *r = ctx;
	uint8_t buf[20000];

	for (int i = 0; i < READS; i++) {
		uint64_t at = test_random(&r->seed) % r->known->size;
		size_t size = (size_t)min_u64(sizeof(buf), r->known->size - at), got = 0;

		r->wrong |= r->src->ops->read(r->src, r->known->base + at, buf, size, &got) < 0;
		r->wrong |= got == 0 || got > size || memcmp(buf, r->known->data + at, got) != 0;
	}
	return NULL;
}

static void examine_threads(struct subject *s, size_t index)
{
	struct reading readings[THREADS];
	pthread_t threads[THREADS];
	const struct ms_region *list;
	size_t count;

	(void)index;
	/* The core lists regions before it reads, and a backend may count on it. */
	check_ok(ms_source_regions(s->src, &list, &count));
	for (size_t i = 0; i < THREADS; i++) {
		readings[i] = (struct reading){s->src, known_data(s), i + 1, false};
		check(pthread_create(&threads[i], NULL, read_along, &readings[i]) == 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < THREADS; i++)
		check(!readings[i].wrong);
}

static void several_threads_agree(void)
{
	each_subject(examine_threads);
}

/* ---- Scanning --------------------------------------------------------------------------- */

struct tally {
	const struct known *known;
	uint64_t hits_in_known, last;
	bool ascending;
	struct ms_coverage coverage;
	struct ms_gap *gaps;
};

static enum ms_state state_named(const struct ms_value *value)
{
	for (int state = 0; state < MS_STATE_COUNT; state++) {
		const char *name = ms_state_name((enum ms_state)state);

		if (value->size == strlen(name) && memcmp(value->v.data, name, value->size) == 0)
			return (enum ms_state)state;
	}
	return MS_STATE_COUNT;
}

static int keep_coverage(struct tally *tally, const struct ms_value *v)
{
	tally->coverage = (struct ms_coverage){.total = v[2].v.u,
		.filtered = v[3].v.u,
		.absent = v[4].v.u,
		.read = v[5].v.u,
		.unreadable = v[6].v.u,
		.skipped = v[7].v.u,
		.gap_count = v[9].size};
	tally->gaps = calloc(v[9].size + 1, sizeof(*tally->gaps));
	for (size_t i = 0; i < v[9].size && tally->gaps; i++) {
		const struct ms_value *gap = v[9].v.items[i].values;

		tally->gaps[i].base = gap[0].v.u;
		tally->gaps[i].size = gap[1].v.u - gap[0].v.u;
		tally->gaps[i].state = state_named(&gap[2]);
	}
	return !tally->gaps;
}

static int tally_record(void *ctx, const struct ms_record *record)
{
	struct tally *tally = ctx;
	const struct ms_value *v = record->values;

	if (record->schema == &ms_schema_coverage)
		return keep_coverage(tally, v);
	if (record->schema != &ms_schema_hit)
		return 1;
	tally->ascending &= v[2].v.u >= tally->last;
	tally->last = v[2].v.u;
	tally->hits_in_known += v[2].v.u - tally->known->base < tally->known->size;
	return 0;
}

/* The gaps are the caller's to free. */
static void scan(ms_source *src, const struct known *known, const char *needle, unsigned threads,
	struct tally *ret_tally)
{
	struct ms_arg arg = {"text", needle};
	struct tally tally = {.known = known, .ascending = true};
	struct ms_scan scan = {.size = sizeof(scan),
		.job = {.size = sizeof(scan.job), .threads = threads},
		.sink = {tally_record, &tally}};
	struct ms_total total;
	ms_engine *engine;

	check_ok(ms_engine_new("bytes", &arg, 1, &engine));
	scan.engine = engine;
	check_ok(ms_scan_source(src, &scan, &total));
	ms_engine_free(engine);
	check_u64(total.targets, 1);
	check(tally.ascending);
	check_u64(tally.coverage.total, tally.coverage.filtered + tally.coverage.absent +
						tally.coverage.read + tally.coverage.unreadable +
						tally.coverage.skipped);
	*ret_tally = tally;
}

static uint64_t count_needles(const struct known *k, const char *needle)
{
	const uint8_t *at = k->data, *end = k->data + k->size, *found;
	uint64_t count = 0;

	for (; (found = memmem(at, (size_t)(end - at), needle, strlen(needle))); at = found + 1)
		count++;
	return count;
}

static void examine_scan(struct subject *s, size_t index)
{
	for (unsigned threads = 1; threads <= 4; threads += 3) {
		const struct known *k = known_data(s);
		struct tally tally;

		scan(s->src, k, subjects[index].needle, threads, &tally);
		free(tally.gaps);
		check_u64(tally.hits_in_known, count_needles(k, subjects[index].needle));
		check(tally.hits_in_known > 0 && tally.coverage.read >= k->size);
	}
}

static void planted_needles_are_found(void)
{
	each_subject(examine_scan);
}

/* ---- A dump is the same again ----------------------------------------------------------- */

/* But for device memory, which a dump leaves out unless told otherwise. */
static void check_same_regions(ms_source *one, ms_source *two)
{
	const struct ms_region *a, *b;
	size_t a_count, b_count, at = 0;

	check_ok(ms_source_regions(one, &a, &a_count));
	check_ok(ms_source_regions(two, &b, &b_count));
	for (size_t i = 0; i < a_count; i++) {
		if (a[i].flags & MS_REGION_DEVICE)
			continue;
		check_that(at < b_count, "only %zu regions", b_count);
		check_u64(b[at].base, a[i].base);
		check_u64(b[at].size, a[i].size);
		check_u64(b[at].perm, a[i].perm);
		check_text(ms_kind_name(b[at].kind), ms_kind_name(a[i].kind));
		check_text(b[at].path, a[i].path);
		at++;
	}
	check_u64(b_count, at);
}

/* Reads both from end to end and compares. */
static void check_same_bytes(ms_source *one, ms_source *two)
{
	enum { STEP = 64 * 1024 };
	static uint8_t a[STEP], b[STEP];
	const struct ms_region *list;
	size_t count;

	check_ok(ms_source_regions(one, &list, &count));
	for (size_t i = 0; i < count; i++) {
		uint64_t at = list[i].base, end = at + list[i].size;

		while (at < end && !(list[i].flags & MS_REGION_DEVICE)) {
			size_t size = (size_t)min_u64(STEP, end - at), a_got, b_got;
			struct ms_gap a_gap = {0}, b_gap = {0};

			check_ok(ms_source_read(one, at, a, size, &a_got, &a_gap));
			check_ok(ms_source_read(two, at, b, size, &b_got, &b_gap));
			check_that(a_got == b_got && a_gap.state == b_gap.state,
				"0x%llx (%s): %zu bytes and %s, then %zu and %s",
				(unsigned long long)at, list[i].path, a_got,
				ms_state_name(a_gap.state), b_got, ms_state_name(b_gap.state));
			check_that(memcmp(a, b, a_got) == 0, "bytes of 0x%llx",
				(unsigned long long)at);
			at += a_got ? a_got : min_u64(min_u64(a_gap.size, b_gap.size), end - at);
		}
	}
}

/* Takes device memory out of the account. */
static void drop_device(struct tally *tally)
{
	size_t kept = 0;

	for (size_t i = 0; i < tally->coverage.gap_count; i++)
		if (tally->gaps[i].state == MS_STATE_DEVICE)
			tally->coverage.skipped -= tally->gaps[i].size;
		else
			tally->gaps[kept++] = tally->gaps[i];
	tally->coverage.gap_count = kept;
}

static void check_same_coverage(
	ms_source *one, ms_source *two, const struct known *known, const char *needle)
{
	struct tally a, b;

	scan(one, known, needle, 2, &a);
	scan(two, known, needle, 2, &b);
	drop_device(&a);
	check_u64(b.hits_in_known, a.hits_in_known);
	check_u64(b.coverage.absent, a.coverage.absent);
	check_u64(b.coverage.unreadable, a.coverage.unreadable);
	check_u64(b.coverage.skipped, a.coverage.skipped);
	for (size_t i = 0; i < a.coverage.gap_count && i < b.coverage.gap_count; i++)
		check_that(a.gaps[i].base == b.gaps[i].base && a.gaps[i].size == b.gaps[i].size &&
				   a.gaps[i].state == b.gaps[i].state,
			"gap %zu: 0x%llx + 0x%llx %s, then 0x%llx + 0x%llx %s", i,
			(unsigned long long)a.gaps[i].base, (unsigned long long)a.gaps[i].size,
			ms_state_name(a.gaps[i].state), (unsigned long long)b.gaps[i].base,
			(unsigned long long)b.gaps[i].size, ms_state_name(b.gaps[i].state));
	check_u64(b.coverage.gap_count, a.coverage.gap_count);
	free(a.gaps);
	free(b.gaps);
}

static void check_same_modules(ms_source *one, ms_source *two, bool live)
{
	const struct ms_module *a, *b;
	size_t a_count, b_count;

	check_ok(ms_source_modules(one, &a, &a_count));
	check_ok(ms_source_modules(two, &b, &b_count));
	check_u64(b_count, a_count);
	check(!live || a_count >= 3);
	for (size_t i = 0; i < a_count; i++) {
		check(i == 0 || a[i].base > a[i - 1].base);
		check(b[i].base == a[i].base && b[i].size == a[i].size);
		check_text(b[i].path, a[i].path);
		check_text(b[i].name, a[i].name);
		check_text(b[i].version, a[i].version);
		check_text(b[i].build_id, a[i].build_id);
	}
}

static void examine_dump(struct subject *s, size_t index)
{
	struct subject again = *s;
	char path[128];

	/* What runs would change between the dump and the comparison. */
	check_ok(ms_source_pause(s->src, true));
	say_path(s, "again.core", path);
	dump_to(s, path, &again.host);
	check_ok(ms_source_open(again.host, 0, &again.src));
	check_u64(ms_source_process(again.src)->pid, ms_source_process(s->src)->pid);
	check_same_regions(s->src, again.src);
	examine_known(&again, index);
	check_same_bytes(s->src, again.src);
	check_same_coverage(s->src, again.src, known_data(s), subjects[index].needle);
	check_same_modules(s->src, again.src, s->puppet > 0);
	ms_source_free(again.src);
	ms_host_free(again.host);
}

static void a_dump_is_the_same_again(void)
{
	each_subject(examine_dump);
}

static const struct test tests[] = {
	{"processes", processes},
	{"regions", regions},
	{"known bytes", known_bytes},
	{"parts of known bytes", parts_of_known_bytes},
	{"outside of everything", outside_of_everything},
	{"runs without holes", runs_without_holes},
	{"several threads agree", several_threads_agree},
	{"planted needles are found", planted_needles_are_found},
	{"a dump is the same again", a_dump_is_the_same_again},
};

TEST_MAIN(tests)
