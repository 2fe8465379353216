/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "yara" against plain libyara, which gets each stretch of the same memory as one block:
 * random rules with every kind of string and condition, over random memory in which samples of
 * the strings are planted, mostly at borders, must give the same matches, with the prefilter and
 * without it. So must a large public set of rules, where it is to be had.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/engine.h"
#include "engine/engines.h"
#include "memsift.h"
#include "test.h"

#include <yara.h>

enum {
	ROUNDS = 400,
	STRETCHES_MAX = 3,
	SAMPLES_MAX = 64,
	SAMPLE_SIZE = 1024,
	BLOCK = 256 * 1024, /* what libyara is shown at a time */
	CHUNK = 512 * 1024,
};

static const char public_rules[] = "../shared/rules/elastic-linux.yar";

/* ---- Matches --------------------------------------------------------------------------- */

struct match {
	char rule[48], string[24];
	uint64_t address, size;
};

struct matches {
	VEC(struct match) list;
};

static void match_add(struct matches *matches, const char *rule, size_t rule_size,
	const char *string, size_t string_size, uint64_t address, uint64_t size)
{
	struct match match = {.address = address, .size = size};

	snprintf(match.rule, sizeof(match.rule), "%.*s", (int)rule_size, rule);
	snprintf(match.string, sizeof(match.string), "%.*s", (int)string_size, string);
	check(vec_push(&matches->list, match));
}

static int match_compare(const void *left, const void *right)
{
	const struct match *a = left, *b = right;
	int order = strcmp(a->rule, b->rule);

	if (order == 0)
		order = strcmp(a->string, b->string);
	if (order == 0)
		order = a->address < b->address ? -1 : a->address > b->address;
	return order;
}

static void matches_same(
	struct matches *actual, struct matches *expected, const char *how, const char *rules)
{
	if (actual->list.count)
		qsort(actual->list.data, actual->list.count, sizeof(struct match), match_compare);
	if (expected->list.count)
		qsort(expected->list.data, expected->list.count, sizeof(struct match),
			match_compare);
	for (size_t i = 0; i < actual->list.count || i < expected->list.count; i++) {
		struct match none = {.rule = "nothing"};
		struct match *a = i < actual->list.count ? &actual->list.data[i] : &none;
		struct match *e = i < expected->list.count ? &expected->list.data[i] : &none;

		check_that(match_compare(a, e) == 0 && a->size == e->size,
			"%s: match %zu of %zu is %s %s 0x%llx+%llu; not %s %s 0x%llx+%llu of %zu; "
			"rules:\n%s",
			how, i, actual->list.count, a->rule, a->string,
			(unsigned long long)a->address, (unsigned long long)a->size, e->rule,
			e->string, (unsigned long long)e->address, (unsigned long long)e->size,
			expected->list.count, rules);
	}
}

/* ---- Plain libyara --------------------------------------------------------------------- */

struct memory {
	struct ms_segment stretches[STRETCHES_MAX];
	size_t count;
};

struct plain {
	const struct memory *memory;
	size_t at;
	YR_MEMORY_BLOCK block;
	struct matches *matches;
};

static const uint8_t *plain_fetch(YR_MEMORY_BLOCK *block)
{
	return block->context;
}

static YR_MEMORY_BLOCK *plain_next(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	struct plain *plain = iterator->context;
	const struct ms_segment *stretch = &plain->memory->stretches[plain->at];

	iterator->last_error = ERROR_SUCCESS;
	if (plain->at == plain->memory->count)
		return NULL;
	plain->at++;
	plain->block = (YR_MEMORY_BLOCK){.base = stretch->base,
		.size = stretch->size,
		.context = (void *)stretch->data,
		.fetch_data = plain_fetch};
	return &plain->block;
}

static YR_MEMORY_BLOCK *plain_first(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	struct plain *plain = iterator->context;

	plain->at = 0;
	return plain_next(iterator);
}

/* libyara puts them behind each other without regard to alignment. */
typedef YR_MATCH packed_match __attribute__((aligned(1)));

