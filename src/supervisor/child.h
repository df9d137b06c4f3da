/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service processes as the supervisor sees them: a row per kind, and how one is started.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include <sys/types.h>

#include "base/error.h"
#include "internal.pb-c.h"

/* In the order they are started. */
enum child_kind {
        CHILD_SIGNER,
        CHILD_STS,
        CHILD_AUTH,
        CHILD_PROXY,
        CHILD_INSTANCE,
        CHILD_SSH,
        CHILD_LABELS,
        CHILD_KINDS,
        CHILD_AWS_SIGN = CHILD_KINDS, /* not one that lives with us: started for one join, sign.c */
        CHILD_ROWS
};

struct child_row {
        const char *name;
        bool is_follower;        /* has no ear for the supervisor: it lives and ends with auth */
        bool gets_static_tokens; /* parts of the configuration that are secrets */
        bool gets_join_token;
        bool gets_keypairs;
        bool gets_http_proxy;        /* the names of the environment by which one is configured: a password may be in them */
        bool gets_whole_environment; /* AWS_* and what a credential_process may need; the others get a few names */
};
extern const struct child_row child_rows[CHILD_ROWS];

/* Who talks to whom; each end is called by the other's name. */
enum { PAIRING_COUNT = 8 };
struct pairing_row {
        enum child_kind ends[2];
};
extern const struct pairing_row pairing_rows[PAIRING_COUNT];

/* Descriptors for a new process: beyond the two that all get. Borrowed; the child has copies. */
enum { CHILD_FDS_MAX = 8 };
struct child_fds {
        const char *names[CHILD_FDS_MAX];
        int fds[CHILD_FDS_MAX];
        size_t count;
};

/*
 * Starts /proc/self/exe as `teleport service NAME`, with Boot and its descriptors, and our end of the
 * control socket in *ret_control (owned by the caller). stderr_fd becomes its standard error. It dies
 * when this process does.
 */
struct error *child_spawn(enum child_kind kind, const Cteleport__Internal__V1__Boot *boot, const struct child_fds *fds,
                          int stderr_fd, pid_t *ret_pid, int *ret_control) MUST_USE;

/* "ended with status 1", "was killed by signal 11 (Segmentation fault)"; the caller frees. */
char *child_fate(int wait_status) MUST_USE;

#endif
