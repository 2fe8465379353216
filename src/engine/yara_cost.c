/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What rules cost, counted over all scans of an engine. What most of a rule's cost is made of is
 * known before libyara has a part in it: how often its atoms lie in memory, as each of them is
 * verified. What came of that is counted at the end of each evaluation, in the lists of matches.
 * libyara's own clocks are read, too, but it only has them when it was built with them, which
 * distributions leave out; without, no time of a single rule is known.
 */
#include "engine/yara.h"

#include "base/err.h"

struct yara_cost {
	_Atomic uint64_t matches, targets, time_ns;
};

int yara_costs_make(struct yara *yara)
{
	for (size_t i = 0; i < yara->sets.count; i++) {
		struct yara_set *set = &yara->sets.data[i];

		set->costs = calloc((size_t)set->rules->num_rules + 1, sizeof(*set->costs));
		if (!set->costs)
			return err_nomem();
	}
	return 0;
}

void yara_costs_held(const struct yara_set *set, const YR_RULE *rule)
{
	if (set->costs)
		atomic_fetch_add(&set->costs[rule - set->rules->rules_table].targets, 1);
}

void yara_costs_count(const struct yara_set *set, const YR_SCAN_CONTEXT *context)
{
	const YR_RULES *rules = set->rules;

	for (uint32_t i = 0; set->costs && i < rules->num_strings; i++)
		if (context->matches[i].count)
			atomic_fetch_add(&set->costs[rules->strings_table[i].rule_idx].matches,
				(uint64_t)context->matches[i].count);
}

void yara_costs_time(const struct yara_set *set, YR_SCANNER *scanner)
{
	YR_RULE_PROFILING_INFO *infos;

	if (!set->costs || !scanner->profiling_info)
		return;
	infos = yr_scanner_get_profiling_info(scanner);
	for (const YR_RULE_PROFILING_INFO *info = infos; info && info->rule; info++)
		atomic_fetch_add(
			&set->costs[info->rule - set->rules->rules_table].time_ns, info->cost);
	free(infos);
}

/* ---- Notes ---- */

static int owner_compare(const void *left, const void *right)
{
	const struct yara_owner *a = left, *b = right;

	return a->rule < b->rule ? -1 : a->rule > b->rule;
}

static size_t owner_first(const struct yara_atoms *atoms, const struct ms_rule *rule)
{
	size_t i;

	bisect(i, atoms->owners.count, atoms->owners.data[i].rule >= rule);
	return i;
}

/* How often atoms of a rule were found; the owners are in order. */
static uint64_t verified(const struct yara_atoms *atoms, const struct ms_rule *rule)
{
	uint64_t count = 0;

	for (size_t i = owner_first(atoms, rule);
		atoms->found && i < atoms->owners.count && atoms->owners.data[i].rule == rule; i++)
		count += atoms->found[atoms->owners.data[i].atom];
	return count;
}

static int note_compare(const void *left, const void *right)
{
	const struct ms_note *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns > b->time_ns ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->matches > b->matches ? -1 : a->matches < b->matches;
}

static int set_note(struct yara *yara, const struct yara_set *set)
{
	for (uint32_t i = 0; set->costs && i < set->rules->num_rules; i++) {
		const struct ms_rule *rule = &set->shown[i];
		struct ms_note note = {MS_NOTE_COST, .file = rule->space, .text = rule->name,
			.count = yara->no_prefilter ? UINT64_MAX : verified(&yara->atoms, rule),
			.matches = set->costs[i].matches, .targets = set->costs[i].targets,
			.time_ns = set->costs[i].time_ns};

		bool found = note.count && note.count != UINT64_MAX;

		if ((found || note.matches || note.targets || note.time_ns) &&
			!vec_push(&yara->notes, note))
			return err_nomem();
	}
	return 0;
}

int yara_costs_note(struct yara *yara)
{
	struct yara_atoms *atoms = &yara->atoms;
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < yara->notes.count; i++)
		if (yara->notes.data[i].kind != MS_NOTE_COST)
			yara->notes.data[kept++] = yara->notes.data[i];
	yara->notes.count = kept;
	vec_sort(&atoms->owners, owner_compare);
	for (size_t i = 0; i < yara->sets.count && r == 0; i++)
		r = set_note(yara, &yara->sets.data[i]);
	if (yara->notes.count > kept)
		qsort(yara->notes.data + kept, yara->notes.count - kept, sizeof(*yara->notes.data),
			note_compare);
	return r;
}
