/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local backend against live targets: what it says of their pages, what it reads of them,
 * and that it neither changes nor waits for them.
 */
#include "test.h"

#include "puppet.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

/* ---- Tests ------------------------------------------------------------------------------ */

static void test_plain(void)
{
	struct puppet p;
	const void *auxv;
	uint64_t base;
	char word[7];
	size_t size;

	start_and_open(&p, "plain");
	base = address_of(&p, "plain");
	check_states(&p, base, "DDDDDDDDDDDDDDDD");
	check_filled(&p, base, PAGE, "puppet-plain-needle ");
	check_u64(op_read(&p, base + 3 * PAGE + 7, word, 5), 5);
	check(memcmp(word, "plain", 5) == 0);
	check(region_at(&p, base)->kind == MS_KIND_HEAP);
	check(region_at(&p, base)->flags == MS_REGION_ANONYMOUS);
	check_u64(region_at(&p, base)->resident, 16 * PAGE);
	check_ok(p.src->ops->auxv(p.src, &auxv, &size));
	check(size >= 16 && *(const unsigned long *)auxv != 0);
	finish(&p);
}

static void test_guard(void)
{
	struct puppet p;
	uint64_t base;
	char buf[5 * PAGE];

	start_and_open(&p, "guard");
	base = address_of(&p, "guard");
	check_states(&p, base, "DDGDD");
	check_u64(op_read(&p, base, buf, sizeof(buf)), 2 * PAGE);
	check_u64(op_read(&p, base + 2 * PAGE, buf, 3 * PAGE), 0);
	check_u64(op_read(&p, base + 3 * PAGE, buf, 2 * PAGE), 2 * PAGE);
	finish(&p);
}

static void test_adjacent(void)
{
	struct puppet p;
	uint64_t base;
	char buf[3 * PAGE];

	start_and_open(&p, "adjacent");
	base = address_of(&p, "adjacent");
	check_u64(op_read(&p, base, buf, sizeof(buf)), sizeof(buf));
	check(memcmp(buf + PAGE - 10, "puppet-border-needle", 20) == 0);
	check(memcmp(buf + 2 * PAGE - 10, "puppet-border-needle", 20) == 0);
	check_u64(region_at(&p, base)->perm, MS_PERM_READ | MS_PERM_WRITE);
	check_u64(region_at(&p, base + PAGE)->perm, MS_PERM_READ);
	check(region_at(&p, base + PAGE)->kind == MS_KIND_OTHER);
	check(region_at(&p, base + 2 * PAGE)->kind == MS_KIND_CODE);
	finish(&p);
}

static void test_holes(void)
{
	struct puppet p;
	uint64_t base;
	char buf[5 * PAGE];

	start_and_open(&p, "holes");
	base = address_of(&p, "holes");
	check_u64(op_read(&p, base, buf, sizeof(buf)), PAGE);
	check_u64(op_read(&p, base + PAGE, buf, PAGE), 0);
	check_u64(op_read(&p, base + 2 * PAGE + 1, buf, 3 * PAGE), PAGE - 1);
	finish(&p);
}

static void test_huge(void)
{
	struct puppet p;
	uint64_t base;
	struct run run[RUNS];

	start_and_open(&p, "huge");
	base = address_of(&p, "huge");
	check_u64(states(&p, base, 4 * MIB, run), 1);
	check(run[0].state == MS_STATE_DATA);
	check_filled(&p, base, 4 * MIB, "puppet-huge-needle ");
	finish(&p);
}

static void test_hugetlb(void)
{
	struct puppet p;
	uint64_t base;
	struct run run[RUNS];

	start_and_open(&p, "hugetlb");
	base = address_of(&p, "hugetlb");
	check_u64(states(&p, base, 4 * MIB, run), 2);
	check(run[0].state == MS_STATE_DATA && run[0].size == 2 * MIB);
	check(run[1].state == MS_STATE_ABSENT);
	check_filled(&p, base, 2 * MIB, "puppet-hugetlb-needle ");
	finish(&p);
}

