/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target once over every file, and every file of every folder, named on the command
 * line: what fuzzing once found stays found without a fuzzer. A target that fails ends the
 * program.
 */
#include "base/mem.h"

#include <dirent.h>
#include <sys/stat.h>

enum { INPUT_MAX = 64 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct count {
	int passed, failed;
};

/* Returns false when the file cannot be read whole. */
static bool replay_file(const char *path)
{
	AUTO_FCLOSE FILE *file = fopen(path, "rb");
	AUTO_FREE uint8_t *data = NULL;
	struct stat st;

	if (!file || fstat(fileno(file), &st) != 0 || st.st_size > INPUT_MAX)
		return false;
	/* To the byte, so that a sanitizer sees reading beyond the end. */
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	if (!data || fread(data, 1, (size_t)st.st_size, file) != (size_t)st.st_size)
		return false;
	LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	return true;
}

static void count_file(const char *path, struct count *count)
{
	if (replay_file(path)) {
		count->passed++;
		return;
	}
	fprintf(stderr, "cannot read %s\n", path);
	count->failed++;
}

static void replay_folder(const char *path, struct count *count)
{
	struct dirent **list;
	int entries = scandir(path, &list, NULL, alphasort);

	if (entries < 0) {
		fprintf(stderr, "cannot list %s\n", path);
		count->failed++;
		return;
	}
	for (int i = 0; i < entries; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.')
			count_file(name, count);
		free(list[i]);
	}
	free(list);
}

int main(int argc, char **argv)
{
	struct count count = {0};

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			replay_folder(argv[i], &count);
		else
			count_file(argv[i], &count);
	}
	printf("%d passed, %d failed, 0 skipped\n", count.passed, count.failed);
	return count.failed ? 1 : 0;
}
