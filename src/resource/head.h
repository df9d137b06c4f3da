/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every resource begins with: kind, sub_kind, version and a name.
 */
#ifndef RESOURCE_HEAD_H
#define RESOURCE_HEAD_H

#include "base/arena.h"
#include "base/clock.h"
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

/*
 * When something ends, for the store; 0: never (NULL). A moment beyond what struct walltime can hold (guides
 * of old end things in the year 3000) becomes the last one that it can.
 */
struct walltime timestamp_end(const Cteleport__V1__Timestamp *end);

/* Refuses an end that has passed already. field: its path, for the sentence. */
struct error *check_not_past(const Cteleport__V1__Timestamp *end, struct walltime now, const char *field) MUST_USE;

/* Whether a text of a message was left out. */
static inline bool is_unset(const char *c)
{
        return c == NULL || *c == '\0';
}

#endif
