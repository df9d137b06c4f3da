/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's own connection to the Auth Service: the link on the machine of auth, or mutual TLS from
 * another. One connection for all forwarded calls; made again whenever it is lost.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "join/host_identity.h"
#include "rpc/rpc.h"

struct loop;

struct upstream;
struct upstream *upstream_new(struct loop *l) MUST_USE;
void upstream_free(struct upstream *u);

/* relink(ctx) is called every PACE_RELINK while the link is lost, to ask for another. */
void upstream_on_lost_link(struct upstream *u, void (*relink)(void *ctx), void *ctx);

/* Uses the link fd (owned) from now on. */
void upstream_use_link(struct upstream *u, int fd);

/* Uses mutual TLS to address ("host:port") with id; both borrowed until the next such call or upstream_free. */
void upstream_use_tls(struct upstream *u, const char *address, const struct host_identity *id);

/* The connection, or NULL while there is none: callers answer UNAVAILABLE. Valid in this turn of the loop. */
struct rpc_client *upstream_client(struct upstream *u);

/* Why there is no connection: UNAVAILABLE with a sentence for whoever waits. */
struct error *upstream_absence(const struct upstream *u) MUST_USE;

#endif
