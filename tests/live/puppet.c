/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target for tests: puppet SCENARIO...
 *
 * Sets up each scenario named, prints a line "NAME 0xADDRESS" for every piece of memory it made
 * (0x0 where this system cannot make it), then "ready", and waits on stdin. Scenarios do not
 * depend on each other. Files are made in the current folder and removed by the test. Commands
 * on stdin: "exec" runs the program anew as "puppet plain", "touch" writes one byte to each page
 * of `untouched`, "exit" or the end of stdin ends it.
 *
 *   plain      16 pages, each full of "puppet-plain-needle " over and over
 *   guard      5 pages with a guard page (MADV_GUARD_INSTALL, Linux 6.13) in the middle: guard
 *   adjacent   3 pages side by side, rw-, r--, rwx; "puppet-border-needle" lies over both borders
 *   holes      5 pages of which the second and fourth are not mapped
 *   huge       4 MiB that ask for transparent huge pages, written to
 *   hugetlb    4 MiB of explicit huge pages, the first half written to
 *   untouched  256 MiB of anonymous memory that nothing has touched
 *   file       17 pages over "puppet-file", which has 15 pages and 100 bytes; none was touched, and
 *              the last page lies behind the end of the file
 *   private    16 pages, a private writable mapping of "puppet-private"; the fourth was written
 *   deleted    4 pages of a file that was removed after it was mapped
 *   suffix     4 pages of a file whose name is "puppet (deleted)"
 *   newline    4 pages of a file with a newline in its name, `newline`, and 4 of one that has
 *              the characters \012 there, `backslash`
 *   sparse     1 TiB of a memfd with data in one page, at 512 GiB
 *   noaccess   4 pages, written to and then made PROT_NONE
 *   execonly   a page that may only be executed
 *   secret     a page of memfd_secret(), written to
 *   threads    a thread that sleeps; `threads` is an address in its stack
 *   spin       a thread that never stops running; `spin` is an address in its stack
 *   pair       two counters that begin as bytes of 1, `pair` and, 64 MiB further on, `pair_end`;
 *              on the command "count" a thread adds one to the first, then to the second, and on
 *   named      4 pages with the name "puppet" (PR_SET_VMA_ANON_NAME)
 *   shared     4 pages of shared anonymous memory, the first written to
 *   sysv       4 pages of System V shared memory, the first written to
 *   zero       4 pages, a private mapping of /dev/zero, the first written to
 *   uffd       4 pages, userfaultfd hands their faults to nobody: whoever touches one waits
 *   device     a page of a device, which must not be read
 *   perf       2 pages shared with the kernel (perf_event_open), no file of any file system
 *   fuse       4 pages of a file on a file system of FUSE that never answers a read (needs root)
 *   unforked   2 pages that a fork leaves out (MADV_DONTFORK), `unforked`, and 2 that it empties
 *              (MADV_WIPEONFORK), `wiped`, all full of "puppet-unforked-needle "
 *   churn      a thread that maps and unmaps memory as fast as it can
 *   leader     the first thread ends; another one goes on
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

enum {
	PAGE = 4096,
	GUARD_INSTALL = 102, /* MADV_GUARD_INSTALL */
	RW = PROT_READ | PROT_WRITE,
};

#define MIB (1024ul * 1024)
#define TIB (MIB * MIB)

static char *untouched, *pair_memory;

static void say(const char *name, const void *address)
{
	printf("%s 0x%lx\n", name, (unsigned long)address);
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "puppet: %s: %s\n", what, strerror(errno));
	_exit(2);
}

static char *map(size_t size, int perm, int flags, int fd)
{
	char *memory = mmap(NULL, size, perm, flags, fd, 0);

	need(memory != MAP_FAILED, "mmap");
	return memory;
}

