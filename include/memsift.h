/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memsift: look into the memory of processes.
 *
 * Introduction
 *
 * A *host* is where processes live: this machine ("local"), an ELF core, a raw file, a buffer,
 * another machine's memory through MemProcFS.
 * A *source* is one opened address space: its regions and its bytes, whatever lies beneath.
 * An *engine* is a compiled query. A *scan* runs an engine over the regions of one or many
 * sources that a *filter* lets through, on several threads, and hands what it finds to a *sink*
 * as typed *records*. Every scan and every dump returns *coverage*, which accounts for each byte
 * that was asked for: a byte that could not be read is data about the target, never an error.
 * What looks at a target more than once, for values and for changes, is in memsift_track.h.
 *
 *	ms_host *host;
 *	ms_source *src;
 *	const struct ms_region *regions;
 *	size_t count;
 *
 *	if (ms_host_open("local", &host) < 0 || ms_source_open(host, 1234, &src) < 0 ||
 *	    ms_source_regions(src, &regions, &count) < 0)
 *		errx(1, "%s", ms_error());
 *	...
 *	ms_source_free(src);
 *	ms_host_free(host);
 *
 * Rules that hold everywhere
 *
 * Errors: functions that can fail return 0 or a negative enum ms_status. On failure ms_error()
 * gives one English sentence, valid until the next call into the library on the same thread.
 * Outputs come last, begin with ret_ and are written only on success.
 *
 * Ownership: pointers passed in are borrowed for the call. A handle that comes out through ret_
 * is yours to free with the function named after it; everything else that comes out belongs to
 * the handle it came from and lives until that handle is freed or the same list is asked for
 * again. Every free function takes NULL.
 *
 * Threads: one handle, one thread at a time; engines and filters are immutable once made and may
 * be shared. The library starts threads of its own only inside the functions that list processes,
 * scan or dump, and they have ended when those return; a pause keeps one for as long as it lasts.
 * MS_PAUSE_FORK and dirty tracking start a process of their own, of which no SIGCHLD tells.
 *
 * Addresses in a target are uint64_t. Ranges are base and size, half open. Sizes are bytes. Text
 * from a target (names, paths) is bytes: it may be invalid UTF-8 and is never trusted.
 *
 * The library never prints, exits, changes signal handlers or opens the network, and it never
 * writes to a target's memory.
 */
#ifndef MEMSIFT_H
#define MEMSIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define MS_API
#else
#define MS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 1. Status ------------------------------------------------------------------------- */

enum ms_status {
	MS_OK = 0,
	MS_ERR_ARGUMENT = -1,	  /* the caller asked for something that makes no sense */
	MS_ERR_MEMORY = -2,	  /* this process ran out of memory */
	MS_ERR_NOT_FOUND = -3,	  /* no such process, file or address */
	MS_ERR_ACCESS = -4,	  /* the system does not permit it */
	MS_ERR_GONE = -5,	  /* the target ended or became another program */
	MS_ERR_FORMAT = -6,	  /* a file is not what it should be */
	MS_ERR_IO = -7,		  /* reading or writing failed */
	MS_ERR_SPACE = -8,	  /* no room left on the device, or a quota was reached */
	MS_ERR_EXISTS = -9,	  /* the output file exists already */
	MS_ERR_UNSUPPORTED = -10, /* this build, backend or system cannot do it */
	MS_ERR_STOPPED = -11,	  /* a callback or the cancel function asked to stop */
	MS_ERR_TIMEOUT = -12,	  /* the deadline passed */
};

/* The sentence that goes with the last failure on this thread; never NULL. */
MS_API const char *ms_error(void);

/* The library's version, such as "0.1.0". */
MS_API const char *ms_version(void);

/* Names the features this build has, separated by spaces, such as "zstd crypto". */
MS_API const char *ms_features(void);

/* The name of this machine and of the user this process acts as; for reports. Asks no network. */
MS_API void ms_machine_name(char *ret_name, size_t size);
MS_API void ms_user_name(char *ret_name, size_t size);

/* ---- 2. Hosts and processes ------------------------------------------------------------ */

typedef struct ms_host ms_host;

