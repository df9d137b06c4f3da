/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/idle_watch.h"

#include "base/limits.h"
#include "base/buf.h"

static void wait(struct idle_watch *w)
{
        int64_t ms = duration_ms(w->most) / 8;

        if (w->most.ns > 0)
                timer_start(w->timer, MILLISECONDS(ms < PACE_SSH_IDLE_MIN ? PACE_SSH_IDLE_MIN : ms > PACE_SSH_IDLE_MAX ? PACE_SSH_IDLE_MAX : ms));
        else
                timer_stop(w->timer);
}

static void on_turn(void *ctx)
{
        struct idle_watch *w = ctx;
        uint64_t bytes = w->events->traffic(w->ctx);
        struct instant now = loop_now(w->loop);

        if (bytes != w->bytes) {
                w->bytes = bytes;
                w->since = now;
        }
        if (instant_since(now, w->since).ns < w->most.ns + w->grace.ns) {
                wait(w);
                return;
        }
        AUTO(buf) text = BUF_MAX(128);
        duration_put(&text, w->most);
        w->events->expired(w->ctx, error_new(ERROR_DEADLINE_EXCEEDED, "the connection was closed: it had no traffic for %s", buf_c(&text)));
}

void idle_watch_init(struct idle_watch *w, struct loop *l, struct duration grace, const struct idle_watch_events *events, void *ctx)
{
        *w = (struct idle_watch){ .loop = l, .grace = grace, .events = events, .ctx = ctx };
        w->timer = timer_new(l, on_turn, w);
}

void idle_watch_release(struct idle_watch *w)
{
        timer_free(w->timer);
        w->timer = NULL;
}

void idle_watch_start(struct idle_watch *w, int64_t timeout_ms)
{
        w->since = loop_now(w->loop);
        idle_watch_change(w, timeout_ms);
}

void idle_watch_change(struct idle_watch *w, int64_t timeout_ms)
{
        w->most = MILLISECONDS(timeout_ms);
        wait(w);
}

void idle_watch_stop(struct idle_watch *w)
{
        timer_stop(w->timer);
}
