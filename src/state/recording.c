/* SPDX-License-Identifier: Apache-2.0 */
#include "state/recording.h"

const struct state_kind recording_kind = { "recording", STR_INIT("/recordings/"), &cteleport__state__v1__recording__descriptor };
const struct state_kind removed_recording_kind = { "removed recording", STR_INIT("/recordings-removed/"), NULL };

struct error *recording_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Recording **ret)
{
        return state_read(a, &recording_kind, r, (ProtobufCMessage **)ret);
}
