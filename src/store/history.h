/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recent changes of a store, from which a watch can begin: a ring that forgets the oldest when it holds LIMIT_STORE_HISTORY
 * changes or LIMIT_STORE_HISTORY_BYTES.
 *
 * Changes are kept by reference: the ring takes the arena in which a transaction was built, and copies nothing.
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
        size_t bytes;        /* that are kept for them */
        struct arena *arena; /* owned */
};

struct history {
        struct history_entry *ring; /* of LIMIT_STORE_HISTORY entries, from the first one that is added on */
        size_t first, count;        /* entries */
        size_t changes, bytes;      /* of all entries */
        uint64_t forgotten;         /* the newest revision that is not kept */
};

/* Nothing is kept of this revision and older ones. */
void history_init(struct history *h, uint64_t revision);
void history_release(struct history *h);

/* Whether the changes of all revisions from this one on are kept, those to come included. */
bool history_has(const struct history *h, uint64_t from);

/* Adds the changes of a revision, which is newer than all before. changes (heap, at least one) and arena are owned from now on. */
void history_add(struct history *h, uint64_t revision, struct store_change *changes, size_t count, struct arena *arena);

/* Forgets everything, as if it had been too much; revision: the newest that there is. */
void history_forget(struct history *h, uint64_t revision);

/* Calls each for every kept change from a revision on, in order, until it returns false. Nothing may be added meanwhile. */
void history_each(const struct history *h, uint64_t from, bool (*each)(void *ctx, const struct store_change *change), void *ctx);

#endif
