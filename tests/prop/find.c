/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte search against an oracle that compares every literal at every offset, and sorting bytes
 * into classes against one that looks at each, with each kernel that this processor has.
 *
 * The NEON kernel can be run on another machine: build this file with src/find (kernels_arm64
 * and neon instead of the x86 ones), src/base/err.c and -static by aarch64-linux-gnu-gcc, and
 * start the program with qemu-aarch64 (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross,
 * qemu-user).
 */
#include "find/classify.h"
#include "find/find.h"

#include "memsift.h"
#include "tests/test.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const char *const kernels[] = {"scalar", "sse2", "avx2", "avx512", "neon"};

enum { KERNELS = sizeof(kernels) / sizeof(kernels[0]), SET_MAX = 1000, SIZE_MAX_LITERAL = 80 };

/* False if this processor lacks it. */
static bool kernel_force(const char *name)
{
	setenv("MEMSIFT_FIND", name, 1);
	return strcmp(find_kernel(), name) == 0;
}

/* ---- Sets of literals ------------------------------------------------------------------ */

struct set {
	struct find_literal literals[SET_MAX];
	uint8_t value[SET_MAX][SIZE_MAX_LITERAL], mask[SET_MAX][SIZE_MAX_LITERAL];
	size_t count;
};

static struct set set;

static void set_clear(void)
{
	set.count = 0;
}

static void set_add(const uint8_t *value, const uint8_t *mask, size_t size)
{
	size_t n = set.count++;

	for (size_t i = 0; i < size; i++) {
		set.mask[n][i] = mask ? mask[i] : 0xff;
		set.value[n][i] = value[i] & set.mask[n][i];
	}
	set.literals[n] = (struct find_literal){set.value[n], set.mask[n], size};
}

static void set_text(const char *text)
{
	set_add((const uint8_t *)text, NULL, strlen(text));
}

enum masking { FIXED, NOCASE, NIBBLES, HOLES, MIXED, MASKINGS };

static uint8_t random_mask(enum masking masking, uint64_t *seed)
{
	static const uint8_t odd[] = {0xf0, 0x0f, 0xff, 0x00, 0x80, 0x7f, 0xdf};
	uint64_t r = test_random(seed);

	switch (masking) {
	case FIXED:
		return 0xff;
	case NOCASE:
		return 0xdf;
	case NIBBLES:
		return r % 2 ? 0xf0 : 0x0f;
	case HOLES:
		return r % 3 ? 0xff : 0x00;
	default:
		return odd[r % sizeof(odd)];
	}
}

/* A byte of an alphabet of that many letters. Case and nibbles differ, so that masks matter. */
static uint8_t letter(unsigned alphabet, uint64_t *seed)
{
	static const uint8_t letters[] = {'a', 0x00, 'A', 'b', 0xff, 0x4f, 'B', 0x41, 0x20, 0x61};
	uint64_t r = test_random(seed);

	return alphabet >= 256 ? (uint8_t)r : letters[r % alphabet];
}

static void add_random(
	size_t min, size_t max, unsigned alphabet, enum masking masking, uint64_t *seed)
{
	uint8_t value[SIZE_MAX_LITERAL], mask[SIZE_MAX_LITERAL];
	size_t size = min + test_random(seed) % (max - min + 1);

	for (size_t i = 0; i < size; i++) {
		value[i] = letter(alphabet, seed);
		mask[i] = random_mask(masking, seed);
	}
	mask[test_random(seed) % size] |= 0x40;
	set_add(value, mask, size);
}

/* ---- Comparing with the oracle --------------------------------------------------------- */

struct hit {
	size_t offset, index;
};

struct hits {
	struct hit *list;
	size_t count, room, stop_after;
};

