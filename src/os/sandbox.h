/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process may still do once it is set up: a row per kind of process in sandbox.c.
 *
 * Enters no_new_privs, drops capabilities, other users' rights and core dumps, then Landlock, then
 * seccomp (a violation kills). In sanitizer builds seccomp is left out, for their
 * runtimes need calls that no service does; sandbox_describe() says so.
 */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

#include <sys/types.h>

#include "base/error.h"

enum sandbox_kind {
        SANDBOX_SIGNER,         /* one socket, one log file, no paths, no network */
        SANDBOX_AUTHORIZE,      /* one socket, one pipe, no paths, no network */
        SANDBOX_STS,            /* network out, CA bundle and resolver files read-only */
        SANDBOX_AUTH,           /* listening sockets it was given, its store and audit log */
        SANDBOX_PROXY,          /* network, resolver files read-only, nothing else on disk */
        SANDBOX_INSTANCE,       /* network, its directory below data_dir */
        SANDBOX_INSTANCE_LOCAL, /* the same beside its own Auth Service: a socket to it, no network */
        SANDBOX_AWS_SIGN,       /* network, credential files, credential_process children */
        SANDBOX_LABELS,         /* whatever commands do that the operator chose */
        SANDBOX_SSH,            /* network, the socket of helpers, the directory of recordings */
        SANDBOX_KINDS
};

/* Beyond what the row of the kind already has (resolver files, CA bundles). */
struct sandbox_paths {
        const char *const *read;  /* NULL-terminated or NULL: readable files and trees; what is not there is skipped */
        const char *const *write; /* readable and writable files and trees; must be there */
};

/*
 * Enters; cannot be undone. Failure to enter is an error: the process must not go on.
 *
 * To be called while the process has one thread (before the first job on the pool), for Landlock and
 * capabilities belong to threads: FAILED_PRECONDITION otherwise. Descriptors that are open stay usable.
 */
struct error *sandbox_enter(enum sandbox_kind kind, struct sandbox_paths paths) MUST_USE;

/* A user that root becomes: services that share one are not separated. */
struct sandbox_user {
        const char *name;  /* of the account; NULL: root stays root */
        unsigned fallback; /* user and group ID where that account does not exist, of a reserved range */
};

/*
 * The IDs of that user, from the account database (getpwnam(3), which may load libraries and ask other processes). FAILED_PRECONDITION
 * with a hint when the account is root's, or the fallback ID belongs to another account.
 */
struct error *sandbox_look_up_user(const struct sandbox_user *user, uid_t *ret_uid, gid_t *ret_gid) MUST_USE;

/* IDs that another process has looked up: this one uses them and needs no account database. user->name lives with the process. */
void sandbox_know_user(const struct sandbox_user *user, uid_t uid, gid_t gid);

/*
 * If root: becomes that user. Before sandbox_enter. Not root: stays, for there is no other user to become;
 * sandbox_describe() says so. FAILED_PRECONDITION with a hint when the fallback ID belongs to another account.
 */
struct error *sandbox_become_unprivileged(const struct sandbox_user *user) MUST_USE;

/*
 * If root: gives a directory with all that is in it to that user. Before sandbox_become_unprivileged. Links
 * are not followed; PERMISSION_DENIED for a file with more than one name or of an unrelated owner.
 */
struct error *sandbox_give(const struct sandbox_user *user, const char *dir) MUST_USE;

/* An environment variable: "optional" lets services start on a kernel without Landlock, which otherwise is an error. */
#define SANDBOX_LANDLOCK_SETTING "CTELEPORT_LANDLOCK"

/* What the sandbox of this process consists of, for one log line: "seccomp, landlock 4, no capabilities". */
const char *sandbox_describe(void);

/* For every process, first thing: RLIMIT_CORE 0, not dumpable, umask 0077. */
void process_harden(void);

/*
 * Not dumpable: only root may read the memory of this process. For one that starts a user's programs, which shall inherit
 * neither limits nor umask of ours.
 */
void process_hide(void);

/* Closes every descriptor from `first` on: what a process was not handed it shall not have. */
void process_close_from(int first);

#endif
