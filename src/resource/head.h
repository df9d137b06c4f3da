/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every resource begins with: kind, sub_kind, version and a name.
 */
#ifndef RESOURCE_HEAD_H
#define RESOURCE_HEAD_H

#include "base/arena.h"
#include "base/error.h"
#include "resource.pb-c.h"

/* How resources of one kind begin. */
struct head_kind {
        const char *kind;            /* "role" */
        const char *article;         /* "a role" */
        const char *const *versions; /* those that are read, the one to write first; ends with NULL */
};

/* Checks the three fields in place and fills in kind and version where they are not given. */
struct error *head_check(const struct head_kind *k, char **kind, char **sub_kind, char **version) MUST_USE;

/* Whether a text of a message was left out. */
static inline bool is_unset(const char *c)
{
        return c == NULL || *c == '\0';
}

#endif