static int plain_heard(YR_SCAN_CONTEXT *context, int message, void *data, void *ctx)
{
	struct plain *plain = ctx;
	YR_RULE *rule = data;
	YR_STRING *string;
	packed_match *match;
	size_t before = plain->matches->list.count;

	if (message != CALLBACK_MSG_RULE_MATCHING)
		return CALLBACK_CONTINUE;
	yr_rule_strings_foreach(rule, string)
	{
		yr_string_matches_foreach(context, string, match)
		{
			match_add(plain->matches, rule->identifier, strlen(rule->identifier),
				string->identifier, strlen(string->identifier),
				(uint64_t)(match->base + match->offset),
				(uint64_t)match->match_length);
		}
	}
	if (plain->matches->list.count == before)
		match_add(plain->matches, rule->identifier, strlen(rule->identifier), "", 0, 0, 0);
	return CALLBACK_CONTINUE;
}

static void plain_run(YR_RULES *rules, const struct memory *memory, struct matches *matches)
{
	struct plain plain = {.memory = memory, .matches = matches};
	YR_MEMORY_BLOCK_ITERATOR iterator = {
		.context = &plain, .first = plain_first, .next = plain_next};
	YR_SCANNER *scanner;

	check(yr_scanner_create(rules, &scanner) == ERROR_SUCCESS);
	yr_scanner_set_callback(scanner, plain_heard, &plain);
	yr_scanner_set_flags(scanner, SCAN_FLAGS_PROCESS_MEMORY | SCAN_FLAGS_NO_TRYCATCH);
	check(yr_scanner_scan_mem_blocks(scanner, &iterator) == ERROR_SUCCESS);
	yr_scanner_destroy(scanner);
}

/* ---- The engine ------------------------------------------------------------------------ */

static const struct ms_value *column(const struct ms_record *record, const char *name)
{
	for (size_t i = 0; i < record->schema->column_count; i++)
		if (strcmp(record->schema->columns[i].name, name) == 0)
			return &record->values[i];
	check_that(false, "no column %s", name);
	return NULL;
}

static int record_take(void *ctx, const struct ms_record *record)
{
	const struct ms_value *rule, *string;

	check_that(strcmp(record->schema->type, "error") != 0, "error: %.*s",
		(int)record->values[2].size, (const char *)record->values[2].v.data);
	if (strcmp(record->schema->type, "coverage") == 0)
		check_u64(column(record, "read")->v.u, column(record, "total")->v.u);
	if (strcmp(record->schema->type, "hit") != 0)
		return 0;
	rule = column(record, "rule");
	string = column(record, "string");
	match_add(ctx, rule->v.data, rule->size, string->present ? string->v.data : "",
		string->size, string->present ? column(record, "address")->v.u : 0,
		string->present ? column(record, "size")->v.u : 0);
	return 0;
}

static void engine_run(const struct ms_arg *args, size_t count, const struct memory *memory,
	unsigned threads, struct matches *matches)
{
	struct ms_scan scan = {.size = sizeof(scan),
		.job = {.size = sizeof(scan.job), .threads = threads},
		.sink = {record_take, matches}};
	struct ms_total total;
	ms_engine *engine;
	ms_source *source;
	ms_host *host;

	check_ok(ms_engine_new("yara", args, count, &engine));
	scan.engine = engine;
	check_ok(ms_host_open_memory(memory->stretches, memory->count, &host));
	check_ok(ms_source_open(host, 0, &source));
	check_ok(ms_scan_source(source, &scan, &total));
	check(!total.partial);
	ms_source_free(source);
	ms_host_free(host);
	ms_engine_free(engine);
}

static void compare(const char *key, const char *value, YR_RULES *rules,
	const struct memory *memory, const char *text)
{
	struct ms_arg args[] = {{key, value}, {"no-prefilter", ""}};
	struct matches expected = {0};

	plain_run(rules, memory, &expected);
	for (unsigned way = 0; way < 3; way++) {
		static const char *const names[] = {"one thread", "three threads", "no prefilter"};
		struct matches actual = {0};

		engine_run(args, way == 2 ? 2 : 1, memory, way == 0 ? 1 : 3, &actual);
		matches_same(&actual, &expected, names[way], text);
		free(actual.list.data);
	}
	free(expected.list.data);
}

/* ---- Random rules ---------------------------------------------------------------------- */

struct sample {
	uint8_t data[SAMPLE_SIZE];
	size_t size;
};

