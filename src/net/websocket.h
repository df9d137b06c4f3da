/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket connection (RFC 6455) as a stream: transfers bytes as binary messages, whose boundaries have no meaning.
 * Text messages are refused.
 *
 * Beyond the rules of stream.h:
 *  - A close frame ends both directions (section 5.5.1). stream_shutdown() sends one; bytes of the peer still come until its own.
 *    After on_end what is written is dropped.
 *  - on_end has an error if the connection ended without a close frame, since it may have been truncated, if the peer
 *    violated the protocol, or if the status of its close frame reports a failure.
 *  - Pings are answered. One is sent after TIMEOUT_UPGRADE_KEEPALIVE without a byte in one of the directions, so that load
 *    balancers do not take the connection for idle. If nothing came from the peer, and no answer comes within
 *    TIMEOUT_KEEPALIVE_ANSWER, the stream breaks. A paused stream sends pings and waits for no answer.
 *  - A peer that sends pings and does not read the answers is cut off at LIMIT_WEBSOCKET_CONTROL.
 */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include "base/clock.h"
#include "net/stream.h"

struct http_exchange;
struct loop;

enum websocket_role { WEBSOCKET_CLIENT, WEBSOCKET_SERVER };

/* Creates the stream over `lower` (owned from now on), on which the handshake was done. Clients mask their frames. */
struct stream *websocket_stream(struct loop *l, struct stream *lower, enum websocket_role role) MUST_USE;

/* ---- websocket_handshake.c ------------------------------------------------------------------------------- */

/*
 * Accepts the handshake of a request (section 4.2) and ends the exchange. `protocols` are the subprotocols that are served
 * (up to NULL): the first one that the client offers is chosen; NULL: none is expected. Returns NULL if the request is
 * not a handshake of version 13 with one of them; it was then answered with 400, or with 426 for another version. The caller
 * must check the request's Origin before.
 */
struct stream *websocket_accept(struct loop *l, struct http_exchange *x, const char *const *protocols) MUST_USE;

struct websocket_request {
        const char *host;     /* of the Host field */
        const char *path;     /* "/webapi/…" */
        const char *protocol; /* offered subprotocol, which the server must choose; NULL: none */
        const char *fields;   /* further field lines of the request, each with its CRLF; NULL: none */
        /*
         * Makes the error for an answer with a status other than 101, from its head and the beginning of its body (http_answer.h);
         * NULL: an error of general words.
         */
        struct error *(*refusal)(int status, struct str reason, struct str head, struct str body);
        struct duration within;
};

/*
 * Makes the client's handshake (section 4.1) on `s`, owned from now on. done is called exactly once, from the loop,
 * with the stream or an error: UNAVAILABLE when the server refuses, closes the connection or sends an invalid answer;
 * DEADLINE_EXCEEDED. Its reason is REASON_GATEWAY if the connection was lost before an answer, and not if the server ended TLS
 * by an alert that refuses the client.
 */
struct websocket_connect;
struct websocket_connect *websocket_connect_start(struct loop *l, struct stream *s, const struct websocket_request *request,
                                                  void (*done)(void *ctx, struct stream *ws, struct error *err),
                                                  void *ctx) MUST_USE;
void websocket_connect_cancel(struct websocket_connect *c); /* calls done with CANCELLED unless it was called already */

#endif
