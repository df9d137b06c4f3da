/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/join/attempt.h"
#include "auth/join/attempt_internal.h"
#include "base/limits.h"
#include "net/sources.h"

void attempt_leave(struct attempt *at)
{
        if (!at->is_counted)
                return;
        at->is_counted = false;
        at->source = NULL;
        *at->link = at->next;
        if (at->next != NULL)
                at->next->link = at->link;
        sources_leave(at->auth->sources, SOURCE_JOINS, at->peer);
}

static struct attempt *pick_oldest(struct auth *a, const char *peer)
{
        struct source_pick pick = source_pick_begin(a->sources, SOURCE_JOINS, peer, loop_now(&a->loop));

        for (struct attempt *at = a->joins; at != NULL; at = at->next)
                if (!at->is_waiting && attempt_wants_anything(at))
                        source_pick_consider(&pick, at->source, at->started, at);
        return pick.who;
}

static struct error *no_place(const char *who, int most)
{
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "%s has %d joins under way", who, most), "the agent tries again by itself");
}

struct error *attempt_enter(struct attempt *at, void (*make_room)(struct attempt *oldest))
{
        struct sources *s = at->auth->sources;

        if (!sources_enter(s, SOURCE_JOINS, at->peer)) {
                if (!sources_is_full(s, SOURCE_JOINS, at->peer))
                        return no_place("this address", LIMIT_PENDING_JOINS_PER_SOURCE);
                struct attempt *oldest = pick_oldest(at->auth, at->peer);
                if (oldest != NULL)
                        make_room(oldest);
                if (oldest == NULL || !sources_enter(s, SOURCE_JOINS, at->peer))
                        return no_place("the Auth Service", LIMIT_PENDING_JOINS);
        }
        at->is_counted = true;
        at->source = sources_find(s, at->peer);
        at->next = at->auth->joins;
        at->link = &at->auth->joins;
        if (at->next != NULL)
                at->next->link = &at->next;
        at->auth->joins = at;
        return NULL;
}
