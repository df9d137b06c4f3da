/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upgrade.h"

#include "base/limits.h"
#include "net/memory_stream.h"
#include "net/net_testing.h"

/* A load balancer, which sends requests as bytes, and the stream that the proxy makes of one. */
struct fixture {
        struct loop loop;
        struct ear balancer, upgraded;
        struct http_server *http;
};

static void open_upgrade(void *ctx, struct http_exchange *x)
{
        struct fixture *f = ctx;
        struct stream *s = upgrade_accept(&f->loop, x);

        if (s == NULL)
                return;
        ear_listen(&f->upgraded, s);
        stream_read(s, true);
}

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        (void)ctx;
        http_respond(x, (struct http_response){ .status = status, .body = str_of(err->what) });
}

static void on_closed(void *ctx)
{
        struct fixture *f = ctx;

        f->http = NULL;
}

static const struct http_route routes[] = { { "GET", "/webapi/connectionupgrade", .open = open_upgrade } };

static void set_up(struct fixture *f)
{
        struct stream *here, *there;

        *f = (struct fixture){ 0 };
        assert_null(loop_init(&f->loop, NULL));
        memory_stream_pair(&f->loop, &here, &there);
        ear_listen(&f->balancer, here);
        stream_read(here, true);
        f->http = http_serve(there, (struct http_server_options){ .loop = &f->loop, .routes = routes, .route_count = ARRAY_LEN(routes),
                                                                  .refuse = refuse, .on_closed = on_closed, .ctx = f });
}

static void tear_down(struct fixture *f)
{
        ear_release(&f->balancer);
        ear_release(&f->upgraded);
        if (f->http != NULL)
                http_server_close(f->http);
        run_a_while(&f->loop);
        loop_release(&f->loop);
}

static void send_text(struct fixture *f, struct str text)
{
        stream_write(f->balancer.stream, text);
        run_a_while(&f->loop);
}

#define GET(fields) "GET /webapi/connectionupgrade HTTP/1.1\r\nHost: p\r\n" fields "\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define SWITCHED(protocol) "HTTP/1.1 101 Switching Protocols\r\nUpgrade: " protocol "\r\nConnection: Upgrade\r\n"
#define WEBSOCKET(subprotocol) \
        SWITCHED("websocket") "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: " subprotocol "\r\n\r\n"
#define LEGACY(protocol) SWITCHED(protocol) "X-Teleport-Upgrade: " protocol "\r\n\r\n"

