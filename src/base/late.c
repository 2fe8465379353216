/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program loads by dlopen() is not among the libraries that its headers name. Package
 * managers find it in the section .note.dlopen instead (uapi-group.org, "ELF dlopen metadata").
 */
#include "base/late.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/os.h"

#include <pthread.h>

#define NOTE(variable, json)                                                                       \
	static const struct {                                                                      \
		uint32_t name_size, text_size, type;                                               \
		char name[4], text[sizeof(json)];                                                  \
	} variable __attribute__((used, aligned(4), section(".note.dlopen"))) = {                  \
		4, sizeof(json), 0x407c0c0a, "FDO", json}

#define NOTE_TEXT(soname, feature, purpose)                                                        \
	"[{\"soname\":[\"" soname "\"],\"feature\":\"" feature "\",\"description\":\"" purpose     \
	"\",\"priority\":\"recommended\"}]"

#define CRYPTO_PURPOSE "SHA-256 hashes"
#define REGEX_PURPOSE "regular expressions"
#define YARA_PURPOSE "YARA rules"

#ifdef CRYPTO_SONAME
NOTE(crypto_note, NOTE_TEXT(CRYPTO_SONAME, "crypto", CRYPTO_PURPOSE));
#else
#define CRYPTO_SONAME NULL
#endif
#ifdef REGEX_SONAME
NOTE(regex_note, NOTE_TEXT(REGEX_SONAME, "regex", REGEX_PURPOSE));
#else
#define REGEX_SONAME NULL
#endif
#ifdef YARA_SONAME
NOTE(yara_note, NOTE_TEXT(YARA_SONAME, "yara", YARA_PURPOSE));
#else
#define YARA_SONAME NULL
#endif

const struct late_library late_libraries[LATE_COUNT] = {
	[LATE_CRYPTO] = {CRYPTO_SONAME, CRYPTO_PURPOSE, "install OpenSSL (libssl3)"},
	[LATE_REGEX] = {REGEX_SONAME, REGEX_PURPOSE, "install libhyperscan5 or libvectorscan5"},
	[LATE_YARA] = {YARA_SONAME, YARA_PURPOSE, "install YARA 4.2 (libyara9)"},
};

/* Guards the list below, and the tables while they are filled. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *loaded[LATE_COUNT];

static int say_why(enum late which)
{
	const struct late_library *late = &late_libraries[which];
	char why[ERR_TEXT_MAX];

	snprintf(why, sizeof(why), "%s", ms_error());
	return err_set(
		MS_ERR_UNSUPPORTED, "%s need a library: %s; %s", late->purpose, why, late->remedy);
}

static int fill(enum late which, const char *const *names, size_t count, void *library, void *table)
{
	for (size_t i = 0; i < count; i++) {
		void *address = os_library_symbol(library, names[i]);

		if (!address) {
			err_set(MS_ERR_UNSUPPORTED, "%s lacks %s()", late_libraries[which].soname,
				names[i]);
			return say_why(which);
		}
		memcpy((char *)table + i * sizeof(address), &address, sizeof(address));
	}
	return 0;
}

int late_load(enum late which, const char *const *names, size_t count, void *table)
{
	void *library = NULL;
	int r = 0;

	pthread_mutex_lock(&lock);
	if (!loaded[which]) {
		if (os_library_open(late_libraries[which].soname, NULL, &library) < 0)
			r = say_why(which);
		else if ((r = fill(which, names, count, library, table)) == 0)
			loaded[which] = library;
		else
			os_library_close(library);
	}
	pthread_mutex_unlock(&lock);
	return r;
}
