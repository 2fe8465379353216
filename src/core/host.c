/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening hosts: which backend a spec belongs to, and the lists a host keeps for its callers.
 */
#include "core/host.h"

#include "backend/backends.h"
#include "base/err.h"
#include "base/os.h"
#include "core/unpack.h"

int host_new(const struct ms_host_ops *ops, const char *name, struct ms_host **ret_host)
{
	struct ms_host *host = calloc(1, sizeof(*host));

	if (!host)
		return err_nomem();
	host->ops = ops;
	host->unpacked = -1;
	host->name = strdup(name);
	host->priv = calloc(1, ops->priv_size ? ops->priv_size : 1);
	if (!host->name || !host->priv) {
		free(host->name);
		free(host->priv);
		free(host);
		return err_nomem();
	}
	*ret_host = host;
	return 0;
}

static void process_list_done(struct process_list *list)
{
	free(list->items.data);
	arena_done(&list->strings);
	*list = (struct process_list){0};
}

void ms_host_free(ms_host *host)
{
	if (!host)
		return;
	if (host->ops->close)
		host->ops->close(host);
	process_list_done(&host->processes);
	free(host->selected.data);
	free(host->checks.items.data);
	arena_done(&host->checks.strings);
	free(host->priv);
	free(host->name);
	free(host->why);
	free(host);
}

int host_file_open(const struct ms_host *host, const char *path, int *ret_fd, uint64_t *ret_size)
{
	if (host->unpacked < 0)
		return os_file_open(path, ret_fd, ret_size);
	*ret_size = os_file_size(host->unpacked);
	return os_descriptor_copy(host->unpacked, ret_fd);
}

static int open_as(const struct ms_host_ops *ops, const char *spec,
	const struct ms_host_options *options, int unpacked, ms_host **ret_host)
{
	ms_host *host = NULL;
	int r = host_new(ops, spec, &host);

	if (r < 0)
		return r;
	host->options = options;
	host->unpacked = unpacked;
	r = ops->open(host, spec);
	host->options = NULL;
	host->unpacked = -1;
	if (r < 0) {
		ms_host_free(host);
		return r;
	}
	*ret_host = host;
	return 0;
}

/* "scheme:rest" names a backend outright; a bare scheme does where the backend is no file. */
static const char *scheme_match(const struct ms_host_ops *ops, const char *spec)
{
	size_t length = strlen(ops->scheme);

	if (strncmp(spec, ops->scheme, length) != 0)
		return NULL;
	if (spec[length] == ':')
		return spec + length + 1;
	return spec[length] == '\0' && !ops->is_file ? spec + length : NULL;
}

static int open_named(const struct ms_host_ops *ops, const char *spec,
	const struct ms_host_options *options, ms_host **ret_host)
{
	AUTO_CLOSE int unpacked = -1;
	int r = ops->is_file ? unpack_file(spec, options, &unpacked) : 0;

	if (r == 0)
		r = open_as(ops, spec, options, unpacked, ret_host);
	if (r == HOST_NOT_MINE)
		return err_set(MS_ERR_FORMAT, "%s is not what the scheme \"%s:\" says it is", spec,
			ops->scheme);
	return r;
}

static int open_file(const char *spec, const struct ms_host_options *options, ms_host **ret_host)
{
	AUTO_CLOSE int unpacked = -1;
	int r = unpack_file(spec, options, &unpacked);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (!backends[i]->is_file)
			continue;
		r = open_as(backends[i], spec, options, unpacked, ret_host);
		if (r != HOST_NOT_MINE)
			return r;
	}
	return err_set(MS_ERR_FORMAT, "%s is of no kind that memsift knows", spec);
}

static int open_spec(const char *spec, const struct ms_host_options *options, ms_host **ret_host)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		const char *rest = scheme_match(backends[i], spec);

		if (rest)
			return open_named(backends[i], *rest ? rest : spec, options, ret_host);
	}
	return open_file(spec, options, ret_host);
}

int ms_host_open(const char *spec, ms_host **ret_host)
{
	return ms_host_open_with(spec, NULL, ret_host);
}

/* ---- Which backend ------------------------------------------------------------------------ */

#ifdef HAVE_MEMPROCFS
static bool is_memprocfs(const struct ms_host *host)
{
	return host->ops == &memprocfs_host;
}
#else
static bool is_memprocfs(const struct ms_host *host)
{
	(void)host;
	return false;
}

static bool memprocfs_has_plugin(const struct ms_host_options *options, const char *device)
{
	(void)options, (void)device;
	return false;
}

static bool memprocfs_is_installed(const struct ms_host_options *options)
{
	(void)options;
	return false;
}
#endif

static bool same(const char *a, const char *b)
{
	return a && strcmp(a, b) == 0;
}

/* What goes together; spec may be NULL. */
static int check_options(const char *spec, const struct ms_host_options *options)
{
	const char *backend = options->backend;
	bool vmm = spec && (same(spec, "vmm") || strncmp(spec, "vmm:", 4) == 0);

	if (backend && !same(backend, "auto") && !same(backend, "native") &&
		!same(backend, "memprocfs"))
		return err_set(MS_ERR_ARGUMENT, "the backend %s is none of auto, native, memprocfs",
			backend);
#ifndef HAVE_MEMPROCFS
	if (vmm || same(backend, "memprocfs") ||
		(options->device && !same(options->device, os_native_device)))
		return err_set(MS_ERR_UNSUPPORTED, "this memsift was built without MemProcFS; "
						   "build it with -Dmemprocfs=enabled");
#endif
	if (spec && options->device)
		return err_set(MS_ERR_ARGUMENT,
			"say where processes live by a host or by a device, not both");
	if (vmm && same(backend, "native"))
		return err_set(MS_ERR_ARGUMENT, "%s is read through MemProcFS, not natively", spec);
	if (spec && !vmm && same(backend, "memprocfs"))
		return err_set(MS_ERR_ARGUMENT,
			"%s does not go through MemProcFS; write vmm:DEVICE if it should", spec);
	if (same(backend, "native") && options->device && !same(options->device, os_native_device))
		return err_set(MS_ERR_ARGUMENT,
			"the device %s is read through MemProcFS, not natively; natively there is "
			"only %s",
			options->device, os_native_device);
	return 0;
}

