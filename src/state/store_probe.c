/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store_probe.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "store/store.h"

struct store_probe {
        struct store *store;
        struct timer *pace;
        bool is_writing;
        bool is_freed; /* the write that is under way frees it */
};

/* The backend has recorded the result. */
static void on_written(void *ctx, uint64_t revision, struct error *err)
{
        struct store_probe *p = ctx;

        (void)revision;
        error_free(err);
        p->is_writing = false;
        if (p->is_freed)
                free(p);
        else
                timer_start(p->pace, MILLISECONDS(PACE_HEALTH_CHECK));
}

static void on_pace(void *ctx)
{
        struct store_probe *p = ctx;

        p->is_writing = true;
        store_put(p->store, STR("/health/probe"), STR("1"), (struct walltime){ 0 }, on_written, p);
}

struct store_probe *store_probe_new(struct store *s)
{
        if (!metrics_are_on())
                return NULL;
        struct store_probe *p = NEW(struct store_probe);
        *p = (struct store_probe){ .store = s, .pace = timer_new(store_loop(s), on_pace, p) };
        timer_start(p->pace, MILLISECONDS(PACE_HEALTH_CHECK));
        return p;
}

void store_probe_free(struct store_probe *p)
{
        if (p == NULL)
                return;
        timer_free(p->pace);
        p->is_freed = true;
        if (!p->is_writing)
                free(p);
}
