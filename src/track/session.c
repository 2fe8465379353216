/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing goes through an output file of the library's, so that a full disk leaves the former
 * session as it was. Reading trusts nothing: every number is checked before it is used, and every
 * byte takes part in a hash.
 */
#include "track/session.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/os.h"

#include <errno.h>
#include <math.h>

struct session_head {
	char magic[8];
	uint32_t order;	  /* SESSION_ORDER as the writer has it */
	uint32_t version; /* SESSION_VERSION */
	uint32_t pid;
	uint32_t flags;
	uint64_t start_id;
	uint64_t align, size; /* of a value */
	double tolerance;
	char type[8];
	uint32_t exe_size; /* bytes that follow */
	uint32_t unused;
	uint64_t hash; /* of all the above and the bytes that follow */
};

struct session_tail {
	uint32_t tag, unused;
	uint64_t blocks, count;
	uint64_t chain;
	uint64_t hash; /* of all the above */
};

_Static_assert(sizeof(struct session_head) == 80, "it is written as it is in memory");
_Static_assert(sizeof(struct session_tail) == 40, "it is written as it is in memory");

enum {
	SESSION_VERSION = 1,
	SESSION_ORDER = 0x01020304,
	TAIL_TAG = 0x444e454d,
	FLAG_SWAPPED = 1,
	FLAG_DEVICE = 2,
	FLAG_ZSTD = 4,
};

static const char magic[8] = "MSVALUE";

/* ---- Writing ---------------------------------------------------------------------------- */

static uint64_t head_hash(const struct session_head *head, const char *exe)
{
	uint64_t seed = hash_bytes(0, head, offsetof(struct session_head, hash));

	return hash_bytes(seed, exe, head->exe_size);
}

/* Nothing but a session, or nothing at all, may be replaced. */
static int replaceable(const char *path)
{
	char begin[sizeof(magic)] = "";
	AUTO_CLOSE int fd = -1;
	uint64_t size;
	size_t got;
	int r;

	if (access(path, F_OK) != 0 && errno == ENOENT)
		return 0;
	r = os_file_open(path, &fd, &size);
	if (r == 0)
		r = os_file_read(fd, begin, sizeof(begin), 0, &got);
	if (r < 0)
		return r;
	if (memcmp(begin, magic, sizeof(magic)) != 0)
		return err_set(MS_ERR_EXISTS,
			"%s exists and is not a session, so it is not replaced", path);
	return 0;
}

static int put(struct session_writer *writer, const void *data, size_t size)
{
	int r = ms_file_write(writer->file, data, size);

	if (r == 0)
		writer->offset += size;
	return r;
}

int session_begin(struct session_writer *writer, const char *path, const struct subject *subject)
{
	const char *exe = subject->exe ? subject->exe : "";
	struct session_head head = {
		.order = SESSION_ORDER,
		.version = SESSION_VERSION,
		.pid = subject->pid,
		.flags = (subject->swapped ? FLAG_SWAPPED : 0) |
			 (subject->device ? FLAG_DEVICE : 0) | (subject->zstd ? FLAG_ZSTD : 0),
		.start_id = subject->start_id,
		.align = subject->layout.align,
		.size = subject->layout.size,
		.tolerance = subject->layout.tolerance,
		.exe_size = (uint32_t)strnlen(exe, SESSION_EXE_MAX),
	};
	int r = replaceable(path);

	*writer = (struct session_writer){0};
	if (r == 0)
		r = ms_file_create(path, MS_FILE_FORCE, &writer->file);
	if (r < 0)
		return r;
	memcpy(head.magic, magic, sizeof(magic));
	memcpy(head.type, subject->layout.type->name, strlen(subject->layout.type->name));
	head.hash = head_hash(&head, exe);
	r = put(writer, &head, sizeof(head));
	return r < 0 ? r : put(writer, exe, head.exe_size);
}

int session_block(struct session_writer *writer, struct block_head *head, const void *stored,
	uint64_t *ret_offset)
{
	int r;

	head->hash = block_hash(head, stored);
	r = put(writer, head, sizeof(*head));
	if (r < 0)
		return r;
	*ret_offset = writer->offset;
	writer->blocks++;
	writer->count += head->count;
	writer->chain = hash_step(writer->chain, head->hash);
	return put(writer, stored, head->stored);
}

int session_end(struct session_writer *writer)
{
	struct session_tail tail = {
		.tag = TAIL_TAG,
		.blocks = writer->blocks,
		.count = writer->count,
		.chain = writer->chain,
	};
	int r;

	tail.hash = hash_bytes(0, &tail, offsetof(struct session_tail, hash));
	r = put(writer, &tail, sizeof(tail));
	return r < 0 ? r : ms_file_commit(writer->file);
}

void session_done(struct session_writer *writer)
{
	ms_file_free(writer->file);
	writer->file = NULL;
}

/* ---- Reading ---------------------------------------------------------------------------- */

struct reading {
	const char *path;
	struct generation *generation;
	struct subject *subject;
	uint64_t offset, size; /* in the file */
	uint64_t chain;
};

static int damaged(const struct reading *reading, const char *why)
{
	return err_set(MS_ERR_FORMAT, "%s is a damaged session: %s, at offset %llu", reading->path,
		why, (unsigned long long)reading->offset);
}

