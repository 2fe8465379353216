/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules found in memory: images made by hand in both classes and byte orders, and images that
 * are made to hurt. An image lies in a memory host whose region list is dressed up with paths.
 */
#include "test.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/host.h"
#include "memsift.h"

#include <elf.h>

enum {
	PAGE = 4096,
	IMAGE_SIZE = 4 * PAGE,
	NOTE_AT = 0x400,
	DYNAMIC_AT = 0x800,
	STRINGS_AT = 0xc00,
	HOSTILE_ROUNDS = 3000,
};

#define BASE 0x7f0000000000ull
#define BASE_32 0x40000000ull

/* ---- Making images ---------------------------------------------------------------------- */

struct image {
	uint8_t bytes[IMAGE_SIZE];
	bool wide, big;
	size_t phdrs;
};

static void put(struct image *image, size_t at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		image->bytes[at + (image->big ? size - 1 - i : i)] = (uint8_t)(value >> 8 * i);
}

/* A word of the class's size. */
static void put_word(struct image *image, size_t at, uint64_t value)
{
	put(image, at, value, image->wide ? 8 : 4);
}

static void begin(struct image *image, bool wide, bool big)
{
	memset(image, 0, sizeof(*image));
	image->wide = wide;
	image->big = big;
	memcpy(image->bytes, ELFMAG, SELFMAG);
	image->bytes[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
	image->bytes[EI_DATA] = big ? ELFDATA2MSB : ELFDATA2LSB;
	image->bytes[EI_VERSION] = EV_CURRENT;
	put(image, 16, ET_DYN, 2);
	put_word(image, wide ? 32 : 28, wide ? 64 : 52);
	put(image, wide ? 54 : 42, wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr), 2);
}

static size_t phdr_at(const struct image *image, size_t index)
{
	return image->wide ? 64 + index * sizeof(Elf64_Phdr) : 52 + index * sizeof(Elf32_Phdr);
}

static void add_phdr(struct image *image, uint32_t type, uint64_t offset, uint64_t address,
	uint64_t file_size, uint64_t memory_size)
{
	size_t at = phdr_at(image, image->phdrs++);

	put(image, at, type, 4);
	put_word(image, at + (image->wide ? 8 : 4), offset);
	put_word(image, at + (image->wide ? 16 : 8), address);
	put_word(image, at + (image->wide ? 32 : 16), file_size);
	put_word(image, at + (image->wide ? 40 : 20), memory_size);
	put(image, image->wide ? 56 : 44, image->phdrs, 2);
}

static void put_note(struct image *image, size_t at, const char *name, uint32_t type,
	const void *desc, uint32_t size)
{
	put(image, at, strlen(name) + 1, 4);
	put(image, at + 4, size, 4);
	put(image, at + 8, type, 4);
	memcpy(image->bytes + at + 12, name, strlen(name) + 1);
	memcpy(image->bytes + at + 12 + align_up(strlen(name) + 1, 4), desc, size);
}

/* Another note and then a build id of 0102...08. */
static void add_build_id(struct image *image, uint64_t low)
{
	put_note(image, NOTE_AT, "Linux", 7, "12345", 5);
	put_note(image, NOTE_AT + 28, "GNU", NT_GNU_BUILD_ID, "\1\2\3\4\5\6\7\10", 8);
	add_phdr(image, PT_NOTE, NOTE_AT, low + NOTE_AT, 28 + 24, 28 + 24);
}

static void add_dynamic(struct image *image, uint64_t low, const char *soname, uint64_t strings)
{
	size_t word = image->wide ? 8 : 4;
	const uint64_t words[] = {DT_STRTAB, strings, DT_SONAME, 5, DT_NULL, 0, DT_SONAME, 0};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		put_word(image, DYNAMIC_AT + i * word, words[i]);
	strcpy((char *)image->bytes + STRINGS_AT + 5, soname);
	add_phdr(image, PT_DYNAMIC, DYNAMIC_AT, low + DYNAMIC_AT, 8 * word, 8 * word);
}

