/* SPDX-License-Identifier: BSD-2-Clause */
/* Each output format against its exact text, hostile text included, and what ends an output. */
#include "memsift.h"

#include "base/buf.h"
#include "base/err.h"
#include "core/record.h"
#include "tests/test.h"

#include <locale.h>

#if HAVE_JANSSON
#include <jansson.h>
#endif

/* What an exporter wrote; kept until the next one is made. */
static struct buf output;
static size_t writes;
static int write_result;

static int collect(void *ctx, const void *data, size_t size)
{
	(void)ctx;
	writes++;
	if (write_result)
		return write_result;
	buf_add(&output, data, size);
	return 0;
}

static ms_exporter *exporter_new(const char *format)
{
	ms_exporter *exporter;

	buf_clear(&output);
	buf_text(&output, "");
	writes = 0;
	write_result = 0;
	check_ok(ms_exporter_new(format, collect, NULL, &exporter));
	return exporter;
}

static const char *exporter_end(ms_exporter *exporter)
{
	check_ok(ms_exporter_finish(exporter));
	ms_exporter_free(exporter);
	return output.data;
}

static void put(
	ms_exporter *exporter, const struct ms_schema *schema, const struct ms_value *values)
{
	struct ms_record record = {schema, values};
	struct ms_sink sink = ms_exporter_sink(exporter);

	check_ok(sink.record(sink.ctx, &record));
}

static const char *export_one(
	const char *format, const struct ms_schema *schema, const struct ms_value *values)
{
	ms_exporter *exporter = exporter_new(format);

	put(exporter, schema, values);
	return exporter_end(exporter);
}

static const struct ms_process bash = {.pid = 1234, .ppid = 1, .name = "bash"};

static const struct ms_region heap = {
	.base = 0x55d0c8a3f000,
	.size = 0x21000,
	.resident = 0x20000,
	.perm = MS_PERM_READ | MS_PERM_WRITE,
	.flags = MS_REGION_ANONYMOUS,
	.kind = MS_KIND_HEAP,
	.path = "[heap]",
};

static const struct ms_column plain_columns[] = {{"", MS_TYPE_TEXT}};
static const struct ms_schema plain_schema = {"", 1, plain_columns};

static const struct ms_column every_columns[] = {
	{"count", MS_TYPE_U64},
	{"where", MS_TYPE_ADDRESS},
	{"yes", MS_TYPE_BOOL},
	{"ratio", MS_TYPE_F64},
	{"when", MS_TYPE_TIME},
	{"text", MS_TYPE_TEXT},
	{"raw", MS_TYPE_BYTES},
	{"words", MS_TYPE_LIST},
	{"gaps", MS_TYPE_LIST},
};
static const struct ms_schema every_schema = {"every", 9, every_columns};

struct every {
	struct ms_value values[9], words[2], gap[3];
	struct ms_record plain[2], gaps[1];
};

static void every_fill(struct every *every)
{
	every->words[0] = value_text("-x");
	every->words[1] = value_text("a \"b\"");
	every->gap[0] = value_u64(0x1000);
	every->gap[1] = value_u64(0x3000);
	every->gap[2] = value_text("guard");
	every->plain[0] = (struct ms_record){&plain_schema, &every->words[0]};
	every->plain[1] = (struct ms_record){&plain_schema, &every->words[1]};
	every->gaps[0] = (struct ms_record){&ms_schema_gap, every->gap};
	every->values[0] = value_u64(UINT64_MAX);
	every->values[1] = value_u64(0x7f12a000);
	every->values[2] = value_bool(true);
	every->values[3] = (struct ms_value){.present = true, .v.f = 0.1};
	every->values[4] = value_time(1767225599);
	every->values[5] = value_text("x");
	every->values[6] = value_bytes("\x00\xff", 2);
	every->values[7] = (struct ms_value){.present = true, .v.items = every->plain, .size = 2};
	every->values[8] = (struct ms_value){.present = true, .v.items = every->gaps, .size = 1};
}

