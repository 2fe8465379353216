/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MemProcFS backend against a stand-in for the library (tests/vmm/double.c), which misbehaves
 * in ways that the real one cannot be made to; and which host comes of which options. The stand-in
 * lies beside this program.
 */
#include "test.h"

#include "base/mem.h"
#include "core/host.h"
#include "memsift.h"

#include <sys/stat.h>

enum { PID = 40, PAGE = 4096, PATH_ROOM = 1024 };

#define BASE UINT64_C(0x10000)

/* The path of a file beside this program. */
static const char *beside(const char *name)
{
	static char path[PATH_ROOM];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 64);

	check(length > 0);
	path[length] = '\0';
	strcpy(strrchr(path, '/') + 1, name);
	return path;
}

static int open_device(const char *device, ms_host **ret_host)
{
	struct ms_host_options options = {.size = sizeof(options),
		.device = device,
		.memprocfs_path = beside("vmm-double.so")};

	return ms_host_open_with(NULL, &options, ret_host);
}

static void open_source(const char *device, ms_host **ret_host, ms_source **ret_source)
{
	check_ok(open_device(device, ret_host));
	check_ok(ms_source_open(*ret_host, PID, ret_source));
}

static void close_source(ms_host *host, ms_source *source)
{
	ms_source_free(source);
	ms_host_free(host);
}

static void check_error(int actual, int expected, const char *words)
{
	check_that(actual == expected, "%d, not %d: %s", actual, expected, ms_error());
	check_that(strstr(ms_error(), words), "\"%s\" is not in: %s", words, ms_error());
}

/* ---- The library itself --------------------------------------------------------------------- */

static void open_by_path(const char *path, int expected, const char *words)
{
	struct ms_host_options options = {
		.size = sizeof(options), .device = "good", .memprocfs_path = path};
	ms_host *host;

	check_error(ms_host_open_with(NULL, &options, &host), expected, words);
}