/* An ordinary library, linked at `low`, of which less is mapped than it says. */
static void ordinary(struct image *image, bool wide, bool big, uint64_t low)
{
	begin(image, wide, big);
	add_phdr(image, PT_LOAD, 0, low, IMAGE_SIZE, IMAGE_SIZE);
	add_phdr(image, PT_LOAD, IMAGE_SIZE, low + IMAGE_SIZE + 0x10, 0x10, PAGE + 0x20);
	add_build_id(image, low);
	add_dynamic(image, low, "libtest.so.3", low + STRINGS_AT);
}

/* ---- Looking for modules ---------------------------------------------------------------- */

/* What regions() shall say of each segment. */
struct dress {
	const char *path;
	uint64_t offset;
	unsigned flags;
};

static const struct dress *dresses; /* one a segment */
static const struct ms_source_ops *memory_ops;

static int regions_dressed(struct ms_source *src, struct region_list *out)
{
	int r = memory_ops->regions(src, out);

	for (size_t i = 0; i < out->items.count; i++) {
		out->items.data[i].path = dresses[i].path;
		out->items.data[i].offset = dresses[i].offset;
		out->items.data[i].flags = dresses[i].flags;
	}
	return r;
}

struct found {
	ms_host *host;
	ms_source *src;
	struct ms_source_ops ops;
	const struct ms_module *list;
	size_t count;
};

static void look(struct found *found, const struct ms_segment *segments, const struct dress *dress,
	size_t count)
{
	dresses = dress;
	check_ok(ms_host_open_memory(segments, count, &found->host));
	check_ok(ms_source_open(found->host, 0, &found->src));
	memory_ops = found->src->ops;
	found->ops = *memory_ops;
	found->ops.regions = regions_dressed;
	found->src->ops = &found->ops;
	check_ok(ms_source_modules(found->src, &found->list, &found->count));
}

static void look_away(struct found *found)
{
	ms_source_free(found->src);
	ms_host_free(found->host);
}

static void look_at(struct found *found, const struct image *image, uint64_t base, const char *path)
{
	struct ms_segment segment = {
		.base = base, .size = IMAGE_SIZE, .data = image->bytes, .perm = 5};
	struct dress dress = {.path = path};

	look(found, &segment, &dress, 1);
}

static void ordinary_images(void)
{
	static struct image image;

	for (int wide = 0; wide < 2; wide++)
		for (int big = 0; big < 2; big++)
			for (uint64_t low = 0; low <= 0x8048000; low += 0x8048000) {
				struct found found;

				ordinary(&image, wide, big, low);
				look_at(&found, &image, BASE_32, "/lib/libtest-2.31.so");
				check_u64(found.count, 1);
				check_u64(found.list[0].base, BASE_32);
				check_u64(found.list[0].size, IMAGE_SIZE + 2 * PAGE);
				check_text(found.list[0].path, "/lib/libtest-2.31.so");
				check_text(found.list[0].name, "libtest-2.31.so");
				check_text(found.list[0].version, "2.31");
				check_text(found.list[0].build_id, "0102030405060708");
				look_away(&found);
			}
}

