/* SPDX-License-Identifier: Apache-2.0 */
#include "state/server.h"

const struct state_kind server_kind = { "server", STR_INIT("/servers/"), &cteleport__state__v1__server__descriptor };

struct error *server_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Server **ret)
{
        return state_read(a, &server_kind, r, (ProtobufCMessage **)ret);
}

void server_put_web_id(struct str host_id, struct buf *out)
{
        buf_put(out, host_id);
        buf_put_c(out, "/web");
}
