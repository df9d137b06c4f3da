/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process may still do once it is set up: a row per kind of process in sandbox.c.
 *
 * Enters no_new_privs, drops capabilities, other users' rights and core dumps, then seccomp (allow
 * list, violation kills) and Landlock where the kernel has it. In sanitizer builds seccomp is left out,
 * for their runtimes need calls that no service does; sandbox_describe says so.
 */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

#include "base/error.h"

enum sandbox_kind {
        SANDBOX_SIGNER,   /* one socket, one log file, no paths, no network */
        SANDBOX_STS,      /* network out, CA bundle and resolver files read-only */
        SANDBOX_AUTH,     /* listening sockets it was given, its data directory */
        SANDBOX_PROXY,    /* network, nothing on disk */
        SANDBOX_INSTANCE, /* network, its data directory, credential files, credential_process children */
};

struct sandbox_paths {
        const char *const *read;  /* NULL-terminated or NULL: readable trees */
        const char *const *write; /* readable and writable trees */
};

/* Enters; cannot be undone. Failure to enter is an error: the process must not go on. */
struct error *sandbox_enter(enum sandbox_kind kind, struct sandbox_paths paths) MUST_USE;

/* If root: becomes the unprivileged user of this kind ("teleport-proxy", "teleport-sts"; else nobody). Before sandbox_enter. */
struct error *sandbox_become_unprivileged(enum sandbox_kind kind) MUST_USE;

/* For every process, first thing: RLIMIT_CORE 0, not dumpable, umask 0077. */
void process_harden(void);

#endif
