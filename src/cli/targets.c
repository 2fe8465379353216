/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command line names: pids and names on a host, and files, each of which is a host of
 * its own. A word is a pid if it is a number, a file if it has a slash or if no process has that
 * name and a file does, else a name.
 */
#include "cli.h"

#include <ctype.h>
#include <unistd.h>

struct words {
	char *pids, *names; /* comma-separated, grown */
	const char **files;
	size_t file_count;
};

static bool is_number(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!isdigit((unsigned char)*c))
			return false;
	return *text != '\0';
}

static bool append_word(char **list, const char *word)
{
	char *grown;

	if (!word)
		return true;
	if (asprintf(&grown, "%s%s%s", *list ? *list : "", *list ? "," : "", word) < 0)
		return false;
	free(*list);
	*list = grown;
	return true;
}

/* A word of the command line is one name, whatever is in it. */
static bool append_name(char **list, const char *word)
{
	char *escaped = malloc(2 * strlen(word) + 1), *to = escaped;
	bool good;

	if (!escaped)
		return false;
	for (const char *c = word; *c; c++) {
		if (*c == ',')
			*to++ = '\\';
		*to++ = *c;
	}
	*to = '\0';
	/* A backslash at its end must not meet a comma: such a name comes last. */
	if (*list && **list && (*list)[strlen(*list) - 1] == '\\') {
		good = append_word(&escaped, *list);
		free(*list);
		*list = escaped;
		return good;
	}
	good = append_word(list, escaped);
	free(escaped);
	return good;
}

