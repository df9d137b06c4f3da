/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common first fields of resources: kind, sub_kind, version and a name.
 */
#ifndef RESOURCE_HEAD_H
#define RESOURCE_HEAD_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "resource.pb-c.h"

/* The valid values of these fields in one kind. */
struct head_kind {
        const char *kind;            /* "role" */
        const char *article;         /* "a role" */
        const char *const *versions; /* accepted versions, the one to write first; ends with NULL */
};

/* Checks the three fields in place and fills in kind and version where they are not given. */
struct error *head_check(const struct head_kind *k, char **kind, char **sub_kind, char **version) MUST_USE;

/*
 * Converts an expiry for the store; 0: never (NULL). A time beyond the range of struct walltime (old guides use the
 * year 3000) becomes the last one in range.
 */
struct walltime timestamp_end(const Cteleport__V1__Timestamp *end);

/* Refuses an expiry in the past. field: its path, for the error. */
struct error *check_not_past(const Cteleport__V1__Timestamp *end, struct walltime now, const char *field) MUST_USE;

/* Whether a text of a message is not set. */
static inline bool is_unset(const char *c)
{
        return c == NULL || *c == '\0';
}

#endif
