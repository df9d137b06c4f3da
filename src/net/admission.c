/* SPDX-License-Identifier: Apache-2.0 */
#include "net/admission.h"

#include "loop/loop.h"

void admission_leave(struct admitted *a)
{
        if (a->admission == NULL)
                return;
        sources_leave(a->admission->sources, a->admission->counter, a->peer);
        *a->at = a->next;
        if (a->next != NULL)
                a->next->at = a->at;
        *a = (struct admitted){ 0 };
}

/* Ends an admitted one to admit a new one of `peer`; false: none may be ended. */
static bool make_room(struct admission *ad, const char *peer)
{
        struct source_pick pick = source_pick_begin(ad->sources, ad->counter, peer, loop_now(ad->loop));

        for (struct admitted *a = ad->newest; a != NULL; a = a->next)
                if (ad->may_end == NULL || ad->may_end(ad->ctx, a))
                        source_pick_consider(&pick, a->source, a->since, a);
        if (pick.who == NULL)
                return false;
        admission_leave(pick.who);
        ad->end(ad->ctx, pick.who);
        return true;
}

static bool enter(const struct admission *ad, bool is_exempt, const char *peer)
{
        if (is_exempt)
                return sources_enter_exempt(ad->sources, ad->counter, peer);
        return sources_enter(ad->sources, ad->counter, peer);
}

enum admission_result admission_enter(struct admission *ad, struct admitted *a, const char *peer)
{
        bool is_exempt = a->is_exempt;

        if (!enter(ad, is_exempt, peer)) {
                if (!is_exempt && !sources_is_full(ad->sources, ad->counter, peer))
                        return ADMISSION_SOURCE_FULL;
                if (!make_room(ad, peer) || !enter(ad, is_exempt, peer))
                        return ADMISSION_FULL;
        }
        *a = (struct admitted){
                .admission = ad,
                .next = ad->newest,
                .at = &ad->newest,
                .source = sources_find(ad->sources, peer),
                .since = loop_now(ad->loop),
                .peer = peer,
                .is_exempt = is_exempt,
        };
        if (a->next != NULL)
                a->next->at = &a->next;
        ad->newest = a;
        return ADMISSION_GRANTED;
}
