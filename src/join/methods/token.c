/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Join method `token`: the name of the token is a secret, and a host that sends it is admitted. There is no other proof of
 * identity, so all hosts of one token share a binding.
 */
#include "join/method.h"

#include "base/mem.h"
#include "base/text.h"
#include "pki/key.h"
#include "resource/join_method.h"

static void put_params(Teleport__Join__V1__JoinRequest *request, Teleport__Join__V1__ClientParams *params, struct arena *arena)
{
        Teleport__Join__V1__TokenInit *init = arena_alloc(arena, sizeof *init);

        teleport__join__v1__token_init__init(init);
        init->client_params = params;
        request->payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_TOKEN_INIT;
        request->token_init = init;
}

static const Teleport__Join__V1__ClientParams *params_of(const Teleport__Join__V1__JoinRequest *request)
{
        static const Teleport__Join__V1__ClientParams none = TELEPORT__JOIN__V1__CLIENT_PARAMS__INIT;

        if (request->payload_case != TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_TOKEN_INIT)
                return NULL;
        return request->token_init->client_params == NULL ? &none : request->token_init->client_params;
}

/* The binding has a digest of the name, as the secret must not be stored with each host. */
static void put_binding(struct str token_name, const struct join_attributes *attributes, struct buf *out)
{
        uint8_t digest[32];

        (void)attributes;
        sha256(token_name, digest);
        buf_put_c(out, "token:");
        hex_encode(out, str_of_bytes(digest, sizeof digest));
}

const struct join_method join_method_token = {
        .name = "token",
        .has_secret_name = true,
        .put_params = put_params,
        .params_of = params_of,
        .put_binding = put_binding,
};
