/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled rules on trial. What the code of a condition does to the values on its stack cannot be
 * seen without following it, and libyara follows it without a look. So a copy of this process goes
 * first: it loads the rules, walks their automaton and evaluates the conditions, as if no string
 * had matched, as if all had, and as if some had, so that the code behind each `and` and `or` has
 * its turn. Damage that makes libyara crash does so there.
 */
#include "engine/yara.h"

#include "base/err.h"
#include "base/os.h"

enum {
	ROUNDS = 12,
	MEMORY_MAX = 1024 * 1024 * 1024, /* besides eight times what the file has */
	ADDRESS = 0x1000,
	BYTES = 4096,
};

/*
 * A condition may take long for a good reason: it is given up then, and has passed. A large file
 * takes long to load, so its time grows with it: ten seconds more for each 64 MiB.
 */
static const uint64_t rounds_ns = UINT64_C(1000000000), time_max_ns = UINT64_C(10000000000);
static const uint64_t byte_ns = 149;

struct evaluation {
	YR_SCANNER *scanner;
	YR_MATCH *matches; /* one for each string */
	YR_MEMORY_BLOCK block;
	YR_MEMORY_BLOCK_ITERATOR iterator;
	unsigned round;
	bool matched; /* the matches of this round have been set */
	uint8_t bytes[BYTES];
};

/* Whether a string matches in a round: in none of the first, in all of the second. */
static bool has_match(unsigned round, uint32_t string)
{
	uint32_t mixed = (string + 1) * 0x9e3779b1u * (2 * round + 1);

	return round == 1 || (round > 1 && mixed >> 31);
}

static void matches_set(struct evaluation *e)
{
	const YR_RULES *rules = e->scanner->rules;

	for (uint32_t i = 0; i < rules->num_strings; i++) {
		YR_MATCHES *list = &e->scanner->matches[i];

		e->matches[i] = (YR_MATCH){.base = ADDRESS,
			.offset = i % BYTES,
			.match_length = 1,
			.data_length = 1,
			.data = e->bytes};
		*list = (YR_MATCHES){0};
		if (has_match(e->round, i))
			*list = (YR_MATCHES){&e->matches[i], &e->matches[i], 1};
	}
	e->matched = true;
}

static const uint8_t *block_fetch(YR_MEMORY_BLOCK *block)
{
	return ((struct evaluation *)block->context)->bytes;
}

static YR_MEMORY_BLOCK *block_first(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	return &((struct evaluation *)iterator->context)->block;
}

/* When libyara has seen the block for the first time, the conditions are next. */
static YR_MEMORY_BLOCK *block_next(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	struct evaluation *e = iterator->context;

	if (!e->matched)
		matches_set(e);
	return NULL;
}

/* Reads what records show of a rule. */
static int heard(YR_SCAN_CONTEXT *context, int message, void *data, void *ctx)
{
	(void)context, (void)message, (void)data, (void)ctx;
	return CALLBACK_CONTINUE;
}

/* False when libyara itself says that the rules are not as they should be. */
static bool round_pass(struct evaluation *e, uint64_t time_ns)
{
	int error;

	e->matched = false;
	e->scanner->timeout = time_ns;
	yr_scanner_set_callback(e->scanner, heard, NULL);
	yr_scanner_set_flags(e->scanner, SCAN_FLAGS_PROCESS_MEMORY | SCAN_FLAGS_NO_TRYCATCH);
	error = yr_scanner_scan_mem_blocks(e->scanner, &e->iterator);
	return error != ERROR_INTERNAL_FATAL_ERROR && error != ERROR_INVALID_FIELD_NAME &&
	       error != ERROR_CORRUPT_FILE;
}

static bool rounds_pass(struct evaluation *e, YR_RULES *rules)
{
	uint64_t started = os_clock_ns();
	bool passed = true;

	for (e->round = 0; e->round < ROUNDS && passed; e->round++) {
		uint64_t spent = os_clock_ns() - started;

		if (spent >= rounds_ns)
			break;
		if (yr_scanner_create(rules, &e->scanner) != ERROR_SUCCESS)
			return false;
		passed = round_pass(e, rounds_ns - spent);
		yr_scanner_destroy(e->scanner);
	}
	return passed;
}

static bool rules_pass(YR_RULES *rules)
{
	struct evaluation *e = calloc(1, sizeof(*e));
	bool passed;

	if (!e)
		return false;
	e->matches = calloc((size_t)rules->num_strings + 1, sizeof(*e->matches));
	e->block = (YR_MEMORY_BLOCK){
		.base = ADDRESS, .size = BYTES, .context = e, .fetch_data = block_fetch};
	e->iterator =
		(YR_MEMORY_BLOCK_ITERATOR){.context = e, .first = block_first, .next = block_next};
	passed = e->matches && rounds_pass(e, rules);
	free(e->matches);
	free(e);
	return passed;
}

struct load {
	const char *path;
	const uint8_t *data;
	size_t size;
	const struct ms_engine_options *options;
};

static bool load_cancelled(void *ctx)
{
	const struct ms_engine_options *options = ((struct load *)ctx)->options;

	return options && options->cancelled && options->cancelled(options->ctx);
}

/* Frees nothing: the process ends. */
static bool load_pass(void *ctx)
{
	const struct load *load = ctx;
	struct yara yara = {0};
	struct yara_set set = {0};

	if (yara_compiled_open(load->path, load->data, load->size, &set.rules) < 0 ||
		!vec_push(&yara.sets, set))
		return false;
	return yara_chains_take(&yara.sets.data[0]) == 0 &&
	       yara_set_describe(&yara, &yara.sets.data[0]) == 0 && yara_atoms_make(&yara) == 0 &&
	       rules_pass(set.rules);
}

int yara_compiled_try(
	const char *path, const uint8_t *data, size_t size, const struct ms_engine_options *options)
{
	struct load load = {path, data, size, options};
	size_t memory;
	bool passed = false;
	int r;

	if (!mul_size(size, 8, &memory) || memory > SIZE_MAX - MEMORY_MAX)
		return err_nomem();
	/* What fits into memory is far from an overflow here. */
	r = os_trial(load_pass, load_cancelled, &load, memory + MEMORY_MAX,
		time_max_ns + size * byte_ns, &passed);
	if (r == MS_ERR_STOPPED)
		return err_set(
			r, "%s: interrupted while these compiled rules were tried out", path);
	if (r < 0 || passed)
		return r;
	return err_set(MS_ERR_FORMAT,
		"%s: these compiled rules are damaged: libyara fails with them, or does not come "
		"to an end",
		path);
}