static int hits_add(void *ctx, size_t offset, size_t index)
{
	struct hits *hits = ctx;

	if (hits->count == hits->room) {
		hits->room = hits->room ? 2 * hits->room : 64;
		hits->list = realloc(hits->list, hits->room * sizeof(*hits->list));
	}
	hits->list[hits->count++] = (struct hit){offset, index};
	return hits->count == hits->stop_after ? 42 : 0;
}

static bool naive_match(const struct find_literal *literal, const uint8_t *data)
{
	for (size_t i = 0; i < literal->size; i++)
		if ((data[i] & literal->mask[i]) != literal->value[i])
			return false;
	return true;
}

static void naive(const uint8_t *data, size_t size, struct hits *hits)
{
	for (size_t at = 0; at < size; at++)
		for (size_t n = 0; n < set.count; n++)
			if (set.literals[n].size <= size - at &&
				naive_match(&set.literals[n], data + at))
				hits_add(hits, at, n);
}

/* Searches and expects those of `expected` that lie below starts. */
static void compare(const struct find *find, const uint8_t *data, size_t size, size_t starts,
	const struct hits *expected)
{
	struct hits actual = {0};
	size_t i = 0;

	check_u64((unsigned)find_all(find, data, size, starts, hits_add, &actual), 0);
	for (; i < expected->count && expected->list[i].offset < starts; i++) {
		const struct hit *want = &expected->list[i], *got = &actual.list[i];

		check_that(i < actual.count && got->offset == want->offset &&
				   got->index == want->index,
			"%s, %zu literals, size %zu, starts %zu: hit %zu should be %zu at %zu",
			find_kernel(), set.count, size, starts, i, want->index, want->offset);
	}
	check_that(actual.count == i, "%s, %zu literals, size %zu, starts %zu: %zu hits, not %zu",
		find_kernel(), set.count, size, starts, actual.count, i);
	free(actual.list);
}

/* Searches with every kernel, for all starts and for some. */
static void compare_kernels(const uint8_t *data, size_t size, uint64_t *seed)
{
	struct hits expected = {0};

	naive(data, size, &expected);
	for (size_t k = 0; k < KERNELS; k++) {
		struct find *find;

		if (!kernel_force(kernels[k]))
			continue;
		check_ok(find_new(set.literals, set.count, &find));
		compare(find, data, size, size, &expected);
		compare(find, data, size, SIZE_MAX, &expected);
		compare(find, data, size, test_random(seed) % (size + 1), &expected);
		find_free(find);
	}
	free(expected.list);
}

/* Puts some of the set's literals into data, so that random data has hits. */
static void plant(uint8_t *data, size_t size, uint64_t *seed)
{
	for (size_t i = 0; i < size / 40 + 2; i++) {
		const struct find_literal *literal = &set.literals[test_random(seed) % set.count];
		size_t at;

		if (literal->size > size)
			continue;
		at = i == 0   ? 0
		     : i == 1 ? size - literal->size
			      : test_random(seed) % (size - literal->size + 1);
		for (size_t k = 0; k < literal->size; k++)
			data[at + k] =
				literal->value[k] | (data[at + k] & (uint8_t)~literal->mask[k]);
	}
}

static uint8_t *data_new(size_t size, unsigned alphabet, uint64_t *seed)
{
	uint8_t *data = malloc(size ? size : 1);

	for (size_t i = 0; i < size; i++)
		data[i] = letter(alphabet, seed);
	plant(data, size, seed);
	return data;
}

/* Random data in a buffer of exact size. */
static void compare_random(size_t size, unsigned alphabet, uint64_t *seed)
{
	uint8_t *data = data_new(size, alphabet, seed);

	compare_kernels(data, size, seed);
	free(data);
}

/* ---- Tests ----------------------------------------------------------------------------- */