struct round {
	uint64_t random, seed;
	struct buf rules;
	struct sample samples[SAMPLES_MAX];
	size_t sample_count;
	struct memory memory;
	uint8_t *data[STRETCHES_MAX];
	unsigned letters; /* of the alphabet words are made of */
	bool chains;	  /* strings with long jumps: one stretch only, see yara_matches.c */
};

static uint64_t below(struct round *round, uint64_t limit)
{
	return test_random(&round->random) % limit;
}

static bool one_in(struct round *round, uint64_t count)
{
	return below(round, count) == 0;
}

static char letter(struct round *round)
{
	return (char)('a' + below(round, round->letters));
}

static void word_make(struct round *round, char *word, size_t least, size_t most)
{
	size_t size = least + below(round, most - least + 1);

	for (size_t i = 0; i < size; i++)
		word[i] = letter(round);
	word[size] = '\0';
}

static struct sample *sample_new(struct round *round)
{
	struct sample *sample =
		&round->samples[round->sample_count < SAMPLES_MAX ? round->sample_count++
								  : below(round, SAMPLES_MAX)];

	sample->size = 0;
	return sample;
}

static void sample_add(struct sample *sample, const void *data, size_t size)
{
	size = (size_t)min_u64(size, SAMPLE_SIZE - sample->size);
	memcpy(sample->data + sample->size, data, size);
	sample->size += size;
}

static void sample_byte(struct sample *sample, uint8_t byte)
{
	sample_add(sample, &byte, 1);
}

static void base64_put(struct sample *sample, const char *text, size_t size, bool wide)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i + 2 < size; i += 3) {
		uint32_t three = (uint32_t)(uint8_t)text[i] << 16 |
				 (uint32_t)(uint8_t)text[i + 1] << 8 | (uint8_t)text[i + 2];

		for (int k = 3; k >= 0; k--) {
			sample_byte(sample, (uint8_t)alphabet[three >> (6 * k) & 63]);
			if (wide)
				sample_byte(sample, 0);
		}
	}
}

/* A text in one of the forms its modifiers allow, and something beside it. */
static void text_sample(struct round *round, const char *word, bool nocase, bool wide, uint8_t key)
{
	struct sample *sample = sample_new(round);

	if (one_in(round, 3))
		sample_byte(sample, (uint8_t)letter(round));
	if (one_in(round, 4))
		sample_byte(sample, 0);
	for (; *word; word++) {
		sample_byte(
			sample, (uint8_t)(nocase && one_in(round, 2) ? *word ^ 0x20 : *word) ^ key);
		if (wide)
			sample_byte(sample, key);
	}
	if (one_in(round, 3))
		sample_byte(sample, (uint8_t)letter(round));
	if (one_in(round, 3))
		sample_byte(sample, 0);
}

static void text_string(struct round *round, const char *name)
{
	char word[64];
	bool nocase = one_in(round, 3), wide = one_in(round, 3), ascii = !wide || one_in(round, 2);
	bool xor = !nocase && one_in(round, 4);
	uint8_t key = xor? (uint8_t)below(round, 256) : 0;

	word_make(round, word, one_in(round, 8) ? 1 : 3, one_in(round, 6) ? 50 : 14);
	buf_format(&round->rules, "  $%s = \"%s\"%s%s%s%s%s%s\n", name, word,
		nocase ? " nocase" : "", wide ? " wide" : "", wide && ascii ? " ascii" : "",
		xor? " xor" : "", one_in(round, 3) ? " fullword" : "",
		one_in(round, 8) ? " private" : "");
	for (int i = 0; i < 3; i++)
		text_sample(round, word, nocase, wide && (!ascii || one_in(round, 2)), key);
}

static void base64_string(struct round *round, const char *name)
{
	char word[64], padded[80];
	bool wide = one_in(round, 3);

	word_make(round, word, 4, 14);
	buf_format(&round->rules, "  $%s = \"%s\" %s\n", name, word,
		wide ? (one_in(round, 2) ? "base64wide" : "base64 base64wide") : "base64");
	for (int i = 0; i < 3; i++) {
		snprintf(padded, sizeof(padded), "%.*s%sxyzw", (int)below(round, 4), "pqr", word);
		base64_put(sample_new(round), padded, strlen(padded), wide);
	}
}

