/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a process holds on behalf of its peers: a total, of which one holder has at most a share. Windows of flow control are
 * granted from it, so that limits that multiply (connections, streams, bytes of each) have a bound together.
 *
 * Counts promises: a holder that takes may be sent as much, and gives it back when nothing can come any more.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include "base/compiler.h"
#include "base/map.h"
#include "base/str.h"

/* A zeroed struct with total and share set is ready. The owner may read `used`, and touch nothing. */
struct budget {
        size_t total, share;
        size_t used;
        struct map holders; /* name -> struct budget_holder */
};
/* No holder takes or gives any more. */
void budget_release(struct budget *b);

/* What one holder has; several may hold it. */
struct budget_holder;
struct budget_holder *budget_hold(struct budget *b, struct str name) MUST_USE;
void budget_drop(struct budget_holder *h); /* what it took was given back; NULL is silent */

/* Whether there were so many bytes left, which are the holder's now. */
bool budget_take(struct budget_holder *h, size_t bytes) MUST_USE;
void budget_give(struct budget_holder *h, size_t bytes);
size_t budget_held(const struct budget_holder *h);

#endif
