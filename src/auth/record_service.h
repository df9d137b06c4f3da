/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings on their way from nodes.
 */
#ifndef AUTH_RECORD_SERVICE_H
#define AUTH_RECORD_SERVICE_H

#include "auth/auth.h"
#include "rpc/rpc.h"

/* SessionService/Record. */
void record_serve(struct rpc_call *call, const ProtobufCMessage *first);

/* Whether a node sends this recording now, and how much of it is durable. */
bool record_is_coming(const struct auth *a, struct str session_id, uint64_t *ret_size);

#endif
