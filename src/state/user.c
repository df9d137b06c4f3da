/* SPDX-License-Identifier: Apache-2.0 */
#include "state/user.h"

const struct state_kind user_kind = { "user", STR_INIT("/users/"), &cteleport__v1__user__descriptor };

struct error *user_read(struct arena *a, const struct state_record *r, Cteleport__V1__User **ret)
{
        return state_read_named(a, &user_kind, r, (ProtobufCMessage **)ret);
}
