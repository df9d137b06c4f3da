/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much each source address has under way, and how often it failed: the counters behind the limits
 * that keep one stranger from taking what is there for all.
 */
#ifndef NET_SOURCES_H
#define NET_SOURCES_H

#include "base/clock.h"
#include "base/map.h"
#include "base/str.h"

enum source_counter { SOURCE_CONNECTIONS, SOURCE_JOINS, SOURCE_COUNTERS };

struct source_limit {
        size_t total;
        size_t per_source;
};

/* A zeroed struct with its limits set is ready. Owner may touch nothing else. */
struct sources {
        struct source_limit limits[SOURCE_COUNTERS];
        size_t totals[SOURCE_COUNTERS];
        struct map table; /* address without port -> struct source */
};
void sources_release(struct sources *s);

/*
 * Counts one more; false when the total or the source is at its limit (nothing is counted then). `peer`
 * is an address text with port. Pair with sources_leave() of the same text.
 */
bool sources_enter(struct sources *s, enum source_counter which, const char *peer) MUST_USE;
void sources_leave(struct sources *s, enum source_counter which, const char *peer);

/*
 * Notes a failure (a refused join). Returns how long the answer should be held back: nothing for the
 * first LIMIT_FAILURES_PER_MINUTE of a minute, then ever longer up to ten seconds.
 */
struct duration sources_failed(struct sources *s, const char *peer, struct instant now);

#endif
