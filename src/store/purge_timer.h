/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer after which a backend removes its expired items.
 */
#ifndef STORE_PURGE_TIMER_H
#define STORE_PURGE_TIMER_H

#include "loop/loop.h"

/*
 * Starts the timer for the time of the next expiry; stops it if that is 0, because no item expires. It fires after `least` at
 * the earliest, so that items which expire together are removed together, and after PACE_STORE_PURGE_CHECK at the latest.
 */
void purge_timer_arm(struct timer *t, const struct loop *l, struct walltime next_expiry, struct duration least);

#endif
