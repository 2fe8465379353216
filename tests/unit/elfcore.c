/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of ELF cores: on cores that core_image.h writes, whole and damaged, and on one that
 * gdb's gcore takes of a process this test starts.
 */
#include "core_image.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static void check_typical_process(const struct ms_process *process, const char *arch)
{
	check_u64(process->pid, 4321);
	check_u64(process->ppid, 7);
	check_u64(process->uid, 1000);
	check_text(process->user, "1000");
	check_text(process->name, "fifteen-letters");
	check_text(process->cmdline, "prog --option");
	check_text(process->exe, "/bin/prog");
	check(process->exe_deleted);
	check_text(process->arch, arch);
	check_u64(process->rss, 4 * PAGE);
}

struct machine {
	const char *arch;
	bool wide, big;
	unsigned machine;
	size_t regs, stack_word, psinfo_size;
};

static const struct machine machines[] = {
	{"x86_64", true, false, EM_X86_64, 27, 19, 136},
	{"aarch64", true, false, EM_AARCH64, 34, 31, 136},
	{"s390x", true, true, EM_S390, 27, 17, 136},
	{"i386", false, false, EM_386, 17, 15, 124},
	{"arm", false, false, EM_ARM, 18, 13, 124},
};

static void test_machine(const struct machine *m)
{
	struct image image = {.wide = m->wide, .big = m->big, .machine = m->machine};
	struct buf registers = {0}, state = {0};
	const struct ms_thread *threads;
	const void *auxiliary;
	ms_source *src;
	size_t count, size;

	typical(&image);
	prstatus(&image, 4321, m->regs, m->stack_word, 0x7e0800);
	psinfo(&image, m->psinfo_size);
	auxv(&image);
	files(&image);
	pad(&registers, 512);
	system_note(&image, NT_PRFPREG, &registers);
	pad(&state, 832);
	system_note(&image, NT_X86_XSTATE, &state);
	prstatus(&image, 4322, m->regs, m->stack_word, 0x123456);
	src = attach(open_image(&image));
	check_typical_process(ms_source_process(src), m->arch);
	check_regions(src, typical_regions, ARRAY_SIZE(typical_regions));
	check_ok(ms_source_threads(src, &threads, &count));
	check_u64(count, 2);
	check_u64(threads[0].tid, 4321);
	check_text(threads[0].name, "fifteen-letters");
	check_u64(threads[0].stack_pointer, 0x7e0800);
	check_u64(threads[0].gregs_size, m->regs * (m->wide ? 8 : 4));
	check_u64(threads[0].fpregs_size, 512);
	check_u64(threads[0].xstate_size, 832);
	check_u64(threads[1].tid, 4322);
	check_u64(threads[1].stack_pointer, 0x123456);
	check_u64(threads[1].xstate_size, 0);
	check_ok(src->ops->auxv(src, &auxiliary, &size));
	check_u64(size, m->wide ? 48 : 24);
	check_u64(src->page_size, PAGE);
	check_read(src, 0x400000, PAGE, 'c', MS_STATE_VANISHED);
	check_read(src, 0x680010, PAGE - 16, 'h', MS_STATE_NO_ACCESS);
	check_read(src, 0x500000, 0, 0, MS_STATE_NO_ACCESS);
	finish(&image, src);
}

static void machine_kinds(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		test_machine(&machines[i]);
}

static void psinfo_with_wide_uid(void)
{
	struct image image = {.big = true, .machine = EM_PPC};
	ms_source *src;

	typical(&image);
	psinfo(&image, 128);
	auxv(&image);
	files(&image);
	src = attach(open_image(&image));
	check_typical_process(ms_source_process(src), "ppc");
	finish(&image, src);
}

