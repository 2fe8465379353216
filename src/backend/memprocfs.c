/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another machine's memory through MemProcFS: a dump of all of it, a device that reads it, a
 * virtual machine. "vmm:DEVICE" opens one; "vmm" alone opens none and only tells, by its checks,
 * what is installed.
 *
 * The library starts with any page table it is told to, even one that is none, and says nothing of
 * why a device did not open. So a page table of the user's is tried out before it is believed, and
 * a device that failed is opened once more by LeechCore alone, which prints its reason.
 */
#include "backend/memprocfs.h"

#include "backend/backends.h"
#include "backend/memprocfs_check.h"
#include "base/err.h"

#include <stdarg.h>

enum {
	DEVICE_MAX = 259, /* what LeechCore keeps of it; it cuts the rest off silently */
	FILE_MIN = 16 * 1024 * 1024,
	ARGUMENTS_MAX = 16,
	PROCESSES_MAX = 1 << 20,
	TRY_PAGES = 64,
	SAID_MAX = 400,
};

#define REFRESH_NS UINT64_C(1000000000)

/* ---- Why a device did not open -------------------------------------------------------------- */

/* LeechCore prints by a function without a context; it does so on the thread that opens. */
static _Thread_local char said[SAID_MAX];

static int listen_to(const char *format, ...)
{
	size_t used = strlen(said);
	va_list args;
	int r;

	va_start(args, format);
	r = vsnprintf(said + used, sizeof(said) - used, format, args);
	va_end(args);
	return r;
}

/* The lines that were said, as one. */
static const char *what_was_said(void)
{
	size_t kept = 0;

	for (size_t i = 0; said[i]; i++)
		if (said[i] != '\n' && said[i] != '\r')
			said[kept++] = said[i];
		else if (kept && said[kept - 1] != ' ')
			said[kept++] = ' ';
	while (kept && said[kept - 1] == ' ')
		kept--;
	said[kept] = '\0';
	return said;
}

/* Opens and closes the device without looking for a system in it. */
static bool device_opens(const struct vmm_api *api, const char *device)
{
	struct lc_config config = {
		.version = VMM_LC_CONFIG_VERSION, .verbosity = 1, .print = listen_to};
	void *leechcore;

	said[0] = '\0';
	if (!api->lc_create || !api->lc_close)
		return false;
	snprintf(config.device, sizeof(config.device), "%s", device);
	leechcore = api->lc_create(&config);
	if (!leechcore)
		return false;
	api->lc_close(leechcore);
	return true;
}

/* The path in "FILE", "file://FILE" and "file://file=FILE,write=0"; NULL for other devices. */
static bool device_path(const char *device, char ret_path[DEVICE_MAX + 1])
{
	bool is_file = strncmp(device, "file://", 7) == 0;

	if (is_file)
		device += 7;
	if (is_file && strncmp(device, "file=", 5) == 0) {
		device += 5;
		snprintf(ret_path, DEVICE_MAX + 1, "%.*s", (int)strcspn(device, ","), device);
		return true;
	}
	snprintf(ret_path, DEVICE_MAX + 1, "%s", device);
	return is_file || (strchr(device, '/') && !strstr(device, "://"));
}

/* What is wrong with a file can be said before the library keeps silent about it. */
static int check_file(const char *device)
{
	char path[DEVICE_MAX + 1];
	uint64_t size = 0;
	int fd, r;

	if (!device_path(device, path))
		return 0;
	r = os_file_open(path, &fd, &size);
	if (r < 0)
		return r;
	close(fd);
	if (size < FILE_MIN)
		return err_set(MS_ERR_FORMAT,
			"%s has only %llu bytes: MemProcFS takes images of physical memory, of at "
			"least "
			"16 MiB",
			path, (unsigned long long)size);
	return 0;
}

