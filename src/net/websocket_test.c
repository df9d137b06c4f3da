/* SPDX-License-Identifier: Apache-2.0 */
#include "net/websocket.h"

#include <stdlib.h>

#include "base/limits.h"
#include "net/http_server.h"
#include "net/memory_stream.h"
#include "net/net_testing.h"

/* Both ends of a WebSocket on a clock that a test moves; or one end, and the bytes that it receives and sends. */
struct fixture {
        struct fake_clock clock;
        struct loop loop;
        struct ear client, server; /* of messages */
        struct ear raw;            /* the other end of one, in bytes */
        struct http_server *http;
        struct websocket_connect *connecting;
        const char *protocol; /* that the server serves */
        struct error *err;
        int done, closed;
};

static void open_websocket(void *ctx, struct http_exchange *x)
{
        struct fixture *f = ctx;
        struct stream *s = websocket_accept(&f->loop, x, f->protocol == NULL ? NULL : (const char *const[]){ f->protocol, NULL });

        if (s == NULL)
                return;
        ear_listen(&f->server, s);
        stream_read(s, true);
}

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        (void)ctx;
        (void)err;
        http_respond(x, (struct http_response){ .status = status });
}

static void on_http_closed(void *ctx)
{
        struct fixture *f = ctx;

        f->http = NULL;
        f->closed++;
}

static const struct http_route routes[] = { { NULL, "/ws", .open = open_websocket } };

static void on_connected(void *ctx, struct stream *ws, struct error *err)
{
        struct fixture *f = ctx;

        assert_true((ws == NULL) == (err != NULL));
        f->done++;
        f->err = err;
        if (ws == NULL)
                return;
        ear_listen(&f->client, ws);
        stream_read(ws, true);
}

static void set_up(struct fixture *f)
{
        *f = (struct fixture){ 0 };
        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
}

static void tear_down(struct fixture *f)
{
        ear_release(&f->client);
        ear_release(&f->server);
        ear_release(&f->raw);
        if (f->http != NULL)
                http_server_close(f->http);
        run_a_while(&f->loop);
        error_free(f->err);
        loop_release(&f->loop);
}

static struct stream *serve(struct fixture *f)
{
        struct stream *here, *there;

        memory_stream_pair(&f->loop, &here, &there);
        f->http = http_serve(there, (struct http_server_options){ .loop = &f->loop, .routes = routes, .route_count = ARRAY_LEN(routes),
                                                                  .refuse = refuse, .on_closed = on_http_closed, .ctx = f });
        return here;
}

static void connect_to(struct fixture *f, struct stream *s, const char *protocol)
{
        f->connecting = websocket_connect_start(&f->loop, s, &(struct websocket_request){ .host = "p", .path = "/ws", .protocol = protocol,
                                                                                         .within = SECONDS(10) }, on_connected, f);
        assert_int_equal(f->done, 0);
}

static void connect_both(struct fixture *f)
{
        set_up(f);
        connect_to(f, serve(f), NULL);
        run_a_while(&f->loop);
        assert_null(f->err);
        assert_non_null(f->client.stream);
        assert_non_null(f->server.stream);
        assert_int_equal(f->closed, 1);
}

/* ---- messages ---- */

static void carries_bytes_both_ways(void **state)
{
        AUTO(buf) big = BUF_MAX(1 * MiB);
        struct fixture f;

        (void)state;
        connect_both(&f);
        memset(buf_extend(&big, 300 * KiB), 'x', 300 * KiB);
        stream_write(f.client.stream, STR("to the server"));
        stream_write(f.server.stream, STR("to the client"));
        run_a_while(&f.loop);
        assert_received(&f.server, "to the server");
        assert_received(&f.client, "to the client");
        stream_write(f.client.stream, buf_str(&big));
        stream_write(f.server.stream, buf_str(&big));
        RUN_UNTIL(&f.loop, f.client.received.len > 300 * KiB && f.server.received.len > 300 * KiB);
        assert_int_equal(stream_pending(f.client.stream), 0);
        assert_true(f.client.drains > 0);
        tear_down(&f);
}

static void a_paused_reader_holds_the_writer_back(void **state)
{
        AUTO(buf) big = BUF_MAX(1 * MiB);
        struct fixture f;

        (void)state;
        connect_both(&f);
        memset(buf_extend(&big, 1 * MiB), 'x', 1 * MiB);
        stream_read(f.server.stream, false);
        stream_write(f.client.stream, buf_str(&big));
        run_a_while(&f.loop);
        assert_int_equal(f.server.received.len, 0);
        assert_true(stream_pending(f.client.stream) >= 1 * MiB);
        stream_read(f.server.stream, true);
        RUN_UNTIL(&f.loop, f.server.received.len == 1 * MiB);
        tear_down(&f);
}

