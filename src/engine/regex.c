/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "regex": regular expressions, all in one pass of Hyperscan or Vectorscan (libhs).
 *
 * libhs tells of each place where a match ends, with the leftmost start that a match with that
 * end has in the bytes it was shown. So what it is shown must not depend on how the memory was
 * cut. While every expression has a greatest width, showing that much around the starts in
 * question is enough: no start farther away can have to do with them. Otherwise the leftmost
 * start may be any distance away, and each block of BLOCK addresses is looked at exactly with
 * MS_REGEX_MAX bytes around it, whatever the span: what starts in the block then depends on
 * addresses alone.
 *
 * For some expressions libhs cannot tell starts; regex_ends.c finds those, one after the other.
 *
 * Matches are gathered, sorted and joined for some starts at a time; when there are too many to
 * keep, for half of them.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"
#include "engine/engines.h"
#include "engine/regex_ends.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>

enum {
	EXPRESSIONS_MAX = 10000,
	BLOCK = 32 * 1024,
	STARTS_MAX = 512 * 1024,  /* looked at together when there is no need for blocks */
	PENDING_MAX = 128 * 1024, /* matches that are kept at once */
	MARK_WORDS = (STARTS_MAX + 2 * (MS_REGEX_MAX + 1) + 64) / 64 + 1,
};

struct expression {
	const char *text; /* as the user wrote it */
	size_t width;	  /* of the longest match, but at most MS_REGEX_MAX */
	bool blocks;	  /* that is no limit */
	bool slow;	  /* its starts are found by `ends` */
	struct ends ends;
};

/* A match; places count from the span's first byte. */
struct pending {
	int32_t start, end;
	uint32_t expression;
};

/* What a thread needs for a span. */
struct work {
	struct work *next;
	hs_scratch_t *hs;
	struct pending *pending;
	uint32_t *last;	 /* for each expression, which pending match was its last one, perhaps */
	uint64_t *marks; /* for ends_search() */
};

struct regex {
	struct arena arena;
	VEC(struct expression) expressions;
	uint64_t align;
	bool nocase;
	bool blocks;		 /* some expression has no greatest width, or too great a one */
	size_t reach;		 /* bytes to show libhs on either side */
	size_t slow_reach;	 /* and for slow expressions */
	hs_database_t *database; /* all but slow expressions; NULL when there are no others */
	hs_scratch_t *scratch;	 /* only ever cloned */
	pthread_mutex_t lock;	 /* guards what follows */
	struct work *idle;
};

/* ---- Making the query ---- */

static int expression_take(struct regex *regex, const char *text)
{
	char *copy;

	if (!*text)
		return err_set(MS_ERR_ARGUMENT, "a regular expression is empty");
	if (regex->expressions.count == EXPRESSIONS_MAX)
		return err_set(
			MS_ERR_ARGUMENT, "more than %d regular expressions", EXPRESSIONS_MAX);
	copy = arena_string(&regex->arena, text);
	return copy && vec_push(&regex->expressions, (struct expression){.text = copy})
		       ? 0
		       : err_nomem();
}

static int arg_take(struct regex *regex, const struct ms_arg *arg)
{
	int r;

	if (strcmp(arg->key, "nocase") == 0) {
		regex->nocase = true;
		return 0;
	}
	if (strcmp(arg->key, "regex") != 0 && strcmp(arg->key, "align") != 0)
		return err_set(MS_ERR_ARGUMENT,
			"the engine \"regex\" has no argument \"%.100s\"; it knows regex, nocase "
			"and align",
			arg->key);
	if (!arg->value)
		return err_set(MS_ERR_ARGUMENT, "%s needs a value", arg->key);
	if (strcmp(arg->key, "regex") == 0)
		return expression_take(regex, arg->value);
	r = ms_parse_number("align", arg->value, &regex->align);
	if (r == 0 && !regex->align)
		return err_at("align", arg->value, 0, "the alignment must be at least 1");
	return r;
}

static void cleanup_error(hs_compile_error_t **error)
{
	hs_free_compile_error(*error);
}

