/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the TLS between the browser gateway and an application's host: the gateway waits until the host says how requests follow.
 * docs/decisions/0044-tls-of-gateways-ends-after-the-handshake.md
 *
 *     TLS ─┬─ a byte 0, and nothing behind it ──▶ the stream below, without this TLS
 *          ├─ any other byte ──▶ TLS, with what was received: a response that refuses all requests
 *          └─ its end, or silence for TIMEOUT_HTTP_RESPONSE ──▶ an error
 */
#ifndef PROXY_APPS_APP_BARE_H
#define PROXY_APPS_APP_BARE_H

#include "net/stream.h"

struct app_bare;
struct loop;

/*
 * tls is owned; its host has selected APP_ALPN_BARE. done is called once, from the loop, unless app_bare_free() was called before, with the stream for
 * requests (owned, paused) or with an error (owned); the struct is freed then.
 */
struct app_bare *app_bare_new(struct loop *l, struct stream *tls, void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
/* Closes the stream. The host may have left TLS, so it gets no close_notify, which it would read as a request. NULL is ignored. */
void app_bare_free(struct app_bare *b);

#endif
