/* SPDX-License-Identifier: Apache-2.0 */
#include "state/app.h"

const struct state_kind app_kind = { "app", STR_INIT("/apps/"), &cteleport__v1__app__descriptor };

struct error *app_read(struct arena *a, const struct state_record *r, Cteleport__V1__App **ret)
{
        return state_read_named(a, &app_kind, r, (ProtobufCMessage **)ret);
}