static int explain_device(const struct vmm_host *vh)
{
	static const struct {
		const char *name, *remedy;
	} known[] = {
		{"fpga", "is the board plugged in, and its driver (FT601) beside LeechCore's "
			 "library?"},
		{"rawudp", "is the board reachable?"},
		{"pmem", "it is the driver WinPMEM, which exists on Windows only; on macOS and "
			 "Linux "
			 "--backend native reads the processes of this machine"},
		{"proc", "LeechCore has no device of that name unless a plugin adds it; --backend "
			 "native "
			 "reads the processes of this machine"},
		{"vmware", "it exists on Windows only"},
		{"qemu", "it needs the guest's shared memory file and a QMP socket"},
	};
	const char *remedy = "is the device there, and may this user open it? Some need root";

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strncmp(vh->device, known[i].name, strlen(known[i].name)) == 0)
			remedy = known[i].remedy;
	return err_set(MS_ERR_NOT_FOUND, "LeechCore cannot open the device %s%s%s; %s", vh->device,
		*what_was_said() ? ": " : "", what_was_said(), remedy);
}

static int explain_start(const struct vmm_host *vh, const struct ms_host_options *options)
{
	if (!device_opens(&vh->library.api, vh->device))
		return explain_device(vh);
	if (options->dtb || options->memmap || options->pagefile)
		return err_set(MS_ERR_FORMAT,
			"%s opens, but MemProcFS cannot make sense of it with what --dtb, --memmap "
			"and "
			"--pagefile say; check them",
			vh->device);
	return err_set(MS_ERR_FORMAT,
		"%s opens, but MemProcFS finds no Windows in it: the image is damaged or cut "
		"short, in "
		"another format, or of another system; of any x86-64 system, --dtb ADDRESS (the "
		"CR3 of "
		"a process) shows one address space",
		vh->device);
}

/* ---- Opening --------------------------------------------------------------------------------- */

struct arguments {
	const char *list[ARGUMENTS_MAX];
	uint32_t count;
};

static void argue(struct arguments *arguments, const char *name, const char *value)
{
	if (!value)
		return;
	arguments->list[arguments->count++] = name;
	if (*value)
		arguments->list[arguments->count++] = value;
}

static int start(struct vmm_host *vh, const struct ms_host_options *options)
{
	/* The first word must be empty: the library would take a program's name for an option. */
	struct arguments arguments = {{""}, 1};

	argue(&arguments, "-device", vh->device);
	argue(&arguments, "-disable-python", "");
	/* Symbols would be downloaded. */
	argue(&arguments, "-disable-symbolserver", "");
	/* What changes is read anew when memsift asks for it, not in the middle of a job. */
	argue(&arguments, "-norefresh", "");
	argue(&arguments, "-dtb", options->dtb);
	argue(&arguments, "-memmap", options->memmap);
	argue(&arguments, "-pagefile0", options->pagefile);
	vh->vmm = vh->library.api.initialize(arguments.count, arguments.list);
	return vh->vmm ? 0 : explain_start(vh, options);
}

static uint64_t setting(const struct vmm_host *vh, uint64_t option)
{
	uint64_t value = 0;

	return vh->library.api.config_get(vh->vmm, option, &value) ? value : 0;
}

static bool changes(const struct vmm_host *vh)
{
	void *leechcore = (void *)(uintptr_t)setting(vh, VMM_OPT_LEECHCORE);
	uint64_t value = 0;

	/* What does not say that it stands still may change. */
	if (!leechcore || !vh->library.api.lc_option ||
		!vh->library.api.lc_option(leechcore, LC_OPT_VOLATILE, &value))
		return true;
	return value != 0;
}

static int look_around(struct vmm_host *vh)
{
	static const uint64_t numbers[3] = {
		VMM_OPT_VERSION_MAJOR, VMM_OPT_VERSION_MINOR, VMM_OPT_VERSION_REVISION};

	for (size_t i = 0; i < 3; i++)
		vh->version[i] = setting(vh, numbers[i]);
	if (vh->version[0] != VMM_MAJOR)
		return err_set(MS_ERR_UNSUPPORTED,
			"%s is MemProcFS %llu.%llu, and memsift knows version 5; install one (pip "
			"install "
			"memprocfs)",
			vh->library.path, (unsigned long long)vh->version[0],
			(unsigned long long)vh->version[1]);
	vh->system = setting(vh, VMM_OPT_SYSTEM);
	vh->model = setting(vh, VMM_OPT_MEMORY_MODEL);
	vh->windows = vh->system == VMM_SYSTEM_WINDOWS_64 || vh->system == VMM_SYSTEM_WINDOWS_32;
	vh->is_volatile = changes(vh);
	if (vh->system == VMM_SYSTEM_PHYSICAL)
		return err_set(MS_ERR_FORMAT,
			"%s opens, but MemProcFS recognises no system in it; --dtb ADDRESS (the "
			"CR3 of a "
			"process) shows one address space of any x86-64 system",
			vh->device);
	return 0;
}

