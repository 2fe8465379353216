/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Splitting a set of literals into parts. A part wants a place, `at`, where each of its literals
 * has good bytes (the mask leaves at most the case of a letter open) that are rare in memory;
 * but every part is one more pass over the data. This is the weighted set cover problem, and
 * solved in the usual greedy way: time and again take the choice that costs least for each
 * literal it serves, until none is left.
 */
#include "find/part.h"

#include "base/err.h"

/* A byte with at least these bits fixed is good. */
enum { GOOD_MASK = 0xdf };

/* Costs are estimated from so many literals, evenly spread over the set. */
enum { SAMPLE_MAX = 4096 };

/*
 * How many good bytes in a row a choice asks for. Seven allow the wide hashed filter. None is
 * the last resort: it suits every literal, but its candidates are compared with all of them.
 */
static const uint8_t runs[] = {7, 4, 3, 2, 1, 0};

/* What a pass costs for a byte of data, and a candidate; cycles, measured on an AMD Zen server. */
static const double pass_vector = 0.2, pass_wide = 0.5, pass_hashed = 2, per_candidate = 70;

/* What each further literal in a candidate's chain costs; an estimate. */
static const double per_compare = 2;

/* What the sampled literals that a choice suits add up to. */
struct tally {
	double rate; /* candidates in a byte of data */
	size_t count;
};

struct choice {
	size_t run, at;
	double cost;
};

/* The good bytes in a row at `at`, up to the most that matters. */
static size_t run_at(const uint8_t *mask, size_t size, size_t at)
{
	size_t run = 0;

	while (run < runs[0] && at + run < size && (mask[at + run] & GOOD_MASK) == GOOD_MASK)
		run++;
	return run;
}

static double window_rate(
	const uint8_t *value, const uint8_t *mask, size_t size, size_t at, size_t columns)
{
	double rate = 1;

	for (size_t i = at; i < at + columns && i < size; i++)
		rate *= byte_rate(value[i], mask[i]) / 65536.0;
	return rate;
}

static void tally_literal(const struct find *find, size_t index, struct tally tally[][FIND_AT_MAX])
{
	const uint8_t *value = literal_value(find, index), *mask = literal_mask(find, index);
	size_t size = find->literals[index].size;

	for (size_t at = 0; at < FIND_AT_MAX; at++) {
		size_t run = run_at(mask, size, at);

		for (size_t r = 0; r < ARRAY_SIZE(runs); r++) {
			size_t columns = runs[r] && runs[r] < FIND_WINDOW ? runs[r] : FIND_WINDOW;

			if (run < runs[r])
				continue;
			tally[r][at].rate += window_rate(value, mask, size, at, columns);
			tally[r][at].count++;
		}
	}
}

/* Cycles for each byte of data and each literal served. */
static double choice_cost(const struct tally *tally, size_t run, double scale)
{
	double count = (double)tally->count * scale, rate = tally->rate * scale;
	double candidate = per_candidate + (run ? 0 : per_compare * count);
	double pass = count <= TEDDY_MAX ? pass_vector : run == runs[0] ? pass_wide : pass_hashed;

	return (pass + candidate * (rate < 1 ? rate : 1)) / count;
}

/* The cheapest choice for the literals that are left; one for all of them if it is the last. */
static struct choice choose(const struct find *find, const uint32_t *left, size_t count, bool last)
{
	struct tally tally[ARRAY_SIZE(runs)][FIND_AT_MAX] = {0};
	struct choice best = {0, 0, -1};
	size_t step = count / SAMPLE_MAX + 1, sampled = 0;

	for (size_t i = 0; i < count; i += step, sampled++)
		tally_literal(find, left[i], tally);
	for (size_t r = 0; r < ARRAY_SIZE(runs); r++)
		for (size_t at = 0; at < FIND_AT_MAX; at++) {
			double scale = (double)count / (double)sampled, cost;

			if (!tally[r][at].count || (last && runs[r]))
				continue;
			cost = choice_cost(&tally[r][at], runs[r], scale);
			if (best.cost < 0 || cost < best.cost)
				best = (struct choice){runs[r], at, cost};
		}
	return best;
}

/*
 * Moves the literals that a choice suits to `taken`, keeps the others in `left`, both in order.
 * Returns how many were taken.
 */
static size_t take(const struct find *find, const struct choice *choice, uint32_t *left,
	size_t count, uint32_t *taken)
{
	size_t kept = 0, found = 0;

	for (size_t i = 0; i < count; i++) {
		size_t size = find->literals[left[i]].size;

		if (run_at(literal_mask(find, left[i]), size, choice->at) >= choice->run)
			taken[found++] = left[i];
		else
			left[kept++] = left[i];
	}
	return found;
}

int partition(struct find *find)
{
	size_t count = find->count;
	AUTO_FREE uint32_t *left = calloc(count + 1, sizeof(*left));
	AUTO_FREE uint32_t *taken = calloc(count + 1, sizeof(*taken));

	if (!left || !taken)
		return err_nomem();
	for (size_t i = 0; i < count; i++)
		left[i] = (uint32_t)i;
	while (count) {
		bool last = find->part_count == FIND_PARTS_MAX - 1;
		struct choice choice = choose(find, left, count, last);
		size_t found = take(find, &choice, left, count, taken);
		int r = part_init(&find->parts[find->part_count++], find, taken, found, choice.at,
			choice.run == runs[0]);

		if (r < 0)
			return r;
		count -= found;
	}
	return 0;
}
