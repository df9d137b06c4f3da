/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves the other proxies of the cluster (proxy_service.peer_listen_addr): relays a user's connection that has arrived at
 * another proxy into the tunnel that a node has to this one.
 *
 *     user ──▶ proxy A ── mutual TLS, HTTP/2 CONNECT ──▶ proxy B ── the node's tunnel ──▶ node
 *
 * The request is that of a tunnel (tunnel/tunnel.h), with the address of the user's client. It is served by a tunnel of this
 * proxy only, never by a further proxy, so that relays form no loop. The same limits apply as to a user's connection to
 * this proxy. A peer must present a certificate of role Proxy; it is refused when the Auth Service says so
 * (proxy/tunnel_guard.h).
 */
#ifndef PROXY_PEER_SERVER_H
#define PROXY_PEER_SERVER_H

#include "base/str.h"
#include "pki/cert.h"

struct proxy;
struct peer_server;

#define PEER_ALPN "cteleport-peer"

/* Listens on listen_fd, which is owned. */
struct peer_server *peer_server_open(struct proxy *p, int listen_fd) MUST_USE;

/* Accepts no new connections and requests; relayed connections continue. proxy_is_empty() is called later from the loop. */
void peer_server_drain(struct peer_server *s);

/* Ends all connections; proxy_is_empty() is called later from the loop. */
void peer_server_shut(struct peer_server *s);

/* NULL counts as empty. */
bool peer_server_is_empty(const struct peer_server *s);

/*
 * Ends the connections of a proxy that the cluster refuses: those opened with certificates issued before `before`, or all if
 * that is zero. NULL is ignored.
 */
void peer_server_end_host(struct peer_server *s, struct str host_id, struct cert_issue before, const char *reason);

/* Calls each() for every connection of another proxy, with the certificate that opened it. NULL is ignored. */
void peer_server_each(const struct peer_server *s, void (*each)(void *ctx, const char *host_id, struct cert_issue cert), void *ctx);

/* To be called when it is empty. NULL is ignored. */
void peer_server_free(struct peer_server *s);

#endif
