/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's side of DialService/Tunnels: reports the nodes that have a tunnel to the Auth Service, and closes the
 * tunnels of nodes that may not have one (removed, locked). From the reports auth also knows which nodes can be
 * reached, and through which proxy. The proxy also reports the keys of its web certificates, which auth must not certify for
 * any host, the address at which other proxies reach it, and the proxies that it has a connection to or from: auth may order
 * their end, too, by their role Proxy. A lost stream is opened again; while auth is not reachable tunnels stay open.
 */
#ifndef PROXY_TUNNEL_GUARD_H
#define PROXY_TUNNEL_GUARD_H

#include "api.pb-c.h"
#include "internal.pb-c.h"
#include "pki/cert.h"

struct proxy;
struct tunnel_guard;

/* For this proxy (borrowed until tunnel_guard_free), whose upstream is set. */
struct tunnel_guard *tunnel_guard_new(struct proxy *p) MUST_USE;
/* To be called before the upstream is freed. NULL is ignored. */
void tunnel_guard_free(struct tunnel_guard *g);

/* Reports the keys with which HTTPS is served from now on; not stored. */
void tunnel_guard_set_keypairs(struct tunnel_guard *g, Cteleport__Internal__V1__HttpsKeyPair *const *pairs, size_t count);

/* Reports that a host has opened a tunnel in a role with a certificate. NULL is ignored, here and below. */
void tunnel_guard_name(struct tunnel_guard *g, struct str host_id, const char *role, struct cert_issue cert);

/* Reports a connection to or from another proxy, with its certificate; auth may order its end. */
void tunnel_guard_name_peer(struct tunnel_guard *g, struct str host_id, struct cert_issue cert);

/* Ends what auth names: the tunnels of a host, its connections as another proxy, or both. */
void tunnel_guard_end_host(struct proxy *p, const Cteleport__V1__TunnelsDown *down);

/* Reports that the last tunnel of a host in a role has closed or does not accept new connections. */
void tunnel_guard_gone(struct tunnel_guard *g, struct str host_id, const char *role);

#endif