static void ends_in_order_on_both_sides(void **state)
{
        struct fixture f;

        (void)state;
        connect_both(&f);
        stream_write(f.client.stream, STR("last"));
        stream_shutdown(f.client.stream);
        stream_write(f.client.stream, STR("too late"));
        run_a_while(&f.loop);
        assert_received(&f.server, "last");
        assert_int_equal(f.server.ends, 1);
        assert_null(f.server.err);
        assert_int_equal(f.client.ends, 1);
        assert_null(f.client.err);
        tear_down(&f);
}

static void a_cut_connection_is_an_error(void **state)
{
        struct fixture f;
        struct stream *here, *there;

        (void)state;
        set_up(&f);
        memory_stream_pair(&f.loop, &here, &there);
        ear_listen(&f.server, websocket_stream(&f.loop, there, WEBSOCKET_SERVER));
        stream_read(f.server.stream, true);
        stream_shutdown(here);
        run_a_while(&f.loop);
        assert_non_null(f.server.err);
        assert_int_equal(f.server.err->code, ERROR_UNAVAILABLE);
        stream_close(here);
        tear_down(&f);
}

static void closing_inside_a_callback_is_allowed(void **state)
{
        struct fixture f;

        (void)state;
        connect_both(&f);
        f.server.close_on_read = true;
        f.client.close_on_end = true;
        stream_write(f.client.stream, STR("x"));
        run_a_while(&f.loop);
        assert_null(f.server.stream);
        assert_null(f.client.stream);
        assert_null(f.client.err);
        tear_down(&f);
}

/* ---- hostile frames ---- */

#define KEY0 "\0\0\0\0"
enum { REASON = 10000 }; /* status 1000 with the reason that the peer sent */

static const struct {
        const char *name;
        struct str bytes;
        const char *payload; /* delivered */
        int status;          /* of the close frame sent back; 1005: it has none; 0: no close frame */
        bool is_end;         /* in order */
} frames[] = {
        { "a message", STR_INIT("\x82\x83" KEY0 "abc"), "abc", 0, false },
        { "a masked message", STR_INIT("\x82\x83\x01\x02\x03\x04\x60\x60\x60"), "abc", 0, false },
        { "fragments with a ping between", STR_INIT("\x02\x81" KEY0 "a\x89\x80" KEY0 "\x80\x81" KEY0 "b"), "ab", 0, false },
        { "an empty message", STR_INIT("\x82\x80" KEY0), "", 0, false },
        { "text", STR_INIT("\x81\x81" KEY0 "a"), "", 1003, false },
        { "no mask", STR_INIT("\x82\x01" "a"), "", 1002, false },
        { "a reserved bit", STR_INIT("\xc2\x81" KEY0 "a"), "", 1002, false },
        { "a reserved opcode", STR_INIT("\x83\x81" KEY0 "a"), "", 1002, false },
        { "a reserved control opcode", STR_INIT("\x8b\x80" KEY0), "", 1002, false },
        { "a continuation of nothing", STR_INIT("\x80\x81" KEY0 "a"), "", 1002, false },
        { "a message inside a message", STR_INIT("\x02\x81" KEY0 "a\x82\x81" KEY0 "b"), "a", 1002, false },
        { "the other reserved bits", STR_INIT("\xb2\x81" KEY0 "a"), "", 1002, false },
        { "a ping with a reserved bit", STR_INIT("\xc9\x80" KEY0), "", 1002, false },
        { "a fragmented ping", STR_INIT("\x09\x80" KEY0), "", 1002, false },
        { "a fragmented close", STR_INIT("\x08\x82" KEY0 "\x03\xe8"), "", 1002, false },
        { "a long ping", STR_INIT("\x89\xfe\x00\x7e" KEY0), "", 1002, false },
        { "a long ping inside a message", STR_INIT("\x02\x81" KEY0 "a\x89\xff"), "a", 1002, false },
        { "a length that is not minimal", STR_INIT("\x82\xfe\x00\x05" KEY0 "hello"), "", 1002, false },
        { "a long length that is not minimal", STR_INIT("\x82\xff\0\0\0\0\0\0\xff\xff" KEY0 "x"), "", 1002, false },
        { "a length with the top bit", STR_INIT("\x82\xff\x80\0\0\0\0\0\0\x01" KEY0), "", 1002, false },
        { "a message before a malformed header", STR_INIT("\x82\x83" KEY0 "abc\x09"), "abc", 0, false },
        { "a malformed header after two messages", STR_INIT("\x82\x81" KEY0 "a\x82\x81" KEY0 "b\x0a\x80"), "ab", 1002, false },
        { "a message that is too long", STR_INIT("\x82\xff\0\0\0\0\0\x10\0\x01" KEY0 "x"), "", 1009, false },
        { "a close", STR_INIT("\x88\x82" KEY0 "\x03\xe8"), "", 1000, true },
        { "a close without a status", STR_INIT("\x88\x80" KEY0), "", 1005, true },
        { "a close with half a status", STR_INIT("\x88\x81" KEY0 "\x03"), "", 1002, false },
        { "a close with a status that must not be sent", STR_INIT("\x88\x82" KEY0 "\x03\xed"), "", 1002, false },
        { "a close with a reason, after which nothing counts", STR_INIT("\x88\x84" KEY0 "\x03\xe8\xc3\xa4\x82\x81" KEY0 "a"), "", REASON, true },
        { "a close with a reason that is no UTF-8", STR_INIT("\x88\x84" KEY0 "\x03\xe8\xc3\x28"), "", 1007, false },
        { "a close with a reason that is cut UTF-8", STR_INIT("\x88\x83" KEY0 "\x03\xe8\xc3"), "", 1007, false },
        { "a close with a surrogate in its reason", STR_INIT("\x88\x85" KEY0 "\x03\xe8\xed\xa0\x80"), "", 1007, false },
        { "a close with an undefined status", STR_INIT("\x88\x82" KEY0 "\x03\xe7"), "", 1002, false },
        { "a close for a failure", STR_INIT("\x88\x82" KEY0 "\x03\xf3"), "", 1011, false },
};

