/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one user, or one host, may have written on the disk of auth: a number of bytes at once, which comes back evenly within a
 * day. Beyond it nothing is left out of the audit log: what would cause more of it is refused, or ended.
 */
#ifndef AUTH_EVENT_BUDGET_H
#define AUTH_EVENT_BUDGET_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"

/* A zeroed struct with its limits set is ready. The owner may touch nothing else. */
struct event_budget {
        int64_t bytes_per_day;
        const char *what;   /* "audit events", for the sentence that refuses */
        struct map spent;   /* subject -> struct spending; those who have recovered are forgotten */
};
void event_budget_release(struct event_budget *b);

/* So many bytes are written on behalf of the subject ("user alice", "host 1234-…"). */
void event_budget_charge(struct event_budget *b, struct str subject, size_t bytes, struct instant now);

/* RESOURCE_EXHAUSTED when the subject has spent what it may. */
struct error *event_budget_check(struct event_budget *b, struct str subject, struct instant now) MUST_USE;

#endif
