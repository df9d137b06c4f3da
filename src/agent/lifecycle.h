/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the process of an agent service ends: at an order to stop, after it was drained, and when a new process of the service
 * takes over.
 *
 *     running ── drain ───▶ draining: the last connection ends it ────────────────────────────────▶ finish, end of the loop
 *        ├────── replace ─▶ replaced ── the new process has its tunnels, or TIMEOUT_TUNNEL_HANDOVER ─▶ left: as draining
 *        └────── stop ────▶ stopping: all connections are ended, TIMEOUT_SSH_STOP at most
 */
#ifndef AGENT_LIFECYCLE_H
#define AGENT_LIFECYCLE_H

#include "agent/agent.h"

struct lifecycle_events {
        size_t (*open)(const void *ctx);              /* the number of connections, reports of their ends included */
        void (*end_all)(void *ctx, const char *why);  /* ends all connections, and tells their users why */
        void (*finish)(void *ctx);                    /* closes everything: the loop ends some turns later */
};

/* Owned by the service, which reads the fields up to has_left. */
struct lifecycle {
        bool is_stopping, is_draining;
        bool is_replaced, has_left; /* a new process takes over; the proxies send no more connections here */

        struct loop *loop;
        struct agent *agent;
        const char *title; /* "SSH Service" */
        const struct lifecycle_events *events;
        void *ctx;
        struct timer *leave; /* running: a new process takes over */
        struct timer *end;   /* running: the process is about to end */
        unsigned turns_left; /* turns of the loop before the end */
};

/* Everything is borrowed. The agent must live until finish(). */
void lifecycle_init(struct lifecycle *c, struct agent *agent, const char *title, const struct lifecycle_events *events, void *ctx);
/* May be called before lifecycle_init(), with a zeroed struct. */
void lifecycle_release(struct lifecycle *c);

/*
 * The main of such a process: makes the loop, calls set_up, reports that the service is ready, runs the loop, and calls tear_down, which
 * releases the loop. Returns the exit code; a failed set_up is reported to the supervisor.
 */
struct lifecycle_main {
        struct service *service;
        struct loop *loop;
        const char *title;
        struct error *(*set_up)(void *ctx);
        void (*tear_down)(void *ctx);
        void *ctx;
};
int lifecycle_run(const struct lifecycle_main *m);

/* The orders of the supervisor. */
void lifecycle_stop(struct lifecycle *c);
void lifecycle_drain(struct lifecycle *c);
void lifecycle_replace(struct lifecycle *c);

/* To be called when a connection has been freed: while draining, the last one ends the process. */
void lifecycle_connection_gone(struct lifecycle *c);

/* Whether the process accepts new connections. */
static inline bool lifecycle_accepts(const struct lifecycle *c)
{
        return !c->is_stopping && !c->is_draining;
}

#endif