/* Every number of literals that takes another way, with every kind of mask. */
static void test_sets(void)
{
	static const size_t counts[] = {1, 2, 3, 8, 9, 16, 17, 64, 65, 200, 1000};
	static const struct {
		size_t min, max;
	} sizes[] = {{1, 1}, {1, 4}, {2, 9}, {4, 6}, {7, 20}, {8, 80}};
	uint64_t seed = 1;

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (enum masking m = FIXED; m < MASKINGS; m++)
				for (unsigned alphabet = 4; alphabet <= 256; alphabet *= 64) {
					set_clear();
					while (set.count < counts[c])
						add_random(sizes[s].min, sizes[s].max, alphabet, m,
							&seed);
					compare_random(
						200 + test_random(&seed) % 200, alphabet, &seed);
				}
}

/* Several blocks, and literals over their borders. */
static void test_large(void)
{
	static const size_t counts[] = {1, 5, 40, 300};
	uint64_t seed = 2;

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
		for (enum masking m = FIXED; m < MASKINGS; m++) {
			set_clear();
			while (set.count < counts[c])
				add_random(1 + (m == FIXED ? 3 : 0), 40, 256, m, &seed);
			compare_random(4096 * 3 + test_random(&seed) % 200, 256, &seed);
		}
}

/* Any alignment; the data ends where the allocation does. */
static void test_alignments(void)
{
	static const size_t counts[] = {1, 12, 90};
	uint64_t seed = 3;

	for (size_t align = 0; align <= 64; align++)
		for (size_t c = 0; c < 3; c++) {
			size_t min = 1 + align % 8;

			set_clear();
			while (set.count < counts[c])
				add_random(min, min + 6, 5, align % 3 ? FIXED : NOCASE, &seed);
			for (size_t size = align % 23; size <= 300; size += 23) {
				uint8_t *data = data_new(align + size, 5, &seed);

				compare_kernels(data + align, size, &seed);
				free(data);
			}
		}
}

static void test_sizes(void)
{
	uint64_t seed = 4;

	for (size_t size = 0; size <= 300; size++) {
		set_clear();
		for (size_t n = 0; n < 1 + size % 20; n++)
			add_random(1, 1 + size % 12, 3, size % 2 ? FIXED : HOLES, &seed);
		compare_random(size, 3, &seed);
	}
}

/* Pages without access on both sides. */
static void test_guard_pages(void)
{
	static const size_t counts[] = {1, 20, 80};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = 5;

	check(map != MAP_FAILED);
	check(mprotect(map + page, 2 * page, PROT_READ | PROT_WRITE) == 0);
	for (size_t i = 0; i < 2 * page; i++)
		map[page + i] = letter(3, &seed);
	for (size_t c = 0; c < 3; c++)
		for (enum masking m = FIXED; m < MASKINGS; m++) {
			set_clear();
			while (set.count < counts[c])
				add_random(7, 70, 3, m, &seed);
			for (size_t size = 0; size < 200; size += 13) {
				compare_kernels(map + 3 * page - size, size, &seed);
				compare_kernels(map + page, size, &seed);
			}
			compare_kernels(map + page, 2 * page, &seed);
		}
	munmap(map, 4 * page);
}

/* Equal literals, and literals that begin or end others. */
static void test_overlapping(void)
{
	static const char *const texts[] = {"aaaa", "a", "aa", "aaaaaaaa", "aaaa", "aab", "b", "a",
		"aaaaaaaaaaaaaaaaaaaaaaab", "ba", "baaaaaaaaaa", "aaaaaaab", "aaaaaaab"};
	uint64_t seed = 6;

	for (size_t copies = 1; copies <= 10; copies += 3) {
		set_clear();
		for (size_t i = 0; i < copies * (sizeof(texts) / sizeof(texts[0])); i++)
			set_text(texts[i % (sizeof(texts) / sizeof(texts[0]))]);
		for (size_t size = 1; size < 120; size += 11)
			compare_random(size, 1, &seed);
		compare_random(5000, 1, &seed);
	}
}

