/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recent changes of a store, from which a watch can begin: a ring that drops the oldest changes when it exceeds
 * LIMIT_STORE_HISTORY changes or LIMIT_STORE_HISTORY_BYTES.
 *
 * Changes are not copied: the ring takes the arena in which a transaction was built.
 */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include "base/arena.h"
#include "store/backend.h"

/* The changes of one revision. */
struct history_entry {
        uint64_t revision;
        struct store_change *changes; /* heap, owned; at least one */
        size_t count;
        size_t bytes;        /* memory used for them */
        struct arena *arena; /* owned */
};

struct history {
        struct history_entry *ring; /* LIMIT_STORE_HISTORY entries; allocated when the first entry is added */
        size_t first, count;        /* entries */
        size_t changes, bytes;      /* of all entries */
        uint64_t forgotten;         /* the newest revision that was dropped */
};

/* Initialises an empty history; changes up to `revision` are not available. */
void history_init(struct history *h, uint64_t revision);
void history_release(struct history *h);

/* Whether the history has all changes from this revision on, including future ones. */
bool history_has(const struct history *h, uint64_t from);

/* Adds the changes of a revision, which is newer than all others. Takes changes (heap, at least one) and arena. */
void history_add(struct history *h, uint64_t revision, struct store_change *changes, size_t count, struct arena *arena);

/* Drops all changes, as if the limits were exceeded; revision: the newest one. */
void history_forget(struct history *h, uint64_t revision);

/* Calls each for every change from a revision on, in order, until it returns false. No change may be added meanwhile. */
void history_each(const struct history *h, uint64_t from, bool (*each)(void *ctx, const struct store_change *change), void *ctx);

#endif
