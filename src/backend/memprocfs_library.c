/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where MemProcFS's library is looked for, and whether what is found there may be used. What the
 * user names is taken as it is and nothing else is tried; a library that memsift comes across by
 * itself must be one that nobody but this user and root can have put there.
 *
 * Version 4 has functions of the same names and other parameters: what came first in 5.3 must be
 * there before any function is called.
 */
#include "backend/memprocfs.h"

#include "base/buf.h"
#include "base/err.h"

#define GET_IT "install it (pip install memprocfs) or name its folder with --memprocfs-path"

static const struct {
	const char *name;
	size_t offset;
	bool optional;
} functions[] = {
	/* New in 5.3: stands for all the others having the parameters that they have here. */
	{"VMMDLL_ProcessGetInformationAll", offsetof(struct vmm_api, processes), false},
	{"VMMDLL_Initialize", offsetof(struct vmm_api, initialize), false},
	{"VMMDLL_Close", offsetof(struct vmm_api, close), false},
	{"VMMDLL_MemFree", offsetof(struct vmm_api, mem_free), false},
	{"VMMDLL_MemSize", offsetof(struct vmm_api, mem_size), false},
	{"VMMDLL_ConfigGet", offsetof(struct vmm_api, config_get), false},
	{"VMMDLL_ConfigSet", offsetof(struct vmm_api, config_set), false},
	{"VMMDLL_ProcessGetInformation", offsetof(struct vmm_api, process), false},
	{"VMMDLL_ProcessGetInformationString", offsetof(struct vmm_api, process_string), false},
	{"VMMDLL_Map_GetPteU", offsetof(struct vmm_api, pte_map), false},
	{"VMMDLL_Map_GetVadU", offsetof(struct vmm_api, vad_map), false},
	{"VMMDLL_Map_GetModuleU", offsetof(struct vmm_api, module_map), false},
	{"VMMDLL_MemReadScatter", offsetof(struct vmm_api, read_scatter), false},
	{"VMMDLL_MemVirt2Phys", offsetof(struct vmm_api, translate), false},
	{"VMMDLL_Map_GetVadEx", offsetof(struct vmm_api, vadex_map), true},
	{"VMMDLL_Map_GetThread", offsetof(struct vmm_api, thread_map), true},
	{"LcCreate", offsetof(struct vmm_api, lc_create), true},
	{"LcClose", offsetof(struct vmm_api, lc_close), true},
	{"LcGetOption", offsetof(struct vmm_api, lc_option), true},
};

/* Folders, as patterns of the shell; of all systems, as none of them exists on another. */
static const struct {
	const char *how, *variable, *pattern;
} usual_places[] = {
	{"a usual place", NULL, "/opt/memprocfs"},
	{"a usual place", NULL, "/opt/MemProcFS"},
	{"a usual place", NULL, "/usr/local/lib/memprocfs"},
	{"a usual place", NULL, "/usr/lib/memprocfs"},
	{"a usual place", NULL, "/Applications/MemProcFS"},
	{"Python's packages", "VIRTUAL_ENV", "/lib/python3*/site-packages/memprocfs"},
	{"Python's packages", "CONDA_PREFIX", "/lib/python3*/site-packages/memprocfs"},
	{"Python's packages", "HOME", "/.pyenv/versions/*/lib/python3*/site-packages/memprocfs"},
	{"Python's packages", "HOME", "/.local/lib/python3*/site-packages/memprocfs"},
	{"Python's packages", NULL, "/usr/local/lib/python3*/dist-packages/memprocfs"},
	{"Python's packages", NULL, "/usr/local/lib/python3*/site-packages/memprocfs"},
	{"Python's packages", NULL, "/usr/lib/python3*/dist-packages/memprocfs"},
	{"Python's packages", NULL, "/usr/lib/python3*/site-packages/memprocfs"},
	{"Python's packages", NULL, "/opt/homebrew/lib/python3*/site-packages/memprocfs"},
};

