/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every connection to the public port: the acceptor (net/acceptor.h) brings it through its ClientHello and handshake, and its
 * ALPN decides where it belongs. A failure costs that connection only.
 *
 *     ClientHello ──► pass_through             (ALPN teleport-auth@…, or a name of the Auth Service)
 *       └─────► handshake ──► gRPC
 *                     ├─────► ssh_dial          (ALPN cteleport-ssh, certificate by the user CA)
 *                     ├─────► tunnels           (ALPN cteleport-reversetunnel, certificate of role Node)
 *                     ├─────► ssh_refusal       (protocols of Teleport's own agents and clients)
 *                     └─────► web               (the pages)
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include <stdbool.h>

struct proxy;

struct proxy_listener;

/* Listens on listen_fd, which is owned. */
struct proxy_listener *proxy_listener_open(struct proxy *p, int listen_fd);

/* Accepts no more; joins under way may finish, what only waits or is passed through ends. */
void proxy_listener_drain(struct proxy_listener *d);

/* Accepts no more and ends every connection; proxy_is_empty() follows from the loop. */
void proxy_listener_shut(struct proxy_listener *d);

bool proxy_listener_is_empty(const struct proxy_listener *d);

/* After proxy_is_empty(). NULL is silent. */
void proxy_listener_free(struct proxy_listener *d);

#endif
