/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The notes that memsift itself adds to a core, named "MEMSIFT": what an ELF core has no place
 * for. They are little endian and packed whatever the core's machine is.
 *
 *   1 regions: u32 version, u32 count; count regions as in core/regionpack.h
 *   2 gaps:    u32 version, u32 count; count times u64 base, size; u32 state, zero
 *   3 process: u32 version, pid, ppid, uid; u64 start_id, started, rss; u32 flags (1: the program
 *              was deleted); u32 sizes of name, exe, cmdline, user, arch; those texts
 *
 * A note of another version is passed over, and the core is then read as a foreign one. A note
 * that contradicts itself is refused: it would give memory another meaning than it had.
 */
#include "backend/elfcore.h"

#include "base/bytes.h"
#include "base/err.h"
#include "core/regionpack.h"

enum {
	OWN_VERSION = 1,
	LIST_HEADER = 8,
	GAP_SIZE = 24,
	PROCESS_SIZE = 64,
	PROCESS_TEXTS = 5,
	FLAG_EXE_DELETED = 1,
};

static int damaged(const char *note, const char *why)
{
	return err_set(
		MS_ERR_FORMAT, "memsift's note of the %s in this core is damaged: %s", note, why);
}

static bool is_known(struct core_bytes note)
{
	return note.size >= LIST_HEADER && load_u32(note.data, false) == OWN_VERSION;
}

/* Checks that [base, base + size) is a range above *end, and moves that up. */
static bool range_follows(uint64_t base, uint64_t size, uint64_t *end)
{
	return size && base >= *end && add_u64(base, size, end);
}

int core_own_regions(struct elfcore *core)
{
	struct core_bytes rest = core->notes.own_regions;
	uint64_t end = 0;
	uint32_t count;

	if (!is_known(rest))
		return 0;
	count = load_u32(rest.data + 4, false);
	rest.data += LIST_HEADER;
	rest.size -= LIST_HEADER;
	for (uint32_t i = 0; i < count; i++) {
		struct ms_region region;
		size_t took = region_unpack(rest.data, rest.size, &core->regions.strings, &region);

		if (!took)
			return damaged("regions", "an entry has an impossible value");
		if (!range_follows(region.base, region.size, &end))
			return damaged("regions", "its addresses do not ascend");
		if (!region.path || !vec_push(&core->regions.items, region))
			return err_nomem();
		rest.data += took;
		rest.size -= took;
	}
	return 1;
}

static struct run gap_load(const uint8_t *d)
{
	return (struct run){
		.base = load_u64(d, false),
		.size = load_u64(d + 8, false),
		.state = (enum ms_state)load_u32(d + 16, false),
	};
}

struct run core_own_gap(const struct elfcore *core, size_t index)
{
	return gap_load(core->gaps + index * GAP_SIZE);
}

int core_own_gaps(struct elfcore *core)
{
	struct core_bytes note = core->notes.own_gaps;
	uint64_t end = 0;
	uint32_t count;

	if (!is_known(note))
		return 0;
	count = load_u32(note.data + 4, false);
	if (count > (note.size - LIST_HEADER) / GAP_SIZE)
		return damaged("gaps", "it has fewer entries than it says");
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *d = note.data + LIST_HEADER + (size_t)i * GAP_SIZE;
		uint32_t state = load_u32(d + 16, false);

		if (state == MS_STATE_DATA || state >= MS_STATE_COUNT)
			return damaged("gaps", "an entry has an impossible value");
		if (!range_follows(load_u64(d, false), load_u64(d + 8, false), &end))
			return damaged("gaps", "its addresses do not ascend");
	}
	core->gaps = note.data + LIST_HEADER;
	core->gap_count = count;
	return 1;
}

/* Copies the texts behind the fixed part; those of no length stay NULL. */
static int process_texts(struct elfcore *core, struct core_bytes note, const char **ret_texts)
{
	uint64_t at = PROCESS_SIZE;

	for (size_t i = 0; i < PROCESS_TEXTS; i++) {
		uint32_t size = load_u32(note.data + 44 + 4 * i, false);

		ret_texts[i] = NULL;
		if (size > note.size - at)
			return damaged("process", "it ends within a text");
		if (size)
			ret_texts[i] = arena_copy(&core->regions.strings, note.data + at, size);
		if (size && !ret_texts[i])
			return err_nomem();
		at += size;
	}
	return 0;
}

int core_own_process(struct elfcore *core)
{
	struct core_bytes note = core->notes.own_process;
	const char *texts[PROCESS_TEXTS];
	int r;

	if (!is_known(note))
		return 0;
	if (note.size < PROCESS_SIZE)
		return damaged("process", "it is too short");
	r = process_texts(core, note, texts);
	if (r < 0)
		return r;
	core->process = (struct ms_process){
		.pid = load_u32(note.data + 4, false),
		.ppid = load_u32(note.data + 8, false),
		.uid = load_u32(note.data + 12, false),
		.start_id = load_u64(note.data + 16, false),
		.started = (int64_t)load_u64(note.data + 24, false),
		.rss = load_u64(note.data + 32, false),
		.exe_deleted = load_u32(note.data + 40, false) & FLAG_EXE_DELETED,
		.name = texts[0],
		.exe = texts[1],
		.cmdline = texts[2],
		.user = texts[3],
		.arch = texts[4],
	};
	return 1;
}