/* The status of the last frame, if that is a close frame. */
static int close_status(struct str bytes)
{
        if (str_equal(bytes, STR("\x88\x04\x03\xe8\xc3\xa4")))
                return REASON;
        if (bytes.len >= 4 && (uint8_t)bytes.ptr[bytes.len - 4] == 0x88 && bytes.ptr[bytes.len - 3] == 2)
                return (uint8_t)bytes.ptr[bytes.len - 2] << 8 | (uint8_t)bytes.ptr[bytes.len - 1];
        return bytes.len >= 2 && (uint8_t)bytes.ptr[bytes.len - 2] == 0x88 && bytes.ptr[bytes.len - 1] == 0 ? 1005 : 0;
}

/* A server, and a client that writes bytes to it; at most this number is read at once. */
static void set_up_with_raw_client(struct fixture *f, size_t most_read)
{
        struct stream *there;

        set_up(f);
        memory_stream_pair(&f->loop, &f->raw.stream, &there);
        memory_stream_limit_reads(there, most_read);
        ear_listen(&f->raw, f->raw.stream);
        stream_read(f->raw.stream, true);
        ear_listen(&f->server, websocket_stream(&f->loop, there, WEBSOCKET_SERVER));
        stream_read(f->server.stream, true);
}

static void handles_frames_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < 2 * ARRAY_LEN(frames); i++) {
                size_t n = i / 2;
                struct fixture f;

                set_up_with_raw_client(&f, i % 2 == 0 ? LOOP_BUFFER : 1);
                stream_write(f.raw.stream, frames[n].bytes);
                run_a_while(&f.loop);
                int status = close_status(buf_str(&f.raw.received));
                if (!str_equal(buf_str(&f.server.received), str_of(frames[n].payload)) || status != frames[n].status ||
                    f.server.ends != (frames[n].status != 0) || (f.server.ends > 0 && (f.server.err == NULL) != frames[n].is_end))
                        fail_msg("%s: '%s', status %d, %d ends, error '%s'", frames[n].name, buf_c(&f.server.received), status, f.server.ends,
                                 f.server.err == NULL ? "" : f.server.err->what);
                tear_down(&f);
        }
}

static void the_reason_of_a_close_is_shown_escaped(void **state)
{
        struct fixture f;

        (void)state;
        set_up_with_raw_client(&f, LOOP_BUFFER);
        stream_write(f.raw.stream, STR("\x88\x86" KEY0 "\x03\xf3" "no\x1b!"));
        run_a_while(&f.loop);
        assert_string_equal(f.server.err->what, "the peer closed the WebSocket with status 1011, 'no\\x1b!'");
        tear_down(&f);
}

