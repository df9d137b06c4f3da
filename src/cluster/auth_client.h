/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Auth Service client of the other processes of a host: one gRPC connection, with rules for connecting and
 * reconnecting.
 *
 *     local    over a link (socket pair) to an auth on this machine; a lost link is replaced by the supervisor, on request
 *     remote   over mutual TLS with an identity of this host, directly or through a proxy
 *
 *     on demand  made on a request; without a call the server ends it after TIMEOUT_IDLE_CONNECTION
 *     kept       made at once, kept alive with pings, and made again after a loss with growing pauses
 */
#ifndef CLUSTER_AUTH_CLIENT_H
#define CLUSTER_AUTH_CLIENT_H

#include "cluster/connect.h"
#include "internal.pb-c.h"

struct rpc_client;

struct auth_client_options {
        /* Requests a new link from the supervisor; auth_client_use_link() receives it. NULL: auth is on another machine. */
        void (*relink)(void *ctx);
        /*
         * Called for a kept connection after each attempt: it was made (err NULL), or it was lost or could not be made
         * (err borrowed). May be NULL.
         */
        void (*on_change)(void *ctx, const struct error *err);
        void *ctx;
        bool is_kept;
        bool is_direct; /* the environment's HTTP proxy is not used */
        /* For HTTPS with a load balancer in front of the cluster, as in struct connect_trust; borrowed. */
        struct str roots_pem;
        bool is_insecure;
};

struct auth_client;
struct auth_client *auth_client_new(struct loop *l, struct auth_client_options options) MUST_USE;
/* Frees the client. Pending requests end with CANCELLED, from the loop. NULL is ignored. */
void auth_client_free(struct auth_client *c);

/* Uses fd (owned) as the link to auth on this machine. A connection over the previous link is closed. */
void auth_client_use_link(struct auth_client *c, int fd);

/*
 * Sets the identity to connect with, borrowed until the next such call or auth_client_free(), and the addresses
 * (copied): auth_addr is used when proxy_addr is empty. An open connection stays unless it was made under another host
 * ID.
 */
void auth_client_use_identity(struct auth_client *c, const struct host_identity *id, struct str proxy_addr, struct str auth_addr);

/*
 * Sets the proxies of the cluster (copied): when the proxy of auth_client_use_identity() does not answer, auth is reached through
 * another one, of LIMIT_OTHER_PROXIES at most. They are not used when auth is reached directly.
 */
void auth_client_use_proxies(struct auth_client *c, const Cteleport__Internal__V1__Proxies *list);

/*
 * Requests the connected client. done is called exactly once, from the loop: with a client that is valid until the
 * connection is lost, or an error (owned), UNAVAILABLE unless a more specific one is known.
 */
void auth_client_request(struct auth_client *c, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx);

/* The connected client, valid in this turn of the loop; NULL while there is no connection. */
struct rpc_client *auth_client_get(const struct auth_client *c);

/* Closes the connection. Pending requests end with CANCELLED, from the loop; the next request connects again. */
void auth_client_disconnect(struct auth_client *c);

#endif