static char *map_private(size_t size)
{
	return map(size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* Memory with a page on each side that no other mapping will join. */
static char *map_alone(size_t size)
{
	char *memory = map(size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	need(mprotect(memory + PAGE, size, RW) == 0, "mprotect");
	return memory + PAGE;
}

static void fill(char *memory, size_t size, const char *text)
{
	for (size_t i = 0; i < size; i++)
		memory[i] = text[i % strlen(text)];
}

static void unforked(void)
{
	char *left = map_alone(2 * PAGE), *wiped = map_alone(2 * PAGE);

	fill(left, 2 * PAGE, "puppet-unforked-needle ");
	fill(wiped, 2 * PAGE, "puppet-unforked-needle ");
	need(madvise(left, 2 * PAGE, MADV_DONTFORK) == 0, "MADV_DONTFORK");
	need(madvise(wiped, 2 * PAGE, MADV_WIPEONFORK) == 0, "MADV_WIPEONFORK");
	say("unforked", left);
	say("wiped", wiped);
}

static void plain(void)
{
	char *memory = map_alone(16 * PAGE);

	for (int i = 0; i < 16; i++)
		fill(memory + i * PAGE, PAGE, "puppet-plain-needle ");
	say("plain", memory);
}

static void guard(void)
{
	char *memory = map_alone(5 * PAGE);

	fill(memory, 5 * PAGE, "puppet-guard-needle ");
	if (madvise(memory + 2 * PAGE, PAGE, GUARD_INSTALL) != 0)
		memory = NULL;
	say("guard", memory);
}

static void adjacent(void)
{
	static const char needle[] = "puppet-border-needle";
	char *memory = map_alone(3 * PAGE);

	memcpy(memory + PAGE - 10, needle, sizeof(needle));
	memcpy(memory + 2 * PAGE - 10, needle, sizeof(needle));
	need(mprotect(memory + PAGE, PAGE, PROT_READ) == 0, "mprotect");
	need(mprotect(memory + 2 * PAGE, PAGE, RW | PROT_EXEC) == 0, "mprotect");
	say("adjacent", memory);
}

static void holes(void)
{
	char *memory = map_alone(5 * PAGE);

	fill(memory, 5 * PAGE, "puppet-holes-needle ");
	munmap(memory + PAGE, PAGE);
	munmap(memory + 3 * PAGE, PAGE);
	say("holes", memory);
}

static void huge(void)
{
	char *memory = map_private(8 * MIB);

	memory = (char *)(((uintptr_t)memory + 4 * MIB - 1) & ~(4 * MIB - 1));
	madvise(memory, 4 * MIB, MADV_HUGEPAGE);
	fill(memory, 4 * MIB, "puppet-huge-needle ");
	say("huge", memory);
}

static void hugetlb(void)
{
	char *memory = mmap(NULL, 4 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (memory == MAP_FAILED)
		memory = NULL;
	else
		fill(memory, 2 * MIB, "puppet-hugetlb-needle ");
	say("hugetlb", memory);
}

static void make_untouched(void)
{
	untouched = map(256 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	madvise(untouched, 256 * MIB, MADV_NOHUGEPAGE);
	say("untouched", untouched);
}

/* A file in which the page number stands at the start of each page. */
static int make_file(const char *name, size_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	char page[PAGE];

	need(fd >= 0, name);
	for (size_t at = 0; at < size; at += PAGE) {
		size_t part = size - at < PAGE ? size - at : PAGE;

		fill(page, PAGE, "puppet-file-needle ");
		memset(page, (int)('A' + at / PAGE), 8);
		need(write(fd, page, part) == (ssize_t)part, name);
	}
	return fd;
}

static char *map_file(const char *name, size_t size, size_t map_size, int perm)
{
	int fd = make_file(name, size);
	char *memory = map(map_size, perm, MAP_PRIVATE, fd);

	close(fd);
	return memory;
}

static void file(void)
{
	say("file", map_file("puppet-file", 15 * PAGE + 100, 17 * PAGE, PROT_READ));
}

static void private(void)
{
	char *memory = map_file("puppet-private", 16 * PAGE, 16 * PAGE, RW);

	memcpy(memory + 3 * PAGE, "puppet-private-needle", 21);
	say("private", memory);
}

static void deleted(void)
{
	char *memory = map_file("puppet-deleted", 4 * PAGE, 4 * PAGE, PROT_READ);

	unlink("puppet-deleted");
	say("deleted", memory);
}

static void suffix(void)
{
	say("suffix", map_file("puppet (deleted)", 4 * PAGE, 4 * PAGE, PROT_READ));
}

static void newline(void)
{
	say("newline", map_file("puppet\nnewline", 4 * PAGE, 4 * PAGE, PROT_READ));
	say("backslash", map_file("puppet\\012backslash", 4 * PAGE, 4 * PAGE, PROT_READ));
}

static void sparse(void)
{
	int fd = memfd_create("puppet", MFD_CLOEXEC);
	char *memory;

	need(fd >= 0 && ftruncate(fd, (off_t)TIB) == 0, "memfd");
	need(pwrite(fd, "puppet-sparse-needle", 20, (off_t)TIB / 2) == 20, "memfd");
	memory = map(TIB, RW, MAP_SHARED | MAP_NORESERVE, fd);
	close(fd);
	say("sparse", memory);
}

static void noaccess(void)
{
	char *memory = map_alone(4 * PAGE);

	fill(memory, 4 * PAGE, "puppet-noaccess-needle ");
	need(mprotect(memory, 4 * PAGE, PROT_NONE) == 0, "mprotect");
	say("noaccess", memory);
}

static void execonly(void)
{
	char *memory = map_alone(PAGE);

	fill(memory, PAGE, "puppet-execonly-needle ");
	need(mprotect(memory, PAGE, PROT_EXEC) == 0, "mprotect");
	say("execonly", memory);
}

static void secret(void)
{
	int fd = (int)syscall(447 /* memfd_secret */, 0);
	char *memory = NULL;

	if (fd >= 0 && ftruncate(fd, PAGE) == 0)
		memory = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		memory = NULL;
	if (memory)
		fill(memory, PAGE, "puppet-secret-needle ");
	say("secret", memory);
}

static void *sleep_thread(void *ctx)
{
	char local[64] = "puppet-stack-needle";

	*(char *volatile *)ctx = local;
	for (;;)
		pause();
	return NULL;
}

static void *spin_thread(void *ctx)
{
	char local[64] = "puppet-spin-needle";

	*(char *volatile *)ctx = local;
	for (volatile unsigned i = 0;; i++)
		;
	return NULL;
}

static void start(void *(*run)(void *), void *ctx)
{
	pthread_t thread;

	need(pthread_create(&thread, NULL, run, ctx) == 0, "pthread_create");
	pthread_detach(thread);
}

static void start_and_say(const char *name, void *(*run)(void *))
{
	char *volatile local = NULL;

	start(run, (void *)&local);
	while (!local)
		usleep(1000);
	say(name, local);
}

static void threads(void)
{
	start_and_say("threads", sleep_thread);
}

static void spin(void)
{
	start_and_say("spin", spin_thread);
}

static void *pair_thread(void *ctx)
{
	volatile uint64_t *first = ctx, *second = first + 64 * MIB / sizeof(*first);

	for (;;) {
		++*first;
		/* Stores are seen in this order. */
		atomic_thread_fence(memory_order_seq_cst);
		++*second;
		atomic_thread_fence(memory_order_seq_cst);
	}
	return NULL;
}

static void pair(void)
{
	char *memory = map_alone(64 * MIB + PAGE);

	memset(memory, 1, 64 * MIB + PAGE);
	pair_memory = memory;
	say("pair", memory);
	say("pair_end", memory + 64 * MIB);
}

static void named(void)
{
	char *memory = map_alone(4 * PAGE);

	fill(memory, 4 * PAGE, "puppet-named-needle ");
	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, 4 * PAGE, "puppet") != 0)
		memory = NULL;
	say("named", memory);
}

static void shared(void)
{
	char *memory = map(4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1);

	fill(memory, PAGE, "puppet-shared-needle ");
	say("shared", memory);
}

static void sysv(void)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
	char *memory = id >= 0 ? shmat(id, NULL, 0) : (void *)-1;

	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	if (memory == (void *)-1)
		memory = NULL;
	else
		fill(memory, PAGE, "puppet-sysv-needle ");
	say("sysv", memory);
}

static void zero(void)
{
	int fd = open("/dev/zero", O_RDWR);
	char *memory;

	need(fd >= 0, "/dev/zero");
	memory = map(4 * PAGE, RW, MAP_PRIVATE, fd);
	fill(memory, PAGE, "puppet-zero-needle ");
	say("zero", memory);
}

static int open_uffd(void)
{
	int device, fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 || (device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)) < 0)
		return fd;
	fd = ioctl(device, _IO(0xAA, 0) /* USERFAULTFD_IOC_NEW */, O_CLOEXEC | O_NONBLOCK);
	close(device);
	return fd;
}