/*
 * Says what is wrong with an expression. libhs ends its sentences with a full stop and tells the
 * place as "at index N".
 */
static int compile_failed(const struct regex *regex, const hs_compile_error_t *error, int index)
{
	const char *text, *at = strstr(error->message, " at index ");
	char why[256];

	if (index < 0 || (size_t)index >= regex->expressions.count)
		return err_set(MS_ERR_ARGUMENT, "the regular expressions: %s", error->message);
	text = regex->expressions.data[index].text;
	if (at) {
		unsigned long place = strtoul(at + strlen(" at index "), NULL, 10);

		snprintf(why, sizeof(why), "%.*s", (int)(at - error->message), error->message);
		return err_at("regex", text, place < strlen(text) ? place : strlen(text), why);
	}
	if (strstr(error->message, "too large") || strstr(error->message, "too complex"))
		return err_set(MS_ERR_ARGUMENT,
			"the regular expression \"%.200s\" is too complex; smaller counts in {} or "
			"fewer alternatives make it simpler",
			text);
	return err_set(
		MS_ERR_ARGUMENT, "the regular expression \"%.200s\": %s", text, error->message);
}

static int matches_nothing(const char *text)
{
	return err_set(MS_ERR_ARGUMENT,
		"the regular expression \"%.200s\" matches the empty string, so it would match "
		"everywhere; use + instead of *, or add what must be there",
		text);
}

static unsigned flags_of(const struct regex *regex)
{
	return HS_FLAG_SOM_LEFTMOST | (regex->nocase ? HS_FLAG_CASELESS : 0);
}

/* Looks at how much an expression can match. */
static int width_take(struct regex *regex, size_t index)
{
	CLEANUP(cleanup_error) hs_compile_error_t *error = NULL;
	struct expression *expression = &regex->expressions.data[index];
	const char *text = expression->text;
	hs_expr_info_t *info = NULL;
	unsigned least, most;

	if (hs_expression_info(text, flags_of(regex) | HS_FLAG_ALLOWEMPTY, &info, &error) !=
		HS_SUCCESS)
		return error ? compile_failed(regex, error, (int)index) : err_nomem();
	least = info->min_width;
	most = info->max_width;
	free(info);
	if (!least)
		return matches_nothing(text);
	if (least > MS_REGEX_MAX)
		return err_set(MS_ERR_ARGUMENT,
			"the regular expression \"%.200s\" matches nothing shorter than %u bytes; "
			"a match has at most %d",
			text, least, MS_REGEX_MAX);
	/* One byte more tells whether a word or line ends there. */
	expression->blocks = most >= MS_REGEX_MAX;
	expression->width = (size_t)min_u64(most, MS_REGEX_MAX);
	return 0;
}

/* Compiles all expressions that are not slow; *ret_index is the one that is wrong. */
static hs_error_t fast_compile(struct regex *regex, hs_compile_error_t **ret_error, int *ret_index)
{
	size_t room = regex->expressions.count, count = 0;
	AUTO_FREE const char **texts = calloc(room, sizeof(*texts));
	AUTO_FREE unsigned *flags = calloc(room, sizeof(*flags));
	AUTO_FREE unsigned *ids = calloc(room, sizeof(*ids));
	hs_error_t r;

	if (!texts || !flags || !ids)
		return HS_NOMEM;
	for (size_t i = 0; i < room; i++) {
		if (regex->expressions.data[i].slow)
			continue;
		texts[count] = regex->expressions.data[i].text;
		flags[count] = flags_of(regex);
		ids[count++] = (unsigned)i;
	}
	if (!count)
		return HS_SUCCESS;
	r = hs_compile_multi(texts, flags, ids, (unsigned)count, HS_MODE_BLOCK, NULL,
		&regex->database, ret_error);
	*ret_index = *ret_error && (*ret_error)->expression >= 0
			     ? (int)ids[(*ret_error)->expression]
			     : -1;
	return r == HS_SUCCESS ? hs_alloc_scratch(regex->database, &regex->scratch) : r;
}

