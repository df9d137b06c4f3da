/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/1 requests and responses for a gateway (RFC 9112): parsed strictly, edited, and written anew from the parsed form. Bytes
 * of the sender are never passed on as they came, so that the next server cannot understand them otherwise.
 *
 * Strict means: lines end in CR LF; no folded line, no blank before a colon, no control byte; one Host; at most one Content-Length, of
 * digits only; Transfer-Encoding is exactly "chunked", in HTTP/1.1, and never beside Content-Length; a name that CGI would take for one
 * of these ("Content_Length") is refused. Of a Connection field only the meaning stays: the fields that it names are removed, unless they
 * belong to the message itself (Host, Content-*, Authorization, Cookie, Set-Cookie and those of http_name_is_of_gateway()).
 *
 * A parsed head has no fields of the connection and of the framing any more; their meaning is in its members.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "http/fields.h"

enum http_body_kind {
        HTTP_BODY_NONE,
        HTTP_BODY_LENGTH,      /* Content-Length */
        HTTP_BODY_CHUNKED,     /* Transfer-Encoding: chunked */
        HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

struct http_framing {
        enum http_body_kind kind;
        uint64_t length; /* of HTTP_BODY_LENGTH */
};

/* Texts are of fields' arena. */
struct http_request {
        struct str method;
        struct str target;  /* "/path?query", or "*" with OPTIONS */
        struct str host;    /* host or host:port, of Host or of an absolute target */
        struct str upgrade; /* the protocols that the client offers to upgrade to, "a, b"; "" none */
        struct http_fields fields;
        struct http_framing body;
        int minor; /* HTTP/1.<minor> */
        bool is_close, expects_continue, accepts_trailers;
};

struct http_response {
        int status;
        struct str reason;
        struct str upgrade; /* with 101: the protocol */
        struct http_fields fields;
        struct http_framing body;
        int minor;
        bool is_close;
};

void http_request_release(struct http_request *r);
void http_response_release(struct http_response *r);

/*
 * Finds the end of a head. *scanned, 0 at first, is the part that was searched in earlier calls with less of the same bytes; *ret_len is
 * the length of the head with its blank line, 0 while it is incomplete. INVALID_ARGUMENT: a line does not end in CR LF.
 * RESOURCE_EXHAUSTED: it is longer than LIMIT_HTTP_HEAD.
 */
struct error *http_head_find_end(struct str bytes, size_t *scanned, size_t *ret_len) MUST_USE;

/*
 * Parses a whole head. *ret must be zeroed; it is unchanged after an error. INVALID_ARGUMENT: malformed (400). RESOURCE_EXHAUSTED: too
 * many fields (431). UNIMPLEMENTED: CONNECT, or a transfer coding other than chunked (501). FAILED_PRECONDITION: an Expect other than 100-continue (417).
 */
struct error *http_request_parse(struct str head, struct http_request *ret) MUST_USE;

/* The same for a response to a request; is_head: its method was HEAD. Every error is the backend's fault (502). */
struct error *http_response_parse(struct str head, bool is_head, struct http_response *ret) MUST_USE;

/* INVALID_ARGUMENT: not host or host:port. */
struct error *http_request_set_host(struct http_request *r, struct str host) MUST_USE;

/* Appends the head as HTTP/1.1, with the framing of r->body and, if there are protocols to upgrade to, these. */
void http_request_put(struct buf *out, const struct http_request *r);

/* How a response is sent on. */
struct http_send {
        struct http_framing body;
        bool is_close; /* the connection ends after it */
        size_t following; /* bytes of the body that the caller appends: memory for them is allocated with that of the head */
};
void http_response_put(struct buf *out, const struct http_response *r, struct http_send how);

/* Whether a response with this status to this method has no body (RFC 9110 section 6.4.1). */
bool http_has_no_body(int status, bool is_head);

/* Whether a request of this method may be sent again if it may have been handled already (RFC 9110 section 9.2.2). */
bool http_method_is_idempotent(struct str method);

#endif