/* Reading what was never touched must not make the target grow, whoever asks for it. */
static void test_untouched(void)
{
	struct puppet p;
	struct run run[RUNS];
	struct ms_gap gap;
	uint64_t base, anon;
	char buf[16 * PAGE];
	size_t got;

	start_and_open(&p, "untouched");
	base = address_of(&p, "untouched");
	anon = status_kb(&p, "RssAnon");
	check_u64(states(&p, base, 256 * MIB, run), 1);
	check(run[0].state == MS_STATE_ABSENT);
	for (uint64_t at = 0; at < 256 * MIB; at += sizeof(buf)) {
		check_u64(op_read(&p, base + at, buf, sizeof(buf)), 0);
		check_ok(ms_source_read(p.src, base + at, buf, sizeof(buf), &got, &gap));
		check(got == 0 && gap.state == MS_STATE_ABSENT);
	}
	/* The kernel counts in batches, one a core; 256 MiB would show. */
	check_that(status_kb(&p, "RssAnon") < anon + 1024, "the target grew");
	tell(&p, "touch");
	check(fgets(buf, sizeof(buf), p.out));
	check_u64(states(&p, base, 256 * MIB, run), 1);
	check(run[0].state == MS_STATE_DATA);
	finish(&p);
}

static void test_file(void)
{
	struct puppet p;
	uint64_t base, rss;
	char buf[17 * PAGE], zeros[PAGE] = {0};

	start_and_open(&p, "file");
	base = address_of(&p, "file");
	rss = status_kb(&p, "RssFile");
	check_states(&p, base, "DDDDDDDDDDDDDDDDA");
	check_u64(op_read(&p, base, buf, sizeof(buf)), 16 * PAGE);
	for (int i = 0; i < 16; i++)
		check(buf[i * PAGE] == 'A' + i && buf[i * PAGE + 7] == 'A' + i);
	check(memcmp(buf + 15 * PAGE + 100, zeros, PAGE - 100) == 0);
	check_u64(op_read(&p, base + 5 * PAGE + 3, buf, PAGE), PAGE);
	check(buf[0] == 'F' && buf[PAGE - 3] == 'G');
	check_that(status_kb(&p, "RssFile") < rss + 48, "the target grew");
	check(region_at(&p, base)->kind == MS_KIND_MAPPED);
	check_u64(region_at(&p, base)->resident, 0);
	finish(&p);
}

static void test_private(void)
{
	struct puppet p;
	uint64_t base, rss;
	char buf[16 * PAGE];

	start_and_open(&p, "private");
	base = address_of(&p, "private");
	rss = status_kb(&p, "VmRSS");
	check_states(&p, base, "DDDDDDDDDDDDDDDD");
	check_u64(op_read(&p, base, buf, sizeof(buf)), sizeof(buf));
	for (int i = 0; i < 16; i++)
		check(i == 3 || buf[i * PAGE] == 'A' + i);
	check(memcmp(buf + 3 * PAGE, "puppet-private-needle", 21) == 0);
	check_u64(status_kb(&p, "VmRSS"), rss);
	finish(&p);
}

static void check_named_file(struct puppet *p, const char *name, const char *file, unsigned flags)
{
	uint64_t base = address_of(p, name);
	char path[128], buf[4 * PAGE];

	snprintf(path, sizeof(path), "%s/%s", p->dir, file);
	check_text(region_at(p, base)->path, path);
	check_u64(region_at(p, base)->flags, flags);
	check_states(p, base, "DDDD");
	check_u64(op_read(p, base, buf, sizeof(buf)), sizeof(buf));
	check(buf[0] == 'A' && buf[3 * PAGE] == 'D');
}