static void pings_are_answered_and_their_flood_is_cut_off(void **state)
{
        struct fixture f;

        (void)state;
        set_up_with_raw_client(&f, LOOP_BUFFER);
        stream_write(f.raw.stream, STR("\x89\x82" KEY0 "hi"));
        run_a_while(&f.loop);
        assert_received(&f.raw, "\x8a\x02hi");
        stream_read(f.raw.stream, false);
        for (int i = 0; i < LIMIT_WEBSOCKET_CONTROL && f.server.ends == 0; i++) {
                stream_write(f.raw.stream, STR("\x89\x82" KEY0 "hi"));
                uv_run(&f.loop.uv, UV_RUN_NOWAIT);
                uv_run(&f.loop.uv, UV_RUN_NOWAIT);
        }
        assert_int_equal(f.server.ends, 1);
        assert_int_equal(f.server.err->code, ERROR_RESOURCE_EXHAUSTED);
        stream_read(f.raw.stream, true);
        run_a_while(&f.loop);
        assert_int_equal(close_status(buf_str(&f.raw.received)), 1008);
        tear_down(&f);
}

/* ---- keepalive ---- */

static void a_silent_peer_is_pinged_and_given_up(void **state)
{
        struct fixture f;

        (void)state;
        set_up_with_raw_client(&f, LOOP_BUFFER);
        loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE + 1));
        run_a_while(&f.loop);
        assert_int_equal(f.raw.received.len, 2);
        assert_int_equal((uint8_t)f.raw.received.ptr[0], 0x89);
        stream_write(f.raw.stream, STR("\x8a\x80" KEY0));
        run_a_while(&f.loop);
        loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_KEEPALIVE_ANSWER + 1));
        run_a_while(&f.loop);
        assert_int_equal(f.server.ends, 0);
        loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE + 1));
        run_a_while(&f.loop);
        loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_KEEPALIVE_ANSWER + 1));
        run_a_while(&f.loop);
        assert_int_equal(f.server.ends, 1);
        assert_int_equal(f.server.err->code, ERROR_DEADLINE_EXCEEDED);
        tear_down(&f);
}

static void assert_sent(const struct fixture *f, struct str expected)
{
        assert_int_equal(f->raw.received.len, expected.len);
        assert_memory_equal(f->raw.received.ptr, expected.ptr, expected.len);
}

static void no_direction_is_silent_for_long(void **state)
{
        struct fixture f;

        (void)state;
        set_up_with_raw_client(&f, LOOP_BUFFER);
        /* Bytes of the peer do not replace our own: some load balancers watch each direction. */
        for (int i = 0; i < 6; i++) {
                stream_write(f.raw.stream, STR("\x82\x81" KEY0 "a"));
                run_a_while(&f.loop);
                loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE / 2 + 1));
                run_a_while(&f.loop);
        }
        assert_sent(&f, STR("\x89\0\x89\0\x89\0"));
        /* The time runs from the last byte, not from the last firing of the timer. */
        stream_write(f.raw.stream, STR("\x82\x81" KEY0 "a"));
        run_a_while(&f.loop);
        stream_write(f.server.stream, STR("b"));
        run_a_while(&f.loop);
        assert_sent(&f, STR("\x89\0\x89\0\x89\0\x82\1b"));
        loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE + 1));
        run_a_while(&f.loop);
        assert_sent(&f, STR("\x89\0\x89\0\x89\0\x82\1b\x89\0"));
        tear_down(&f);
}

static void two_ends_keep_each_other_alive(void **state)
{
        struct fixture f;

        (void)state;
        connect_both(&f);
        for (int i = 0; i < 20; i++) {
                loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_KEEPALIVE_ANSWER + 1));
                run_a_while(&f.loop);
        }
        assert_int_equal(f.client.ends, 0);
        assert_int_equal(f.server.ends, 0);
        tear_down(&f);
}

/* ---- the handshake ---- */

#define HANDSHAKE(more) "GET /ws HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" more "\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"