static const char *last_part(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

static bool is_running(ms_host *host, const char *name)
{
	const struct ms_process *list;
	size_t count;

	if (ms_host_processes(host, &list, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		const char *exe = last_part(list[i].exe);

		if (strcmp(list[i].name, name) == 0 || (exe && strcmp(exe, name) == 0))
			return true;
	}
	return false;
}

static bool is_file(const struct options *options, ms_host *host, const char *word)
{
	if (options->from || (host && !ms_host_is_local(host)) || strncmp(word, "re:", 3) == 0)
		return false;
	if (strchr(word, '/'))
		return true;
	return access(word, F_OK) == 0 && !is_running(host, word);
}

/* Whether nothing but files is named: they need no host, which may not even be there (no /proc). */
static bool only_files(const struct options *options)
{
	if (options->from || options->host.backend || options->host.device || options->pids ||
		options->names || options->all || options->user)
		return false;
	for (int i = 0; i < options->operand_count; i++)
		if (!strchr(options->operands[i], '/') ||
			strncmp(options->operands[i], "re:", 3) == 0)
			return false;
	return options->operand_count > 0;
}

static bool sort_words(const struct options *options, ms_host *host, struct words *words)
{
	bool good = append_word(&words->pids, options->pids) &&
		    append_word(&words->names, options->names);

	words->files = calloc((size_t)options->operand_count + 1, sizeof(*words->files));
	good = good && words->files;
	for (int i = 0; i < options->operand_count && good; i++) {
		const char *word = options->operands[i];

		if (is_number(word))
			good = append_word(&words->pids, word);
		else if (is_file(options, host, word))
			words->files[words->file_count++] = word;
		else
			good = append_name(&words->names, word);
	}
	return good;
}

/* Says why a target cannot be had, and keeps it for the document. */
static void target_fault(struct options *options, const char *what, const char *why)
{
	struct fault *grown = realloc(options->faults, (options->fault_count + 1) * sizeof(*grown));
	struct fault fault = {strdup(what), strdup(why)};

	complain("%s", why);
	if (grown)
		options->faults = grown;
	if (grown && fault.what && fault.why) {
		grown[options->fault_count++] = fault;
		return;
	}
	free(fault.what);
	free(fault.why);
}

/* A script gets a whole document where there is no target, but none of wrong use. */
static int no_targets(const struct options *options, int status)
{
	return status == STATUS_TARGET ? output_faults(options, status) : status;
}

int target_fail(struct options *options, const char *what, int status)
{
	target_fault(options, what, ms_error());
	return no_targets(options, status_of(status));
}

/* What is named, and what has become of it. */
struct finding {
	struct options *options;
	struct targets *targets;
};

/* The format has a place for what. */
static void not_found(struct finding *finding, const char *format, const char *what)
{
	char *why;

	finding->targets->missing++;
	if (asprintf(&why, format, what) < 0)
		return;
	target_fault(finding->options, what, why);
	free(why);
}

static void missing(void *ctx, const char *what)
{
	not_found(ctx, "no process matches \"%s\"; `memsift ps` lists them", what);
}

static bool add_group(
	struct targets *targets, ms_host *host, const struct ms_process *list, size_t count)
{
	struct target_group *grown =
		realloc(targets->groups, (targets->group_count + 1) * sizeof(*targets->groups));

	if (!grown)
		return false;
	targets->groups = grown;
	grown[targets->group_count++] = (struct target_group){host, list, count};
	targets->process_count += count;
	return true;
}

/* Adds what is chosen on the main host, if there is one; takes it over. */
static int open_main(
	struct options *options, const struct words *words, ms_host *host, struct targets *targets)
{
	bool any = words->pids || words->names || options->all || options->user;
	struct finding finding = {options, targets};
	size_t kernel_threads = 0;
	struct ms_selection selection = {
		.size = sizeof(selection),
		.pids = words->pids,
		.names = words->names,
		.exclude = options->exclude,
		.user = options->user,
		/* A file's host has but one process, as a rule: that one, then. */
		.all = options->all || !any,
		.include_system = options->include_system || (host && !ms_host_is_local(host)),
		.tree = options->tree,
		.brief = options->brief,
		.missing = missing,
		.ctx = &finding,
		.kernel_threads = options->listed ? NULL : &kernel_threads,
	};
	const struct ms_process *list;
	size_t count;
	int r;

	if (!any && (!host || ms_host_is_local(host))) {
		ms_host_free(host);
		return STATUS_DONE;
	}
	r = ms_host_select(host, &selection, &list, &count);
	if (r == 0 && kernel_threads && !options->quiet)
		complain("%zu kernel thread%s left out: %s no memory of %s own", kernel_threads,
			kernel_threads == 1 ? "" : "s",
			kernel_threads == 1 ? "it has" : "they have",
			kernel_threads == 1 ? "its" : "their");
	if (r == 0 && !add_group(targets, host, list, count)) {
		ms_host_free(host);
		return STATUS_OUTPUT;
	}
	if (r == 0)
		return STATUS_DONE;
	ms_host_free(host);
	if (r != MS_ERR_NOT_FOUND) {
		target_fault(options, "targets", ms_error());
		return status_of(r);
	}
	if (targets->missing)
		return STATUS_DONE;
	if (options->user) {
		not_found(&finding,
			"no process of the user \"%s\" matches; --include-system-processes lets "
			"system ones through, too",
			options->user);
		return STATUS_DONE;
	}
	targets->missing++;
	target_fault(options, "targets", ms_error());
	return STATUS_DONE;
}

/* Its processes are those that --exclude does not name; that may be none. */
static int open_file(struct options *options, const char *path, struct targets *targets)
{
	const struct ms_host_options opening = {
		.size = sizeof(opening), .cancelled = job_cancelled};
	const struct ms_selection selection = {.size = sizeof(selection),
		.all = true,
		.include_system = true,
		.exclude = options->exclude};
	const struct ms_process *list;
	ms_host *host;
	size_t count;
	int r = ms_host_open_with(path, &opening, &host);

	if (r == 0 && (r = ms_host_select(host, &selection, &list, &count)) < 0) {
		ms_host_free(host);
		if (r == MS_ERR_NOT_FOUND && options->exclude)
			return STATUS_DONE;
	}
	if (r == MS_ERR_STOPPED)
		return fail(r);
	if (r < 0) {
		target_fault(options, path, ms_error());
		targets->missing++;
		return r == MS_ERR_ARGUMENT ? STATUS_USAGE : STATUS_DONE;
	}
	if (add_group(targets, host, list, count))
		return STATUS_DONE;
	ms_host_free(host);
	return STATUS_OUTPUT;
}

static int open_all(struct options *options, ms_host *host, struct targets *targets)
{
	struct words words = {0};
	int status = STATUS_OUTPUT;

	if (sort_words(options, host, &words))
		status = open_main(options, &words, host, targets);
	else
		ms_host_free(host);
	for (size_t i = 0; i < words.file_count && status == STATUS_DONE; i++)
		status = open_file(options, words.files[i], targets);
	free(words.pids);
	free(words.names);
	free(words.files);
	return status;
}

static void note_backend(struct options *options, const ms_host *host)
{
	free(options->backend);
	free(options->why);
	options->backend = strdup(ms_host_backend(host));
	options->why = strdup(ms_host_why(host));
}

/* Where all targets are files, it is not this machine's processes that are read. */
static void note_backend_of(struct options *options, const struct targets *targets)
{
	for (size_t i = 0; i < targets->group_count; i++)
		if (ms_host_is_local(targets->groups[i].host))
			return;
	if (targets->group_count)
		note_backend(options, targets->groups[0].host);
}

int host_open(struct options *options, ms_host **ret_host)
{
	int r;

	options->host.size = sizeof(options->host);
	options->host.cancelled = job_cancelled;
	r = ms_host_open_with(options->from, &options->host, ret_host);
	if (r < 0)
		return r;
	note_backend(options, *ret_host);
	if ((options->host.backend || options->host.device) && !options->quiet && options->why)
		complain("memory is read by the backend %s: %s", options->backend, options->why);
	return 0;
}

int targets_open(struct options *options, struct targets *ret_targets)
{
	ms_host *host = NULL;
	int r, status;

	*ret_targets = (struct targets){0};
	r = only_files(options) ? 0 : host_open(options, &host);
	if (r < 0)
		return target_fail(options, options->from ? options->from : "local", r);
	status = open_all(options, host, ret_targets);
	if (status == STATUS_DONE && !ret_targets->process_count) {
		bool named = ret_targets->missing || options->operand_count;

		if (!named)
			complain("%s: name a target: a pid, a process name or a file, or use --all",
				options->command);
		else if (!ret_targets->missing)
			target_fault(options, "targets", "no process matches the selection");
		status = named ? STATUS_TARGET : STATUS_USAGE;
	}
	if (status == STATUS_DONE)
		note_backend_of(options, ret_targets);
	else
		targets_close(ret_targets);
	return no_targets(options, status);
}

void targets_close(struct targets *targets)
{
	for (size_t i = 0; i < targets->group_count; i++)
		ms_host_free(targets->groups[i].host);
	free(targets->groups);
	*targets = (struct targets){0};
}
