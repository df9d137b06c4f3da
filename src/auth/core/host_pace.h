/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits the pace of one kind of request of each joined host: so many at once, then one for each interval. A host beyond its pace is refused,
 * with the reason, and logged once in a while with the number of refusals; other hosts are not affected. One kind of requests of users is limited in the same way.
 */
#ifndef AUTH_CORE_HOST_PACE_H
#define AUTH_CORE_HOST_PACE_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"

/* A zeroed struct with its limits set is ready for use; without limits nothing is refused. The owner must not access other fields. */
struct host_pace {
        int per_minute;
        int burst;          /* requests that may come at once */
        const char *what;   /* "certificates", for the texts */
        bool is_of_users;   /* it counts users by their names, in place of hosts */
        struct map hosts;   /* host ID -> struct pace_of_host; hosts that may use their whole burst are removed */
        size_t sweep_at;    /* number of hosts at which those are searched */
};
void host_pace_release(struct host_pace *p);

/* Counts a request. RESOURCE_EXHAUSTED: the host is beyond its pace, and the request is refused. */
struct error *host_pace_take(struct host_pace *p, struct str host_id, struct instant now) MUST_USE;

#endif
