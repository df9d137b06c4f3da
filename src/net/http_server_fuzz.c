/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: the server gives the same answer whether the input arrives in one piece or in small ones; and for any input the
 * connection ends once the client has ended it.
 */
#include "net/http_server.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/buf.h"
#include "loop/loop.h"
#include "net/memory_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
        struct loop loop;
        struct stream *client;
        struct buf response;
        bool is_closed;
};

static void on_read(void *ctx, struct str bytes)
{
        struct run *r = ctx;
        buf_put(&r->response, bytes);
}

static void on_end(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

static const struct stream_events client_events = { .on_read = on_read, .on_end = on_end };

static void open_page(void *ctx, struct http_exchange *x)
{
        (void)ctx;
        http_respond(x, (struct http_response){ .status = 200, .body = http_exchange_body(x) });
}

struct streamed {
        struct http_exchange *exchange;
        size_t bytes;
};

static void on_body(void *ctx, struct str bytes)
{
        struct streamed *s = ctx;
        s->bytes += bytes.len;
}

static void on_body_end(void *ctx)
{
        struct streamed *s = ctx;
        if (s->bytes != http_exchange_request(s->exchange)->body)
                bug("a body of %zu bytes came as %zu", http_exchange_request(s->exchange)->body, s->bytes);
        http_respond(s->exchange, (struct http_response){ .status = 200 });
        free(s);
}

static void on_gone(void *ctx)
{
        free(ctx);
}

static const struct http_exchange_events streamed_events = { .on_body = on_body, .on_body_end = on_body_end, .on_gone = on_gone };

static void open_streamed(void *ctx, struct http_exchange *x)
{
        (void)ctx;
        if (http_exchange_request(x)->body == 0) {
                open_page(ctx, x);
                return;
        }
        struct streamed *s = calloc(1, sizeof *s);
        if (s == NULL)
                abort();
        s->exchange = x;
        http_exchange_listen(x, &streamed_events, s);
}

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        (void)ctx;
        (void)err;
        http_respond(x, (struct http_response){ .status = status });
}

static const struct http_route routes[] = {
        { "GET", "/", .open = open_page },
        { "POST", "/form", .body_max = 64, .open = open_page },
        { "POST", "/stream", .body_max = 4 * KiB, .is_body_streamed = true, .open = open_streamed },
};

static void on_closed(void *ctx)
{
        struct run *r = ctx;
        r->is_closed = true;
}

static void run(struct run *r, struct str bytes, size_t reads)
{
        struct stream *server;

        *r = (struct run){ .response = BUF_MAX(16 * MiB) };
        error_free(loop_init(&r->loop, NULL));
        memory_stream_pair(&r->loop, &r->client, &server);
        memory_stream_limit_reads(server, reads);
        stream_listen(r->client, &client_events, r);
        stream_read(r->client, true);
        struct http_server *h = http_serve(server, (struct http_server_options){ .loop = &r->loop, .routes = routes, .route_count = ARRAY_LEN(routes),
                                                                                 .refuse = refuse, .on_closed = on_closed, .ctx = r });
        (void)h;
        stream_write(r->client, bytes);
        stream_shutdown(r->client);
        for (size_t turn = 0; !r->is_closed; turn++) {
                if (turn > 100000)
                        bug("a connection does not end with its client");
                uv_run(&r->loop.uv, UV_RUN_NOWAIT);
        }
        for (int i = 0; i < 10; i++)
                uv_run(&r->loop.uv, UV_RUN_NOWAIT);
        stream_close(r->client);
        loop_release(&r->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct run whole, pieces;

        if (size == 0 || size > 4 * KiB) /* longer input may exceed the limit of buffered bytes, depending on the pieces */
                return 0;
        run(&whole, str_of_bytes(data + 1, size - 1), LOOP_BUFFER);
        run(&pieces, str_of_bytes(data + 1, size - 1), data[0] % 32 + 1u);
        if (!str_equal(buf_str(&whole.response), buf_str(&pieces.response)))
                bug("a response depends on how its request arrives");
        buf_release(&whole.response);
        buf_release(&pieces.response);
        return 0;
}
