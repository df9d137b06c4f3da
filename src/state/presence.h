/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /presence/<host ID>: what a connected agent announces; it expires unless the agent reports again.
 */
#ifndef STATE_PRESENCE_H
#define STATE_PRESENCE_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind presence_kind;

struct error *presence_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Presence **ret) MUST_USE;

#endif
