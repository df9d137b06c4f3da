/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/app_tokens.h"

#include "api.pb-c.h"
#include "auth/core/auth.h"
#include "auth/core/caller.h"

void app_token_keys_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const struct caller *caller = rpc_call_caller(call);
        const Cteleport__Internal__V1__Authority *jwt = caller->auth->authorities.jwt;
        Cteleport__V1__AppTokenKeys response = CTELEPORT__V1__APP_TOKEN_KEYS__INIT;

        (void)first;
        if (jwt->n_jwt_keys == 0) {
                rpc_call_finish(call, error_hint(error_new(ERROR_UNAVAILABLE, "there is no CA for tokens of applications yet"),
                                               "the log of the Auth Service's start has the reason"));
                return;
        }
        response.keys = jwt->jwt_keys;
        response.n_keys = jwt->n_jwt_keys;
        rpc_call_reply(call, &response.base);
}
