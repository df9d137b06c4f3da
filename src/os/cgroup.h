/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups (cgroups(7)) for the sessions of users: where systemd has delegated the service's group to the service
 * (Delegate=, systemd.resource-control(5)), each session gets a group beside that of the service's processes, with a
 * limit on its number of tasks:
 *
 *      …/teleport.service/agent            the processes of the service
 *      …/teleport.service/sessions/NAME    the processes of a session
 *
 * Groups are created in the unified hierarchy (version 2) and in that of the controller `pids` of version 1, as
 * available. Without delegation (no systemd, another unit, a container) there are no groups, and processes are not
 * moved.
 */
#ifndef OS_CGROUP_H
#define OS_CGROUP_H

#include <stddef.h>

#include "base/error.h"

enum { CGROUP_TREES = 2 };

struct cgroups {
        char *sessions[CGROUP_TREES]; /* directories of the groups of sessions; owned */
        size_t count;                 /* 0: none */
        long session_tasks;           /* maximum of tasks of one session */
};

/* The group of one session: descriptors with which a process enters it. */
struct cgroup_leaf {
        int procs[CGROUP_TREES];
        size_t count;
};

/*
 * Moves this process to `agent` and creates `sessions`. To be called before child processes are started, which inherit
 * the group. Without delegation ret->count is 0 and nothing was changed. On an error ret is empty.
 */
struct error *cgroups_prepare(struct cgroups *ret) MUST_USE;
void cgroups_release(struct cgroups *c);

/* Creates a group for a session. name: letters, digits and '-'. Without delegation the leaf is empty. */
struct error *cgroups_make_leaf(const struct cgroups *c, const char *name, struct cgroup_leaf *ret) MUST_USE;

/* Moves this process, which may have just been forked, to the group. False on failure. */
bool cgroup_leaf_enter(const struct cgroup_leaf *leaf);
void cgroup_leaf_release(struct cgroup_leaf *leaf);

/* Removes the groups of sessions that have no process any more. */
void cgroups_sweep(const struct cgroups *c);

#endif
