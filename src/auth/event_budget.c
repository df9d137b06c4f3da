/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/event_budget.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

struct spending {
        struct instant at;
        int64_t bytes; /* spent and not come back at that time */
};

enum { SECONDS_OF_DAY = 24 * 3600 };

static void recover(const struct event_budget *b, struct spending *s, struct instant now)
{
        int64_t seconds = instant_since(now, s->at).ns / SECONDS(1).ns;

        if (seconds <= 0)
                return;
        s->at = instant_add(s->at, SECONDS(seconds));
        s->bytes = seconds >= SECONDS_OF_DAY ? 0 : s->bytes - b->bytes_per_day / SECONDS_OF_DAY * seconds;
        if (s->bytes < 0)
                s->bytes = 0;
}

struct sweep {
        struct event_budget *budget;
        struct instant now;
};

static void forget_if_recovered(void *ctx, struct str subject, void *value)
{
        const struct sweep *sweep = ctx;
        struct spending *s = value;

        recover(sweep->budget, s, sweep->now);
        if (s->bytes == 0)
                free(map_remove(&sweep->budget->spent, subject));
}

void event_budget_charge(struct event_budget *b, struct str subject, size_t bytes, struct instant now)
{
        struct spending *s = map_get(&b->spent, subject);

        if (s == NULL) {
                struct sweep sweep = { b, now };

                if (b->spent.count >= LIMIT_EVENT_SUBJECTS)
                        map_each(&b->spent, forget_if_recovered, &sweep);
                s = NEW(struct spending);
                s->at = now;
                map_put(&b->spent, subject, s);
        }
        recover(b, s, now);
        s->bytes += (int64_t)bytes;
}

struct error *event_budget_check(struct event_budget *b, struct str subject, struct instant now)
{
        struct spending *s = map_get(&b->spent, subject);

        if (s == NULL)
                return NULL;
        recover(b, s, now);
        if (s->bytes < b->bytes_per_day)
                return NULL;
        AUTO_MEM char *shown = escaped(subject);
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "%s has caused %lld MiB of %s within a day, as many as the cluster takes", shown,
                                    (long long)(b->bytes_per_day / MiB), b->what),
                          "wait, the budget comes back evenly within a day; whatever does this in a loop should stop");
}

static void free_spending(void *ctx, struct str subject, void *value)
{
        (void)ctx;
        (void)subject;
        free(value);
}

void event_budget_release(struct event_budget *b)
{
        map_each(&b->spent, free_spending, NULL);
        map_release(&b->spent);
}
