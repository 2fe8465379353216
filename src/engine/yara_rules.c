/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From what the user names to compiled rules. All sources go into one compiler, a namespace each
 * where they come from a folder; compiled files are sets of their own, evaluated beside it.
 *
 * libyara's compiler cannot go on after an error. So with `keep-going` each source is first
 * compiled by itself, and those that fail are left out.
 */
#include "engine/yara.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILES_MAX = 100000,
	FILE_SIZE_MAX = 64 * 1024 * 1024,
	COMPILED_SIZE_MAX = 1024 * 1024 * 1024,
	DEPTH_MAX = 32, /* folders in folders */
	MAGIC_SIZE = 4,
};

/* Rules to compile. */
struct rule_source {
	const char *path; /* NULL: inline text */
	const char *text; /* with a NUL behind it */
	const char *space;
};

/* An include by the name it was written with, which is how libyara calls the file from then on. */
struct included {
	const char *name, *path;
};

struct builder {
	struct yara *yara;
	const struct ms_arg *args;
	size_t arg_count;
	const struct ms_engine_options *options; /* may be NULL */
	VEC(struct rule_source) sources;
	VEC(struct included) includes;
	VEC(const char *) folders; /* to be looked into */
	struct arena arena;
	char error[ERR_TEXT_MAX]; /* the first one of a compilation; "" for none */
	bool quiet;		  /* errors and warnings are told in another run */
};

static void cleanup_builder(struct builder *builder)
{
	free(builder->sources.data);
	free(builder->includes.data);
	free(builder->folders.data);
	arena_done(&builder->arena);
}

static void cleanup_compiler(YR_COMPILER **compiler)
{
	if (*compiler)
		yr_compiler_destroy(*compiler);
}

int yara_note(struct yara *yara, enum ms_note_kind kind, const char *file, uint64_t line,
	const char *text)
{
	struct ms_note note = {kind, file ? arena_string(&yara->arena, file) : NULL, line,
		text ? arena_string(&yara->arena, text) : NULL};

	if ((file && !note.file) || (text && !note.text) || !vec_push(&yara->notes, note))
		return err_nomem();
	return 0;
}

/* ---- Files ---- */

static int file_read(
	struct builder *builder, const char *path, uint8_t **ret_data, size_t *ret_size)
{
	AUTO_CLOSE int fd = -1;
	uint64_t size;
	size_t got;
	int r = os_file_open(path, &fd, &size);

	if (r < 0)
		return r;
	if (size > COMPILED_SIZE_MAX)
		return err_set(MS_ERR_FORMAT, "%s: larger than any file of rules", path);
	*ret_data = arena_alloc(&builder->arena, (size_t)size + 1);
	if (!*ret_data)
		return err_nomem();
	r = os_file_read(fd, *ret_data, (size_t)size, 0, &got);
	if (r == 0 && got != size)
		r = err_set(MS_ERR_IO, "%s: cannot be read to its end", path);
	if (r < 0)
		return r;
	(*ret_data)[size] = '\0';
	*ret_size = (size_t)size;
	return 0;
}

/* Text, that is: libyara stops at a NUL without a word. */
static int source_check(const char *path, const uint8_t *data, size_t size)
{
	if (size > FILE_SIZE_MAX)
		return err_set(MS_ERR_FORMAT, "%s: larger than %d MiB, which no source of rules is",
			path, FILE_SIZE_MAX >> 20);
	if (memchr(data, 0, size))
		return err_set(MS_ERR_FORMAT,
			"%s: this is neither the source of rules nor a file that yarac made", path);
	return 0;
}

static int set_add(struct yara *yara, YR_RULES *rules)
{
	if (vec_push(&yara->sets, (struct yara_set){.rules = rules}))
		return 0;
	yr_rules_destroy(rules);
	return err_nomem();
}

/* What keep-going makes of a failure. */
static int source_failed(struct builder *builder, const char *path, int status)
{
	if (!builder->yara->keep_going || status == MS_ERR_MEMORY || status == MS_ERR_STOPPED)
		return status;
	return yara_note(builder->yara, MS_NOTE_ERROR, path, 0, ms_error());
}