static void names_and_versions(void)
{
	static const struct {
		const char *path, *soname, *name, *version;
	} cases[] = {
		{"/lib/libz.so.1.2.13", "libz.so.1", "libz.so.1.2.13", "1.2.13"},
		{"/lib/libz.so", "libz.so.1", "libz.so", "1"},
		{"/lib/ld-2.31.so", "ld-linux.so.2", "ld-2.31.so", "2.31"},
		{"/bin/prog", "", "prog", ""},
		{"/bin/a-b", "", "a-b", ""},
		{"/bin/lib-x.so", "", "lib-x.so", ""},
		{"/bin/.so", "", ".so", ""},
		{"/bin/-.so", "", "-.so", ""},
		{"/bin/-1.so", "", "-1.so", "1"},
		{"/bin/x.so.", "", "x.so.", ""},
		{"[vdso]", "linux-vdso.so.1", "linux-vdso.so.1", "1"},
		{"[vdso]", "", "[vdso]", ""},
		{"/", "name.so.7", "name.so.7", "7"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static struct image image;
		struct found found;

		begin(&image, true, false);
		add_phdr(&image, PT_LOAD, 0, 0, IMAGE_SIZE, IMAGE_SIZE);
		if (*cases[i].soname)
			add_dynamic(&image, 0, cases[i].soname, STRINGS_AT);
		look_at(&found, &image, BASE, cases[i].path);
		check_u64(found.count, 1);
		check_text(found.list[0].name, cases[i].name);
		check_text(found.list[0].version, cases[i].version);
		check_text(found.list[0].build_id, "");
		look_away(&found);
	}
}

/* glibc's loader adds the bias to DT_STRTAB in the target's memory. */
static void a_relocated_string_table(void)
{
	static struct image image;
	struct found found;

	begin(&image, true, false);
	add_phdr(&image, PT_LOAD, 0, 0, IMAGE_SIZE, IMAGE_SIZE);
	add_dynamic(&image, 0, "libmoved.so.9", BASE + STRINGS_AT);
	look_at(&found, &image, BASE, "/lib/x");
	check_u64(found.count, 1);
	check_text(found.list[0].version, "9");
	look_away(&found);
}

/* Regions that cannot begin a module: no file, not its start, a device, no header. */
static void regions_without_modules(void)
{
	static struct image image;
	static const struct dress dresses_of[] = {
		{"", 0, 0},
		{"[heap]", 0, 0},
		{"/lib/x", PAGE, 0},
		{"/dev/x", 0, MS_REGION_DEVICE},
		{"/lib/garbage", 0, 0},
		{"/lib/good", 0, 0},
	};
	struct ms_segment segments[ARRAY_SIZE(dresses_of)];
	uint8_t garbage[PAGE];
	struct found found;

	memset(garbage, 0x7f, sizeof(garbage));
	ordinary(&image, true, false, 0);
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++)
		segments[i] = (struct ms_segment){.base = BASE + i * 0x10000,
			.size = i == 4 ? PAGE : IMAGE_SIZE,
			.data = i == 4 ? garbage : image.bytes,
			.perm = 1};
	look(&found, segments, dresses_of, ARRAY_SIZE(segments));
	check_u64(found.count, 1);
	check_text(found.list[0].path, "/lib/good");
	look_away(&found);
}

/* Headers in one page, the notes in a page that is not there. */
static void an_image_with_gaps(void)
{
	static struct image image;
	struct ms_segment segments[] = {
		{.base = BASE, .size = NOTE_AT, .data = image.bytes, .perm = 1},
		{.base = BASE + NOTE_AT, .size = DYNAMIC_AT - NOTE_AT, .state = MS_STATE_SWAPPED},
		{.base = BASE + DYNAMIC_AT,
			.size = STRINGS_AT + 8 - DYNAMIC_AT,
			.data = image.bytes + DYNAMIC_AT},
		{.base = BASE + STRINGS_AT + 8, .size = 16, .state = MS_STATE_ABSENT},
	};
	static const struct dress dress[] = {
		{"/lib/x", 0, 0}, {"/lib/x", 0, 0}, {"/lib/x", 0, 0}, {"/lib/x", 0, 0}};
	struct found found;

	ordinary(&image, true, false, 0);
	look(&found, segments, dress, ARRAY_SIZE(segments));
	check_u64(found.count, 1);
	check_text(found.list[0].build_id, "");
	check_text(found.list[0].name, "x");
	look_away(&found);
}

/* ---- Images made to hurt ---------------------------------------------------------------- */

