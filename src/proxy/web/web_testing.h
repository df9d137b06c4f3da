/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of the web pages: a browser, connected in memory, that sends one request and stores the response.
 */
#ifndef PROXY_WEB_TESTING_H
#define PROXY_WEB_TESTING_H

#include "base/buf.h"
#include "loop/loop.h"
#include "net/memory_stream.h"
#include "proxy/web/web.h"

struct browser {
        struct loop *loop;
        struct stream *stream;
        struct web *web; /* the other end; NULL once it is closed */
        struct buf response;
        bool has_ended;
};

static inline void browser_on_read(void *ctx, struct str bytes)
{
        struct browser *b = ctx;
        buf_put(&b->response, bytes);
}

static inline void browser_on_end(void *ctx, struct error *err)
{
        struct browser *b = ctx;
        error_free(err);
        b->has_ended = true;
}

static inline void browser_on_closed(void *ctx)
{
        struct browser *b = ctx;
        b->web = NULL;
}

static const struct stream_events browser_events = { .on_read = browser_on_read, .on_end = browser_on_end };

/* Trusts X-Forwarded-For of 203.0.113.0/24, so of the browser. */
static inline const struct ingress *browser_ingress(void)
{
        static struct network network = { .first = { { 203, 0, 113, 0 }, IPV4_SIZE }, .bits = 24 };
        static const struct ingress ingress = { .trusts_forwarded_for = true, .load_balancers = &network, .load_balancer_count = 1 };

        return &ingress;
}

/* Sends the request, with "Connection: close" and the lines of X-Forwarded-For. facts_ctx is passed to facts(). */
static inline void browser_send(struct browser *b, struct loop *l, struct upstream *upstream, struct webapi_facts (*facts)(void *ctx),
                                const struct http1_request *http, struct str body)
{
        AUTO(buf) text = BUF_MAX(64 * KiB);
        struct stream *there;

        *b = (struct browser){ .loop = l, .response = BUF_MAX(512 * KiB) };
        memory_stream_pair(l, &b->stream, &there);
        stream_listen(b->stream, &browser_events, b);
        stream_read(b->stream, true);
        b->web = web_serve(there, &(struct web_options){ .loop = l, .upstream = upstream, .facts = facts, .on_closed = browser_on_closed, .ctx = b,
                                                         .peer = "203.0.113.7:4711", .ingress = browser_ingress() });
        buf_printf(&text, "%.*s %.*s HTTP/1.1\r\nConnection: close\r\n", STR_ARG(http->method), STR_ARG(http->path));
        buf_printf(&text, "Host: %.*s\r\n", STR_ARG(http->host));
        if (!str_is_empty(http->content_type))
                buf_printf(&text, "Content-Type: %.*s\r\n", STR_ARG(http->content_type));
        if (!str_is_empty(http->origin))
                buf_printf(&text, "Origin: %.*s\r\n", STR_ARG(http->origin));
        if (!str_is_empty(http->fetch_site))
                buf_printf(&text, "Sec-Fetch-Site: %.*s\r\n", STR_ARG(http->fetch_site));
        for (size_t i = 0; i < http->forwarded_for.count; i++)
                buf_printf(&text, "X-Forwarded-For: %.*s\r\n", STR_ARG(http->forwarded_for.values[i]));
        if (!str_is_empty(body))
                buf_printf(&text, "Content-Length: %zu\r\n", body.len);
        buf_put_c(&text, "\r\n");
        buf_put(&text, body);
        stream_write(b->stream, buf_str(&text));
}

static inline void browser_wait(struct browser *b)
{
        while (!b->has_ended || b->web != NULL)
                uv_run(&b->loop->uv, UV_RUN_ONCE);
}

static inline void browser_release(struct browser *b)
{
        if (b->web != NULL)
                web_close(b->web);
        while (b->web != NULL)
                uv_run(&b->loop->uv, UV_RUN_ONCE);
        stream_close(b->stream);
        b->stream = NULL;
        buf_release(&b->response);
}

#endif
