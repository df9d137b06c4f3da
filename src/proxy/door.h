/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every connection to the public port, from accept to its end: counted, looked at, sent to where it
 * belongs. A failure costs that connection only.
 *
 *     HELLO ──► DIAL ──► PASS_THROUGH          (ALPN teleport-auth@…, or a name of the Auth Service)
 *       └─────► HANDSHAKE ──► SERVE_GRPC
 *                     ├─────► SERVE_SSH         (ALPN cteleport-ssh, certificate by the user CA)
 *                     ├─────► proxy's tunnels   (ALPN cteleport-reversetunnel, certificate of role Node)
 *                     └─────► SERVE_HTTP ──► ASK   (pages that auth is asked for)
 */
#ifndef PROXY_DOOR_H
#define PROXY_DOOR_H

#include <stdbool.h>

struct proxy;

/* listen_fd is owned. */
struct door;
struct door *door_open(struct proxy *p, int listen_fd);

/* Accepts no more; joins under way may finish, what only waits or is passed through ends. */
void door_drain(struct door *d);

/* Accepts no more and ends every connection; proxy_is_empty() follows from the loop. */
void door_shut(struct door *d);

bool door_is_empty(const struct door *d);

/* After proxy_is_empty(). NULL is silent. */
void door_free(struct door *d);

#endif
