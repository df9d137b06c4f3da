/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection with HTTP/1.1 requests for any host of the proxy, one after another: that of a load balancer that ends TLS, and whose own
 * handshake with the proxy names no host (AWS ALB), or that forwards HTTP without TLS. The Host of each request decides who serves it:
 *
 *     WAIT ──head──┬─ Host of an application ─▶ app_gateway: all applications ─┐
 *      ▲           └─ any other, or malformed ─▶ web: this request ────────────┤
 *      └───────────── the connection, with the bytes after the request ────────┘
 *
 * Both parse the head again, strictly and from the same bytes: the gateway with the parser that has decided, so that it cannot take a host for
 * another one, and web, whose parser accepts some heads that the other one does not, refuses hosts of applications. Neither keeps anything of a
 * request for the next one.
 */
#ifndef PROXY_HOST_SWITCH_H
#define PROXY_HOST_SWITCH_H

#include "proxy/apps/app_gateway.h"
#include "proxy/web/web.h"

struct host_switch_options {
        struct proxy *proxy;
        /* Of the two; their contexts must be equal, on_next and on_foreign unset, app.app too. on_closed of `web` is called once, from the loop. */
        struct web_options web;
        struct app_gateway_options app;
        bool is_balancer; /* the peer is known to be one, which may keep the connection idle for longer (net/http_server.h) */
};

/* Serves on `s`, owned from now on. */
struct host_switch;
struct host_switch *host_switch_start(struct stream *s, const struct host_switch_options *options) MUST_USE;
/* Closes the connection once the current request, if one has begun to arrive, was answered. WebSockets go on. */
void host_switch_drain(struct host_switch *h);
void host_switch_close(struct host_switch *h);

#endif