/*
 * Without a spec. "proc" on Linux and "pmem" on macOS are what people call this machine's own
 * memory; LeechCore has no such device there, unless somebody wrote a plugin of that name.
 */
static int choose(const struct ms_host_options *options, char **ret_spec, char **ret_why)
{
	const char *device = options->device ? options->device : os_native_device;
	bool wanted = same(options->backend, "memprocfs");
	bool named = !same(device, os_native_device);
	bool plugin = !named && (options->device || wanted) && !same(options->backend, "native") &&
		      memprocfs_has_plugin(options, device);
	int r;

	if (wanted && !named && !plugin)
		return err_set(MS_ERR_UNSUPPORTED,
			"MemProcFS cannot see this machine: LeechCore has no device %s, and no "
			"plugin of that "
			"name is installed; use --backend native for this machine, or name another "
			"one "
			"with --device or --from vmm:DEVICE",
			device);
	if (named || plugin) {
		r = asprintf(ret_why,
			named ? "the device %s was named"
			      : "LeechCore has a plugin for the device %s",
			device);
		return r < 0 || asprintf(ret_spec, "vmm:%s", device) < 0 ? err_nomem() : 0;
	}
	if (same(options->backend, "native"))
		r = asprintf(ret_why, "it was asked for");
	else if (options->device)
		r = asprintf(ret_why,
			"%s means this machine, and LeechCore has no device of that name", device);
	else if (options->backend)
		r = asprintf(ret_why, "MemProcFS %s and cannot see the processes of this machine",
			memprocfs_is_installed(options)
				? "is installed, but knows Windows memory only"
				: "is not installed");
	else
		r = asprintf(ret_why, "no other was asked for");
	*ret_spec = r < 0 ? NULL : strdup("local");
	return *ret_spec ? 0 : err_nomem();
}

int ms_host_open_with(const char *spec, const struct ms_host_options *options, ms_host **ret_host)
{
	static const struct ms_host_options none = {.size = sizeof(none)};
	AUTO_FREE char *chosen = NULL;
	AUTO_FREE char *why = NULL;
	int r;

	if (!options)
		options = &none;
	if (spec && !*spec)
		spec = NULL;
	r = check_options(spec, options);
	if (r == 0 && !spec) {
		r = choose(options, &chosen, &why);
		spec = chosen;
	}
	if (r == 0)
		r = open_spec(spec, options, ret_host);
	if (r == 0)
		(*ret_host)->why = take_pointer(&why);
	return r;
}

const char *ms_host_backend(const ms_host *host)
{
	return host->ops == &local_host ? "native" : is_memprocfs(host) ? "memprocfs" : "file";
}

const char *ms_host_why(const ms_host *host)
{
	return host->why ? host->why : "it was named";
}

const char *ms_host_name(const ms_host *host)
{
	return host->name;
}

bool ms_host_is_local(const ms_host *host)
{
	return host->ops == &local_host;
}

static int process_order(const void *a, const void *b)
{
	const struct ms_process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

int ms_host_processes(ms_host *host, const struct ms_process **ret_list, size_t *ret_count)
{
	return host_processes(host, &(struct process_list){0}, ret_list, ret_count);
}

int host_processes(struct ms_host *host, const struct process_list *wanted,
	const struct ms_process **ret_list, size_t *ret_count)
{
	struct process_list list = *wanted;
	int r = host->ops->processes(host, &list);

	if (r < 0) {
		process_list_done(&list);
		return r;
	}
	vec_sort(&list.items, process_order);
	process_list_done(&host->processes);
	host->processes = list;
	host->processes.only = NULL;
	*ret_list = list.items.data;
	*ret_count = list.items.count;
	return 0;
}

static int check_add(struct check_list *out, const char *name, const char *detail)
{
	struct ms_check check = {.name = name, .status = 1, .detail = detail};

	return vec_push(&out->items, check) ? 0 : err_nomem();
}

int ms_host_check(ms_host *host, const struct ms_check **ret_list, size_t *ret_count)
{
	struct check_list *list = &host->checks;
	int r;

	list->items.count = 0;
	arena_reset(&list->strings);
	r = check_add(list, "backend", host->ops->summary);
	if (r == 0 && host->ops->check)
		r = host->ops->check(host, list);
	if (r < 0)
		return r;
	*ret_list = list->items.data;
	*ret_count = list->items.count;
	return 0;
}

static bool string_copy(const char **string, struct arena *strings)
{
	if (!*string)
		return true;
	*string = arena_string(strings, *string);
	return *string;
}

bool process_copy(struct ms_process *to, const struct ms_process *from, struct arena *strings)
{
	struct ms_process copy = *from;

	if (!string_copy(&copy.name, strings) || !string_copy(&copy.exe, strings) ||
		!string_copy(&copy.cmdline, strings) || !string_copy(&copy.user, strings) ||
		!string_copy(&copy.arch, strings))
		return false;
	*to = copy;
	return true;
}

bool process_list_add(struct process_list *list, const struct ms_process *process)
{
	struct ms_process copy;

	return process_copy(&copy, process, &list->strings) && vec_push(&list->items, copy);
}
