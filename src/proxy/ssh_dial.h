/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user's connection to a node: on TLS with the ALPN "cteleport-ssh" and a certificate by the user CA, one
 * HTTP/1.1 CONNECT; auth decides, the node's tunnel gives a stream, and then bytes go both
 * ways.
 *
 *     CONNECT <host name or host ID>:0 HTTP/1.1          HTTP/1.1 200 OK
 *     Host: <the same>                                   X-Teleport-Host-Id: <host ID>
 *     X-Teleport-Login: root                             X-Teleport-Connection: <connection ID>
 *
 * A refusal is a status with a text/plain body, "what\nhint: …\n".
 *
 *     HEAD ──▶ ASK ──▶ CONNECT ──▶ SPLICE
 */
#ifndef PROXY_SSH_DIAL_H
#define PROXY_SSH_DIAL_H

#include "base/str.h"

struct proxy;
struct stream;

#define SSH_DIAL_ALPN "cteleport-ssh"

/*
 * Serves tls (owned), whose peer has shown a certificate that the user CA made. done comes exactly once,
 * from the loop, when it is over.
 */
struct ssh_dial;
struct ssh_dial *ssh_dial_start(struct proxy *p, struct stream *tls, const char *peer, void (*done)(void *ctx),
                                void *ctx) MUST_USE;

/* Nothing new is begun; a connection that stands may go on. */
void ssh_dial_drain(struct ssh_dial *d);

/* Ends it; done follows. */
void ssh_dial_cancel(struct ssh_dial *d);

#endif