static void hex_jump(struct round *round, struct sample *sample)
{
	unsigned low = (unsigned)below(round, 6), high = low + (unsigned)below(round, 6);
	unsigned taken;

	if (round->chains && one_in(round, 2)) {
		high = low + 200 + (unsigned)below(round, 300);
		if (one_in(round, 3))
			buf_format(&round->rules, "[%u-] ", low);
		else
			buf_format(&round->rules, "[%u-%u] ", low, high);
	} else {
		buf_format(&round->rules, "[%u-%u] ", low, high);
	}
	taken = low + (unsigned)below(round, high - low + 1);
	for (unsigned i = 0; i < taken; i++)
		sample_byte(sample, (uint8_t)letter(round));
}

static void hex_string(struct round *round, const char *name)
{
	struct sample *sample = sample_new(round);
	size_t count = 4 + below(round, 10);

	buf_format(&round->rules, "  $%s = { ", name);
	for (size_t i = 0; i < count; i++) {
		uint8_t byte = (uint8_t)letter(round);
		bool inner = i > 1 && i + 2 < count;

		sample_byte(sample, byte);
		if (inner && one_in(round, 6)) {
			buf_text(&round->rules, "?? ");
		} else if (inner && one_in(round, 6)) {
			buf_format(&round->rules, one_in(round, 2) ? "%1X? " : "?%1X ",
				one_in(round, 2) ? byte >> 4 : byte & 15);
		} else if (inner && one_in(round, 6)) {
			buf_format(&round->rules, "(%02X | %02X %02X | %02X) ", letter(round),
				letter(round), letter(round), byte);
		} else {
			buf_format(&round->rules, "%02X ", byte);
			if (inner && one_in(round, 4))
				hex_jump(round, sample);
		}
	}
	buf_text(&round->rules, one_in(round, 8) ? "} private\n" : "}\n");
}

static void regex_string(struct round *round, const char *name)
{
	struct sample *sample = sample_new(round);
	size_t parts = 1 + below(round, 3);
	char word[16];

	buf_format(&round->rules, "  $%s = /", name);
	if (one_in(round, 6))
		buf_text(&round->rules, one_in(round, 2) ? "^" : "\\b");
	for (size_t i = 0; i <= parts; i++) {
		word_make(round, word, 2, 7);
		buf_text(&round->rules, word);
		sample_add(sample, word, strlen(word));
		if (i == parts)
			break;
		switch (below(round, 7)) {
		case 0:
			buf_text(&round->rules, ".*");
			break;
		case 1:
			buf_text(&round->rules, ".{0,9}?");
			sample_byte(sample, (uint8_t)letter(round));
			break;
		case 2:
			buf_format(&round->rules, "[%c-%c]+", 'a', letter(round));
			sample_byte(sample, 'a');
			break;
		case 3:
			buf_format(&round->rules, "(%c%c|%c)?", letter(round), letter(round),
				letter(round));
			break;
		case 4:
			buf_text(&round->rules, "\\x00?\\b");
			sample_byte(sample, 0);
			break;
		case 5:
			buf_format(&round->rules, "%c{2,5}", word[0]);
			sample_add(sample, (char[]){word[0], word[0], word[0]}, 3);
			break;
		default:
			buf_text(&round->rules, "[^\\x00]*?");
		}
	}
	if (one_in(round, 6))
		buf_text(&round->rules, one_in(round, 2) ? "$" : "\\b");
	buf_format(&round->rules, "/%s%s%s%s%s\n", one_in(round, 4) ? "i" : "",
		one_in(round, 4) ? "s" : "", one_in(round, 5) ? " ascii wide" : "",
		one_in(round, 4) ? " fullword" : "", one_in(round, 8) ? " private" : "");
}

static uint64_t some_address(struct round *round)
{
	const struct ms_segment *stretch =
		&round->memory.stretches[below(round, round->memory.count)];

	return stretch->base + below(round, one_in(round, 3) ? 64 : stretch->size);
}

