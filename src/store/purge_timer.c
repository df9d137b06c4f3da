/* SPDX-License-Identifier: Apache-2.0 */
#include "store/purge_timer.h"

#include "base/limits.h"

void purge_timer_arm(struct timer *t, const struct loop *l, struct walltime next_expiry, struct duration least)
{
        const struct duration most = MILLISECONDS(PACE_STORE_PURGE_CHECK);

        if (next_expiry.ns == 0) {
                timer_stop(t);
                return;
        }
        struct duration wait = walltime_since(next_expiry, loop_wall(l));
        timer_start(t, wait.ns < least.ns ? least : wait.ns > most.ns ? most : wait);
}
