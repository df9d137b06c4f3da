/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_server.h"

#include <stdio.h>

#include "net/memory_stream.h"
#include "net/net_testing.h"

enum { SMALL_BODY = 16 };

/* A client and a server, joined in memory, on a clock that a test moves. */
struct site {
        struct fake_clock clock;
        struct loop loop;
        struct ear client;
        struct http_server *server;
        struct http_exchange *held; /* opened and not answered */
        struct buf streamed;        /* of a streamed body */
        int opened, refused, body_ends, drains, gone, closed;
        struct stream *upgraded;
};

/* ---- the handlers ---- */

static void open_hello(void *ctx, struct http_exchange *x)
{
        struct site *s = ctx;

        s->opened++;
        http_respond(x, (struct http_response){ .status = 200, .content_type = "text/plain", .body = STR("hello") });
}

static void open_echo(void *ctx, struct http_exchange *x)
{
        struct site *s = ctx;

        s->opened++;
        http_respond(x, (struct http_response){ .status = 200, .body = http_exchange_body(x) });
}

static void on_body(void *ctx, struct str bytes)
{
        struct site *s = ctx;

        buf_put(&s->streamed, bytes);
}

static void on_body_end(void *ctx)
{
        struct site *s = ctx;

        s->body_ends++;
}

static void on_drain(void *ctx)
{
        struct site *s = ctx;

        s->drains++;
}

static void on_gone(void *ctx)
{
        struct site *s = ctx;

        s->gone++;
        s->held = NULL;
}

static const struct http_exchange_events held_events = { on_body, on_body_end, on_drain, on_gone };

static void open_held(void *ctx, struct http_exchange *x)
{
        struct site *s = ctx;

        s->opened++;
        s->held = x;
        http_exchange_listen(x, &held_events, s);
}

static void open_upgrade(void *ctx, struct http_exchange *x)
{
        struct site *s = ctx;

        s->opened++;
        s->upgraded = http_exchange_upgrade(x, "echo", "X: y\r\n");
        if (s->upgraded == NULL)
                http_respond(x, (struct http_response){ .status = 400 });
}

static struct error *check(void *ctx, const struct http1_request *request)
{
        (void)ctx;
        return request->forwarded_for.count < 2 ? NULL : error_new(ERROR_INVALID_ARGUMENT, "too many");
}

static void refuse(void *ctx, struct http_exchange *x, int status, const struct error *err)
{
        struct site *s = ctx;

        s->refused++;
        http_respond(x, (struct http_response){ .status = status, .body = str_of(err->what) });
}

static const struct http_route routes[] = {
        { "GET", "/hello", .open = open_hello },
        { "POST", "/echo", .body_max = SMALL_BODY, .open = open_echo },
        { "POST", "/stream", .body_max = 1 * MiB, .is_body_streamed = true, .open = open_held },
        { NULL, "/held", .open = open_held },
        { "GET", "/upgrade", .open = open_upgrade },
        { "GET", "/below/*", .open = open_hello },
};

static void on_closed(void *ctx)
{
        struct site *s = ctx;

        s->closed++;
        s->server = NULL;
}

/* ---- the site ---- */

static void begin(struct site *s, size_t reads)
{
        struct stream *here, *there;

        *s = (struct site){ .streamed = BUF_MAX(2 * MiB) };
        fake_clock_init(&s->clock, 1700000000);
        assert_null(loop_init(&s->loop, &s->clock.clock));
        memory_stream_pair(&s->loop, &here, &there);
        memory_stream_limit_reads(there, reads);
        ear_listen(&s->client, here);
        stream_read(here, true);
        s->server = http_serve(there, (struct http_server_options){ .loop = &s->loop, .routes = routes, .route_count = ARRAY_LEN(routes),
                                                                    .check = check, .refuse = refuse, .on_closed = on_closed, .ctx = s });
}

static void end(struct site *s)
{
        if (s->server != NULL)
                http_server_close(s->server);
        stream_close(s->upgraded);
        ear_release(&s->client);
        run_a_while(&s->loop);
        assert_int_equal(s->closed, 1);
        buf_release(&s->streamed);
        loop_release(&s->loop);
}

static void send_text(struct site *s, const char *text)
{
        stream_write(s->client.stream, str_of(text));
        run_a_while(&s->loop);
}

