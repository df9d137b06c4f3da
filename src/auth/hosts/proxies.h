/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of Proxy Services for agents: each agent keeps a tunnel to every proxy. A proxy is listed from its host's
 * announcement until its presence record expires, so a proxy that restarts stays on the list.
 */
#ifndef AUTH_HOSTS_PROXIES_H
#define AUTH_HOSTS_PROXIES_H

#include "api.pb-c.h"
#include "auth/core/auth.h"

struct proxies;

/*
 * Reads the announced proxies from the store; ready(ctx, err) is called once from the loop. changed(ctx) from the loop
 * whenever the list has changed.
 */
struct proxies *proxies_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void (*changed)(void *ctx), void *ctx) MUST_USE;
/* Stops watching the store, so that it can be closed. */
void proxies_stop(struct proxies *p);
void proxies_close(struct proxies *p);

/* Updates the list with a host's announcement: a Proxy Service reached at addr ("": no address given), or none. */
void proxies_note(struct proxies *p, struct str host_id, bool is_proxy, struct str addr);
/* A proxy has connected or is lost: the list is sent again, from the loop. NULL is ignored. */
void proxies_note_connected(struct proxies *p);

/* The list as agents get it, sorted by host ID; in the arena. */
void proxies_list(const struct proxies *p, struct arena *arena, Cteleport__V1__PresenceDown__Proxies *ret);

/* host:port of a proxy that announced its address, in the arena; "" when none did. */
struct str proxies_public_addr(const struct proxies *p, struct arena *arena);

#endif