/* Whether any of the first pages that a process's tables speak of can be read. */
static bool pages_are_there(struct vmm_host *vh, const struct vmm_maps *maps, uint32_t pid)
{
	uint8_t page[VMM_PAGE];
	size_t tried = 0;

	for (size_t i = 0; i < maps->runs.count && tried < TRY_PAGES; i++)
		for (uint64_t at = 0; at < maps->runs.data[i].size && tried < TRY_PAGES; tried++) {
			bool good = false;

			vmm_read_pages(vh, pid, maps->runs.data[i].base + at, page, 1, &good);
			if (good)
				return true;
			at += VMM_PAGE;
		}
	return false;
}

/* The library believes any --dtb; there must be tables, and pages behind them. */
static int check_dtb(struct ms_host *host, const char *dtb)
{
	struct vmm_host *vh = host->priv;
	const struct ms_process *list = NULL;
	struct vmm_maps maps = {0};
	bool good = false;
	size_t count;
	int r = ms_host_processes(host, &list, &count);

	if (r == 0 && count)
		r = vmm_maps_fetch(vh, list[0].pid, true, &maps);
	if (r == 0 && count)
		good = pages_are_there(vh, &maps, list[0].pid);
	vmm_maps_done(&maps);
	if (r < 0 || good)
		return r;
	return err_set(MS_ERR_FORMAT,
		"there are no page tables at --dtb %s in %s: it must be the physical address in "
		"the CR3 of "
		"a process, as that system's crash tools show it",
		dtb, vh->device);
}

static int check_options(const struct ms_host_options *options, const char *device)
{
	uint64_t dtb;

	if (strlen(device) > DEVICE_MAX)
		return err_set(MS_ERR_ARGUMENT,
			"the name of the device is longer than the %d bytes that LeechCore takes; "
			"use a "
			"shorter path",
			DEVICE_MAX);
	if (options->dtb && ms_parse_number("--dtb", options->dtb, &dtb) < 0)
		return MS_ERR_ARGUMENT;
	for (size_t i = 0; i < 2; i++) {
		const char *path = i ? options->pagefile : options->memmap;

		if (path && (i || strcmp(path, "auto") != 0) && !os_file_is_regular(path))
			return err_set(MS_ERR_NOT_FOUND, "%s %s: there is no such file",
				i ? "--pagefile" : "--memmap", path);
	}
	return check_file(device);
}

static int open_device(struct ms_host *host, const struct ms_host_options *options)
{
	struct vmm_host *vh = host->priv;
	int r = check_options(options, vh->device);

	vh->has_page_file = options->pagefile;
	if (r == 0)
		r = vmm_library_open(vh->library_path, &vh->library, &vh->search);
	if (r == 0)
		r = start(vh, options);
	if (r == 0)
		r = look_around(vh);
	if (r == 0 && !vh->windows)
		r = check_dtb(host, options->dtb ? options->dtb : "(none given)");
	return r;
}

static int vmm_open(struct ms_host *host, const char *spec)
{
	static const struct ms_host_options none = {.size = sizeof(none)};
	const struct ms_host_options *options = host->options ? host->options : &none;
	struct vmm_host *vh = host->priv;

	pthread_mutex_init(&vh->lock, NULL);
	if (options->memprocfs_path && !(vh->library_path = strdup(options->memprocfs_path)))
		return err_nomem();
	if (strcmp(spec, "vmm") == 0 || strcmp(spec, "vmm:") == 0)
		return 0;
	vh->device = strdup(spec);
	return vh->device ? open_device(host, options) : err_nomem();
}

static void vmm_close(struct ms_host *host)
{
	struct vmm_host *vh = host->priv;

	if (vh->vmm)
		vh->library.api.close(vh->vmm);
	vmm_library_close(&vh->library);
	vmm_search_done(&vh->search);
	free(vh->processes.items.data);
	arena_done(&vh->processes.strings);
	free(vh->library_path);
	free(vh->device);
	pthread_mutex_destroy(&vh->lock);
}

