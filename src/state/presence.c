/* SPDX-License-Identifier: Apache-2.0 */
#include "state/presence.h"

const struct state_kind presence_kind = { "presence of a host", STR_INIT("/presence/"), &cteleport__state__v1__presence__descriptor };

struct error *presence_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Presence **ret)
{
        return state_read(a, &presence_kind, r, (ProtobufCMessage **)ret);
}
