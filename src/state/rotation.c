/* SPDX-License-Identifier: Apache-2.0 */
#include "state/rotation.h"

#include "pki/ca_phase.h"

const struct state_kind rotation_kind = { "rotation", STR_INIT("/rotations/"), &cteleport__state__v1__rotation__descriptor };

struct error *rotation_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Rotation **ret)
{
        Cteleport__State__V1__Rotation *read;
        enum ca_phase phase;

        TRY(state_read(a, &rotation_kind, r, (ProtobufCMessage **)&read));
        struct error *err = ca_phase_get(str_of(read->phase), &phase);
        if (err != NULL)
                return error_because(error_new(ERROR_DATA_LOSS, "the stored rotation of a CA cannot be read"), err);
        *ret = read;
        return NULL;
}

void rotation_put(struct store_txn *t, const Cteleport__State__V1__Rotation *rotation, uint64_t revision)
{
        state_require(t, &rotation_kind, str_of(rotation->type), revision);
        state_put(t, &rotation_kind, str_of(rotation->type), &rotation->base, (struct walltime){ 0 });
}
