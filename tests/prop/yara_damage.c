/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled rules that were damaged: whatever happened to the file, it is refused with a sentence,
 * or what is left of it is evaluated; nothing crashes, and no process is left behind. libyara
 * itself crashes on many of these files.
 */
#include "base/mem.h"
#include "base/os.h"
#include "base/vec.h"
#include "engine/yara_image.h"
#include "memsift.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { HEADER = 6, ENTRY = 12, TABLE = HEADER + YR_NUM_SECTIONS * ENTRY, BASE = 0x10000 };

/* Every kind of string, and conditions with every kind of value. */
static const char source[] =
	"import \"pe\"\nimport \"math\"\nimport \"hash\"\n"
	"private rule hidden { condition: true }\n"
	"global rule everywhere { condition: hidden }\n"
	"rule texts : one two { meta: author = \"a\" level = 3 sure = true\n"
	"  strings: $a = \"needle\" nocase wide ascii $b = \"secret\" xor(1-20) $c = \"hello "
	"world\" "
	"base64 $d = \"zzzz\" fullword private\n"
	"  condition: any of them or (#a > 3 and @a[1] < 1000 and !a[1] == 6) }\n"
	"rule codes { strings: $a = { 61 62 [1-300] 63 64 } $b = { (61 | 62 63) ?? 7? [4-] 64 65 } "
	"$c = /ab(c|d)*e{2,5}f.{1,20}g/ $d = /\\bfoo\\d+\\s*bar$/ $e = /[a-z]{3,8}@[a-z]+\\.com/i\n"
	"  condition: 2 of them and for any i in (1..#a) : (@a[i] > 10) and 50% of ($a, $b, $c) }\n"
	"rule values { condition: texts and not codes and uint32(0x10000) == 0x464c457f and "
	"(filesize < 100 or word matches /ab+c/ or word contains \"q\") and number + 1 == 6 and "
	"part * 2 > 1.5 and math.entropy(0, 10) > 3.0 and hash.md5(0, 10) == \"abc\" and\n"
	"  for any s in pe.sections : (s.name == \".text\") and pe.version_info[\"x\"] == \"y\" "
	"and "
	"for all n in (1, 2, 3) : (n < 4) and 1 of (texts, codes) }\n";

struct bytes {
	VEC(uint8_t) all;
};

static struct bytes good;
static char path[] = "/tmp/memsift-yara-damage-XXXXXX";

static size_t bytes_write(const void *from, size_t size, size_t count, void *ctx)
{
	struct bytes *bytes = ctx;

	for (size_t i = 0; i < size * count; i++)
		check(vec_push(&bytes->all, ((const uint8_t *)from)[i]));
	return count;
}

static void rules_compile(const char *text, struct bytes *to)
{
	YR_STREAM stream = {.user_data = to, .write = bytes_write};
	YR_COMPILER *compiler;
	YR_RULES *rules;

	check(yr_initialize() == ERROR_SUCCESS);
	check(yr_compiler_create(&compiler) == ERROR_SUCCESS);
	yr_compiler_define_string_variable(compiler, "word", "abc");
	yr_compiler_define_integer_variable(compiler, "number", 5);
	yr_compiler_define_float_variable(compiler, "part", 1.5);
	check_u64((unsigned)yr_compiler_add_string(compiler, text, NULL), 0);
	check(yr_compiler_get_rules(compiler, &rules) == ERROR_SUCCESS);
	check(yr_rules_save_stream(rules, &stream) == ERROR_SUCCESS);
	yr_rules_destroy(rules);
	yr_compiler_destroy(compiler);
	yr_finalize();
	check(to->all.count > TABLE);
}

static void good_make(void)
{
	if (good.all.count)
		return;
	close(mkstemp(path));
	rules_compile(source, &good);
}

static int record_take(void *ctx, const struct ms_record *record)
{
	if (strcmp(record->schema->type, "hit") == 0)
		++*(size_t *)ctx;
	return 0;
}

