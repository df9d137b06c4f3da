/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /roles/<name>: a role, as the resource's message.
 */
#ifndef STATE_ROLE_H
#define STATE_ROLE_H

#include "role.pb-c.h"
#include "state/state.h"

extern const struct state_kind role_kind;

/* Reads a role, in the arena, with metadata.revision. DATA_LOSS also when its name differs from the key of its record. */
struct error *role_read(struct arena *a, const struct state_record *r, Cteleport__V1__Role **ret) MUST_USE;

#endif
