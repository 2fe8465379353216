/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A test program is a table of named functions and one line, `TEST_MAIN(tests)`. A failing check
 * says where and ends its test; the program ends with the number of tests that failed. skip()
 * ends a test that cannot run here. The last line on stdout counts what happened; ./test adds those
 * lines up.
 */
#ifndef MS_TESTS_TEST_H
#define MS_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
};

static jmp_buf test_end;
static const char *test_name;

static inline _Noreturn void test_leave(
	int how, const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: %s (%s:%d): ", test_name, how == 1 ? "FAILED" : "skipped", file, line);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	longjmp(test_end, how);
}

#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			test_leave(1, __FILE__, __LINE__, "%s", #condition);                       \
	} while (0)

/* Like check, and says more. */
#define check_that(condition, ...)                                                                 \
	do {                                                                                       \
		if (!(condition))                                                                  \
			test_leave(1, __FILE__, __LINE__, __VA_ARGS__);                            \
	} while (0)

#define check_u64(actual, expected)                                                                \
	do {                                                                                       \
		unsigned long long a_ = (actual), e_ = (expected);                                 \
		if (a_ != e_)                                                                      \
			test_leave(1, __FILE__, __LINE__,                                          \
				"%s is %llu (0x%llx), not %llu (0x%llx)", #actual, a_, a_, e_,     \
				e_);                                                               \
	} while (0)

#define check_text(actual, expected)                                                               \
	do {                                                                                       \
		const char *a_ = (actual), *e_ = (expected);                                       \
		if (!a_ || strcmp(a_, e_) != 0)                                                    \
			test_leave(1, __FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #actual,     \
				a_ ? a_ : "(null)", e_);                                           \
	} while (0)

/* A library call that must work; its error text is shown when it does not. */
#define check_ok(call)                                                                             \
	do {                                                                                       \
		int r_ = (call);                                                                   \
		if (r_ < 0)                                                                        \
			test_leave(1, __FILE__, __LINE__, "%s: %d: %s", #call, r_, ms_error());    \
	} while (0)

#define skip(...) test_leave(2, __FILE__, __LINE__, __VA_ARGS__)

/* A generator of its own, so that a seed gives the same run everywhere. */
static inline uint64_t test_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline int test_run(const struct test *tests, size_t count, int argc, char **argv)
{
	/* volatile: they change between setjmp() and longjmp(). */
	volatile int passed = 0, failed = 0, skipped = 0;
	volatile size_t i;

	for (i = 0; i < count; i++) {
		if (argc > 1 && !strstr(tests[i].name, argv[1]))
			continue;
		test_name = tests[i].name;
		switch (setjmp(test_end)) {
		case 0:
			tests[i].run();
			passed++;
			break;
		case 1:
			failed++;
			break;
		default:
			skipped++;
		}
	}
	printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}

#define TEST_MAIN(tests)                                                                           \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return test_run(tests, sizeof(tests) / sizeof((tests)[0]), argc, argv);            \
	}

#endif
