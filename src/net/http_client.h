/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 client for the few requests we make to AWS: libcurl on our loop.
 *
 * libcurl and the thirty libraries behind it are loaded on the first request, or by http_client_load(), and stay: they
 * are for processes whose work is with AWS. No other process makes a client.
 *
 * Always: peer and host name verified, TLS 1.2 at least, no redirects, no cookies, no netrc, no content
 * coding, no proxy unless asked for, header and body bytes capped, connect and total time capped.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

struct loop;

struct http_client_options {
        /* PEM file with the only CAs to trust, or NULL for the system's. Copied. */
        const char *ca_bundle;
        /* The same as text, for processes that may not open files any more; wins over ca_bundle. Copied. */
        struct str ca_pem;
        /*
         * Keep up to this many idle connections. A connection on which the peer sent anything after its
         * answer is closed, never used again. 0: a connection for each request.
         */
        unsigned keep;
};

struct http_client;
struct http_client *http_client_new(struct loop *l, struct http_client_options options) MUST_USE;
/* No call may be under way (cancel first; their `done` may still be to come). */
void http_client_free(struct http_client *c);

enum { HTTP_WANTED_MAX = 4 };

struct http_request {
        const char *method;         /* "GET", "PUT", "POST" */
        const char *url;            /* "https://…"; built by us, never foreign text */
        const char *const *headers; /* "Name: value", NULL-terminated; "Name;" sends an empty value */
        struct str body;            /* for PUT and POST, copied */
        bool allow_http;            /* plain http:// is accepted */
        bool use_proxy;             /* HTTPS_PROXY and NO_PROXY of the environment count */
        const char *connect_to;     /* "host:port" to open the connection to, whatever the URL says; or NULL */
        bool is_fresh;              /* on a connection of its own, whichever are kept */
        struct duration connect_within, within;
        size_t limit;               /* bytes of body */
        const char *wanted[HTTP_WANTED_MAX]; /* names of answer headers to keep, lower case */
};

/* All borrowed until done returns; the body is wiped afterwards. */
struct http_answer {
        int status;
        struct str body;
        struct str wanted[HTTP_WANTED_MAX]; /* in the order asked; empty when absent; the first of several */
};

/*
 * Sends a request, once: one that dies on a kept connection is not sent again. An answer is one whose end was seen: all of
 * Content-Length, the last chunk, or TLS's close_notify. done comes exactly once, from the loop: an answer of any status, or
 * an error (owned):
 * UNAVAILABLE no connection (in time), or it broke · DEADLINE_EXCEEDED connected, but no whole answer in time ·
 * PERMISSION_DENIED the peer's certificate was refused · RESOURCE_EXHAUSTED the answer is over its limit ·
 * CANCELLED · INVALID_ARGUMENT a URL that is not allowed · INTERNAL an answer that is not HTTP, or whose length or type
 * is given twice.
 */
struct http_call;
struct http_call *http_call_start(struct http_client *c, const struct http_request *request,
                                  void (*done)(void *ctx, const struct http_answer *answer, struct error *err),
                                  void *ctx) MUST_USE;
/* done comes with CANCELLED unless it already has. */
void http_call_cancel(struct http_call *call);

/* Loads libcurl now (before a sandbox closes, say). FAILED_PRECONDITION with a hint when it is not installed. */
struct error *http_client_load(void) MUST_USE;

#endif