#define EVERY_JSON                                                                                 \
	"{\"type\":\"every\",\"count\":18446744073709551615,\"where\":\"0x7f12a000\",\"yes\":"     \
	"true,"                                                                                    \
	"\"ratio\":0.1,\"when\":\"2025-12-31T23:59:59Z\",\"text\":\"x\",\"raw\":\"00ff\","         \
	"\"words\":[\"-x\",\"a \\\"b\\\"\"],"                                                      \
	"\"gaps\":[{\"start\":\"0x1000\",\"end\":\"0x3000\",\"reason\":\"guard\"}]}"

#define EVERY_NULL                                                                                 \
	"{\"type\":\"every\",\"count\":null,\"where\":null,\"yes\":null,\"ratio\":null,"           \
	"\"when\":null,\"text\":null,\"raw\":null,\"words\":null,\"gaps\":null}"

static void ndjson_types(void)
{
	ms_exporter *exporter = exporter_new("ndjson");
	const struct ms_value unknown[9] = {0};
	struct every every;

	every_fill(&every);
	put(exporter, &every_schema, every.values);
	put(exporter, &every_schema, unknown);
	check_text(exporter_end(exporter), EVERY_JSON "\n" EVERY_NULL "\n");
}

static void json_document(void)
{
	ms_exporter *exporter = exporter_new("json");
	const struct ms_value unknown[9] = {0};
	struct every every;

	every_fill(&every);
	put(exporter, &every_schema, every.values);
	put(exporter, &every_schema, unknown);
	check_text(exporter_end(exporter), "{\"records\":[\n" EVERY_JSON ",\n" EVERY_NULL "\n]}\n");
	check_text(exporter_end(exporter_new("json")), "{\"records\":[\n]}\n");
	check_text(exporter_end(exporter_new("ndjson")), "");
}

/* Empty is not unknown; infinities and years without a calendar cannot be said at all. */
static void json_edges(void)
{
	struct every every;

	every_fill(&every);
	every.values[0] = value_u64(0);
	every.values[1] = value_u64(0);
	every.values[2] = value_bool(false);
	every.values[3].v.f = 1.0 / 0.0;
	every.values[4] = value_time(INT64_MAX);
	every.values[5] = value_text("");
	every.values[6] = value_bytes("", 0);
	every.values[7].size = every.values[8].size = 0;
	check_text(export_one("ndjson", &every_schema, every.values),
		"{\"type\":\"every\",\"count\":0,\"where\":\"0x0\",\"yes\":false,\"ratio\":null,"
		"\"when\":null,\"text\":\"\",\"raw\":\"\",\"words\":[],\"gaps\":[]}\n");
}

static const struct ms_column text_columns[] = {{"text", MS_TYPE_TEXT}};
static const struct ms_schema text_schema = {"t", 1, text_columns};

struct text_case {
	const char *data;
	size_t size; /* 0: strlen */
	const char *json, *csv, *text;
};

static const struct text_case texts[] = {
	{"plain", .json = "plain", .csv = "plain", .text = "plain"},
	{"a\"b", .json = "a\\\"b", .csv = "\"a\"\"b\"", .text = "a\"b"},
	{"a\\b", .json = "a\\\\b", .csv = "a\\b", .text = "a\\\\b"},
	{"a,b", .json = "a,b", .csv = "\"a,b\"", .text = "a,b"},
	{"a\nb", .json = "a\\nb", .csv = "\"a\nb\"", .text = "a\\nb"},
	{"a\r\tb", .json = "a\\r\\tb", .csv = "\"a\r\tb\"", .text = "a\\x0d\\tb"},
	{"a\0b", 3, "a\\u0000b",
		"a\xef\xbf\xbd"
		"b",
		"a\\x00b"},
	{"\x1b[2J\x7f", .json = "\\u001b[2J\\u007f", .csv = "\xef\xbf\xbd[2J\xef\xbf\xbd",
		.text = "\\x1b[2J\\x7f"},
	/* CSI as one character of U+0080-009F, which some terminals obey. */
	{"\xc2\x9b"
	 "2J",
		.json = "\\u009b2J",
		.csv = "\xef\xbf\xbd"
		       "2J",
		.text = "\\xc2\\x9b2J"},
	{"\xc3\xa9\xf0\x9f\x98\x80", .json = "\xc3\xa9\xf0\x9f\x98\x80",
		.csv = "\xc3\xa9\xf0\x9f\x98\x80", .text = "\xc3\xa9\xf0\x9f\x98\x80"},
	{"a\xff\xc3", .json = "a\xef\xbf\xbd\xef\xbf\xbd", .csv = "a\xef\xbf\xbd\xef\xbf\xbd",
		.text = "a\\xff\\xc3"},
	/* A surrogate and an overlong slash are not UTF-8. */
	{"\xed\xa0\x80", .json = "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
		.csv = "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", .text = "\\xed\\xa0\\x80"},
	{"\xc0\xaf", .json = "\xef\xbf\xbd\xef\xbf\xbd", .csv = "\xef\xbf\xbd\xef\xbf\xbd",
		.text = "\\xc0\\xaf"},
	/* Right-to-left override: harmless to a parser, not to a reader. */
	{"\xe2\x80\xae"
	 "txt",
		.json = "\xe2\x80\xae"
			"txt",
		.csv = "\xe2\x80\xae"
		       "txt",
		.text = "\\xe2\\x80\\xaetxt"},
	{"=cmd|'/C calc'!A0", .json = "=cmd|'/C calc'!A0", .csv = "'=cmd|'/C calc'!A0",
		.text = "=cmd|'/C calc'!A0"},
	{"+1", .json = "+1", .csv = "'+1", .text = "+1"},
	{"-1,\"", .json = "-1,\\\"", .csv = "\"'-1,\"\"\"", .text = "-1,\""},
	{"@x", .json = "@x", .csv = "'@x", .text = "@x"},
	{"\t=x", .json = "\\t=x", .csv = "'\t=x", .text = "\\t=x"},
	{"", .json = "", .csv = "", .text = ""},
};

