/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * First and next scans. A next scan is a scan whose filter lets through only what has matches, so
 * that nothing else is read.
 */
#include "track/attempt.h"

#include "base/err.h"

/* ---- The first scan --------------------------------------------------------------------- */

static int first_run(struct attempt *attempt, const struct ms_filter *filter)
{
	int r = 0;

	if (attempt->values->session)
		r = session_begin(&attempt->writer, attempt->values->session, &attempt->subject);
	if (r == 0)
		r = attempt_run(attempt, filter);
	/* Ended before anything was read; later on, what was found is kept. */
	if (r == MS_ERR_TIMEOUT || r == MS_ERR_STOPPED)
		return attempt_check_end(attempt) < 0 ? attempt_check_end(attempt) : r;
	return r < 0 ? r : attempt_commit(attempt, true);
}

static int take_identity(struct attempt *attempt)
{
	const struct ms_process *process = &attempt->source->process;

	attempt->subject.pid = process->pid;
	attempt->subject.start_id = process->start_id;
	attempt->subject.exe = NULL;
	if (process->exe && !(attempt->subject.exe = strdup(process->exe)))
		return err_nomem();
	return 0;
}

int ms_values_first(ms_values *values, ms_source *source, const char *condition,
	const ms_filter *filter, const struct ms_job *job, struct ms_coverage *ret_coverage)
{
	struct condition parsed;
	struct layout open_layout = values->subject.layout;
	struct attempt attempt;
	char *former_exe = values->subject.exe;
	int r;

	filter = filter ? filter : &filter_default;
	if (values->size_open)
		open_layout.size = 0;
	r = condition_parse(&open_layout, condition ? condition : "unknown", &parsed);
	if (r < 0)
		return r;
	if (condition_is_relative(&parsed))
		return err_at("condition", condition, 0,
			"there is no former value yet; begin with = V, a range or \"unknown\"");
	if (!parsed.size)
		return err_set(MS_ERR_ARGUMENT,
			"the size of the byte arrays is not known; give it as in \"bytes:16\"");
	r = attempt_init(&attempt, values, source, job);
	if (r == 0)
		r = take_identity(&attempt);
	if (r == 0) {
		attempt.subject.layout.size = parsed.size;
		attempt.subject.swapped = filter->swapped;
		attempt.subject.device = filter->device;
		attempt.scan.layout = &attempt.subject.layout;
		attempt.scan.condition = &parsed;
		attempt.scan.zstd = attempt.subject.zstd;
		r = first_run(&attempt, filter);
	}
	if (r == 0) {
		free(former_exe);
		values->lost = 0;
		*ret_coverage = attempt.coverage;
	} else if (attempt.subject.exe != former_exe) {
		free(attempt.subject.exe);
	}
	attempt_done(&attempt);
	return r;
}

/* ---- The next scan ---------------------------------------------------------------------- */

int values_check_source(const ms_values *values, const ms_source *source)
{
	const struct subject *subject = &values->subject;
	const struct ms_process *process = &source->process;

	if (!values->begun)
		return err_set(MS_ERR_ARGUMENT, "there was no first scan yet");
	if (process->pid != subject->pid)
		return err_set(MS_ERR_ARGUMENT,
			"the scan is of the process with the pid %u, not of %u", subject->pid,
			process->pid);
	if (process->start_id != subject->start_id)
		return err_set(MS_ERR_GONE,
			"the process that was scanned has ended: its pid %u now belongs to another "
			"one",
			process->pid);
	if (process->exe && subject->exe && strcmp(process->exe, subject->exe) != 0)
		return err_set(MS_ERR_GONE, "pid %u now runs %s, but %s when it was scanned",
			process->pid, process->exe, subject->exe);
	return 0;
}

/* Where the matches of a cell lie. */
static struct filter_range cell_range(const struct layout *layout, const struct cell_view *view)
{
	size_t low = 0, high = view->slots - 1;
	uint64_t base = view->head.base + view->first;

	if (view->list) {
		low = cell_listed(view, 0);
		high = cell_listed(view, view->head.count - 1u);
	}
	while (view->bits && low < high && !(view->bits[low / 8] >> low % 8 & 1))
		low++;
	while (view->bits && high > low && !(view->bits[high / 8] >> high % 8 & 1))
		high--;
	/* Only a damaged list can be this wrong. */
	if (high >= view->slots || low > high) {
		low = 0;
		high = view->slots - 1;
	}
	return (struct filter_range){
		base + low * layout->align, (high - low) * layout->align + layout->size};
}

