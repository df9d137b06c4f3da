/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Divides a limited number of units among holders so that none can use all: each holder has a maximum, and the last
 * units are reserved for holders that have few.
 */
#ifndef BASE_SHARES_H
#define BASE_SHARES_H

#include "base/compiler.h"
#include "base/map.h"

struct share_limits {
        size_t total;    /* number of units */
        size_t each;     /* maximum of one holder */
        size_t reserve;  /* the last units, for holders … */
        size_t reserved; /* … that have fewer than this */
};

/* A zeroed struct with its limits set is ready for use. The owner must not access other fields. */
struct shares {
        struct share_limits limits;
        size_t total;
        struct map counts; /* holder -> count */
};
void shares_release(struct shares *s);

/* Whether the holder may have one more. */
bool shares_have_room(const struct shares *s, struct str holder);

/* Counts one unit, even beyond the limits. To be undone with shares_remove(). */
void shares_add(struct shares *s, struct str holder);

/* Releases one unit of shares_add(). */
void shares_remove(struct shares *s, struct str holder);

/* The number of units of the holder. */
size_t shares_count(const struct shares *s, struct str holder);

#endif
