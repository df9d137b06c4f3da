/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server side of an HTTP/1.1 connection (RFC 9112): reads requests one after another and passes each to the handler of
 * its route.
 *
 *     IDLE ──first byte──► REQUEST ──head, collected body──► RESPOND ──response──► FLUSH ──► IDLE
 *                             └─────head, streamed body────► BODY ──last byte──► RESPOND
 *
 * One request is served at a time; bytes that follow it wait, up to LIMIT_HTTP1_AHEAD. The connection stays open for
 * the next request unless the client wants it closed, speaks HTTP/1.0, has sent a malformed request, or has sent
 * LIMIT_HTTP1_REQUESTS. It works on any stream and uses the strict parser of http1.h.
 */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include "net/http1.h"
#include "net/stream.h"

struct loop;

/* A request and its response. Valid from open() until the response has ended or on_gone. */
struct http_exchange;

/*
 * A row of the routing table. The first whose path and method match serves the request; if only paths match the answer is
 * 405, otherwise 404.
 */
struct http_route {
        const char *method;    /* "GET" serves HEAD, too: without the body. NULL: any method */
        const char *path;      /* "/a": this path; a final "*" matches any suffix, also the empty one */
        size_t body_max;       /* the longest body of a request in bytes; 0: a request has none */
        bool is_body_streamed; /* open() is called before the body, which http_exchange_listen() delivers; otherwise after it */
        void (*open)(void *ctx, struct http_exchange *x);
};

struct http_server_options {
        struct loop *loop;
        /* Called for each request before its handler; an error (owned by the server) refuses it with status 400, FAILED_PRECONDITION with 421. May be NULL. */
        struct error *(*check)(void *ctx, const struct http1_request *request);
        const struct http_route *routes; /* must outlive the connection */
        size_t route_count;
        /*
         * Responds at once, with http_respond(), to a request that cannot be served: status 400, 404, 405, 413, 421 or 431,
         * and the reason. The request is empty when it could not be read.
         */
        void (*refuse)(void *ctx, struct http_exchange *x, int status, const struct error *err);
        /*
         * After a response whose connection stays open, the server ends and gives it back, with the bytes after the request; owned by the
         * receiver. on_closed follows. The first bytes of the connection must be those of a request then. NULL: the server goes on with the next one.
         */
        void (*on_next)(void *ctx, struct stream *s);
        size_t requests; /* were served on this connection before */
        /* Called once, from the loop: the connection has ended, was upgraded or given back, and the http_server is freed. */
        void (*on_closed)(void *ctx);
        void *ctx; /* of all callbacks and handlers */
};

/* Serves on `s`, owned from now on. */
struct http_server;
struct http_server *http_serve(struct stream *s, struct http_server_options options) MUST_USE;

/* The client is a load balancer: from the next response on TIMEOUT_HTTP1_IDLE_BALANCER applies to the idle connection. */
void http_server_expect_balancer(struct http_server *h);

/* Closes the connection once the current request, if one has begun to arrive, was answered. */
void http_server_drain(struct http_server *h);
/* Closes the connection now: calls on_gone of an open request, then on_closed from the loop. */
void http_server_close(struct http_server *h);

/* ---- requests -------------------------------------------------------------------------------------------- */

/* Borrowed while the exchange is valid. */
const struct http1_request *http_exchange_request(const struct http_exchange *x);
/* Whether the connection closes after this response because the server drains: it cannot be upgraded. */
bool http_exchange_is_draining(const struct http_exchange *x);
/* The collected body; wiped when the exchange ends. */
struct str http_exchange_body(const struct http_exchange *x);

struct http_exchange_events {
        void (*on_body)(void *ctx, struct str bytes); /* a piece of a streamed body */
        void (*on_body_end)(void *ctx);               /* the body is complete */
        void (*on_drain)(void *ctx);                  /* all written bytes of a streamed response were sent; may be NULL */
        void (*on_gone)(void *ctx);                   /* the connection ended before the response; the exchange is freed */
};
/* Handlers that do not respond within open() must call this there. Members for a streamed body may be NULL without one. */
void http_exchange_listen(struct http_exchange *x, const struct http_exchange_events *events, void *ctx);

/*
 * Pauses or resumes the delivery of a streamed body, which is on at first. Bytes that were read already, LOOP_BUFFER at
 * most, are still delivered.
 */
void http_exchange_read(struct http_exchange *x, bool wanted);

/* ---- responses ------------------------------------------------------------------------------------------- */

struct http_response {
        int status;
        const char *content_type; /* NULL: none */
        const char *fields;       /* further field lines, each with its CRLF; NULL: none */
        struct str body;
        bool is_last;             /* the connection is closed after it */
};

/* Sends the whole response and ends the exchange. HEAD gets the head only. The rest of a streamed request body is dropped. */
void http_respond(struct http_exchange *x, struct http_response response);

/*
 * Sends a response in pieces: the head, then any number of writes, then the end. response.body is not used. With
 * HTTP_LENGTH_UNKNOWN the body is chunked, or with HTTP/1.0 ends with the connection; otherwise exactly `length` bytes
 * must be written.
 */
#define HTTP_LENGTH_UNKNOWN SIZE_MAX
void http_respond_begin(struct http_exchange *x, struct http_response response, size_t length);
void http_respond_write(struct http_exchange *x, struct str bytes);
void http_respond_end(struct http_exchange *x);
/* The number of bytes of the response that wait to be sent. */
size_t http_exchange_pending(const struct http_exchange *x);

/*
 * Switches protocols (RFC 9110 section 7.8): sends 101 with this Upgrade and these field lines, and returns the
 * connection, including bytes that the client has sent ahead. The exchange and the http_server end. NULL without any
 * effect: the client has not requested this protocol, speaks HTTP/1.0, or has sent too much ahead, or the connection is
 * about to close; the caller then responds otherwise.
 */
struct stream *http_exchange_upgrade(struct http_exchange *x, const char *protocol, const char *fields) MUST_USE;

#endif