static const char *const variables[] = {"MEMSIFT_MEMPROCFS_PATH", "RUST_COLLECTOR_MEMPROCFS_PATH"};

struct finding {
	struct vmm_library *library;
	struct vmm_search *search;
	const char *how;
	bool named; /* by the user: no question of trust, and no other place */
	int status; /* of the last place where there was a library that could not be used; 0 for
		       none */
};

/* ---- Loading ------------------------------------------------------------------------------ */

static void folder_of(const char *path, char ret_folder[VMM_PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	snprintf(ret_folder, VMM_PATH_MAX, "%.*s", slash ? (int)(slash - path) : 1,
		slash ? path : ".");
}

/*
 * LeechCore's library, which MemProcFS needs: beside it, or where pip puts the package of its own
 * that it comes in; false where it is the loader's to find.
 */
static bool companion_find(const char *library, char ret_path[VMM_PATH_MAX])
{
	char folder[VMM_PATH_MAX - 64];

	folder_of(library, ret_path);
	snprintf(folder, sizeof(folder), "%.*s", (int)sizeof(folder) - 1, ret_path);
	snprintf(ret_path, VMM_PATH_MAX, "%s/leechcore%s", folder, os_library_suffix);
	if (os_file_is_regular(ret_path))
		return false;
	snprintf(ret_path, VMM_PATH_MAX, "%s/../leechcorepyc/leechcore%s", folder,
		os_library_suffix);
	return os_file_is_regular(ret_path);
}

static int functions_find(struct vmm_library *library, const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *function = os_library_symbol(library->handle, functions[i].name);

		if (!function && !functions[i].optional)
			return err_set(MS_ERR_UNSUPPORTED,
				"%s has no function %s: it is no MemProcFS library of version 5.3 "
				"or later; "
				"install a current one (pip install memprocfs)",
				path, functions[i].name);
		memcpy((char *)&library->api + functions[i].offset, &function, sizeof(function));
	}
	return 0;
}

/* The loader's own words in the last error: "FILE: WHAT IS WRONG WITH IT". */
static const char *loader_reason(void)
{
	const char *colon = strstr(ms_error(), ": ");

	return colon ? colon + 2 : ms_error();
}

