/* SPDX-License-Identifier: Apache-2.0 */
#include "state/lock.h"

const struct state_kind lock_kind = { "lock", STR_INIT("/locks/"), &cteleport__v1__lock__descriptor };

struct error *lock_read(struct arena *a, const struct state_record *r, Cteleport__V1__Lock **ret)
{
        return state_read_named(a, &lock_kind, r, (ProtobufCMessage **)ret);
}