static size_t evaluate(ms_engine *engine)
{
	static const char data[] = "\x7f"
				   "ELF needle abXXXcd zzzz foo12 bar abcdeeefgg g hello a@bcd.com "
				   "aGVsbG8gd29ybGQ= bcq7....de NEEDLE n\0e\0e\0d\0l\0e\0 foo1bar";
	struct ms_segment segment = {
		.base = BASE, .size = sizeof(data), .data = (const uint8_t *)data, .perm = 1};
	size_t hits = 0;
	struct ms_scan scan = {.size = sizeof(scan),
		.engine = engine,
		.job = {.size = sizeof(scan.job), .threads = 1, .timeout_ns = 20000000000},
		.sink = {record_take, &hits}};
	struct ms_total total;
	ms_source *from;
	ms_host *host;

	check_ok(ms_host_open_memory(&segment, 1, &host));
	check_ok(ms_source_open(host, 0, &from));
	check_ok(ms_scan_source(from, &scan, &total));
	ms_source_free(from);
	ms_host_free(host);
	return hits;
}

static int engine_make(const uint8_t *data, size_t size, ms_engine **ret_engine)
{
	struct ms_arg arg = {"rules", path};
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
	return ms_engine_new("yara", &arg, 1, ret_engine);
}

/* Returns whether the file was refused. */
static bool file_try(const uint8_t *data, size_t size)
{
	ms_engine *engine;
	int r = engine_make(data, size, &engine);

	if (r == 0) {
		evaluate(engine);
		ms_engine_free(engine);
		return false;
	}
	check_that(r == MS_ERR_FORMAT, "%d: %s", r, ms_error());
	check_that(strncmp(ms_error(), path, strlen(path)) == 0 ||
			   strstr(ms_error(), "neither the source"),
		"%s", ms_error());
	return true;
}

static void no_child_is_left(void)
{
	siginfo_t info;

	check(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) < 0 && errno == ECHILD);
}

static void test_whole_rules_are_taken(void)
{
	ms_engine *engine;

	good_make();
	check_ok(yara_image_check("rules", good.all.data, good.all.count));
	check_ok(engine_make(good.all.data, good.all.count, &engine));
	check(evaluate(engine) > 3);
	ms_engine_free(engine);
	no_child_is_left();
}

/* Wherever it is cut, but for right behind "YARA", where no rules begin to be compiled ones. */
static void test_a_cut_file_is_refused(void)
{
	good_make();
	for (size_t size = 4; size <= TABLE; size++)
		check_that(file_try(good.all.data, size), "%zu bytes are taken", size);
	for (size_t i = 0; i < YR_NUM_SECTIONS; i++) {
		const uint8_t *entry = good.all.data + HEADER + i * ENTRY;
		size_t at = (size_t)load_u64(entry, false), length = load_u32(entry + 8, false);

		for (size_t size = at - 1; size <= at + 1; size++)
			check_that(file_try(good.all.data, size), "%zu bytes are taken", size);
		check(file_try(good.all.data, at + length / 2));
	}
	for (size_t left = 1; left <= 64; left++)
		check_that(file_try(good.all.data, good.all.count - left), "%zu bytes less", left);
	no_child_is_left();
}

static void test_other_versions_are_refused(void)
{
	uint8_t *copy;

	good_make();
	copy = malloc(good.all.count);
	check(copy);
	for (unsigned version = 0; version < 256; version++)
		for (unsigned at = 4; at < 6; at++) {
			memcpy(copy, good.all.data, good.all.count);
			copy[at] = (uint8_t)version;
			if (version == good.all.data[at])
				continue;
			check(file_try(copy, good.all.count));
			check(strstr(ms_error(), "another version of YARA"));
		}
	free(copy);
}

static void damage(uint8_t *data, size_t size, unsigned way, uint64_t *random)
{
	const uint8_t *entry =
		good.all.data + HEADER + test_random(random) % YR_NUM_SECTIONS * ENTRY;
	size_t part = (size_t)load_u64(entry, false), length = load_u32(entry + 8, false);
	size_t at = test_random(random) % size, count = 1 + test_random(random) % 40;

	switch (way % 5) {
	case 0:
		data[at] ^= (uint8_t)(1 << test_random(random) % 8);
		break;
	case 1: /* in some part, so that the small ones get their share */
		if (length)
			data[part + test_random(random) % length] = (uint8_t)test_random(random);
		break;
	case 2:
		memset(data + at, 0, min_u64(count, size - at));
		break;
	case 3: /* a run of bytes from elsewhere */
		memcpy(data + at, good.all.data + test_random(random) % (size - 40),
			min_u64(count, size - at));
		break;
	default:
		for (size_t i = 0; i < count; i++)
			data[test_random(random) % size] ^=
				(uint8_t)(1 + test_random(random) % 255);
	}
}