void vmm_refresh(struct vmm_host *vh, uint64_t option)
{
	uint64_t now = os_clock_ns();
	bool due;

	if (!vh->is_volatile)
		return;
	pthread_mutex_lock(&vh->lock);
	due = !vh->refreshed_ns || now - vh->refreshed_ns > REFRESH_NS ||
	      option == VMM_OPT_REFRESH_PROCESSES;
	if (due)
		vh->refreshed_ns = now;
	pthread_mutex_unlock(&vh->lock);
	if (!due)
		return;
	vh->library.api.config_set(vh->vmm, VMM_OPT_REFRESH_MEMORY, 1);
	vh->library.api.config_set(vh->vmm, VMM_OPT_REFRESH_TLB, 1);
	if (option == VMM_OPT_REFRESH_PROCESSES)
		vh->library.api.config_set(vh->vmm, option, 1);
}

/* ---- Processes ------------------------------------------------------------------------------- */

/* A string of the library's own; NULL where there is none, or on no memory. */
static const char *process_string(
	struct vmm_host *vh, uint32_t pid, uint32_t what, struct arena *strings)
{
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	const char *text;

	vmm_block_init(
		&block, &vh->library.api, vh->library.api.process_string(vh->vmm, pid, what));
	text = vmm_block_text(&block, block.data);
	return *text ? arena_string(strings, text) : NULL;
}

static const char *arch_of(const struct vmm_process *p)
{
	static const char *const names[] = {
		[VMM_MODEL_X86] = "i386",
		[VMM_MODEL_X86PAE] = "i386",
		[VMM_MODEL_X64] = "x86_64",
		[VMM_MODEL_ARM64] = "aarch64",
	};

	/* A 32-bit program of a 64-bit Windows has 64-bit code in its address space as well. */
	return p->model < ARRAY_SIZE(names) ? names[p->model] : NULL;
}

static bool is_service_account(const char *sid)
{
	return strcmp(sid, "S-1-5-18") == 0 || strcmp(sid, "S-1-5-19") == 0 ||
	       strcmp(sid, "S-1-5-20") == 0;
}

static int add_process(struct vmm_host *vh, const struct vmm_process *p, struct process_list *out)
{
	struct arena *strings = &out->strings;
	char name[sizeof(p->long_name) + 1], sid[sizeof(p->sid) + 1];
	struct ms_process process = {
		.pid = p->pid,
		.ppid = p->ppid,
		.start_id = p->eprocess,
		.arch = arch_of(p),
	};
	/* Registry, Memory Compression and System, which have memory nevertheless. */
	bool minimal = vh->windows && !p->peb;

	snprintf(name, sizeof(name), "%.*s", (int)sizeof(p->long_name), p->long_name);
	if (!name[0])
		snprintf(name, sizeof(name), "%.*s", (int)sizeof(p->name), p->name);
	snprintf(sid, sizeof(sid), "%.*s", (int)sizeof(p->sid), p->sid);
	process.system = minimal || is_service_account(sid);
	process.name = arena_string(strings, name);
	process.user = sid[0] ? arena_string(strings, sid) : NULL;
	process.exe = process_string(vh, p->pid, VMM_STRING_USER_PATH, strings);
	if (!process.exe)
		process.exe = process_string(vh, p->pid, VMM_STRING_KERNEL_PATH, strings);
	process.cmdline = process_string(vh, p->pid, VMM_STRING_COMMAND_LINE, strings);
	if (!process.name || !vec_push(&out->items, process))
		return err_nomem();
	return 0;
}

static int list_processes(struct vmm_host *vh, struct process_list *out)
{
	const struct vmm_api *api = &vh->library.api;
	CLEANUP(vmm_block_done) struct vmm_block block = {0};
	struct vmm_process *list = NULL;
	uint32_t count = 0;
	int r = 0;

	vmm_refresh(vh, VMM_OPT_REFRESH_PROCESSES);
	if (!api->processes(vh->vmm, &list, &count))
		return err_set(MS_ERR_IO, "MemProcFS lists no processes of %s", vh->device);
	vmm_block_init(&block, api, list);
	if (count > PROCESSES_MAX || block.size / sizeof(*list) < count)
		return err_set(MS_ERR_FORMAT,
			"MemProcFS gave a process list that says it has %u entries in %zu bytes",
			count, block.size);
	for (uint32_t i = 0; i < count && r == 0; i++) {
		if (list[i].magic != VMM_PROCESS_MAGIC || list[i].version != VMM_PROCESS_VERSION)
			return err_set(MS_ERR_UNSUPPORTED,
				"MemProcFS gave a process of version %u, and memsift knows version "
				"%d",
				list[i].version, VMM_PROCESS_VERSION);
		/* Those that ended are still in the list, without memory. */
		if (list[i].state == 0 && list[i].pid)
			r = add_process(vh, &list[i], out);
	}
	return r;
}

