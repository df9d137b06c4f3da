/* SPDX-License-Identifier: Apache-2.0 */
/*
 * People log in with a password and a one-time code; the Proxy Service speaks for them (LoginService/Login).
 *
 *      keys good? ─▶ stored password ─▶ heard? (guard) ─▶ argon2 on the pool ─▶ code ─▶ locks, roles
 *      ─▶ signer ─▶ one transaction: password unchanged and user there, code used, audit ─▶ certificates
 *
 * A user that does not exist takes the same way to the same answer: whoever has not shown a right password
 * and code learns nothing but that.
 */
#ifndef AUTH_USERS_LOGIN_SERVICE_H
#define AUTH_USERS_LOGIN_SERVICE_H

#include "rpc/rpc.h"

void login_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
