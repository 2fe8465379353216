/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which processes a selection names. A criterion adds (pids, names, user, all) or takes away
 * (exclude); system processes and memsift itself are left out unless named.
 */
#include "core/host.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/number.h"

#include <regex.h>
#include <unistd.h>

enum { ONLY_MAX = 64 }; /* pids that are looked up one by one, not listed with all others */

struct picks {
	const struct ms_process *list;
	size_t count;
	bool *picked;
	bool *left_out; /* kernel threads that would be picked if they were wanted */
};

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

static bool name_is(const struct ms_process *process, const char *name)
{
	const char *exe = base_name(process->exe);

	return strcmp(process->name, name) == 0 || (exe && strcmp(exe, name) == 0);
}

static bool all_digits(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!is_digit(*c))
			return false;
	return *text != '\0';
}

/* Picks (or unpicks) by regular expression over the name and the program's base name. */
static int pick_regex(struct picks *picks, const char *expression, bool value, size_t *ret_matched)
{
	char why[128];
	regex_t regex;
	int r = regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB);

	if (r != 0) {
		regerror(r, &regex, why, sizeof(why));
		return err_set(MS_ERR_ARGUMENT, "re:%s: %s", expression, why);
	}
	for (size_t i = 0; i < picks->count; i++) {
		const struct ms_process *process = &picks->list[i];
		const char *exe = base_name(process->exe);

		if (regexec(&regex, process->name, 0, NULL, 0) != 0 &&
			(!exe || regexec(&regex, exe, 0, NULL, 0) != 0))
			continue;
		picks->picked[i] = value;
		++*ret_matched;
	}
	regfree(&regex);
	return 0;
}

static int pick_pid(struct picks *picks, const char *text, bool value, size_t *ret_matched)
{
	uint64_t pid;
	int r = ms_parse_number("process id", text, &pid);

	if (r < 0)
		return r;
	for (size_t i = 0; i < picks->count; i++)
		if (picks->list[i].pid == pid) {
			picks->picked[i] = value;
			++*ret_matched;
		}
	return 0;
}

static int pick_name(struct picks *picks, const char *name, bool value, size_t *ret_matched)
{
	if (strncmp(name, "re:", 3) == 0)
		return pick_regex(picks, name + 3, value, ret_matched);
	for (size_t i = 0; i < picks->count; i++)
		if (name_is(&picks->list[i], name)) {
			picks->picked[i] = value;
			++*ret_matched;
		}
	return 0;
}

/* Excluding: digits are a pid, anything else is a name. */
static int unpick(struct picks *picks, const char *text, bool value, size_t *ret_matched)
{
	return all_digits(text) ? pick_pid(picks, text, value, ret_matched)
				: pick_name(picks, text, value, ret_matched);
}

typedef int pick_fn(struct picks *picks, const char *text, bool value, size_t *ret_matched);

/* The next member, ended in place, or NULL; "\\," stands for a comma that is part of one. */
static char *next_member(char **rest)
{
	char *member = *rest, *from = member, *to = member;

	if (!member)
		return NULL;
	while (*from && *from != ',') {
		from += from[0] == '\\' && from[1] == ',';
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return member;
}

/* Goes through a comma-separated list; reports members that matched nothing. */
static int pick_list(struct picks *picks, const char *list, pick_fn *pick, bool value,
	const struct ms_selection *selection)
{
	AUTO_FREE char *copy = strdup(list);
	char *rest = copy, *member;

	if (!copy)
		return err_nomem();
	while ((member = next_member(&rest))) {
		size_t matched = 0;
		int r = *member ? pick(picks, member, value, &matched)
				: err_set(MS_ERR_ARGUMENT, "\"%s\": a member of the list is empty",
					  list);

		if (r < 0)
			return r;
		if (!matched && value && selection->missing)
			selection->missing(selection->ctx, member);
	}
	return 0;
}

static int pick_user(struct picks *picks, const char *user)
{
	uint64_t uid = UINT64_MAX;

	if (all_digits(user)) {
		int r = ms_parse_number("user", user, &uid);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < picks->count; i++) {
		const struct ms_process *process = &picks->list[i];

		if (process->uid == uid || (process->user && strcmp(process->user, user) == 0))
			picks->picked[i] = true;
	}
	return 0;
}

/* Picks what was not named, unless it is a kernel thread and these are not wanted. */
static bool sweep_in(struct picks *picks, size_t i, const struct ms_selection *selection)
{
	bool left_out = picks->list[i].kernel && selection->kernel_threads;

	picks->left_out[i] = left_out;
	picks->picked[i] = !left_out;
	return picks->picked[i];
}

/* Adds children until nothing changes; a tree is seldom deeper than a few levels. */
static void pick_tree(struct picks *picks, const struct ms_selection *selection)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < picks->count; i++) {
			if (picks->picked[i])
				continue;
			for (size_t k = 0; k < picks->count; k++)
				if (picks->picked[k] && picks->list[i].ppid == picks->list[k].pid &&
					i != k && sweep_in(picks, i, selection))
					changed = true;
		}
	}
}

