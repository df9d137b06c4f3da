/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users log in with a password and a one-time code; the Proxy Service forwards the login (LoginService/Login).
 *
 *      keys good? ─▶ stored password ─▶ checked? (guard) ─▶ argon2 on the pool ─▶ code ─▶ locks, roles
 *      ─▶ signer ─▶ one transaction: password unchanged and user there, code used, audit ─▶ certificates
 *
 * A user that does not exist takes the same way to the same answer: without a correct password
 * and code, the client learns only that.
 */
#ifndef AUTH_USERS_LOGIN_SERVICE_H
#define AUTH_USERS_LOGIN_SERVICE_H

#include "rpc/rpc.h"

void login_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
