/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's HTTP/1.1 connection whose requests are forwarded to a backend, one after another, on one kept connection:
 *
 *     IDLE ──first byte──► HEAD ──on_request──► DECIDE ──http_relay_forward──► FORWARD ──last byte──► IDLE
 *      ▲                    │                    │  ▲                            │ │ │
 *      │                    │ malformed          │  └────────on_reconnect────────┘ │ └──101──► TUNNEL ──► closed
 *      │                    ▼                    ▼                                 │
 *      └──────────────── on_failure ────► http_relay_answer ◄──on_failure──────────┘
 *
 * The owner decides on each request (DECIDE): it edits the head, dials the backend unless a connection is kept, and forwards; or it
 * answers itself, if it wants after reading a short body (http_relay_collect). Bodies are passed on as they come, both at the same time, in constant memory: a side is not read while LIMIT_HTTP_WINDOW
 * bytes wait for the other. If the client ends its connection, the exchange is cancelled. If a kept connection turns out to be closed
 * before a byte of the response, a request without a body whose method is idempotent is repeated (on_reconnect).
 *
 * The connection closes after a request that was malformed, a response whose request had not ended by then, or HTTP/1.0. After the upgrade of a connection
 * (101, if the client offered that protocol) only the two streams and a splice stay in memory.
 */
#ifndef HTTP_RELAY_H
#define HTTP_RELAY_H

#include "http/head.h"
#include "net/stream.h"

struct loop;

enum http_failure {
        HTTP_FAILURE_REQUEST,   /* the client's request is malformed: 400, 417, 431, 501; or too slow: 408 */
        HTTP_FAILURE_CLOSED,    /* the backend closed or broke the connection before its response: 502 */
        HTTP_FAILURE_MALFORMED, /* the backend's response is not valid: 502 */
        HTTP_FAILURE_SLOW,      /* the backend did not respond in time: 504 */
};

/* A finished exchange. */
struct http_record {
        int status;              /* of the response, 0 if none was begun */
        uint64_t received, sent; /* bytes of the body of the request, and of the response */
        bool is_complete;        /* the client was sent a whole response */
};

struct http_relay_events {
        /*
         * Whether a request is none for this relay: it is not served, and on_foreign gets the client's connection, whose next bytes are this request;
         * it is owned by the receiver, and on_closed follows. Both may be NULL.
         */
        bool (*is_foreign)(void *ctx, const struct http_request *request);
        void (*on_foreign)(void *ctx, struct stream *client);
        /* A request has arrived; borrowed, and may be edited, until on_exchange. Now or later: http_relay_forward() or http_relay_answer(). */
        void (*on_request)(void *ctx, struct http_request *request);
        /* The body that http_relay_collect() has asked for is complete; borrowed. The request waits as after on_request. */
        void (*on_collected)(void *ctx, struct str body);
        /* The kept connection was closed meanwhile: http_relay_forward() with a new one, or http_relay_answer(). The request is unchanged. */
        void (*on_reconnect)(void *ctx);
        /* The head of a response, interim ones and 101 included, before it is sent on: may be edited, or taken back. May be NULL. */
        void (*on_response)(void *ctx, struct http_response *response);
        /* No response can be forwarded; `status` is one that fits. Now or later: http_relay_answer(). err is borrowed. */
        void (*on_failure)(void *ctx, enum http_failure failure, int status, const struct error *err);
        /* Once for each request of on_request, and for each on_failure without one: it has ended. With status 101: before its tunnel. */
        void (*on_exchange)(void *ctx, const struct http_record *record);
        void (*on_closed)(void *ctx); /* once, from the loop: the relay is freed when it returns */
};

/* Serves the client of a stream, owned from now on. */
struct http_relay;
struct http_relay *http_relay_start(struct loop *l, struct stream *client, const struct http_relay_events *events, void *ctx) MUST_USE;

/* Closes both connections; on_exchange, if one was running, and on_closed are called from the loop. */
void http_relay_close(struct http_relay *r);

/* Ahead of http_relay_close(): calls on_exchange now if an exchange is running, as far as it has come, and not once more later. */
void http_relay_report(struct http_relay *r);

/* Closes the connection once the current request, if one has begun to arrive, was answered. A tunnel goes on. */
void http_relay_drain(struct http_relay *r);

/* Whether a connection to the backend is kept, so that http_relay_forward() needs none. */
bool http_relay_is_connected(const struct http_relay *r);

/* Closes the kept connection: the next request goes to another backend. */
void http_relay_disconnect(struct http_relay *r);

/* Sends the request over a new connection, owned from now on, which replaces a kept one; NULL: over the kept one. */
void http_relay_forward(struct http_relay *r, struct stream *backend);

/*
 * Within on_response: drops the response, and closes the connection that it came on. The request waits again, as after on_reconnect. False, without any
 * effect, if the request has a body, parts of which are gone.
 */
bool http_relay_take_back(struct http_relay *r) MUST_USE;

/*
 * Reads the body of the request for the owner, which gets it by on_collected. A body longer than `most` is an on_failure with status 413,
 * one that does not arrive within TIMEOUT_HTTP_HEAD one with 408. Not for a request of on_reconnect or on_failure.
 */
void http_relay_collect(struct http_relay *r, size_t most);

/* Responds to the request instead of a backend. fields may be NULL; Content-Length is added. */
void http_relay_answer(struct http_relay *r, int status, const struct http_fields *fields, struct str body);

/* The bytes of the client's stream so far, both ways, heads included. Also valid within on_closed. */
void http_relay_traffic(const struct http_relay *r, uint64_t *ret_from_client, uint64_t *ret_to_client);

/* The request that is being served; NULL without one. */
const struct http_request *http_relay_request(const struct http_relay *r);

#endif