static void library_that_is_none(void)
{
	char folder[] = "/tmp/memsift-vmm-XXXXXX", path[64];
	FILE *file;

	check(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/vmm.so", folder);
	open_by_path(path, MS_ERR_NOT_FOUND, "--memprocfs-path");
	open_by_path(folder, MS_ERR_NOT_FOUND, "--memprocfs-path");
	file = fopen(path, "w");
	check(file && fputs("no library at all, but long enough for a header of one: ", file) >= 0);
	check(fputs("0123456789012345678901234567890123456789", file) >= 0 && fclose(file) == 0);
	open_by_path(path, MS_ERR_UNSUPPORTED, "no shared library");
	open_by_path(folder, MS_ERR_UNSUPPORTED, "no shared library");
	open_by_path(beside("vmm-old.so"), MS_ERR_UNSUPPORTED, "VMMDLL_ProcessGetInformationAll");
	check(unlink(path) == 0 && rmdir(folder) == 0);
}

static void library_named_by_the_environment(void)
{
	static const char *const names[] = {
		"MEMSIFT_MEMPROCFS_PATH", "RUST_COLLECTOR_MEMPROCFS_PATH"};
	struct ms_host_options options = {.size = sizeof(options), .device = "good"};

	unsetenv(names[0]);
	for (size_t i = 0; i < 2; i++) {
		ms_host *host;

		setenv(names[i], "/nowhere/at/all", 1);
		check_error(ms_host_open_with(NULL, &options, &host), MS_ERR_NOT_FOUND, names[i]);
		setenv(names[i], beside("vmm-double.so"), 1);
		check_ok(ms_host_open_with(NULL, &options, &host));
		ms_host_free(host);
		unsetenv(names[i]);
	}
}

/* Makes the folder that Python keeps a user's packages in, and a link to the stand-in there. */
static void make_home(const char *home, char ret_folder[PATH_ROOM])
{
	char command[4 * PATH_ROOM];

	snprintf(ret_folder, PATH_ROOM, "%s/.local/lib/python3.99/site-packages/memprocfs", home);
	snprintf(command, sizeof(command), "umask 022; mkdir -p '%s' && cp '%s' '%s/vmm.so'",
		ret_folder, beside("vmm-double.so"), ret_folder);
	check(system(command) == 0);
}

static void library_that_others_could_have_put_there(void)
{
	char home[] = "/tmp/memsift-vmm-XXXXXX", folder[PATH_ROOM], command[128];
	struct ms_host_options options = {.size = sizeof(options), .device = "good"};
	const char *before = getenv("HOME");
	ms_host *host;
	int trusted, open_to_all;

	unsetenv("MEMSIFT_MEMPROCFS_PATH");
	/* What is installed here would be found first. */
	if (ms_host_open_with(NULL, &options, &host) == 0)
		ms_host_free(host);
	if (!strstr(ms_error(), "not installed"))
		skip("MemProcFS is installed on this machine: %s", ms_error());
	check(mkdtemp(home));
	make_home(home, folder);
	setenv("HOME", home, 1);
	trusted = ms_host_open_with(NULL, &options, &host);
	if (trusted == 0)
		ms_host_free(host);
	check(chmod(folder, 0777) == 0);
	open_to_all = ms_host_open_with(NULL, &options, &host);
	check_error(open_to_all, MS_ERR_ACCESS, "left alone");
	check_u64(trusted, 0);
	setenv("HOME", before ? before : "/", 1);
	snprintf(command, sizeof(command), "rm -r '%s'", home);
	check(system(command) == 0);
}

/* ---- Devices -------------------------------------------------------------------------------- */

static void device_that_fails(void)
{
	struct ms_host_options options = {.size = sizeof(options),
		.memprocfs_path = beside("vmm-double.so"),
		.dtb = "0x1000"};
	char long_name[300];
	ms_host *host;

	check_error(open_device("fails", &host), MS_ERR_NOT_FOUND, "DOUBLE: fails will not open");
	check_error(open_device("unrecognised", &host), MS_ERR_FORMAT, "no Windows");
	check_error(ms_host_open_with("vmm:unrecognised", &options, &host), MS_ERR_FORMAT, "--dtb");
	check_error(open_device("version", &host), MS_ERR_UNSUPPORTED, "MemProcFS 4.17");
	check_error(open_device("physical", &host), MS_ERR_FORMAT, "recognises no system");
	check_error(open_device("/nowhere/image", &host), MS_ERR_NOT_FOUND, "/nowhere/image");
	check_error(open_device("file://file=/etc/passwd,write=0", &host), MS_ERR_FORMAT, "16 MiB");
	memset(long_name, 'd', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	check_error(open_device(long_name, &host), MS_ERR_ARGUMENT, "259");
	options.dtb = "many";
	check_error(ms_host_open_with("vmm:good", &options, &host), MS_ERR_ARGUMENT, "--dtb");
	options.dtb = NULL;
	options.memmap = "/nowhere/map";
	check_error(
		ms_host_open_with("vmm:good", &options, &host), MS_ERR_NOT_FOUND, "/nowhere/map");
	options.memmap = NULL;
	options.pagefile = "/nowhere/pagefile";
	check_error(ms_host_open_with("vmm:good", &options, &host), MS_ERR_NOT_FOUND, "--pagefile");
}

static void options_are_passed_on(void)
{
	struct ms_host_options options = {.size = sizeof(options),
		.memprocfs_path = beside("vmm-double.so"),
		.dtb = "0x1000",
		.memmap = "auto",
		.pagefile = "/etc/passwd"};
	const struct ms_process *list;
	ms_host *host;
	size_t count;

	check_ok(ms_host_open_with("vmm:good", &options, &host));
	check_ok(ms_host_processes(host, &list, &count));
	check_u64(count, 1);
	check_text(list[0].cmdline,
		" -device good -disable-python -disable-symbolserver -norefresh -dtb "
		"0x1000 -memmap auto -pagefile0 /etc/passwd");
	check_text(list[0].exe, "C:\\double.exe");
	check_text(list[0].arch, "x86_64");
	check_text(ms_host_backend(host), "memprocfs");
	ms_host_free(host);
}

static void without_a_device(void)
{
	struct ms_host_options options = {
		.size = sizeof(options), .memprocfs_path = beside("vmm-double.so")};
	const struct ms_process *list;
	const struct ms_check *checks;
	ms_host *host;
	size_t count;

	check_ok(ms_host_open_with("vmm", &options, &host));
	check_error(ms_host_processes(host, &list, &count), MS_ERR_ARGUMENT, "vmm:DEVICE");
	check_ok(ms_host_check(host, &checks, &count));
	check(count > 2);
	check_text(checks[1].name, "memprocfs");
	check(checks[1].status == 1 && strstr(checks[1].detail, "vmm-double.so"));
	ms_host_free(host);
	options.memprocfs_path = "/nowhere";
	check_ok(ms_host_open_with("vmm", &options, &host));
	check_ok(ms_host_check(host, &checks, &count));
	check(checks[1].status == -1 && strstr(checks[1].detail, "/nowhere"));
	ms_host_free(host);
}

/* ---- Which backend -------------------------------------------------------------------------- */

static void choose(const char *spec, const char *backend, const char *device, const char *expected)
{
	struct ms_host_options options = {.size = sizeof(options),
		.backend = backend,
		.device = device,
		.memprocfs_path = beside("vmm-double.so")};
	ms_host *host;

	check_ok(ms_host_open_with(spec, &options, &host));
	check_text(ms_host_backend(host), expected);
	check(*ms_host_why(host));
	ms_host_free(host);
}

static void refuse(const char *spec, const char *backend, const char *device, int expected)
{
	struct ms_host_options options = {.size = sizeof(options),
		.backend = backend,
		.device = device,
		.memprocfs_path = beside("vmm-double.so")};
	ms_host *host;
	int r = ms_host_open_with(spec, &options, &host);

	check_that(r == expected, "%d, not %d: %s", r, expected, ms_error());
}

static void backend_that_is_chosen(void)
{
	choose(NULL, NULL, NULL, "native");
	choose(NULL, "auto", NULL, "native");
	choose(NULL, "native", NULL, "native");
	choose(NULL, NULL, "proc", "native");
	choose(NULL, "native", "proc", "native");
	choose("local", "native", NULL, "native");
	choose(NULL, NULL, "good", "memprocfs");
	choose(NULL, "memprocfs", "good", "memprocfs");
	choose("vmm:good", "memprocfs", NULL, "memprocfs");
	choose("raw:/etc/passwd", NULL, NULL, "file");
	refuse(NULL, "memprocfs", NULL, MS_ERR_UNSUPPORTED);
	refuse(NULL, "memprocfs", "proc", MS_ERR_UNSUPPORTED);
	refuse(NULL, "native", "good", MS_ERR_ARGUMENT);
	refuse(NULL, "other", NULL, MS_ERR_ARGUMENT);
	refuse("vmm:good", "native", NULL, MS_ERR_ARGUMENT);
	refuse("local", "memprocfs", NULL, MS_ERR_ARGUMENT);
	refuse("vmm:good", NULL, "good", MS_ERR_ARGUMENT);
	/* A device that was named and fails is never another machine. */
	refuse(NULL, "auto", "fails", MS_ERR_NOT_FOUND);
}

/* A plugin of that name makes LeechCore's the device. */
static void plugin_for_proc(void)
{
	char folder[] = "/tmp/memsift-vmm-XXXXXX", command[2 * PATH_ROOM], library[64];
	struct ms_host_options options = {
		.size = sizeof(options), .device = "proc", .memprocfs_path = library};
	ms_host *host;
	int r;

	check(mkdtemp(folder));
	snprintf(library, sizeof(library), "%s/vmm.so", folder);
	snprintf(command, sizeof(command), "cp '%s' %s && touch %s/leechcore_device_proc.so",
		beside("vmm-double.so"), library, folder);
	check(system(command) == 0);
	r = ms_host_open_with(NULL, &options, &host);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	check(system(command) == 0);
	check_ok(r);
	check_text(ms_host_backend(host), "memprocfs");
	check_text(ms_host_name(host), "proc");
	ms_host_free(host);
}

/* ---- Processes ------------------------------------------------------------------------------ */

static void process_lists_that_lie(void)
{
	const struct ms_process *list;
	ms_host *host;
	size_t count;

	check_ok(open_device("process count", &host));
	check_error(ms_host_processes(host, &list, &count), MS_ERR_FORMAT, "2147483647");
	ms_host_free(host);
	check_ok(open_device("process version", &host));
	check_error(ms_host_processes(host, &list, &count), MS_ERR_UNSUPPORTED, "version 8");
	ms_host_free(host);
	check_ok(open_device("names", &host));
	check_ok(ms_host_processes(host, &list, &count));
	check_u64(count, 1);
	check_u64(strlen(list[0].name), 64);
	check((unsigned char)list[0].name[63] == 0xfe && strlen(list[0].user) == 260);
	check(!list[0].cmdline && !list[0].exe);
	ms_host_free(host);
}

static void processes_that_end(void)
{
	ms_host *host;
	ms_source *source;

	check_ok(open_device("ended", &host));
	check_error(ms_source_open(host, PID, &source), MS_ERR_GONE, "has ended");
	ms_host_free(host);
	check_ok(open_device("unknown", &host));
	check_error(ms_source_open(host, PID, &source), MS_ERR_GONE, "has ended");
	ms_host_free(host);
	check_ok(open_device("recycled", &host));
	check_error(ms_source_open(host, PID, &source), MS_ERR_GONE, "another process");
	ms_host_free(host);
	check_ok(open_device("good", &host));
	check_error(ms_source_open(host, PID + 1, &source), MS_ERR_NOT_FOUND, "41");
	ms_host_free(host);
}

/* Lists of a device that stands still are asked for once, others each time. */
static void lists_are_kept(void)
{
	const struct ms_process *list;
	ms_host *host;
	size_t count;

	check_ok(open_device("volatile", &host));
	for (uint32_t i = 1; i <= 3; i++) {
		check_ok(ms_host_processes(host, &list, &count));
		check_u64(count, 2);
		check_u64(list[1].pid, PID + i);
	}
	ms_host_free(host);
}

/* ---- Maps ----------------------------------------------------------------------------------- */

static void check_sound(const struct ms_region *list, size_t count)
{
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		check(list[i].base >= end && list[i].size);
		check(list[i].base % PAGE == 0 && list[i].size % PAGE == 0);
		check(add_u64(list[i].base, list[i].size, &end));
		check(list[i].resident <= list[i].size);
	}
}

static void maps_that_lie(void)
{
	static const struct {
		const char *device;
		int status;
		const char *words;
	} cases[] = {
		{"page count", MS_ERR_FORMAT, "4294967295 entries"},
		{"vad count", MS_ERR_FORMAT, "1008 entries"},
		{"page version", MS_ERR_UNSUPPORTED, "page map of version 3"},
		{"vad version", MS_ERR_UNSUPPORTED, "VAD map of version 7"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct ms_region *list;
		ms_source *source;
		ms_host *host;
		size_t count;

		open_source(cases[i].device, &host, &source);
		check_error(
			ms_source_regions(source, &list, &count), cases[i].status, cases[i].words);
		close_source(host, source);
	}
}

static void addresses_that_lie(void)
{
	const struct ms_region *list;
	ms_source *source;
	ms_host *host;
	size_t count, got;
	char byte;

	open_source("addresses", &host, &source);
	check_ok(ms_source_regions(source, &list, &count));
	check(count > 0);
	check_sound(list, count);
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = 0; at < list[i].size; at += PAGE)
			check_ok(ms_source_read(source, list[i].base + at, &byte, 1, &got, NULL));
	close_source(host, source);
}

static void without_vads(void)
{
	const struct ms_region *list;
	ms_source *source;
	ms_host *host;
	size_t count;

	open_source("no vads", &host, &source);
	check_ok(ms_source_regions(source, &list, &count));
	check_sound(list, count);
	check(count == 1 && list[0].base == BASE && list[0].size == 8 * 0x10000);
	close_source(host, source);
}

static void names_that_are_none(void)
{
	const struct ms_region *list;
	ms_source *source;
	ms_host *host;
	size_t count;

	open_source("names", &host, &source);
	check_ok(ms_source_regions(source, &list, &count));
	check_u64(count, 8);
	check_text(list[0].path, "\\\xff\xfe\x80.bin");
	for (size_t i = 1; i < count; i++)
		check_text(list[i].path, "");
	close_source(host, source);
	open_source("good", &host, &source);
	check_ok(ms_source_regions(source, &list, &count));
	check_text(list[2].path, "\\Temp\\file.bin");
	check_text(ms_kind_name(list[1].kind), "stack");
	check_text(ms_kind_name(list[3].kind), "heap");
	check_text(ms_kind_name(list[2].kind), "mapped");
	close_source(host, source);
}

static void modules_that_lie(void)
{
	const struct ms_module *list;
	ms_source *source;
	ms_host *host;
	size_t count;

	open_source("good", &host, &source);
	check_ok(ms_source_modules(source, &list, &count));
	check_u64(count, 3);
	check_u64(list[0].base, BASE);
	check_u64(list[1].base, BASE + 0x20000);
	check_u64(list[1].size, 0x10000);
	check_text(list[1].name, "liar.dll");
	check_text(list[2].name, "nowhere.dll");
	for (size_t i = 0; i < count; i++)
		check_text(list[i].version, "");
	close_source(host, source);
	open_source("module count", &host, &source);
	check_error(ms_source_modules(source, &list, &count), MS_ERR_FORMAT, "module map");
	close_source(host, source);
	open_source("module version", &host, &source);
	check_error(ms_source_modules(source, &list, &count), MS_ERR_UNSUPPORTED, "module map");
	close_source(host, source);
	open_source("no modules", &host, &source);
	check_ok(ms_source_modules(source, &list, &count));
	check_u64(count, 0);
	close_source(host, source);
}

static void threads_that_are_known(void)
{
	const struct ms_thread *list;
	ms_source *source;
	ms_host *host;
	size_t count;

	open_source("good", &host, &source);
	check_ok(ms_source_threads(source, &list, &count));
	check_u64(count, 1);
	check(list[0].tid == 41 && list[0].stack_pointer == BASE + 0x1f000);
	close_source(host, source);
	open_source("thread count", &host, &source);
	check_error(ms_source_threads(source, &list, &count), MS_ERR_FORMAT, "thread map");
	close_source(host, source);
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* The stand-in's rule of which pages are there. */
static bool is_here(uint64_t address)
{
	return (address >> 12) * 7 % 3 != 0;
}

static void holes_are_never_zeros(void)
{
	static uint8_t buf[16 * PAGE];
	ms_source *source;
	ms_host *host;

	open_source("good", &host, &source);
	for (uint64_t at = BASE + 0x10000; at < BASE + 0x20000; at += 777) {
		size_t size = sizeof(buf), got = 0;

		memset(buf, 0xee, sizeof(buf));
		check_ok(ms_source_read(source, at, buf, size, &got, NULL));
		check(got <= size);
		for (size_t i = 0; i < got; i++)
			check_that(is_here(at + i) && buf[i] == (uint8_t)((at + i) >> 12),
				"byte %zu behind 0x%llx", i, (unsigned long long)at);
		check_that(got == size || !is_here(at + got), "0x%llx: only %zu bytes",
			(unsigned long long)at, got);
	}
	close_source(host, source);
}

struct tally {
	uint64_t read, unreadable;
	size_t gaps;
};

static int tally_record(void *ctx, const struct ms_record *record)
{
	struct tally *tally = ctx;

	if (record->schema != &ms_schema_coverage)
		return 0;
	tally->read = record->values[5].v.u;
	tally->unreadable = record->values[6].v.u;
	tally->gaps = record->values[9].size;
	return 0;
}

static void holes_are_accounted_for(void)
{
	const struct ms_arg arg = {"text", "never there"};
	struct tally tally = {0};
	struct ms_scan scan = {.size = sizeof(scan),
		.job = {.size = sizeof(scan.job), .threads = 3},
		.sink = {tally_record, &tally}};
	struct ms_total total;
	ms_engine *engine;
	ms_source *source;
	ms_host *host;
	uint64_t expected = 0;

	for (uint64_t at = BASE; at < BASE + 8 * 0x10000; at += PAGE)
		expected += is_here(at) ? PAGE : 0;
	open_source("no vads", &host, &source);
	check_ok(ms_engine_new("bytes", &arg, 1, &engine));
	scan.engine = engine;
	check_ok(ms_scan_source(source, &scan, &total));
	check_u64(tally.read, expected);
	check_u64(tally.read + tally.unreadable, 8 * 0x10000);
	check(total.partial && tally.gaps > 40);
	ms_engine_free(engine);
	close_source(host, source);
}

/* What takes a look at each page of it does not end. */
static void sections_without_end(void)
{
	const struct ms_arg arg = {"text", "never there"};
	struct tally tally = {0};
	struct ms_scan scan = {.size = sizeof(scan), .sink = {tally_record, &tally}};
	const struct ms_region *list;
	struct ms_total total;
	ms_engine *engine;
	ms_source *source;
	ms_host *host;
	size_t count;

	open_source("huge", &host, &source);
	check_ok(ms_source_regions(source, &list, &count));
	check(count > 0 && list[count - 1].size > UINT64_C(1) << 46);
	scan.job.size = sizeof(scan.job);
	check_ok(ms_engine_new("bytes", &arg, 1, &engine));
	scan.engine = engine;
	check_ok(ms_scan_source(source, &scan, &total));
	check_u64(total.targets, 1);
	ms_engine_free(engine);
	close_source(host, source);
}

static const struct test tests[] = {
	{"library that is none", library_that_is_none},
	{"library named by the environment", library_named_by_the_environment},
	{"library that others could have put there", library_that_others_could_have_put_there},
	{"device that fails", device_that_fails},
	{"options are passed on", options_are_passed_on},
	{"without a device", without_a_device},
	{"backend that is chosen", backend_that_is_chosen},
	{"plugin for proc", plugin_for_proc},
	{"process lists that lie", process_lists_that_lie},
	{"processes that end", processes_that_end},
	{"lists are kept", lists_are_kept},
	{"maps that lie", maps_that_lie},
	{"addresses that lie", addresses_that_lie},
	{"without VADs", without_vads},
	{"names that are none", names_that_are_none},
	{"modules that lie", modules_that_lie},
	{"threads that are known", threads_that_are_known},
	{"holes are never zeros", holes_are_never_zeros},
	{"holes are accounted for", holes_are_accounted_for},
	{"sections without end", sections_without_end},
};

TEST_MAIN(tests)