struct ms_process {
	uint32_t pid, ppid;
	uint32_t uid;
	bool system; /* a kernel thread or a system service (docs/platforms.md has the rule) */
	bool kernel; /* a kernel thread: it has no memory of its own */
	uint64_t start_id;   /* with pid names a process for ever; opaque, 0 where unknown */
	int64_t started;     /* seconds since 1970, UTC; 0 where unknown */
	uint64_t rss;	     /* resident bytes */
	const char *name;    /* short name, as the system has it */
	const char *exe;     /* path of the program; NULL where unknown */
	const char *cmdline; /* arguments joined by spaces; NULL where unknown */
	const char *user;    /* account name or number; NULL where unknown */
	const char *arch;    /* "x86_64", "i386", "aarch64"...; NULL where unknown */
	bool exe_deleted;    /* the program's file was removed or replaced */
};

/*
 * Opens a host: "local" or NULL for this machine, else the path of a file, whose content tells
 * what it is (an ELF core; anything else is a raw image, one region at address 0). One that is
 * compressed with zstd is what is in it, unpacked into a file without a name in $TMPDIR or /tmp
 * for as long as the host is open. "vmm:DEVICE" is memory of a Windows machine through MemProcFS
 * (needs the feature "memprocfs" and its library at run time; docs/memprocfs.md), DEVICE being what
 * LeechCore takes: a file, "fpga"...
 */
MS_API int ms_host_open(const char *spec, ms_host **ret_host);

/* How to reach memory. Texts may be NULL. */
struct ms_host_options {
	size_t size;		    /* sizeof(struct ms_host_options) */
	const char *backend;	    /* "auto" (default), "native" or "memprocfs" */
	const char *device;	    /* instead of a spec: "proc" on Linux, or any of LeechCore's */
	const char *memprocfs_path; /* of MemProcFS's library, or its folder; default: looked for */
	const char *dtb;      /* physical address of page tables, where no system is recognised */
	const char *memmap;   /* "auto", or a file that tells which physical addresses are memory */
	const char *pagefile; /* the machine's pagefile.sys */
	/* Ends the unpacking of a compressed file with MS_ERR_STOPPED; asked often, may be NULL. */
	bool (*cancelled)(void *ctx);
	void *ctx;
};

/*
 * The same with options. Without a spec they decide: a device that is named is opened or the call
 * fails; where none is, MemProcFS is used if it can see this machine, else the system's own
 * interfaces. ms_host_backend() tells which it was ("native", "memprocfs", "file"), and
 * ms_host_why() in a sentence why.
 */
MS_API int ms_host_open_with(
	const char *spec, const struct ms_host_options *options, ms_host **ret_host);
MS_API const char *ms_host_backend(const ms_host *host);
MS_API const char *ms_host_why(const ms_host *host);

/* A piece of memory for ms_host_open_memory(). Data may be NULL: size bytes of that state. */
struct ms_segment {
	uint64_t base, size;
	const void *data; /* size bytes, borrowed until the host is freed */
	unsigned perm;	  /* MS_PERM_* */
	int state;	  /* enum ms_state: what reading this piece should meet */
};

/*
 * Makes a host with one process whose memory is the given pieces, in ascending order and not
 * overlapping. For tests and for callers that have memory from elsewhere.
 */
MS_API int ms_host_open_memory(const struct ms_segment *segments, size_t count, ms_host **ret_host);

MS_API void ms_host_free(ms_host *host);

/* What the host is called in output: "local", or the file's path. */
MS_API const char *ms_host_name(const ms_host *host);

/* True for this machine's own processes. */
MS_API bool ms_host_is_local(const ms_host *host);

/* Lists the host's processes by ascending pid; kernel threads included. */
MS_API int ms_host_processes(ms_host *host, const struct ms_process **ret_list, size_t *ret_count);

/* Which processes. Lists are separated by commas; NULL leaves a criterion out. */
struct ms_selection {
	size_t size;	     /* sizeof(struct ms_selection) */
	const char *pids;    /* "12,34" */
	const char *names;   /* "sshd,re:^post": whole name, or base name of the program; "\\," is a
				comma of a name or expression */
	const char *exclude; /* pids and names to leave out */
	const char *user;    /* account name or number */
	bool all;	     /* every process, except system ones... */
	bool include_system; /* ...unless this is set */
	bool tree;	     /* descendants of what was selected, too */
	bool brief;	     /* quicker: exe, cmdline and arch may stay NULL */
	/* Called for each pid or name that matched nothing; may be NULL. */
	void (*missing)(void *ctx, const char *what);
	void *ctx;
	/* If not NULL, kernel threads that no pid or name names are left out; how many they are. */
	size_t *kernel_threads;
};

