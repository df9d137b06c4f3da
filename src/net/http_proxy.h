/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections through an HTTP proxy of the environment: selects the proxy for an address and opens the tunnel through
 * it (CONNECT, RFC 9110 section 9.3.6).
 */
#ifndef NET_HTTP_PROXY_H
#define NET_HTTP_PROXY_H

#include "base/limits.h"
#include "net/socket.h"

struct loop;
struct stream;

struct http_proxy {
        char address[ADDRESS_TEXT_MAX + LIMIT_NAME]; /* host:port to dial; "": no proxy */
        bool is_tls;         /* the connection to the proxy itself is TLS: "https://" */
        struct str userinfo; /* "user:password", percent-encoded, of the proxy's URL; secret, borrowed; "" when none */
};

/*
 * The proxy for host:port. https_proxy is "http://[user:password@]host[:port]", whose scheme may be missing and whose port
 * is 80 by default, or the same with "https://" and 443; no_proxy
 * lists destinations that are dialled directly: "*", names (including their subdomains; with a leading dot only the
 * subdomains), addresses, networks such as "10.0.0.0/8", whose bits after the prefix are ignored; all but networks may have a ":port". Loopback addresses are
 * always dialled directly. Empty or NULL: not set. INVALID_ARGUMENT for a proxy that cannot be used, such as SOCKS;
 * ret->userinfo borrows from https_proxy.
 */
struct error *http_proxy_choose(const char *https_proxy, const char *no_proxy, struct str host, int port,
                                struct http_proxy *ret) MUST_USE;

/* The same with HTTPS_PROXY and NO_PROXY of the environment, or their lower-case forms. */
struct error *http_proxy_of_environment(struct str host, int port, struct http_proxy *ret) MUST_USE;

/*
 * Requests a tunnel to `target`, "host:port", from the proxy at the other end of `stream` (owned from now on), which is
 * TLS already where the proxy wants that. done is
 * called exactly once, from the loop, with the stream to the target or an error: UNAVAILABLE when the proxy refuses or
 * closes the connection, DEADLINE_EXCEEDED. `proxy` and `target` are copied.
 */
struct http_tunnel;
struct http_tunnel *http_tunnel_start(struct loop *l, struct stream *stream, const struct http_proxy *proxy,
                                      struct str target, struct duration within,
                                      void (*done)(void *ctx, struct stream *tunnel, struct error *err),
                                      void *ctx) MUST_USE;
void http_tunnel_cancel(struct http_tunnel *t); /* calls done with CANCELLED unless it was called already */

#endif