static void uffd(void)
{
	char *memory = map_alone(4 * PAGE);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register area = {
		.range = {(uintptr_t)memory, 4 * PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = open_uffd();

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &area) != 0)
		memory = NULL;
	say("uffd", memory);
}

static void device(void)
{
	/* At the BIOS, the one part of /dev/mem that every kernel lets root map. */
	static const char *const names[] = {
		"/dev/mem", "/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0"};
	void *memory = MAP_FAILED;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && memory == MAP_FAILED; i++) {
		int fd = open(names[i], O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0xf0000);
		if (fd >= 0)
			close(fd);
	}
	say("device", memory == MAP_FAILED ? NULL : memory);
}

static void perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	void *memory = MAP_FAILED;

	if (fd >= 0)
		memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
	say("perf", memory == MAP_FAILED ? NULL : memory);
}

/* Answers one request of FUSE, but never one to read. */
static void answer_fuse(int fd, const struct fuse_in_header *request)
{
	const struct fuse_attr file = {
		.ino = 2, .nlink = 1, .size = 4 * PAGE, .mode = S_IFREG | 0644};
	const struct fuse_attr root = {.ino = 1, .nlink = 2, .mode = S_IFDIR | 0755};
	struct {
		struct fuse_out_header header;
		union {
			struct fuse_init_out init;
			struct fuse_entry_out entry;
			struct fuse_attr_out attr;
			struct fuse_open_out open;
		} body;
	} reply = {.header.unique = request->unique};
	size_t size = 0;

	switch (request->opcode) {
	case FUSE_INIT:
		reply.body.init = (struct fuse_init_out){
			.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = PAGE};
		size = sizeof(reply.body.init);
		break;
	case FUSE_LOOKUP:
		reply.body.entry = (struct fuse_entry_out){.nodeid = 2, .attr = file};
		size = sizeof(reply.body.entry);
		break;
	case FUSE_GETATTR:
		reply.body.attr.attr = request->nodeid == 1 ? root : file;
		size = sizeof(reply.body.attr);
		break;
	case FUSE_OPEN:
		size = sizeof(reply.body.open);
		break;
	case FUSE_READ:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return;
	default:
		reply.header.error = -ENOSYS;
	}
	reply.header.len = (uint32_t)(sizeof(reply.header) + size);
	need(write(fd, &reply, reply.header.len) == reply.header.len, "fuse");
}

