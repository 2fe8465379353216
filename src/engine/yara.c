/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "yara": a target is one evaluation of libyara.
 *
 * Spans only mark where there is something to look at for libyara (yara_atoms.c); that is what all
 * threads do at once for a large target. When all spans are done, one thread hands libyara the
 * marked memory, read anew, and libyara evaluates the conditions over the whole target. It knows
 * no way of sharing that second part among threads: an evaluation keeps its matches to itself.
 * Where nearly all memory is marked, a single target therefore keeps one core busy; other
 * targets are evaluated beside it.
 */
#include "engine/yara.h"

#include "base/err.h"
#include "base/os.h"
#include "engine/engines.h"

#include <pthread.h>

/* libyara counts its users without a lock. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

static int library_begin(void)
{
	int r = yara_lib_load(), e;

	if (r < 0)
		return r;
	pthread_mutex_lock(&library);
	e = yr_initialize();
	if (e == ERROR_SUCCESS)
		yr_set_configuration_uint32(YR_CONFIG_MAX_MATCH_DATA, YARA_MATCH_SHOWN);
	pthread_mutex_unlock(&library);
	return e == ERROR_SUCCESS ? 0 : err_set(MS_ERR_MEMORY, "libyara cannot be started (%d)", e);
}

static void library_end(void)
{
	pthread_mutex_lock(&library);
	yr_finalize();
	pthread_mutex_unlock(&library);
}

/* ---- Making the query ---- */

static int option_take(struct yara *yara, const struct ms_arg *arg)
{
	static const char *const others[] = {"rules", "rule", "define"};

	if (strcmp(arg->key, "keep-going") == 0)
		yara->keep_going = true;
	else if (strcmp(arg->key, "no-prefilter") == 0)
		yara->no_prefilter = true;
	else if (strcmp(arg->key, "profile") == 0)
		yara->profile = true;
	else if (strcmp(arg->key, "timeout") == 0)
		return ms_parse_duration("timeout", arg->value, &yara->timeout_ns);
	else if (strcmp(arg->key, "tag") == 0)
		yara->tag = arena_string(&yara->arena, arg->value);
	else if (strcmp(arg->key, "identifier") == 0)
		yara->identifier = arena_string(&yara->arena, arg->value);
	else {
		for (size_t i = 0; i < ARRAY_SIZE(others); i++)
			if (strcmp(arg->key, others[i]) == 0)
				return 0;
		return err_set(MS_ERR_ARGUMENT,
			"the engine \"yara\" has no argument \"%.100s\"; it knows rules, rule, "
			"define, tag, identifier, timeout, keep-going, no-prefilter and profile",
			arg->key);
	}
	return 0;
}

static bool rule_is_wanted(const struct yara *yara, YR_RULE *rule)
{
	const char *tag;
	bool tagged = !yara->tag;

	yr_rule_tags_foreach(rule, tag)
	{
		tagged |= yara->tag && strcmp(tag, yara->tag) == 0;
	}
	return tagged && (!yara->identifier || strcmp(rule->identifier, yara->identifier) == 0);
}

/* A name that is mistyped, or files without rules, would look like rules that match nothing. */
static int check_any_wanted(const struct yara *yara)
{
	YR_RULE *rule;

	for (size_t i = 0; i < yara->sets.count; i++)
		yr_rules_foreach(yara->sets.data[i].rules, rule)
		{
			if (rule_is_wanted(yara, rule))
				return 0;
		}
	if (!yara->identifier && !yara->tag)
		return err_set(MS_ERR_ARGUMENT, "there are no rules in what was named");
	return err_set(MS_ERR_ARGUMENT, "no rule has the %s %s%s%s",
		yara->identifier ? "name" : "tag", yara->identifier ? yara->identifier : yara->tag,
		yara->identifier && yara->tag ? " and the tag " : "",
		yara->identifier && yara->tag ? yara->tag : "");
}

static int yara_create(struct ms_engine *engine, const struct ms_arg *args, size_t count)
{
	struct yara *yara = engine->priv;
	int r = library_begin();

	yara->initialized = r == 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = option_take(yara, &args[i]);
	if (r == 0)
		r = yara_rules_make(yara, args, count, engine->options);
	if (r == 0)
		r = check_any_wanted(yara);
	for (size_t i = 0; i < yara->sets.count && r == 0; i++) {
		r = yara_chains_take(&yara->sets.data[i]);
		if (r == 0)
			r = yara_set_describe(yara, &yara->sets.data[i]);
	}
	if (r == 0 && yara->profile)
		r = yara_costs_make(yara);
	return r < 0 ? r : yara_atoms_make(yara);
}