/* Makes those expressions slow that libhs takes only if it need not tell starts. */
static int slow_compile(struct regex *regex)
{
	for (size_t i = 0; i < regex->expressions.count; i++) {
		CLEANUP(cleanup_error) hs_compile_error_t *error = NULL;
		CLEANUP(cleanup_error) hs_compile_error_t *slow_error = NULL;
		struct expression *expression = &regex->expressions.data[i];
		unsigned flags = flags_of(regex);
		hs_database_t *database = NULL;
		hs_error_t r =
			hs_compile(expression->text, flags, HS_MODE_BLOCK, NULL, &database, &error);

		hs_free_database(database);
		if (r == HS_SUCCESS)
			continue;
		expression->slow = true;
		r = ends_init(&expression->ends, expression->text, flags & ~HS_FLAG_SOM_LEFTMOST,
			expression->width, &regex->scratch, &slow_error);
		if (r != HS_SUCCESS)
			return slow_error ? compile_failed(regex, slow_error, (int)i) : err_nomem();
	}
	return 0;
}

static int database_compile(struct regex *regex)
{
	CLEANUP(cleanup_error) hs_compile_error_t *error = NULL;
	CLEANUP(cleanup_error) hs_compile_error_t *again = NULL;
	int index = -1, r;

	if (fast_compile(regex, &error, &index) == HS_SUCCESS)
		return 0;
	if (!error)
		return err_nomem();
	r = slow_compile(regex);
	if (r < 0)
		return r;
	if (fast_compile(regex, &again, &index) == HS_SUCCESS)
		return 0;
	return again ? compile_failed(regex, again, index) : err_nomem();
}

/* How far to look around. */
static void reach_set(struct regex *regex)
{
	for (size_t i = 0; i < regex->expressions.count; i++) {
		const struct expression *expression = &regex->expressions.data[i];
		size_t *reach = expression->slow ? &regex->slow_reach : &regex->reach;

		if (expression->blocks && !expression->slow)
			regex->blocks = true;
		/* One byte more tells whether a word or line ends there. */
		*reach = (size_t)max_u64(*reach, expression->width + 1);
	}
	if (regex->blocks)
		regex->reach = MS_REGEX_MAX;
}

static int regex_create(struct ms_engine *engine, const struct ms_arg *args, size_t count)
{
	struct regex *regex = engine->priv;
	int r = regex_lib_load();

	pthread_mutex_init(&regex->lock, NULL);
	regex->align = 1;
	if (r < 0)
		return r;
	if (hs_valid_platform() != HS_SUCCESS)
		return err_set(MS_ERR_UNSUPPORTED,
			"this processor is too old for regular expressions: libhs needs SSSE3");
	for (size_t i = 0; i < count && r == 0; i++)
		r = arg_take(regex, &args[i]);
	if (r == 0 && !regex->expressions.count)
		r = err_set(MS_ERR_ARGUMENT, "there is nothing to search for: give a regex");
	for (size_t i = 0; i < regex->expressions.count && r == 0; i++)
		r = width_take(regex, i);
	if (r == 0)
		r = database_compile(regex);
	reach_set(regex);
	return r;
}

static void work_free(struct work *work)
{
	if (!work)
		return;
	hs_free_scratch(work->hs);
	free(work->pending);
	free(work->last);
	free(work->marks);
	free(work);
}

static void regex_destroy(struct ms_engine *engine)
{
	struct regex *regex = engine->priv;

	while (regex->idle) {
		struct work *next = regex->idle->next;

		work_free(regex->idle);
		regex->idle = next;
	}
	for (size_t i = 0; i < regex->expressions.count; i++)
		ends_done(&regex->expressions.data[i].ends);
	/* There is no function to free with if the library could not be loaded. */
	if (regex->scratch)
		hs_free_scratch(regex->scratch);
	if (regex->database)
		hs_free_database(regex->database);
	free(regex->expressions.data);
	arena_done(&regex->arena);
	pthread_mutex_destroy(&regex->lock);
}

static size_t regex_overlap(const struct ms_engine *engine)
{
	const struct regex *regex = engine->priv;

	return (size_t)max_u64(regex->reach + (regex->blocks ? BLOCK : 0), regex->slow_reach);
}