static void hostile_text(void)
{
	char expected[256];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct text_case *t = &texts[i];
		struct ms_value value = value_bytes(t->data, t->size ? t->size : strlen(t->data));

		snprintf(expected, sizeof(expected), "{\"type\":\"t\",\"text\":\"%s\"}\n", t->json);
		check_text(export_one("ndjson", &text_schema, &value), expected);
		snprintf(expected, sizeof(expected), "type,text\nt,%s\n", t->csv);
		check_text(export_one("csv", &text_schema, &value), expected);
		snprintf(expected, sizeof(expected), "t: text=\"%s\"\n", t->text);
		check_text(export_one("text", &text_schema, &value), expected);
	}
}

/* Any bytes at all, by way of a parser that is not ours. */
static void json_parses_back(void)
{
#if HAVE_JANSSON
	uint64_t seed = 7;

	for (int round = 0; round < 500; round++) {
		ms_exporter *exporter = exporter_new("json");
		char data[64];
		struct ms_value value = value_bytes(data, test_random(&seed) % sizeof(data));
		json_error_t error;
		json_t *json;

		for (size_t i = 0; i < value.size; i++)
			data[i] = (char)(test_random(&seed) >> (round & 1));
		put(exporter, &text_schema, &value);
		put(exporter, &text_schema, &value);
		exporter_end(exporter);
		json = json_loadb(output.data, output.size, JSON_ALLOW_NUL, &error);
		check_that(json, "round %d: %s: %s", round, error.text, output.data);
		check_u64(json_array_size(json_object_get(json, "records")), 2);
		json_decref(json);
	}
#else
	skip("built without jansson");
#endif
}

static const struct {
	double number;
	const char *text;
} numbers[] = {
	{0, "0"},
	{-1.5, "-1.5"},
	{0.1 + 0.2, "0.30000000000000004"},
	{1e300, "1e+300"},
	{123456.789, "123456.789"},
};

static void json_numbers(void)
{
	/* A locale whose decimal point is a comma must not matter; without one this still runs. */
	static const char *const locales[] = {"C", "de_DE.UTF-8", "fr_FR.UTF-8"};
	static const struct ms_column columns[] = {{"n", MS_TYPE_F64}};
	static const struct ms_schema schema = {"n", 1, columns};
	char expected[64];

	for (size_t k = 0; k < ARRAY_SIZE(locales); k++) {
		setlocale(LC_NUMERIC, locales[k]);
		for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
			struct ms_value value = {.present = true, .v.f = numbers[i].number};
			const char *text = export_one("ndjson", &schema, &value);

			snprintf(expected, sizeof(expected), "{\"type\":\"n\",\"n\":%s}\n",
				numbers[i].text);
			if (strcmp(text, expected) != 0)
				setlocale(LC_NUMERIC, "C");
			check_text(text, expected);
		}
	}
	setlocale(LC_NUMERIC, "C");
}

