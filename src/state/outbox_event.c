/* SPDX-License-Identifier: Apache-2.0 */
#include "state/outbox_event.h"

const struct state_kind outbox_event_kind = { "audit event", STR_INIT("/audit/outbox/"), NULL };
