/* SPDX-License-Identifier: BSD-2-Clause */
/* The texts of maps, smaps and mountinfo, and the rule for kinds of memory. */
#include "test.h"

#include "backend/linux_maps.h"
#include "backend/linux_mounts.h"

static struct region_list list;

static int parse(const char *text)
{
	region_list_clear(&list);
	return linux_maps_parse(text, strlen(text), &list);
}

static void test_fields(void)
{
	const struct ms_region *r;

	check_ok(parse("7f00-8000 r-xs 0000a000 fe:1f 332835                     /a b  c \n"
		       "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n"));
	check_u64(list.items.count, 2);
	r = &list.items.data[0];
	check_u64(r->base, 0x7f00);
	check_u64(r->size, 0x100);
	check_u64(r->perm, MS_PERM_READ | MS_PERM_EXEC | MS_PERM_SHARED);
	check_u64(r->offset, 0xa000);
	check_u64(r->dev_major, 0xfe);
	check_u64(r->dev_minor, 0x1f);
	check_u64(r->inode, 332835);
	check_u64(r->resident, UINT64_MAX);
	check_u64(r->flags, 0);
	check_text(r->path, "/a b  c ");
	check_u64(r[1].base, 0xffffffffff600000u);
	check_u64(r[1].flags, MS_REGION_ANONYMOUS);
	check_text(r[1].path, "[vsyscall]");
}

static void test_names(void)
{
	static const struct {
		const char *in, *out;
	} names[] = {
		{"", ""},
		{"/plain", "/plain"},
		{"/new\\012line", "/new\nline"},
		{"\\012", "\n"},
		{"/a\\012\\012", "/a\n\n"},
		{"/back\\slash\\01", "/back\\slash\\01"},
		{"/tab\\011", "/tab\\011"},
		{"/x (deleted)", "/x (deleted)"},
		{"[anon:7f00-8000 rw-p 0 00:00 0 /bin/true]",
			"[anon:7f00-8000 rw-p 0 00:00 0 /bin/true]"},
		{"/\xff\xfe", "/\xff\xfe"},
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(text, sizeof(text), "1000-2000 rw-p 0 01:02 3 %s\n", names[i].in);
		check_ok(parse(text));
		check_u64(list.items.count, 1);
		check_text(list.items.data[0].path, names[i].out);
	}
}

static void test_long_name(void)
{
	enum { LENGTH = 1 << 20 };
	char *text = malloc(LENGTH + 64);
	int head = sprintf(text, "1000-2000 rw-p 0 01:02 3 ");

	memset(text + head, 'x', LENGTH);
	memcpy(text + head + LENGTH, "\n", 2);
	check_ok(parse(text));
	check_u64(strlen(list.items.data[0].path), LENGTH);
	free(text);
}

static void test_no_final_newline(void)
{
	check_ok(parse("1000-2000 rw-p 0 01:02 3 /x"));
	check_text(list.items.data[0].path, "/x");
}

/* The target changed its memory between two reads of the text. */
static void test_overlap(void)
{
	check_ok(parse("1000-3000 rw-p 00000000 01:02 3 /a\n"
		       "2000-5000 rw-p 00001000 01:02 3 /b\n"
		       "4000-5000 rw-p 00000000 00:00 0 \n"
		       "5000-6000 rw-p 00000000 00:00 0 \n"));
	check_u64(list.items.count, 3);
	check_u64(list.items.data[1].base, 0x3000);
	check_u64(list.items.data[1].size, 0x2000);
	check_u64(list.items.data[1].offset, 0x2000);
	check_u64(list.items.data[2].base, 0x5000);
}

static void test_smaps(void)
{
	check_ok(parse("1000-3000 rw-p 00000000 01:02 3 /a\n"
		       "Size:                  8 kB\n"
		       "Rss:                   4 kB\n"
		       "VmFlags: rd wr mr mw me ac sd \n"
		       "3000-5000 rw-s 00000000 00:05 3 /dev/thing\n"
		       "Rss:                   0 kB\n"
		       "VmFlags: rd wr mr mw me pf io dc de dd sd \n"
		       "5000-6000 rw-s 00000000 00:05 3 /dev/other\n"
		       "Rss:                   9999999 kB\n"
		       "VmFlags: rd io\n"
		       "7000-8000 rw-p 00000000 00:00 0\n"
		       "VmFlags: rd wr mr mw me ac sd wf \n"));
	check_u64(list.items.count, 4);
	check_u64(list.items.data[3].flags & MS_REGION_LIVE, MS_REGION_LIVE);
	check_u64(list.items.data[0].resident, 4096);
	check_u64(list.items.data[0].flags, 0);
	check_u64(list.items.data[1].resident, 0);
	check_u64(list.items.data[1].flags, MS_REGION_DEVICE);
	check_u64(list.items.data[2].resident, 0x1000);
	check_u64(list.items.data[2].flags, MS_REGION_DEVICE);
}

static void test_bad(void)
{
	static const char *const texts[] = {
		"\n",
		"x",
		"Rss: 4 kB\n",
		"1000-2000\n",
		"1000 2000 rw-p 0 0:0 0\n",
		"2000-1000 rw-p 0 0:0 0\n",
		"1000-1000 rw-p 0 0:0 0\n",
		"1000-2000 rwzp 0 0:0 0\n",
		"1000-2000 rw-p 0 0 0\n",
		"1000-2000 rw-p 0 100000000:0 0\n",
		"10000000000000000-20000000000000000 rw-p 0 0:0 0\n",
		"1000-2000 rw-p 0 0:0 18446744073709551616\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		check_that(parse(texts[i]) == MS_ERR_FORMAT, "\"%s\" was accepted", texts[i]);
}

