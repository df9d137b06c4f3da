/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one user, or one host, may have written on the disk of auth: a number of bytes at once, which comes back evenly within a
 * day. Beyond it nothing is left out of the audit log: what would cause more of it is refused, or ended.
 */
#ifndef AUTH_CORE_EVENT_BUDGET_H
#define AUTH_CORE_EVENT_BUDGET_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"

/* A zeroed struct with its limits set is ready. The owner may touch nothing else. */
struct event_budget {
        int64_t bytes_per_day;
        const char *what;   /* "audit events", for the sentence that refuses */
        struct map spent;   /* subject -> struct spending; those who have recovered are forgotten */
        size_t sweep_at;    /* subjects, until those are looked for */
};
void event_budget_release(struct event_budget *b);

/* So many bytes are written on behalf of the subject ("user alice", "host 1234-…"). */
void event_budget_charge(struct event_budget *b, struct str subject, size_t bytes, struct instant now);

/* RESOURCE_EXHAUSTED when the subject has spent what it may. */
struct error *event_budget_check(struct event_budget *b, struct str subject, struct instant now) MUST_USE;

/*
 * The subject has spent twice what it may: it goes on although it was ordered to end, which no agent of ours does. Its events are
 * refused from then on.
 */
bool event_budget_is_overdrawn(struct event_budget *b, struct str subject, struct instant now) MUST_USE;

/* ---- one user on many nodes ------------------------------------------------------------------------------------ */

/*
 * A user's events are reported by nodes, and a captured node can invent events of a user who has connected to it. So each node spends
 * a budget of its own for each user, and adds no more than that to what the user has spent everywhere; and when that is spent, the
 * user may still go where they have spent little. A node shuts users out of itself, and of no other.
 *
 * A zeroed struct checks and charges nothing.
 */
struct user_budget {
        struct event_budget all;     /* by user */
        struct event_budget on_node; /* by user and node */
        int64_t reserve;             /* bytes that a user may spend on each node beyond what is left of `all` */
};
void user_budget_release(struct user_budget *b);

void user_budget_charge(struct user_budget *b, struct str user, struct str host_id, size_t bytes, struct instant now);

/* RESOURCE_EXHAUSTED when the user has spent what they may on this node. */
struct error *user_budget_check(struct user_budget *b, struct str user, struct str host_id, struct instant now) MUST_USE;

/* The same as event_budget_is_overdrawn(), on this node. */
bool user_budget_is_overdrawn(struct user_budget *b, struct str user, struct str host_id, struct instant now) MUST_USE;

#endif
