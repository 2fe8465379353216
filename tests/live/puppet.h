/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting a puppet (puppet.c) in a folder of its own and looking at it through the local
 * backend. MEMSIFT_PUPPET names the program, else it lies beside the test. An alarm ends a test
 * that hangs.
 */
#ifndef MS_TESTS_LIVE_PUPPET_H
#define MS_TESTS_LIVE_PUPPET_H

#include "test.h"

#include "backend/linux.h"
#include "base/mem.h"
#include "memsift.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum {
	PAGE = 4096,
	NAMES_MAX = 64,
	RUNS = 1024,
	SECONDS_MAX = 60, /* of one test; only a hang takes so long */
};

#define MIB (1024ull * 1024)
#define TIB (MIB * MIB)

struct puppet {
	pid_t pid;
	FILE *in, *out;
	char dir[64];
	struct {
		char name[32];
		uint64_t address;
	} names[NAMES_MAX];
	size_t count;
	ms_host *host;
	ms_source *src;
};

/* ---- Starting and ending a puppet ------------------------------------------------------- */

/* The program: MEMSIFT_PUPPET, or what lies beside the test. */
static inline char *puppet_path(void)
{
	const char *path = getenv("MEMSIFT_PUPPET");
	static char beside[4096];

	if (readlink("/proc/self/exe", beside, sizeof(beside) - 32) > 0)
		strcpy(strrchr(beside, '/'), "/puppet");
	return realpath(path ? path : beside, NULL);
}

static inline void run_puppet(const char *dir, int in, int out, const char *scenarios)
{
	char words[512], *argv[32] = {"puppet"};
	char *program = puppet_path();
	int argc = 1;

	snprintf(words, sizeof(words), "%s", scenarios);
	for (char *word = strtok(words, " "); word && argc < 31; word = strtok(NULL, " "))
		argv[argc++] = word;
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(127);
	if (!program || chdir(dir) != 0)
		_exit(127);
	execv(program, argv);
	_exit(127);
}

/* Takes in what the puppet says up to "ready". */
static inline bool wait_ready(struct puppet *puppet)
{
	char line[128], name[32];
	unsigned long address;

	puppet->count = 0;
	while (fgets(line, sizeof(line), puppet->out)) {
		if (strcmp(line, "ready\n") == 0)
			return true;
		if (sscanf(line, "%31s 0x%lx", name, &address) != 2 || puppet->count == NAMES_MAX)
			return false;
		strcpy(puppet->names[puppet->count].name, name);
		puppet->names[puppet->count++].address = address;
	}
	return false;
}

/* What it does between saying so and waiting may bring in another page of its own. */
static inline void settle(pid_t pid)
{
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 1000; i++) {
		FILE *stat = fopen(path, "r");
		size_t size = stat ? fread(text, 1, sizeof(text) - 1, stat) : 0;

		if (stat)
			fclose(stat);
		text[size] = '\0';
		if (!strstr(text, ") R"))
			return;
		usleep(1000);
	}
}

/* Starts a puppet; the puppets and what they leave behind go when the test program ends. */
static inline void start(struct puppet *puppet, const char *scenarios)
{
	int in[2], out[2];

	alarm(SECONDS_MAX);
	*puppet = (struct puppet){.dir = "/tmp/memsift-live-XXXXXX"};
	check(mkdtemp(puppet->dir));
	check(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	puppet->pid = fork();
	check(puppet->pid >= 0);
	if (puppet->pid == 0)
		run_puppet(puppet->dir, in[0], out[1], scenarios);
	close(in[0]);
	close(out[1]);
	puppet->in = fdopen(in[1], "w");
	puppet->out = fdopen(out[0], "r");
	check_that(wait_ready(puppet), "the puppet does not start");
	settle(puppet->pid);
	check_ok(ms_host_open("local", &puppet->host));
}

static inline void start_and_open(struct puppet *puppet, const char *scenarios)
{
	const struct ms_region *list;
	size_t count;

	start(puppet, scenarios);
	check_ok(ms_source_open(puppet->host, (uint32_t)puppet->pid, &puppet->src));
	check_ok(ms_source_regions(puppet->src, &list, &count));
}

static inline void finish(struct puppet *puppet)
{
	static const char *const files[] = {"puppet-file", "puppet-private", "puppet (deleted)",
		"puppet\nnewline", "puppet\\012backslash"};
	char path[128];

	ms_source_free(puppet->src);
	ms_host_free(puppet->host);
	if (puppet->pid) {
		kill(puppet->pid, SIGKILL);
		waitpid(puppet->pid, NULL, 0);
	}
	fclose(puppet->in);
	fclose(puppet->out);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", puppet->dir, files[i]);
		unlink(path);
	}
	rmdir(puppet->dir);
	alarm(0);
}