static void without_notes(void)
{
	struct image image = {.wide = true, .machine = 0x7777};
	const struct ms_process *process;
	const struct ms_thread *threads;
	ms_source *src;
	size_t count;

	typical(&image);
	src = attach(open_image(&image));
	process = ms_source_process(src);
	check_u64(process->pid, 1);
	check(process->name && !process->arch && !process->exe && !process->user);
	check_ok(ms_source_threads(src, &threads, &count));
	check_u64(count, 0);
	check_read(src, 0x680000, PAGE, 'h', MS_STATE_NO_ACCESS);
	finish(&image, src);
}

/* ---- Segments that should not be ------------------------------------------------------- */

static void unsorted_and_overlapping(void)
{
	static const struct part parts[] = {
		{0x5000, 2 * PAGE, 2 * PAGE, PF_R, 'b', 0}, {0x9000, PAGE, PAGE, PF_R, 'd', 0},
		{0x1000, PAGE, PAGE, PF_R, 'a', 0},
		{0x6000, 3 * PAGE, 3 * PAGE, PF_R, 'c', 0}, /* its first page is b's */
		{0x9000, PAGE, PAGE, PF_R, 'e', 0},	    /* all of it is d's */
		{0x7000, PAGE, PAGE, PF_R, 'f', 0},	    /* all of it is c's */
	};
	static const struct ms_region expected[] = {
		{.base = 0x1000,
			.size = PAGE,
			.resident = PAGE,
			.perm = MS_PERM_READ,
			.flags = MS_REGION_ANONYMOUS,
			.path = ""},
		{.base = 0x5000,
			.size = 2 * PAGE,
			.resident = 2 * PAGE,
			.perm = MS_PERM_READ,
			.flags = MS_REGION_ANONYMOUS,
			.path = ""},
		{.base = 0x7000,
			.size = 2 * PAGE,
			.resident = 2 * PAGE,
			.perm = MS_PERM_READ,
			.flags = MS_REGION_ANONYMOUS,
			.path = ""},
		{.base = 0x9000,
			.size = PAGE,
			.resident = PAGE,
			.perm = MS_PERM_READ,
			.flags = MS_REGION_ANONYMOUS,
			.path = ""},
	};
	struct image image = {.wide = true, .machine = EM_X86_64, .count = ARRAY_SIZE(parts)};
	char buf[8 * PAGE];
	ms_source *src;
	size_t got;

	memcpy(image.parts, parts, sizeof(parts));
	src = attach(open_image(&image));
	check_regions(src, expected, ARRAY_SIZE(expected));
	check_read(src, 0x1000, PAGE, 'a', MS_STATE_VANISHED);
	check_ok(ms_source_read(src, 0x5000, buf, sizeof(buf), &got, NULL));
	check_u64(got, 5 * PAGE);
	for (size_t i = 0; i < got; i++)
		check(buf[i] == "bbccd"[i / PAGE]);
	finish(&image, src);
}

static void wrapping_segments(void)
{
	struct image wide = {.wide = true, .machine = EM_X86_64, .count = 2};
	struct image narrow = {.machine = EM_386, .count = 1};
	const struct ms_region *list;
	ms_source *src;
	size_t count;

	wide.parts[0] = (struct part){UINT64_MAX - 0xfff, UINT64_MAX, PAGE, PF_R, 'w', 0};
	wide.parts[1] = (struct part){0x1000, UINT64_MAX, UINT64_MAX, PF_R, 'x', PAGE};
	src = attach(open_image(&wide));
	check_ok(ms_source_regions(src, &list, &count));
	check_u64(count, 1);
	check_u64(list[0].base, 0x1000);
	check_u64(list[0].size, UINT64_MAX - 0x1000);
	check_read(src, 0x1000, PAGE, 'x', MS_STATE_IO_ERROR);
	finish(&wide, src);

	narrow.parts[0] = (struct part){0xfffff000, 0x10000, PAGE, PF_R, 'n', 0};
	src = attach(open_image(&narrow));
	check_ok(ms_source_regions(src, &list, &count));
	check_u64(count, 1);
	check_u64(list[0].size, PAGE);
	check_read(src, 0xfffff000, PAGE, 'n', MS_STATE_VANISHED);
	finish(&narrow, src);
}

