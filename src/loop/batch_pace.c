/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/batch_pace.h"

static void on_timer(void *ctx)
{
        struct batch_pace *p = ctx;

        p->last_count = 0; /* the wait has ended, even if the clock shows less */
        p->due(p->ctx);
}

void batch_pace_init(struct batch_pace *p, struct loop *l, struct batch_pace_options options, void (*due)(void *ctx), void *ctx)
{
        *p = (struct batch_pace){ .loop = l, .options = options, .due = due, .ctx = ctx };
        p->timer = timer_new(l, on_timer, p);
}

void batch_pace_release(struct batch_pace *p)
{
        timer_free(p->timer);
        *p = (struct batch_pace){ 0 };
}

bool batch_pace_may_begin(struct batch_pace *p, size_t waiting)
{
        if (p->last_count < p->options.busy || waiting >= p->options.full)
                return true;
        struct instant due = instant_add(p->began, p->options.pace);
        struct instant now = loop_now(p->loop);
        if (now.ns >= due.ns)
                return true;
        if (!timer_is_running(p->timer))
                timer_start(p->timer, instant_since(due, now));
        return false;
}

void batch_pace_began(struct batch_pace *p, size_t count)
{
        timer_stop(p->timer);
        p->began = loop_now(p->loop);
        p->last_count = count;
}
