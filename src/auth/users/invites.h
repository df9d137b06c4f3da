/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invites: one-time links with which users set their password and one-time key.
 *
 * An administrator creates an invite (AdminService/CreateInvite); the web page of a proxy opens and accepts it for the
 * user (LoginService). Only the newest invite of a user is valid, once, until it expires.
 */
#ifndef AUTH_USERS_INVITES_H
#define AUTH_USERS_INVITES_H

#include "rpc/rpc.h"

void admin_create_invite(struct rpc_call *call, const ProtobufCMessage *first);
void invite_open(struct rpc_call *call, const ProtobufCMessage *first);
void invite_accept(struct rpc_call *call, const ProtobufCMessage *first);

#endif
