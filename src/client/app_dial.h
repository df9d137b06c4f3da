/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection from a workstation to an application.
 *
 *      proxy ◀── CONNECT ── DIAL        the proxy names the host that it connects to
 *       auth ◀───────────── CHECK       does this host offer the application? (client/app_hosts.h)
 *       host ◀── TLS 1.3 ── HANDSHAKE   inside that stream, with the user's certificate; the host must have the certificate of
 *         │                             that ID and of the role App
 *         └─── status ────▶ STATUS      of a TCP application: its bytes follow, or the reason why not (cluster/app_status.h)
 *
 * Without a status that its bytes follow, the next host is dialled, up to LIMIT_DIAL_TRIES: the proxy gets the IDs of those that were tried. If there
 * is no other one, done gets the reason of the last host.
 */
#ifndef CLIENT_APP_DIAL_H
#define CLIENT_APP_DIAL_H

#include "client/app_hosts.h"

/*
 * done is called exactly once, from the loop, with a stream of the application's bytes (for an HTTP application: of HTTP/1.1), or an
 * error. profile and hosts are borrowed until then, the name is copied. port: one of
 * its tcp_ports, 0 if it has none; host and cluster must agree on it.
 */
void app_dial_start(struct loop *l, const struct profile *p, const char *app, uint32_t port, struct app_hosts *hosts,
                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx);

#endif
