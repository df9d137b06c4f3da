/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /apps/<name>: an application, as the resource's message.
 */
#ifndef STATE_APP_H
#define STATE_APP_H

#include "resource.pb-c.h"
#include "state/state.h"

extern const struct state_kind app_kind;

/* Reads an application, in the arena, with metadata.revision. DATA_LOSS also when its name differs from the key of its record. */
struct error *app_read(struct arena *a, const struct state_record *r, Cteleport__V1__App **ret) MUST_USE;

#endif
