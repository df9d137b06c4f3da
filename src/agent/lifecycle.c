/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lifecycle.h"

#include <malloc.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/sandbox.h"

/* Cancelled operations call back by deferred calls, some of which defer others: the loop stops after as many rounds of them. */
static void stop_loop(void *ctx)
{
        struct lifecycle *c = ctx;

        if (c->turns_left-- > 0)
                loop_defer(c->loop, stop_loop, c);
        else
                loop_stop(c->loop);
}

static void finish(void *ctx)
{
        struct lifecycle *c = ctx;

        timer_stop(c->leave);
        c->events->finish(c->ctx);
        c->agent = NULL;
        c->is_stopping = true; /* an order that comes now is ignored */
        c->turns_left = 4;
        loop_defer(c->loop, stop_loop, c);
}

/* A new process of this service has its tunnels, or does not get them in time. */
static void leave(void *ctx)
{
        struct lifecycle *c = ctx;

        if (!lifecycle_accepts(c))
                return;
        c->has_left = true;
        agent_leave(c->agent);
        lifecycle_connection_gone(c);
}

void lifecycle_init(struct lifecycle *c, struct agent *agent, const char *title, const struct lifecycle_events *events, void *ctx)
{
        *c = (struct lifecycle){ .loop = agent_loop(agent), .agent = agent, .title = title, .events = events, .ctx = ctx };
        c->end = timer_new(c->loop, finish, c);
        c->leave = timer_new(c->loop, leave, c);
}

void lifecycle_release(struct lifecycle *c)
{
        timer_free(c->end);
        timer_free(c->leave);
}

/* Ends all connections with a reason, and reports their ends to the cluster, within the supervisor's timeout. */
void lifecycle_stop(struct lifecycle *c)
{
        if (c->is_stopping)
                return;
        AUTO_MEM char *why = mem_printf("the %s of this host was stopped", c->title);

        c->is_stopping = true;
        timer_start(c->end, MILLISECONDS(TIMEOUT_SSH_STOP));
        agent_drain(c->agent);
        c->events->end_all(c->ctx, why);
        lifecycle_connection_gone(c);
}

void lifecycle_connection_gone(struct lifecycle *c)
{
        if (c->agent != NULL && (c->is_draining || c->is_stopping || c->has_left) && c->events->open(c->ctx) == 0)
                timer_start(c->end, MILLISECONDS(1));
}

void lifecycle_drain(struct lifecycle *c)
{
        if (!lifecycle_accepts(c))
                return;
        c->is_draining = true;
        agent_drain(c->agent);
        lifecycle_connection_gone(c);
}

/*
 * A new process of this service runs. The proxies send new connections through its tunnels as soon as these are open; until then
 * they come here, so that this host can be reached all the time.
 */
void lifecycle_replace(struct lifecycle *c)
{
        if (!lifecycle_accepts(c) || c->has_left)
                return;
        if (c->is_replaced) {
                log_info("The new process of this service has its tunnels, and accepts all new connections");
                timer_start(c->leave, MILLISECONDS(1));
                return;
        }
        c->is_replaced = true;
        agent_drain(c->agent);
        timer_start(c->leave, MILLISECONDS(TIMEOUT_TUNNEL_HANDOVER));
}

int lifecycle_run(const struct lifecycle_main *m)
{
        mallopt(M_ARENA_MAX, 1); /* one arena for all threads: the pool only ever holds small copies */
        struct error *err = loop_init(m->loop, NULL);
        if (err == NULL)
                err = m->set_up(m->ctx);
        if (err != NULL) {
                service_fatal(m->service, err);
                return 1;
        }
        log_info("Service is starting", LOG_C("service", m->title), LOG_C("sandbox", sandbox_describe()));
        service_ready(m->service); /* ready without an identity, which the cluster issues later: until then no client can connect */
        loop_run(m->loop);
        m->tear_down(m->ctx);
        return 0;
}