/*
 * Lists the processes that a selection names, by ascending pid. The calling process is left out
 * unless a pid names it. Fails with MS_ERR_NOT_FOUND when nothing matches at all.
 */
MS_API int ms_host_select(ms_host *host, const struct ms_selection *selection,
	const struct ms_process **ret_list, size_t *ret_count);

/* One line of what ms_host_check() found. */
struct ms_check {
	const char *name;   /* "process_vm_readv" */
	int status;	    /* 1 works, 0 limited, -1 missing */
	const char *detail; /* what was seen */
	const char *remedy; /* what to do about it; NULL when nothing is wrong */
};

/* Tells what this machine, kernel and user allow; nothing but the caller itself is touched. */
MS_API int ms_host_check(ms_host *host, const struct ms_check **ret_list, size_t *ret_count);

/* ---- 3. Sources: one address space ----------------------------------------------------- */

typedef struct ms_source ms_source;

enum { MS_PERM_READ = 1, MS_PERM_WRITE = 2, MS_PERM_EXEC = 4, MS_PERM_SHARED = 8 };

enum ms_kind { MS_KIND_OTHER, MS_KIND_STACK, MS_KIND_HEAP, MS_KIND_CODE, MS_KIND_MAPPED };

/* What is known of a range of memory. Anything but MS_STATE_DATA is a gap with that reason. */
enum ms_state {
	MS_STATE_DATA,	      /* readable */
	MS_STATE_ABSENT,      /* never touched: holds no data, reads as zeros to its owner */
	MS_STATE_GUARD,	      /* a guard page: known to hold no data */
	MS_STATE_NO_ACCESS,   /* the system refuses to read it */
	MS_STATE_DEVICE,      /* device memory: reading may hang or have side effects */
	MS_STATE_SWAPPED,     /* on swap: reading would bring it back in */
	MS_STATE_REMOTE_FILE, /* not in memory; its file is on a file system that may block */
	MS_STATE_VANISHED,    /* was there when the job began, is no more */
	MS_STATE_IO_ERROR,    /* reading failed */
	MS_STATE_LIMIT,	      /* a limit on bytes or hits was reached first */
	MS_STATE_DEADLINE,    /* the deadline or an interrupt came first */
	MS_STATE_LEFT_OUT,    /* by a filter, of a snapshot that was taken or of a read */
	MS_STATE_COUNT
};

enum {
	MS_REGION_DELETED = 1,	 /* the mapped file has no name any more */
	MS_REGION_DEVICE = 2,	 /* device memory, or a page of the kernel's own */
	MS_REGION_ANONYMOUS = 4, /* no file behind it */
	MS_REGION_REMOTE = 8,	 /* its file system may block whoever reads it (FUSE, NFS...) */
	MS_REGION_LIVE = 16,	 /* a fork leaves it out: MS_PAUSE_FORK reads it as it is now */
};

struct ms_region {
	uint64_t base, size;
	uint64_t offset;   /* into the file */
	uint64_t inode;	   /* of the file; 0 for none */
	uint64_t resident; /* bytes in memory; UINT64_MAX where unknown */
	uint32_t dev_major, dev_minor;
	unsigned perm;	/* MS_PERM_* */
	unsigned flags; /* MS_REGION_* */
	enum ms_kind kind;
	const char *path; /* file, or the system's name such as "[heap]"; "" for none */
};

struct ms_module {
	uint64_t base, size;
	const char *path;
	const char *name;     /* base name of the path, or the library's own name */
	const char *version;  /* "" where it states none */
	const char *build_id; /* lower-case hex; "" where it has none */
};

struct ms_thread {
	uint32_t tid;
	const char *name;
	uint64_t stack_pointer; /* 0 where unknown */
	/* Register sets, only while the source is paused; each in the layout of its ELF note. */
	const void *gregs, *fpregs, *xstate;
	size_t gregs_size, fpregs_size, xstate_size;
};

/*
 * Opens the address space of a process of the host; pid 0 means the only process there is. The
 * source stays with that very process: when it ends or runs another program, reads fail with
 * MS_ERR_GONE and a recycled pid is never read. The host must outlive the source.
 */
MS_API int ms_source_open(ms_host *host, uint32_t pid, ms_source **ret_source);

/*
 * The same, and fails with MS_ERR_GONE if the pid has passed to another process since. May be
 * called for one host by several threads at once.
 */
