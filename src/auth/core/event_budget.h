/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits the bytes of audit events that one user or one host may cause on the disk of the Auth Service: a budget that
 * refills evenly within a day. When it is spent, no event is left out of the audit log: actions that would cause more
 * events are refused, and connections ended.
 */
#ifndef AUTH_CORE_EVENT_BUDGET_H
#define AUTH_CORE_EVENT_BUDGET_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"

/* A zeroed struct with its limits set is ready for use. The owner must not access other fields. */
struct event_budget {
        int64_t bytes_per_day;
        const char *what;   /* "audit events", for the error text */
        struct map spent;   /* subject -> struct spending; subjects with a full budget are removed */
        size_t sweep_at;    /* number of subjects at which those are searched */
};
void event_budget_release(struct event_budget *b);

/* Charges `bytes` to the subject ("user alice", "host 1234-…"). */
void event_budget_charge(struct event_budget *b, struct str subject, size_t bytes, struct instant now);

/* RESOURCE_EXHAUSTED when the budget of the subject is spent. */
struct error *event_budget_check(struct event_budget *b, struct str subject, struct instant now) MUST_USE;
/* The same, for an error text of the caller. A zeroed budget is never spent. */
bool event_budget_is_spent(struct event_budget *b, struct str subject, struct instant now) MUST_USE;

/*
 * Whether the subject has spent twice its budget. It then continues although it was ordered to end, which our agents
 * never do, so its events are refused from then on.
 */
bool event_budget_is_exceeded(struct event_budget *b, struct str subject, struct instant now) MUST_USE;

/* The subject will cause no more events. */
void event_budget_forget(struct event_budget *b, struct str subject);

/* ---- one user on many nodes ------------------------------------------------------------------------------------ */

/*
 * A user's events are reported by nodes, and a captured node can invent events of a user who has connected to it. So
 * each node has a budget of its own for each user, and charges at most that to the user's total. When the total is
 * spent, the user may still use nodes on which they have spent little. A node can thereby exclude users from itself
 * only.
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

/* RESOURCE_EXHAUSTED when the user's budget on this node is spent. */
struct error *user_budget_check(struct user_budget *b, struct str user, struct str host_id, struct instant now) MUST_USE;

/* The same as event_budget_is_exceeded(), on this node. */
bool user_budget_is_exceeded(struct user_budget *b, struct str user, struct str host_id, struct instant now) MUST_USE;

#endif