static void yara_destroy(struct ms_engine *engine)
{
	struct yara *yara = engine->priv;

	for (size_t i = 0; i < yara->sets.count; i++) {
		struct yara_set *set = &yara->sets.data[i];

		free(set->chains.data);
		free(set->links.data);
		free(set->costs);
		yr_rules_destroy(set->rules);
	}
	free(yara->sets.data);
	free(yara->notes.data);
	yara_atoms_done(&yara->atoms);
	arena_done(&yara->arena);
	if (yara->initialized)
		library_end();
}

static size_t yara_overlap(const struct ms_engine *engine)
{
	(void)engine;
	return YARA_ATOM_MAX - 1;
}

/* So that a span can tell whether memory begins with it. */
static size_t yara_behind(const struct ms_engine *engine)
{
	(void)engine;
	return 1;
}

/* What a rule costs is counted in each process. */
static uint64_t yara_period(const struct ms_engine *engine)
{
	const struct yara *yara = engine->priv;

	return yara->profile ? 0 : 1;
}

static int yara_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	(void)scratch;
	return yara_atoms_mark(engine->priv, span, emit);
}

static void yara_notes(
	const struct ms_engine *engine, const struct ms_note **ret_list, size_t *ret_count)
{
	struct yara *yara = engine->priv;

	/* Without memory for them, notes of costs are missing. */
	if (yara->profile)
		yara_costs_note(yara);
	*ret_list = yara->notes.data;
	*ret_count = yara->notes.count;
}

/* ---- Evaluating a target ---- */

struct verdict {
	const struct yara *yara;
	const struct yara_set *set;
	struct ms_view *view;
	struct ms_emit *emit;
	uint64_t deadline_ns; /* of the target, whatever the number of sets */
	struct yara_blocks blocks;
	const YR_STRING *too_many;
	int status; /* of emit, when it wants no more */
	struct yara_window window;
};

static int xor_key(const YR_STRING *string, const yara_match *match)
{
	return STRING_IS_XOR(string) && STRING_IS_LITERAL(string) && match->data_length > 0
		       ? match->data[0] ^ string->string[0]
		       : -1;
}

static int match_emit(struct verdict *v, const struct ms_rule *rule, const YR_STRING *string,
	const yara_match *match)
{
	struct ms_hit hit = {
		.address = (uint64_t)match->base + (uint64_t)match->offset,
		.size = (uint64_t)match->match_length,
		.bytes = match->data,
		.bytes_size = match->data ? (size_t)match->data_length : 0,
		.rule = rule,
		.string = string->identifier,
		.xor_key = xor_key(string, match),
	};
	int r = yara_window_show(&v->window, match, &hit);

	return r < 0 ? r : v->emit->hit(v->emit, &hit);
}

static int rule_emit(struct verdict *v, YR_SCAN_CONTEXT *context, YR_RULE *rule)
{
	const struct ms_rule *shown = &v->set->shown[rule - v->set->rules->rules_table];
	struct ms_hit whole = {.rule = shown, .xor_key = -1};
	const YR_STRING *string;
	const yara_match *match;
	bool any = false;
	int r = 0;

	yr_rule_strings_foreach(rule, string)
	{
		if (STRING_IS_PRIVATE(string))
			continue;
		for (match = context->matches[string->idx].head; match && r == 0;
			match = match->next) {
			r = match_emit(v, shown, string, match);
			any = true;
		}
	}
	return any || r < 0 ? r : v->emit->hit(v->emit, &whole);
}

static int heard(YR_SCAN_CONTEXT *context, int message, void *data, void *ctx)
{
	struct verdict *v = ctx;

	switch (message) {
	case CALLBACK_MSG_RULE_MATCHING:
		yara_costs_held(v->set, data);
		if (rule_is_wanted(v->yara, data))
			v->status = rule_emit(v, context, data);
		break;
	case CALLBACK_MSG_SCAN_FINISHED:
		yara_costs_count(v->set, context);
		break;
	case CALLBACK_MSG_TOO_MANY_MATCHES:
		v->too_many = data;
		break;
	case CALLBACK_MSG_IMPORT_MODULE:
	case CALLBACK_MSG_MODULE_IMPORTED:
		yara_blocks_import(&v->blocks, message == CALLBACK_MSG_IMPORT_MODULE);
		break;
	}
	return v->status < 0 ? CALLBACK_ABORT : CALLBACK_CONTINUE;
}