MS_API int ms_source_open_process(
	ms_host *host, const struct ms_process *process, ms_source **ret_source);

/*
 * The same for its regions alone, which is quicker and takes less privilege (on Linux what it takes
 * to read /proc/PID/maps; Yama has no say in that). Its bytes may be out of reach.
 */
MS_API int ms_source_open_map(
	ms_host *host, const struct ms_process *process, ms_source **ret_source);

MS_API void ms_source_free(ms_source *source);

MS_API const struct ms_process *ms_source_process(const ms_source *source);

/* Lists regions by ascending address; asks the system anew each time. Resident sizes included. */
MS_API int ms_source_regions(
	ms_source *source, const struct ms_region **ret_list, size_t *ret_count);

/* Lists modules (program, libraries, vDSO) by ascending base. */
MS_API int ms_source_modules(
	ms_source *source, const struct ms_module **ret_list, size_t *ret_count);
MS_API int ms_source_threads(
	ms_source *source, const struct ms_thread **ret_list, size_t *ret_count);

struct ms_gap {
	uint64_t base, size;
	enum ms_state state;
};

/*
 * Reads up to size bytes at address into buf without making the target grow. Puts into
 * *ret_size how many bytes from the start it got. When that is 0, *ret_gap (may be NULL) tells
 * how far from address on nothing can be read, and why; where nothing is mapped the state is
 * MS_STATE_VANISHED.
 */
MS_API int ms_source_read(ms_source *source, uint64_t address, void *buf, size_t size,
	size_t *ret_size, struct ms_gap *ret_gap);

/* How to hold the target's memory as it is at one moment. */
enum ms_pause {
	MS_PAUSE_NONE,
	MS_PAUSE_FREEZE, /* stop every thread until it is ended */
	/* Stop every thread while the system makes a copy-on-write twin, and read that one. Memory
	   that the target keeps out of its forks (MADV_DONTFORK) is not in it. */
	MS_PAUSE_FORK,
};

/* Holds the memory, or ends that (also done by ms_source_free()). Regions are to be listed anew. */
MS_API int ms_source_pause(ms_source *source, enum ms_pause how);

/* How long the last MS_PAUSE_FORK stopped the target, in nanoseconds. */
MS_API uint64_t ms_source_stop_ns(const ms_source *source);

MS_API const char *ms_kind_name(enum ms_kind kind);
MS_API const char *ms_state_name(enum ms_state state);

/* Writes "rwxp" and a final NUL. */
MS_API void ms_perm_text(unsigned perm, char ret_text[5]);

/* ---- 4. Filters ------------------------------------------------------------------------ */

typedef struct ms_filter ms_filter;
/* A new filter lets every region through, but leaves out device memory and swapped pages. */
MS_API int ms_filter_new(ms_filter **ret_filter);
MS_API void ms_filter_free(ms_filter *filter);

/*
 * Narrows a filter. Keys and values:
 *   memory-regions   stack,heap,code,mapped,other or all
 *   perm             "rw-", "r-x", "rwxp"; ? for either, and a fourth letter p or s
 *   address          "0x1000-0x2000", half open; given again, another range as well
 *   ignore           the same, but leaves the range out; given again, another one as well
 *   min-size, max-size  a size such as 4096, 64K, 1G
 *   path             the whole path or a glob over it; without a slash, of its last part
 *   include-device   (no value) device memory, too
 *   include-swapped  (no value) swapped pages, too
 * Set up a filter fully before its first use. The error points at the character that is wrong.
 */
MS_API int ms_filter_set(ms_filter *filter, const char *key, const char *value);
MS_API bool ms_filter_match(const ms_filter *filter, const struct ms_region *region);

/* ms_source_read() of what the filter lets through; the rest is a gap with MS_STATE_LEFT_OUT. */
MS_API int ms_source_read_filtered(ms_source *source, const ms_filter *filter, uint64_t address,
	void *buf, size_t size, size_t *ret_size, struct ms_gap *ret_gap);

/* ---- 5. Records and sinks -------------------------------------------------------------- */

enum ms_type {
	MS_TYPE_U64,	 /* a count or size: u */
	MS_TYPE_ADDRESS, /* an address in a target: u */
	MS_TYPE_BOOL,	 /* u */
	MS_TYPE_F64,	 /* f */
	MS_TYPE_TIME,	 /* seconds since 1970, UTC: i */
	MS_TYPE_TEXT,	 /* data, size; not NUL-terminated */
	MS_TYPE_BYTES,	 /* data, size */
	MS_TYPE_LIST,	 /* items, size: records of one schema */
};