static void stored_beyond_size(void)
{
	struct image image = {.wide = true, .machine = EM_X86_64, .count = 1};
	const struct ms_region *list;
	char buf[200];
	ms_source *src;
	size_t got;

	image.parts[0] = (struct part){0x1000, 100, PAGE, PF_R, 's', 0};
	src = attach(open_image(&image));
	check_ok(ms_source_regions(src, &list, &got));
	check_u64(list[0].resident, 100);
	check_ok(src->ops->read(src, 0x1000, buf, sizeof(buf), &got));
	check_u64(got, 100);
	check_u64(src->page_size, 4);
	check_read(src, 0x1000, 100, 's', MS_STATE_VANISHED);
	check_read(src, 0x1001, 99, 's', MS_STATE_VANISHED);
	finish(&image, src);
}

static void count_in_section_header(void)
{
	for (int wide = 0; wide < 2; wide++) {
		struct image image = {
			.wide = wide, .big = true, .machine = EM_PPC64, .count_elsewhere = true};
		const struct ms_region *list;
		ms_host *host;
		ms_source *src;
		size_t count;

		typical(&image);
		src = attach(open_image(&image));
		check_ok(ms_source_regions(src, &list, &count));
		check_u64(count, ARRAY_SIZE(typical_regions));
		check_u64(open_bytes(image.file.data, image.file.size - 1, &host), MS_ERR_FORMAT);
		check(strstr(ms_error(), "section header"));
		finish(&image, src);
	}
}

/* ---- Files that are cut off, or damaged ------------------------------------------------ */

static void truncated_data(void)
{
	struct image image = {.wide = true, .machine = EM_X86_64, .count = 2};
	static const struct run expected[] = {{0x1000, 1000, MS_STATE_DATA},
		{0x1000 + 1000, 2 * PAGE - 1000, MS_STATE_IO_ERROR},
		{0x3000, PAGE, MS_STATE_NO_ACCESS}};
	ms_host *host;
	ms_source *src;

	image.parts[0] = (struct part){0x1000, 3 * PAGE, 2 * PAGE, PF_R, 't', 1000};
	image.parts[1] = (struct part){0x8000, PAGE, PAGE, PF_R, 'u', 1};
	image_write(&image);
	check_ok(open_bytes(image.file.data, image.file.size - 1, &host));
	src = attach(host);
	check_runs(src, 0x1000, 3 * PAGE, expected, ARRAY_SIZE(expected));
	check_read(src, 0x1000, 1000, 't', MS_STATE_IO_ERROR);
	check_read(src, 0x1000 + 999, 1, 't', MS_STATE_IO_ERROR);
	check_read(src, 0x3000, 0, 0, MS_STATE_NO_ACCESS);
	check_read(src, 0x8000, 0, 0, MS_STATE_IO_ERROR);
	finish(&image, src);
}

/* However much is missing, the file opens or is refused with a sentence. */
static void truncated_anywhere(void)
{
	struct image image = {.wide = true, .machine = EM_X86_64};
	size_t opened = 0;

	typical(&image);
	prstatus(&image, 1, 27, 19, 0x7e0800);
	files(&image);
	image_write(&image);
	for (size_t size = 18; size < image.file.size; size += size < 2000 ? 1 : 997) {
		ms_host *host;
		int r = open_bytes(image.file.data, size, &host);

		check_that(r == 0 || r == MS_ERR_FORMAT, "%zu bytes: %d: %s", size, r, ms_error());
		check_u64(r == 0, size >= 64 + 7 * 56);
		if (r < 0)
			continue;
		opened++;
		ms_host_free(host);
	}
	check(opened > 100);
	image_done(&image);
}

struct damage {
	size_t offset;
	uint8_t value;
	const char *error;
};