static int file_take(struct builder *builder, const char *path, const char *space)
{
	uint8_t *data = NULL;
	size_t size = 0;
	YR_RULES *rules;
	int r = file_read(builder, path, &data, &size);

	if (r == 0 && yara_is_compiled(data, size)) {
		r = yara_compiled_load(path, data, size, builder->options, &rules);
		if (r == 0)
			r = set_add(builder->yara, rules);
		return r < 0 ? source_failed(builder, path, r)
			     : yara_note(builder->yara, MS_NOTE_FILE, path, 0, NULL);
	}
	if (r == 0)
		r = source_check(path, data, size);
	if (r < 0)
		return source_failed(builder, path, r);
	if (builder->sources.count >= FILES_MAX)
		return err_set(MS_ERR_ARGUMENT, "more than %d files of rules", FILES_MAX);
	if (!vec_push(&builder->sources, (struct rule_source){path, (char *)data, space}))
		return err_nomem();
	return yara_note(builder->yara, MS_NOTE_FILE, path, 0, NULL);
}

/* ---- Folders ---- */

static bool is_rule_name(const char *name)
{
	static const char *const endings[] = {".yar", ".yara", ".yarc", ".rule", ".rules"};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && dot != name && i < ARRAY_SIZE(endings); i++)
		if (strcasecmp(dot, endings[i]) == 0)
			return true;
	return false;
}

static size_t depth_of(const char *path, size_t root)
{
	size_t depth = 0;

	for (const char *c = path + root; *c; c++)
		depth += *c == '/';
	return depth;
}

/* An entry of a folder; links are followed to files, never to folders. */
static int entry_take(struct builder *builder, const char *path, const char *name, size_t root)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	if (S_ISDIR(st.st_mode)) {
		if (depth_of(path, root) > DEPTH_MAX)
			return err_set(
				MS_ERR_ARGUMENT, "%s: more than %d folders deep", path, DEPTH_MAX);
		return vec_push(&builder->folders, path) ? 0 : err_nomem();
	}
	if (!is_rule_name(name) || (S_ISLNK(st.st_mode) && stat(path, &st) < 0) ||
		!S_ISREG(st.st_mode))
		return 0;
	return file_take(builder, path, path);
}