static const struct {
        const char *name, *request, *answer;
} handshakes[] = {
        /* RFC 6455 section 1.3 has the key and the answer. */
        { "that of RFC 6455", HANDSHAKE(KEY V13 "Sec-WebSocket-Protocol: chat, alpn\r\n"),
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: alpn\r\n\r\n" },
        { "another version", HANDSHAKE(KEY "Sec-WebSocket-Version: 8\r\n"), "HTTP/1.1 426 Upgrade Required\r\n" },
        { "no version", HANDSHAKE(KEY), "HTTP/1.1 426 " },
        { "no key", HANDSHAKE(V13), "HTTP/1.1 400 " },
        { "a short key", HANDSHAKE("Sec-WebSocket-Key: AAAA\r\n" V13), "HTTP/1.1 400 " },
        { "a key that is no base64", HANDSHAKE("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n" V13), "HTTP/1.1 400 " },
        { "two keys", HANDSHAKE(KEY KEY V13), "HTTP/1.1 400 " },
        { "no subprotocol", HANDSHAKE(KEY V13), "HTTP/1.1 400 " },
        { "another subprotocol", HANDSHAKE(KEY V13 "Sec-WebSocket-Protocol: alpn2\r\n"), "HTTP/1.1 400 " },
        { "no upgrade", "GET /ws HTTP/1.1\r\nHost: p\r\n" KEY V13 "\r\n", "HTTP/1.1 400 " },
        { "another method", "POST /ws HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" KEY V13 "\r\n", "HTTP/1.1 400 " },
};

static void the_server_answers_handshakes_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(handshakes); i++) {
                struct fixture f;

                set_up(&f);
                f.protocol = "alpn";
                f.raw.stream = serve(&f);
                ear_listen(&f.raw, f.raw.stream);
                stream_read(f.raw.stream, true);
                stream_write(f.raw.stream, str_of(handshakes[i].request));
                run_a_while(&f.loop);
                if (!str_starts_with(buf_str(&f.raw.received), str_of(handshakes[i].answer)))
                        fail_msg("%s: %s", handshakes[i].name, buf_c(&f.raw.received));
                assert_int_equal(f.server.stream != NULL, i == 0);
                tear_down(&f);
        }
}

static void client_and_server_agree_on_a_subprotocol(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        f.protocol = "alpn";
        connect_to(&f, serve(&f), "alpn");
        run_a_while(&f.loop);
        assert_non_null(f.client.stream);
        tear_down(&f);
}

static const char *const answers[] = {
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
};

static void the_client_refuses_other_answers(void **state)
{
        (void)state;
        for (size_t i = 0; i <= ARRAY_LEN(answers); i++) {
                struct fixture f;
                struct stream *here;

                set_up(&f);
                memory_stream_pair(&f.loop, &here, &f.raw.stream);
                ear_listen(&f.raw, f.raw.stream);
                stream_read(f.raw.stream, true);
                connect_to(&f, here, NULL);
                if (i < ARRAY_LEN(answers))
                        stream_write(f.raw.stream, str_of(answers[i]));
                else
                        stream_shutdown(f.raw.stream);
                run_a_while(&f.loop);
                assert_int_equal(f.done, 1);
                assert_int_equal(f.err->code, ERROR_UNAVAILABLE);
                if (i >= 2) /* what is not a status of its own has a remedy */
                        assert_non_null(f.err->hint);
                tear_down(&f);
        }
}

static struct error *quote(int status, struct str reason, struct str head, struct str body)
{
        assert_true(str_ends_with(head, STR("\r\n\r\n")));
        return error_new(ERROR_UNAVAILABLE, "%d %.*s: %.*s", status, STR_ARG(reason), STR_ARG(body));
}