static void test_names(void)
{
	struct puppet p;

	start_and_open(&p, "deleted suffix newline");
	check_named_file(&p, "deleted", "puppet-deleted", MS_REGION_DELETED);
	check_named_file(&p, "suffix", "puppet (deleted)", 0);
	check_named_file(&p, "newline", "puppet\nnewline", 0);
	check_named_file(&p, "backslash", "puppet\\012backslash", 0);
	finish(&p);
}

static void test_sparse(void)
{
	struct puppet p;
	uint64_t base, rss;
	struct run run[RUNS];
	char buf[2 * PAGE];

	start_and_open(&p, "sparse");
	base = address_of(&p, "sparse");
	rss = status_kb(&p, "VmRSS");
	check_u64(states(&p, base, TIB, run), 3);
	check(run[0].state == MS_STATE_ABSENT && run[0].size == TIB / 2);
	check(run[1].state == MS_STATE_DATA && run[1].size == PAGE);
	check(run[2].state == MS_STATE_ABSENT && run[2].size == TIB / 2 - PAGE);
	check_u64(op_read(&p, base + TIB / 2, buf, PAGE), PAGE);
	check(memcmp(buf, "puppet-sparse-needle", 20) == 0);
	check_u64(status_kb(&p, "VmRSS"), rss);
	check_text(region_at(&p, base)->path, "/memfd:puppet");
	check_u64(region_at(&p, base)->flags, MS_REGION_DELETED);
	finish(&p);
}

static void test_hidden(void)
{
	struct puppet p;

	start_and_open(&p, "noaccess execonly");
	check_states(&p, address_of(&p, "noaccess"), "DDDD");
	check_filled(&p, address_of(&p, "noaccess"), 4 * PAGE, "puppet-noaccess-needle ");
	check_filled(&p, address_of(&p, "execonly"), PAGE, "puppet-execonly-needle ");
	check(region_at(&p, address_of(&p, "execonly"))->kind == MS_KIND_CODE);
	finish(&p);
}

/* What nobody may read gives no bytes and no error. */
static void test_secret(void)
{
	struct puppet p;
	struct ms_gap gap;
	char buf[PAGE];
	size_t got;
	uint64_t base;

	start_and_open(&p, "secret");
	base = address_of(&p, "secret");
	check_u64(op_read(&p, base, buf, PAGE), 0);
	check_ok(ms_source_read(p.src, base, buf, PAGE, &got, &gap));
	check(got == 0 && gap.state == MS_STATE_NO_ACCESS);
	finish(&p);
}

static void test_threads(void)
{
	struct puppet p;
	const struct ms_thread *list;
	size_t count;

	start_and_open(&p, "plain threads spin");
	check(region_at(&p, address_of(&p, "threads"))->kind == MS_KIND_STACK);
	check(region_at(&p, address_of(&p, "spin"))->kind == MS_KIND_STACK);
	check(region_at(&p, address_of(&p, "plain"))->kind == MS_KIND_HEAP);
	check_ok(ms_source_threads(p.src, &list, &count));
	check_u64(count, 3);
	check_ok(ms_source_pause(p.src, true));
	check_ok(ms_source_threads(p.src, &list, &count));
	check_u64(count, 3);
	for (size_t i = 0; i < count; i++)
		check(list[i].gregs && list[i].gregs_size && list[i].stack_pointer);
	check_ok(ms_source_pause(p.src, false));
	finish(&p);
}

static void test_named(void)
{
	struct puppet p;
	uint64_t base;

	start_and_open(&p, "named");
	base = address_of(&p, "named");
	check_text(region_at(&p, base)->path, "[anon:puppet]");
	check_u64(region_at(&p, base)->flags, MS_REGION_ANONYMOUS);
	check(region_at(&p, base)->kind == MS_KIND_HEAP);
	finish(&p);
}

static void check_shared(
	struct puppet *p, const char *name, const char *path, unsigned flags, const char *text)
{
	uint64_t base = address_of(p, name);
	const struct ms_region *region = region_at(p, base);

