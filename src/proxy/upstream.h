/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's connection to the Auth Service, kept open (cluster/auth_client.h): the link on the machine of auth, or mutual TLS
 * from another. All forwarded calls use it.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "join/host_identity.h"
#include "rpc/rpc.h"

struct loop;

struct upstream;
/* relink(ctx) requests another link from the supervisor while there is none; NULL: auth runs on another machine. */
struct upstream *upstream_new(struct loop *l, void (*relink)(void *ctx), void *ctx) MUST_USE;
void upstream_free(struct upstream *u); /* NULL is silent */

/* Uses the link fd (owned) from now on. */
void upstream_use_link(struct upstream *u, int fd);

/* Uses mutual TLS to address ("host:port", copied) with id, borrowed until the next such call or upstream_free. */
void upstream_use_tls(struct upstream *u, const char *address, const struct host_identity *id);

/* The connection, or NULL while there is none: callers answer UNAVAILABLE. Valid in this turn of the loop. */
struct rpc_client *upstream_client(const struct upstream *u);

/* Why there is no connection: UNAVAILABLE, for the client that waits. */
struct error *upstream_absence(const struct upstream *u) MUST_USE;

/* rpc_client_unary() on the connection; without one, done is called with the reason before this returns. u NULL: CANCELLED, the proxy is stopping. */
void upstream_unary(const struct upstream *u, struct rpc_client_call_options options, const ProtobufCMessage *request,
                    void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx);

#endif
