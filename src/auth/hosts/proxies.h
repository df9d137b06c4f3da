/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of Proxy Services for agents: each agent keeps a tunnel to every proxy. A proxy is
 * known from when its host announces it until its presence record ends, so that one being started again
 * stays on the list.
 */
#ifndef AUTH_HOSTS_PROXIES_H
#define AUTH_HOSTS_PROXIES_H

#include "api.pb-c.h"
#include "auth/core/auth.h"

struct proxies;

/* Reads those announced before; ready(ctx, err) once from the loop. changed(ctx) from the loop whenever the list has changed. */
struct proxies *proxies_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void (*changed)(void *ctx), void *ctx) MUST_USE;
/* Follows the store no longer, so that it can be closed. */
void proxies_stop(struct proxies *p);
void proxies_close(struct proxies *p);

/* What a host announces: a Proxy Service reached at addr ("": not said), or none. */
void proxies_note(struct proxies *p, struct str host_id, bool is_proxy, struct str addr);

/* The list as agents get it, sorted by host ID; in the arena. */
void proxies_list(const struct proxies *p, struct arena *arena, Cteleport__V1__PresenceDown__Proxies *ret);

/* host:port of a proxy that said where it is reached, in the arena; "" when none did. */
struct str proxies_public_addr(const struct proxies *p, struct arena *arena);

#endif