static void damaged_header(void)
{
	static const struct damage damages[] = {
		{EI_CLASS, 3, "class"},
		{EI_DATA, 0, "byte order"},
		{54, 55, "55 bytes each"},
		{56, 0, "0 program headers"},
		{56 + 1, 0xfe, "ends within its program headers"},
		{32 + 5, 1, "ends within its program headers"},
	};
	struct image image = {.wide = true, .machine = EM_X86_64};

	typical(&image);
	image_write(&image);
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		char *spot = &image.file.data[damages[i].offset];
		char kept = *spot;
		ms_host *host;

		*spot = (char)damages[i].value;
		check_u64(open_bytes(image.file.data, image.file.size, &host), MS_ERR_FORMAT);
		check_that(strstr(ms_error(), damages[i].error), "%s", ms_error());
		*spot = kept;
	}
	image_done(&image);
}

static void other_files(void)
{
	ms_host *host;

	check_ok(ms_host_open("/proc/self/exe", &host));
	check_text(host->ops->scheme, "raw");
	ms_host_free(host);
	check_ok(open_bytes("\x7f"
			    "ELF",
		4, &host));
	check_text(host->ops->scheme, "raw");
	ms_host_free(host);
	check_u64(ms_host_open("core:/proc/self/exe", &host), MS_ERR_FORMAT);
	check(open_bytes("\x28\xb5\x2f\xfd and more of it", 20, &host) < 0);
	check(strstr(ms_error(), "unpack") || strstr(ms_error(), "zstd -d"));
}

/* Notes that lie; the memory is there all the same. */
static void check_lying_notes(uint64_t file_count)
{
	struct image image = {.wide = true, .machine = EM_X86_64};
	const struct ms_thread *threads;
	struct buf note = {0};
	ms_source *src;
	size_t count;

	typical(&image);
	pad(&note, 119); /* a byte too small for registers */
	system_note(&image, NT_PRSTATUS, &note);
	pad(&note, 135);
	system_note(&image, NT_PRPSINFO, &note);
	pad(&note, 15);
	system_note(&image, NT_AUXV, &note);
	pad(&note, 10);
	system_note(&image, NT_X86_XSTATE, &note);
	put(&note, false, file_count, 8);
	put(&note, false, PAGE, 8);
	pad(&note, 64);
	system_note(&image, NT_FILE, &note);
	put(&image.notes, false, 0xffffffff, 4); /* a name beyond the end */
	put(&image.notes, false, 0xffffffff, 4);
	put(&image.notes, false, NT_FILE, 4);
	src = attach(open_image(&image));
	check_u64(ms_source_process(src)->pid, 1);
	check_ok(ms_source_threads(src, &threads, &count));
	check_u64(count, 0);
	check_read(src, 0x400000, PAGE, 'c', MS_STATE_VANISHED);
	finish(&image, src);
}

static void hostile_notes(void)
{
	check_lying_notes(3);
	check_lying_notes(1000);
	check_lying_notes(UINT64_MAX / 24 + 2); /* times 24 it is small again */
}

/* The last name has no NUL, and an offset in pages does not fit 64 bits. */
static void hostile_file_names(void)
{
	struct image image = {.wide = true, .machine = EM_X86_64};
	static const uint64_t words[] = {3, PAGE, 0x400000, 0x401000, 1, 0x500000, 0x502000,
		UINT64_MAX, 0x680000, 0x681000, 0};
	static const char *const paths[] = {"/bin/prog", "", "", "", "", ""};
	const struct ms_region *list;
	struct buf note = {0};
	ms_source *src;
	size_t count;

	typical(&image);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		put(&note, false, words[i], 8);
	buf_add(&note, "/bin/prog\0/lib/data\0/lib", 24);
	system_note(&image, NT_FILE, &note);
	src = attach(open_image(&image));
	check_ok(ms_source_regions(src, &list, &count));
	check_u64(count, ARRAY_SIZE(paths));
	for (size_t i = 0; i < count; i++)
		check_text(list[i].path, paths[i]);
	check_u64(list[0].offset, PAGE);
	finish(&image, src);
}