static void csv_tables(void)
{
	ms_exporter *exporter = exporter_new("csv");
	struct ms_sink sink = ms_exporter_sink(exporter);
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_region none = heap;
	struct every every;

	every_fill(&every);
	none.perm = 0;
	none.resident = UINT64_MAX;
	none.path = "=1+1";
	ms_record_region(&bash, &heap, values);
	put(exporter, &ms_schema_region, values);
	ms_record_region(&bash, &none, values);
	put(exporter, &ms_schema_region, values);
	check_ok(sink_error(&sink, 7, "a,b", "gone"));
	put(exporter, &every_schema, every.values);
	check_text(exporter_end(exporter),
		"type,pid,process,start,end,size,perm,kind,path,offset,resident,device,inode,"
		"deleted,device_memory,anonymous\n"
		"region,1234,bash,0x55d0c8a3f000,0x55d0c8a60000,135168,rw-p,heap,[heap],0,131072,"
		"00:00,0,false,false,true\n"
		"region,1234,bash,0x55d0c8a3f000,0x55d0c8a60000,135168,---p,heap,'=1+1,0,,"
		"00:00,0,false,false,true\n"
		"\n"
		"type,pid,what,why\n"
		"error,7,\"a,b\",gone\n"
		"\n"
		"type,count,where,yes,ratio,when,text,raw,words,gaps\n"
		"every,18446744073709551615,0x7f12a000,true,0.1,2025-12-31T23:59:59Z,x,00ff,"
		"\"[\"\"-x\"\",\"\"a \\\"\"b\\\"\"\"\"]\","
		"\"[{\"\"start\"\":\"\"0x1000\"\",\"\"end\"\":\"\"0x3000\"\","
		"\"\"reason\"\":\"\"guard\"\"}]\"\n");
}

static void text_regions(void)
{
	ms_exporter *exporter = exporter_new("text");
	const struct ms_process other = {.pid = 9, .name = "\x1b[31mevil"};
	struct ms_value values[MS_COLUMNS_MAX];
	struct ms_region region = heap;

	ms_record_region(&bash, &region, values);
	put(exporter, &ms_schema_region, values);
	region.base = 0xffffffffff600000;
	region.size = 4096;
	region.resident = UINT64_MAX;
	region.perm = MS_PERM_EXEC;
	region.kind = MS_KIND_MAPPED;
	region.flags = MS_REGION_DELETED;
	region.path = "/tmp/a\nb";
	put(exporter, &ms_schema_region, values);
	ms_record_region(&other, &region, values);
	put(exporter, &ms_schema_region, values);
	region.flags = 0;
	region.path = "";
	ms_record_region(&other, &region, values);
	put(exporter, &ms_schema_region, values);
	check_text(exporter_end(exporter),
		"1234 bash\n"
		"ADDRESS                    PERM  KIND     SIZE    RSS  PATH\n"
		"55d0c8a3f000-55d0c8a60000  rw-p  heap     132K   128K  [heap]\n"
		"55d0c8a3f000-55d0c8a60000  rw-p  heap     132K   128K  [heap]\n"
		"\n"
		"9 \\x1b[31mevil\n"
		"ADDRESS                    PERM  KIND     SIZE    RSS  PATH\n"
		"ffffffffff600000-ffffffffff601000  --xp  mapped   4.0K      -  "
		"/tmp/a\\nb (deleted)\n"
		"ffffffffff600000-ffffffffff601000  --xp  mapped   4.0K      -\n");
}

static void text_processes(void)
{
	ms_exporter *exporter = exporter_new("text");
	const struct ms_process other = {.pid = 2,
		.name = "b\xc3\xa9",
		.user = "root",
		.started = 1767225599,
		.arch = "x86_64",
		.rss = 12897485,
		.exe = "/bin/\x1b",
		.exe_deleted = true};
	struct ms_value values[MS_COLUMNS_MAX];

	ms_record_process(&other, values);
	put(exporter, &ms_schema_process, values);
	ms_record_process(&bash, values);
	put(exporter, &ms_schema_process, values);
	check_text(exporter_end(exporter),
		"    PID     PPID  USER      STARTED               ARCH       RSS  NAME"
		"             COMMAND\n"
		"      2        0  root      2025-12-31T23:59:59Z  x86_64   12.3M  b\xc3\xa9"
		"               /bin/\\x1b (program deleted)\n"
		"   1234        1  -         -                     -           0B  bash\n");
}

