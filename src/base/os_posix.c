/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/os.h"

#include "memsift.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

uint64_t os_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t os_time(void)
{
	return (int64_t)time(NULL);
}

unsigned os_core_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

#ifdef __linux__
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
#endif
	return count > 0 ? (unsigned)count : 1;
}

#ifdef __GLIBC__ /* others have no attribute for cores */
/* False where there are none, or more cores than a set has room for. */
static bool other_cores(cpu_set_t *ret_all, cpu_set_t *ret_others)
{
	int own = sched_getcpu();

	if (own < 0 || sched_getaffinity(0, sizeof(*ret_all), ret_all) != 0)
		return false;
	*ret_others = *ret_all;
	CPU_CLR(own, ret_others);
	return CPU_COUNT(ret_others) > 0;
}

/* False if none was started. */
static bool start_on_others(pthread_t *ret_thread, void *(*run)(void *ctx), void *ctx)
{
	cpu_set_t all, others;
	pthread_attr_t attr;
	bool started;

	if (!other_cores(&all, &others) || pthread_attr_init(&attr) != 0)
		return false;
	started = pthread_attr_setaffinity_np(&attr, sizeof(others), &others) == 0 &&
		  pthread_create(ret_thread, &attr, run, ctx) == 0;
	pthread_attr_destroy(&attr);
	/* From there on it may move. */
	if (started)
		pthread_setaffinity_np(*ret_thread, sizeof(all), &all);
	return started;
}
#endif

int os_thread_beside(pthread_t *ret_thread, void *(*run)(void *ctx), void *ctx)
{
#ifdef __GLIBC__
	if (start_on_others(ret_thread, run, ctx))
		return 0;
#endif
	return pthread_create(ret_thread, NULL, run, ctx);
}

size_t os_descriptor_limit(void)
{
	enum { POSIX_LEAST = 20 }; /* _POSIX_OPEN_MAX */
	long count = sysconf(_SC_OPEN_MAX);

	return count > 0 ? (size_t)count : POSIX_LEAST;
}

size_t os_page_size(void)
{
	long size = sysconf(_SC_PAGESIZE);

	return size > 0 ? (size_t)size : 4096;
}

void *os_pages_new(size_t size)
{
	void *pages = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

bool os_pages_renew(void *pages, size_t size)
{
	return mmap(pages, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		       0) != MAP_FAILED;
}

void os_pages_free(void *pages, size_t size)
{
	if (pages)
		munmap(pages, size ? size : 1);
}

void os_time_iso(int64_t when, char ret_text[32])
{
	struct tm parts;
	time_t seconds = (time_t)when;

	if (!gmtime_r(&seconds, &parts) || parts.tm_year < 0 || parts.tm_year > 8099 ||
		!strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts))
		ret_text[0] = '\0';
}

void ms_machine_name(char *ret_name, size_t size)
{
	if (gethostname(ret_name, size) != 0)
		ret_name[0] = '\0';
	ret_name[size - 1] = '\0';
}

void ms_user_name(char *ret_name, size_t size)
{
	AUTO_FCLOSE FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry;

	snprintf(ret_name, size, "%u", (unsigned)geteuid());
	/* Not getpwuid(): it may ask a directory service over the network. */
	while (file && (entry = fgetpwent(file)))
		if (entry->pw_uid == geteuid()) {
			snprintf(ret_name, size, "%s", entry->pw_name);
			return;
		}
}

int os_file_open(const char *path, int *ret_fd, uint64_t *ret_size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_errno(err_from_errno(errno), errno, "cannot open %s", path);
	if (fstat(fd, &st) != 0)
		return err_errno(MS_ERR_IO, errno, "cannot examine %s", path);
	if (S_ISDIR(st.st_mode))
		return err_set(MS_ERR_ARGUMENT, "%s is a folder, not a file", path);
	if (!S_ISREG(st.st_mode))
		return err_set(MS_ERR_ARGUMENT,
			"%s is a device, pipe or socket, not a regular file; copy it to a file "
			"first",
			path);
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = take_fd(&fd);
	return 0;
}

int os_file_temporary(int *ret_fd)
{
	const char *folder = os_privileges_raised() ? NULL : getenv("TMPDIR");
	AUTO_FREE char *name = NULL;
	int fd;

	if (!folder || !*folder)
		folder = "/tmp";
#ifdef O_TMPFILE
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	/* Not every file system knows them. */
	if (fd < 0 && errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return err_errno(
			err_from_errno(errno), errno, "cannot make a temporary file in %s", folder);
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
#endif
	if (asprintf(&name, "%s/memsift-XXXXXX", folder) < 0)
		return err_nomem();
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return err_errno(
			err_from_errno(errno), errno, "cannot make a temporary file in %s", folder);
	unlink(name);
	*ret_fd = fd;
	return 0;
}

int os_descriptor_copy(int fd, int *ret_fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return err_errno(MS_ERR_IO, errno, "cannot copy a descriptor");
	*ret_fd = copy;
	return 0;
}

uint64_t os_file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

int os_file_read(int fd, void *buf, size_t size, uint64_t offset, size_t *ret_size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return err_errno(MS_ERR_IO, errno, "cannot read at offset %llu",
				(unsigned long long)offset);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return 0;
}
