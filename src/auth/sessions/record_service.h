/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receives recordings from nodes (SessionService/Record) and stores them.
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

/* The durable length of a recording and its hash chain at that point. */
struct record_progress {
        uint64_t size, whole;
        uint32_t chunks, missing_chunks;
        uint64_t missing_bytes;
        uint8_t link[RECORDING_LINK_LEN], first[RECORDING_LINK_LEN];
};

/* The progress of an upload; NULL unless a node is sending this recording now. Borrowed until the next turn of the loop. */
const struct record_progress *record_is_coming(const struct auth *a, struct str session_id);

/* Converts the stored record of a recording; borrowed from it. */
struct record_mark record_mark_of(const Cteleport__State__V1__Recording *m);

#endif