/* What to do about it, where the loader says which file is wrong and how. */
static int explain_load(void)
{
	static const struct {
		const char *file, *what, *remedy;
	} known[] = {
		{"libusb", "", "install libusb 1.0 (Debian: libusb-1.0-0)"},
		{"leechcore", "",
			"put LeechCore's library beside it, or install its package (pip install "
			"leechcorepyc)"},
		{"", "cannot open shared object file",
			"install what it misses, or a current release (pip install memprocfs)"},
		{"", "wrong ELF class", "it must be of this processor, with 64 bits"},
		{"", "invalid ELF header", "the file is no shared library, or damaged"},
		{"", "file too short", "the file is no shared library, or damaged"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strncmp(loader_reason(), known[i].file, strlen(known[i].file)) == 0 &&
			strstr(loader_reason(), known[i].what))
			return err_set(MS_ERR_UNSUPPORTED, "%s; %s", ms_error(), known[i].remedy);
	return MS_ERR_UNSUPPORTED;
}

static int load(struct vmm_library *library, const char *path)
{
	char companion[VMM_PATH_MAX];
	bool elsewhere = companion_find(path, companion);
	void *function;
	int r = os_library_open(path, elsewhere ? companion : NULL, &library->handle);

	if (r < 0)
		return explain_load();
	r = functions_find(library, path);
	if (r < 0) {
		os_library_close(library->handle);
		library->handle = NULL;
		return r;
	}
	memcpy(&function, &library->api.initialize, sizeof(function));
	if (!os_library_where(function, library->path, sizeof(library->path)))
		snprintf(library->path, sizeof(library->path), "%s", path);
	memcpy(&function, &library->api.lc_create, sizeof(function));
	if (!function || !os_library_where(function, companion, sizeof(companion)))
		snprintf(companion, sizeof(companion), "%s", library->path);
	folder_of(companion, library->folder);
	return 0;
}

/* ---- Looking ------------------------------------------------------------------------------ */

static int note(struct finding *finding, const char *path, const char *outcome, bool found)
{
	struct vmm_search *search = finding->search;
	struct vmm_place place = {.found = found};

	place.path = arena_string(&search->strings, path);
	place.how = arena_string(&search->strings, finding->how);
	place.outcome = arena_string(&search->strings, outcome);
	if (!place.path || !place.how || !place.outcome || !vec_push(&search->places, place))
		return err_nomem();
	return 0;
}

/* Tries one file; 1 when it is loaded, 0 to look further, or a negative status. */
static int try_file(struct finding *finding, const char *path)
{
	bool bare = !strchr(path, '/');
	int r;

	if (!bare && !os_file_is_regular(path))
		return note(finding, path, "not there", false);
	if (!bare && !finding->named && !os_file_is_trusted(path)) {
		finding->status = err_set(MS_ERR_ACCESS,
			"%s is left alone, as others than this user and root could have put it "
			"there; "
			"name it with --memprocfs-path if it is what you want",
			path);
		return note(finding, path, ms_error(), false);
	}
	r = load(finding->library, path);
	if (r == 0) {
		finding->library->how = finding->how;
		r = note(finding, path, "loaded", true);
		return r < 0 ? r : 1;
	}
	/* The loader's search ends here; that it found nothing is no fault of a library. */
	if (bare && strncmp(loader_reason(), path, strlen(path)) == 0)
		return note(finding, path, "not there", false);
	finding->status = r;
	return note(finding, path, ms_error(), false);
}

static int try_folder(void *ctx, const char *folder)
{
	struct finding *finding = ctx;
	char path[VMM_PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/vmm%s", folder, os_library_suffix) >=
		(int)sizeof(path))
		return 0;
	return try_file(finding, path);
}

/* A file, a folder, or a folder that pip filled. */
static int try_named(struct finding *finding, const char *path)
{
	char below[VMM_PATH_MAX];
	int r;

	finding->named = true;
	if (!os_folder_exists(path))
		return try_file(finding, path);
	r = try_folder(finding, path);
	if (r != 0 || snprintf(below, sizeof(below), "%s/memprocfs", path) >= (int)sizeof(below) ||
		!os_folder_exists(below))
		return r;
	return try_folder(finding, below);
}

static int try_usual_places(struct finding *finding)
{
	bool raised = os_privileges_raised();
	char pattern[VMM_PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(usual_places); i++) {
		const char *prefix = "";
		int r;

		if (usual_places[i].variable)
			prefix = raised ? NULL : getenv(usual_places[i].variable);
		if (!prefix || snprintf(pattern, sizeof(pattern), "%s%s", prefix,
				       usual_places[i].pattern) >= (int)sizeof(pattern))
			continue;
		finding->how = usual_places[i].how;
		size_t before = finding->search->places.count;

		r = os_glob(pattern, try_folder, finding);
		if (r == 0 && finding->search->places.count == before)
			r = note(finding, pattern, "not there", false);
		if (r != 0)
			return r;
	}
	return 0;
}

/* As try_file(): 1, 0 or a negative status. */
static int try_all(struct finding *finding, const char *path)
{
	char folder[VMM_PATH_MAX], name[32];
	int r = 0;

	finding->how = "--memprocfs-path";
	if (path)
		return try_named(finding, path);
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *value = getenv(variables[i]);

		finding->how = variables[i];
		if (value && *value && !os_privileges_raised())
			return try_named(finding, value);
	}
	finding->how = "beside the program";
	if (os_program_folder(folder, sizeof(folder)))
		r = try_folder(finding, folder);
	if (r == 0)
		r = try_usual_places(finding);
	if (r != 0)
		return r;
	finding->how = "the loader's path";
	snprintf(name, sizeof(name), "vmm%s", os_library_suffix);
	return try_file(finding, name);
}

