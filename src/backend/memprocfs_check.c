/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The chain from where the library is looked for to the device that was opened, a line for each
 * link, so that whoever reads it sees which one is missing.
 */
#include "backend/memprocfs_check.h"

#include "backend/memprocfs.h"
#include "base/buf.h"
#include "base/err.h"

static int add(struct check_list *out, const char *name, int status, const char *detail,
	const char *remedy)
{
	struct ms_check check = {
		.name = name,
		.status = status,
		.detail = arena_string(&out->strings, detail ? detail : ""),
		.remedy = remedy ? arena_string(&out->strings, remedy) : NULL,
	};

	if (!check.detail || (remedy && !check.remedy) || !vec_push(&out->items, check))
		return err_nomem();
	return 0;
}

/* Every place that was looked at; those where nothing is share a line. */
static int add_places(const struct vmm_search *search, struct check_list *out)
{
	CLEANUP(buf_done) struct buf absent = {0};
	int r = 0;

	for (size_t i = 0; i < search->places.count && r == 0; i++) {
		const struct vmm_place *place = &search->places.data[i];
		CLEANUP(buf_done) struct buf text = {0};

		if (strcmp(place->outcome, "not there") == 0) {
			buf_format(&absent, "%s%s", absent.size ? ", " : "", place->path);
			continue;
		}
		if (place->found)
			buf_format(&text, "%s, found by %s", place->path, place->how);
		else
			buf_format(&text, "%s (found by %s)", place->outcome, place->how);
		r = text.failed ? err_nomem()
				: add(out, "memprocfs", place->found ? 1 : -1, text.data, NULL);
	}
	if (r == 0 && absent.size)
		r = absent.failed ? err_nomem()
				  : add(out, "memprocfs places", 1, absent.data, NULL);
	return r;
}

static int add_plugin(void *ctx, const char *path)
{
	struct buf *text = ctx;
	const char *name =
		strstr(strrchr(path, '/') ? strrchr(path, '/') : path, "leechcore_device_");

	if (!name)
		return 0;
	name += strlen("leechcore_device_");
	buf_format(text, ", %.*s", (int)strcspn(name, "."), name);
	return text->failed;
}

static int add_devices(const struct vmm_library *library, struct check_list *out)
{
	CLEANUP(buf_done) struct buf text = {0};
	char pattern[VMM_PATH_MAX + 64];

	buf_text(&text,
		"files (raw, ELF core, LiME, crash dump, VMware, hibernation), fpga, existing");
	snprintf(pattern, sizeof(pattern), "%s/leechcore_device_*%s", library->folder,
		os_library_suffix);
	if (os_glob(pattern, add_plugin, &text) != 0 || text.failed)
		return err_nomem();
	return add(out, "memprocfs devices", 1, text.data, NULL);
}

/* Files beside the library that decide how much it sees. */
static int add_extras(const struct vmm_library *library, struct check_list *out)
{
	char path[VMM_PATH_MAX + 16], folder[VMM_PATH_MAX];
	const char *slash = strrchr(library->path, '/');
	bool there;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - library->path) : 1,
		slash ? library->path : ".");
	snprintf(path, sizeof(path), "%s/info.db", folder);
	there = os_file_is_regular(path);
	return add(out, "memprocfs symbols", there ? 1 : 0,
		there ? "info.db: threads and accounts of kernels that it knows"
		      : "no info.db beside the library: no threads, no accounts",
		there ? NULL
		      : "take info.db from a MemProcFS release and put it beside the library");
}

static int add_host(const struct vmm_host *vh, struct check_list *out)
{
	static const char *const systems[] = {"physical memory only", "an unknown 64-bit system",
		"64-bit Windows", "an unknown 32-bit system", "32-bit Windows"};
	char text[512];
	int r;

	snprintf(text, sizeof(text), "%llu.%llu.%llu", (unsigned long long)vh->version[0],
		(unsigned long long)vh->version[1], (unsigned long long)vh->version[2]);
	r = add(out, "memprocfs version", 1, text, NULL);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%s: %s, %s", vh->device,
		vh->system < ARRAY_SIZE(systems) ? systems[vh->system] : "an unknown system",
		vh->is_volatile ? "changes while it is read" : "stands still");
	return add(out, "memprocfs device", 1, text, NULL);
}

/* What is said once the library is there, opened for this or before. */
static int add_library(const struct vmm_library *library, struct check_list *out)
{
	int r = add_extras(library, out);

	return r < 0 ? r : add_devices(library, out);
}

int vmm_check(struct ms_host *host, struct check_list *out)
{
	const struct vmm_host *vh = host->priv;
	struct vmm_search search = {0};
	struct vmm_library library;
	int r;

	if (vh->vmm) {
		r = add_places(&vh->search, out);
		if (r == 0)
			r = add_library(&vh->library, out);
		return r < 0 ? r : add_host(vh, out);
	}
	r = vmm_library_open(vh->library_path, &library, &search);
	if (r == 0) {
		r = add_places(&search, out);
		if (r == 0)
			r = add_library(&library, out);
		vmm_library_close(&library);
	} else {
		/* That it is missing is no fault of this machine. */
		r = add(out, "memprocfs", r == MS_ERR_NOT_FOUND && !vh->library_path ? 0 : -1,
			ms_error(), NULL);
	}
	vmm_search_done(&search);
	return r;
}