/* Ranges on the same page or on adjacent ones are read in one go. */
static int range_add(struct ms_filter *filter, struct filter_range range)
{
	struct filter_range *last =
		filter->ranges.count ? &filter->ranges.data[filter->ranges.count - 1] : NULL;

	if (last &&
		align_down(range.base, CELL_PAGE) <= align_up(last->base + last->size, CELL_PAGE)) {
		last->size = max_u64(last->size, range.base + range.size - last->base);
		return 0;
	}
	return vec_push(&filter->ranges, range) ? 0 : err_nomem();
}

/* Lets nothing through but the matches of a generation. */
static int ranges_make(const struct generation *generation, const struct layout *layout,
	struct ms_filter *filter, uint64_t *ret_bytes)
{
	AUTO_FREE struct cursor *cursor = malloc(sizeof(*cursor));
	struct cell_view view;
	int r;

	if (!cursor)
		return err_nomem();
	cursor_init(cursor, generation, layout);
	r = cursor_seek(cursor, 0);
	while (r == 0 && (r = cursor_peek(cursor, &view)) > 0) {
		r = range_add(filter, cell_range(layout, &view));
		cursor_pass(cursor, &view);
	}
	*ret_bytes = 0;
	for (size_t i = 0; i < filter->ranges.count; i++)
		*ret_bytes += filter->ranges.data[i].size;
	/* A filter without ranges would let everything through. */
	if (!filter->ranges.count)
		filter->kinds = 0;
	return r;
}

/* A scan of a part of the matches is none. */
static int next_check(const struct attempt *attempt, int status)
{
	int r = attempt_check_end(attempt);

	if (r < 0)
		return r;
	if (status == 0 && attempt->coverage.gone)
		return err_set(MS_ERR_GONE, "pid %u ended; the matches are what they were",
			attempt->subject.pid);
	return status;
}

static int next_run(struct attempt *attempt, const struct ms_filter *filter)
{
	uint64_t limit = attempt->job->bytes_max;
	int r = 0;

	if (attempt->job->process_bytes_max && (!limit || attempt->job->process_bytes_max < limit))
		limit = attempt->job->process_bytes_max;
	if (limit && attempt->bytes_wanted > limit)
		return err_set(MS_ERR_ARGUMENT,
			"the matches take %llu bytes to read, more than the limit of %llu; they "
			"are "
			"what they were",
			(unsigned long long)attempt->bytes_wanted, (unsigned long long)limit);
	if (attempt->values->session)
		r = session_begin(&attempt->writer, attempt->values->session, &attempt->subject);
	if (r == 0)
		r = next_check(attempt, attempt_run(attempt, filter));
	return r < 0 ? r : attempt_commit(attempt, false);
}

int ms_values_next(ms_values *values, ms_source *source, const char *condition,
	const struct ms_job *job, struct ms_coverage *ret_coverage)
{
	struct ms_filter filter = filter_default;
	struct condition parsed;
	struct attempt attempt;
	uint64_t count = values->now.count;
	int r = values_check_source(values, source);

	if (r == 0)
		r = condition_parse(&values->subject.layout, condition, &parsed);
	if (r < 0)
		return r;
	if (parsed.op == CONDITION_ANY)
		return err_at(
			"condition", condition, 0, "only a first scan can be for unknown values");
	r = attempt_init(&attempt, values, source, job);
	filter.swapped = values->subject.swapped;
	filter.device = values->subject.device;
	if (r == 0)
		r = ranges_make(
			&values->now, &values->subject.layout, &filter, &attempt.bytes_wanted);
	if (r == 0) {
		attempt.scan.layout = &attempt.subject.layout;
		attempt.scan.condition = &parsed;
		attempt.scan.zstd = attempt.subject.zstd;
		attempt.scan.old = &values->now;
		r = next_run(&attempt, &filter);
	}
	if (r == 0) {
		values->lost = count - atomic_load(&attempt.scan.seen);
		*ret_coverage = attempt.coverage;
	}
	attempt_done(&attempt);
	free(filter.ranges.data);
	return r;
}
