/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The side of a gateway that sends requests to a backend, one after another on one connection.
 *
 *     IDLE ──request──► AWAIT_HEAD ──head──► BODY ──end──► IDLE (can be kept) or CLOSED
 *      │                 │  ▲   │ interim     └──error──► CLOSED
 *      │                 │  └───┘
 *      │                 └──101 that was asked for──► taken by its owner (http_outgoing_take)
 *      └──end, unsolicited byte, TIMEOUT_HTTP_BACKEND_IDLE──► CLOSED
 *
 * The request's body is sent at the same time as the response is received: either may end first. A response is accepted only if nothing
 * about its end is in doubt (head.h); bytes that follow it are never taken for the next response, the connection is closed instead.
 * An idle connection holds no buffer.
 */
#ifndef HTTP_OUTGOING_H
#define HTTP_OUTGOING_H

#include "http/body.h"
#include "net/stream.h"

struct loop;

/* All are called from the loop. After on_end and on_failed no event of the exchange follows. */
struct http_outgoing_events {
        /* An interim response (status below 200, but not 101), any number of times; then the response, once. Borrowed; may be edited. */
        void (*on_head)(void *ctx, struct http_response *response);
        void (*on_body)(void *ctx, struct str piece);
        void (*on_end)(void *ctx, const struct http_fields *trailers);
        void (*on_pause)(void *ctx); /* what was received so far is delivered, and the response goes on; may be NULL */
        void (*on_drain)(void *ctx); /* all of the request that was written so far is sent */
        /*
         * The exchange failed, and the connection is closed; owns err. UNAVAILABLE: the backend closed or broke it; DEADLINE_EXCEEDED: it is
         * too slow; INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED: its response is malformed. is_unanswered: no byte of a response came.
         */
        void (*on_failed)(void *ctx, struct error *err, bool is_unanswered);
};

/* Over a connected stream, owned from now on. */
struct http_outgoing;
struct http_outgoing *http_outgoing_new(struct loop *l, struct stream *s) MUST_USE;

/* Closes the connection; no event follows. NULL is silent. */
void http_outgoing_close(struct http_outgoing *o);

/* Whether http_outgoing_request() may be called: no exchange is running, and the backend keeps the connection open. */
bool http_outgoing_is_idle(const struct http_outgoing *o);

/* Whether an exchange has ended on this connection: the backend may be closing it while the next request is on its way. */
bool http_outgoing_is_reused(const struct http_outgoing *o);

/* Sends the head of a request, borrowed for the call; its body must follow as r->body announces. */
void http_outgoing_request(struct http_outgoing *o, const struct http_request *r, const struct http_outgoing_events *events, void *ctx);
void http_outgoing_body(struct http_outgoing *o, struct str piece);                        /* not empty */
void http_outgoing_body_end(struct http_outgoing *o, const struct http_fields *trailers); /* trailers may be NULL */

/* The bytes that wait to be sent: the owner stops producing above its own mark, until on_drain. */
size_t http_outgoing_pending(const struct http_outgoing *o);

/* Pauses the response, except for what is being delivered; for a receiver that is slow. */
void http_outgoing_read(struct http_outgoing *o, bool wanted);

/*
 * Within on_head of a response with status 101: the stream, paused, for its owner to use in the new protocol; *ret_ahead gets the bytes of
 * it that came with the head. The connection ends as if closed.
 */
struct stream *http_outgoing_take(struct http_outgoing *o, struct buf *ret_ahead) MUST_USE;

#endif
