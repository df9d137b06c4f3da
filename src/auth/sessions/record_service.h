/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings on their way from nodes.
 */
#ifndef AUTH_SESSIONS_RECORD_SERVICE_H
#define AUTH_SESSIONS_RECORD_SERVICE_H

#include "auth/core/auth.h"
#include "auth/sessions/records.h"
#include "recording/recording.h"
#include "rpc/rpc.h"
#include "state.pb-c.h"

/* SessionService/Record. */
void record_serve(struct rpc_call *call, const ProtobufCMessage *first);

/* How far a recording is durable, and its chain there. */
struct record_progress {
        uint64_t size, whole;
        uint32_t chunks, missing_chunks;
        uint64_t missing_bytes;
        uint8_t link[RECORDING_LINK_LEN], first[RECORDING_LINK_LEN];
};

/* NULL unless a node sends this recording now. Borrowed for the turn. */
const struct record_progress *record_is_coming(const struct auth *a, struct str session_id);

/* What the store noted of a recording; borrowed from it. */
struct record_mark record_mark_of(const Cteleport__State__V1__Recording *m);

#endif
