/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The statistics of changes by themselves: what the values of one place look like over time.
 */
#include "test.h"

#include "base/mem.h"
#include "track/change_stats.h"

static bool in_mapped(const void *ctx, uint64_t address)
{
	return address - *(const uint64_t *)ctx < 0x100000000;
}

static uint64_t bits(double value)
{
	uint64_t u;

	memcpy(&u, &value, sizeof(u));
	return u;
}

static void test_patterns(void)
{
	static const uint64_t first_mapped = 0x7f0000000000;
	const struct stats_map map = {in_mapped, &first_mapped};
	const struct {
		const char *pattern;
		size_t size;
		uint64_t values[6];
	} table[] = {
		{"flag", 4, {0, 1, 0, 1, 0, 1}},
		{"counter", 4, {1, 2, 3, 4, 5, 6}},
		{"counter", 8, {100, 164, 228, 292, 356, 420}},
		{"counter", 8, {1, 100000, 100001, 900000, 900001, 900009}},
		{"timer", 8, {1000000, 2000000, 3000001, 4000000, 5000000, 6000003}},
		{"decreasing", 4, {90, 80, 77, 60, 50, 49}},
		{"decreasing", 4, {5, 0xfffffffe, 0xfffffff0, 0xffffff00, 0xfffffe00, 0xfffffd00}},
		{"pointer", 8,
			{0x7f0000001000, 0x7f0000005000, 0, 0x7f0000001000, 0x7f0000002000,
				0x7f0000001000}},
		{"float", 8, {bits(1.5), bits(1.6), bits(1.4), bits(1.55), bits(1.7), bits(1.65)}},
		{"noise", 8, {7, 0x9999999999, 12, 3, 0xffff00000000, 1}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct stats_sample samples[6];
		const char *found;

		for (size_t k = 0; k < 6; k++)
			samples[k] = (struct stats_sample){table[i].values[k], k * 1000000};
		found = stats_pattern(samples, 6, table[i].size, &map);
		check_that(found && strcmp(found, table[i].pattern) == 0, "row %zu is %s, not %s",
			i, found ? found : "(none)", table[i].pattern);
		check(!stats_pattern(samples, 3, table[i].size, &map));
	}
}

static const struct test tests[] = {
	{"patterns", test_patterns},
};

TEST_MAIN(tests)
