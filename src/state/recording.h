/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /recordings/<session ID>: the stored size and digest of a session's recording.
 * /recordings-removed/<session ID>: the ID of the host of a complete recording that the retention has removed; it expires.
 */
#ifndef STATE_RECORDING_H
#define STATE_RECORDING_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind recording_kind, removed_recording_kind;

struct error *recording_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Recording **ret) MUST_USE;

#endif
