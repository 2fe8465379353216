/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What differs between operating systems and is not about processes: clocks, cores, threads,
 * files, shared libraries. The os_*.c of a family implement it; the build picks which.
 */
#ifndef MS_BASE_OS_H
#define MS_BASE_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A clock that only moves forward. */
uint64_t os_clock_ns(void);

/* Seconds since 1970, UTC. */
int64_t os_time(void);

/* Cores this process may run on, at least 1. */
unsigned os_core_count(void);

/*
 * pthread_create() for a caller that goes on working itself: the thread begins on another core
 * where there is one. Left alone, Linux may put it behind its maker, if the others had something
 * to do at that very moment, and leave it there until the next tick (4 ms at 250 Hz).
 */
int os_thread_beside(pthread_t *ret_thread, void *(*run)(void *ctx), void *ctx);

size_t os_page_size(void);

/* How many files this process may have open at once. */
size_t os_descriptor_limit(void);

/* Writes "2026-01-31T23:59:59Z" and a NUL; "" for a time that no calendar holds. */
void os_time_iso(int64_t time, char ret_text[32]);

/*
 * Pages of zeros that cost nothing until they are written to, however many; NULL when there are
 * no addresses for them.
 */
void *os_pages_new(size_t size);
void os_pages_free(void *pages, size_t size);

/* Makes whole pages that are in use, of whatever kind, into such pages; false if that fails. */
bool os_pages_renew(void *pages, size_t size);

/*
 * Opens a regular file for reading; never blocks on a FIFO or device. Fails with a clear
 * sentence for anything else.
 */
int os_file_open(const char *path, int *ret_fd, uint64_t *ret_size);

/*
 * A new file for reading and writing that has no name, so that it goes when it is closed, and that
 * nobody else may open: in the folder that TMPDIR names, else in /tmp.
 */
int os_file_temporary(int *ret_fd);

/* Another descriptor of the same open file. */
int os_descriptor_copy(int fd, int *ret_fd);

/* The size of an open file; 0 if that cannot be told. */
uint64_t os_file_size(int fd);

/* Reads up to size bytes at offset; fewer only at the end of the file or where reading fails. */
int os_file_read(int fd, void *buf, size_t size, uint64_t offset, size_t *ret_size);

/* ".so": how the file of a shared library ends. */
extern const char os_library_suffix[];

/* What people call this machine's own processes where they name a device: "proc". */
extern const char os_native_device[];

/*
 * Loads a shared library by its path, or by a bare name that the loader looks for. A companion is
 * a library that it needs and that lies where the loader would not look; NULL for none. Fails
 * with the loader's own words.
 */
int os_library_open(const char *path, const char *companion, void **ret_library);

/* NULL where it has no such symbol. */
void *os_library_symbol(void *library, const char *name);
void os_library_close(void *library);

/* The file of the library that a function or an object belongs to. */
bool os_library_where(const void *symbol, char *ret_path, size_t size);

/* The program runs with more than its caller's privileges: the environment is not to be heeded. */
bool os_privileges_raised(void);

/* The folder that the running program's file is in. */
bool os_program_folder(char *ret_path, size_t size);

bool os_file_is_regular(const char *path);
bool os_folder_exists(const char *path);

/* Nobody but this user and root can change the file, nor any folder on the way to it. */
bool os_file_is_trusted(const char *path);

/* Calls each for what a pattern of the shell matches, until it returns other than 0. */
int os_glob(const char *pattern, int (*each)(void *ctx, const char *path), void *ctx);

/*
 * Has a copy of this process do a job that may crash it, and waits for its end. *ret_passed: the
 * job returned true; false when it returned false, crashed, took more time than it may, or needed
 * so much memory that it failed. The job sees all that the caller does, changes nothing of it,
 * and may call malloc(), but must not wait for other threads: there are none. Meanwhile this
 * process asks cancelled(), which may be NULL, and ends the copy with MS_ERR_STOPPED when it is
 * told to. Fails when there is no such copy to be had, too. The program is told nothing of the
 * process, neither by a signal nor by wait().
 */
int os_trial(bool (*job)(void *ctx), bool (*cancelled)(void *ctx), void *ctx, size_t memory_max,
	uint64_t time_max_ns, bool *ret_passed);

#endif
