/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that applications receive with the requests of users: their public keys, and the request for one.
 *
 *      Sign ─▶ /connections/<id> ─▶ /presence/<host> ─▶ user, roles, locks ─▶ signer ─▶ answer
 *
 * The host names a connection and nothing else. User, application and the end of the certificate are those of the connection's record, roles and
 * traits those that the user has now.
 */
#ifndef AUTH_SESSIONS_APP_TOKENS_H
#define AUTH_SESSIONS_APP_TOKENS_H

#include "rpc/rpc.h"

/* AppTokenService/Keys, for proxies. UNAVAILABLE while the CA jwt has no key. */
void app_token_keys_open(struct rpc_call *call, const ProtobufCMessage *first);

/*
 * AppTokenService/Sign, for hosts with the role App. NOT_FOUND or PERMISSION_DENIED unless the connection is one of an application on this very
 * host, has a report stream and an accepted certificate, and its user may still use the application; RESOURCE_EXHAUSTED if the token would be too
 * large.
 */
void app_token_sign_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
