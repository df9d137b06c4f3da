/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RPC methods for joined hosts other than presence: certificates for their services and their renewal. Also the
 * unauthenticated method that describes the cluster.
 */
#ifndef AUTH_HOSTS_HOST_SERVICE_H
#define AUTH_HOSTS_HOST_SERVICE_H

#include "rpc/rpc.h"

void host_certs_open(struct rpc_call *call, const ProtobufCMessage *first);
void ping_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
