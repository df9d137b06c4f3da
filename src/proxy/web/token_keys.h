/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public keys that verify tokens for applications, as the proxy publishes them:
 *
 *     GET /.well-known/jwks.json             a JSON Web Key Set (RFC 7517) of all keys that are trusted in this phase of a rotation
 *     GET /.well-known/openid-configuration  where that is, and which claims and algorithms tokens have
 *
 * The keys come from the Auth Service, and are kept for PACE_TOKEN_KEYS: a new key is published in the phase init and signs from the
 * phase update_clients on. If the Auth Service is unreachable, the last keys are sent until no token that they verify can be valid.
 */
#ifndef PROXY_WEB_TOKEN_KEYS_H
#define PROXY_WEB_TOKEN_KEYS_H

#include "base/buf.h"
#include "base/clock.h"
#include "proxy/upstream.h"

struct http_exchange;
struct webapi_facts;

struct token_keys_waiter;

struct token_keys {
        struct loop *loop;
        struct buf set;            /* empty: none was received yet */
        struct instant requested;  /* when `set` was */
        bool is_requesting;
        struct instant requesting; /* since then */
        struct token_keys_waiter *waiting;
};

void token_keys_init(struct token_keys *k, struct loop *l);
/* To be called when no request is under way any more. */
void token_keys_release(struct token_keys *k);

/* Responds with the key set, at once or when the Auth Service has answered. k and u must live as long as the loop runs. */
void token_keys_respond(struct token_keys *k, struct upstream *u, struct http_exchange *x);

/* Responds with the OpenID configuration. address: of this proxy, "host:port"; "": it is not known. */
void token_keys_respond_configuration(struct http_exchange *x, const struct webapi_facts *facts, struct str address);

#endif
