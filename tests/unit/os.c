/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "base/os.h"

#include <sched.h>
#include <string.h>

static void *mark(void *ctx)
{
	*(bool *)ctx = true;
	return NULL;
}

static void run_beside(void)
{
	bool ran = false;
	pthread_t thread;

	check(os_thread_beside(&thread, mark, &ran) == 0);
	check(pthread_join(thread, NULL) == 0);
	check(ran);
}

static void test_thread_beside(void)
{
	for (int i = 0; i < 100; i++)
		run_beside();
}

#ifdef __linux__
struct place {
	pthread_barrier_t begun; /* os_thread_beside() has returned, too */
	cpu_set_t set;
};

static void *note_place(void *ctx)
{
	struct place *place = ctx;

	pthread_barrier_wait(&place->begun);
	sched_getaffinity(0, sizeof(place->set), &place->set);
	return NULL;
}

/* It is bound to no core once it has begun. */
static void test_thread_may_move(void)
{
	struct place place;
	cpu_set_t own;
	pthread_t thread;

	check(sched_getaffinity(0, sizeof(own), &own) == 0);
	pthread_barrier_init(&place.begun, NULL, 2);
	check(os_thread_beside(&thread, note_place, &place) == 0);
	pthread_barrier_wait(&place.begun);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&place.begun);
	check(CPU_EQUAL(&place.set, &own));
}

static void test_thread_on_one_core(void)
{
	cpu_set_t all, one;

	check(sched_getaffinity(0, sizeof(all), &all) == 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0)
		skip("this system binds no process to a core");
	run_beside();
	check(sched_setaffinity(0, sizeof(all), &all) == 0);
}
#endif

static void test_descriptor_limit(void)
{
	check(os_descriptor_limit() >= 3);
}

static const struct test tests[] = {
	{"a thread beside its maker", test_thread_beside},
#ifdef __linux__
	{"a thread beside its maker may move", test_thread_may_move},
	{"a thread beside its maker on one core", test_thread_on_one_core},
#endif
	{"limit of descriptors", test_descriptor_limit},
};

TEST_MAIN(tests)
