/* SPDX-License-Identifier: Apache-2.0 */
#include "state/session.h"

const struct state_kind session_kind = { "session", STR_INIT("/sessions/"), &cteleport__state__v1__session__descriptor };

struct error *session_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Session **ret)
{
        return state_read(a, &session_kind, r, (ProtobufCMessage **)ret);
}
