/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logins of users with a password and a one-time code, which the Proxy Service forwards (LoginService/Login).
 *
 *      keys good? ─▶ stored password ─▶ checked? (guard) ─▶ argon2 on the pool ─▶ code ─▶ locks, roles
 *      ─▶ signer ─▶ one transaction: password unchanged and user there, code used, audit ─▶ certificates
 *
 * A login of a user that does not exist takes the same steps and gets the same answer: without a correct password and
 * code, a client learns only that the login was refused.
 */
#ifndef AUTH_USERS_LOGIN_SERVICE_H
#define AUTH_USERS_LOGIN_SERVICE_H

#include "rpc/rpc.h"

void login_open(struct rpc_call *call, const ProtobufCMessage *first);

/* Web/CreateWebSession: the same login in a browser; the transaction stores the session too, and there is no SSH certificate. */
void login_web_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