static int skip_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int folder_take(struct builder *builder, const char *folder, size_t root)
{
	struct dirent **entries;
	int r = 0, count = scandir(folder, &entries, skip_dots, alphasort);

	if (count < 0)
		return source_failed(builder, folder,
			err_errno(
				err_from_errno(errno), errno, "cannot list the folder %s", folder));
	for (int i = 0; i < count; i++) {
		char *path =
			r < 0 ? NULL
			      : arena_format(&builder->arena, "%s/%s", folder, entries[i]->d_name);

		if (r == 0)
			r = path ? entry_take(builder, path, entries[i]->d_name, root)
				 : err_nomem();
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int path_take(struct builder *builder, const char *path)
{
	size_t files = builder->sources.count + builder->yara->sets.count;
	size_t notes = builder->yara->notes.count;
	const char *colon = strchr(path, ':');
	struct stat st;
	int r = 0;

	/* NAMESPACE:FILE, as with yara, unless a file is called like that. */
	if (stat(path, &st) < 0 && colon && colon != path && stat(colon + 1, &st) == 0) {
		const char *space = arena_copy(&builder->arena, path, (size_t)(colon - path));

		return space ? file_take(builder, colon + 1, space) : err_nomem();
	}
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return file_take(builder, path, NULL);
	if (!vec_push(&builder->folders, path))
		return err_nomem();
	while (r == 0 && builder->folders.count)
		r = folder_take(
			builder, builder->folders.data[--builder->folders.count], strlen(path));
	if (r == 0 && builder->sources.count + builder->yara->sets.count == files &&
		builder->yara->notes.count == notes)
		r = err_set(MS_ERR_NOT_FOUND,
			"the folder %s has no rules: files are looked for whose names end in .yar, "
			".yara, .yarc, .rule or .rules",
			path);
	return r;
}

/* ---- Includes ---- */

/* Where the file lies that libyara calls `name`. */
static const char *included_path(const struct builder *builder, const char *name)
{
	for (size_t i = builder->includes.count; name && i-- > 0;)
		if (strcmp(builder->includes.data[i].name, name) == 0)
			return builder->includes.data[i].path;
	return name;
}

static const char *include_resolve(struct builder *builder, const char *name, const char *caller)
{
	const char *from = included_path(builder, caller);
	const char *slash = from ? strrchr(from, '/') : NULL;
	int length = slash ? (int)(slash - from) + 1 : 0;

	if (name[0] == '/')
		length = 0;
	return arena_format(&builder->arena, "%.*s%s", length, length ? from : "", name);
}

static const char *include_open(const char *name, const char *caller, const char *space, void *ctx)
{
	struct builder *builder = ctx;
	const char *path = include_resolve(builder, name, caller);
	struct included included = {arena_string(&builder->arena, name), path};
	uint8_t *data = NULL;
	size_t size = 0;
	int r = path ? file_read(builder, path, &data, &size) : MS_ERR_MEMORY;

	(void)space;
	if (r == 0)
		r = source_check(path, data, size);
	if (r == 0 && !builder->quiet)
		r = yara_note(builder->yara, MS_NOTE_FILE, path, 0, NULL);
	if (r < 0 || !included.name || !vec_push(&builder->includes, included)) {
		if (!builder->error[0])
			snprintf(builder->error, sizeof(builder->error),
				"%s%sinclude \"%.200s\": %s", caller ? caller : "",
				caller ? ": " : "", name, ms_error());
		return NULL;
	}
	return (char *)data;
}

static void include_close(const char *text, void *ctx)
{
	(void)text, (void)ctx;
}

/* ---- The compiler ---- */

static void compiler_heard(
	int level, const char *file, int line, const YR_RULE *rule, const char *message, void *ctx)
{
	struct builder *builder = ctx;
	const char *path = included_path(builder, file);
	char where[16] = "";

	if (level == YARA_ERROR_LEVEL_ERROR) {
		/* At the end of a text libyara knows no line. */
		if (line > 0)
			snprintf(where, sizeof(where), ":%d", line);
		if (!builder->error[0])
			snprintf(builder->error, sizeof(builder->error), "%s%s: %s%s%s%s",
				path ? path : "rule", line > 0 ? where : " (at its end)",
				rule ? "rule " : "", rule ? rule->identifier : "", rule ? ": " : "",
				message);
	} else if (!builder->quiet) {
		char text[512];

		snprintf(text, sizeof(text), "%s%s%s%s", rule ? "rule " : "",
			rule ? rule->identifier : "", rule ? ": " : "", message);
		yara_note(
			builder->yara, MS_NOTE_WARNING, path, line > 0 ? (uint64_t)line : 0, text);
	}
}

enum variable_type { VARIABLE_INTEGER, VARIABLE_FLOAT, VARIABLE_BOOLEAN, VARIABLE_TEXT };

struct variable {
	char name[128];
	const char *text;
	enum variable_type type;
	int64_t integer; /* or boolean */
	double real;
};

/* The type is told from the value, as yara does. */
static int variable_parse(const char *text, struct variable *ret)
{
	const char *equals = strchr(text, '=');
	char *end;

	if (!equals || equals == text || (size_t)(equals - text) >= sizeof(ret->name))
		return err_set(MS_ERR_ARGUMENT, "%.200s: a variable is written NAME=VALUE", text);
	*ret = (struct variable){.text = equals + 1, .type = VARIABLE_TEXT};
	memcpy(ret->name, text, (size_t)(equals - text));
	if (strcmp(ret->text, "true") == 0 || strcmp(ret->text, "false") == 0) {
		ret->type = VARIABLE_BOOLEAN;
		ret->integer = ret->text[0] == 't';
		return 0;
	}
	if (!*ret->text || strspn(ret->text, "0123456789+-.") != strlen(ret->text))
		return 0;
	errno = 0;
	ret->integer = strtoll(ret->text, &end, 10);
	if (!*end && errno == 0) {
		ret->type = VARIABLE_INTEGER;
		return 0;
	}
	ret->real = strtod(ret->text, &end);
	if (!*end)
		ret->type = VARIABLE_FLOAT;
	return 0;
}

static int variable_define(YR_COMPILER *compiler, const struct variable *variable)
{
	switch (variable->type) {
	case VARIABLE_INTEGER:
		return yr_compiler_define_integer_variable(
			compiler, variable->name, variable->integer);
	case VARIABLE_FLOAT:
		return yr_compiler_define_float_variable(compiler, variable->name, variable->real);
	case VARIABLE_BOOLEAN:
		return yr_compiler_define_boolean_variable(
			compiler, variable->name, (int)variable->integer);
	default:
		return yr_compiler_define_string_variable(compiler, variable->name, variable->text);
	}
}

/* For compiled rules, which know the variables they were compiled with. */
static int variable_set(YR_RULES *rules, const struct variable *variable)
{
	switch (variable->type) {
	case VARIABLE_INTEGER:
		return yr_rules_define_integer_variable(rules, variable->name, variable->integer);
	case VARIABLE_FLOAT:
		return yr_rules_define_float_variable(rules, variable->name, variable->real);
	case VARIABLE_BOOLEAN:
		return yr_rules_define_boolean_variable(
			rules, variable->name, (int)variable->integer);
	default:
		return yr_rules_define_string_variable(rules, variable->name, variable->text);
	}
}

static int compiler_new(struct builder *builder, YR_COMPILER **ret_compiler)
{
	if (yr_compiler_create(ret_compiler) != ERROR_SUCCESS) {
		*ret_compiler = NULL;
		return err_nomem();
	}
	builder->error[0] = '\0';
	builder->includes.count = 0;
	yr_compiler_set_callback(*ret_compiler, compiler_heard, builder);
	yr_compiler_set_include_callback(*ret_compiler, include_open, include_close, builder);
	for (size_t i = 0; i < builder->arg_count; i++) {
		struct variable variable;
		int r = 0;

		if (strcmp(builder->args[i].key, "define") == 0) {
			r = variable_parse(builder->args[i].value, &variable);
			if (r == 0 && variable_define(*ret_compiler, &variable) != ERROR_SUCCESS)
				r = err_set(MS_ERR_ARGUMENT,
					"the variable %s cannot be defined: it is there already, "
					"or "
					"its name is none",
					variable.name);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* As a stream, so that libyara knows the name; it has no way of telling it one with a text. */
static int file_compile(YR_COMPILER *compiler, const struct rule_source *source, int *ret_errors)
{
	size_t size = strlen(source->text);
	AUTO_FCLOSE FILE *file = NULL;

	*ret_errors = 0;
	if (!size)
		return 0;
	file = fmemopen((void *)source->text, size, "r");
	if (!file)
		return err_nomem();
	*ret_errors = yr_compiler_add_file(compiler, file, source->space, source->path);
	return 0;
}

static int source_compile(
	struct builder *builder, YR_COMPILER *compiler, const struct rule_source *source)
{
	int errors = 0, r = 0;

	if (source->path)
		r = file_compile(compiler, source, &errors);
	else
		errors = yr_compiler_add_string(compiler, source->text, source->space);
	if (errors)
		return err_set(MS_ERR_ARGUMENT, "%s",
			builder->error[0] ? builder->error : "the rules cannot be compiled");
	return r;
}

/* Leaves out the sources that cannot be compiled. */
static int sources_sift(struct builder *builder)
{
	size_t kept = 0;
	int r = 0;

	builder->quiet = true;
	for (size_t i = 0; i < builder->sources.count && r == 0; i++) {
		CLEANUP(cleanup_compiler) YR_COMPILER *compiler = NULL;
		struct rule_source source = builder->sources.data[i];

		r = compiler_new(builder, &compiler);
		if (r == 0 && source_compile(builder, compiler, &source) < 0)
			r = source_failed(builder, source.path, MS_ERR_ARGUMENT);
		else
			builder->sources.data[kept++] = source;
	}
	builder->quiet = false;
	builder->sources.count = kept;
	return r;
}

/* Compiles all sources together; *ret_failed: the one that could not be added, if that is why. */
static int sources_join(struct builder *builder, YR_RULES **ret_rules, size_t *ret_failed)
{
	CLEANUP(cleanup_compiler) YR_COMPILER *compiler = NULL;
	int r = compiler_new(builder, &compiler);

	for (size_t i = 0; i < builder->sources.count && r == 0; i++) {
		*ret_failed = i;
		r = source_compile(builder, compiler, &builder->sources.data[i]);
	}
	if (r < 0)
		return r;
	*ret_failed = SIZE_MAX;
	if (yr_compiler_get_rules(compiler, ret_rules) != ERROR_SUCCESS)
		return err_set(MS_ERR_MEMORY, "the rules need more memory than there is");
	return 0;
}

/* One that is right by itself may still not go with the others: a name can be taken. */
static int sources_compile(struct builder *builder)
{
	YR_RULES *rules;
	int r = builder->yara->keep_going ? sources_sift(builder) : 0;

	while (r == 0 && builder->sources.count) {
		struct rule_source *sources = builder->sources.data;
		size_t failed = SIZE_MAX, notes = builder->yara->notes.count;

		r = sources_join(builder, &rules, &failed);
		if (r == 0)
			return set_add(builder->yara, rules);
		if (failed == SIZE_MAX)
			return r;
		/* Its warnings come again. */
		if (builder->yara->keep_going)
			builder->yara->notes.count = notes;
		r = source_failed(builder, sources[failed].path, r);
		memmove(&sources[failed], &sources[failed + 1],
			(builder->sources.count - failed - 1) * sizeof(*sources));
		builder->sources.count--;
	}
	return r;
}

/* Sets the variables of compiled files; one that no set of rules knows is a mistake. */
static int variables_set(struct builder *builder)
{
	for (size_t i = 0; i < builder->arg_count; i++) {
		struct variable variable;
		bool known = builder->sources.count > 0;
		int r;

		if (strcmp(builder->args[i].key, "define") != 0)
			continue;
		r = variable_parse(builder->args[i].value, &variable);
		for (size_t k = 0; r == 0 && k < builder->yara->sets.count; k++)
			known |= variable_set(builder->yara->sets.data[k].rules, &variable) ==
				 ERROR_SUCCESS;
		if (r < 0)
			return r;
		if (!known)
			return err_set(MS_ERR_ARGUMENT,
				"the compiled rules have no variable %s of that type",
				variable.name);
	}
	return 0;
}

static int arg_take(struct builder *builder, const struct ms_arg *arg)
{
	if (strcmp(arg->key, "rules") == 0)
		return path_take(builder, arg->value);
	if (strcmp(arg->key, "rule") == 0 &&
		!vec_push(&builder->sources, (struct rule_source){NULL, arg->value, NULL}))
		return err_nomem();
	return 0;
}

static int nothing_is_left(const struct yara *yara)
{
	for (size_t i = 0; i < yara->notes.count; i++)
		if (yara->notes.data[i].kind == MS_NOTE_ERROR)
			return err_set(MS_ERR_ARGUMENT, "none of the rules can be used: %s",
				yara->notes.data[i].text);
	return err_set(MS_ERR_ARGUMENT, "there are no rules to look for");
}

int yara_rules_make(struct yara *yara, const struct ms_arg *args, size_t count,
	const struct ms_engine_options *options)
{
	CLEANUP(cleanup_builder)
	struct builder builder = {
		.yara = yara, .args = args, .arg_count = count, .options = options};
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = arg_take(&builder, &args[i]);
	if (r == 0)
		r = variables_set(&builder);
	if (r == 0)
		r = sources_compile(&builder);
	if (r == 0 && !yara->sets.count)
		r = nothing_is_left(yara);
	return r;
}
