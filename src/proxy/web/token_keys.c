/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/token_keys.h"
#include "proxy/web/webapi.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "pki/jwk.h"
#include "rpc/pb.h"

enum { SET_MAX = 8 * KiB, KEYS_MAX = 4, CONFIGURATION_MAX = 4 * KiB, ANSWER_MAX = 16 * KiB };

#define COMMON_FIELDS "X-Content-Type-Options: nosniff\r\nStrict-Transport-Security: max-age=31536000\r\n"

/* Nothing between this proxy and the application keeps the keys for longer than the proxy does. */
#define SET_FIELDS "Cache-Control: no-cache\r\n" COMMON_FIELDS

/* A request that waits for the keys. */
struct token_keys_waiter {
        struct http_exchange *exchange; /* NULL: the connection is gone */
        struct token_keys_waiter *next;
};

void token_keys_init(struct token_keys *k, struct loop *l)
{
        *k = (struct token_keys){ .loop = l, .set = BUF_MAX(SET_MAX) };
}

void token_keys_release(struct token_keys *k)
{
        buf_release(&k->set);
}

static void respond_set(const struct token_keys *k, struct http_exchange *x)
{
        http_respond(x, (struct http_response){ .status = 200, .content_type = "application/json", .body = buf_str(&k->set), .fields = SET_FIELDS });
}

static bool is_younger(const struct token_keys *k, struct duration age)
{
        return k->set.len > 0 && instant_since(loop_now(k->loop), k->requested).ns < age.ns;
}

/* Responds to all that wait; without an error with the keys. */
static void respond_all(struct token_keys *k, const struct error *err)
{
        while (k->waiting != NULL) {
                struct token_keys_waiter *w = k->waiting;

                k->waiting = w->next;
                if (w->exchange != NULL && err == NULL)
                        respond_set(k, w->exchange);
                else if (w->exchange != NULL)
                        webapi_respond_error(w->exchange, 503, "the keys are not known: the Auth Service cannot be reached, or has none yet", false);
                free(w);
        }
}

static struct error *keep(struct token_keys *k, const Cteleport__V1__AppTokenKeys *answer)
{
        AUTO(buf) set = BUF_MAX(SET_MAX);
        struct str keys[KEYS_MAX];

        if (answer->n_keys == 0 || answer->n_keys > KEYS_MAX)
                return error_new(ERROR_INTERNAL, "the Auth Service sent %zu public keys of tokens", answer->n_keys);
        for (size_t i = 0; i < answer->n_keys; i++)
                keys[i] = pb_str(answer->keys[i]);
        TRY(jwk_put_set(keys, answer->n_keys, &set));
        buf_clear(&k->set);
        buf_put(&k->set, buf_str(&set));
        k->requested = k->requesting;
        return NULL;
}

static void on_keys(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct token_keys *k = ctx;

        k->is_requesting = false;
        if (err == NULL)
                err = keep(k, (const Cteleport__V1__AppTokenKeys *)msg);
        if (err == NULL) {
                respond_all(k, NULL);
                return;
        }
        bool is_usable = is_younger(k, SECONDS(LIMIT_APP_TOKEN_SECONDS));
        log_warn(is_usable ? "The public keys of tokens for applications cannot be requested, the last ones are used"
                           : "The public keys of tokens for applications cannot be requested",
                 LOG_ERR(err));
        respond_all(k, is_usable ? NULL : err);
        error_free(err);
}

static void request(struct token_keys *k, struct upstream *u)
{
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;
        struct rpc_client *auth = upstream_client(u);

        k->is_requesting = true;
        k->requesting = loop_now(k->loop);
        if (auth == NULL)
                on_keys(k, NULL, upstream_absence(u));
        else
                rpc_client_unary(auth,
                                 (struct rpc_client_call_options){ .path = "/cteleport.v1.AppTokenService/Keys",
                                                                   .response = &cteleport__v1__app_token_keys__descriptor,
                                                                   .response_max = ANSWER_MAX, .within = MILLISECONDS(TIMEOUT_RPC) },
                                 &empty.base, on_keys, k);
}

static void on_gone(void *ctx)
{
        struct token_keys_waiter *w = ctx;

        w->exchange = NULL; /* the answer of auth frees it */
}

static const struct http_exchange_events waiter_events = { .on_gone = on_gone };

void token_keys_respond(struct token_keys *k, struct upstream *u, struct http_exchange *x)
{
        if (is_younger(k, MILLISECONDS(PACE_TOKEN_KEYS))) {
                respond_set(k, x);
                return;
        }
        struct token_keys_waiter *w = NEW(struct token_keys_waiter);
        *w = (struct token_keys_waiter){ .exchange = x, .next = k->waiting };
        k->waiting = w;
        http_exchange_listen(x, &waiter_events, w);
        if (!k->is_requesting)
                request(k, u);
}

/* The default port is left out, as in the URLs that browsers show. */
static struct str without_default_port(struct str address)
{
        struct str port = STR(":443");

        return str_ends_with(address, port) ? str_slice(address, 0, address.len - port.len) : address;
}

/*
 * "issuer" is the claim `iss` of the tokens: the name of the cluster, as in Teleport, and not the address of this document, as OpenID
 * Connect Discovery 1.0 section 3 requires of an identity provider.
 */
void token_keys_respond_configuration(struct http_exchange *x, const struct webapi_facts *facts, struct str address)
{
        AUTO(buf) url = BUF_MAX(CONFIGURATION_MAX);
        AUTO(buf) body = BUF_MAX(CONFIGURATION_MAX);

        if (str_is_empty(facts->cluster) || str_is_empty(address)) {
                webapi_respond_error(x, 503, "this proxy does not know its cluster or its address yet", false);
                return;
        }
        address = without_default_port(address);
        buf_printf(&url, "https://%.*s/.well-known/jwks.json", STR_ARG(address));
        buf_put_c(&body, "{\"issuer\":");
        json_put_string(&body, facts->cluster);
        buf_put_c(&body, ",\"jwks_uri\":");
        json_put_string(&body, buf_str(&url));
        buf_put_c(&body, ",\"claims\":[\"iss\",\"sub\",\"username\",\"aud\",\"roles\",\"traits\",\"iat\",\"nbf\",\"exp\"],"
                         "\"id_token_signing_alg_values_supported\":[\"RS256\",\"ES256\"],\"response_types_supported\":[\"id_token\"],"
                         "\"scopes_supported\":[\"openid\"],\"subject_types_supported\":[\"public\"]}");
        http_respond(x, (struct http_response){ .status = 200, .content_type = "application/json", .body = buf_str(&body),
                                                .fields = "Cache-Control: no-store\r\n" COMMON_FIELDS });
}
