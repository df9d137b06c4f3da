/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous host name lookups that can be cancelled.
 *
 * getaddrinfo() cannot be cancelled, and takes as long as resolv.conf permits when the resolver does not answer.
 * Therefore each name is looked up by a thread of its own, one lookup at a time for each name, and a caller may cancel
 * its wait. At most LIMIT_LOOKUPS names are looked up at a time.
 *
 * Answers are cached: for PACE_LOOKUP an answer counts as fresh; for TIMEOUT_LOOKUP_CACHED it is returned at once while
 * the name is looked up again, so that a short outage of the resolver has no effect.
 */
#ifndef NET_LOOKUP_H
#define NET_LOOKUP_H

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

struct loop;

struct lookups;
struct lookups *lookups_new(struct loop *l) MUST_USE;
/* Frees the cache. No lookup may be pending (cancel first). Running threads end by themselves. NULL is ignored. */
void lookups_free(struct lookups *s);

/*
 * Looks up the addresses of a host name. done is called once, from the loop, unless cancelled: with at least one
 * address, as "192.0.2.1,[2001:db8::1]" (borrowed), or an error (owned): UNAVAILABLE when the name does not resolve in
 * time.
 */
struct lookup;
struct lookup *lookup_start(struct lookups *s, struct str host, struct duration within,
                            void (*done)(void *ctx, struct str addresses, struct error *err), void *ctx) MUST_USE;
/* Cancels: done is not called. NULL is ignored. */
void lookup_cancel(struct lookup *k);

/* Drops the cached addresses of a host, which did not work: the next lookup waits for new ones. */
void lookups_forget(struct lookups *s, struct str host);

#endif