static void text_modules_and_checks(void)
{
	ms_exporter *exporter = exporter_new("text");
	const struct ms_module module = {.base = 0x7f0000000000,
		.size = 1 << 20,
		.name = "libc.so.6",
		.path = "/lib/libc.so.6",
		.version = "",
		.build_id = "0123456789abcdef"};
	const struct ms_check good = {"process_vm_readv", 1, "works", NULL};
	const struct ms_check bad = {"yama", -1, "level 3", "lower it"};
	struct ms_value values[MS_COLUMNS_MAX];

	ms_record_module(&bash, &module, values);
	put(exporter, &ms_schema_module, values);
	ms_exporter_colour(exporter, true);
	ms_record_check(&good, values);
	put(exporter, &ms_schema_check, values);
	ms_record_check(&bad, values);
	put(exporter, &ms_schema_check, values);
	check_text(exporter_end(exporter),
		"1234 bash\n"
		"BASE             SIZE  NAME                  VERSION     BUILD ID      PATH\n"
		"0x7f0000000000   1.0M  libc.so.6             -           0123456789ab  "
		"/lib/libc.so.6\n"
		"\n"
		"CHECK                     STATUS   DETAIL\n"
		"process_vm_readv          \x1b[32mok\x1b[0m       works\n"
		"yama                      \x1b[1;31mmissing\x1b[0m  level 3\n"
		"    to do: lower it\n");
}

static const struct {
	uint64_t size;
	const char *text;
} sizes[] = {
	{0, "0B"},
	{1023, "1023B"},
	{1024, "1.0K"},
	{1536, "1.5K"},
	{102400, "100K"},
	{1048575, "1024K"},
	{1048576, "1.0M"},
	{UINT64_MAX, "16.0E"},
};

static void text_sizes(void)
{
	char expected[128];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		static const struct ms_column columns[] = {
			{"size", MS_TYPE_U64}, {"path", MS_TYPE_TEXT}, {"status", MS_TYPE_TEXT}};
		static const struct ms_schema schema = {"file", 3, columns};
		const struct ms_value values[] = {
			value_u64(sizes[i].size), value_text("f"), value_text("ok")};

		snprintf(expected, sizeof(expected), "STATUS    SIZE  FILE\nok       %5s  f\n",
			sizes[i].text);
		check_text(export_one("text", &schema, values), expected);
	}
}

static const char *export_hit(const struct ms_hit *hit, const struct ms_module *module, bool colour)
{
	ms_exporter *exporter = exporter_new("text");
	struct ms_value values[MS_COLUMNS_MAX] = {0};

	ms_exporter_colour(exporter, colour);
	record_hit_place(&bash, &heap, module, values);
	record_hit_found(hit, module, values);
	put(exporter, &ms_schema_hit, values);
	return exporter_end(exporter);
}

static void text_hits(void)
{
	const struct ms_module module = {.base = 0x55d0c8a3f000, .name = "libx.so"};
	struct ms_hit hit = {.address = 0x55d0c8a3f2a0,
		.size = 5,
		.pattern = "hello",
		.bytes = (const uint8_t *)"hello",
		.bytes_size = 5};

	check_text(export_hit(&hit, NULL, true),
		"1234 bash  0x55d0c8a3f2a0  rw-p heap [heap]  \"hello\"\n");
	hit.bytes = (const uint8_t *)"HeLLo";
	check_text(export_hit(&hit, &module, false),
		"1234 bash  0x55d0c8a3f2a0  rw-p heap libx.so+0x2a0  hello: \"HeLLo\"\n");
	hit.pattern = "68 ?? 6c \x1b[0m";
	hit.bytes = (const uint8_t *)"h\x1blo\0";
	check_text(export_hit(&hit, NULL, false),
		"1234 bash  0x55d0c8a3f2a0  rw-p heap [heap]  68 ?? 6c \\x1b[0m: 68 1b 6c 6f 00\n");
}

