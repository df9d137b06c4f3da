/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/host_pace.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

struct pace_of_host {
        struct instant spent_until; /* when its requests so far will be a burst old */
        struct instant logged;
        uint64_t refused; /* since it was logged */
};

struct sweep {
        struct host_pace *pace;
        struct instant now;
};

static void forget_if_idle(void *ctx, struct str host_id, void *value)
{
        const struct sweep *sweep = ctx;
        const struct pace_of_host *h = value;

        if (h->spent_until.ns <= sweep->now.ns)
                free(map_remove(&sweep->pace->hosts, host_id));
}

static struct pace_of_host *find(struct host_pace *p, struct str host_id, struct instant now)
{
        struct pace_of_host *h = map_get(&p->hosts, host_id);
        struct sweep sweep = { p, now };

        if (h != NULL)
                return h;
        if (p->hosts.count >= LIMIT_EVENT_SUBJECTS && p->hosts.count >= p->sweep_at) {
                map_each(&p->hosts, forget_if_idle, &sweep);
                p->sweep_at = p->hosts.count + p->hosts.count / 2; /* so that not every new host causes a sweep */
        }
        h = NEW(struct pace_of_host);
        h->logged.ns = now.ns - MILLISECONDS(PACE_HOST_LOGGED).ns;
        map_put(&p->hosts, host_id, h);
        return h;
}

static void log_refusal(const struct host_pace *p, struct pace_of_host *h, struct str host_id, struct instant now)
{
        h->refused++;
        if (instant_since(now, h->logged).ns < MILLISECONDS(PACE_HOST_LOGGED).ns)
                return;
        log_warn(p->is_of_users ? "A user is beyond the pace of users, and is refused" : "A host is beyond its pace, and is refused",
                 LOG_STR(p->is_of_users ? "user" : "host_id", host_id), LOG_C("what", p->what), LOG_INT("per_minute", p->per_minute),
                 LOG_INT("refused", (int64_t)h->refused));
        h->logged = now;
        h->refused = 0;
}

struct error *host_pace_take(struct host_pace *p, struct str host_id, struct instant now)
{
        if (p->per_minute == 0)
                return NULL;
        struct pace_of_host *h = find(p, host_id, now);
        int64_t price = MINUTES(1).ns / p->per_minute;
        int64_t begin = h->spent_until.ns > now.ns ? h->spent_until.ns : now.ns;

        if (begin - now.ns <= price * (p->burst - 1)) {
                h->spent_until.ns = begin + price;
                return NULL;
        }
        log_refusal(p, h, host_id, now);
        if (p->is_of_users)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "you send more than %d %s a minute, which is the limit", p->per_minute, p->what),
                                  "try again in a minute; stop the program that causes this in a loop");
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "this host sends more than %d %s a minute, which is the limit", p->per_minute, p->what),
                          "stop the program that causes this in a loop; a host of its own ID for each machine: are two running with this one?");
}

static void free_host(void *ctx, struct str host_id, void *value)
{
        (void)ctx;
        (void)host_id;
        free(value);
}

void host_pace_release(struct host_pace *p)
{
        map_each(&p->hosts, free_host, NULL);
        map_release(&p->hosts);
}
