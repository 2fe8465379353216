/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What surrounds a job: messages, interrupts, progress, and what it all amounts to in the end.
 */
#include "cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { SHOW_AFTER_NS = 1000000000, STEM_MAX = 64 };

static atomic_int interrupt_count;

/* The progress line on the screen; one thread at a time touches it. */
static atomic_bool progress_shown;

/*
 * The first interrupt ends the job in good order. Some senders deliver it twice (timeout(1) sends
 * it to the process and to its group); one that comes a second later is meant to end it at once.
 */
static void on_signal(int number)
{
	static volatile sig_atomic_t first_second;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (interrupt_count++ == 0) {
		first_second = (sig_atomic_t)now.tv_sec;
	} else if ((sig_atomic_t)now.tv_sec > first_second + 1) {
		signal(number, SIG_DFL);
		raise(number);
	}
}

void signals_catch(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* nohup(1) means it. */
	if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
	action = (struct sigaction){.sa_handler = SIG_IGN};
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGXFSZ, &action, NULL); /* a limit on file sizes: the write fails, and says so */
}

bool interrupted(void)
{
	return interrupt_count > 0;
}

/*
 * Names and paths of targets may be part of a message, and a process chooses its own: control
 * characters, C1 ones in UTF-8 included, become question marks. So do line breaks, but for the
 * indented lines under a parser's message.
 */
void text_harmless(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		bool indented = c[0] == '\n' && c[1] == ' ' && c[2] == ' ';
		bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;

		if (c1)
			c[1] = '?';
		if (c1 || (*c < ' ' && !indented) || *c == 0x7f)
			*c = '?';
	}
}

void complain(const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text_harmless(text);
	progress_clear();
	fprintf(stderr, "memsift: %s\n", text);
}

int status_of(int status)
{
	switch (status) {
	case MS_OK:
		return STATUS_DONE;
	case MS_ERR_ARGUMENT:
	case MS_ERR_UNSUPPORTED:
		return STATUS_USAGE;
	case MS_ERR_NOT_FOUND:
	case MS_ERR_ACCESS:
	case MS_ERR_GONE:
	case MS_ERR_FORMAT:
		return STATUS_TARGET;
	case MS_ERR_TIMEOUT:
		return STATUS_PARTIAL;
	case MS_ERR_STOPPED:
		return interrupted() ? STATUS_INTERRUPTED : STATUS_OUTPUT;
	default:
		return STATUS_OUTPUT;
	}
}

int fail(int status)
{
	complain("%s", ms_error());
	return status_of(status);
}

static void size_text(uint64_t size, char text[16])
{
	const char *units = "BKMGTPE";
	double value = (double)size;

	while (value >= 1024 && units[1]) {
		value /= 1024;
		units++;
	}
	snprintf(text, 16, *units == 'B' ? "%.0f%c" : "%.1f%c", value, *units);
}

void progress_show(void *ctx, const struct ms_progress *progress)
{
	static _Thread_local uint64_t first_ns;
	char done[16], total[16];
	unsigned percent = progress->bytes_total
				   ? (unsigned)(progress->bytes_done * 100 / progress->bytes_total)
				   : 0;

	(void)ctx;
	if (!first_ns)
		first_ns = clock_now_ns();
	if (clock_now_ns() - first_ns < SHOW_AFTER_NS)
		return;
	size_text(progress->bytes_done, done);
	size_text(progress->bytes_total, total);
	fprintf(stderr, "\r\033[Kmemsift: %3u%%  %s of %s", percent, done, total);
	if (progress->targets_total > 1)
		fprintf(stderr, "  process %zu of %zu", progress->targets_done + 1,
			progress->targets_total);
	if (progress->hits)
		fprintf(stderr, "  %llu hits", (unsigned long long)progress->hits);
	fflush(stderr);
	progress_shown = true;
}

void progress_clear(void)
{
	if (!atomic_exchange(&progress_shown, false))
		return;
	fprintf(stderr, "\r\033[K");
	fflush(stderr);
}

bool job_cancelled(void *ctx)
{
	(void)ctx;
	return interrupted();
}

struct ms_job job_make(const struct options *options)
{
	bool show = !options->quiet && isatty(STDERR_FILENO);

	return (struct ms_job){
		.size = sizeof(struct ms_job),
		.threads = (unsigned)options->threads,
		.timeout_ns = options->timeout_ns,
		.bytes_max = options->bytes_max,
		.process_bytes_max = options->process_bytes_max,
		.hits_max = options->hits_max,
		.cancelled = job_cancelled,
		.progress = show ? progress_show : NULL,
	};
}

bool job_rest(struct ms_job *job, uint64_t bytes_read, uint64_t started_ns)
{
	uint64_t passed = clock_now_ns() - started_ns;

	if (job->timeout_ns)
		job->timeout_ns = passed < job->timeout_ns ? job->timeout_ns - passed : 1;
	if (job->bytes_max && bytes_read >= job->bytes_max)
		return false;
	if (job->bytes_max)
		job->bytes_max -= bytes_read;
	return true;
}

