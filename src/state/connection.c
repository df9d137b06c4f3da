/* SPDX-License-Identifier: Apache-2.0 */
#include "state/connection.h"

const struct state_kind connection_kind = { "connection", STR_INIT("/connections/"), &cteleport__state__v1__connection__descriptor };

struct error *connection_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Connection **ret)
{
        return state_read(a, &connection_kind, r, (ProtobufCMessage **)ret);
}
