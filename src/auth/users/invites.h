/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invites: one-time links with which users set their password and one-time key.
 *
 * An administrator makes one (AdminService/CreateInvite), a proxy's page opens and accepts it for the
 * holder of the link (LoginService). Of a user only the newest is good, once, until it ends.
 */
#ifndef AUTH_USERS_INVITES_H
#define AUTH_USERS_INVITES_H

#include "rpc/rpc.h"

void admin_create_invite(struct rpc_call *call, const ProtobufCMessage *first);
void invite_open(struct rpc_call *call, const ProtobufCMessage *first);
void invite_accept(struct rpc_call *call, const ProtobufCMessage *first);

#endif
