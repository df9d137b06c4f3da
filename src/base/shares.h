/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A number of places that many holders share, so that none takes them all: each may have so many, and the last places
 * are reserved for holders that have few.
 */
#ifndef BASE_SHARES_H
#define BASE_SHARES_H

#include "base/compiler.h"
#include "base/map.h"

struct share_limits {
        size_t total;    /* places there are */
        size_t each;     /* one holder's, at most */
        size_t reserve;  /* the last places, for holders … */
        size_t reserved; /* … that have fewer than this */
};

/* A zeroed struct with its limits set is ready. The owner may touch nothing else. */
struct shares {
        struct share_limits limits;
        size_t total;
        struct map counts; /* holder -> count */
};
void shares_release(struct shares *s);

/* Whether the holder may have one more. */
bool shares_have_room(const struct shares *s, struct str holder);

/* Counts one more, whether there is room or not. Pair with shares_drop(). */
void shares_take(struct shares *s, struct str holder);

/* One less of those that were taken. */
void shares_drop(struct shares *s, struct str holder);

/* How many the holder has. */
size_t shares_count(const struct shares *s, struct str holder);

#endif