static int pick_all_criteria(struct picks *picks, const struct ms_selection *selection)
{
	int r = 0;

	if (selection->user)
		r = pick_user(picks, selection->user);
	for (size_t i = 0; i < picks->count; i++) {
		const struct ms_process *process = &picks->list[i];

		/* What was swept in, not named: system processes and ourselves stay out. */
		if ((process->system || process->kernel) && !selection->include_system)
			picks->picked[i] = false;
		else if (selection->all || picks->picked[i])
			sweep_in(picks, i, selection);
	}
	if (r == 0 && selection->names)
		r = pick_list(picks, selection->names, pick_name, true, selection);
	if (r == 0 && selection->pids)
		r = pick_list(picks, selection->pids, pick_pid, true, selection);
	if (r == 0 && selection->tree)
		pick_tree(picks, selection);
	if (r == 0 && selection->exclude)
		r = pick_list(picks, selection->exclude, unpick, false, selection);
	return r;
}

static bool names_pid(const char *pids, uint32_t pid)
{
	char text[16];
	size_t length = (size_t)snprintf(text, sizeof(text), "%u", pid);

	for (const char *at = pids; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, text, length) == 0 && (at[length] == ',' || at[length] == '\0'))
			return true;
	return false;
}

/* The pids of a list of nothing else, if they are all that a selection can come to. */
static bool only_pids(const struct ms_selection *selection, uint32_t *pids, size_t *ret_count)
{
	const char *at = selection->pids;
	size_t count = 0;

	if (!at || selection->names || selection->user || selection->exclude || selection->all ||
		selection->tree)
		return false;
	while (is_digit(*at) && count < ONLY_MAX) {
		char *end;
		unsigned long pid = strtoul(at, &end, 10);

		pids[count++] = pid < UINT32_MAX ? (uint32_t)pid : UINT32_MAX;
		at = *end == ',' ? end + 1 : end;
	}
	*ret_count = count;
	return count && !*at && at[-1] != ',';
}

int ms_host_select(ms_host *host, const struct ms_selection *selection,
	const struct ms_process **ret_list, size_t *ret_count)
{
	struct picks picks = {0};
	AUTO_FREE bool *picked = NULL, *left_out = NULL;
	bool local = ms_host_is_local(host);
	uint32_t self = (uint32_t)getpid();
	size_t kernel_threads = 0;
	uint32_t pids[ONLY_MAX];
	/* A name may be that of the program. */
	struct process_list wanted = {
		.brief = selection->brief && !selection->names && !selection->exclude};
	int r;

	if (only_pids(selection, pids, &wanted.only_count))
		wanted.only = pids;
	r = host_processes(host, &wanted, &picks.list, &picks.count);
	if (r < 0)
		return r;
	picks.picked = picked = calloc(picks.count + 1, sizeof(*picked));
	picks.left_out = left_out = calloc(picks.count + 1, sizeof(*left_out));
	if (!picked || !left_out)
		return err_nomem();
	r = pick_all_criteria(&picks, selection);
	if (r < 0)
		return r;
	host->selected.count = 0;
	for (size_t i = 0; i < picks.count; i++) {
		const struct ms_process *process = &picks.list[i];
		bool ours = process->pid == self && !names_pid(selection->pids, self);

		kernel_threads += left_out[i] && !picked[i];
		if (picked[i] && !(local && ours) && !vec_push(&host->selected, *process))
			return err_nomem();
	}
	if (!host->selected.count)
		return err_set(MS_ERR_NOT_FOUND, "no process matches the selection");
	if (selection->kernel_threads)
		*selection->kernel_threads = kernel_threads;
	*ret_list = host->selected.data;
	*ret_count = host->selected.count;
	return 0;
}