static void *fuse_thread(void *ctx)
{
	static _Alignas(8) char request[64 * 1024];
	int fd = *(int *)ctx;

	while (read(fd, request, sizeof(request)) > 0)
		answer_fuse(fd, (const void *)request);
	return NULL;
}

/* In a mount namespace of its own, so that nobody else ever sees it. */
static void fuse(void)
{
	static int fd;
	char options[64], *memory = NULL;
	int file;

	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (fd >= 0 && unshare(CLONE_NEWNS) == 0 &&
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("puppet", "/mnt", "fuse", 0, options) == 0) {
		start(fuse_thread, &fd);
		file = open("/mnt/puppet", O_RDONLY | O_CLOEXEC);
		need(file >= 0, "/mnt/puppet");
		memory = map(4 * PAGE, PROT_READ, MAP_PRIVATE, file);
		close(file);
	}
	say("fuse", memory);
}

static void *churn_thread(void *ctx)
{
	for (unsigned i = 0;; i++) {
		char *memory =
			mmap(NULL, (1 + i % 7) * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			continue;
		memory[0] = 1;
		if (i % 3 == 0)
			mprotect(memory, PAGE, PROT_READ);
		munmap(memory, (1 + i % 7) * PAGE);
	}
	return ctx;
}

static void churn(void)
{
	start(churn_thread, NULL);
	say("churn", NULL);
}

static int end_leader;

static void leader(void)
{
	end_leader = 1;
	say("leader", NULL);
}

static void run_anew(void)
{
	char self[4096] = "";

	need(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0, "/proc/self/exe");
	execl(self, "puppet", "plain", (char *)NULL);
	need(0, "exec");
}

static void touch(void)
{
	for (size_t i = 0; untouched && i < 256 * MIB; i += PAGE)
		untouched[i] = 1;
	printf("touched\n");
	fflush(stdout);
}

static void *obey(void *ctx)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "exec\n") == 0)
			run_anew();
		else if (strcmp(line, "touch\n") == 0)
			touch();
		else if (strcmp(line, "count\n") == 0 && pair_memory)
			start(pair_thread, pair_memory);
		else if (strcmp(line, "leave\n") == 0) {
			start(obey, NULL);
			pthread_exit(NULL);
		} else if (strcmp(line, "exit\n") == 0)
			break;
	}
	_exit(0);
	return ctx;
}

static const struct {
	const char *name;
	void (*make)(void);
} scenarios[] = {
	{"plain", plain},
	{"guard", guard},
	{"adjacent", adjacent},
	{"holes", holes},
	{"huge", huge},
	{"hugetlb", hugetlb},
	{"untouched", make_untouched},
	{"file", file},
	{"private", private},
	{"deleted", deleted},
	{"suffix", suffix},
	{"newline", newline},
	{"sparse", sparse},
	{"noaccess", noaccess},
	{"execonly", execonly},
	{"secret", secret},
	{"threads", threads},
	{"spin", spin},
	{"pair", pair},
	{"named", named},
	{"shared", shared},
	{"sysv", sysv},
	{"zero", zero},
	{"uffd", uffd},
	{"device", device},
	{"perf", perf},
	{"fuse", fuse},
	{"unforked", unforked},
	{"churn", churn},
	{"leader", leader},
};

static void make(const char *name)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		if (strcmp(scenarios[i].name, name) == 0) {
			scenarios[i].make();
			return;
		}
	fprintf(stderr, "puppet: no scenario is called %s\n", name);
	_exit(2);
}

int main(int argc, char **argv)
{
	/* It must not outlive a test that fails. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i < argc; i++)
		make(argv[i]);
	printf("ready\n");
	fflush(stdout);
	if (end_leader) {
		start(obey, NULL);
		pthread_exit(NULL);
	}
	obey(NULL);
	return 0;
}
