/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name lookups that can be cancelled.
 *
 * getaddrinfo() cannot be cancelled, and with a silent resolver it takes as long as resolv.conf permits. Therefore
 * each name is looked up by a thread of its own, one lookup at a time for each name, and a caller may cancel its wait.
 * At most LIMIT_LOOKUPS names are being looked up.
 *
 * An answer is kept: for PACE_LOOKUP it is fresh, for TIMEOUT_LOOKUP_KEPT it is given at once while it is looked up
 * anew, so that a resolver that falls silent is not noticed at once.
 */
#ifndef NET_LOOKUP_H
#define NET_LOOKUP_H

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

struct loop;

struct lookups;
struct lookups *lookups_new(struct loop *l) MUST_USE;
/* No lookup may be waiting (cancel first). Threads that are still at it end by themselves. NULL is silent. */
void lookups_free(struct lookups *s);

/*
 * Asks for the addresses of a host name. done comes once, from the loop, unless cancelled: with at least one address, as
 * "192.0.2.1,[2001:db8::1]" (borrowed), or an error (owned): UNAVAILABLE, the name does not resolve, or not in time.
 */
struct lookup;
struct lookup *lookup_start(struct lookups *s, struct str host, struct duration within,
                            void (*done)(void *ctx, struct str addresses, struct error *err), void *ctx) MUST_USE;
/* done does not come any more. NULL is silent. */
void lookup_cancel(struct lookup *k);

/* Its addresses are of no use: the next one who asks waits for new ones. */
void lookups_forget(struct lookups *s, struct str host);

#endif
