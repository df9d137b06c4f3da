/* SPDX-License-Identifier: Apache-2.0 */
#include "net/cert_watch.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

struct cert_watch {
        struct loop *loop;
        struct cert_watch_options options;
        struct timer *timer;
        struct {
                struct walltime not_after; /* of the certificate that has passed it */
                int mark;
        } last[];
};

static void check(struct cert_watch *w, size_t n, struct duration *next)
{
        struct walltime now = loop_wall(w->loop);
        struct cert_times times = { 0 };
        bool is_there = w->options.times(w->options.ctx, n, &times);
        int mark = is_there ? cert_end_mark(times, now) : CERT_END_FAR;
        bool is_other = mark != CERT_END_FAR && times.not_after.ns != w->last[n].not_after.ns;
        struct duration until = is_there ? cert_end_next(times, now) : *next;

        if (until.ns < next->ns)
                *next = until;
        if (mark == w->last[n].mark && !is_other)
                return;
        w->last[n].mark = mark;
        w->last[n].not_after = times.not_after;
        w->options.passed(w->options.ctx, n, mark, times);
}

static void on_timer(void *ctx)
{
        struct cert_watch *w = ctx;
        struct duration next = MILLISECONDS(PACE_CERT_END_CHECK);

        for (size_t n = 0; n < w->options.count; n++)
                check(w, n, &next);
        timer_start(w->timer, (struct duration){ next.ns + MILLISECONDS(1).ns });
}

struct cert_watch *cert_watch_new(struct loop *l, struct cert_watch_options options)
{
        struct cert_watch *w = mem_alloc(sizeof *w + options.count * sizeof w->last[0]);

        *w = (struct cert_watch){ .loop = l, .options = options };
        for (size_t n = 0; n < options.count; n++) {
                w->last[n].mark = CERT_END_FAR;
                w->last[n].not_after = (struct walltime){ 0 };
        }
        w->timer = timer_new(l, on_timer, w);
        timer_unref(w->timer);
        cert_watch_changed(w);
        return w;
}

void cert_watch_free(struct cert_watch *w)
{
        if (w == NULL)
                return;
        timer_free(w->timer);
        free(w);
}

void cert_watch_changed(struct cert_watch *w)
{
        if (w != NULL)
                timer_start(w->timer, MILLISECONDS(0));
}