static void assert_last(struct site *s, const char *text)
{
        if (!str_ends_with(buf_str(&s->client.received), str_of(text)))
                fail_msg("\"%s\" is not the end of:\n%s", text, buf_c(&s->client.received));
}

static size_t count(struct site *s, const char *text)
{
        size_t n = 0;

        for (const char *at = strstr(buf_c(&s->client.received), text); at != NULL; at = strstr(at + 1, text))
                n++;
        return n;
}

/* ---- tests ---- */

static void serves_many_requests_on_one_connection(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        for (int i = 0; i < LIMIT_HTTP1_REQUESTS - 1; i++)
                send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(s.opened, LIMIT_HTTP1_REQUESTS - 1);
        assert_int_equal(count(&s, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"), LIMIT_HTTP1_REQUESTS - 1);
        assert_int_equal(s.closed, 0);
        send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_last(&s, "Connection: close\r\n\r\nhello");
        assert_int_equal(s.client.ends, 1);
        end(&s);
}

static void answers_requests_that_come_together_in_turn(void **state)
{
        struct site s;

        (void)state;
        for (size_t reads = 1; reads <= 200; reads += 13) {
                begin(&s, reads);
                send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                         "GET /below/x HTTP/1.1\r\nHost: a\r\n\r\n");
                RUN_UNTIL(&s.loop, s.opened == 3 && count(&s, "HTTP/1.1 200 OK") == 3);
                assert_int_equal(count(&s, "\r\n\r\nabcHTTP/1.1 200 OK"), 1);
                assert_last(&s, "hello");
                end(&s);
        }
}

static void closes_when_the_client_wants_it_or_speaks_http_1_0(void **state)
{
        static const char *const requests[] = { "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
                                                "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" };
        struct site s;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                begin(&s, LOOP_BUFFER);
                send_text(&s, requests[i]);
                assert_last(&s, "Connection: close\r\n\r\nhello");
                assert_int_equal(s.client.ends, 1);
                end(&s);
        }
}