/* Whatever is found must be whole: texts that end, ranges that do not wrap. */
static void check_found(struct found *found)
{
	for (size_t i = 0; i < found->count; i++) {
		const struct ms_module *m = &found->list[i];

		check(m->size && m->base + m->size >= m->base);
		check(strlen(m->name) < 4096 && strlen(m->version) < 4096);
		check(strlen(m->build_id) <= 128);
	}
}

static void headers_that_make_no_sense(void)
{
	/* Offset and size of a field of the 64-bit header, and what to put there. */
	static const struct {
		size_t at, size;
		uint64_t value;
		size_t modules;
	} cases[] = {
		{0, 4, 0, 0},
		{32, 8, UINT64_MAX, 0},
		{32, 8, UINT64_MAX - BASE, 0},
		{32, 8, IMAGE_SIZE - 8, 0},
		{54, 2, 0, 0},
		{54, 2, 1, 0},
		{54, 2, 55, 0},
		{54, 2, 57, 0},
		{54, 2, 0xffff, 0},
		{56, 2, 0, 0},
		{56, 2, 257, 0},
		{56, 2, 0xffff, 0},
		{56, 2, 256, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static struct image image;
		struct found found;

		ordinary(&image, true, false, 0);
		put(&image, cases[i].at, cases[i].value, cases[i].size);
		look_at(&found, &image, BASE, "/x");
		check_that(found.count == cases[i].modules, "case %zu: %zu", i, found.count);
		check_found(&found);
		look_away(&found);
	}
}

static void segments_that_make_no_sense(void)
{
	static const struct {
		uint32_t type;
		uint64_t offset, address, file_size, memory_size;
	} cases[] = {
		{PT_LOAD, 0, UINT64_MAX - 10, 5, UINT64_MAX},
		{PT_LOAD, 0, 0, 0, UINT64_MAX},
		{PT_LOAD, 0, UINT64_MAX - 4096, 1, 4095},
		{PT_NOTE, 0, NOTE_AT, UINT64_MAX, 0},
		{PT_NOTE, 0, NOTE_AT, 1 << 20, 0},
		{PT_NOTE, 0, UINT64_MAX - BASE, 64, 0},
		{PT_NOTE, 0, 0, 65536, 0},
		{PT_NOTE, 0, 0, 11, 0},
		{PT_DYNAMIC, 0, 0, UINT64_MAX, 0},
		{PT_DYNAMIC, 0, 0, IMAGE_SIZE, 0},
		{PT_DYNAMIC, 0, 0, 15, 0},
		{PT_DYNAMIC, 0, 0, 0, 0},
		{PT_DYNAMIC, 0, UINT64_MAX, 1 << 30, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int wide = 0; wide < 2; wide++) {
			static struct image image;
			struct found found;

			begin(&image, wide, false);
			add_phdr(&image, PT_LOAD, 0, 0, IMAGE_SIZE, IMAGE_SIZE);
			add_phdr(&image, cases[i].type, cases[i].offset, cases[i].address,
				cases[i].file_size, cases[i].memory_size);
			look_at(&found, &image, wide ? BASE : BASE_32, "/x");
			check_found(&found);
			look_away(&found);
		}
}

/* Sizes of notes that lead back, beyond, or nowhere. */
static void notes_that_make_no_sense(void)
{
	static const struct {
		uint32_t name, desc;
	} cases[] = {
		{0, 0},
		{0xffffffff, 0},
		{0, 0xffffffff},
		{0xfffffffd, 0xfffffffd},
		{4, 65},
		{4, 0},
		{5, 8},
		{0xfffffff0, 4},
		{4, 0xffffffec},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static struct image image;
		struct found found;

		begin(&image, true, false);
		add_phdr(&image, PT_LOAD, 0, 0, IMAGE_SIZE, IMAGE_SIZE);
		put_note(&image, NOTE_AT, "GNU", NT_GNU_BUILD_ID, "x", 1);
		put(&image, NOTE_AT, cases[i].name, 4);
		put(&image, NOTE_AT + 4, cases[i].desc, 4);
		add_phdr(&image, PT_NOTE, 0, NOTE_AT, 60, 60);
		look_at(&found, &image, BASE, "/x");
		check_u64(found.count, 1);
		check_text(found.list[0].build_id, "");
		look_away(&found);
	}
}

/* A name without an end, of bytes that are no text. */
static void a_soname_without_end(void)
{
	static struct image image;
	struct found found;

	ordinary(&image, true, false, 0);
	memset(image.bytes + STRINGS_AT, 0xfe, IMAGE_SIZE - STRINGS_AT);
	look_at(&found, &image, BASE, "[vdso]");
	check_u64(found.count, 1);
	check(strlen(found.list[0].name) < 256);
	look_away(&found);
}

static void truncated_anywhere(void)
{
	static struct image image;
	const struct dress dress = {.path = "/x"};

	ordinary(&image, true, false, 0);
	for (size_t size = 1; size < STRINGS_AT + 64; size += size < 400 ? 1 : 17) {
		/* Its own allocation, so that a sanitizer sees what lies behind. */
		AUTO_FREE uint8_t *bytes = malloc(size);
		struct ms_segment segment = {.base = BASE, .size = size, .data = bytes, .perm = 1};
		struct found found;

		check(bytes);
		memcpy(bytes, image.bytes, size);
		look(&found, &segment, &dress, 1);
		check_that((found.count == 1) == (size >= phdr_at(&image, image.phdrs)),
			"%zu bytes: %zu modules", size, found.count);
		check_found(&found);
		look_away(&found);
	}
}

static void damaged_at_random(void)
{
	static struct image image;
	uint64_t state = 1;

	for (int round = 0; round < HOSTILE_ROUNDS; round++) {
		struct found found;
		size_t count = 1 + test_random(&state) % 8;

		ordinary(&image, round & 1, round & 2, round & 4 ? 0x8048000 : 0);
		for (size_t i = 0; i < count; i++) {
			size_t at = test_random(&state) % (i & 1 ? STRINGS_AT : 400);

			image.bytes[at] = (uint8_t)(test_random(&state) % 3
							    ? test_random(&state)
							    : 0xff * (test_random(&state) & 1));
		}
		look_at(&found, &image, round & 1 ? BASE : BASE_32, "/lib/x.so");
		check_found(&found);
		look_away(&found);
	}
}

/* Thousands of regions that all begin with a header. */
static void very_many_images(void)
{
	enum { MANY = 3000 };
	static struct image image;
	AUTO_FREE struct ms_segment *segments = calloc(MANY, sizeof(*segments));
	AUTO_FREE struct dress *dress = calloc(MANY, sizeof(*dress));
	struct found found;

	check(segments && dress);
	ordinary(&image, true, false, 0);
	for (size_t i = 0; i < MANY; i++) {
		segments[i] = (struct ms_segment){.base = BASE + i * IMAGE_SIZE,
			.size = IMAGE_SIZE,
			.data = image.bytes,
			.perm = 1};
		dress[i].path = "/lib/again";
	}
	look(&found, segments, dress, MANY);
	check_u64(found.count, MANY);
	for (size_t i = 1; i < MANY; i++)
		check(found.list[i].base > found.list[i - 1].base);
	look_away(&found);
}

static const struct test tests[] = {
	{"ordinary images", ordinary_images},
	{"names and versions", names_and_versions},
	{"a relocated string table", a_relocated_string_table},
	{"regions without modules", regions_without_modules},
	{"an image with gaps", an_image_with_gaps},
	{"headers that make no sense", headers_that_make_no_sense},
	{"segments that make no sense", segments_that_make_no_sense},
	{"notes that make no sense", notes_that_make_no_sense},
	{"a soname without end", a_soname_without_end},
	{"truncated anywhere", truncated_anywhere},
	{"damaged at random", damaged_at_random},
	{"very many images", very_many_images},
};

TEST_MAIN(tests)
