/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepts and identifies the clients of the Auth Service: on the TCP port with TLS, on the administrators' Unix socket,
 * and on links of local services.
 */
#ifndef AUTH_CORE_LISTENER_H
#define AUTH_CORE_LISTENER_H

#include "auth/core/auth.h"

struct auth_listener;
struct passes;

/* Listens on the descriptors of the service ("listen", "auth.sock"); a->tls must be ready. */
struct auth_listener *auth_listener_open(struct auth *a) MUST_USE;

/* Serves a process of this host that has the name of a service, on a connected socket (owned), unless the listener drains. */
void auth_listener_local(struct auth *a, const char *name, int fd);

/* Connections that proxies have announced. */
struct passes *auth_listener_passes(struct auth_listener *d);

/* Accepts no new connections and finishes open ones. drained is called once, from the loop, when the last caller has gone. */
void auth_listener_drain(struct auth_listener *d, void (*drained)(void *ctx), void *ctx);
void auth_listener_close(struct auth_listener *d);

#endif
