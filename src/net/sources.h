/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of connections, joins and failures for each source, used by the limits that prevent one unauthenticated peer
 * from using all resources. A source (base/source.h) is an IPv4 address or the /64 of an IPv6 address.
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
        size_t per_known; /* limit of a source that stands for many peers; 0: only the total applies */
        size_t reserve;   /* last units of the total, for sources of authenticated peers */
};

/* "203.0.113.7" of "203.0.113.7:4711", "2001:db8::1" of "[2001:db8::1]:4711"; borrowed from peer. */
struct str address_ip(const char *peer);

/* A zeroed struct with its limits set is ready for use. The owner must not access other fields. */
struct sources {
        struct source_limit limits[SOURCE_COUNTERS];
        /*
         * Whether a source (text of source_of()) stands for many peers in this counter: a Proxy Service, or hosts behind
         * one router. May be NULL.
         */
        bool (*is_known)(void *ctx, enum source_counter which, struct str source);
        void *ctx;
        size_t totals[SOURCE_COUNTERS];
        size_t failing;          /* sources with failures */
        size_t authenticated;    /* sources of authenticated peers */
        uint64_t authenticated_last; /* number of the latest of them */
        struct map table; /* text of source_of() -> struct source */
};
void sources_release(struct sources *s);

/*
 * Counts one unit; false when the total or the source is at its limit (nothing is counted then). `peer` is an address
 * text with port. To be undone with sources_leave() of the same text.
 */
bool sources_enter(struct sources *s, enum source_counter which, const char *peer) MUST_USE;
/* The same without the limit of a source: false only when the total is at its limit. */
bool sources_enter_exempt(struct sources *s, enum source_counter which, const char *peer) MUST_USE;
void sources_leave(struct sources *s, enum source_counter which, const char *peer);

/* The number of units of a source; `address` with or without port. */
size_t sources_count(const struct sources *s, enum source_counter which, struct str address);

/*
 * Marks the source of an authenticated peer: from now on it may use the reserve, and its connections within the limit
 * of a source are not closed to make room for others. The latest LIMIT_SOURCES_AUTHENTICATED sources are stored until
 * the process ends.
 */
void sources_note_authenticated(struct sources *s, const char *peer);

/* Whether the total, and not the source's own limit, is reached. */
bool sources_is_full(const struct sources *s, enum source_counter which, const char *peer);

/*
 * Selects the connection to close in favour of a new one from `peer` when the total is reached: the oldest connection
 * of the source with the most connections, if it has more than the source of `peer`. A source's only connection is
 * exempt for TIMEOUT_UNAUTHENTICATED_EXEMPT. Sources of authenticated peers count as having none while they are within
 * the limit of a source. Usage: begin the selection, pass each candidate, read `who`.
 */
struct source; /* a source with at least one unit */
struct source_pick {
        enum source_counter which;
        size_t per_source, weight;
        struct instant now, since;
        void *who; /* NULL: none is to be closed */
};
struct source_pick source_pick_begin(const struct sources *s, enum source_counter which, const char *peer, struct instant now);
void source_pick_consider(struct source_pick *p, const struct source *source, struct instant since, void *who);

/* The entry of a counted peer's source, valid while the peer is counted. */
const struct source *sources_find(const struct sources *s, const char *peer);

/* Whether err is caused by the client and counts against its source; internal errors and errors of AWS do not. */
bool sources_is_refusal(const struct error *err);

/*
 * Counts a failure (a refused join). Returns the time by which the answer is to be delayed: none for the first
 * LIMIT_FAILURES_PER_MINUTE of a minute, then increasing up to ten seconds.
 */
struct duration sources_failed(struct sources *s, const char *peer, struct instant now);

#endif
