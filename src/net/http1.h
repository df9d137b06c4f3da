/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of the heads of HTTP/1 requests and responses (RFC 9112). It works on bytes in memory: sockets and timeouts
 * are the caller's (http_server.h, http_connect.h). Requests are parsed strictly, since a proxy in front may have
 * parsed them differently.
 *
 * Strict means: CRLF line ends, one blank between the parts of the request line, an origin-form target of visible ASCII
 * (host:port with CONNECT), no folded lines, no blank before a colon, no control bytes in values, exactly one Host with
 * HTTP/1.1, none of the fields below twice except lists. Only POST may have a body, with a Content-Length:
 * Transfer-Encoding is refused, which prevents request smuggling.
 */
#ifndef NET_HTTP1_H
#define NET_HTTP1_H

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

enum {
        HTTP1_HEADERS_MAX = 64,
        HTTP1_TARGET_MAX = 8 * KiB,
        HTTP1_LINES_MAX = 8, /* lines of one list field; further ones are refused */
};

/* A list field, which may have several lines (RFC 9110 section 5.3); borrowed from the input. */
struct http1_lines {
        struct str values[HTTP1_LINES_MAX];
        size_t count;
};

struct http1_request {
        struct str method; /* all of these borrow from the input */
        struct str path;   /* of the target, before '?'; "" with CONNECT */
        struct str query;  /* after it, "" when none */
        struct str authority; /* CONNECT: the host of its target "host:port"; "" otherwise */
        uint32_t port;        /* CONNECT: the port of its target; 0 otherwise */
        struct str host;   /* "" when none (HTTP/1.0) */
        struct str content_type, origin, fetch_site, login, kind, tried; /* "" when none; the last three: X-Teleport-Login, -Kind, -Tried */
        struct str cookie, user_agent; /* "" when none */
        struct str websocket_key, websocket_version; /* "" when none; Sec-WebSocket-… */
        struct http1_lines websocket_protocol;       /* of Sec-WebSocket-Protocol */
        /*
         * The protocols of Upgrade and of X-Teleport-Upgrade, in which clients repeat them, since some load balancers replace the
         * lines of Upgrade by "websocket".
         */
        struct http1_lines upgrade;
        struct http1_lines forwarded_for; /* of X-Forwarded-For */
        size_t body;       /* length of the body, which follows the head */
        bool is_close;     /* Connection has "close" */
        bool is_upgrade;   /* Connection has "upgrade" */
        int minor;         /* HTTP/1.<minor> */
};

/*
 * Reads the head of a request. *ret_head is its length with the blank line, 0 while more bytes are needed.
 * INVALID_ARGUMENT: not a valid request (400). RESOURCE_EXHAUSTED: the head is longer than LIMIT_HTTP1_HEADER or has
 * too many fields (431). UNIMPLEMENTED: it has a body that is longer than body_max, of unknown length or not allowed
 * (413). If an input is refused, every continuation of it is refused as well.
 */
struct error *http1_parse(struct str bytes, size_t body_max, struct http1_request *ret, size_t *ret_head) MUST_USE;

/*
 * Reads the status line of a response and finds the end of its head; the fields are not parsed. *ret_head is the head's
 * length with the blank line, 0 while more bytes are needed; *ret_reason borrows. INVALID_ARGUMENT: not an HTTP
 * response. RESOURCE_EXHAUSTED: longer than LIMIT_HTTP1_HEADER.
 */
struct error *http1_response_parse(struct str bytes, int *ret_status, struct str *ret_reason, size_t *ret_head) MUST_USE;

/* The value of the first field of that name in a response's head, trimmed; borrowed. {NULL, 0}: there is none. */
struct str http1_response_field(struct str head, const char *name);

/* Whether a status says that a gateway got no answer from the server behind it: 502, 503, 504. */
bool http1_status_is_gateway(int status);

/* Whether a list of tokens, "a, b", has this one; case does not matter. */
bool http1_list_has(struct str list, struct str token);

/*
 * The first element of a list field, in the order of its sender's preference, that is one of `known` (up to NULL); NULL: none.
 * Case does not matter.
 */
const char *http1_lines_choose(const struct http1_lines *lines, const char *const *known);
bool http1_lines_have(const struct http1_lines *lines, const char *token);

/* "Not Found" for 404; "Unknown" for statuses that this server does not send. */
const char *http1_reason(int status);

#endif
