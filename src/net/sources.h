/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much each source address has under way, and how often it failed: the counters behind the limits
 * that keep one stranger from taking what is there for all.
 */
#ifndef NET_SOURCES_H
#define NET_SOURCES_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"

enum source_counter { SOURCE_CONNECTIONS, SOURCE_JOINS, SOURCE_SSH, SOURCE_TUNNELS, SOURCE_COUNTERS };

struct source_limit {
        size_t total;
        size_t per_source;
        size_t per_known; /* of an address that stands for many; 0: only the total counts for it */
};

/* "203.0.113.7" of "203.0.113.7:4711", "2001:db8::1" of "[2001:db8::1]:4711"; borrowed from peer. */
struct str address_ip(const char *peer);

/* A zeroed struct with its limits set is ready. Owner may touch nothing else. */
struct sources {
        struct source_limit limits[SOURCE_COUNTERS];
        /* Addresses (without port) that are known to stand for many: a proxy of ours, members behind one router. May be NULL. */
        bool (*is_known)(void *ctx, struct str address);
        void *ctx;
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

/* What an address (without port) has under way. */
size_t sources_count(const struct sources *s, enum source_counter which, struct str address);

/* Whether err is somebody's own fault, and counts against its source; trouble of ours or of AWS does not. */
bool sources_is_refusal(const struct error *err);

/*
 * Notes a failure (a refused join). Returns how long the answer should be held back: nothing for the
 * first LIMIT_FAILURES_PER_MINUTE of a minute, then ever longer up to ten seconds.
 */
struct duration sources_failed(struct sources *s, const char *peer, struct instant now);

#endif
