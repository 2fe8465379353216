/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scan loop hands out packets of cells in order; here they become a generation, in memory or
 * in the session file that is being written.
 */
#include "track/attempt.h"

#include "base/err.h"
#include "base/os.h"
#include "core/scan.h"

#include <errno.h>

static int packet_store(struct attempt *attempt, const struct packet *packet)
{
	struct block_head head = packet->head;
	uint64_t offset;
	int r;

	atomic_fetch_add(&attempt->found, head.count);
	if (!attempt->values->session)
		return generation_add(&attempt->next, packet);
	r = session_block(&attempt->writer, &head, packet->data, &offset);
	return r < 0 ? r : generation_note(&attempt->next, &head, offset);
}

static int gathered_store(struct attempt *attempt)
{
	struct packet *packet = attempt->gathered;
	int r;

	if (!packet->head.raw)
		return 0;
	if (attempt->subject.zstd)
		packet = packet_compress(packet, attempt->packed);
	r = packet_store(attempt, packet);
	attempt->gathered->head = (struct block_head){0};
	return r;
}

/* Takes packets in ascending order; small ones wait for each other. */
static int packet_out(void *ctx, size_t index, ms_source *src, const struct ms_hit *hit)
{
	struct attempt *attempt = ctx;
	const struct packet *packet = (const struct packet *)hit->bytes;
	bool small = packet->head.raw < BLOCK_GATHER && packet->head.stored == packet->head.raw;
	int r;

	(void)index, (void)src;
	if (small && packet_join(attempt->gathered, packet))
		return 0;
	r = gathered_store(attempt);
	if (r < 0)
		return r;
	if (!small)
		return packet_store(attempt, packet);
	packet_join(attempt->gathered, packet);
	return 0;
}

static int target_done(void *ctx, size_t index, ms_source *src, struct coverage *coverage,
	int status, const char *error)
{
	struct attempt *attempt = ctx;

	(void)index, (void)src;
	if (status < 0)
		return err_set(status, "%s", error ? error : "out of memory");
	attempt->coverage = coverage->sums;
	attempt->gaps = take_pointer(&coverage->gaps.data);
	attempt->coverage.gaps = attempt->gaps;
	return 0;
}

static bool attempt_cancelled(void *ctx)
{
	struct attempt *attempt = ctx;
	const struct ms_job *job = attempt->job;

	if (os_clock_ns() >= attempt->deadline_ns)
		atomic_store(&attempt->timed_out, true);
	else if (job->cancelled && job->cancelled(job->ctx))
		atomic_store(&attempt->cancelled, true);
	return atomic_load(&attempt->timed_out) || atomic_load(&attempt->cancelled);
}

static void attempt_progress(void *ctx, const struct ms_progress *progress)
{
	struct attempt *attempt = ctx;
	struct ms_progress shown = *progress;

	shown.hits = atomic_load(&attempt->found);
	if (attempt->bytes_wanted)
		shown.bytes_total = max_u64(attempt->bytes_wanted, shown.bytes_done);
	attempt->job->progress(attempt->job->ctx, &shown);
}

int attempt_run(struct attempt *attempt, const struct ms_filter *filter)
{
	bool next = attempt->scan.old;
	struct ms_engine engine = {next ? &value_next_engine : &value_first_engine, &attempt->scan};
	struct ms_job job = *attempt->job;
	struct scan scan = {
		.engine = &engine,
		.filter = filter,
		.job = &job,
		.target_count = 1,
		.source = attempt->source,
		.hit = packet_out,
		.done = target_done,
		.ctx = attempt,
	};
	bool limit, stopped;
	int r;

	/* The loop does not tell a deadline from other ends, so that is watched here. */
	attempt->deadline_ns = UINT64_MAX;
	if (job.timeout_ns && !add_u64(os_clock_ns(), job.timeout_ns, &attempt->deadline_ns))
		attempt->deadline_ns = UINT64_MAX;
	job.timeout_ns = 0;
	job.hits_max = 0;
	job.cancelled = attempt_cancelled;
	job.progress = job.progress ? attempt_progress : NULL;
	job.ctx = attempt;
	r = scan_run(&scan, &limit, &stopped);
	return r < 0 ? r : gathered_store(attempt);
}

int attempt_check_end(const struct attempt *attempt)
{
	if (atomic_load(&attempt->timed_out))
		return err_set(MS_ERR_TIMEOUT, "the time was over before the end of the scan; the "
					       "matches are what they were");
	if (atomic_load(&attempt->cancelled))
		return err_set(MS_ERR_STOPPED,
			"stopped before the end of the scan; the matches are what they were");
	return 0;
}

int attempt_init(
	struct attempt *attempt, ms_values *values, ms_source *source, const struct ms_job *job)
{
	static const struct ms_job plain_job = {.size = sizeof(plain_job)};

	*attempt = (struct attempt){
		.values = values,
		.source = source,
		.subject = values->subject,
		.job = job ? job : &plain_job,
	};
	generation_init(&attempt->next);
	attempt->gathered = calloc(1, sizeof(*attempt->gathered));
	attempt->packed = malloc(sizeof(*attempt->packed));
	return attempt->gathered && attempt->packed ? 0 : err_nomem();
}

void attempt_done(struct attempt *attempt)
{
	generation_done(&attempt->next);
	session_done(&attempt->writer);
	free(attempt->gathered);
	free(attempt->packed);
	free(attempt->gaps);
}

/* ---- What a scan leaves behind ---------------------------------------------------------- */

/*
 * Gives the session its new content. The former one stays under its second name, to which it is
 * linked first: at no moment is there no session. A file system without links (FAT) has it
 * renamed instead.
 */
static int session_replace(struct attempt *attempt, bool first)
{
	const char *path = attempt->values->session;
	AUTO_FREE char *undo = NULL;
	bool moved = false;
	int r = values_undo_path(attempt->values, &undo);

	if (r < 0)
		return r;
	if (unlink(undo) != 0 && errno != ENOENT)
		return err_errno(err_from_errno(errno), errno, "cannot replace %s", undo);
	if (!first && link(path, undo) != 0 && errno != ENOENT)
		moved = rename(path, undo) == 0;
	r = session_end(&attempt->writer);
	if (r < 0 && moved && rename(undo, path) != 0)
		return err_errno(
			MS_ERR_IO, errno, "the session is now %s: cannot rename it back", undo);
	return r;
}

int attempt_commit(struct attempt *attempt, bool first)
{
	ms_values *values = attempt->values;
	uint64_t size;
	int r = 0;

	if (values->session)
		r = session_replace(attempt, first);
	if (r == 0 && values->session)
		r = os_file_open(values->session, &attempt->next.fd, &size);
	if (r < 0)
		return r;
	generation_done(&values->before);
	values->has_before = !first && !values->session;
	if (values->has_before)
		values->before = values->now;
	else
		generation_done(&values->now);
	values->now = attempt->next;
	generation_init(&attempt->next);
	free(values->gaps);
	values->gaps = take_pointer(&attempt->gaps);
	values->subject = attempt->subject;
	values->begun = true;
	return 0;
}
