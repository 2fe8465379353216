/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/late.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/os.h"

#include <pthread.h>

#ifndef CRYPTO_SONAME
#define CRYPTO_SONAME NULL
#endif
#ifndef REGEX_SONAME
#define REGEX_SONAME NULL
#endif
#ifndef YARA_SONAME
#define YARA_SONAME NULL
#endif

const struct late_library late_libraries[LATE_COUNT] = {
	[LATE_CRYPTO] = {CRYPTO_SONAME, "SHA-256 hashes", "install OpenSSL (libssl3)"},
	[LATE_REGEX] = {REGEX_SONAME, "regular expressions",
		"install libhyperscan5 or libvectorscan5"},
	[LATE_YARA] = {YARA_SONAME, "YARA rules", "install YARA 4.2 (libyara9)"},
};

/* Guards the tables while they are filled. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int say_why(const struct late_library *late)
{
	char why[ERR_TEXT_MAX];

	snprintf(why, sizeof(why), "%s", ms_error());
	return err_set(
		MS_ERR_UNSUPPORTED, "%s need a library: %s; %s", late->purpose, why, late->remedy);
}

/* The first entry comes last: a table that has it is complete. */
static int fill(const struct late_library *late, const char *const *names, size_t count,
	void *library, char *table)
{
	for (size_t i = count; i-- > 0;) {
		void *address = os_library_symbol(library, names[i]);

		if (!address) {
			err_set(MS_ERR_UNSUPPORTED, "%s lacks %s", late->soname, names[i]);
			return say_why(late);
		}
		memcpy(table + i * sizeof(address), &address, sizeof(address));
	}
	return 0;
}

int late_load(const struct late_library *late, const char *const *names, size_t count, void *table)
{
	void *library, *first;
	int r = 0;

	pthread_mutex_lock(&lock);
	memcpy(&first, table, sizeof(first));
	if (!first) {
		if (os_library_open(late->soname, NULL, &library) < 0)
			r = say_why(late);
		else if ((r = fill(late, names, count, library, table)) < 0)
			os_library_close(library);
	}
	pthread_mutex_unlock(&lock);
	return r;
}
