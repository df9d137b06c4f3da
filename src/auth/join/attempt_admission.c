/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the joins in progress by source (attempt_internal.h). */
#include "auth/join/attempt.h"
#include "auth/join/attempt_internal.h"
#include "base/limits.h"

static struct attempt *attempt_of(struct admitted *a)
{
        return CONTAINER_OF(a, struct attempt, admitted);
}

/* Whether the attempt waits for a message of its host; other attempts are failing, or auth works on them. */
static bool may_end(void *ctx, const struct admitted *a)
{
        const struct attempt *at = CONTAINER_OF(a, const struct attempt, admitted);

        (void)ctx;
        return !at->is_waiting && attempt_awaits_message(at);
}

static void end(void *ctx, struct admitted *a)
{
        (void)ctx;
        attempt_end_for_another(attempt_of(a));
}

static struct error *too_many(const char *where, int most)
{
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "%s has %d running joins", where, most), "the agent tries again by itself");
}

struct error *attempt_enter(struct attempt *at)
{
        struct auth *a = at->auth;

        a->joins.loop = &a->loop;
        a->joins.sources = a->sources;
        a->joins.counter = SOURCE_JOINS;
        a->joins.end = end;
        a->joins.may_end = may_end;
        switch (admission_enter(&a->joins, &at->admitted, at->peer)) {
        case ADMISSION_SOURCE_FULL:
                return too_many("this address", LIMIT_PENDING_JOINS_PER_SOURCE);
        case ADMISSION_FULL:
                return too_many("the Auth Service", LIMIT_PENDING_JOINS);
        case ADMISSION_GRANTED:
                break;
        }
        at->admitted.since = at->started;
        return NULL;
}