struct ms_record;

struct ms_value {
	bool present; /* false: the field is unknown for this record */
	union {
		uint64_t u;
		int64_t i;
		double f;
		const void *data;
		const struct ms_record *items;
	} v;
	size_t size;
};

struct ms_column {
	const char *name;
	enum ms_type type;
};

struct ms_schema {
	const char *type; /* "hit", "region"... */
	size_t column_count;
	const struct ms_column *columns;
};

struct ms_record {
	const struct ms_schema *schema;
	const struct ms_value *values; /* schema->column_count of them */
};

/* Takes records, one at a time; a non-zero return stops the job with MS_ERR_STOPPED. */
struct ms_sink {
	int (*record)(void *ctx, const struct ms_record *record);
	void *ctx;
};

/*
 * The record types and their columns, in this order (docs/records.md explains each field). The
 * make functions fill values from the library's own structures; values must have room for the
 * schema's columns and borrow from what is passed in.
 */
MS_API extern const struct ms_schema ms_schema_process, ms_schema_region, ms_schema_module,
	ms_schema_hit, ms_schema_gap, ms_schema_coverage, ms_schema_error, ms_schema_check,
	ms_schema_change;

enum { MS_COLUMNS_MAX = 32 };

MS_API void ms_record_process(
	const struct ms_process *process, struct ms_value ret_values[MS_COLUMNS_MAX]);
MS_API void ms_record_region(const struct ms_process *process, const struct ms_region *region,
	struct ms_value ret_values[MS_COLUMNS_MAX]);
MS_API void ms_record_module(const struct ms_process *process, const struct ms_module *module,
	struct ms_value ret_values[MS_COLUMNS_MAX]);
MS_API void ms_record_check(
	const struct ms_check *check, struct ms_value ret_values[MS_COLUMNS_MAX]);

/* ---- 6. Jobs and coverage -------------------------------------------------------------- */

struct ms_progress {
	uint64_t bytes_done;  /* accounted for so far */
	uint64_t bytes_total; /* estimate; grows as targets are opened */
	uint64_t hits;
	size_t targets_done, targets_total;
};

/* How a job runs. Zero means no limit, or the default. */
struct ms_job {
	size_t size;		      /* sizeof(struct ms_job) */
	unsigned threads;	      /* default: as many as there are cores */
	uint64_t timeout_ns;	      /* from the start of the call */
	uint64_t bytes_max;	      /* read at most so much in all */
	uint64_t process_bytes_max;   /* and so much of one process */
	uint64_t hits_max;	      /* stop after so many hits */
	bool (*cancelled)(void *ctx); /* asked often, from several threads; may be NULL */
	void (*progress)(void *ctx, const struct ms_progress *progress); /* about ten a second */
	void *ctx;
};

/*
 * Where every byte of a target went:
 * total = filtered + absent + read + unreadable + skipped.
 */
struct ms_coverage {
	uint64_t total;	     /* size of all regions */
	uint64_t filtered;   /* in regions or ranges the filter left out */
	uint64_t absent;     /* in pages that hold no data */
	uint64_t read;	     /* read and looked at */
	uint64_t unreadable; /* guard, no access, vanished, i/o error */
	uint64_t skipped;    /* device, swapped, limit, deadline */
	bool partial;	     /* something that was wanted is missing */
	bool gone;	     /* the target ended or became another program under way */
	/* What is in unreadable and skipped, by ascending address; adjacent equal gaps are joined.
	   At most MS_GAPS_MAX are kept; gaps_dropped counts the rest. */
	const struct ms_gap *gaps;
	size_t gap_count;
	uint64_t gaps_dropped;
};

enum { MS_GAPS_MAX = 65536 };

/* ---- 7. Engines ------------------------------------------------------------------------ */

typedef struct ms_engine ms_engine;

struct ms_arg {
	const char *key, *value;
};

/*
 * Compiles a query. Engines, with the keys of their arguments (docs/engines.md has what each means
 * and what exactly is found):
 *   bytes    byte patterns: text, hex, nocase, utf16, align
 *   regex    regular expressions (feature "regex"): regex, nocase, align
 *   strings  printable text: min, encoding, grep
 *   yara     YARA rules, each process as one whole (feature "yara"): rules, rule, define, tag,
 *            identifier, timeout, keep-going, profile, no-prefilter
 * Values may be NULL where a key takes none. The error of a bad pattern or rule points at the
 * place. Whatever is found is found once, and no border of chunks or of adjacent regions hides it.
 */
