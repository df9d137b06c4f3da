/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /users/<name>: a user, as the resource's message.
 */
#ifndef STATE_USER_H
#define STATE_USER_H

#include "role.pb-c.h"
#include "state/state.h"

extern const struct state_kind user_kind;

/* Reads a user, in the arena, with metadata.revision. DATA_LOSS also when its name differs from the key of its record. */
struct error *user_read(struct arena *a, const struct state_record *r, Cteleport__V1__User **ret) MUST_USE;

#endif