static void test_kinds(void)
{
	static const struct {
		const char *line;
		enum ms_kind kind;
	} rows[] = {
		{"1000-2000 r--p 0 01:02 3 /lib/x", MS_KIND_MAPPED},
		{"2000-3000 r-xp 0 01:02 3 /lib/x", MS_KIND_CODE},
		{"3000-4000 rw-p 0 01:02 3 /lib/x", MS_KIND_MAPPED},
		{"4000-5000 rw-p 0 00:00 0 ", MS_KIND_MAPPED}, /* .bss */
		{"5000-6000 rw-p 0 00:00 0 [heap]", MS_KIND_HEAP},
		{"6000-7000 rw-p 0 00:00 0 ", MS_KIND_HEAP},
		{"7000-8000 rwxp 0 00:00 0 ", MS_KIND_CODE},
		{"8000-9000 ---p 0 00:00 0 ", MS_KIND_OTHER},
		{"9000-a000 rw-p 0 00:00 0 ", MS_KIND_STACK}, /* 0x9ff0 is in it */
		{"a000-b000 r--p 0 00:00 0 ", MS_KIND_OTHER},
		{"b000-c000 rw-s 0 00:01 7 /memfd:x", MS_KIND_MAPPED},
		{"c000-d000 rw-p 0 00:00 0 ", MS_KIND_HEAP}, /* behind shared memory: no .bss */
		{"d000-e000 rw-p 0 00:00 0 [anon:x]", MS_KIND_HEAP},
		{"e000-f000 r--p 0 01:02 3 /lib/y", MS_KIND_MAPPED},
		{"f000-10000 rw-p 0 00:00 0 ", MS_KIND_HEAP}, /* behind a read-only mapping */
		{"11000-12000 rw-p 0 01:02 3 /lib/y", MS_KIND_MAPPED},
		{"13000-14000 rw-p 0 00:00 0 ", MS_KIND_HEAP}, /* not right behind it */
		{"14000-15000 rwxp 0 00:00 0 [stack]", MS_KIND_STACK},
		{"15000-16000 r--p 0 00:00 0 [vvar]", MS_KIND_OTHER},
		{"16000-17000 r-xp 0 00:00 0 [vdso]", MS_KIND_CODE},
	};
	/* The last but one lies in memory that is not writable, the last in none. */
	const uint64_t stack_pointers[] = {0x9ff0, 0x1800, 0xffff0000};
	char text[4096] = "";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		sprintf(text + strlen(text), "%s\n", rows[i].line);
	check_ok(parse(text));
	check_u64(list.items.count, ARRAY_SIZE(rows));
	linux_maps_classify(&list, stack_pointers, ARRAY_SIZE(stack_pointers));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_that(list.items.data[i].kind == rows[i].kind, "%s is %s", rows[i].line,
			ms_kind_name(list.items.data[i].kind));
}

static void test_mounts(void)
{
	static const char text[] =
		"22 27 0:21 / /proc rw,relatime - proc proc rw\n"
		"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
		"30 27 0:40 / /a\\040-\\040b rw shared:1 master:2 - fuse.sshfs host:/ rw\n"
		"31 27 8:1 / /win rw - fuseblk /dev/sda1 rw\n"
		"32 27 0:41 / /n rw shared:9 - nfs4 server:/x rw\n"
		"garbage\n"
		"33 27 0:42 / /short rw\n"
		"34 27 0:99999999999 / / rw - nfs x rw\n"
		"35 27 0:43 / /last rw - tmpfs tmpfs rw";
	struct linux_mounts mounts = {0};

	check_ok(linux_mounts_parse(text, strlen(text), &mounts));
	check_u64(mounts.items.count, 6);
	check(linux_mounts_find(&mounts, 254, 0) == LINUX_PLACE_LOCAL);
	check(linux_mounts_find(&mounts, 0, 40) == LINUX_PLACE_REMOTE);
	check(linux_mounts_find(&mounts, 8, 1) == LINUX_PLACE_REMOTE);
	check(linux_mounts_find(&mounts, 0, 41) == LINUX_PLACE_REMOTE);
	check(linux_mounts_find(&mounts, 0, 42) == LINUX_PLACE_UNKNOWN);
	check(linux_mounts_find(&mounts, 0, 43) == LINUX_PLACE_LOCAL);
	check(linux_mounts_find_id(&mounts, 32) == LINUX_PLACE_REMOTE);
	check(linux_mounts_find_id(&mounts, 27) == LINUX_PLACE_LOCAL);
	check(linux_mounts_find_id(&mounts, 1) == LINUX_PLACE_UNKNOWN);
	free(mounts.items.data);
}

static const struct test tests[] = {
	{"fields", test_fields},
	{"names", test_names},
	{"long name", test_long_name},
	{"no final newline", test_no_final_newline},
	{"overlap", test_overlap},
	{"smaps", test_smaps},
	{"bad", test_bad},
	{"kinds", test_kinds},
	{"mounts", test_mounts},
};

TEST_MAIN(tests)
