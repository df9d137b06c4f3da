/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves a user's connection to a node or an application: over TLS with the ALPN "cteleport-ssh" and a user certificate, the client sends
 * one HTTP/1.1 CONNECT; auth decides, the proxy opens a stream in the tunnel of the host, and then forwards bytes in both
 * directions.
 *
 *     CONNECT <host name or host ID>:0 HTTP/1.1          HTTP/1.1 200 OK
 *     Host: <the same>                                   X-Teleport-Host-Id: <host ID>
 *     X-Teleport-Login: root                             X-Teleport-Connection: <connection ID>
 *
 * For an application the target is its name, with X-Teleport-Kind: app and without a login. If several hosts offer it and the one
 * that auth has named does not accept the connection, auth names another one, up to LIMIT_DIAL_TRIES.
 *
 * A refusal is a status with a text/plain body, "what\nhint: …\n".
 *
 *     HEAD ──▶ DIAL (resource_dial.h) ──▶ SPLICE
 */
#ifndef PROXY_SSH_DIAL_H
#define PROXY_SSH_DIAL_H

#include "base/str.h"

struct proxy;
struct stream;

#define SSH_DIAL_ALPN "cteleport-ssh"

/*
 * Serves tls (owned), whose client has presented a certificate issued by the user CA. done is called exactly once, from
 * the loop, when the connection has ended.
 */
struct ssh_dial;
struct ssh_dial *ssh_dial_start(struct proxy *p, struct stream *tls, const char *peer, void (*done)(void *ctx),
                                void *ctx) MUST_USE;

/* Refuses a connection that is not established yet; an established one continues. */
void ssh_dial_drain(struct ssh_dial *d);

/* Closes the connection; done is called afterwards. */
void ssh_dial_cancel(struct ssh_dial *d);

#endif
