/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands that list: ps, regions, modules. Looking into a process takes many system calls
 * and little computing, so several threads do it ahead of the one that writes.
 */
#include "cli.h"
#include "commands.h"

#include "../base/os.h"

#include <pthread.h>
#include <unistd.h>

enum {
	AHEAD_MAX = 32,
	FETCHERS_MAX = 8,
	FILES_A_LOOK = 5, /* that an open source keeps or needs for a moment */
};

/* What a command wants of each process. */
struct lister {
	int (*open)(ms_host *host, const struct ms_process *process, ms_source **ret_source);
	/* Gets the list from an open source; any thread. NULL: the process itself is enough. */
	int (*fetch)(ms_source *source, const void **ret_list, size_t *ret_count);
	int (*print)(struct output *output, const struct options *options,
		const struct ms_process *process, const void *list, size_t count);
	bool brief; /* little of the process itself is shown */
};

/* A process looked into. */
struct look {
	bool ready;
	int status;
	char *error;
	ms_source *source; /* keeps the list */
	const void *list;
	size_t count;
};

struct fetching {
	const struct target_group *group;
	const struct lister *lister;
	struct look *looks;
	pthread_mutex_t lock; /* guards what follows, and `ready` of each look */
	pthread_cond_t ready; /* the look that is printed next */
	pthread_cond_t room;  /* to look further ahead */
	size_t next, printed, ahead;
	bool stop;
};

static int fetch_regions(ms_source *source, const void **ret_list, size_t *ret_count)
{
	const struct ms_region *list;
	int r = ms_source_regions(source, &list, ret_count);

	*ret_list = r == 0 ? list : NULL;
	return r;
}

static int fetch_modules(ms_source *source, const void **ret_list, size_t *ret_count)
{
	const struct ms_module *list;
	int r = ms_source_modules(source, &list, ret_count);

	*ret_list = r == 0 ? list : NULL;
	return r;
}

static int print_process(struct output *output, const struct options *options,
	const struct ms_process *process, const void *list, size_t count)
{
	struct ms_value values[MS_COLUMNS_MAX];

	(void)options, (void)list, (void)count;
	ms_record_process(process, values);
	return output_record(output, &ms_schema_process, values);
}

static int print_regions(struct output *output, const struct options *options,
	const struct ms_process *process, const void *list, size_t count)
{
	struct ms_value values[MS_COLUMNS_MAX];
	const struct ms_region *regions = list;

	for (size_t i = 0; i < count; i++) {
		if (!ms_filter_match(options->filter, &regions[i]))
			continue;
		ms_record_region(process, &regions[i], values);
		if (output_record(output, &ms_schema_region, values) < 0)
			return -1;
	}
	return 0;
}

static int print_modules(struct output *output, const struct options *options,
	const struct ms_process *process, const void *list, size_t count)
{
	struct ms_value values[MS_COLUMNS_MAX];
	const struct ms_module *modules = list;

	(void)options;
	for (size_t i = 0; i < count; i++) {
		ms_record_module(process, &modules[i], values);
		if (output_record(output, &ms_schema_module, values) < 0)
			return -1;
	}
	return 0;
}

/* ---- Looking ahead ---------------------------------------------------------------------- */

static void look_into(const struct fetching *fetching, size_t index)
{
	const struct target_group *group = fetching->group;
	struct look *look = &fetching->looks[index];

	if (!fetching->lister->fetch)
		return;
	look->status = fetching->lister->open(group->host, &group->list[index], &look->source);
	if (look->status == 0)
		look->status = fetching->lister->fetch(look->source, &look->list, &look->count);
	/* The text belongs to this thread. */
	if (look->status < 0)
		look->error = strdup(ms_error());
}

/* Looks into the next process that nobody has looked into; false when that is for later. Locked. */
static bool fetch_next(struct fetching *fetching)
{
	size_t index = fetching->next;

	if (index >= fetching->group->count || index >= fetching->printed + fetching->ahead)
		return false;
	fetching->next++;
	pthread_mutex_unlock(&fetching->lock);
	look_into(fetching, index);
	pthread_mutex_lock(&fetching->lock);
	fetching->looks[index].ready = true;
	if (index == fetching->printed)
		pthread_cond_signal(&fetching->ready);
	return true;
}

static void *fetch_main(void *ctx)
{
	struct fetching *fetching = ctx;

	pthread_mutex_lock(&fetching->lock);
	while (!fetching->stop && fetching->next < fetching->group->count)
		if (!fetch_next(fetching))
			pthread_cond_wait(&fetching->room, &fetching->lock);
	pthread_mutex_unlock(&fetching->lock);
	return NULL;
}

/* The next look in order; it is the caller's. */
static struct look take_look(struct fetching *fetching, size_t index)
{
	struct look look;

