/* SPDX-License-Identifier: Apache-2.0 */
#include "state/role.h"

const struct state_kind role_kind = { "role", STR_INIT("/roles/"), &cteleport__v1__role__descriptor };

struct error *role_read(struct arena *a, const struct state_record *r, Cteleport__V1__Role **ret)
{
        return state_read_named(a, &role_kind, r, (ProtobufCMessage **)ret);
}