	check_u64(region->flags, flags);
	check(strncmp(region->path, path, strlen(path)) == 0 && !strstr(region->path, "deleted"));
	check_states(p, base, "DAAA");
	check_filled(p, base, PAGE, text);
}

static void test_shared(void)
{
	struct puppet p;

	start_and_open(&p, "shared sysv zero");
	check_shared(&p, "shared", "/dev/zero", MS_REGION_ANONYMOUS | MS_REGION_DELETED,
		"puppet-shared-needle ");
	check(region_at(&p, address_of(&p, "shared"))->kind == MS_KIND_MAPPED);
	check_shared(&p, "zero", "/dev/zero", 0, "puppet-zero-needle ");
	check_shared(&p, "sysv", "/SYSV", MS_REGION_DELETED, "puppet-sysv-needle ");
	finish(&p);
}

/* To touch a page that userfaultfd watches would mean to wait for ever. */
static void test_uffd(void)
{
	struct puppet p;
	uint64_t base;
	char buf[4 * PAGE];

	start_and_open(&p, "uffd");
	base = address_of(&p, "uffd");
	check_states(&p, base, "AAAA");
	check_u64(op_read(&p, base, buf, sizeof(buf)), 0);
	finish(&p);
}

/* The same goes for a file whose file system does not answer. */
static void test_fuse(void)
{
	struct puppet p;
	struct ms_gap gap;
	size_t got;
	uint64_t base;
	char buf[4 * PAGE];

	start_and_open(&p, "fuse");
	base = address_of(&p, "fuse");
	check_u64(region_at(&p, base)->flags, MS_REGION_REMOTE);
	check_states(&p, base, "RRRR");
	check_u64(op_read(&p, base, buf, sizeof(buf)), 0);
	check_ok(ms_source_read(p.src, base, buf, sizeof(buf), &got, &gap));
	check(got == 0 && gap.state == MS_STATE_REMOTE_FILE);
	finish(&p);
}

static void test_device(void)
{
	struct puppet p;
	uint64_t base;

	start_and_open(&p, "device");
	base = address_of(&p, "device");
	check_u64(region_at(&p, base)->flags, MS_REGION_DEVICE);
	finish(&p);
}

/* Memory shared with the kernel is on no file system that anyone could know. */
static void test_strange(void)
{
	struct puppet p;
	uint64_t base;
	const struct ms_region *region;

	start_and_open(&p, "perf plain");
	base = address_of(&p, "perf");
	region = region_at(&p, base);
	check_text(region->path, "anon_inode:[perf_event]");
	check(region->flags & (MS_REGION_DEVICE | MS_REGION_REMOTE));
	check_u64(region_at(&p, address_of(&p, "plain"))->resident, 16 * PAGE);
	finish(&p);
}

static void check_kernel_pages(struct puppet *p)
{
	const struct ms_region *list = p->src->regions.items.data;
	bool vvar = false, vdso = false;
	char byte;

	for (size_t i = 0; i < p->src->regions.items.count; i++) {
		if (strncmp(list[i].path, "[vv", 3) == 0 || strcmp(list[i].path, "[vsyscall]") == 0)
			check(list[i].flags & MS_REGION_DEVICE);
		vvar |= strcmp(list[i].path, "[vvar]") == 0;
		if (strcmp(list[i].path, "[vdso]") != 0)
			continue;
		vdso = true;
		check(list[i].kind == MS_KIND_CODE && !(list[i].flags & MS_REGION_DEVICE));
		check_u64(op_read(p, list[i].base, &byte, 1), 1);
		check(byte == 0x7f);
	}
	check(vvar && vdso);
}

static void test_kernel_pages(void)
{
	struct puppet p;

	start_and_open(&p, "");
	check_kernel_pages(&p);
	finish(&p);
}

/* ---- Two ways to the same answer -------------------------------------------------------- */

static const char everything[] =
	"plain guard adjacent holes huge untouched file private deleted suffix newline sparse "
	"noaccess execonly secret threads shared sysv zero uffd device perf";

