/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All connections to the public port: the acceptor (net/acceptor.h) parses the ClientHello and does the handshake, then the
 * ALPN selects the handler. A failure affects that connection only.
 *
 *     ClientHello ──► pass_through             (ALPN teleport-auth@…, or a name of the Auth Service)
 *       └─────► handshake ──► gRPC
 *                     ├─────► ssh_dial          (ALPN cteleport-ssh, certificate by the user CA)
 *                     ├─────► tunnels           (ALPN cteleport-reversetunnel, certificate of role Node)
 *                     ├─────► ssh_refusal       (protocols of Teleport's own agents and clients)
 *                     ├─────► app_gateway         (a server name of an application; HTTP/2 by app_h2)
 *                     ├─────► host_switch       (no server name, or a load balancer's: the Host of each request decides)
 *                     └─────► web               (the pages)
 *
 * A connection to the port for plain HTTP goes to host_switch without TLS. Upgraded connections (upgrade.h) come back to the acceptor and
 * begin with their own ClientHello.
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include <stdbool.h>

struct proxy;

struct proxy_listener;

/* Listens on listen_fd, which is owned, and for plain HTTP on plain_fd (owned) unless that is -1. */
struct proxy_listener *proxy_listener_open(struct proxy *p, int listen_fd, int plain_fd);

/* Stops accepting; running joins may finish, idle and passed-through connections are ended. */
void proxy_listener_drain(struct proxy_listener *d);

/* Stops accepting and ends every connection; proxy_is_empty() is called later from the loop. */
void proxy_listener_shut(struct proxy_listener *d);

bool proxy_listener_is_empty(const struct proxy_listener *d);

/* To be called after proxy_is_empty(). NULL is ignored. */
void proxy_listener_free(struct proxy_listener *d);

#endif
