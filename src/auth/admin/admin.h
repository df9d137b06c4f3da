/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Administrative RPC methods that are specific to one kind of resource or to none. The methods common to all kinds are
 * in resources.h.
 */
#ifndef AUTH_ADMIN_ADMIN_H
#define AUTH_ADMIN_ADMIN_H

#include "rpc/rpc.h"

struct auth;

/* Sets the limits on the memory that waiting requests hold together. */
void admin_init(struct auth *a);

void admin_cluster_status(struct rpc_call *call, const ProtobufCMessage *first);
void admin_rotate_authority(struct rpc_call *call, const ProtobufCMessage *first);
void admin_create_crl(struct rpc_call *call, const ProtobufCMessage *first);
void admin_explain_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_search_events(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_recordings(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_recording(struct rpc_call *call, const ProtobufCMessage *first);
void admin_backup(struct rpc_call *call, const ProtobufCMessage *first);

#endif
