/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of one small HTTP/1.1 page (RFC 9112) over any stream, for pages of the proxy that may come through a load
 * balancer. Requests to AWS are net/http_client.h's.
 */
#ifndef NET_HTTP_FETCH_H
#define NET_HTTP_FETCH_H

#include "base/buf.h"
#include "base/clock.h"
#include "net/stream.h"

struct loop;

/* Everything is copied. */
struct http_fetch_request {
        const char *host; /* of the Host field */
        const char *path;
        size_t limit; /* bytes of the body */
        struct duration within;
        /* Makes the error of a status that is not 200; NULL: one with the status alone. */
        struct error *(*refusal)(int status, struct str reason, struct str head, struct str body);
};

/*
 * Sends GET on `s`, owned from now on, and reads the answer. done is called exactly once, from the loop: with the body
 * (borrowed) of a status 200 that was received completely, or an error (owned): UNAVAILABLE for any other status, an
 * answer that is not HTTP, or one that was cut; RESOURCE_EXHAUSTED; DEADLINE_EXCEEDED; CANCELLED.
 */
struct http_fetch;
struct http_fetch *http_fetch_start(struct loop *l, struct stream *s, const struct http_fetch_request *request,
                                    void (*done)(void *ctx, struct str body, struct error *err), void *ctx) MUST_USE;
/* Within done: "the server there ('nginx/1.22.1')" of the answer; the caller frees. */
char *http_fetch_answerer(const struct http_fetch *f) MUST_USE;
void http_fetch_cancel(struct http_fetch *f); /* calls done with CANCELLED unless it was called already */

/*
 * Reads an answer that was received so far; is_ended: nothing follows. *ret_complete: it is whole, and its body is
 * appended to `body`, whose maximum is the limit (RFC 9112 sections 6 and 7). Heads of status 1xx are skipped. Errors as
 * above; an answer that is refused is refused with every continuation.
 */
struct error *http_fetch_parse(struct str bytes, bool is_ended, struct buf *body, bool *ret_complete) MUST_USE;

/* "the server there ('nginx/1.22.1')" from the Server field of a head, escaped; the caller frees. */
char *http_fetch_server(struct str head) MUST_USE;

#endif
