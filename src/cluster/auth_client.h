/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the Auth Service that every other process of a host has: one gRPC connection, and the rules by which it is made
 * and made again.
 *
 *     local    over a link (socket pair) to an auth on this machine; a lost link is replaced by the supervisor, on request
 *     remote   over mutual TLS with an identity of this host, directly or through a proxy
 *
 *     on demand  made when a request for it comes; without a call the server ends it after TIMEOUT_IDLE_CONNECTION
 *     kept       made without a request, kept alive with pings, and made again after a loss with growing pauses
 */
#ifndef CLUSTER_AUTH_CLIENT_H
#define CLUSTER_AUTH_CLIENT_H

#include "cluster/connect.h"

struct rpc_client;

struct auth_client_options {
        /* Requests a new link from the supervisor, which comes by auth_client_use_link(). NULL: auth is on another machine. */
        void (*relink)(void *ctx);
        /* Of a kept connection: it was made (err NULL), or it was lost or could not be made (err borrowed); for each attempt. May be NULL. */
        void (*on_change)(void *ctx, const struct error *err);
        void *ctx;
        bool is_kept;
        bool is_direct; /* no HTTP proxy of the environment is used */
};

struct auth_client;
struct auth_client *auth_client_new(struct loop *l, struct auth_client_options options) MUST_USE;
/* Requests that wait are answered CANCELLED, from the loop. NULL is silent. */
void auth_client_free(struct auth_client *c);

/* A new link (owned) to auth on this machine. The connection over the link before is closed. */
void auth_client_use_link(struct auth_client *c, int fd);

/*
 * The identity to connect with, borrowed until the next such call or auth_client_free(), and where to: auth_addr is used when
 * proxy_addr is empty; both copied. An open connection stays unless it was made under another host ID.
 */
void auth_client_use_identity(struct auth_client *c, const struct host_identity *id, struct str proxy_addr, struct str auth_addr);

/* done exactly once, from the loop: with a client that is valid until it is lost, or an error (owned), UNAVAILABLE where nothing else is known. */
void auth_client_request(struct auth_client *c, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx);

/* The client, valid in this turn of the loop; NULL while there is no connection. */
struct rpc_client *auth_client_get(const struct auth_client *c);

/* Closes the connection. Requests that wait are answered CANCELLED, from the loop; the next one connects anew. */
void auth_client_disconnect(struct auth_client *c);

#endif