struct query {
	uint64_t size, flags, address, start, end, perm, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};

/* PROCMAP_QUERY knows what the text says, by another road. */
static void test_query(void)
{
	struct puppet p;
	char name[8192];
	struct query query = {.size = sizeof(query)};
	size_t i = 0;

	start_and_open(&p, everything);
	for (;; i++) {
		const struct ms_region *region = &p.src->regions.items.data[i];

		query.flags = 0x10; /* this address or the next */
		query.address = query.end;
		query.name = (uintptr_t)name;
		query.name_size = 4096;
		query.build_id_size = 0;
		if (ioctl(linux_of(p.src)->maps, _IOWR('f', 17, struct query), &query) != 0)
			break;
		check(i < p.src->regions.items.count);
		check_u64(region->base, query.start);
		check_u64(region->base + region->size, query.end);
		check_u64(region->perm, query.perm & 15);
		check_u64(region->offset, query.offset);
		check_u64(region->inode, query.inode);
		check_u64(region->dev_major, query.major);
		check_u64(region->dev_minor, query.minor);
		if (region->flags & MS_REGION_DELETED)
			name[strlen(name) - strlen(" (deleted)")] = '\0';
		check_text(region->path, query.name_size ? name : "");
	}
	if (errno == ENOTTY) {
		finish(&p);
		skip("this kernel has no PROCMAP_QUERY");
	}
	for (; i < p.src->regions.items.count; i++)
		check_text(p.src->regions.items.data[i].path, "[vsyscall]");
	finish(&p);
}

/* maps with a page scan, and smaps as old kernels need it, tell the same. */
static void test_smaps(void)
{
	struct puppet p;
	struct region_list other = {0};

	start_and_open(&p, everything);
	linux_of(p.src)->smaps_always = true;
	linux_of(p.src)->pages.scan = false;
	check_ok(p.src->ops->regions(p.src, &other));
	check_u64(other.items.count, p.src->regions.items.count);
	for (size_t i = 0; i < other.items.count; i++) {
		const struct ms_region *a = &p.src->regions.items.data[i];
		const struct ms_region *b = &other.items.data[i];

		check(a->base == b->base && a->size == b->size && a->perm == b->perm);
		check(a->offset == b->offset && a->inode == b->inode && a->kind == b->kind);
		check_text(a->path, b->path);
		check_that(
			a->flags == b->flags, "%s: flags %x and %x", a->path, a->flags, b->flags);
		/* The kernel sums by its own rules for its own pages and on the edge of threads. */
		if (!(a->flags & (MS_REGION_DEVICE | MS_REGION_REMOTE)) && a->perm &&
			*a->path == '/')
			check_that(a->resident == b->resident, "%s: resident %llu and %llu",
				a->path, (unsigned long long)a->resident,
				(unsigned long long)b->resident);
	}
	region_list_done(&other);
	finish(&p);
}

/* A page scan and pagemap's entries tell the same of every region but the vast ones. */
static void test_pages(void)
{
	struct puppet p;
	struct run scanned[RUNS], listed[RUNS];

	start_and_open(&p, everything);
	if (!linux_of(p.src)->pages.scan)
		skip("this kernel has no PAGEMAP_SCAN");
	for (size_t i = 0; i < p.src->regions.items.count; i++) {
		const struct ms_region *region = &p.src->regions.items.data[i];
		uint64_t size = min_u64(region->size, 64 * MIB);
		size_t n, m;

		if (region->flags & MS_REGION_DEVICE)
			continue;
		n = states(&p, region->base, size, scanned);
		linux_of(p.src)->pages.scan = false;
		m = states(&p, region->base, size, listed);
		linux_of(p.src)->pages.scan = true;
		check_u64(n, m);
		for (size_t k = 0; k < n; k++)
			check(scanned[k].base == listed[k].base &&
				scanned[k].size == listed[k].size &&
				scanned[k].state == listed[k].state);
	}
	finish(&p);
}