static void condition_make(struct round *round, size_t rule, const char *name)
{
	struct buf *out = &round->rules;
	uint64_t address = some_address(round);
	const char *join = one_in(round, 2) ? "or" : "and";

	switch (below(round, 14)) {
	case 0:
		buf_text(out, "all of them");
		break;
	case 1:
		buf_format(out, "#%s > %u", name, (unsigned)below(round, 4));
		break;
	case 2:
		buf_format(out, "#%s == %u %s $%s", name, (unsigned)below(round, 4), join, name);
		break;
	case 3:
		buf_format(out, "@%s[1] < 0x%llx", name, (unsigned long long)address);
		break;
	case 4:
		buf_format(out, "$%s at 0x%llx %s any of them", name,
			(unsigned long long)round->memory.stretches[0].base, join);
		break;
	case 5:
		buf_format(out, "$%s in (0x%llx..0x%llx)", name, (unsigned long long)address,
			(unsigned long long)(address + below(round, 1 << 20)));
		break;
	case 6:
		buf_format(out, "for any i in (1..#%s) : (@%s[i] %% 3 == 1 and !%s[i] > 4)", name,
			name, name);
		break;
	case 7:
		buf_format(out, "uint32(0x%llx) > 0x40000000 or uint8(@%s[1]) == 0x%02x",
			(unsigned long long)address, name, letter(round));
		break;
	case 8:
		buf_format(out, "not $%s", name);
		break;
	case 9:
		buf_format(out, "filesize > 10 or $%s", name);
		break;
	case 10:
		buf_format(out, "entrypoint == 0x%llx or #%s > 1",
			(unsigned long long)round->memory.stretches[0].base + 0x100, name);
		break;
	case 11:
		buf_text(out, "for all of them : ( # > 1 )");
		break;
	case 12:
		if (rule)
			buf_format(out, "r%zu or ", (size_t)below(round, rule));
		buf_format(out, "uint16be(@%s[1] - 1) > 0x6100", name);
		break;
	default:
		buf_text(out, "any of them");
	}
}

static void rules_make(struct round *round)
{
	static void (*const makers[])(struct round *, const char *) = {text_string, text_string,
		text_string, base64_string, hex_string, hex_string, regex_string, regex_string};
	size_t rules = 1 + below(round, 5);

	for (size_t i = 0; i < rules; i++) {
		size_t strings = below(round, 4);

		buf_format(&round->rules, "rule r%zu {\n", i);
		if (strings)
			buf_text(&round->rules, " strings:\n");
		for (size_t k = 0; k < strings; k++)
			makers[below(round, ARRAY_SIZE(makers))](
				round, (char[]){(char)('a' + k), '\0'});
		buf_text(&round->rules, " condition: ");
		if (strings) {
			/* Each string must be mentioned. */
			buf_text(&round->rules, "(any of them or true) and (");
			condition_make(
				round, i, (char[]){(char)('a' + below(round, strings)), '\0'});
			buf_text(&round->rules, ")");
		} else {
			buf_format(&round->rules, "uint8(0x%llx) %s 0x60",
				(unsigned long long)some_address(round),
				one_in(round, 2) ? ">" : "<");
		}
		buf_text(&round->rules, "\n}\n");
	}
}

/* ---- Random memory --------------------------------------------------------------------- */

static size_t random_size(struct round *round)
{
	switch (below(round, 5)) {
	case 0:
		return 1 + below(round, 300);
	case 1:
		return BLOCK - 20 + below(round, 40);
	case 2:
		return CHUNK + BLOCK + below(round, 30000);
	default:
		return 1000 + below(round, 60000);
	}
}

static void memory_make(struct round *round)
{
	uint64_t base = 0x10000 + below(round, 4096);

	round->memory.count = round->chains ? 1 : 1 + below(round, STRETCHES_MAX);
	for (size_t i = 0; i < round->memory.count; i++) {
		size_t size = random_size(round);
		struct ms_segment *stretch = &round->memory.stretches[i];

		round->data[i] = malloc(size);
		check(round->data[i]);
		*stretch = (struct ms_segment){
			.base = base, .size = size, .data = round->data[i], .perm = MS_PERM_READ};
		base += size + 1 + below(round, 10000);
	}
}

/* Near where something begins or ends, or anywhere. */
static size_t random_place(struct round *round, size_t size)
{
	static const size_t borders[] = {0, BLOCK, CHUNK, 2 * BLOCK + 8192};
	uint64_t place = one_in(round, 3) ? size : borders[below(round, ARRAY_SIZE(borders))];

	if (one_in(round, 2))
		return (size_t)below(round, size);
	place += below(round, 40);
	return (size_t)min_u64(place > 20 ? place - 20 : 0, size - 1);
}