/* Hits everywhere: zeros, over more than one block. */
static void test_dense(void)
{
	static const uint8_t zeros[80];
	static const size_t sizes[] = {1, 2, 4, 7, 8, 16, 33, 80};
	uint8_t *data = calloc(1, 9000);
	uint64_t seed = 7;

	for (size_t some = 0; some < 3; some++) {
		set_clear();
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			if (some == 0 ? i == 0 : some == 1 || i > 2)
				set_add(zeros, NULL, sizes[i]);
		while (some == 2 && set.count < 100)
			add_random(7, 20, 2, FIXED, &seed);
		compare_kernels(data, 9000, &seed);
	}
	free(data);
}

/* Many literals with one letter in either case, at each place of the wide window in turn. */
static void test_one_letter(void)
{
	uint64_t seed = 10;

	for (size_t place = 0; place < 9; place++) {
		set_clear();
		while (set.count < 100) {
			uint8_t value[9], mask[9];

			for (size_t i = 0; i < sizeof(value); i++)
				value[i] = letter(256, &seed);
			memset(mask, 0xff, sizeof(mask));
			mask[place] = 0xdf;
			set_add(value, mask, sizeof(value));
		}
		compare_random(3000, 256, &seed);
	}
}

/* A good window at a different place in each literal, and some without any. */
static void test_scattered_windows(void)
{
	uint64_t seed = 8;

	for (size_t count = 4; count <= 400; count *= 10) {
		set_clear();
		while (set.count < count) {
			uint8_t value[60], mask[60] = {0};
			size_t at = test_random(&seed) % 53, width = 1 + test_random(&seed) % 7;

			for (size_t i = 0; i < 60; i++)
				value[i] = letter(256, &seed);
			memset(mask + at, set.count % 11 ? 0xff : 0x1f, width);
			set_add(value, mask, 60);
		}
		compare_random(6000, 256, &seed);
	}
}

/*
 * The two rarest bytes lie far from the start of a long literal, and too far from each other to
 * be looked at together; which of them comes first is up to the caller.
 */
static void long_literal(uint8_t first, uint8_t last)
{
	size_t size = FIND_LITERAL_MAX, data_size = 3 * size + 77;
	uint8_t *value = calloc(1, size), *mask = malloc(size), *data = calloc(1, data_size);
	struct find_literal literal = {value, mask, size};

	memset(mask, 0xff, size);
	value[1000] = first;
	value[size - 100] = last;
	memcpy(data + 5, value, size);
	memcpy(data + 77 + 2 * size, value, size);
	for (size_t k = 0; k < KERNELS; k++) {
		struct hits hits = {0};
		struct find *find;

		if (!kernel_force(kernels[k]))
			continue;
		check_ok(find_new(&literal, 1, &find));
		check_u64((unsigned)find_all(find, data, data_size, data_size, hits_add, &hits), 0);
		check_u64(hits.count, 2);
		check_u64(hits.list[0].offset, 5);
		check_u64(hits.list[1].offset, 77 + 2 * size);
		free(hits.list);
		find_free(find);
	}
	free(value);
	free(mask);
	free(data);
}

static void test_long_literal(void)
{
	long_literal(0x97, 0x9d);
	long_literal(0x9d, 0x97);
}

/* Every pair of letter cases is found, and what only looks like a letter is not. */
static void test_nocase(void)
{
	static const char data[] = "PassWord passworD p\x01ssword PASSWORD Pas3word";
	static const uint8_t mask[] = {0xdf, 0xdf, 0xdf, 0xdf, 0xdf, 0xdf, 0xdf, 0xdf};

	set_clear();
	set_add((const uint8_t *)"PASSWORD", mask, 8);
	for (size_t k = 0; k < KERNELS; k++) {
		struct hits hits = {0};
		struct find *find;

		if (!kernel_force(kernels[k]))
			continue;
		check_ok(find_new(set.literals, 1, &find));
		find_all(find, (const uint8_t *)data, sizeof(data), sizeof(data), hits_add, &hits);
		check_u64(hits.count, 3);
		check_u64(hits.list[2].offset, 27);
		free(hits.list);
		find_free(find);
	}
}

