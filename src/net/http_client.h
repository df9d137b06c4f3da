/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 client for requests to AWS: libcurl on the event loop.
 *
 * libcurl and its thirty dependencies are loaded at the first request or by http_client_load(), so only processes that
 * use AWS create a client.
 *
 * In every request: peer and host name are verified, TLS 1.2 at least, no redirects, no cookies, no netrc, no content
 * coding, no proxy unless requested, header and body bytes capped, connect and total time capped.
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
        /* The same as text, for processes that cannot open files any more; takes precedence over ca_bundle. Copied. */
        struct str ca_pem;
        /*
         * Keep up to this many idle connections. A connection on which the peer sent bytes after its answer is closed.
         * 0: a new connection for each request.
         */
        unsigned keep;
};

struct http_client;
struct http_client *http_client_new(struct loop *l, struct http_client_options options) MUST_USE;
/* Frees the client. No call may be running (cancel first; their `done` may still be pending). */
void http_client_free(struct http_client *c);

enum { HTTP_WANTED_MAX = 4 };

struct http_request {
        const char *method;         /* "GET", "PUT", "POST" */
        const char *url;            /* "https://…"; built by this program, never from untrusted text */
        const char *const *headers; /* "Name: value", NULL-terminated; "Name;" sends an empty value */
        struct str body;            /* for PUT and POST, copied */
        bool allow_http;            /* plain http:// is accepted */
        bool use_proxy;             /* use HTTPS_PROXY and NO_PROXY of the environment */
        const char *connect_to;     /* "host:port" to open the connection to, whatever the URL says; or NULL */
        bool is_fresh;              /* use a new connection */
        struct duration connect_within, within;
        size_t limit;               /* bytes of body */
        const char *wanted[HTTP_WANTED_MAX]; /* names of answer headers to keep, lower case */
};

/* All borrowed until done returns; the body is wiped afterwards. */
struct http_answer {
        int status;
        struct str body;
        struct str wanted[HTTP_WANTED_MAX]; /* in the order of the request; empty when absent; the first of several */
};

/*
 * Sends a request, once: it is not repeated when a reused connection breaks. An answer must be complete: all of
 * Content-Length, the last chunk, or TLS's close_notify. done is called exactly once, from the loop, with an answer of
 * any status, or an error (owned): UNAVAILABLE no connection (in time), or it broke · DEADLINE_EXCEEDED connected, but
 * no whole answer in time · PERMISSION_DENIED the peer's certificate was refused · RESOURCE_EXHAUSTED the answer is
 * over its limit · CANCELLED · INVALID_ARGUMENT a URL that is not allowed · INTERNAL an answer that is not HTTP, or
 * whose length or type is given twice.
 */
struct http_call;
struct http_call *http_call_start(struct http_client *c, const struct http_request *request,
                                  void (*done)(void *ctx, const struct http_answer *answer, struct error *err),
                                  void *ctx) MUST_USE;
/* Calls done with CANCELLED unless it was called already. */
void http_call_cancel(struct http_call *call);

/*
 * Loads libcurl now, for example before the process enters a sandbox. FAILED_PRECONDITION with a hint when it is not
 * installed.
 */
struct error *http_client_load(void) MUST_USE;

#endif