static void test_damaged_files_crash_nothing(void)
{
	uint64_t random = 20240601;
	size_t refused = 0, rounds = 500;
	uint8_t *copy;

	good_make();
	copy = malloc(good.all.count);
	check(copy);
	for (size_t i = 0; i < rounds; i++) {
		memcpy(copy, good.all.data, good.all.count);
		damage(copy, good.all.count, (unsigned)i, &random);
		refused += file_try(copy, good.all.count);
	}
	free(copy);
	check(refused > rounds / 4 && refused < rounds);
	no_child_is_left();
}

/* ---- In a program that does other things, too ---------------------------------------------- */

static atomic_bool busy;
static atomic_uint told;

static void child_told(int number)
{
	(void)number;
	told++;
}

static void *memory_use(void *ctx)
{
	(void)ctx;
	while (busy) {
		void *blocks[64];

		for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
			blocks[i] = malloc(100 + 50 * i);
		for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
			free(blocks[i]);
	}
	return NULL;
}

/* The trial is no business of the program's, and other threads may be in malloc() meanwhile. */
static void test_the_trial_is_not_seen(void)
{
	struct sigaction action = {.sa_handler = child_told}, before;
	pthread_t threads[3];
	ms_engine *engine;

	good_make();
	sigaction(SIGCHLD, &action, &before);
	busy = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check(pthread_create(&threads[i], NULL, memory_use, NULL) == 0);
	for (unsigned i = 0; i < 20; i++) {
		check_ok(engine_make(good.all.data, good.all.count, &engine));
		ms_engine_free(engine);
	}
	busy = false;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	sigaction(SIGCHLD, &before, NULL);
	check_u64(told, 0);
	no_child_is_left();
}

static bool cancelled_at_once(void *ctx)
{
	++*(unsigned *)ctx;
	return true;
}

static bool cancelled_later(void *ctx)
{
	return ++*(unsigned *)ctx > 3;
}

static bool waits_for_ever(void *ctx)
{
	while (pause() < 0)
		continue;
	return ctx != NULL;
}

static void test_the_trial_is_cancelled(void)
{
	unsigned asked = 0;
	bool passed = true;

	check_u64((unsigned)-os_trial(waits_for_ever, cancelled_later, &asked, 1 << 30,
			  3600 * UINT64_C(1000000000), &passed),
		-MS_ERR_STOPPED);
	check(asked == 4 && passed);
	no_child_is_left();
}

/* Even where rules that cannot be used are left out. These take a second before they are taken. */
static void test_the_caller_may_stop_it(void)
{
	static const char slow[] =
		"rule r { condition: for all i in (1..1000000000000) : (i > 0) }";
	struct ms_arg args[] = {{"rules", path}, {"keep-going", NULL}};
	unsigned asked = 0;
	struct ms_engine_options options = {
		.size = sizeof(options), .cancelled = cancelled_at_once, .ctx = &asked};
	struct bytes bytes = {0};
	ms_engine *engine = NULL;

	good_make();
	rules_compile(slow, &bytes);
	check_ok(engine_make(bytes.all.data, bytes.all.count, &engine));
	free(bytes.all.data);
	ms_engine_free(engine);
	engine = NULL;
	check(ms_engine_new_with("yara", args, 2, &options, &engine) == MS_ERR_STOPPED);
	check(!engine && asked == 1);
	check(strncmp(ms_error(), path, strlen(path)) == 0);
	no_child_is_left();
}

static void test_the_end(void)
{
	good_make();
	free(good.all.data);
	good.all.data = NULL;
	check(unlink(path) == 0);
}

static const struct test tests[] = {
	{"whole_rules_are_taken", test_whole_rules_are_taken},
	{"a_cut_file_is_refused", test_a_cut_file_is_refused},
	{"other_versions_are_refused", test_other_versions_are_refused},
	{"damaged_files_crash_nothing", test_damaged_files_crash_nothing},
	{"the_trial_is_not_seen", test_the_trial_is_not_seen},
	{"the_trial_is_cancelled", test_the_trial_is_cancelled},
	{"the_caller_may_stop_it", test_the_caller_may_stop_it},
	{"the_file_is_gone", test_the_end},
};

TEST_MAIN(tests)
