/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds that a connection has had no traffic for the time that the user's roles permit (client_idle_timeout). It checks eight times
 * within that time, so that the end is at most an eighth late.
 */
#ifndef AGENT_IDLE_WATCH_H
#define AGENT_IDLE_WATCH_H

#include "base/error.h"
#include "loop/loop.h"

struct idle_watch_events {
        uint64_t (*traffic)(void *ctx);                /* the number of bytes so far, in both directions together */
        void (*expired)(void *ctx, struct error *err); /* err is owned, and for the user */
};

/* Part of a connection, which does not access the fields. A zeroed one may be stopped and released. */
struct idle_watch {
        const struct idle_watch_events *events;
        void *ctx;
        struct loop *loop;
        struct timer *timer; /* running: the next check */
        struct duration most, grace;
        uint64_t bytes; /* at the last check */
        struct instant since;
};

/* grace: the connection ends that much later than its timeout. */
void idle_watch_init(struct idle_watch *w, struct loop *l, struct duration grace, const struct idle_watch_events *events, void *ctx);
void idle_watch_release(struct idle_watch *w);

/* The connection is open, and idle from now on. timeout_ms 0: it may be idle for ever. */
void idle_watch_start(struct idle_watch *w, int64_t timeout_ms);
/* The user's roles have changed; the time without traffic so far counts. */
void idle_watch_change(struct idle_watch *w, int64_t timeout_ms);
void idle_watch_stop(struct idle_watch *w);

#endif
