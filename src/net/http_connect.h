/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the HTTP method CONNECT (RFC 9110 section 9.3.6): requests a tunnel to a target from the server at the
 * other end of a stream, and reports the tunnel or the refusal. Used with HTTP proxies and with the Proxy Service.
 */
#ifndef NET_HTTP_CONNECT_H
#define NET_HTTP_CONNECT_H

#include "base/clock.h"
#include "net/stream.h"

struct loop;

/* Everything is copied. */
struct http_connect_request {
        const char *target; /* "host:port" */
        struct str fields;  /* further field lines, each with its CRLF; may hold a password: the copy is wiped */
        size_t body_max;    /* maximum of a refusal's body to read; 0: the body is not read */
        struct duration within;
};

enum http_connect_outcome {
        HTTP_CONNECT_TUNNEL,    /* status 2xx */
        HTTP_CONNECT_REFUSED,   /* any other status */
        HTTP_CONNECT_MALFORMED, /* the answer is not HTTP; err is the reason */
        HTTP_CONNECT_ENDED,     /* the connection ended before the answer; err is the reason, NULL: closed normally */
        HTTP_CONNECT_TIMEOUT,
        HTTP_CONNECT_CANCELLED,
};

struct http_connect_result {
        enum http_connect_outcome outcome;
        struct stream *tunnel; /* owned by the receiver: the bytes after the head */
        int status;
        struct str head;   /* of the answer, when it is complete; borrowed, not escaped */
        struct str reason; /* borrowed, not escaped */
        struct str body;   /* of a refusal, as far as received; borrowed, not escaped */
        struct error *err; /* owned by the receiver, or NULL */
};

/* Sends the request on `s`, owned from now on. done is called exactly once, from the loop. */
struct http_connect;
struct http_connect *http_connect_start(struct loop *l, struct stream *s, const struct http_connect_request *request,
                                        void (*done)(void *ctx, const struct http_connect_result *result), void *ctx) MUST_USE;
void http_connect_cancel(struct http_connect *c); /* calls done with CANCELLED unless it was called already */

#endif