	pthread_mutex_lock(&fetching->lock);
	/* Rather than to wait, help: to put a core to sleep and wake it takes its time. */
	while (!fetching->looks[index].ready)
		if (!fetch_next(fetching))
			pthread_cond_wait(&fetching->ready, &fetching->lock);
	look = fetching->looks[index];
	fetching->looks[index] = (struct look){0};
	fetching->printed = index + 1;
	pthread_cond_signal(&fetching->room);
	pthread_mutex_unlock(&fetching->lock);
	return look;
}

static void look_done(struct look *look)
{
	ms_source_free(look->source);
	free(look->error);
}

/* ---- Printing --------------------------------------------------------------------------- */

static void print_look(struct output *output, const struct options *options,
	const struct fetching *fetching, size_t index, const struct look *look,
	struct summary *summary)
{
	const struct ms_process *process = &fetching->group->list[index];
	const char *why = look->error ? look->error : "out of memory";

	if (look->status < 0) {
		output_error(output, process->pid, process->name, why);
		summary_fail(summary, look->status);
		return;
	}
	fetching->lister->print(output, options, process, look->list, look->count);
	summary->targets++;
	if (summary->status == STATUS_TARGET)
		summary->status = STATUS_PARTIAL;
}

static unsigned fetcher_count(const struct options *options, const struct fetching *fetching)
{
	unsigned count = options->threads ? (unsigned)options->threads : os_core_count();

	if (!fetching->lister->fetch || fetching->group->count < 4)
		count = 1;
	return count < FETCHERS_MAX ? count : FETCHERS_MAX;
}

/* Prints every process of a group; false when output is over. */
static bool list_looks(struct output *output, const struct options *options,
	struct fetching *fetching, struct summary *summary)
{
	pthread_t threads[FETCHERS_MAX];
	unsigned wanted = fetcher_count(options, fetching), started = 0;

	/* The one that prints is one of them. */
	while (started + 1 < wanted &&
		os_thread_beside(&threads[started], fetch_main, fetching) == 0)
		started++;
	for (size_t i = 0; i < fetching->group->count; i++) {
		struct look look = take_look(fetching, i);

		print_look(output, options, fetching, i, &look, summary);
		look_done(&look);
		if (output->failed || interrupted())
			break;
	}
	pthread_mutex_lock(&fetching->lock);
	fetching->stop = true;
	pthread_cond_broadcast(&fetching->room);
	pthread_mutex_unlock(&fetching->lock);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return !output->failed;
}

/* How many processes may be open at once: with half of all files, the rest is for others. */
static size_t look_ahead(void)
{
	size_t can = os_descriptor_limit() / 2 / FILES_A_LOOK;

	return can < 1 ? 1 : can < AHEAD_MAX ? can : AHEAD_MAX;
}

static bool list_group(struct output *output, const struct options *options,
	const struct target_group *group, const struct lister *lister, struct summary *summary)
{
	struct fetching fetching = {.group = group, .lister = lister, .ahead = look_ahead()};
	bool good = false;

	fetching.looks = calloc(group->count + 1, sizeof(*fetching.looks));
	pthread_mutex_init(&fetching.lock, NULL);
	pthread_cond_init(&fetching.ready, NULL);
	pthread_cond_init(&fetching.room, NULL);
	if (fetching.looks)
		good = list_looks(output, options, &fetching, summary);
	for (size_t i = 0; fetching.looks && i < group->count; i++)
		look_done(&fetching.looks[i]);
	pthread_cond_destroy(&fetching.room);
	pthread_cond_destroy(&fetching.ready);
	pthread_mutex_destroy(&fetching.lock);
	free(fetching.looks);
	return good;
}

static int list_all(struct options *options, const struct lister *lister)
{
	struct summary summary = {0};
	struct targets targets;
	struct output output;
	int status;

	options->brief = lister->brief;
	options->listed = !lister->fetch;
	status = targets_open(options, &targets);

	if (status != STATUS_DONE)
		return status;
	status = output_open(&output, options);
	if (status != STATUS_DONE) {
		targets_close(&targets);
		return status;
	}
	summary.partial = targets.missing > 0;
	for (size_t i = 0; i < targets.group_count; i++)
		if (!list_group(&output, options, &targets.groups[i], lister, &summary))
			break;
	targets_close(&targets);
	return output_close(&output, options, &summary);
}

int cmd_ps(struct options *options)
{
	static const struct lister lister = {.print = print_process};

	/* With no target, all there are: a list without system processes would mislead. */
	if (!options->operand_count && !options->pids && !options->names && !options->user &&
		!options->all) {
		options->all = true;
		options->include_system = true;
	}
	return list_all(options, &lister);
}

int cmd_regions(struct options *options)
{
	static const struct lister lister = {.open = ms_source_open_map,
		.fetch = fetch_regions,
		.print = print_regions,
		.brief = true};

	return list_all(options, &lister);
}

int cmd_modules(struct options *options)
{
	static const struct lister lister = {
		.open = ms_source_open_process, .fetch = fetch_modules, .print = print_modules};

	return list_all(options, &lister);
}