static void memory_fill(struct round *round)
{
	/* Dull, dense with words, or noise. */
	unsigned kind = (unsigned)below(round, 4);

	for (size_t i = 0; i < round->memory.count; i++) {
		size_t size = round->memory.stretches[i].size;
		size_t plants = below(round, 30);
		uint8_t *data = round->data[i];

		for (size_t k = 0; k < size; k++)
			data[k] = kind == 0 ? 0
				  : kind == 1 && size < 100000
					  ? (uint8_t)(one_in(round, 9) ? ' ' : letter(round))
					  : (uint8_t)test_random(&round->random);
		for (size_t k = 0; round->sample_count && k < plants; k++) {
			const struct sample *sample =
				&round->samples[below(round, round->sample_count)];
			size_t at = random_place(round, size);

			memcpy(data + at, sample->data, min_u64(sample->size, size - at));
		}
		if (one_in(round, 4) && size > 200) {
			/* A program whose entry point libyara finds. */
			static const uint8_t elf[] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0,
				0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0, 0, 1, 0x40};

			memcpy(data, elf, sizeof(elf));
		}
	}
}

static int compiled(const char *text, YR_RULES **ret_rules)
{
	YR_COMPILER *compiler;
	int errors;

	check(yr_compiler_create(&compiler) == ERROR_SUCCESS);
	errors = yr_compiler_add_string(compiler, text, NULL);
	if (!errors)
		check(yr_compiler_get_rules(compiler, ret_rules) == ERROR_SUCCESS);
	yr_compiler_destroy(compiler);
	return errors;
}

static bool round_run(uint64_t seed)
{
	static struct round round;
	YR_RULES *rules;
	bool valid;

	round = (struct round){.random = seed, .seed = seed};
	round.letters = one_in(&round, 2) ? 3 : 20;
	round.chains = one_in(&round, 4);
	memory_make(&round);
	rules_make(&round);
	memory_fill(&round);
	valid = compiled(round.rules.data, &rules) == 0;
	if (valid) {
		char name[64];

		snprintf(name, sizeof(name), "/* seed %llu */\n", (unsigned long long)seed);
		buf_text(&round.rules, name);
		compare("rule", round.rules.data, rules, &round.memory, round.rules.data);
		yr_rules_destroy(rules);
	}
	for (size_t i = 0; i < round.memory.count; i++)
		free(round.data[i]);
	buf_done(&round.rules);
	return valid;
}

static void test_random_rules_match_as_in_libyara(void)
{
	const char *one = getenv("SEED"), *more = getenv("ROUNDS");
	size_t rounds = more ? strtoul(more, NULL, 0) : ROUNDS, valid = 0;

	yr_initialize();
	if (one)
		round_run(strtoull(one, NULL, 0));
	for (size_t i = 0; !one && i < rounds; i++)
		valid += round_run(i * 7919 + 1);
	yr_finalize();
	check(one || valid > rounds / 2);
}

/* Wherever blocks are cut, neither side takes that for the end of memory. */
static void test_cuts_are_no_edges(void)
{
	static const char text[] =
		"rule r { strings: $a = \"abcd\" fullword $b = /^abcd/ $c = /abcd$/ "
		"$d = /\\babc/ $e = /bcd[a-d]+/ $f = { 62 63 64 61 [500-] 64 61 7A } "
		"$g = /d\\Ba/ $h = /cd\\b/ condition: any of them }";
	size_t size = 3 * CHUNK + 4321;
	char *data = malloc(size);
	struct memory memory = {.count = 1};
	YR_RULES *rules;

	check(data);
	yr_initialize();
	check(compiled(text, &rules) == 0);
	for (size_t i = 0; i < size; i++)
		data[i] = "abcd"[i % 4];
	/* Few enough matches for libyara, whose lists are slow for greedy expressions. */
	for (size_t i = 0; i < size; i += 64)
		memset(data + i, 'z', min_u64(44, size - i));
	memory.stretches[0] = (struct ms_segment){
		.base = 0x10000, .size = size, .data = data, .perm = MS_PERM_READ};
	compare("rule", text, rules, &memory, text);
	yr_rules_destroy(rules);
	yr_finalize();
	free(data);
}

/* ---- A public set of rules ------------------------------------------------------------- */

