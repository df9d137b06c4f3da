/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What administrators ask, with tctl: tokens, nodes, the cluster's state.
 */
#ifndef AUTH_ADMIN_H
#define AUTH_ADMIN_H

#include "rpc/rpc.h"

void admin_cluster_status(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_tokens(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_put_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_explain_token(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_nodes(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_node(struct rpc_call *call, const ProtobufCMessage *first);
void admin_list_instances(struct rpc_call *call, const ProtobufCMessage *first);

#endif
