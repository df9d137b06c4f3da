/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /connections/<connection ID>: an SSH connection that was dialled and has not ended.
 */
#ifndef STATE_CONNECTION_H
#define STATE_CONNECTION_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind connection_kind;

struct error *connection_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Connection **ret) MUST_USE;

#endif