/* Takes size bytes off the file. */
static int take(struct reading *reading, void *buf, size_t size)
{
	size_t got = 0;
	int r = 0;

	if (reading->size - reading->offset < size)
		return damaged(reading, "it ends too soon");
	r = os_file_read(reading->generation->fd, buf, size, reading->offset, &got);
	if (r < 0)
		return r;
	if (got != size)
		return damaged(reading, "it ends too soon");
	reading->offset += size;
	return 0;
}

static int take_layout(struct reading *reading, const struct session_head *head)
{
	struct layout *layout = &reading->subject->layout;
	char name[sizeof(head->type) + 1] = "";
	size_t size;

	memcpy(name, head->type, sizeof(head->type));
	if (strchr(name, ':') || value_type_parse(name, &layout->type, &size) < 0)
		return damaged(reading, "its type is unknown");
	if (head->size < 1 || head->size > VALUE_SIZE_MAX || (size && head->size != size))
		return damaged(reading, "the size of its values is wrong");
	if (head->align < 1 || head->align > VALUE_ALIGN_MAX || (head->align & (head->align - 1)))
		return damaged(reading, "the alignment of its values is wrong");
	if (!isfinite(head->tolerance) || head->tolerance < 0)
		return damaged(reading, "its tolerance is wrong");
	layout->size = (size_t)head->size;
	layout->align = (size_t)head->align;
	layout->tolerance = head->tolerance;
	return 0;
}

static int take_head(struct reading *reading)
{
	struct subject *subject = reading->subject;
	struct session_head head;
	int r;

	if (reading->size < sizeof(head))
		return err_set(MS_ERR_FORMAT, "%s is not a session of memsift", reading->path);
	r = take(reading, &head, sizeof(head));
	if (r < 0)
		return r;
	if (memcmp(head.magic, magic, sizeof(magic)) != 0)
		return err_set(MS_ERR_FORMAT, "%s is not a session of memsift", reading->path);
	if (head.order != SESSION_ORDER || head.version != SESSION_VERSION)
		return err_set(MS_ERR_FORMAT,
			"%s is a session of another version of memsift or of another machine",
			reading->path);
	if (head.exe_size > SESSION_EXE_MAX)
		return damaged(reading, "the path in it is too long");
	subject->exe = calloc(1, head.exe_size + 1);
	if (!subject->exe)
		return err_nomem();
	r = take(reading, subject->exe, head.exe_size);
	if (r < 0)
		return r;
	if (head_hash(&head, subject->exe) != head.hash)
		return damaged(reading, "its head does not have the right hash");
	if (!head.exe_size)
		free(take_pointer(&subject->exe));
	subject->pid = head.pid;
	subject->start_id = head.start_id;
	subject->swapped = head.flags & FLAG_SWAPPED;
	subject->device = head.flags & FLAG_DEVICE;
	subject->zstd = head.flags & FLAG_ZSTD;
	return take_layout(reading, &head);
}

/* Takes the head of a block and passes over what is stored; cells are checked later. */
static int take_block(struct reading *reading)
{
	struct generation *generation = reading->generation;
	size_t count = generation->blocks.count;
	struct block_head head;
	uint64_t offset;
	int r = take(reading, &head, sizeof(head));

	if (r < 0)
		return r;
	offset = reading->offset;
	if (head.raw < sizeof(struct cell) || head.raw > BLOCK_MAX || head.stored > head.raw ||
		head.stored < 1 || head.stored > reading->size - offset)
		return damaged(reading, "the size of a block is wrong");
	if (head.first >= head.end ||
		(count && head.first < generation->blocks.data[count - 1].head.end))
		return damaged(reading, "the addresses of a block are wrong");
	reading->offset += head.stored;
	reading->chain = hash_step(reading->chain, head.hash);
	return generation_note(generation, &head, offset);
}

static int take_tail(struct reading *reading)
{
	const struct generation *generation = reading->generation;
	struct session_tail tail;
	int r = take(reading, &tail, sizeof(tail));

	if (r < 0)
		return r;
	if (tail.tag != TAIL_TAG || tail.blocks != generation->blocks.count ||
		tail.count != generation->count || tail.chain != reading->chain ||
		tail.hash != hash_bytes(0, &tail, offsetof(struct session_tail, hash)))
		return damaged(reading, "its tail does not fit");
	return 0;
}

static int check_blocks(const struct reading *reading)
{
	AUTO_FREE struct cursor *cursor = malloc(sizeof(*cursor));
	int r = 0;

	if (!cursor)
		return err_nomem();
	cursor_init(cursor, reading->generation, &reading->subject->layout);
	for (size_t i = 0; i < reading->generation->blocks.count && r == 0; i++)
		r = block_check(cursor, i);
	return r;
}

static int take_all(struct reading *reading)
{
	int r = take_head(reading);

	while (r == 0 && reading->size - reading->offset > sizeof(struct session_tail))
		r = take_block(reading);
	if (r == 0)
		r = take_tail(reading);
	return r < 0 ? r : check_blocks(reading);
}

int session_load(const char *path, struct subject *ret_subject, struct generation *ret_generation)
{
	struct subject subject = {.exe = NULL};
	struct generation generation;
	struct reading reading = {.path = path, .generation = &generation, .subject = &subject};
	int r;

	generation_init(&generation);
	r = os_file_open(path, &generation.fd, &reading.size);
	if (r == 0)
		r = take_all(&reading);
	if (r < 0) {
		free(subject.exe);
		generation_done(&generation);
		return r;
	}
	*ret_subject = subject;
	*ret_generation = generation;
	return 0;
}
