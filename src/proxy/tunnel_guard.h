/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DialService/Tunnels, the proxy's end: names the nodes that have a tunnel to the Auth Service, and ends the tunnels of those
 * that may have none (removed, locked); by the names auth knows as well which nodes can be reached. Tells the keys of the web
 * certificates, which are to be certified for nobody. Begun again whenever it is lost; while auth is away tunnels stay.
 */
#ifndef PROXY_TUNNEL_GUARD_H
#define PROXY_TUNNEL_GUARD_H

#include "internal.pb-c.h"
#include "pki/cert.h"

struct loop;
struct tunnel_guard;
struct tunnels;
struct upstream;

/* All borrowed until tunnel_guard_free. */
struct tunnel_guard *tunnel_guard_new(struct loop *l, struct upstream *upstream, struct tunnels *tunnels) MUST_USE;
/* Before the upstream; NULL is silent. */
void tunnel_guard_free(struct tunnel_guard *g);

/* What HTTPS is served with from now on; not kept. */
void tunnel_guard_set_keypairs(struct tunnel_guard *g, Cteleport__Internal__V1__HttpsKeyPair *const *pairs, size_t count);

/* A node has opened a tunnel with a certificate. NULL is silent, here and below. */
void tunnel_guard_name(struct tunnel_guard *g, struct str host_id, struct cert_issue cert);

/* Its last one is gone, or takes nobody any more. */
void tunnel_guard_gone(struct tunnel_guard *g, struct str host_id);

#endif