static char *public_text(void)
{
	const char *root = getenv("SOURCE_ROOT");
	char path[4096], *text = NULL;
	FILE *file;
	long size;

	snprintf(path, sizeof(path), "%s/%s", root ? root : ".", public_rules);
	file = fopen(path, "r");
	if (!file)
		skip("there is no %s", public_rules);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = calloc(1, (size_t)size + 1);
	check(text && fread(text, 1, (size_t)size, file) == (size_t)size);
	fclose(file);
	return text;
}

/* Puts whole strings of the rules, and halves of them, into the data. */
static void strings_plant(const YR_RULES *rules, uint8_t *data, size_t size, uint64_t *random)
{
	for (size_t i = 0; i < 3000; i++) {
		const YR_STRING *string =
			&rules->strings_table[test_random(random) % rules->num_strings];
		size_t at = test_random(random) % size, length;

		if (!STRING_IS_LITERAL(string))
			continue;
		length = (size_t)string->length / (1 + test_random(random) % 4 / 3);
		memcpy(data + at, string->string, min_u64(length, size - at));
	}
}

static void test_a_public_set_matches_as_in_libyara(void)
{
	char *text = public_text();
	size_t size = 5 * CHUNK + 12345;
	uint8_t *data = malloc(size);
	uint64_t random = 42;
	struct memory memory = {.count = 2};
	YR_RULES *rules;

	check(data);
	yr_initialize();
	check(compiled(text, &rules) == 0);
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)test_random(&random);
	strings_plant(rules, data, size, &random);
	memory.stretches[0] = (struct ms_segment){
		.base = 0x400000, .size = 2 * CHUNK + 77, .data = data, .perm = MS_PERM_READ};
	memory.stretches[1] = (struct ms_segment){.base = 0x7f0000000000,
		.size = size - (2 * CHUNK + 77),
		.data = data + 2 * CHUNK + 77,
		.perm = MS_PERM_READ};
	compare("rule", text, rules, &memory, "the public set");
	yr_rules_destroy(rules);
	yr_finalize();
	free(data);
	free(text);
}

/* ---- The prefilter --------------------------------------------------------------------- */

struct marks {
	struct ms_emit emit;
	uint64_t bytes;
};

static int mark_take(struct ms_emit *emit, uint64_t base, uint64_t size)
{
	(void)base;
	((struct marks *)emit)->bytes += size;
	return 0;
}

static uint64_t marked(const char *rule, const void *data, size_t size)
{
	struct ms_arg arg = {"rule", rule};
	struct marks marks = {.emit = {.mark = mark_take}};
	struct ms_span span = {
		.data = data, .size = size, .fresh = size, .address = 4096, .before = 0};
	ms_engine *engine;

	check_ok(ms_engine_new("yara", &arg, 1, &engine));
	check_ok(engine->ops->span(engine, NULL, &span, &marks.emit));
	ms_engine_free(engine);
	return marks.bytes;
}

static void test_memory_without_atoms_is_not_marked(void)
{
	static uint8_t data[100000];

	memcpy(data + 50000, "a needle here", 13);
	check_u64(
		marked("rule r { strings: $a = \"absent\" condition: $a }", data, sizeof(data)), 0);
	check(marked("rule r { strings: $a = \"needle\" condition: $a }", data, sizeof(data)) < 64);
	check_u64(marked("rule r { condition: true }", data, sizeof(data)), 0);
	check(marked("rule r { strings: $a = /needle.*/ condition: $a }", data, sizeof(data)) <
		9000);
}

static void test_rules_without_good_atoms_see_all(void)
{
	static uint8_t data[100000];

	check_u64(
		marked("rule r { strings: $a = /[a-z]+[0-9]*/ condition: $a }", data, sizeof(data)),
		sizeof(data));
	check_u64(marked("rule r { strings: $a = \"x\" condition: $a }", data, sizeof(data)),
		sizeof(data));
}

static const struct test tests[] = {
	{"random_rules_match_as_in_libyara", test_random_rules_match_as_in_libyara},
	{"cuts_are_no_edges", test_cuts_are_no_edges},
	{"a_public_set_matches_as_in_libyara", test_a_public_set_matches_as_in_libyara},
	{"memory_without_atoms_is_not_marked", test_memory_without_atoms_is_not_marked},
	{"rules_without_good_atoms_see_all", test_rules_without_good_atoms_see_all},
};

TEST_MAIN(tests)
