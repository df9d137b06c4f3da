/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_tries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static void empty(struct app_tries *t)
{
        t->list[0] = '\0';
        t->count = 0;
        free(t->reason);
        t->reason = NULL;
}

void app_tries_release(struct app_tries *t)
{
        empty(t);
        *t = (struct app_tries){ 0 };
}

void app_tries_reset(struct app_tries *t)
{
        empty(t);
        t->is_down = false;
}

void app_tries_give_up(struct app_tries *t, struct instant now)
{
        t->has_alternatives = t->has_alternatives || t->count > 0; /* those that were tried: the connection to the last one may be kept beyond the pause */
        empty(t);
        t->is_down = true;
        t->down_since = now;
}

bool app_tries_another(struct app_tries *t, struct str reason, struct instant now)
{
        bool is_pausing = t->is_down && instant_since(now, t->down_since).ns < MILLISECONDS(PACE_APP_NEXT_HOST).ns;
        size_t len = strlen(t->list);

        if (!t->has_alternatives || is_pausing || t->count + 1 >= LIMIT_DIAL_TRIES) {
                if (t->count > 0)
                        app_tries_give_up(t, now);
                return false;
        }
        snprintf(t->list + len, sizeof t->list - len, "%s%s", len == 0 ? "" : ",", t->host_id);
        t->count++;
        free(t->reason);
        t->reason = escaped(reason);
        return true;
}