static const struct {
        const char *name, *request;
        const char *answer;   /* the answer begins with it */
        const char *contains; /* the answer contains it */
} requests[] = {
        { "Teleport's agents since 15.1",
          GET("Upgrade: websocket\r\nUpgrade: alpn-ping\r\nX-Teleport-Upgrade: websocket\r\nX-Teleport-Upgrade: alpn-ping\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Protocol: alpn-ping\r\n" KEY),
          WEBSOCKET("alpn-ping"), "" },
        { "its other subprotocol", GET("Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Protocol: alpn\r\n" KEY), WEBSOCKET("alpn"), "" },
        { "the subprotocol that the client prefers",
          GET("Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Protocol: x, alpn\r\nSec-WebSocket-Protocol: alpn-ping\r\n" KEY), WEBSOCKET("alpn"), "" },
        { "WebSocket before the other forms",
          GET("Upgrade: alpn-ping, WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Protocol: alpn\r\n" KEY), WEBSOCKET("alpn"), "" },
        { "WebSocket with a long Connection", GET("Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: x,,  uPgRaDe\r\n"
                                                  "Sec-WebSocket-Protocol: alpn\r\n" KEY), WEBSOCKET("alpn"), "" },
        { "without WebSocket", GET("Upgrade: alpn\r\nConnection: Upgrade\r\n"), LEGACY("alpn"), "" },
        { "without WebSocket, with pings", GET("Upgrade: alpn-ping\r\nConnection: Upgrade\r\n"), LEGACY("alpn-ping"), "" },
        { "two forms without WebSocket", GET("Upgrade: h2c, alpn-ping, alpn\r\nConnection: Upgrade\r\n"), LEGACY("alpn-ping"), "" },
        { "a rewritten Upgrade", GET("Upgrade: websocket\r\nX-Teleport-Upgrade: alpn\r\nConnection: Upgrade\r\n"), LEGACY("alpn"), "" },
        { "a removed Upgrade", GET("X-Teleport-Upgrade: alpn\r\nConnection: Upgrade\r\n"), LEGACY("alpn"), "" },

        { "no Upgrade", GET("Connection: Upgrade\r\n"), "HTTP/1.1 400 ", "the load balancer must pass both fields on" },
        { "no Connection", GET("Upgrade: alpn\r\n"), "HTTP/1.1 400 ", "the load balancer must pass both fields on" },
        { "a Connection that names other fields", GET("Upgrade: alpn\r\nConnection: X-Upgrade, upgrades\r\n"), "HTTP/1.1 400 ", "pass both fields on" },
        { "WebSocket without Connection", GET("Upgrade: websocket\r\nSec-WebSocket-Protocol: alpn\r\n" KEY), "HTTP/1.1 400 ", "pass both fields on" },
        { "Connection: close", GET("Upgrade: alpn\r\nConnection: Upgrade, close\r\n"), "HTTP/1.1 400 ", "leave the connection open" },
        { "HTTP/1.0", "GET /webapi/connectionupgrade HTTP/1.0\r\nUpgrade: alpn\r\nConnection: Upgrade\r\n\r\n", "HTTP/1.1 400 ", "must speak HTTP/1.1" },
        { "HEAD", "HEAD /webapi/connectionupgrade HTTP/1.1\r\nHost: p\r\nUpgrade: alpn\r\nConnection: Upgrade\r\n\r\n", "HTTP/1.1 400 ", "" },
        { "POST", "POST /webapi/connectionupgrade HTTP/1.1\r\nHost: p\r\nUpgrade: alpn\r\nConnection: Upgrade, close\r\n\r\n", "HTTP/1.1 405 ", "Allow: GET" },
        { "an unknown protocol", GET("Upgrade: alpn2, h2c\r\nConnection: Upgrade\r\n"), "HTTP/1.1 400 ", "no protocol is offered that is served here" },
        { "WebSocket without a subprotocol", GET("Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY), "HTTP/1.1 400 ", "subprotocol" },
        { "WebSocket with another subprotocol", GET("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n" KEY), "HTTP/1.1 400 ", "subprotocol" },
        { "WebSocket without a key", GET("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: alpn\r\n"), "HTTP/1.1 400 ", "handshake" },
        { "WebSocket of another version", GET("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: alpn\r\n"
                                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n"), "HTTP/1.1 426 ", "Sec-WebSocket-Version: 13" },
        { "a body", GET("Upgrade: alpn\r\nConnection: Upgrade\r\nContent-Length: 1\r\n") "x", "HTTP/1.1 413 ", "" },
        { "a body by chunks", GET("Upgrade: alpn\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", "HTTP/1.1 413 ", "" },
        { "nine lines of Upgrade", GET("Upgrade: a\r\nUpgrade: a\r\nUpgrade: a\r\nUpgrade: a\r\nUpgrade: a\r\nUpgrade: a\r\nUpgrade: a\r\nUpgrade: a\r\n"
                                       "Upgrade: alpn\r\nConnection: Upgrade\r\n"), "HTTP/1.1 400 ", "more than 8 lines" },
};

static void answers_each_request_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                bool is_switched = str_starts_with(str_of(requests[i].answer), STR("HTTP/1.1 101 "));
                struct fixture f;

                set_up(&f);
                send_text(&f, str_of(requests[i].request));
                struct str answer = buf_str(&f.balancer.received);
                if (!str_starts_with(answer, str_of(requests[i].answer)) || !str_contains(answer, str_of(requests[i].contains)) ||
                    (f.upgraded.stream != NULL) != is_switched)
                        fail_msg("%s: %s", requests[i].name, buf_c(&f.balancer.received));
                assert_int_equal(f.balancer.ends, is_switched ? 0 : 1);
                tear_down(&f);
        }
}

static void delivers_the_bytes_of_each_form(void **state)
{
        static const struct {
                struct str request, sent, answer;
        } forms[] = {
                { STR_INIT(GET("Upgrade: alpn\r\nConnection: Upgrade\r\n")), STR_INIT("hello"), STR_INIT("answer") },
                { STR_INIT(GET("Upgrade: alpn-ping\r\nConnection: Upgrade\r\n")), STR_INIT("\0\0\0\2he\0\0\0\0\0\0\0\3llo"), STR_INIT("\0\0\0\6answer") },
                { STR_INIT(GET("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: alpn\r\n" KEY)), STR_INIT("\x82\x85\0\0\0\0hello"),
                  STR_INIT("\x82\x06" "answer") },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
                struct fixture f;

                set_up(&f);
                send_text(&f, forms[i].request);
                assert_non_null(f.upgraded.stream);
                buf_clear(&f.balancer.received);
                send_text(&f, forms[i].sent);
                assert_received(&f.upgraded, "hello");
                stream_write(f.upgraded.stream, STR("answer"));
                run_a_while(&f.loop);
                assert_true(str_equal(buf_str(&f.balancer.received), forms[i].answer));
                tear_down(&f);
        }
}

static void delivers_bytes_sent_ahead_up_to_a_limit(void **state)
{
        (void)state;
        for (size_t more = 0; more < 2; more++) {
                AUTO(buf) text = BUF_MAX(LIMIT_HTTP1_HEADER);
                size_t ahead = LIMIT_HTTP1_AHEAD + more;
                struct fixture f;

                set_up(&f);
                buf_put_c(&text, GET("Upgrade: alpn\r\nConnection: Upgrade\r\n"));
                memset(buf_extend(&text, ahead), 'x', ahead);
                send_text(&f, buf_str(&text));
                assert_int_equal(f.upgraded.stream != NULL, more == 0);
                if (more == 0)
                        assert_int_equal(f.upgraded.received.len, ahead);
                else
                        assert_true(str_contains(buf_str(&f.balancer.received), STR("too many bytes were sent before the answer")));
                tear_down(&f);
        }
}

/* With the status after which clients and load balancers try again. */
static void a_proxy_that_stops_upgrades_nothing(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        send_text(&f, STR("GET /webapi/connectionupgrade HTTP/1.1\r\n"));
        http_server_drain(f.http);
        send_text(&f, STR("Host: p\r\nUpgrade: alpn\r\nConnection: Upgrade\r\n\r\n"));
        assert_null(f.upgraded.stream);
        assert_true(str_starts_with(buf_str(&f.balancer.received), STR("HTTP/1.1 503 ")));
        assert_true(str_contains(buf_str(&f.balancer.received), STR("\r\nRetry-After: 1\r\n")));
        assert_int_equal(f.balancer.ends, 1);
        tear_down(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_each_request_as_the_table_says),
                cmocka_unit_test(delivers_the_bytes_of_each_form),
                cmocka_unit_test(delivers_bytes_sent_ahead_up_to_a_limit),
                cmocka_unit_test(a_proxy_that_stops_upgrades_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
