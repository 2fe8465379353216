/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The threads of a process, and stopping all of them for a while.
 *
 * Stopping is done with PTRACE_SEIZE and PTRACE_INTERRUPT: it sends no signal, so neither the
 * target nor its parent can see it, and a target that was stopped already (SIGSTOP) stays so
 * afterwards. The kernel ties a traced thread to the very thread that traces it; each pause
 * therefore has a thread of its own that makes all the ptrace calls, and these functions may be
 * called from any thread. When that thread ends, for whatever reason (memsift being killed is
 * one), the kernel lets the target run on.
 */
#ifndef MS_BACKEND_LINUX_THREADS_H
#define MS_BACKEND_LINUX_THREADS_H

#include "core/host.h"

struct linux_pause;

/*
 * Appends the threads of the process whose open folder is pid_dirfd, without register sets. A
 * stack pointer is 0 where the thread runs at this moment or may not be examined.
 */
int linux_threads(int pid_dirfd, uint32_t pid, struct thread_list *out);

/*
 * Stops every thread. Signals that arrive meanwhile wait; SIGKILL still ends the target. Fails,
 * and leaves the target running, with MS_ERR_ACCESS when that is not permitted or another
 * process traces the target, MS_ERR_GONE when it has ended, and MS_ERR_TIMEOUT when some thread
 * does not stop within five seconds because it waits inside the kernel (state D: a dead file
 * server, a vfork() child that does not go on). A program that waits for its own children with
 * waitpid(-1) in another thread must not do so meanwhile: it could take the stops away.
 */
int linux_pause(uint32_t pid, int pid_dirfd, struct linux_pause **ret_pause);

/*
 * Lets the threads go again and frees the pause. Takes NULL.
 */
void linux_resume(struct linux_pause *pause);

/* Like linux_threads(), with the register sets as they were when each thread stopped. */
int linux_pause_threads(struct linux_pause *pause, struct thread_list *out);

/* The name of a thread under an open /proc/PID/task; MS_ERR_NOT_FOUND, unsaid, if it has ended. */
int linux_thread_name(int task, uint32_t tid, struct arena *strings, const char **ret_name);

/* Sets the sentence for a thread that PTRACE_SEIZE was refused for; it names a tracer there is. */
int linux_trace_refused(int pid_dirfd, uint32_t pid, uint32_t tid, int errnum);

/* The stack pointer in the text of /proc/PID/syscall; 0 where it has none. */
uint64_t linux_syscall_stack_pointer(const char *text);

#endif
