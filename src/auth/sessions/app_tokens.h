/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that applications receive with the requests of users: their public keys.
 */
#ifndef AUTH_SESSIONS_APP_TOKENS_H
#define AUTH_SESSIONS_APP_TOKENS_H

#include "rpc/rpc.h"

/* AppTokenService/Keys, for proxies. UNAVAILABLE while the CA jwt has no key. */
void app_token_keys_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
