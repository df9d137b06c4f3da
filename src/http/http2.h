/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/2 requests as requests of HTTP/1.1, for a gateway that ends HTTP/2 (RFC 9113 section 8).
 *
 * Pseudo-header fields become the request line and Host, cookie fields are joined, and a body of unknown length becomes a chunked one. The
 * result is parsed by http_request_parse(), so that one parser decides what a request is. Before that everything is refused that has no
 * meaning in HTTP/2 and could change the framing in HTTP/1.1: fields of the connection, Transfer-Encoding, letters of upper case, blanks
 * around values, control bytes, an absolute target, a Host other than :authority, and a Content-Length without a body.
 */
#ifndef HTTP_HTTP2_H
#define HTTP_HTTP2_H

#include "base/buf.h"
#include "http/head.h"

/* A head whose fields arrive one by one. Zeroed at first; the fields are private. */
struct http2_request {
        struct http_fields fields;
        struct str method, scheme, path, authority, host;
        struct buf cookies;
        size_t size;
        bool has_fields; /* no pseudo-header field may follow */
        bool accepts_trailers;
};

void http2_request_release(struct http2_request *r);

/* Adds a field. INVALID_ARGUMENT: malformed. RESOURCE_EXHAUSTED: more than LIMIT_HTTP2_HEADER_LIST, or too many fields. */
struct error *http2_request_add(struct http2_request *r, struct str name, struct str value) MUST_USE;

/*
 * The head is complete. is_ended: the request has no body. *ret must be zeroed, and is unchanged after an error: as of http_request_parse(),
 * or INVALID_ARGUMENT if a pseudo-header field is missing or what it names is not for this server.
 */
struct error *http2_request_parse(const struct http2_request *r, bool is_ended, struct http_request *ret) MUST_USE;

#endif
