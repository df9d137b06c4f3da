/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock (kernel 5.13 and later): which files a process may still reach. For sandbox.c only.
 */
#ifndef OS_SANDBOX_LANDLOCK_H
#define OS_SANDBOX_LANDLOCK_H

#include "base/error.h"

struct landlock_wish {
        const char *const *reads[2]; /* NULL-terminated lists, or NULL; what is not there is skipped */
        const char *const *writes;   /* must be there */
        bool may_execute;            /* what it may read; and such a program may look for abstract sockets */
};

/* Restricts this thread and its children. *ret_abi is 0 when the kernel has no Landlock: nothing happened then. */
struct error *landlock_enter(const struct landlock_wish *wish, int *ret_abi) MUST_USE;

#endif