/* However little room there is for the answer, its pieces make up the whole. */
static void test_room(void)
{
	struct puppet p;
	struct run whole[RUNS], piece[2];
	const struct ms_region *region;
	size_t count, got, at = 0;
	uint64_t base;

	start_and_open(&p, "guard");
	base = address_of(&p, "guard");
	region = region_at(&p, base);
	count = states(&p, base + 100, 5 * PAGE - 300, whole);
	check_u64(count, 3);
	for (uint64_t from = base + 100, end = from + 5 * PAGE - 300; from < end;) {
		check_ok(p.src->ops->resident(p.src, region, from, end - from, piece, 1, &got));
		check_u64(got, 1);
		check(at < count && piece[0].base == whole[at].base);
		check(piece[0].size == whole[at].size && piece[0].state == whole[at].state);
		from = piece[0].base + piece[0].size;
		at++;
	}
	check_u64(at, count);
	finish(&p);
}

/* Where holes cannot be skipped, an answer covers only so much that it does not take long. */
static void test_walk_without_scan(void)
{
	struct puppet p;
	struct run run[RUNS];
	size_t count = 0;
	uint64_t base;

	start_and_open(&p, "sparse");
	base = address_of(&p, "sparse");
	linux_of(p.src)->pages.scan = false;
	check_ok(p.src->ops->resident(p.src, region_at(&p, base), base, TIB, run, RUNS, &count));
	check_u64(count, 1);
	check(run[0].state == MS_STATE_ABSENT && run[0].size < TIB / 8);
	check_u64(states(&p, base, TIB, run), 3);
	check(run[0].size == TIB / 2 && run[1].size == PAGE);
	finish(&p);
}

struct reading {
	ms_source *src;
	char *buf;
	uint64_t bytes;
};

static void *read_all(void *ctx)
{
	struct reading *reading = ctx;
	const struct region_list *list = &reading->src->regions;
	enum { CHUNK = 256 * 1024 };

	for (size_t i = 0; i < list->items.count; i++) {
		const struct ms_region *region = &list->items.data[i];
		uint64_t size =
			region->flags & MS_REGION_DEVICE ? 0 : min_u64(region->size, 4 * MIB);

		for (uint64_t at = 0; at < size; at += CHUNK) {
			struct run runs[16];
			size_t got, count;

			if (reading->src->ops->read(reading->src, region->base + at, reading->buf,
				    (size_t)min_u64(CHUNK, size - at), &got) < 0 ||
				reading->src->ops->resident(reading->src, region, region->base + at,
					size - at, runs, 16, &count) < 0)
				return NULL;
			reading->bytes += got;
		}
	}
	return NULL;
}

/* Several threads read the same source at once and see the same. */
static void test_parallel(void)
{
	struct puppet p;
	struct reading reading[4];
	pthread_t thread[4];

	start_and_open(&p, everything);
	for (int i = 0; i < 4; i++) {
		reading[i] = (struct reading){.src = p.src, .buf = malloc(256 * 1024)};
		check(pthread_create(&thread[i], NULL, read_all, &reading[i]) == 0);
	}
	for (int i = 0; i < 4; i++) {
		check(pthread_join(thread[i], NULL) == 0);
		free(reading[i].buf);
		check(reading[i].bytes > 4 * MIB);
		check_u64(reading[i].bytes, reading[0].bytes);
	}
	finish(&p);
}

/* ---- Targets that do not hold still ----------------------------------------------------- */

static void test_churn(void)
{
	struct puppet p;
	static char buf[64 * PAGE];

	start_and_open(&p, "churn plain");
	for (int round = 0; round < 300; round++) {
		uint64_t end = 0;

		check_ok(source_refresh(p.src));
		for (size_t i = 0; i < p.src->regions.items.count; i++) {
			const struct ms_region *region = &p.src->regions.items.data[i];

			check(region->base >= end && region->size > 0);
			end = region->base + region->size;
			if (region->size <= 8 * PAGE && !(region->flags & MS_REGION_DEVICE))
				op_read(&p, region->base, buf, region->size);
		}
	}
	check_filled(&p, address_of(&p, "plain"), PAGE, "puppet-plain-needle ");
	finish(&p);
}