static void text_hit_context(void)
{
	/* 3 bytes before a match that lies over a line's end, 4 behind. */
	static const uint8_t context[] = "\x1b\x00zhello|\xff\x80\n";
	struct ms_hit hit = {.address = 0x100d,
		.size = 5,
		.pattern = "hello",
		.bytes = context + 3,
		.bytes_size = 5,
		.context = context,
		.context_size = 12,
		.context_before = 3};

	check_text(export_hit(&hit, NULL, false),
		"1234 bash  0x100d  rw-p heap [heap]  \"hello\"\n"
		"  000000001000                                 1b 00 7a 68 65 6c"
		"  |          ..zhel|\n"
		"  000000001010  6c 6f 7c ff 80 0a                               "
		"  |lo|...          |\n");
	check_text(export_hit(&hit, NULL, true),
		"1234 bash  0x100d  rw-p heap [heap]  \"hello\"\n"
		"  000000001000                                 1b 00 7a "
		"\x1b[1;31m68 65 6c\x1b[0m"
		"  |          ..z\x1b[1;31mhel\x1b[0m|\n"
		"  000000001010  \x1b[1;31m6c 6f\x1b[0m 7c ff 80 0a                               "
		"  |\x1b[1;31mlo\x1b[0m|...          |\n");
	/* A record that contradicts itself shows what there is. */
	hit.context_before = 100;
	hit.size = UINT64_MAX;
	check(strstr(export_hit(&hit, NULL, true), "0x100d"));
	/* At the end of the address space. */
	hit.address = UINT64_MAX - 8;
	hit.context_before = 3;
	hit.size = 5;
	check(strstr(export_hit(&hit, NULL, false), "  fffffffffffffff0  "));
}

static const char *export_coverage(const struct ms_coverage *coverage)
{
	ms_exporter *exporter = exporter_new("text");
	struct ms_sink sink = ms_exporter_sink(exporter);

	check_ok(ms_sink_coverage(&sink, &bash, coverage));
	return exporter_end(exporter);
}

static void text_coverage(void)
{
	struct ms_gap gaps[12] = {
		{0x1000, 4096, MS_STATE_GUARD},
		{0x8000, 8192, MS_STATE_VANISHED},
		{0xa000, 4096, MS_STATE_SWAPPED},
	};
	struct ms_coverage coverage = {.total = 45 << 20,
		.read = 12 << 20,
		.absent = 33 << 20,
		.unreadable = 4096,
		.gaps = gaps,
		.gap_count = 1};

	check_text(export_coverage(&coverage),
		"1234 bash: 12.0M of 45.0M read, 33.0M hold no data, "
		"4.0K unreadable (guard)\n");
	coverage.absent = 0;
	coverage.filtered = 1 << 20;
	coverage.unreadable = 12288;
	coverage.skipped = 4096;
	coverage.partial = true;
	coverage.gap_count = 3;
	check_text(export_coverage(&coverage),
		"1234 bash: 12.0M of 45.0M read, 1.0M left out by the filter, "
		"12.0K unreadable (4.0K guard, 8.0K vanished), 4.0K skipped (swapped); partial\n"
		"  8000-a000  8.0K  vanished\n"
		"  a000-b000  4.0K  swapped\n");
	for (size_t i = 3; i < ARRAY_SIZE(gaps); i++)
		gaps[i] = (struct ms_gap){0x10000 * i, 4096, MS_STATE_IO_ERROR};
	coverage.gap_count = ARRAY_SIZE(gaps);
	coverage.gaps_dropped = 2;
	check(strstr(export_coverage(&coverage), "\n  and 5 more gaps\n"));
}

static const struct ms_column summary_columns[] = {
	{"targets", MS_TYPE_U64},
	{"hits", MS_TYPE_U64},
	{"findings", MS_TYPE_U64},
	{"bytes_read", MS_TYPE_U64},
	{"seconds", MS_TYPE_F64},
	{"status", MS_TYPE_TEXT},
};
static const struct ms_schema summary_schema = {"summary", 6, summary_columns};

