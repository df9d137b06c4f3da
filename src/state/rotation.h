/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /rotations/<type of the CA>: the rotation in progress, or the last one; none before the first.
 */
#ifndef STATE_ROTATION_H
#define STATE_ROTATION_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind rotation_kind;

/* Reads a record; DATA_LOSS also for a phase that there is not. */
struct error *rotation_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Rotation **ret) MUST_USE;

/* Adds the record to t, which is ABORTED if the stored one has another revision. */
void rotation_put(struct store_txn *t, const Cteleport__State__V1__Rotation *rotation, uint64_t revision);

#endif
