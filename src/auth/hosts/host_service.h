/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What joined hosts ask beside presence: certificates for their services, and renewal. And what anybody
 * may ask: which cluster this is.
 */
#ifndef AUTH_HOSTS_HOST_SERVICE_H
#define AUTH_HOSTS_HOST_SERVICE_H

#include "rpc/rpc.h"

void host_certs_open(struct rpc_call *call, const ProtobufCMessage *first);
void ping_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