/* Nothing could be loaded: says where there was something, else all the places. */
static int say_not_found(const struct finding *finding)
{
	CLEANUP(buf_done) struct buf text = {0};

	for (size_t i = finding->search->places.count; i-- > 0;) {
		const struct vmm_place *place = &finding->search->places.data[i];

		if (strcmp(place->outcome, "not there") != 0)
			return err_set(
				finding->status, "%s (found by %s)", place->outcome, place->how);
	}
	for (size_t i = 0; i < finding->search->places.count; i++)
		buf_format(&text, "%s%s", i ? ", " : "", finding->search->places.data[i].path);
	if (text.failed)
		return err_nomem();
	if (finding->named)
		return err_set(MS_ERR_NOT_FOUND,
			"MemProcFS's library is not at %s, which %s names; correct that, or %s",
			text.data ? text.data : "", finding->how, GET_IT);
	return err_set(MS_ERR_NOT_FOUND, "MemProcFS's library is not installed: %s. Looked for: %s",
		GET_IT, text.data ? text.data : "");
}

int vmm_library_open(const char *path, struct vmm_library *ret_library, struct vmm_search *search)
{
	struct vmm_search own = {0};
	struct finding finding = {.library = ret_library, .search = search ? search : &own};
	int r;

	*ret_library = (struct vmm_library){0};
	r = try_all(&finding, path);
	if (r == 0)
		r = say_not_found(&finding);
	/* How it was found is one of the constants above; the rest of the search is the caller's.
	 */
	vmm_search_done(&own);
	return r < 0 ? r : 0;
}

void vmm_library_close(struct vmm_library *library)
{
	os_library_close(library->handle);
	library->handle = NULL;
}

void vmm_search_done(struct vmm_search *search)
{
	free(search->places.data);
	arena_done(&search->strings);
	*search = (struct vmm_search){0};
}

bool vmm_library_has_plugin(const struct vmm_library *library, const char *device)
{
	char path[VMM_PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/leechcore_device_%s%s", library->folder, device,
		os_library_suffix);
	return os_file_is_regular(path);
}

/* ---- What the library hands out ------------------------------------------------------------ */

void vmm_block_init(struct vmm_block *block, const struct vmm_api *api, void *data)
{
	*block = (struct vmm_block){api, data, data ? api->mem_size(data) : 0};
}

void vmm_block_done(struct vmm_block *block)
{
	if (block->data)
		block->api->mem_free(block->data);
	block->data = NULL;
}

bool vmm_block_holds(const struct vmm_block *block, const void *pointer, size_t size)
{
	uintptr_t at = (uintptr_t)pointer, base = (uintptr_t)block->data;

	return pointer && at >= base && at - base <= block->size &&
	       block->size - (at - base) >= size;
}

int vmm_block_entries(const struct vmm_block *block, const char *what, uint32_t version,
	size_t entry_size, const void **ret_entries, size_t *ret_count)
{
	const struct vmm_map *map = block->data;

	if (!map || block->size < sizeof(*map))
		return err_set(MS_ERR_FORMAT, "MemProcFS gave a %s that is cut short", what);
	if (map->version != version)
		return err_set(MS_ERR_UNSUPPORTED,
			"MemProcFS gave a %s of version %u, and memsift knows version %u; install "
			"a "
			"release of version 5 (pip install memprocfs)",
			what, map->version, version);
	if ((block->size - sizeof(*map)) / entry_size < map->count)
		return err_set(MS_ERR_FORMAT,
			"MemProcFS gave a %s that says it has %u entries in %zu bytes", what,
			map->count, block->size);
	*ret_entries = map + 1;
	*ret_count = map->count;
	return 0;
}

const char *vmm_block_text(const struct vmm_block *block, const char *text)
{
	size_t room;

	if (!vmm_block_holds(block, text, 1))
		return "";
	room = block->size - (size_t)((uintptr_t)text - (uintptr_t)block->data);
	return memchr(text, '\0', room) ? text : "";
}
