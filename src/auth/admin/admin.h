/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What administrators ask, with tctl: tokens, nodes, users, roles, locks, the cluster's state.
 */
#ifndef AUTH_ADMIN_ADMIN_H
#define AUTH_ADMIN_ADMIN_H

#include "rpc/rpc.h"

struct auth;

/* Sets the bounds of what requests hold together. */
void admin_init(struct auth *a);

void admin_cluster_status(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_tokens(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_put_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_explain_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_nodes(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_node(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_instances(struct rpc_call *call, const ProtobufCMessage *first);
void admin_search_events(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_recordings(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_recording(struct rpc_call *call, const ProtobufCMessage *first);

void admin_list_users(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_user(struct rpc_call *call, const ProtobufCMessage *first);
void admin_put_user(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_user(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_roles(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_role(struct rpc_call *call, const ProtobufCMessage *first);
void admin_put_role(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_role(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_locks(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_lock(struct rpc_call *call, const ProtobufCMessage *first);
void admin_put_lock(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_lock(struct rpc_call *call, const ProtobufCMessage *first);

#endif