static const char *error_text(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{ERROR_TOO_MANY_RE_FIBERS, "an expression has too many ways to match"},
		{ERROR_EXEC_STACK_OVERFLOW, "a condition is nested too deeply"},
		{ERROR_INTERNAL_FATAL_ERROR, "libyara failed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].error == error)
			return texts[i].text;
	return "libyara failed";
}

/* What is to be said of an evaluation that was not, or not wholly, what was asked for. */
static int verdict_status(struct verdict *v, YR_SCANNER *scanner, int error)
{
	const YR_STRING *limited, *string = yr_scanner_last_error_string(scanner);

	if (v->status < 0)
		return v->status;
	if (v->blocks.status < 0)
		return v->blocks.status == MS_ERR_MEMORY ? err_nomem() : v->blocks.status;
	if (error == ERROR_INSUFFICIENT_MEMORY)
		return err_nomem();
	if (error == ERROR_SCAN_TIMEOUT)
		return err_set(MS_ERR_TIMEOUT, "the rules were not evaluated to the end: %s",
			v->blocks.ended == MS_STATE_LIMIT
				? "a limit ended the job before"
				: "its time was over, or it was interrupted");
	if (error != ERROR_SUCCESS)
		return err_set(MS_ERR_UNSUPPORTED,
			"the rules were not evaluated: %s (libyara's error %d, %s%s)",
			error_text(error), error, string ? "string " : "",
			string ? string->identifier : "in a condition");
	limited = v->blocks.limited;
	string = limited ? limited : v->too_many;
	if (string)
		return err_set(MS_ERR_UNSUPPORTED,
			"rule %s: string %s matches too often; only the first %d matches count",
			v->set->rules->rules_table[string->rule_idx].identifier, string->identifier,
			limited ? v->blocks.limited_count : YR_MAX_STRING_MATCHES);
	if (v->blocks.late)
		return err_set(MS_ERR_TIMEOUT,
			"the rules were evaluated over a part of the memory only: %s",
			v->blocks.late == MS_STATE_LIMIT
				? "a limit ended the job before"
				: "its time was over, or it was interrupted");
	return 0;
}

static int evaluate(struct verdict *v, YR_SCANNER *scanner)
{
	struct yara_watch *watch;
	int error,
		r = yara_blocks_init(&v->blocks, v->yara, v->set, v->view, scanner, v->deadline_ns);

	if (r == 0)
		r = yara_watch_begin(&v->blocks, &watch);
	if (r < 0) {
		yara_blocks_done(&v->blocks);
		return r;
	}
	yr_scanner_set_callback(scanner, heard, v);
	/* Its way of catching faults is a signal handler, which is not ours to set. */
	yr_scanner_set_flags(scanner, SCAN_FLAGS_PROCESS_MEMORY | SCAN_FLAGS_NO_TRYCATCH |
					      SCAN_FLAGS_REPORT_RULES_MATCHING);
	error = yr_scanner_scan_mem_blocks(scanner, &v->blocks.iterator);
	yara_watch_end(watch);
	r = verdict_status(v, scanner, error);
	yara_blocks_done(&v->blocks);
	yara_window_done(&v->window);
	return r;
}

static int set_evaluate(const struct yara *yara, const struct yara_set *set, struct ms_view *view,
	struct ms_emit *emit, uint64_t deadline_ns)
{
	struct verdict v = {.yara = yara,
		.set = set,
		.view = view,
		.emit = emit,
		.deadline_ns = deadline_ns,
		.window.view = view};
	YR_SCANNER *scanner;
	int r;

	if (yr_scanner_create(set->rules, &scanner) != ERROR_SUCCESS)
		return err_nomem();
	r = evaluate(&v, scanner);
	yara_costs_time(set, scanner);
	yr_scanner_destroy(scanner);
	return r;
}

/* Trouble with one set, other than a lack of time or memory, says nothing of the next one. */
static int yara_source(
	const struct ms_engine *engine, void *scratch, struct ms_view *view, struct ms_emit *emit)
{
	const struct yara *yara = engine->priv;
	char trouble[ERR_TEXT_MAX] = "";
	uint64_t deadline_ns = UINT64_MAX;
	size_t length = 0;
	int status = 0;

	(void)scratch;
	if (yara->timeout_ns && !add_u64(os_clock_ns(), yara->timeout_ns, &deadline_ns))
		deadline_ns = UINT64_MAX;
	for (size_t i = 0; i < yara->sets.count; i++) {
		int r = set_evaluate(yara, &yara->sets.data[i], view, emit, deadline_ns);

		if (r == MS_ERR_STOPPED || r == MS_ERR_MEMORY)
			return r;
		if (r == 0)
			continue;
		status = r;
		if (length < sizeof(trouble))
			length += (size_t)snprintf(trouble + length, sizeof(trouble) - length,
				"%s%s", length ? "; " : "", ms_error());
		if (r == MS_ERR_TIMEOUT)
			break;
	}
	return status < 0 ? err_set(status, "%s", trouble) : 0;
}

const struct ms_engine_ops yara_engine = {
	.name = "yara",
	.summary = "YARA rules",
	.priv_size = sizeof(struct yara),
	.create = yara_create,
	.destroy = yara_destroy,
	.overlap = yara_overlap,
	.behind = yara_behind,
	.period = yara_period,
	.span = yara_span,
	.source = yara_source,
	.notes = yara_notes,
};
