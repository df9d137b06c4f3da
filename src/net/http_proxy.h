/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out of a network that lets nothing pass but an HTTP proxy: whether the environment names one
 * for an address, and the tunnel through it (CONNECT, RFC 9110 section 9.3.6).
 */
#ifndef NET_HTTP_PROXY_H
#define NET_HTTP_PROXY_H

#include "base/limits.h"
#include "net/socket.h"

struct loop;
struct stream;

struct http_proxy {
        char address[ADDRESS_TEXT_MAX + LIMIT_NAME]; /* host:port to dial; "": no proxy, go straight */
        struct str userinfo; /* "user:password", percent-encoded, of the proxy's URL; secret, borrowed; "" when none */
};

/*
 * The proxy for host:port. https_proxy is "http://[user:password@]host[:port]", the scheme may be
 * missing; no_proxy lists what is reached straight: "*", names (with all names below them; with a dot in
 * front only those below), addresses, networks as "10.0.0.0/8", each but a network with ":port" if it
 * is for that port only. Loopback never takes a proxy. Empty or NULL texts are none. INVALID_ARGUMENT
 * for a proxy that cannot be used; ret->userinfo borrows from https_proxy.
 */
struct error *http_proxy_choose(const char *https_proxy, const char *no_proxy, struct str host, int port,
                                struct http_proxy *ret) MUST_USE;

/* The same by HTTPS_PROXY and NO_PROXY of the environment, or these in lower case. */
struct error *http_proxy_of_environment(struct str host, int port, struct http_proxy *ret) MUST_USE;

/*
 * Asks the proxy at the other end of `stream` (owned from now on) for a tunnel to `target`, "host:port".
 * done comes exactly once, from the loop, with the stream that now leads to the target or an error:
 * UNAVAILABLE when the proxy refuses or breaks off, DEADLINE_EXCEEDED. `proxy` and `target` are copied.
 */
struct http_tunnel;
struct http_tunnel *http_tunnel_start(struct loop *l, struct stream *stream, const struct http_proxy *proxy,
                                      struct str target, struct duration within,
                                      void (*done)(void *ctx, struct stream *tunnel, struct error *err),
                                      void *ctx) MUST_USE;
void http_tunnel_cancel(struct http_tunnel *t); /* done comes with CANCELLED unless it already has */

#endif
