/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much each source has under way, and how often it failed: the counters behind the limits that keep one
 * unauthenticated peer from taking what is there for all. A source is what base/source.h says: an IPv4 address or the /64
 * of an IPv6 one.
 */
#ifndef NET_SOURCES_H
#define NET_SOURCES_H

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/source.h"
#include "base/str.h"

enum source_counter { SOURCE_CONNECTIONS, SOURCE_JOINS, SOURCE_SSH, SOURCE_TUNNELS, SOURCE_PASSED, SOURCE_COUNTERS };

struct source_limit {
        size_t total;
        size_t per_source;
        size_t per_known; /* of a source that stands for many; 0: only the total counts for it */
        size_t reserve;   /* of the total, the last places: for sources that authenticated peers came from */
};

/* "203.0.113.7" of "203.0.113.7:4711", "2001:db8::1" of "[2001:db8::1]:4711"; borrowed from peer. */
struct str address_ip(const char *peer);

/* A zeroed struct with its limits set is ready. Owner may touch nothing else. */
struct sources {
        struct source_limit limits[SOURCE_COUNTERS];
        /* Sources (texts of source_of()) that stand for many: a proxy of ours, members behind one router. May be NULL. */
        bool (*is_known)(void *ctx, struct str source);
        void *ctx;
        size_t totals[SOURCE_COUNTERS];
        size_t failing;          /* sources with failures */
        size_t authenticated;    /* sources that authenticated peers came from */
        uint64_t authenticated_last; /* number of the latest of them */
        struct map table; /* text of source_of() -> struct source */
};
void sources_release(struct sources *s);

/*
 * Counts one more; false when the total or the source is at its limit (nothing is counted then). `peer`
 * is an address text with port. Pair with sources_leave() of the same text.
 */
bool sources_enter(struct sources *s, enum source_counter which, const char *peer) MUST_USE;
void sources_leave(struct sources *s, enum source_counter which, const char *peer);

/* What a source has under way; `address` with or without port. */
size_t sources_count(const struct sources *s, enum source_counter which, struct str address);

/*
 * An authenticated peer came from here: from now on the source may use the reserve, and what it has within the limit of a
 * source is not given up for others. The latest LIMIT_SOURCES_AUTHENTICATED are remembered, until the process ends.
 */
void sources_note_authenticated(struct sources *s, const char *peer);

/* Whether it was not the source's own limit but the total that sources_enter() would meet. */
bool sources_is_full(const struct sources *s, enum source_counter which, const char *peer);

/*
 * Which of the connections there are makes room for one more from `peer` when all places are taken: the oldest of the source
 * that has most, if that has more than `peer`'s own. A source's only one is spared for TIMEOUT_UNAUTHENTICATED_SPARED. Sources that
 * authenticated peers came from count as having nothing while they are within the limit of a source. Begin it, show it each
 * connection that could go, read `who`.
 */
struct source; /* a source that has something under way */
struct source_pick {
        enum source_counter which;
        size_t per_source, weight;
        struct instant now, since;
        void *who; /* NULL: nobody has to go */
};
struct source_pick source_pick_begin(const struct sources *s, enum source_counter which, const char *peer, struct instant now);
void source_pick_consider(struct source_pick *p, const struct source *source, struct instant since, void *who);

/* The source of somebody who was counted, as long as they are. */
const struct source *sources_find(const struct sources *s, const char *peer);

/* Whether err is somebody's own fault, and counts against its source; trouble of ours or of AWS does not. */
bool sources_is_refusal(const struct error *err);

/*
 * Notes a failure (a refused join). Returns how long the answer should be held back: nothing for the
 * first LIMIT_FAILURES_PER_MINUTE of a minute, then ever longer up to ten seconds.
 */
struct duration sources_failed(struct sources *s, const char *peer, struct instant now);

#endif
