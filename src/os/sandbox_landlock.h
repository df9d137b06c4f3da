/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restricts the files that a process may access, with Landlock (kernel 5.13 and later). Private to sandbox.c.
 */
#ifndef OS_SANDBOX_LANDLOCK_H
#define OS_SANDBOX_LANDLOCK_H

#include "base/error.h"

struct landlock_rules {
        const char *const *reads[2]; /* NULL-terminated lists, or NULL; missing files are skipped */
        const char *const *writes;   /* must exist */
        bool may_execute;            /* may execute readable files; such programs may connect to abstract sockets */
};

/* Restricts this thread and its children. *ret_abi is 0 when the kernel has no Landlock: nothing is restricted then. */
struct error *landlock_enter(const struct landlock_rules *rules, int *ret_abi) MUST_USE;

#endif