static uint64_t regex_period(const struct ms_engine *engine)
{
	const struct regex *regex = engine->priv;
	uint64_t rest = regex->align, period;

	if (!regex->blocks)
		return regex->align;
	/* The least common multiple: what is left of the alignment without its powers of two. */
	for (unsigned i = 0; rest % 2 == 0 && i < 15; i++)
		rest /= 2;
	_Static_assert(BLOCK == 1 << 15, "the loop above takes out that many");
	return __builtin_mul_overflow(rest, (uint64_t)BLOCK, &period) ? UINT64_MAX : period;
}

/* ---- What a thread needs ---- */

static struct work *work_new(const struct regex *regex)
{
	struct work *work = calloc(1, sizeof(*work));

	if (!work)
		return NULL;
	work->pending = malloc(PENDING_MAX * sizeof(*work->pending));
	work->last = calloc(regex->expressions.count, sizeof(*work->last));
	work->marks = regex->slow_reach ? malloc(MARK_WORDS * sizeof(*work->marks)) : NULL;
	if (!work->pending || !work->last || (regex->slow_reach && !work->marks) ||
		hs_clone_scratch(regex->scratch, &work->hs) != HS_SUCCESS) {
		work_free(work);
		return NULL;
	}
	return work;
}

static struct work *work_take(struct regex *regex)
{
	struct work *work;

	pthread_mutex_lock(&regex->lock);
	work = regex->idle;
	if (work)
		regex->idle = work->next;
	pthread_mutex_unlock(&regex->lock);
	return work ? work : work_new(regex);
}

static void work_give(struct regex *regex, struct work *work)
{
	pthread_mutex_lock(&regex->lock);
	work->next = regex->idle;
	regex->idle = work;
	pthread_mutex_unlock(&regex->lock);
}

/* ---- Searching ---- */

struct search {
	const struct regex *regex;
	const struct ms_span *span;
	struct ms_emit *emit;
	struct work *work;
	size_t first, count; /* the starts in question */
	int32_t shown;	     /* where the bytes that libhs is shown begin; may be negative */
	size_t pending;
	bool full;     /* too many matches */
	uint32_t slow; /* the slow expression being searched for */
};

/* Non-zero when there is no room for more. */
static int pending_add(struct search *s, struct pending match)
{
	uint32_t *last_index = &s->work->last[match.expression];
	struct pending *last = &s->work->pending[*last_index];

	/* What last_index says may stem from an earlier pass. */
	if (*last_index < s->pending && last->expression == match.expression &&
		last->start == match.start) {
		last->end = match.end > last->end ? match.end : last->end;
		return 0;
	}
	if (s->pending == PENDING_MAX) {
		s->full = true;
		return 1;
	}
	*last_index = (uint32_t)s->pending;
	s->work->pending[s->pending++] = match;
	return 0;
}

static int match_take(
	unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	struct search *s = ctx;
	int32_t start = (int32_t)from + s->shown, end = (int32_t)to + s->shown;

	(void)flags;
	if (start < (int32_t)s->first || start >= (int32_t)(s->first + s->count))
		return 0;
	return pending_add(s, (struct pending){start, end, (uint32_t)id});
}

static int slow_match_take(void *ctx, size_t start, size_t end)
{
	struct search *s = ctx;

	return pending_add(s, (struct pending){(int32_t)start, (int32_t)end, s->slow});
}

/* Sets how many of the starts from s->first on can be looked at together, and what to show. */
static void range_set(struct search *s, size_t step, size_t *ret_shown_end)
{
	const struct ms_span *span = s->span;
	size_t reach = s->regex->reach, back = reach, ahead;

	s->count = (size_t)min_u64(step, span->fresh - s->first);
	ahead = s->count + reach;
	if (s->regex->blocks) {
		size_t into = (size_t)((span->address + s->first) & (BLOCK - 1));

		s->count = (size_t)min_u64(s->count, BLOCK - into);
		back = into + reach;
		ahead = BLOCK - into + reach;
	}
	back = (size_t)min_u64(back, span->before + s->first);
	s->shown = (int32_t)((int64_t)s->first - (int64_t)back);
	*ret_shown_end = s->first + (size_t)min_u64(ahead, span->size - s->first);
}

