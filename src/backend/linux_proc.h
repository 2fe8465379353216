/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes of this machine, out of /proc. Each one is pinned by an open /proc/PID before
 * anything of it is read, so that what is listed always belongs to one and the same process: an
 * open /proc/PID never turns into another process, not even when the pid is recycled. A process
 * that ends meanwhile is left out of the list.
 *
 * What counts as a system process (ms_process.system):
 *  - Kernel threads and pid 1 do.
 *  - Where systemd runs the machine, so does every member of a control group whose path begins
 *    with /system.slice/ and whose last component ends in .service, and of /init.scope.
 *  - Where there is no systemd, or a process is in the root control group only, so do daemons: a
 *    session leader without controlling terminal whose parent is pid 1, whose user id is below
 *    1000 and whose program lies under /usr/sbin, /sbin, /usr/lib/systemd or /lib/systemd.
 * Nothing else does: not what a person started, not a container, not a user's own services.
 */
#ifndef MS_BACKEND_LINUX_PROC_H
#define MS_BACKEND_LINUX_PROC_H

#include "backend/linux_pins.h"
#include "core/host.h"

/*
 * Appends all processes, kernel threads included, by ascending pid. Those that can be attached to
 * are pinned besides, as many as there is room for; pins may be NULL.
 */
int linux_processes(struct process_list *out, struct linux_pins *pins);

/* Appends one process; fails with MS_ERR_NOT_FOUND if none has that pid. */
int linux_process_one(uint32_t pid, struct process_list *out);

/* The account's name in /etc/passwd, or its number; asks no directory service. */
void linux_user_name(uint32_t uid, char *ret_name, size_t size);

#endif
