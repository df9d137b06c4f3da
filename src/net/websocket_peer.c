/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the end-to-end test of net/websocket: a server or a client that echoes, or a client that sends its standard input and
 * prints the bytes received, as many as it sent; then it closes in order.
 *
 *     websocket_peer server                prints the address it listens on
 *     websocket_peer echo ADDRESS [PATH]   ends with its connection
 *     websocket_peer client ADDRESS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/http_server.h"
#include "net/socket.h"
#include "net/websocket.h"

static struct loop loop;

static void must(struct error *err)
{
        if (err == NULL)
                return;
        fprintf(stderr, "%s\n", err->what);
        exit(1);
}

/* ---- echo ---- */

static void on_spliced(void *ctx, uint64_t a_to_b, uint64_t b_to_a)
{
        (void)ctx;
        (void)a_to_b;
        (void)b_to_a;
}

/* Echo: one end of a pair of sockets is spliced to the WebSocket, the other end writes back the bytes that it reads. */
static void on_echo_read(void *ctx, struct str bytes)
{
        stream_write(ctx, bytes);
}

static void on_echo_end(void *ctx, struct error *err)
{
        error_free(err);
        stream_close(ctx);
}

static const struct stream_events echo_events = { .on_read = on_echo_read, .on_end = on_echo_end };

static void echo_on(struct stream *ws)
{
        int a, b;

        must(socket_pair(&a, &b));
        struct stream *echo = socket_stream(&loop, a);
        stream_listen(echo, &echo_events, echo);
        stream_read(echo, true);
        splice_start(&loop, ws, socket_stream(&loop, b), LOOP_BUFFER, on_spliced, NULL);
}

/* ---- server ---- */

static void open_echo(void *ctx, struct http_exchange *x)
{
        struct stream *ws = websocket_accept(&loop, x, NULL);

        (void)ctx;
        if (ws != NULL)
                echo_on(ws);
}

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        (void)ctx;
        http_respond(x, (struct http_response){ .status = status, .body = str_of(err->what) });
}

static void on_closed(void *ctx)
{
        (void)ctx;
}

static const struct http_route routes[] = { { "GET", "/echo", .open = open_echo } };

static void on_accepted(void *ctx, int fd, const char *peer)
{
        (void)ctx;
        (void)peer;
        struct http_server *h = http_serve(socket_stream(&loop, fd), (struct http_server_options){ .loop = &loop, .routes = routes,
                                                                                                   .route_count = ARRAY_LEN(routes),
                                                                                                   .refuse = refuse, .on_closed = on_closed });
        (void)h;
}

static void serve(void)
{
        char address[ADDRESS_TEXT_MAX];
        int fd;

        must(socket_listen_tcp(STR("127.0.0.1:0"), &fd, address));
        struct listener *li = listener_new(&loop, fd, on_accepted, NULL);
        (void)li;
        printf("%s\n", address);
        fflush(stdout);
        loop_run(&loop);
}

/* ---- client ---- */

static struct buf input, output;
static struct stream *connection;

static void on_read(void *ctx, struct str bytes)
{
        (void)ctx;
        buf_put(&output, bytes);
        if (output.len >= input.len)
                stream_shutdown(connection);
}

static void on_end(void *ctx, struct error *err)
{
        (void)ctx;
        must(err);
        fwrite(output.ptr, 1, output.len, stdout);
        fflush(stdout);
        stream_close(connection);
        loop_stop(&loop);
}

static const struct stream_events client_events = { .on_read = on_read, .on_end = on_end };

static void on_echo_websocket(void *ctx, struct stream *ws, struct error *err)
{
        (void)ctx;
        must(err);
        echo_on(ws); /* when all of it is closed, the loop ends */
}

static void on_websocket(void *ctx, struct stream *ws, struct error *err)
{
        (void)ctx;
        must(err);
        connection = ws;
        stream_listen(ws, &client_events, NULL);
        stream_read(ws, true);
        stream_write(ws, buf_str(&input));
}

static bool is_echo;
static const char *path = "/echo";

static void on_dialled(void *ctx, int fd, struct error *err)
{
        const struct websocket_request request = { .host = ctx, .path = path, .within = MILLISECONDS(TIMEOUT_CONNECT) };

        must(err);
        struct websocket_connect *c = websocket_connect_start(&loop, socket_stream(&loop, fd), &request, is_echo ? on_echo_websocket : on_websocket, NULL);
        (void)c;
}

static void connect_to(char *address)
{
        char bytes[4 * KiB];

        input = BUF_MAX(16 * MiB);
        output = BUF_MAX(16 * MiB);
        for (size_t n; !is_echo && (n = fread(bytes, 1, sizeof bytes, stdin)) > 0;)
                buf_put(&input, str_of_bytes(bytes, n));
        struct dial *d = dial_start(&loop, str_of(address), MILLISECONDS(TIMEOUT_CONNECT), on_dialled, address);
        (void)d;
        loop_run(&loop);
        buf_release(&input);
        buf_release(&output);
        loop_release(&loop);
}

int main(int argc, char **argv)
{
        const char *mode = argc > 1 ? argv[1] : "";

        must(loop_init(&loop, NULL));
        is_echo = strcmp(mode, "echo") == 0;
        if (is_echo && argc == 4)
                path = argv[3];
        if (argc == 2 && strcmp(mode, "server") == 0)
                serve();
        else if ((argc == 3 && strcmp(mode, "client") == 0) || (is_echo && (argc == 3 || argc == 4)))
                connect_to(argv[2]);
        else
                return 2;
        return 0;
}