/* ---- Without any privilege -------------------------------------------------------------- */

static void unprivileged(void)
{
	struct puppet p;

	start_and_open(&p, "plain file private suffix deleted");
	check_filled(&p, address_of(&p, "plain"), PAGE, "puppet-plain-needle ");
	check_named_file(&p, "suffix", "puppet (deleted)", 0);
	check_states(&p, address_of(&p, "file"), "DDDDDDDDDDDDDDDDA");
	check_states(&p, address_of(&p, "deleted"), "NNNN");
	check(region_at(&p, address_of(&p, "deleted"))->flags == MS_REGION_DELETED);
	finish(&p);
}

static void denied(void)
{
	ms_host *host;
	ms_source *src;

	check_ok(ms_host_open("local", &host));
	check_u64(-ms_source_open(host, 1, &src), -MS_ERR_ACCESS);
	ms_host_free(host);
}

/* A puppet that everybody can start: the build may lie where only its owner can look. */
static void lend_puppet(const char *folder)
{
	char path[64];
	char *program = puppet_path();
	int from = program ? open(program, O_RDONLY | O_CLOEXEC) : -1, to;

	free(program);
	snprintf(path, sizeof(path), "%s/puppet", folder);
	to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	check(from >= 0 && to >= 0 && chmod(folder, 0755) == 0);
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	close(to);
	close(from);
	setenv("MEMSIFT_PUPPET", path, 1);
}

static int as_nobody(void (*test)(void))
{
	switch (setjmp(test_end)) {
	case 0:
		if (setgid(65534) != 0 || setuid(65534) != 0 || prctl(PR_SET_DUMPABLE, 1) != 0)
			return 3;
		test();
		return 0;
	case 1:
		return 1;
	default:
		return 2;
	}
}

static void run_as_nobody(void (*test)(void))
{
	char folder[] = "/tmp/memsift-live-XXXXXX", path[64];
	int status;
	pid_t child;

	if (geteuid() != 0)
		skip("needs root to become somebody else");
	check(mkdtemp(folder));
	child = fork();
	check(child >= 0);
	if (child == 0) {
		lend_puppet(folder);
		_exit(as_nobody(test));
	}
	status = -1;
	waitpid(child, &status, 0);
	snprintf(path, sizeof(path), "%s/puppet", folder);
	unlink(path);
	rmdir(folder);
	check(WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		skip("not possible without privilege here");
	check_u64((unsigned)WEXITSTATUS(status), 0);
}

static void test_unprivileged(void)
{
	run_as_nobody(unprivileged);
}

static void test_denied(void)
{
	run_as_nobody(denied);
}

static const struct test tests[] = {
	{"plain", test_plain},
	{"guard", test_guard},
	{"adjacent", test_adjacent},
	{"holes", test_holes},
	{"huge", test_huge},
	{"hugetlb", test_hugetlb},
	{"untouched", test_untouched},
	{"file", test_file},
	{"private", test_private},
	{"names", test_names},
	{"sparse", test_sparse},
	{"hidden", test_hidden},
	{"secret", test_secret},
	{"threads", test_threads},
	{"named", test_named},
	{"shared", test_shared},
	{"uffd", test_uffd},
	{"fuse", test_fuse},
	{"device", test_device},
	{"strange", test_strange},
	{"kernel pages", test_kernel_pages},
	{"query", test_query},
	{"smaps", test_smaps},
	{"pages", test_pages},
	{"room", test_room},
	{"walk without scan", test_walk_without_scan},
	{"parallel", test_parallel},
	{"churn", test_churn},
	{"unprivileged", test_unprivileged},
	{"denied", test_denied},
};

TEST_MAIN(tests)
