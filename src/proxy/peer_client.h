/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to the other proxies of the cluster: one to each that has had to relay a user's connection, kept while it lives.
 * The other proxy is verified by its certificate of role Proxy and by its host ID, which the Auth Service has named.
 */
#ifndef PROXY_PEER_CLIENT_H
#define PROXY_PEER_CLIENT_H

#include "pki/cert.h"
#include "tunnel/tunnel.h"

struct proxy;
struct peer_link;
struct peer_dial;

/* A zeroed struct with `proxy` set is ready for use. The owner must not access other fields. */
struct peer_client {
        struct proxy *proxy;
        struct peer_link *links;
};

/*
 * Requests a stream from the proxy host_id at addr ("host:port"), which opens it in the tunnel of the node. The texts of
 * the request are borrowed until done, which is called exactly once, from the loop, with a stream (owned, paused) or an
 * error (owned): with REASON_CONNECTION if the proxy was not reached or leaves, or has left LIMIT_PEER_LINKS connections; NOT_FOUND if the node has no tunnel to it.
 */
struct peer_dial *peer_dial_start(struct peer_client *c, const char *host_id, const char *addr, const struct tunnel_request *request,
                                  void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
void peer_dial_cancel(struct peer_dial *d); /* calls done with CANCELLED unless it was called */

/* This proxy's identity was renewed: further streams use new connections; open streams continue in the old ones. */
void peer_client_renew(struct peer_client *c);

/*
 * Closes the connections to a proxy that the cluster refuses: those to holders of certificates issued before `before`, or all if
 * that is zero.
 */
void peer_client_end_host(struct peer_client *c, struct str host_id, struct cert_issue before);

/* Calls each() for every established connection, with the certificate of the other proxy. */
void peer_client_each(const struct peer_client *c, void (*each)(void *ctx, const char *host_id, struct cert_issue cert), void *ctx);

/* Closes all connections; pending dials end with an error, from the loop. */
void peer_client_shut(struct peer_client *c);

#endif