static int slow_find(struct search *s)
{
	const struct regex *regex = s->regex;
	const struct ends_range range = {
		.data = s->span->data,
		.size = s->span->size,
		.before = s->span->before,
		.first = s->first,
		.count = s->count,
	};
	int r = 0;

	for (s->slow = 0; s->slow < regex->expressions.count && r == 0 && !s->full; s->slow++)
		if (regex->expressions.data[s->slow].slow)
			r = ends_search(&regex->expressions.data[s->slow].ends, s->work->hs,
				s->work->marks, &range, slow_match_take, s);
	return s->full ? 0 : r;
}

static int fast_find(struct search *s, size_t end)
{
	int r = hs_scan(s->regex->database, (const char *)s->span->data + s->shown,
		(unsigned)((int64_t)end - s->shown), 0, s->work->hs, match_take, s);
	if (r == HS_SUCCESS || r == HS_SCAN_TERMINATED)
		return 0;
	return err_set(MS_ERR_UNSUPPORTED, "libhs could not search: error %d", r);
}

static int matches_find(struct search *s, size_t step)
{
	size_t end;
	int r = 0;

	range_set(s, step, &end);
	s->pending = 0;
	s->full = false;
	if (s->regex->database)
		r = fast_find(s, end);
	return r == 0 && !s->full && s->regex->slow_reach ? slow_find(s) : r;
}

static int pending_compare(const void *left, const void *right)
{
	const struct pending *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->expression < b->expression ? -1 : a->expression > b->expression;
}

static int hit_emit(struct search *s, struct pending match)
{
	size_t size = (size_t)min_u64((uint64_t)(match.end - match.start), MS_REGEX_MAX);
	struct ms_hit hit = {
		.address = s->span->address + (uint64_t)match.start,
		.size = size,
		.value = match.expression,
		.pattern = s->regex->expressions.data[match.expression].text,
		.bytes = s->span->data + match.start,
		.bytes_size = size,
	};

	if (hit.address % s->regex->align)
		return 0;
	return s->emit->hit(s->emit, &hit);
}

static int matches_emit(struct search *s)
{
	struct pending *list = s->work->pending;
	int r = 0;

	array_sort(list, s->pending, sizeof(*list), pending_compare);
	for (size_t i = 0, next; i < s->pending && r == 0; i = next) {
		struct pending longest = list[i];

		for (next = i + 1; next < s->pending && pending_compare(&list[i], &list[next]) == 0;
			next++)
			longest.end = list[next].end > longest.end ? list[next].end : longest.end;
		r = hit_emit(s, longest);
	}
	return r;
}

static int starts_search(struct search *s)
{
	size_t step = STARTS_MAX;
	int r = 0;

	while (r == 0 && s->first < s->span->fresh) {
		r = matches_find(s, step);
		/* A single start has one match of each expression, and that is not too many. */
		if (s->full) {
			step = s->count / 2;
			continue;
		}
		if (r == 0)
			r = matches_emit(s);
		s->first += s->count;
	}
	return r;
}

static int regex_span(const struct ms_engine *engine, void *scratch, const struct ms_span *span,
	struct ms_emit *emit)
{
	struct regex *regex = engine->priv;
	struct search s = {.regex = regex, .span = span, .emit = emit};
	int r;

	(void)scratch;
	_Static_assert(EXPRESSIONS_MAX < PENDING_MAX, "a single start must not be too much");
	assert(span->fresh <= span->size && span->size < INT32_MAX);
	s.work = work_take(regex);
	if (!s.work)
		return err_nomem();
	r = starts_search(&s);
	work_give(regex, s.work);
	return r;
}

const struct ms_engine_ops regex_engine = {
	.name = "regex",
	.summary = "regular expressions",
	.priv_size = sizeof(struct regex),
	.create = regex_create,
	.destroy = regex_destroy,
	.overlap = regex_overlap,
	.behind = regex_overlap,
	.period = regex_period,
	.span = regex_span,
};