/* ---- A core that gdb wrote ------------------------------------------------------------- */

static const char marker[] = "MEMSIFT_MARKER=here it is";

/* Starts a process that only sleeps, with the marker in its environment; returns its pid. */
static pid_t sleeper_start(void)
{
	int ends[2];
	char byte;
	pid_t pid;

	check(pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		char *const args[] = {"sleep", "600", NULL};
		char *const env[] = {(char *)marker, NULL};

		execve("/bin/sleep", args, env);
		_exit(127);
	}
	close(ends[1]);
	check(pid > 0 && read(ends[0], &byte, 1) == 0); /* closed by the exec */
	close(ends[0]);
	return pid;
}

static bool marker_found(ms_source *src, const struct ms_region *region)
{
	AUTO_FREE char *buf = malloc(region->size);
	size_t got;

	return buf && ms_source_read(src, region->base, buf, region->size, &got, NULL) == 0 &&
	       memmem(buf, got, marker, sizeof(marker));
}

static void check_gcore(const char *path, pid_t pid)
{
	const struct ms_region *regions;
	const struct ms_thread *threads;
	size_t count, thread_count, code = 0;
	bool found = false;
	ms_host *host;
	ms_source *src;

	check_ok(ms_host_open(path, &host));
	check_text(host->ops->scheme, "core");
	src = attach(host);
	check_u64(ms_source_process(src)->pid, (uint64_t)pid);
	check_text(ms_source_process(src)->name, "sleep");
	check(strstr(ms_source_process(src)->exe, "/sleep"));
	check_ok(ms_source_threads(src, &threads, &thread_count));
	check_u64(thread_count, 1);
	check_ok(ms_source_regions(src, &regions, &count));
	for (size_t i = 0; i < count; i++) {
		const struct ms_region *region = &regions[i];

		code += region->kind == MS_KIND_CODE;
		if (region->kind != MS_KIND_STACK)
			continue;
		check(threads[0].stack_pointer - region->base < region->size);
		found = marker_found(src, region);
	}
	check(code > 0 && found);
	ms_source_free(src);
	ms_host_free(host);
}

static void core_of_gdb(void)
{
	char folder[] = "/tmp/memsift-elfcore-XXXXXX";
	char command[256], path[128];
	pid_t pid;
	int r;

	if (access("/usr/bin/gcore", X_OK) != 0)
		skip("gdb's gcore is not installed");
	check(mkdtemp(folder));
	pid = sleeper_start();
	snprintf(command, sizeof(command), "gcore -o %s/core %d >%s/log 2>&1", folder, (int)pid,
		folder);
	r = system(command);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	snprintf(path, sizeof(path), "%s/core.%d", folder, (int)pid);
	if (r == 0)
		check_gcore(path, pid);
	unlink(path);
	snprintf(path, sizeof(path), "%s/log", folder);
	unlink(path);
	rmdir(folder);
	if (r != 0)
		skip("gcore is not allowed to trace a process here");
}

static const struct test tests[] = {
	{"machine_kinds", machine_kinds},
	{"psinfo_with_wide_uid", psinfo_with_wide_uid},
	{"without_notes", without_notes},
	{"unsorted_and_overlapping", unsorted_and_overlapping},
	{"wrapping_segments", wrapping_segments},
	{"stored_beyond_size", stored_beyond_size},
	{"count_in_section_header", count_in_section_header},
	{"truncated_data", truncated_data},
	{"truncated_anywhere", truncated_anywhere},
	{"damaged_header", damaged_header},
	{"other_files", other_files},
	{"hostile_notes", hostile_notes},
	{"hostile_file_names", hostile_file_names},
	{"core_of_gdb", core_of_gdb},
};

TEST_MAIN(tests)