static void test_early_stop(void)
{
	static const uint8_t zeros[10000];
	static const size_t stops[] = {1, 2, 64, 65, 9000};
	struct find *find;

	set_clear();
	set_add(zeros, NULL, 1);
	set_add(zeros, NULL, 3);
	check_ok(find_new(set.literals, 2, &find));
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		struct hits hits = {.stop_after = stops[i]};

		check_u64((unsigned)find_all(
				  find, zeros, sizeof(zeros), sizeof(zeros), hits_add, &hits),
			42);
		check_u64(hits.count, stops[i]);
		free(hits.list);
	}
	find_free(find);
}

static void test_arguments(void)
{
	static uint8_t value[FIND_LITERAL_MAX + 1], mask[FIND_LITERAL_MAX + 1];
	struct find_literal literal = {value, mask, 8};
	struct find *find = NULL;
	struct hits hits = {0};

	check_u64((unsigned)find_new(&literal, 1, &find), (unsigned)MS_ERR_ARGUMENT);
	mask[0] = 0xff;
	literal.size = 0;
	check_u64((unsigned)find_new(&literal, 1, &find), (unsigned)MS_ERR_ARGUMENT);
	literal.size = FIND_LITERAL_MAX + 1;
	check_u64((unsigned)find_new(&literal, 1, &find), (unsigned)MS_ERR_ARGUMENT);
	literal.size = 1;
	check_u64((unsigned)find_new(&literal, (size_t)FIND_COUNT_MAX + 1, &find),
		(unsigned)MS_ERR_ARGUMENT);
	check(!find);
	check_ok(find_new(NULL, 0, &find));
	check_u64((unsigned)find_all(find, value, 100, 100, hits_add, &hits), 0);
	check_u64(hits.count, 0);
	find_free(find);
	find_free(NULL);
}

/* A very large set of distinct literals: each planted one is found, and nothing else. */
static void test_many(void)
{
	enum { COUNT = 200000, SIZE = 10, DATA = 65536 };
	struct find_literal *literals = calloc(COUNT, sizeof(*literals));
	uint8_t *values = malloc((size_t)COUNT * SIZE), *data = calloc(1, DATA);
	static uint8_t mask[SIZE];
	struct hits hits = {0};
	struct find *find;
	uint64_t seed = 9;

	memset(mask, 0xff, sizeof(mask));
	for (size_t i = 0; i < COUNT; i++) {
		for (size_t k = 0; k < SIZE; k++)
			values[i * SIZE + k] = (uint8_t)(1 + test_random(&seed) % 255);
		literals[i] = (struct find_literal){values + i * SIZE, mask, SIZE};
	}
	for (size_t n = 0; n < 1000; n++)
		memcpy(data + n * 61 + n % 40, values + n * 199 * SIZE, SIZE);
	check_ok(find_new(literals, COUNT, &find));
	check_u64((unsigned)find_all(find, data, DATA, DATA, hits_add, &hits), 0);
	check_u64(hits.count, 1000);
	for (size_t n = 0; n < 1000; n++) {
		check_u64(hits.list[n].offset, n * 61 + n % 40);
		check_u64(hits.list[n].index, n * 199);
	}
	find_free(find);
	free(hits.list);
	free(literals);
	free(values);
	free(data);
}

/*
 * Runs out of memory at every step, in a child whose address space is limited. It must be the
 * first test: free memory left by another would be used before the limit is met.
 */
