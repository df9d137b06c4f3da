/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/event_budget.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

struct spending {
        struct instant at;
        int64_t bytes; /* bytes charged and not yet recovered at that time */
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

                if (b->spent.count >= LIMIT_EVENT_SUBJECTS && b->spent.count >= b->sweep_at) {
                        map_each(&b->spent, forget_if_recovered, &sweep);
                        b->sweep_at = b->spent.count + b->spent.count / 2; /* so that not every new subject causes a sweep */
                }
                s = NEW(struct spending);
                s->at = now;
                map_put(&b->spent, subject, s);
        }
        recover(b, s, now);
        s->bytes += (int64_t)bytes;
}

static int64_t spent_by(struct event_budget *b, struct str subject, struct instant now)
{
        struct spending *s = map_get(&b->spent, subject);

        if (s == NULL)
                return 0;
        recover(b, s, now);
        return s->bytes;
}

bool event_budget_is_spent(struct event_budget *b, struct str subject, struct instant now)
{
        return b->bytes_per_day != 0 && spent_by(b, subject, now) >= b->bytes_per_day;
}

bool event_budget_is_exceeded(struct event_budget *b, struct str subject, struct instant now)
{
        return b->bytes_per_day != 0 && spent_by(b, subject, now) >= 2 * b->bytes_per_day;
}

struct error *event_budget_check(struct event_budget *b, struct str subject, struct instant now)
{
        if (spent_by(b, subject, now) < b->bytes_per_day)
                return NULL;
        AUTO_MEM char *shown = escaped(subject);
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "%s has caused %lld MiB of %s within a day, which is the limit", shown,
                                    (long long)(b->bytes_per_day / MiB), b->what),
                          "wait: the budget refills evenly within a day; stop the program that causes this in a loop");
}

void event_budget_forget(struct event_budget *b, struct str subject)
{
        free(map_remove(&b->spent, subject));
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

/* ---- one user on many nodes ------------------------------------------------------------------------------------ */

static char *pair_of(struct str user, struct str host_id)
{
        return mem_printf("%.*s %.*s", STR_ARG(host_id), STR_ARG(user)); /* host IDs contain no spaces */
}

void user_budget_charge(struct user_budget *b, struct str user, struct str host_id, size_t bytes, struct instant now)
{
        AUTO_MEM char *pair = pair_of(user, host_id);

        if (b->all.bytes_per_day == 0)
                return;
        int64_t left = b->on_node.bytes_per_day - spent_by(&b->on_node, str_of(pair), now);
        event_budget_charge(&b->on_node, str_of(pair), bytes, now);
        if (left > 0)
                event_budget_charge(&b->all, user, (int64_t)bytes < left ? bytes : (size_t)left, now);
}

struct error *user_budget_check(struct user_budget *b, struct str user, struct str host_id, struct instant now)
{
        AUTO_MEM char *pair = pair_of(user, host_id);
        AUTO_MEM char *shown = escaped(user);

        if (b->all.bytes_per_day == 0)
                return NULL;
        int64_t here = spent_by(&b->on_node, str_of(pair), now);
        if (here >= b->on_node.bytes_per_day)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "user %s has caused %lld MiB of %s within a day on this node, which is the limit",
                                            shown, (long long)(b->on_node.bytes_per_day / MiB), b->on_node.what),
                                  "wait: the budget refills evenly within a day; stop the program that causes this in a loop");
        if (here >= b->reserve && spent_by(&b->all, user, now) >= b->all.bytes_per_day)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "user %s has caused %lld MiB of %s within a day on all nodes, which is the limit",
                                            shown, (long long)(b->all.bytes_per_day / MiB), b->all.what),
                                  "wait: the budget refills evenly within a day; stop the program that causes this in a loop. Nodes on which the user has caused few events can still be used");
        return NULL;
}

bool user_budget_is_exceeded(struct user_budget *b, struct str user, struct str host_id, struct instant now)
{
        AUTO_MEM char *pair = pair_of(user, host_id);

        return event_budget_is_exceeded(&b->on_node, str_of(pair), now);
}

void user_budget_release(struct user_budget *b)
{
        event_budget_release(&b->all);
        event_budget_release(&b->on_node);
}
