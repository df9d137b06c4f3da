/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an HTTP/1 request head: enough for the few pages a proxy has, and strict (RFC 9112). An engine:
 * it never sees a socket.
 *
 * Strict means: CRLF line ends, one blank between the parts of the request line, an origin-form target of
 * visible ASCII (host:port with CONNECT), no folded lines, no blank before a colon, no control bytes in values, exactly one Host with
 * HTTP/1.1, no field twice that is looked at. A body comes with POST only, is short, and has a Content-Length:
 * Transfer-Encoding is refused. Each connection serves one request, so that there is no smuggling.
 */
#ifndef NET_HTTP1_H
#define NET_HTTP1_H

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

enum {
        HTTP1_HEADERS_MAX = 64,
        HTTP1_TARGET_MAX = 2 * KiB,
        HTTP1_BODY_MAX = 8 * KiB, /* a form with two passwords, each character of them escaped */
};

struct http1_request {
        struct str method; /* all of these borrow from the input */
        struct str path;   /* of the target, before '?'; "" with CONNECT */
        struct str query;  /* after it, "" when none */
        struct str authority; /* CONNECT: the host of its target "host:port"; "" otherwise */
        struct str host;   /* "" when none (HTTP/1.0) */
        struct str content_type, origin, fetch_site, login; /* "" when none; login: X-Teleport-Login */
        size_t body;       /* bytes of it, behind the head */
        int minor;         /* HTTP/1.<minor> */
};

/*
 * Reads the head of a request. *ret_head is its length with the blank line, 0 while more bytes are
 * needed. INVALID_ARGUMENT: this is no request (400). RESOURCE_EXHAUSTED: the head is longer than
 * LIMIT_HTTP1_HEADER or has too many fields (431). UNIMPLEMENTED: it has a body that is too long or of no
 * known length, or where none belongs (413). Once an input is refused, every input that begins with it is.
 */
struct error *http1_parse(struct str bytes, struct http1_request *ret, size_t *ret_head) MUST_USE;

/* "Not Found" for 404; "Unknown" for what is not sent here. */
const char *http1_reason(int status);

#endif
