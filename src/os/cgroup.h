/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of our own for what users run, cgroups(7): where systemd has delegated the service's group to it (Delegate=,
 * systemd.resource-control(5)), sessions get groups beside that of the service's processes, with a limit on the number of tasks:
 *
 *      …/teleport.service/agent            the processes of the service
 *      …/teleport.service/sessions/NAME    a session's
 *
 * in the unified hierarchy (version 2) and in that of the controller `pids` of version 1, whichever there are. Where nothing is
 * delegated (no systemd, a unit of another's, a container) there are no groups, and everything stays where it is.
 */
#ifndef OS_CGROUP_H
#define OS_CGROUP_H

#include <stddef.h>

#include "base/error.h"

enum { CGROUP_TREES = 2 };

struct cgroups {
        char *sessions[CGROUP_TREES]; /* directories of the groups of sessions; owned */
        size_t count;                 /* 0: there are none */
        long session_tasks;           /* that one session may have */
};

/* A session's group: descriptors by which a process enters it. */
struct cgroup_leaf {
        int procs[CGROUP_TREES];
        size_t count;
};

/*
 * Moves this process to `agent` and makes `sessions`. To be called before others are started, which stay with it. Without delegation
 * ret->count is 0 and nothing was changed; an error says what could not be made, and leaves ret empty.
 */
struct error *cgroups_prepare(struct cgroups *ret) MUST_USE;
void cgroups_release(struct cgroups *c);

/* Makes a group for a session. name: letters, digits and '-'. Where there are none the leaf is empty. */
struct error *cgroups_make_leaf(const struct cgroups *c, const char *name, struct cgroup_leaf *ret) MUST_USE;

/* Moves this process, which may have just been forked, there. Whether it is. */
bool cgroup_leaf_enter(const struct cgroup_leaf *leaf);
void cgroup_leaf_release(struct cgroup_leaf *leaf);

/* Removes the groups of sessions that have no process any more. */
void cgroups_sweep(const struct cgroups *c);

#endif
