/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /sessions/<session ID>: a running shell, command or file transfer; records of recorded sessions are kept afterwards.
 */
#ifndef STATE_SESSION_H
#define STATE_SESSION_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind session_kind;

struct error *session_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Session **ret) MUST_USE;

#endif
