/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budget for the memory that a process uses on behalf of its peers: a total, of which each holder may reserve a share
 * at most. Windows of flow control are granted from it, so that limits that multiply (connections, streams, bytes of
 * each) have a bound together.
 *
 * The budget counts granted bytes: a holder that reserves bytes may receive as many, and releases them when they can no
 * longer arrive.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include "base/compiler.h"
#include "base/map.h"
#include "base/str.h"

/* A zeroed struct with total and share set is ready for use. The owner may read `used` and must not access other fields. */
struct budget {
        size_t total, share;
        size_t used;
        struct map holders; /* name -> struct budget_holder */
};
/* Frees the budget; holders must not be used afterwards. */
void budget_release(struct budget *b);

/* The reservations of one holder, counted by reference. */
struct budget_holder;
struct budget_holder *budget_hold(struct budget *b, struct str name) MUST_USE;
void budget_drop(struct budget_holder *h); /* drops a reference; all its bytes must be released before. NULL is ignored */

/* Reserves bytes for the holder; false when the budget or the holder's share has not enough left. */
bool budget_reserve(struct budget_holder *h, size_t bytes) MUST_USE;
/* Releases bytes that the holder reserved. */
void budget_unreserve(struct budget_holder *h, size_t bytes);
size_t budget_held(const struct budget_holder *h);

#endif
