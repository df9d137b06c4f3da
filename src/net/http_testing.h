/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests: an HTTP/1.1 server on 127.0.0.1, on the client's loop, with answers from a function of the test.
 */
#ifndef NET_HTTP_TESTING_H
#define NET_HTTP_TESTING_H

#include "base/buf.h"
#include "loop/loop.h"

struct http_peer_connection;

struct http_peer {
        struct loop *loop;
        uv_tcp_t listener;
        struct http_peer_connection *peers;
        /*
         * Writes the whole answer, status line included, to `out`; leaves it empty to send no answer. Returns false to
         * close the connection after it. `request` is head and body.
         */
        bool (*answer)(void *ctx, struct str request, struct buf *out);
        void *ctx;
        char url[64]; /* "http://127.0.0.1:PORT", no trailing slash */
        char address[32];
        unsigned requests, connections;
};

void http_peer_start(struct http_peer *s, struct loop *l,
                     bool (*answer)(void *ctx, struct str request, struct buf *out), void *ctx);

/* Sends unsolicited bytes on every open connection. */
void http_peer_send_unsolicited(struct http_peer *s, const char *bytes);

/* Closes everything; the loop must run once more before s is freed. */
void http_peer_stop(struct http_peer *s);

/* Writes "HTTP/1.1 STATUS x" with Content-Length and the body. */
void http_peer_put(struct buf *out, int status, const char *content_type, const char *body);

#endif
