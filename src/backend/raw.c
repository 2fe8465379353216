/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of bytes without any structure: one process whose memory is the file, from address 0
 * on. This is the smallest backend there is and the one to copy for a new one: a host has the
 * functions in raw_host, a source those in raw_source, core/host.h says what each owes its
 * caller, and everything that may be NULL is left out here.
 */
#include "backend/backends.h"

#include "base/err.h"
#include "base/os.h"

/* The core allocates this, zeroed, and frees it after raw_close(). */
struct raw {
	int fd;
	uint64_t size;
};

static int raw_open(struct ms_host *host, const char *path)
{
	struct raw *raw = host->priv;
	int r;

	/* raw_close() is called even when this function fails, and 0 is somebody's descriptor. */
	raw->fd = -1;
	r = host_file_open(host, path, &raw->fd, &raw->size);
	if (r < 0)
		return r;
	/* A backend that knows its files by their content returns HOST_NOT_MINE for others. */
	if (raw->size == 0)
		return err_set(MS_ERR_FORMAT, "%s is empty: there is no memory in it", path);
	return 0;
}

static void raw_close(struct ms_host *host)
{
	struct raw *raw = host->priv;

	if (raw->fd >= 0)
		close(raw->fd);
}

static int raw_processes(struct ms_host *host, struct process_list *out)
{
	const char *slash = strrchr(host->name, '/');
	struct raw *raw = host->priv;
	struct ms_process process = {
		.pid = 1,
		.rss = raw->size,
		.name = slash ? slash + 1 : host->name,
	};

	return process_list_add(out, &process) ? 0 : err_nomem();
}

/* src->process is set already; a source with state of its own would fill src->priv. */
static int raw_attach(struct ms_host *host, struct ms_source *src)
{
	(void)host;
	(void)src;
	return 0;
}

static int raw_regions(struct ms_source *src, struct region_list *out)
{
	struct raw *raw = src->host->priv;
	struct ms_region region = {
		.base = 0,
		.size = raw->size,
		.resident = raw->size,
		.perm = MS_PERM_READ,
		.kind = MS_KIND_MAPPED,
		.path = arena_string(&out->strings, src->host->name),
	};

	return region.path && vec_push(&out->items, region) ? 0 : err_nomem();
}

/* Called from several threads at once: it changes nothing. What cannot be read is no failure. */
static int raw_read(
	struct ms_source *src, uint64_t address, void *buf, size_t size, size_t *ret_size)
{
	struct raw *raw = src->host->priv;
	size_t got = 0;

	if (address < raw->size)
		size = (size_t)min_u64(size, raw->size - address);
	else
		size = 0;
	if (os_file_read(raw->fd, buf, size, address, &got) < 0)
		got = 0;
	*ret_size = got;
	return 0;
}

static const struct ms_source_ops raw_source = {
	.regions = raw_regions,
	.read = raw_read,
};

const struct ms_host_ops raw_host = {
	.scheme = "raw",
	.summary = "a file of plain bytes, taken as memory from address 0 on",
	.priv_size = sizeof(struct raw),
	.is_file = true,
	.open = raw_open,
	.close = raw_close,
	.processes = raw_processes,
	.attach = raw_attach,
	.source = &raw_source,
};