static void text_others(void)
{
	static const struct ms_schema meta = {"meta", 1, text_columns};
	static const struct ms_schema finding = {"finding", 9, every_columns};
	struct ms_value summary[] = {value_u64(2), value_u64(3), value_u64(0), value_u64(1 << 20),
		{.present = true, .v.f = 0.25}, value_text("complete")};
	struct ms_value text = value_text("x");
	ms_exporter *exporter = exporter_new("text");
	struct ms_sink sink = ms_exporter_sink(exporter);
	struct every every;

	every_fill(&every);
	every.values[3].present = false;
	put(exporter, &meta, &text);
	check_ok(sink_error(&sink, 1234, "read\x1b", "permission denied"));
	check_ok(sink_error(&sink, 0, "sshd", "no such process"));
	put(exporter, &finding, every.values);
	put(exporter, &summary_schema, summary);
	summary[0] = value_u64(1);
	summary[1] = value_u64(0);
	summary[5] = value_text("partial");
	put(exporter, &summary_schema, summary);
	summary[3] = value_unknown();
	put(exporter, &summary_schema, summary);
	check_text(exporter_end(exporter),
		"1234: read\\x1b: permission denied\n"
		"sshd: no such process\n"
		"finding: count=18446744073709551615 where=0x7f12a000 yes=true "
		"when=2025-12-31T23:59:59Z text=\"x\" raw=00ff words=(2 items) gaps=(1 item)\n"
		"3 hits: 1.0M of 2 processes in 0.3 s\n"
		"not found in what was read: 1.0M of 1 process in 0.3 s; partial\n");
}

static const char *const formats[] = {"text", "json", "ndjson", "csv"};

/* A record at a time, until the exporter gives up; how many it took. */
static size_t put_until_failure(ms_exporter *exporter, int *ret_status)
{
	struct ms_sink sink = ms_exporter_sink(exporter);
	struct ms_value value = value_text("0123456789012345678901234567890123456789");
	struct ms_record record = {&text_schema, &value};
	size_t count = 0;

	do
		*ret_status = sink.record(sink.ctx, &record);
	while (*ret_status == 0 && ++count < 10000);
	return count;
}

/* What a full disk does, and a reader that has seen enough: no more is written, ever. */
static void write_failure(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		ms_exporter *exporter = exporter_new(formats[i]);
		int status;

		write_result = err_set(MS_ERR_SPACE, "the disk is full");
		check(put_until_failure(exporter, &status) < 10000);
		check_u64(status, MS_ERR_SPACE);
		err_set(MS_ERR_ARGUMENT, "something else");
		check_u64(put_until_failure(exporter, &status), 0);
		check_u64(ms_exporter_finish(exporter), MS_ERR_SPACE);
		check_text(ms_error(), "the disk is full");
		check_u64(writes, 1);
		ms_exporter_free(exporter);

		exporter = exporter_new(formats[i]);
		write_result = 1;
		check(put_until_failure(exporter, &status) < 10000);
		check_u64(status, MS_ERR_STOPPED);
		check_u64(ms_exporter_finish(exporter), MS_ERR_STOPPED);
		check_u64(writes, 1);
		ms_exporter_free(exporter);
	}
}

/* A failure that only the last piece meets is not lost. */
static void finish_failure(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		ms_exporter *exporter = exporter_new(formats[i]);
		struct ms_value value = value_text("x");

		write_result = err_set(MS_ERR_IO, "broken");
		put(exporter, &text_schema, &value);
		check_u64(ms_exporter_finish(exporter), MS_ERR_IO);
		ms_exporter_free(exporter);
	}
}

/* Large output goes out in pieces, and the pieces are the whole. */
static void buffered(void)
{
	ms_exporter *exporter = exporter_new("ndjson");
	int status;

	check_u64(put_until_failure(exporter, &status), 10000);
	check(writes > 5 && writes < 50);
	exporter_end(exporter);
	check_u64(output.size, 10000 * strlen("{\"type\":\"t\",\"text\":\"\"}\n") + 10000 * 40);
}

static void unknown_format(void)
{
	ms_exporter *exporter;

	check_u64(ms_exporter_new("xml", collect, NULL, &exporter), MS_ERR_ARGUMENT);
	check_text(ms_error(),
		"there is no output format \"xml\"; there are text, json, ndjson, csv, plain");
	ms_exporter_free(NULL);
}