static inline void tell(struct puppet *puppet, const char *command)
{
	fprintf(puppet->in, "%s\n", command);
	fflush(puppet->in);
}

/* The address that goes with a name; ends the test as skipped where the system lacks the thing. */
static inline uint64_t address_of(struct puppet *puppet, const char *name)
{
	for (size_t i = 0; i < puppet->count; i++)
		if (strcmp(puppet->names[i].name, name) == 0 && puppet->names[i].address)
			return puppet->names[i].address;
	finish(puppet);
	skip("this system cannot make \"%s\"", name);
}

/* ---- Looking at it ---------------------------------------------------------------------- */

static const struct ms_region *region_at(struct puppet *puppet, uint64_t address)
{
	const struct ms_region *region = region_find(&puppet->src->regions, address);

	check_that(region, "no region at 0x%llx", (unsigned long long)address);
	return region;
}

/* As much of the range as fits; where an answer ends early, it is asked again. */
static inline size_t states(
	struct puppet *puppet, uint64_t address, uint64_t size, struct run *runs)
{
	const struct ms_region *region = region_at(puppet, address);
	uint64_t end = address + size;
	size_t count = 0;

	check(region->base + region->size >= end);
	while (address < end && count < RUNS) {
		struct run *next = &runs[count];
		size_t got = 0;

		check_ok(puppet->src->ops->resident(puppet->src, region, address, end - address,
			next, RUNS - count, &got));
		check(got > 0 && next->base == address);
		address = next[got - 1].base + next[got - 1].size;
		count += got;
		if (next > runs && next[-1].state == next->state) {
			next[-1].size += next->size;
			memmove(next, next + 1, (got - 1) * sizeof(*next));
			count--;
		}
	}
	return count;
}

/* Checks the states of a range, given as one letter a page, by both ways of finding out. */
static inline void check_states(struct puppet *puppet, uint64_t address, const char *expected)
{
	/* In the order of enum ms_state: data, absent, guard, no access, device (V)... */
	static const char letters[] = "DAGNVSRXILT";
	struct linux_source *ls = linux_of(puppet->src);
	bool scan = ls->pages.scan;

	for (int way = 0; way < 2; way++) {
		struct run runs[RUNS];
		char found[256] = "";
		size_t count, length = 0;

		ls->pages.scan = scan && way == 0;
		count = states(puppet, address, strlen(expected) * PAGE, runs);
		for (size_t i = 0; i < count; i++)
			for (uint64_t at = 0; at < runs[i].size && length < 255; at += PAGE)
				found[length++] = letters[runs[i].state];
		check_text(found, expected);
	}
	ls->pages.scan = scan;
}

static inline size_t op_read(struct puppet *puppet, uint64_t address, void *buf, size_t size)
{
	size_t got = 0;

	check_ok(puppet->src->ops->read(puppet->src, address, buf, size, &got));
	check(got <= size);
	return got;
}

/* Checks that text is what memory holds over and over. */
static inline void check_filled(
	struct puppet *puppet, uint64_t address, size_t size, const char *text)
{
	char *buf = malloc(size);

	check_u64(op_read(puppet, address, buf, size), size);
	for (size_t i = 0; i < size; i++)
		check(buf[i] == text[i % strlen(text)]);
	free(buf);
}

/* A number in kB out of the puppet's /proc/PID/status. */
static inline uint64_t status_kb(const struct puppet *puppet, const char *key)
{
	char path[64], line[256];
	unsigned long long value = UINT64_MAX;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", puppet->pid);
	file = fopen(path, "r");
	check(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0)
			sscanf(line + strlen(key), ": %llu", &value);
	fclose(file);
	check(value != UINT64_MAX);
	return value;
}

#endif
