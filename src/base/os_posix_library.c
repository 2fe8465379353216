/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared libraries that are found at run time, and the question whether a file may be loaded at
 * all: to load a library is to run its code as whoever runs this program.
 *
 * The loader of glibc takes a library that is loaded already for one that another needs only if
 * it goes by the very name that the other asks for: by DT_SONAME, or by the name under which it
 * was first asked for (_dl_map_object() and _dl_name_match_p() in elf/dl-load.c, the same from 2.2
 * to 2.41). A companion without DT_SONAME that lies in another folder is therefore called by its
 * bare name, which is the public l_name of its link map, while the one that needs it is loaded.
 */
#include "base/os.h"

#include "base/err.h"
#include "base/mem.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <pthread.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif

#ifdef __APPLE__
const char os_library_suffix[] = ".dylib";
const char os_native_device[] = "pmem";
#else
const char os_library_suffix[] = ".so";
const char os_native_device[] = "proc";
#endif

/* What is borrowed of the loader belongs to the whole program, and so does this lock. */
static pthread_mutex_t loader_lock = PTHREAD_MUTEX_INITIALIZER;

static int say_why(const char *path)
{
	const char *why = dlerror();
	size_t length = strlen(path);

	/* Most of the loader's sentences begin with the name, too. */
	if (why && strncmp(why, path, length) == 0 && strncmp(why + length, ": ", 2) == 0)
		why += length + 2;
	return err_set(
		MS_ERR_UNSUPPORTED, "cannot load %s: %s", path, why ? why : "no reason given");
}

static void *open_beside(const char *path, void *companion, char *name)
{
	struct link_map *map = NULL;
	void *library;
	char *full;

	if (dlinfo(companion, RTLD_DI_LINKMAP, &map) != 0 || !map)
		return dlopen(path, RTLD_NOW | RTLD_LOCAL);
	full = map->l_name;
	map->l_name = name;
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	map->l_name = full;
	return library;
}

int os_library_open(const char *path, const char *companion, void **ret_library)
{
	void *library = NULL, *other = NULL;
	int r = 0;

	pthread_mutex_lock(&loader_lock);
	if (companion && !(other = dlopen(companion, RTLD_NOW | RTLD_LOCAL)))
		r = say_why(companion);
	if (r == 0 && other) {
		char name[256];

		snprintf(name, sizeof(name), "%s",
			strrchr(companion, '/') ? strrchr(companion, '/') + 1 : companion);
		library = open_beside(path, other, name);
	} else if (r == 0) {
		library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	if (r == 0 && !library)
		r = say_why(path);
	/* What needs it holds it by now. */
	if (other)
		dlclose(other);
	pthread_mutex_unlock(&loader_lock);
	if (r == 0)
		*ret_library = library;
	return r;
}

void *os_library_symbol(void *library, const char *name)
{
	return dlsym(library, name);
}

void os_library_close(void *library)
{
	if (library)
		dlclose(library);
}

bool os_library_where(const void *symbol, char *ret_path, size_t size)
{
	Dl_info info;

	if (!dladdr(symbol, &info) || !info.dli_fname)
		return false;
	return (size_t)snprintf(ret_path, size, "%s", info.dli_fname) < size;
}

bool os_privileges_raised(void)
{
#ifdef __linux__
	return getauxval(AT_SECURE) != 0;
#else
	return issetugid() != 0;
#endif
}

bool os_program_folder(char *ret_path, size_t size)
{
#ifdef __linux__
	ssize_t length = readlink("/proc/self/exe", ret_path, size);

	if (length <= 0 || (size_t)length >= size)
		return false;
	ret_path[length] = '\0';
	*strrchr(ret_path, '/') = '\0';
	return true;
#else
	(void)ret_path, (void)size;
	return false;
#endif
}

bool os_file_is_regular(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool os_folder_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool only_ours(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 || (st.st_uid != 0 && st.st_uid != geteuid()))
		return false;
	/* In a folder with the sticky bit, as /tmp, others cannot replace what is not theirs. */
	return !(st.st_mode & (S_IWGRP | S_IWOTH)) ||
	       (S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX));
}

bool os_file_is_trusted(const char *path)
{
	AUTO_FREE char *real = realpath(path, NULL);
	char *slash;

	if (!real || !only_ours(real))
		return false;
	while ((slash = strrchr(real, '/')) && slash != real) {
		*slash = '\0';
		if (!only_ours(real))
			return false;
	}
	return only_ours("/");
}

int os_glob(const char *pattern, int (*each)(void *ctx, const char *path), void *ctx)
{
	glob_t found;
	int r = 0;

	if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = each(ctx, found.gl_pathv[i]);
	globfree(&found);
	return r;
}