MS_API int ms_engine_new(
	const char *name, const struct ms_arg *args, size_t count, ms_engine **ret_engine);
MS_API void ms_engine_free(ms_engine *engine);

/* The same with options, which may be NULL; so may cancelled(), which ends a trial of rules. */
struct ms_engine_options {
	size_t size;		      /* sizeof(struct ms_engine_options) */
	bool (*cancelled)(void *ctx); /* asked often while compiled rules are tried out */
	void *ctx;
};
MS_API int ms_engine_new_with(const char *name, const struct ms_arg *args, size_t count,
	const struct ms_engine_options *options, ms_engine **ret_engine);

enum { MS_REGEX_MAX = 4096 };

/* What an engine has to tell of how it was made; texts live as long as the engine. */
struct ms_note {
	enum ms_note_kind {
		MS_NOTE_FILE,	 /* a file that was read for it */
		MS_NOTE_WARNING, /* of the rule compiler */
		MS_NOTE_ERROR,	 /* a source that was left out, as keep-going says */
		MS_NOTE_COST,	 /* of a rule, over all scans so far */
	} kind;
	const char *file; /* NULL: inline text; of a cost: the rule's namespace */
	uint64_t line;	  /* 0: none */
	const char *text; /* NULL for a file; of a cost: the rule */
	/* Of a cost: how often libyara had to look whether a string is there (atoms of it that the
	 * prefilter found; UINT64_MAX without one), how many matches came of it, in how many
	 * targets the rule held, and the time that libyara measured: 0 if it has no clocks. */
	uint64_t count, matches, targets, time_ns;
};

MS_API int ms_engine_notes(
	const ms_engine *engine, const struct ms_note **ret_list, size_t *ret_count);

/* ---- 8. Scanning ----------------------------------------------------------------------- */

struct ms_scan {
	size_t size; /* sizeof(struct ms_scan) */
	const ms_engine *engine;
	const ms_filter *filter; /* NULL: everything but device memory and swapped pages */
	struct ms_job job;
	size_t context; /* bytes before and after each hit to show; at most MS_CONTEXT_MAX */
	struct ms_sink sink;
};

enum { MS_CONTEXT_MAX = 4096 };

struct ms_total {
	uint64_t targets;	 /* opened and scanned, wholly or in part */
	uint64_t targets_failed; /* could not be opened */
	uint64_t targets_denied; /* of those, for want of permission */
	uint64_t hits;
	uint64_t bytes_read;
	bool partial;	/* some coverage is partial, or a target could not be opened */
	bool hit_limit; /* hits_max ended it */
	bool stopped;	/* cancelled */
};

/*
 * Scans processes of a host and hands hit, error and coverage records to the sink, in the order
 * of the list and within a process by ascending address, whatever the number of threads. What
 * goes wrong with a target becomes an error record; the call fails only for a fault of the
 * caller, of the sink (MS_ERR_STOPPED) or of this process.
 */
MS_API int ms_scan_processes(ms_host *host, const struct ms_process *list, size_t count,
	const struct ms_scan *scan, struct ms_total *ret_total);

/* The same for one open source. */
MS_API int ms_scan_source(
	ms_source *source, const struct ms_scan *scan, struct ms_total *ret_total);

/* ---- 9. Output files ------------------------------------------------------------------- */

typedef struct ms_file ms_file;

enum {
	MS_FILE_FORCE = 1, /* replace an existing file */
	MS_FILE_HASH = 2,  /* compute the SHA-256 while writing (needs the feature "crypto") */
};

/*
 * Creates an output file that appears under its name whole or not at all: it is written without
 * a name (or under a temporary one beside it), mode 0600, and named by ms_file_commit(). Symbolic
 * links are not followed; an existing file is left alone unless MS_FILE_FORCE is given.
 */
MS_API int ms_file_create(const char *path, unsigned flags, ms_file **ret_file);

MS_API int ms_file_write(ms_file *file, const void *data, size_t size);

/* Gives the file its name. On failure nothing is left behind. The handle is still to be freed. */
MS_API int ms_file_commit(ms_file *file);

/* After the commit: the hash in hex (NULL without MS_FILE_HASH) and the size. */
MS_API const char *ms_file_sha256(const ms_file *file);
MS_API uint64_t ms_file_size(const ms_file *file);

