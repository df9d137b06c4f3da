/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /locks/<name>: a lock, as the resource's message.
 */
#ifndef STATE_LOCK_H
#define STATE_LOCK_H

#include "role.pb-c.h"
#include "state/state.h"

extern const struct state_kind lock_kind;

/* Reads a lock, in the arena, with metadata.revision. DATA_LOSS also when its name differs from the key of its record. */
struct error *lock_read(struct arena *a, const struct state_record *r, Cteleport__V1__Lock **ret) MUST_USE;

#endif
