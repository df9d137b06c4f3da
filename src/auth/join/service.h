/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two gRPC join services, both implemented over join/attempt.h: teleport.join.v1.JoinService/Join, and
 * proto.JoinService/RegisterUsingIAMMethod with the messages of Teleport 8 to 18.
 */
#ifndef AUTH_JOIN_SERVICE_H
#define AUTH_JOIN_SERVICE_H

#include "rpc/rpc.h"

void join_service_open(struct rpc_call *call, const ProtobufCMessage *first);
void join_legacy_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
