/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What differs between operating systems and is not about processes: clocks, cores, threads,
 * files. One os_*.c per family implements it; the build picks which.
 */
#ifndef MS_BASE_OS_H
#define MS_BASE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A clock that only moves forward. */
uint64_t os_clock_ns(void);

/* Seconds since 1970, UTC. */
int64_t os_time(void);

/* Cores this process may run on, at least 1. */
unsigned os_core_count(void);

size_t os_page_size(void);

/* Writes "20260131T235959Z" and a NUL. */
void os_time_compact(int64_t time, char ret_text[17]);

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

/* The size of an open file; 0 if that cannot be told. */
uint64_t os_file_size(int fd);

/* Reads up to size bytes at offset; fewer only at the end of the file or where reading fails. */
int os_file_read(int fd, void *buf, size_t size, uint64_t offset, size_t *ret_size);

#endif
