/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a snapshot knows of every address: stretches of one state in ascending order, those of
 * data with the place where what was kept of them lies.
 */
#ifndef MS_CORE_KEPT_H
#define MS_CORE_KEPT_H

#include "core/coverage.h"
#include "core/host.h"

struct kept {
	uint64_t base, size;
	enum ms_state state;
	uint64_t at; /* of data */
};

struct kept_list {
	VEC(struct kept) items;
};

/*
 * Adds a stretch; data that goes on where the last one ended, there as in its place, is joined.
 * Any order will do, until kept_account().
 */
bool kept_add(struct kept_list *list, struct kept kept);

/* Adds what the coverage, finished and with keep_absent, knows of the rest, and sorts. */
bool kept_account(struct kept_list *list, const struct coverage *coverage);

/* The first stretch that ends above address, or one behind the last. */
size_t kept_from(const struct kept_list *list, uint64_t address);

/* The stretch of data that holds address, or NULL. */
const struct kept *kept_data(const struct kept_list *list, uint64_t address);

/* As ms_source_ops.resident: what is in no stretch has vanished while the list was made. */
size_t kept_runs(
	const struct kept_list *list, uint64_t base, uint64_t size, struct run *runs, size_t room);

#endif