/* A refusal is reported with what it says, and waits neither for ever nor for more than that. */
static void a_refusal_is_reported_with_its_body(void **state)
{
        static const struct {
                const char *parts[3], *what;
                bool is_ended, is_late;
        } rows[] = {
                { { "HTTP/1.1 400 No\r\nContent-Length: 3\r\n\r\nabc" }, "400 No: abc", false, false },
                { { "HTTP/1.1 400 No\r\nContent-Length: 3\r\n\r\n", "ab", "cd" }, "400 No: abc", false, false },
                { { "HTTP/1.1 400 No\r\nContent-Length: 3\r\n\r\n", "ab" }, "400 No: ab", false, true },
                { { "HTTP/1.0 400 No\r\n\r\n", "abc" }, "400 No: abc", true, false },
                { { "HTTP/1.0 400 No\r\n\r\n" }, "400 No: ", true, false },
                { { "HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "0\r\n\r\n" }, "400 No: abc", false, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct fixture f;
                struct stream *here;

                set_up(&f);
                memory_stream_pair(&f.loop, &here, &f.raw.stream);
                ear_listen(&f.raw, f.raw.stream);
                f.connecting = websocket_connect_start(&f.loop, here, &(struct websocket_request){ .host = "p", .path = "/ws", .refusal = quote,
                                                                                                  .within = SECONDS(10) }, on_connected, &f);
                for (size_t n = 0; n < ARRAY_LEN(rows[i].parts) && rows[i].parts[n] != NULL; n++) {
                        assert_int_equal(f.done, 0);
                        stream_write(f.raw.stream, str_of(rows[i].parts[n]));
                        run_a_while(&f.loop);
                }
                if (rows[i].is_ended)
                        stream_shutdown(f.raw.stream);
                if (rows[i].is_late)
                        loop_advance(&f.loop, &f.clock, SECONDS(2));
                run_a_while(&f.loop);
                assert_int_equal(f.done, 1);
                assert_string_equal(f.err->what, rows[i].what);
                tear_down(&f);
        }
}

/* Ends of the connection before an answer: a load balancer has lost its backend, or TLS refuses the client. */
static void only_a_lost_connection_is_taken_for_a_dead_backend(void **state)
{
        static const struct {
                enum error_code code; /* 0: an orderly end */
                enum error_reason reason;
                const char *what;
                bool is_gateway;
        } rows[] = {
                { 0, REASON_NONE, NULL, true },
                { ERROR_UNAVAILABLE, REASON_NONE, "the peer closed the connection", true },
                { ERROR_UNAVAILABLE, REASON_NONE, "the server ended the connection without ending TLS", true },
                { ERROR_PERMISSION_DENIED, REASON_IDENTITY, "the server wants a certificate and we have sent none", false },
                { ERROR_FAILED_PRECONDITION, REASON_CONNECTION, "the server does not know the name we asked for", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct fixture f;
                struct stream *here;

                set_up(&f);
                memory_stream_pair(&f.loop, &here, &f.raw.stream);
                ear_listen(&f.raw, f.raw.stream);
                connect_to(&f, here, NULL);
                here->events->on_end(here->ctx, rows[i].code == 0 ? NULL : error_for(error_new(rows[i].code, "%s", rows[i].what), rows[i].reason));
                assert_int_equal(f.done, 1);
                assert_int_equal(f.err->code, ERROR_UNAVAILABLE);
                assert_int_equal(error_is_for(f.err, REASON_GATEWAY), rows[i].is_gateway);
                assert_false(error_is_for(f.err, REASON_IDENTITY));
                if (!rows[i].is_gateway)
                        assert_true(str_contains(str_of(f.err->what), str_of(rows[i].what)));
                tear_down(&f);
        }
}

static void the_client_waits_for_a_time_and_can_be_cancelled(void **state)
{
        (void)state;
        for (int i = 0; i < 2; i++) {
                struct fixture f;
                struct stream *here;

                set_up(&f);
                memory_stream_pair(&f.loop, &here, &f.raw.stream);
                ear_listen(&f.raw, f.raw.stream);
                connect_to(&f, here, NULL);
                if (i == 0)
                        websocket_connect_cancel(f.connecting);
                else
                        loop_advance(&f.loop, &f.clock, SECONDS(11));
                run_a_while(&f.loop);
                assert_int_equal(f.done, 1);
                assert_int_equal(f.err->code, i == 0 ? ERROR_CANCELLED : ERROR_DEADLINE_EXCEEDED);
                tear_down(&f);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(carries_bytes_both_ways),
                cmocka_unit_test(a_paused_reader_holds_the_writer_back),
                cmocka_unit_test(ends_in_order_on_both_sides),
                cmocka_unit_test(a_cut_connection_is_an_error),
                cmocka_unit_test(closing_inside_a_callback_is_allowed),
                cmocka_unit_test(handles_frames_as_the_table_says),
                cmocka_unit_test(the_reason_of_a_close_is_shown_escaped),
                cmocka_unit_test(pings_are_answered_and_their_flood_is_cut_off),
                cmocka_unit_test(a_silent_peer_is_pinged_and_given_up),
                cmocka_unit_test(no_direction_is_silent_for_long),
                cmocka_unit_test(two_ends_keep_each_other_alive),
                cmocka_unit_test(the_server_answers_handshakes_as_the_table_says),
                cmocka_unit_test(client_and_server_agree_on_a_subprotocol),
                cmocka_unit_test(the_client_refuses_other_answers),
                cmocka_unit_test(a_refusal_is_reported_with_its_body),
                cmocka_unit_test(only_a_lost_connection_is_taken_for_a_dead_backend),
                cmocka_unit_test(the_client_waits_for_a_time_and_can_be_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
