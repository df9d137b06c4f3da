/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse tunnel: HTTP/2 with the roles swapped (RFC 9113), on a connection that the agent opened to the proxy with ALPN
 * "cteleport-reversetunnel" and mutual TLS. The proxy is the HTTP/2 client and opens a CONNECT stream (section 8.5) for each
 * connection to a resource of the host; the agent is the server.
 *
 *     agent ── TCP, TLS ──▶ proxy          opens the tunnel
 *     agent ◀── CONNECT ─── proxy          requests a connection; 200, then bytes in both directions
 *
 * The request names the service and the resource:
 *
 *     :method CONNECT                       cteleport-connection  <connection ID>
 *     :authority <host ID>                  cteleport-client-addr <ip:port>
 *     cteleport-service <"ssh">             cteleport-user        <the user, by the Auth Service>
 *     cteleport-kind    <"node">
 *     cteleport-name    <of the resource>
 *
 * A refusal is a status other than 200 with a sentence in the header cteleport-error (percent-encoded as grpc-message is).
 *
 * Every CONNECT stream is a struct stream: a reader that pauses fills the window of its own stream only.
 */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include "net/stream.h"

struct loop;

#define TUNNEL_ALPN "cteleport-reversetunnel"

/* A connection that the proxy requests; borrowed during the callback. */
struct tunnel_request {
        struct str host_id;
        struct str service; /* service of the host, by its name in the table of services */
        struct str kind, name; /* of the resource */
        struct str connection_id;
        struct str client_addr;
        struct str user; /* the user, from the Auth Service's answer to the proxy */
};

/* ---- the agent's end ----------------------------------------------------------------------------- */
struct tunnel_server;
struct tunnel_incoming; /* a CONNECT that waits for its answer */
struct tunnel_server_events {
        /*
         * A CONNECT was received. The owner answers now or later, exactly once, with tunnel_accept() or
         * tunnel_refuse(), unless on_gone is called first.
         */
        void (*on_connect)(void *ctx, struct tunnel_incoming *v, const struct tunnel_request *request);
        /* An incoming stream ended before it was answered; v must not be used any more. */
        void (*on_gone)(void *ctx, struct tunnel_incoming *v);
        /* The tunnel is lost, or the proxy requested its end (err owned); all its streams are broken. The owner closes it. */
        void (*on_end)(void *ctx, struct error *err);
        /* The proxy drains the tunnel (GOAWAY): open a new one; open streams may continue. May be NULL. */
        void (*on_drain)(void *ctx);
};
/* tls is owned. */
struct tunnel_server *tunnel_server_new(struct loop *l, struct stream *tls, const struct tunnel_server_events *events,
                                        void *ctx) MUST_USE;
void tunnel_server_close(struct tunnel_server *t); /* breaks its streams; no callback follows. NULL is ignored */
/* Sends GOAWAY: requests are refused, open streams continue, and on_end is called when the last one has ended. */
void tunnel_server_drain(struct tunnel_server *t);
struct stream *tunnel_accept(struct tunnel_incoming *v) MUST_USE; /* starts paused */
void tunnel_refuse(struct tunnel_incoming *v, struct error *err); /* owned */

/* ---- the proxy's end ------------------------------------------------------------------------------ */
struct tunnel;
/* Creates the proxy's end; tls is owned. on_end is called once when the tunnel is lost; the owner closes it then. */
struct tunnel *tunnel_new(struct loop *l, struct stream *tls, void (*on_end)(void *ctx, struct error *err), void *ctx) MUST_USE;
/*
 * ready is called when the agent has begun to serve the tunnel, and leaving when the agent accepts no new streams (GOAWAY): each at
 * most once, from the loop, with the context of on_end. Each may be NULL.
 */
void tunnel_watch(struct tunnel *t, void (*ready)(void *ctx), void (*leaving)(void *ctx));
void tunnel_close(struct tunnel *t);
/* Sends GOAWAY; open streams continue. */
void tunnel_drain(struct tunnel *t);

/*
 * Requests a stream; done is called exactly once, from the loop, with a stream (owned, paused) or an error (owned): with
 * REASON_CONNECTION if the agent leaves the tunnel and has not seen the request.
 */
struct tunnel_dial;
struct tunnel_dial *tunnel_connect(struct tunnel *t, const struct tunnel_request *request,
                                   void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
void tunnel_connect_cancel(struct tunnel_dial *d); /* calls done with CANCELLED unless it was called */

#endif