/* One byte that needs care at each place of texts of many lengths: they are read by words. */
static void texts_of_any_length(void)
{
	static const struct {
		char byte;
		const char *json, *csv, *quote, *text;
	} bytes[] = {
		{'"', "\\\"", "\"\"", "\"", "\""},
		{'\\', "\\\\", "\\", "", "\\\\"},
		{',', ",", ",", "\"", ","},
		{'\n', "\\n", "\n", "\"", "\\n"},
		{'\x1f', "\\u001f", "\xef\xbf\xbd", "", "\\x1f"},
		{'\x7f', "\\u007f", "\xef\xbf\xbd", "", "\\x7f"},
		{'\x80', "\xef\xbf\xbd", "\xef\xbf\xbd", "", "\\x80"},
		{'~', "~", "~", "", "~"},
		{' ', " ", " ", "", " "},
	};
	enum { LENGTH_MAX = 27 };
	char expected[200];

	for (size_t length = 1; length <= LENGTH_MAX; length++)
		for (size_t at = 0; at < length; at++)
			for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
				char *data = malloc(length); /* no NUL behind it */
				int rest = (int)(length - at - 1);
				struct ms_value value = value_bytes(data, length);
				const char *a = "aaaaaaaaaaaaaaaaaaaaaaaaaaa";

				check(data);
				memset(data, 'a', length);
				data[at] = bytes[i].byte;
				snprintf(expected, sizeof(expected),
					"{\"type\":\"t\",\"text\":\"%.*s%s%.*s\"}\n", (int)at, a,
					bytes[i].json, rest, a);
				check_text(export_one("ndjson", &text_schema, &value), expected);
				snprintf(expected, sizeof(expected),
					"type,text\nt,%s%.*s%s%.*s%s\n", bytes[i].quote, (int)at, a,
					bytes[i].csv, rest, a, bytes[i].quote);
				check_text(export_one("csv", &text_schema, &value), expected);
				snprintf(expected, sizeof(expected), "t: text=\"%.*s%s%.*s\"\n",
					(int)at, a, bytes[i].text, rest, a);
				check_text(export_one("text", &text_schema, &value), expected);
				free(data);
			}
}

/* Schemas whose keys are none, or more than is kept of them from one record to the next. */
static void json_keys(void)
{
	static const struct ms_schema none = {"none", 0, NULL};
	enum { MANY = 40, LONG = 2000 };
	struct ms_column columns[MANY];
	struct ms_value values[MANY] = {0};
	struct ms_schema many = {"many", MANY, columns}, wide = {"wide", 1, columns};
	char name[LONG + 1];
	struct buf expected = {0};

	check_text(export_one("ndjson", &none, values), "{\"type\":\"none\"}\n");
	memset(name, 'n', LONG);
	name[LONG] = '\0';
	for (size_t i = 0; i < MANY; i++)
		columns[i] = (struct ms_column){name, MS_TYPE_U64};
	buf_format(&expected, "{\"type\":\"wide\",\"%s\":null}\n", name);
	check_text(export_one("ndjson", &wide, values), expected.data);
	buf_clear(&expected);
	buf_text(&expected, "{\"type\":\"many\"");
	for (size_t i = 0; i < MANY; i++) {
		columns[i].name = "k";
		buf_text(&expected, ",\"k\":null");
	}
	buf_text(&expected, "}\n");
	check_text(export_one("ndjson", &many, values), expected.data);
	buf_done(&expected);
}

static const struct test tests[] = {
	{"texts of any length", texts_of_any_length},
	{"json-keys", json_keys},
	{"ndjson-types", ndjson_types},
	{"json-document", json_document},
	{"json-edges", json_edges},
	{"hostile-text", hostile_text},
	{"json-parses-back", json_parses_back},
	{"json-numbers", json_numbers},
	{"csv-tables", csv_tables},
	{"text-regions", text_regions},
	{"text-processes", text_processes},
	{"text-modules-and-checks", text_modules_and_checks},
	{"text-sizes", text_sizes},
	{"text-hits", text_hits},
	{"text-hit-context", text_hit_context},
	{"text-coverage", text_coverage},
	{"text-others", text_others},
	{"write-failure", write_failure},
	{"finish-failure", finish_failure},
	{"buffered", buffered},
	{"unknown-format", unknown_format},
};

TEST_MAIN(tests)