static const struct {
        const char *name, *request, *status;
        bool is_last; /* the connection ends with it */
} refused[] = {
        { "no such page", "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", false },
        { "a path in another case", "GET /Hello HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", false },
        { "a path with more behind it", "GET /hello/ HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", false },
        { "another method", "DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed", false },
        { "no HTTP", "\x16\x03\x01\r\n\r\n", "400 Bad Request", true },
        { "no Host", "GET /hello HTTP/1.1\r\n\r\n", "400 Bad Request", true },
        { "a body with GET", "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "413 Content Too Large", true },
        { "a body that is too long", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n", "413 Content Too Large", true },
        { "a body by chunks", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "413 Content Too Large", true },
        { "two lengths", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", "400 Bad Request", true },
        { "a body where no page is", "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "404 Not Found", true },
        { "a request that the check refuses", "GET /hello HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nX-Forwarded-For: 2\r\n\r\n", "400 Bad Request", false },
        { "CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", false },
};

static void refuses_as_the_table_says(void **state)
{
        struct site s;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
                AUTO_MEM char *line = mem_printf("HTTP/1.1 %s\r\n", refused[i].status);

                begin(&s, LOOP_BUFFER);
                send_text(&s, refused[i].request);
                send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
                if (!str_starts_with(buf_str(&s.client.received), str_of(line)))
                        fail_msg("%s: %s", refused[i].name, buf_c(&s.client.received));
                assert_int_equal(s.opened, refused[i].is_last ? 0 : 1);
                assert_int_equal(s.client.ends, refused[i].is_last);
                end(&s);
        }
}

static void names_the_methods_of_a_page(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "POST /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(count(&s, "\r\nAllow: GET, HEAD\r\n"), 1);
        end(&s);
}

static void head_gets_the_head_alone(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_last(&s, "Content-Length: 5\r\n\r\n");
        end(&s);
}

static void keeps_a_bounded_amount_for_after_the_response(void **state)
{
        AUTO(buf) many = BUF_MAX(64 * KiB);
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        buf_put_c(&many, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
        while (many.len <= LIMIT_HTTP1_AHEAD + 1 * KiB)
                buf_put_c(&many, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        stream_write(s.client.stream, buf_str(&many));
        run_a_while(&s.loop);
        assert_non_null(s.held);
        http_respond(s.held, (struct http_response){ .status = 200 });
        run_a_while(&s.loop);
        assert_last(&s, "Content-Length: 0\r\nConnection: close\r\n\r\n");
        assert_int_equal(s.opened, 1);
        assert_int_equal(s.client.ends, 1);
        end(&s);
}

static void sends_no_field_that_its_owner_did_not_give(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        stream_write(s.client.stream, STR("GET /held HTTP/1.1\r\nHost: a\r\n\r\n"));
        RUN_UNTIL(&s.loop, s.held != NULL);
        http_respond(s.held, (struct http_response){ .status = 503, .fields = "X: y\r\n" });
        run_a_while(&s.loop);
        assert_last(&s, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nX: y\r\n\r\n");
        end(&s);
}

static void streams_a_body_with_back_pressure(void **state)
{
        AUTO(buf) body = BUF_MAX(1 * MiB);
        struct site s;

        (void)state;
        memset(buf_extend(&body, 1 * MiB), 'b', 1 * MiB);
        begin(&s, 8 * KiB);
        stream_write(s.client.stream, STR("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"));
        stream_write(s.client.stream, buf_str(&body));
        RUN_UNTIL(&s.loop, s.streamed.len > 0);
        http_exchange_read(s.held, false);
        size_t before = s.streamed.len;
        run_a_while(&s.loop);
        assert_true(s.streamed.len <= before + 8 * KiB);
        assert_true(stream_pending(s.client.stream) > 900 * KiB);
        http_exchange_read(s.held, true);
        RUN_UNTIL(&s.loop, s.body_ends == 1);
        assert_int_equal(s.streamed.len, 1 * MiB);
        http_respond(s.held, (struct http_response){ .status = 200, .body = STR("thanks") });
        send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_last(&s, "hello");
        assert_int_equal(s.closed, 0);
        end(&s);
}

static void a_response_before_the_body_ends_is_the_last_one(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        http_respond(s.held, (struct http_response){ .status = 403 });
        run_a_while(&s.loop);
        assert_last(&s, "Connection: close\r\n\r\n");
        assert_int_equal(s.client.ends, 1);
        assert_int_equal(s.opened, 1);
        end(&s);
}

static void streams_a_response_of_known_or_unknown_length(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
        http_respond_begin(s.held, (struct http_response){ .status = 200 }, 6);
        http_respond_write(s.held, STR("abc"));
        run_a_while(&s.loop);
        assert_int_equal(s.drains, 1);
        http_respond_write(s.held, STR("def"));
        http_respond_end(s.held);
        run_a_while(&s.loop);
        assert_last(&s, "Content-Length: 6\r\n\r\nabcdef");
        send_text(&s, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
        http_respond_begin(s.held, (struct http_response){ .status = 200 }, HTTP_LENGTH_UNKNOWN);
        http_respond_write(s.held, STR("0123456789abcdef"));
        http_respond_end(s.held);
        run_a_while(&s.loop);
        assert_last(&s, "Transfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
        send_text(&s, "GET /held HTTP/1.0\r\n\r\n");
        http_respond_begin(s.held, (struct http_response){ .status = 200 }, HTTP_LENGTH_UNKNOWN);
        http_respond_write(s.held, STR("to the end"));
        http_respond_end(s.held);
        run_a_while(&s.loop);
        assert_last(&s, "Connection: close\r\n\r\nto the end");
        assert_int_equal(s.client.ends, 1);
        end(&s);
}

static void hands_the_connection_over_with_an_upgrade(void **state)
{
        struct site s;
        struct ear server = { 0 };

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: Echo\r\n\r\nearly");
        assert_last(&s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\nX: y\r\n\r\n");
        assert_int_equal(s.closed, 1);
        ear_listen(&server, s.upgraded);
        s.upgraded = NULL;
        stream_read(server.stream, true);
        send_text(&s, " and late");
        assert_received(&server, "early and late");
        stream_write(server.stream, STR("answer"));
        run_a_while(&s.loop);
        assert_last(&s, "answer");
        ear_release(&server);
        end(&s);
}

static void does_not_upgrade_requests_without_an_upgrade_header(void **state)
{
        static const char *const requests[] = {
                "GET /upgrade HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /upgrade HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n",
                "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
                "GET /upgrade HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
                "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: echo\r\n\r\n",
        };
        struct site s;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                begin(&s, LOOP_BUFFER);
                send_text(&s, requests[i]);
                assert_null(s.upgraded);
                assert_int_equal(count(&s, "HTTP/1.1 400 Bad Request\r\n"), 1);
                end(&s);
        }
}

static void a_slow_request_or_an_idle_connection_is_closed(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /hel");
        loop_advance(&s.loop, &s.clock, MILLISECONDS(TIMEOUT_HTTP1 + 1));
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 1);
        assert_int_equal(s.client.received.len, 0);
        end(&s);

        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        loop_advance(&s.loop, &s.clock, MILLISECONDS(TIMEOUT_HTTP1_IDLE - 1));
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 0);
        loop_advance(&s.loop, &s.clock, MILLISECONDS(2));
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 1);
        end(&s);
}

static void an_idle_load_balancer_is_given_more_time(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        http_server_expect_balancer(s.server);
        for (int i = 0; i < 2; i++) {
                send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
                loop_advance(&s.loop, &s.clock, MILLISECONDS(TIMEOUT_HTTP1_IDLE_BALANCER - 1));
                run_a_while(&s.loop);
                assert_int_equal(s.closed, 0);
        }
        send_text(&s, "GET /hel");
        loop_advance(&s.loop, &s.clock, MILLISECONDS(TIMEOUT_HTTP1 + 1));
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 1);
        end(&s);
}

static void a_client_that_does_not_read_is_closed(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        stream_read(s.client.stream, false);
        send_text(&s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(s.opened, 1); /* the next one waits for the response to leave */
        loop_advance(&s.loop, &s.clock, MILLISECONDS(TIMEOUT_HTTP1 + 1));
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 1);
        end(&s);
}

static void a_handler_learns_that_the_connection_is_gone(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
        memory_stream_break(s.client.stream);
        run_a_while(&s.loop);
        assert_int_equal(s.gone, 1);
        assert_int_equal(s.closed, 1);
        end(&s);
}

static void draining_finishes_the_open_request(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        http_server_drain(s.server);
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 1);
        end(&s);

        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /held HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        http_server_drain(s.server);
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 0);
        http_respond(s.held, (struct http_response){ .status = 200, .body = STR("done") });
        run_a_while(&s.loop);
        assert_last(&s, "Connection: close\r\n\r\ndone");
        assert_int_equal(s.closed, 1);
        assert_int_equal(s.opened, 1);
        end(&s);
}

static void draining_answers_a_request_that_has_begun(void **state)
{
        struct site s;

        (void)state;
        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /hello HTTP/1.1\r\n");
        http_server_drain(s.server);
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 0);
        send_text(&s, "Host: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(s.opened, 1);
        assert_int_equal(s.closed, 1);
        end(&s);

        begin(&s, LOOP_BUFFER);
        send_text(&s, "GET /hel");
        http_server_drain(s.server);
        loop_advance(&s.loop, &s.clock, MILLISECONDS(TIMEOUT_HTTP1 + 1));
        run_a_while(&s.loop);
        assert_int_equal(s.closed, 1);
        end(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(serves_many_requests_on_one_connection),
                cmocka_unit_test(answers_requests_that_come_together_in_turn),
                cmocka_unit_test(closes_when_the_client_wants_it_or_speaks_http_1_0),
                cmocka_unit_test(refuses_as_the_table_says),
                cmocka_unit_test(names_the_methods_of_a_page),
                cmocka_unit_test(head_gets_the_head_alone),
                cmocka_unit_test(keeps_a_bounded_amount_for_after_the_response),
                cmocka_unit_test(sends_no_field_that_its_owner_did_not_give),
                cmocka_unit_test(streams_a_body_with_back_pressure),
                cmocka_unit_test(a_response_before_the_body_ends_is_the_last_one),
                cmocka_unit_test(streams_a_response_of_known_or_unknown_length),
                cmocka_unit_test(hands_the_connection_over_with_an_upgrade),
                cmocka_unit_test(does_not_upgrade_requests_without_an_upgrade_header),
                cmocka_unit_test(a_slow_request_or_an_idle_connection_is_closed),
                cmocka_unit_test(an_idle_load_balancer_is_given_more_time),
                cmocka_unit_test(a_client_that_does_not_read_is_closed),
                cmocka_unit_test(a_handler_learns_that_the_connection_is_gone),
                cmocka_unit_test(draining_finishes_the_open_request),
                cmocka_unit_test(draining_answers_a_request_that_has_begun),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
