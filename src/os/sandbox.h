/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes of processes: each kind of process has a row in sandbox.c with its permissions.
 *
 * Enters no_new_privs, drops capabilities, other users' rights and core dumps, then Landlock, then seccomp (a violation
 * kills). Sanitizer builds have no seccomp filter, as their runtimes need further system calls; sandbox_describe()
 * reports that.
 */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

#include <sys/types.h>

#include "base/error.h"

enum sandbox_kind {
        SANDBOX_SIGNER,         /* one socket, one log file, no paths, no network */
        SANDBOX_AUTHORIZE,      /* one socket, one pipe, no paths, no network */
        SANDBOX_DIAG,           /* an inherited listening socket, no files, no network beyond it */
        SANDBOX_STS,            /* network out, CA bundle and resolver files read-only */
        SANDBOX_AUTH,           /* inherited listening sockets, its store and audit log */
        SANDBOX_PROXY,          /* network, resolver files read-only, nothing else on disk */
        SANDBOX_INSTANCE,       /* network, its directory below data_dir */
        SANDBOX_INSTANCE_LOCAL, /* the same beside its own Auth Service: a socket to it, no network */
        SANDBOX_AWS_SIGN,       /* network, credential files, credential_process children */
        SANDBOX_LABELS,         /* runs the operator's commands, which may use any system call */
        SANDBOX_ACME,           /* network out, resolver files read-only, its directory below data_dir */
        SANDBOX_SSH,            /* network, the socket of helpers, the directory of recordings */
        SANDBOX_APP,            /* network, resolver files read-only, nothing else on disk */
        SANDBOX_KINDS
};

/* Paths in addition to those of the row (resolver files, CA bundles). */
struct sandbox_paths {
        const char *const *read;  /* NULL-terminated or NULL: readable files and trees; missing ones are skipped */
        const char *const *write; /* readable and writable files and trees; must exist */
};

/*
 * Enters the sandbox, which cannot be undone. After an error the process must not continue.
 *
 * To be called while the process has one thread (before the first job on the pool), as Landlock and capabilities apply
 * to threads: FAILED_PRECONDITION otherwise. Open descriptors stay usable.
 */
struct error *sandbox_enter(enum sandbox_kind kind, struct sandbox_paths paths) MUST_USE;

/* The user as which a service runs when it is started by root. Services with the same user are not separated from each other. */
struct sandbox_user {
        const char *name;  /* name of the account; NULL: the process stays root */
        unsigned fallback; /* user and group ID where that account does not exist, of a reserved range */
};

/*
 * The IDs of that user, from the account database (getpwnam(3), which may load libraries and ask other processes). FAILED_PRECONDITION
 * with a hint when the account is root's, or the fallback ID belongs to another account.
 */
struct error *sandbox_look_up_user(const struct sandbox_user *user, uid_t *ret_uid, gid_t *ret_gid) MUST_USE;

/*
 * Sets the IDs of a user that another process has looked up, so that this process does not need the account database.
 * user->name must stay valid as long as the process.
 */
void sandbox_know_user(const struct sandbox_user *user, uid_t uid, gid_t gid);

/*
 * If run by root: changes to that user. To be called before sandbox_enter(). If not run by root: does nothing;
 * sandbox_describe() reports that. FAILED_PRECONDITION with a hint when the fallback ID belongs to another account.
 */
struct error *sandbox_become_unprivileged(const struct sandbox_user *user) MUST_USE;

/*
 * If run by root: changes the owner of a directory and all its files to that user. To be called before
 * sandbox_become_unprivileged(). Links are not followed; PERMISSION_DENIED for a file with several hard links or an
 * unrelated owner.
 */
struct error *sandbox_give(const struct sandbox_user *user, const char *dir) MUST_USE;

/* Makes the directory, unless it exists, makes it the working directory, and gives it to the user. To be called by root, as sandbox_give(). */
struct error *sandbox_take_dir(const struct sandbox_user *user, const char *dir) MUST_USE;

/* An environment variable: "optional" lets services start on a kernel without Landlock, which otherwise is an error. */
#define SANDBOX_LANDLOCK_SETTING "CTELEPORT_LANDLOCK"

/* A description of this process's sandbox for the log: "seccomp, landlock 4, no capabilities". */
const char *sandbox_describe(void);

/* To be called first by every process: sets RLIMIT_CORE 0, not dumpable, umask 0077. */
void process_harden(void);

/*
 * Makes the process not dumpable: only root may read its memory. For a process that starts a user's programs, which
 * must not inherit its limits and umask.
 */
void process_hide(void);

/* Closes every descriptor from `first` on, so that a process has only the descriptors it was passed. */
void process_close_from(int first);

#endif