static int copy_processes(const struct process_list *from, struct process_list *out)
{
	for (size_t i = 0; i < from->items.count; i++)
		if (!process_list_add(out, &from->items.data[i]))
			return err_nomem();
	return 0;
}

static int vmm_processes(struct ms_host *host, struct process_list *out)
{
	struct vmm_host *vh = host->priv;
	int r;

	if (!vh->vmm)
		return err_set(MS_ERR_ARGUMENT,
			"no device is named: write vmm:DEVICE, such as vmm:memory.dmp or vmm:fpga");
	if (vh->is_volatile)
		return list_processes(vh, out);
	if (!vh->listed) {
		r = list_processes(vh, &vh->processes);
		if (r < 0)
			return r;
		vh->listed = true;
	}
	return copy_processes(&vh->processes, out);
}

/* ---- Before there is a host -------------------------------------------------------------------
 */

bool memprocfs_is_installed(const struct ms_host_options *options)
{
	struct vmm_library library;

	if (vmm_library_open(options->memprocfs_path, &library, NULL) < 0)
		return false;
	vmm_library_close(&library);
	return true;
}

bool memprocfs_has_plugin(const struct ms_host_options *options, const char *device)
{
	struct vmm_library library;
	bool has;

	if (vmm_library_open(options->memprocfs_path, &library, NULL) < 0)
		return false;
	has = vmm_library_has_plugin(&library, device);
	vmm_library_close(&library);
	return has;
}

/* ---- One process ----------------------------------------------------------------------------- */

static int vmm_attach(struct ms_host *host, struct ms_source *src)
{
	struct vmm_host *vh = host->priv;
	struct vmm_source *vs = src->priv;
	struct vmm_process now = {.magic = VMM_PROCESS_MAGIC, .version = VMM_PROCESS_VERSION};
	size_t size = sizeof(now);

	pthread_rwlock_init(&vs->lock, NULL);
	vs->pid = src->process.pid;
	src->page_size = VMM_PAGE;
	/* The tables say that it is there: the image lacks it, or the device cannot reach it. */
	src->unread = MS_STATE_IO_ERROR;
	if (!vh->library.api.process(vh->vmm, vs->pid, &now, &size) || now.state != 0)
		return err_set(MS_ERR_GONE, "pid %u (%s) has ended, and its memory was given back",
			vs->pid, src->process.name);
	if (now.eprocess != src->process.start_id)
		return err_set(MS_ERR_GONE,
			"pid %u has passed to another process since it was listed", vs->pid);
	vs->peb = now.peb;
	vs->tables = now.dtb;
	/* The kernel's half is the same in all; it is listed once, with the process named System.
	 */
	vs->kernel = !vh->windows || vs->pid == 4;
	return 0;
}

static void vmm_detach(struct ms_source *src)
{
	vmm_maps_done(&vmm_of(src)->maps);
	pthread_rwlock_destroy(&vmm_of(src)->lock);
}

static const struct ms_source_ops memprocfs_source = {
	.priv_size = sizeof(struct vmm_source),
	.close = vmm_detach,
	.regions = vmm_regions,
	.read = vmm_read,
	.modules = vmm_modules,
	.threads = vmm_threads,
	.resident = vmm_resident,
};

const struct ms_host_ops memprocfs_host = {
	.scheme = "vmm",
	.summary = "physical memory of a Windows machine, through MemProcFS",
	.priv_size = sizeof(struct vmm_host),
	.open = vmm_open,
	.close = vmm_close,
	.processes = vmm_processes,
	.attach = vmm_attach,
	.check = vmm_check,
	.source = &memprocfs_source,
};
