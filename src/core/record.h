/* SPDX-License-Identifier: BSD-2-Clause */
/* Values for records, one small constructor a type. */
#ifndef MS_CORE_RECORD_H
#define MS_CORE_RECORD_H

#include "memsift.h"

#include "core/engine.h"

struct ms_value value_u64(uint64_t u);
struct ms_value value_unknown(void);
struct ms_value value_bool(bool b);
struct ms_value value_time(int64_t seconds);  /* unknown for 0 */
struct ms_value value_text(const char *text); /* unknown for NULL */
struct ms_value value_bytes(const void *data, size_t size);

/*
 * The values of a hit, in two parts: those of the process, the region and the module it lies in,
 * either of which may be NULL, and its own. They are zeroed before the first, and may be kept from
 * one hit to the next of the same scan; then the first part is left out where it would be the same.
 */
void record_hit_place(const struct ms_process *process, const struct ms_region *region,
	const struct ms_module *module, struct ms_value values[MS_COLUMNS_MAX]);
void record_hit_found(const struct ms_hit *hit, const struct ms_module *module,
	struct ms_value values[MS_COLUMNS_MAX]);

enum change_kind { CHANGE_WRITE, CHANGE_MAP, CHANGE_UNMAP, CHANGE_PROTECT };

/* Something that is not what it was: bytes, or a stretch of the memory map. */
struct change {
	enum change_kind kind;
	uint64_t address, size;
	uint64_t round;		  /* 0: unknown */
	int64_t time;		  /* seconds since 1970, UTC; 0: unknown */
	const uint8_t *old, *now; /* their first `shown` bytes; NULL: unknown */
	size_t shown;
	unsigned old_perm; /* of CHANGE_PROTECT */
};

/*
 * A change with the region it lies in (of a mapping that is no more: the one that it was) and
 * its module, either of which may be NULL.
 */
void record_change(const struct ms_process *process, const struct change *change,
	const struct ms_region *region, const struct ms_module *module,
	struct ms_value ret_values[MS_COLUMNS_MAX]);

/* Hands an error record to a sink. */
int sink_error(const struct ms_sink *sink, uint32_t pid, const char *what, const char *why);

#endif