void summary_add(
	struct summary *summary, const struct options *options, const struct ms_total *total)
{
	summary->targets += total->targets;
	summary->hits += total->hits;
	summary->bytes_read += total->bytes_read;
	/* Hits may have been left out although all memory was read. */
	summary->partial |= total->partial || total->hit_limit;
	if (total->hit_limit && !options->quiet)
		complain("stopped after %llu hits, as --max-hits says",
			(unsigned long long)total->hits);
	if (total->targets == 0 && total->targets_failed)
		summary->status = STATUS_TARGET;
	else if (summary->status == STATUS_TARGET)
		summary->status = STATUS_PARTIAL;
}

void summary_fail(struct summary *summary, int status)
{
	int exit_status = status_of(status);

	summary->partial = true;
	/* Some target worked: then it is partial, whatever happened to this one. */
	if (exit_status == STATUS_TARGET && summary->targets)
		exit_status = STATUS_PARTIAL;
	if (exit_status > summary->status)
		summary->status = exit_status;
}

char *file_stem(const struct ms_process *process)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_+-.";
	char name[STEM_MAX], *stem;

	snprintf(name, sizeof(name), "%s", process->name[0] ? process->name : "process");
	for (char *c = name; *c; c++)
		if (!strchr(safe, *c) || (c == name && *c == '.'))
			*c = '_';
	if (asprintf(&stem, "%s.%u", name, process->pid) < 0)
		return NULL;
	return stem;
}

static bool stem_taken(const struct stems *stems, const char *stem)
{
	for (size_t i = 0; i < stems->count; i++)
		if (strcmp(stems->names[i], stem) == 0)
			return true;
	return false;
}

static bool stem_note(struct stems *stems, const char *stem)
{
	char **grown = realloc(stems->names, (stems->count + 1) * sizeof(*grown));

	if (!grown)
		return false;
	stems->names = grown;
	grown[stems->count] = strdup(stem);
	return grown[stems->count] && ++stems->count;
}

char *stem_take(struct stems *stems, const struct ms_process *process)
{
	char *plain = file_stem(process), *stem = plain ? strdup(plain) : NULL;

	for (unsigned i = 2; stem && stem_taken(stems, stem); i++) {
		free(stem);
		if (asprintf(&stem, "%s-%u", plain, i) < 0)
			stem = NULL;
	}
	free(plain);
	if (stem && stem_note(stems, stem))
		return stem;
	free(stem);
	return NULL;
}

void stems_done(struct stems *stems)
{
	for (size_t i = 0; i < stems->count; i++)
		free(stems->names[i]);
	free(stems->names);
	*stems = (struct stems){0};
}

int region_spec_parse(const char *what, const char *text, uint64_t *ret_base, uint64_t *ret_size)
{
	char address[40];
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	const char *prefix = strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0 ? "" : "0x";
	int r;

	if (!colon || length == 0 || length + 3 > sizeof(address)) {
		complain("%s %s: a part of memory is written ADDRESS:SIZE", what, text);
		return -1;
	}
	snprintf(address, sizeof(address), "%s%.*s", prefix, (int)length, text);
	r = ms_parse_number(what, address, ret_base);
	if (r == 0)
		r = ms_parse_size(what, colon + 1, 1, ret_size);
	if (r < 0) {
		complain("%s", ms_error());
		return -1;
	}
	if (*ret_size == 0 || *ret_size > UINT64_MAX - *ret_base) {
		complain("%s %s: the size makes no sense", what, text);
		return -1;
	}
	return 0;
}

int filter_add_range(ms_filter *filter, uint64_t base, uint64_t size)
{
	char range[64];

	snprintf(range, sizeof(range), "0x%llx-0x%llx", (unsigned long long)base,
		(unsigned long long)(base + size));
	return ms_filter_set(filter, "address", range);
}

static void time_text(int64_t time, const char *format, char *ret_text, size_t size)
{
	time_t seconds = (time_t)time;
	struct tm parts;

	if (!gmtime_r(&seconds, &parts) || !strftime(ret_text, size, format, &parts))
		ret_text[0] = '\0';
}

void time_compact(int64_t time, char ret_text[17])
{
	time_text(time, "%Y%m%dT%H%M%SZ", ret_text, 17);
}

void time_iso(int64_t time, char ret_text[32])
{
	time_text(time, "%Y-%m-%dT%H:%M:%SZ", ret_text, 32);
}

int64_t time_now(void)
{
	return (int64_t)time(NULL);
}

uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

enum ms_pause pause_of(const struct options *options)
{
	const char *how = options->pause ? options->pause : "none";

	if (strcmp(how, "fork") == 0)
		return MS_PAUSE_FORK;
	return strcmp(how, "freeze") == 0 ? MS_PAUSE_FREEZE : MS_PAUSE_NONE;
}
