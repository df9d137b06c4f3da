/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /audit/outbox/<uid>: an audit event that was committed and is not in events.log yet.
 */
#ifndef STATE_OUTBOX_EVENT_H
#define STATE_OUTBOX_EVENT_H

#include "state/state.h"

/* The value of a record is the event's line. */
extern const struct state_kind outbox_event_kind;

#endif