static void test_memory_limit(void)
{
	enum { COUNT = 100000 };
	pid_t pid;
	int status;

	if (SANITIZED)
		skip("a sanitizer needs the address space");
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		static struct find_literal literals[COUNT];
		static uint8_t value[16], mask[16] = {[3] = 0xff};
		struct find *find = NULL;
		bool failed = false, worked = false;

		for (size_t i = 0; i < COUNT; i++)
			literals[i] = (struct find_literal){value, mask, 16};
		for (size_t mib = 4; mib < 200; mib += mib / 8 + 1) {
			struct rlimit limit = {mib << 20, RLIM_INFINITY};
			int r;

			setrlimit(RLIMIT_AS, &limit);
			r = find_new(literals, COUNT, &find);
			if (r != 0 && r != MS_ERR_MEMORY)
				_exit(1);
			*(r ? &failed : &worked) = true;
			if (r == 0)
				find_free(find);
		}
		_exit(!failed ? 3 : !worked ? 2 : 0);
	}
	check(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		skip("the limit is not enforced here, as under qemu-user");
	check_u64((unsigned)status, 0);
}

/* ---- Classes --------------------------------------------------------------------------- */

static bool in_class(const struct byte_class *class, uint8_t byte)
{
	for (size_t r = 0; r < class->count; r++)
		if (byte >= class->ranges[r].low && byte <= class->ranges[r].high)
			return true;
	return false;
}

static void random_classes(struct byte_class *classes, size_t count, uint64_t *random)
{
	for (size_t c = 0; c < count; c++) {
		classes[c].count = 1 + test_random(random) % CLASSIFY_RANGES;
		for (size_t r = 0; r < classes[c].count; r++) {
			uint8_t a = (uint8_t)test_random(random), b = (uint8_t)test_random(random);

			classes[c].ranges[r] = (struct byte_range){
				a < b ? a : b, test_random(random) % 8 ? a < b ? b : a : 255};
		}
	}
}

/* The data ends where the memory does, and begins at any alignment. */
static void classify_run(classify_words *classify, size_t skip, uint64_t *random)
{
	enum { WORDS = 3 };
	struct byte_class classes[CLASSIFY_CLASSES_MAX];
	uint64_t masks[WORDS * CLASSIFY_CLASSES_MAX];
	size_t count = 1 + test_random(random) % CLASSIFY_CLASSES_MAX;
	uint8_t *memory = malloc(skip + 64 * WORDS), *data = memory + skip;

	check(memory);
	random_classes(classes, count, random);
	for (size_t i = 0; i < 64 * WORDS; i++)
		data[i] = (uint8_t)test_random(random);
	classify(classes, count, data, WORDS, masks);
	for (size_t i = 0; i < 64 * WORDS; i++)
		for (size_t c = 0; c < count; c++)
			check_u64(masks[i / 64 * count + c] >> i % 64 & 1,
				in_class(&classes[c], data[i]));
	free(memory);
}

static void test_classes(void)
{
	classify_words *seen[KERNELS];
	uint64_t random = 17;
	size_t count = 0;

	for (size_t k = 0; k < KERNELS; k++) {
		if (!kernel_force(kernels[k]))
			continue;
		/* Forcing a kernel forces its own way, which no other has. */
		for (size_t i = 0; i < count; i++)
			check(seen[i] != classify_choose());
		seen[count++] = classify_choose();
		for (size_t round = 0; round < 200; round++)
			classify_run(classify_choose(), round % 65, &random);
	}
	unsetenv("MEMSIFT_FIND");
	check(count >= 1);
}

static const struct test tests[] = {
	{"classes", test_classes},
	{"memory limit", test_memory_limit},
	{"sets", test_sets},
	{"large", test_large},
	{"alignments", test_alignments},
	{"sizes", test_sizes},
	{"guard pages", test_guard_pages},
	{"overlapping", test_overlapping},
	{"dense", test_dense},
	{"one letter", test_one_letter},
	{"scattered windows", test_scattered_windows},
	{"long literal", test_long_literal},
	{"nocase", test_nocase},
	{"early stop", test_early_stop},
	{"arguments", test_arguments},
	{"many", test_many},
};

TEST_MAIN(tests)