/* Removes the temporary file unless it was committed. */
MS_API void ms_file_free(ms_file *file);

/* Makes a folder, mode 0700, or takes the one that is there, but none that is a symbolic link. */
MS_API int ms_folder_make(const char *path, bool *ret_made); /* may be NULL */

/* ---- 10. Dumps ------------------------------------------------------------------------- */

enum ms_dump_format { MS_DUMP_CORE, MS_DUMP_RAW };

struct ms_dump {
	size_t size;	  /* sizeof(struct ms_dump) */
	const char *path; /* the core's file, or the folder (made if need be) of raw files */
	enum ms_dump_format format;
	const ms_filter *filter;
	struct ms_job job;
	enum ms_pause pause; /* meanwhile; a core then has the registers */
	bool zstd;	     /* compress (feature "zstd"); ".zst" is for the caller to add */
	unsigned file_flags; /* MS_FILE_* */
	/* Called for each file that was written; sha256 is NULL without MS_FILE_HASH. */
	void (*wrote)(void *ctx, const char *path, uint64_t size, const char *sha256);
	void *ctx;
	bool whole_map;	    /* core: keep the memory map of what the filter leaves out, too */
	const char *prefix; /* raw: what file names begin with, such as "bash.1234" */
};

/*
 * Dumps the regions that the filter lets through. A core is ELF as gdb, lldb and readelf open it,
 * of 64 bits or, for a program of 32, of 32, with a note of memsift's own that keeps the reason of
 * every gap; what could not be read is absent from it, not zero. Coverage lives as long as the
 * source.
 */
MS_API int ms_source_dump(
	ms_source *source, const struct ms_dump *dump, struct ms_coverage *ret_coverage);

/* Makes the coverage record of a process, as a scan would. */
MS_API int ms_sink_coverage(const struct ms_sink *sink, const struct ms_process *process,
	const struct ms_coverage *coverage);

/* ---- 11. Exporters --------------------------------------------------------------------- */

typedef struct ms_exporter ms_exporter;

/*
 * Turns records into "text", "json", "ndjson", "csv" or "plain" (only the text of strings, one a
 * line). write gets the output piece by piece and returns 0, or anything else to stop.
 */
MS_API int ms_exporter_new(const char *format,
	int (*write)(void *ctx, const void *data, size_t size), void *ctx,
	ms_exporter **ret_exporter);

/* Whether text output may use colour; off at first. */
MS_API void ms_exporter_colour(ms_exporter *exporter, bool colour);

/* A sink that writes to the exporter, for as long as the exporter lives. */
MS_API struct ms_sink ms_exporter_sink(ms_exporter *exporter);

/* Both write what is still buffered; after a flush the document goes on. */
MS_API int ms_exporter_flush(ms_exporter *exporter);
MS_API int ms_exporter_finish(ms_exporter *exporter);
MS_API void ms_exporter_free(ms_exporter *exporter);

/* ---- 12. Evidence folders -------------------------------------------------------------- */

/* What ms_folder_verify() counted. */
struct ms_verified {
	uint64_t files;	  /* in the manifest */
	uint64_t good;	  /* there, and just as they were */
	uint64_t changed; /* other size or other hash */
	uint64_t missing;
	uint64_t extra; /* in the folder, but not in the manifest */
};

/*
 * Checks every file of a folder against its manifest.json and hands a record of type "file" for
 * each to the sink (needs the feature "verify"), and an error before those that may not be read.
 * Paths that lead out of the folder, or through symbolic links, are refused.
 */
MS_API int ms_folder_verify(
	const char *folder, const struct ms_sink *sink, struct ms_verified *ret_verified);

/* ---- 13. Numbers as people type them ----------------------------------------------------- */

/* Each takes what to call the number in an error. This one is decimal, or hex after 0x. */
MS_API int ms_parse_number(const char *what, const char *text, uint64_t *ret_value);

/* With an optional suffix K, M, G or T (powers of 1024); without one it counts in unit bytes. */
MS_API int ms_parse_size(const char *what, const char *text, uint64_t unit, uint64_t *ret_size);

/* Such as 250ms, 30s, 5m, 2h; a bare number is seconds. */
MS_API int ms_parse_duration(const char *what, const char *text, uint64_t *ret_ns);

#ifdef __cplusplus
}
#endif

#endif
