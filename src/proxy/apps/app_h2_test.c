/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 of browsers at applications: a client of nghttp2 at one end, gateways that a test plays at the other one. */
#include "proxy/apps/app_h2.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "net/memory_stream.h"
#include "net/net_testing.h"
#include "proxy/proxy.h"
#include "rpc/h2.h"

enum { NOW = 1700000000, GATEWAYS_MAX = 64, BODY = 1 * MiB, HEAD_FIELDS = 150, HEAD_VALUE = 420 };

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

/* In place of the one of app_gateway.c. */
struct app_gateway {
        struct ear ear;
        char app[32];
        struct app_gateway_options options;
        bool is_closed;
};

struct stage {
        struct proxy proxy;
        struct fake_clock clock;
        Cteleport__Internal__V1__Boot boot;
        Cteleport__V1__Config config;
        Cteleport__V1__ProxyConfig section;
        char *public_addr[1];
        struct budget memory; /* of unauthenticated peers */
        struct budget_holder *source;
        struct app_h2 *h2; /* NULL once closed */
        struct app_gateway *gateways[GATEWAYS_MAX];
        size_t gateway_count;
        struct stream *browser;
        nghttp2_session *session;
        bool is_paused; /* gateways do not read at first */
        bool takes_nothing; /* the browser's window is never returned */
        uint64_t received;  /* bytes of bodies, of all streams */
        struct buf body;    /* the beginning of them */
        int status, fields, heads, ended, goaways;
        uint32_t code;      /* with which the last stream has ended */
        uint64_t to_send, sent; /* of the body of a request */
        const nghttp2_nv *trailers; /* behind it */
        size_t trailer_count;
};

static struct stage *the;

/* ---- gateways ---- */

struct app_gateway *app_gateway_start(struct stream *s, const struct app_gateway_options *options)
{
        struct app_gateway *g = NEW(struct app_gateway);

        assert_true(the->gateway_count < GATEWAYS_MAX);
        the->gateways[the->gateway_count++] = g;
        g->options = *options;
        snprintf(g->app, sizeof g->app, "%s", options->app);
        ear_listen(&g->ear, s);
        stream_read(s, !the->is_paused);
        return g;
}

static void on_gateway_closed(void *ctx)
{
        struct app_gateway *g = ctx;

        g->options.on_closed(g->options.ctx);
}

void app_gateway_close(struct app_gateway *g)
{
        if (g->is_closed)
                return;
        g->is_closed = true;
        stream_close(g->ear.stream);
        g->ear.stream = NULL;
        loop_defer(&the->proxy.loop, on_gateway_closed, g);
}

void app_gateway_drain(struct app_gateway *g)
{
        app_gateway_close(g);
}

/* ---- the browser ---- */

static void flush_browser(void)
{
        const uint8_t *bytes = NULL;
        ssize_t len;

        while (the->browser != NULL && (len = nghttp2_session_mem_send(the->session, &bytes)) > 0)
                stream_write(the->browser, str_of_bytes(bytes, (size_t)len));
}

static void on_browser_read(void *ctx, struct str bytes)
{
        (void)ctx;
        assert_int_equal(nghttp2_session_mem_recv(the->session, str_bytes(bytes), bytes.len), bytes.len);
        flush_browser();
}

static void on_browser_end(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
        stream_close(the->browser);
        the->browser = NULL;
}

static const struct stream_events browser_events = { .on_read = on_browser_read, .on_end = on_browser_end };

static int on_header(nghttp2_session *session UNUSED, const nghttp2_frame *frame UNUSED, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len,
                     uint8_t flags UNUSED, void *ctx UNUSED)
{
        int64_t status = 0;

        the->fields++;
        if (str_equal(str_of_bytes(name, name_len), STR(":status")))
                assert_null(parse_int(str_of_bytes(value, value_len), 100, 599, "status", &status));
        the->status = status > 0 ? (int)status : the->status;
        return 0;
}

static int on_frame(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx UNUSED)
{
        the->heads += frame->hd.type == NGHTTP2_HEADERS;
        the->goaways += frame->hd.type == NGHTTP2_GOAWAY;
        return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags UNUSED, int32_t stream, const uint8_t *data, size_t len, void *ctx UNUSED)
{
        the->received += len;
        if (the->body.len < 4 * KiB)
                buf_put(&the->body, str_of_bytes(data, len));
        if (!the->takes_nothing)
                nghttp2_session_consume(session, stream, len);
        return 0;
}

static int on_stream_close(nghttp2_session *session UNUSED, int32_t stream UNUSED, uint32_t code, void *ctx UNUSED)
{
        the->ended++;
        the->code = code;
        return 0;
}

static void start_browser(void)
{
        nghttp2_session_callbacks *callbacks = NULL;
        nghttp2_option *option = NULL;

        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        assert_int_equal(nghttp2_option_new(&option), 0);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_option_set_no_auto_window_update(option, 1);
        assert_int_equal(nghttp2_session_client_new2(&the->session, callbacks, NULL, option), 0);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        assert_int_equal(nghttp2_submit_settings(the->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void run(void)
{
        flush_browser();
        run_a_while(&the->proxy.loop);
}

static void pass(int64_t ms)
{
        loop_advance(&the->proxy.loop, &the->clock, MILLISECONDS(ms));
        run();
}

static ssize_t on_source(nghttp2_session *session, int32_t stream, uint8_t *out, size_t most, uint32_t *flags, nghttp2_data_source *source UNUSED, void *ctx UNUSED)
{
        uint64_t left = the->to_send - the->sent;
        size_t len = left < most ? (size_t)left : most;

        memset(out, 'u', len);
        the->sent += len;
        if (the->sent == the->to_send)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (the->sent == the->to_send && the->trailers != NULL) {
                *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                assert_int_equal(nghttp2_submit_trailer(session, stream, the->trailers, the->trailer_count), 0);
        }
        return (ssize_t)len;
}

static int32_t request(const char *host, uint64_t body)
{
        const nghttp2_data_provider source = { .read_callback = on_source };
        const nghttp2_nv fields[] = { H2_HEADER(":method", body > 0 ? STR("POST") : STR("GET")), H2_CONST_HEADER(":scheme", "https"), H2_HEADER(":authority", str_of(host)),
                                      H2_CONST_HEADER(":path", "/x") };

        the->to_send = body;
        the->sent = 0;
        int32_t stream = nghttp2_submit_request(the->session, NULL, fields, ARRAY_LEN(fields), body > 0 ? &source : NULL, NULL);
        assert_true(stream > 0);
        run();
        return stream;
}

/* ---- the stage ---- */

static void on_closed(void *ctx)
{
        (void)ctx;
        the->h2 = NULL;
}

static struct error *on_user(void *ctx UNUSED, struct str user, const char *client UNUSED)
{
        return str_equal(user, STR("alice")) ? NULL : error_new(ERROR_RESOURCE_EXHAUSTED, "too many connections");
}

static int set_up(void **state)
{
        struct stream *theirs;

        (void)state;
        the = NEW(struct stage);
        the->body = BUF_MAX(64 * KiB);
        fake_clock_init(&the->clock, NOW);
        assert_null(loop_init(&the->proxy.loop, &the->clock.clock));
        cteleport__internal__v1__boot__init(&the->boot);
        cteleport__v1__config__init(&the->config);
        cteleport__v1__proxy_config__init(&the->section);
        the->public_addr[0] = str_dup(STR("example.com:443"));
        the->section.public_addr = the->public_addr;
        the->section.n_public_addr = 1;
        the->config.proxy_service = &the->section;
        the->boot.config = &the->config;
        the->proxy.boot = &the->boot;
        memory_stream_pair(&the->proxy.loop, &the->browser, &theirs);
        stream_listen(the->browser, &browser_events, NULL);
        stream_read(the->browser, true);
        the->memory.total = the->memory.share = 4 * MiB;
        the->source = budget_hold(&the->memory, STR("127.0.0.1"));
        the->h2 = app_h2_start(theirs, &(struct app_gateway_options){ .proxy = &the->proxy, .app = "wiki", .peer = "127.0.0.1:1", .on_user = on_user, .on_closed = on_closed },
                               the->source);
        start_browser();
        run();
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        if (the->h2 != NULL)
                app_h2_close(the->h2);
        run();
        assert_null(the->h2);
        assert_int_equal(the->memory.used, 0);
        budget_drop(the->source);
        budget_release(&the->memory);
        stream_close(the->browser);
        run();
        nghttp2_session_del(the->session);
        for (size_t i = 0; i < the->gateway_count; i++) {
                assert_true(the->gateways[i]->is_closed);
                ear_release(&the->gateways[i]->ear);
                free(the->gateways[i]);
        }
        loop_release(&the->proxy.loop);
        free(the->public_addr[0]);
        buf_release(&the->body);
        free(the);
        return 0;
}

static void respond(size_t gateway, const char *response)
{
        assert_true(gateway < the->gateway_count);
        stream_write(the->gateways[gateway]->ear.stream, str_of(response));
        run();
}

/* A response with a long body, of which the browser takes what its window permits. */
static void respond_long(size_t gateway)
{
        AUTO(buf) body = BUF_MAX(BODY);

        memset(buf_extend(&body, BODY), 'b', BODY);
        stream_write(the->gateways[gateway]->ear.stream, STR("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"));
        stream_write(the->gateways[gateway]->ear.stream, buf_str(&body));
        run();
}

static void close_window(void)
{
        const nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };

        the->takes_nothing = true;
        assert_int_equal(nghttp2_submit_settings(the->session, NGHTTP2_FLAG_NONE, &none, 1), 0);
        run();
}

static void open_window(int32_t stream)
{
        the->takes_nothing = false;
        assert_int_equal(nghttp2_session_set_local_window_size(the->session, NGHTTP2_FLAG_NONE, 0, 16 * MiB), 0);
        assert_int_equal(nghttp2_session_set_local_window_size(the->session, NGHTTP2_FLAG_NONE, stream, 16 * MiB), 0);
        run();
}

/* ---- channels ---- */

static void each_host_has_channels_of_its_own_which_are_kept(void **state)
{
        static const struct {
                const char *host, *app;
                size_t gateway;
        } rows[] = { { "wiki.example.com", "wiki", 0 }, { "files.example.com", "files", 1 }, { "wiki.example.com", "wiki", 0 }, { "FILES.example.com", "files", 1 },
                     { "elsewhere.test", "wiki", 0 } }; /* the gateway refuses it */

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                request(rows[i].host, 0);
                struct app_gateway *g = the->gateways[rows[i].gateway];
                assert_string_equal(g->app, rows[i].app);
                AUTO(buf) line = BUF_MAX(1 * KiB);
                buf_printf(&line, "GET /x HTTP/1.1\r\nHost: %s\r\n", rows[i].host);
                assert_true(str_starts_with(buf_str(&g->ear.received), buf_str(&line)));
                buf_clear(&g->ear.received);
                respond(rows[i].gateway, OK_HEAD "ok");
                assert_int_equal(the->ended, i + 1);
                assert_int_equal(the->code, NGHTTP2_NO_ERROR);
        }
        assert_int_equal(the->gateway_count, 2);
        assert_int_equal(the->received, 2 * ARRAY_LEN(rows));
}

static void requests_at_the_same_time_have_channels_of_their_own(void **state)
{
        (void)state;
        request("wiki.example.com", 0);
        request("wiki.example.com", 0);
        assert_int_equal(the->gateway_count, 2);
        respond(1, OK_HEAD "ok");
        respond(0, OK_HEAD "ok");
        assert_int_equal(the->ended, 2);
}

static void many_hosts_keep_few_channels(void **state)
{
        size_t open = 0;

        (void)state;
        for (size_t i = 0; i < LIMIT_HTTP2_APP_STREAMS + 8; i++) {
                AUTO(buf) host = BUF_MAX(64);
                buf_printf(&host, "app%zu.example.com", i);
                request(buf_c(&host), 0);
                respond(i, OK_HEAD "ok");
        }
        for (size_t i = 0; i < the->gateway_count; i++)
                open += !the->gateways[i]->is_closed;
        assert_int_equal(the->ended, LIMIT_HTTP2_APP_STREAMS + 8);
        assert_int_equal(open, LIMIT_HTTP2_APP_STREAMS);
}

static void a_reset_within_a_body_closes_its_channel_only(void **state)
{
        (void)state;
        int32_t stream = request("wiki.example.com", 0);
        request("files.example.com", 0);
        respond(0, OK_HEAD "o");
        assert_int_equal(nghttp2_submit_rst_stream(the->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL), 0);
        run();
        assert_true(the->gateways[0]->is_closed);
        assert_false(the->gateways[1]->is_closed);
        respond(1, OK_HEAD "ok");
        assert_int_equal(the->received, 3);
        assert_int_equal(the->code, NGHTTP2_NO_ERROR);
}

/* Of the budget, beside what the connection has without a charge. */
static void leave_room(size_t requests)
{
        const size_t wanted = requests * LIMIT_HTTP2_APP_UNKNOWN + (requests + 1) * KiB, uncharged = LIMIT_RPC_MEMORY_FREE + LIMIT_HTTP1_HEADER;

        the->memory.total = the->memory.share = the->memory.used + (wanted > uncharged ? wanted - uncharged : 0);
}

static int32_t request_with(size_t size, const char *method, const char *mode)
{
        AUTO(buf) text = BUF_MAX(64 * KiB);
        const nghttp2_nv fields[] = { H2_HEADER(":method", str_of(method)), H2_CONST_HEADER(":scheme", "https"), H2_CONST_HEADER(":authority", "wiki.example.com"),
                                      H2_CONST_HEADER(":path", "/x"), H2_HEADER("x-long", str_of_bytes(memset(buf_extend(&text, size), 'a', size), size)),
                                      H2_HEADER("sec-fetch-mode", str_of(mode)) };
        int32_t stream = nghttp2_submit_request(the->session, NULL, fields, ARRAY_LEN(fields), NULL, NULL);

        assert_true(stream > 0);
        run();
        return stream;
}

static void a_head_that_is_too_long_is_answered_by_a_page(void **state)
{
        static const struct {
                const char *method, *mode, *begin;
        } rows[] = { { "GET", "navigate", "<!DOCTYPE html>" }, { "GET", "cors", "{\"error\":{\"message\":\"the head of the request is longer than 16384 bytes\"" }, { "HEAD", "navigate", "" } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                the->status = 0;
                buf_clear(&the->body);
                request_with(17 * KiB, rows[i].method, rows[i].mode);
                assert_int_equal(the->status, 431);
                assert_int_equal(the->ended, i + 1);
                assert_int_equal(the->code, NGHTTP2_NO_ERROR);
                assert_true(str_starts_with(buf_str(&the->body), str_of(rows[i].begin)));
                assert_int_equal(the->body.len == 0, i == 2);
                assert_int_equal(str_contains(buf_str(&the->body), STR("Request ID")), i == 0);
        }
        assert_int_equal(the->gateway_count, 0);
        leave_room(0);
        request("wiki.example.com", 0);
        request_with(17 * KiB, "GET", "navigate");
        assert_int_equal(the->code, NGHTTP2_REFUSED_STREAM);
}

/* A browser that does not read it holds its memory for a while only. */
static void a_page_that_is_not_read_ends(void **state)
{
        (void)state;
        close_window();
        request_with(17 * KiB, "GET", "navigate");
        assert_int_equal(the->ended, 0);
        pass(TIMEOUT_HTTP_STALL);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_CANCEL);
}

/* ---- memory of requests whose user is not known ---- */

static void a_connection_has_room_for_one_request(void **state)
{
        (void)state;
        the->memory.total = the->memory.share = 0;
        request("wiki.example.com", 0);
        request("wiki.example.com", 0);
        assert_int_equal(the->gateway_count, 1);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_REFUSED_STREAM);
        respond(0, OK_HEAD "ok");
        request("wiki.example.com", 0);
        assert_int_equal(the->ended, 2);
}

static void requests_beyond_the_memory_of_unknown_users_are_refused(void **state)
{
        (void)state;
        leave_room(2);
        request("wiki.example.com", 0);
        request("wiki.example.com", 0);
        request("wiki.example.com", 0);
        assert_int_equal(the->gateway_count, 2);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_REFUSED_STREAM);
        respond(0, OK_HEAD "ok"); /* its memory is free again */
        request("wiki.example.com", BODY);
        assert_int_equal(the->ended, 3); /* a body needs more */
        assert_int_equal(the->code, NGHTTP2_REFUSED_STREAM);
        request("wiki.example.com", 0);
        assert_int_equal(the->ended, 3);
}

static void requests_of_a_user_are_not_charged(void **state)
{
        struct app_gateway *g;

        (void)state;
        leave_room(1);
        request("wiki.example.com", 0);
        g = the->gateways[0];
        AUTO_PTR(error) err = g->options.on_user(g->options.ctx, STR("bob"), "127.0.0.1:1");
        assert_non_null(err);
        request("wiki.example.com", 0);
        assert_int_equal(the->code, NGHTTP2_REFUSED_STREAM);
        assert_null(g->options.on_user(g->options.ctx, STR("alice"), "127.0.0.1:1"));
        assert_int_equal(the->memory.used, 0);
        request("wiki.example.com", BODY);
        assert_int_equal(the->memory.used, 0);
        assert_int_equal(the->ended, 1);
}

/* ---- back pressure ---- */

static void a_gateway_is_not_read_while_the_browser_is_behind(void **state)
{
        (void)state;
        close_window();
        int32_t stream = request("wiki.example.com", 0);
        respond_long(0);
        assert_int_equal(the->status, 200);
        assert_int_equal(the->received, 0);
        assert_true(stream_pending(the->gateways[0]->ear.stream) >= BODY - LIMIT_HTTP_WINDOW - 2 * LOOP_BUFFER);
        open_window(stream);
        run();
        assert_int_equal(the->received, BODY);
        assert_int_equal(the->ended, 1);
}

static void a_browser_sends_one_window_ahead_of_its_gateway(void **state)
{
        (void)state;
        the->is_paused = true;
        request("wiki.example.com", BODY);
        assert_true(the->sent > 0 && the->sent <= LIMIT_HTTP_WINDOW);
        stream_read(the->gateways[0]->ear.stream, true);
        for (int i = 0; i < 10; i++)
                run();
        assert_int_equal(the->sent, BODY);
        assert_true(the->gateways[0]->ear.received.len > BODY);
        respond(0, OK_HEAD "ok");
        assert_int_equal(the->ended, 1);
}

static void a_browser_that_exceeds_its_window_loses_the_stream(void **state)
{
        static const char data[] = { 0, 0, 1, NGHTTP2_DATA, 0, 0, 0, 0, 1, 'x' };

        (void)state;
        the->is_paused = true;
        request("wiki.example.com", BODY);
        while (the->sent < LIMIT_HTTP_WINDOW - 1)
                run();
        stream_write(the->browser, str_of_bytes(data, sizeof data)); /* past nghttp2, which would not send it */
        run();
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_FLOW_CONTROL_ERROR);
        assert_true(the->gateways[0]->is_closed);
}

/* It answers each PING, so its connection is alive. */
static void a_stream_of_a_browser_that_reads_nothing_is_reset(void **state)
{
        (void)state;
        int32_t other = request("files.example.com", 0); /* whose response goes on late: nothing waits for the browser */
        respond(0, OK_HEAD "o");
        close_window();
        request("wiki.example.com", 0);
        respond_long(1);
        for (int64_t passed = 0; passed < TIMEOUT_HTTP_STALL - 5000; passed += 5000)
                pass(5000);
        assert_int_equal(the->ended, 0);
        pass(5001);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_CANCEL);
        assert_true(the->gateways[1]->is_closed);
        open_window(other);
        respond(0, "k");
        assert_int_equal(the->received, 2);
        assert_int_equal(the->code, NGHTTP2_NO_ERROR);
}

static void a_browser_that_reads_slowly_is_served(void **state)
{
        (void)state;
        close_window();
        int32_t stream = request("wiki.example.com", 0);
        respond_long(0);
        for (int64_t passed = 0; passed < 2 * TIMEOUT_HTTP_STALL; passed += 5000) {
                pass(5000);
                if (passed % 100000 == 0)
                        assert_int_equal(nghttp2_submit_window_update(the->session, NGHTTP2_FLAG_NONE, stream, 100), 0);
        }
        assert_int_equal(the->ended, 0);
        assert_true(the->received >= 500);
}

/* ---- heads, and the end ---- */

/* nghttp2 refuses to send such a one by itself, and tells neither peer. */
static void a_head_of_nearly_64_kib_is_sent(void **state)
{
        AUTO(buf) text = BUF_MAX(128 * KiB);
        char value[HEAD_VALUE + 1] = { 0 };

        (void)state;
        memset(value, 'v', HEAD_VALUE);
        buf_put_c(&text, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
        for (int i = 0; i < HEAD_FIELDS; i++)
                buf_printf(&text, "x-%d: %s\r\n", i, value);
        buf_put_c(&text, "\r\nok");
        assert_true(text.len > 62 * KiB && text.len < LIMIT_HTTP_HEAD);
        request("wiki.example.com", 0);
        respond(0, buf_c(&text));
        assert_int_equal(the->status, 200);
        assert_int_equal(the->fields, HEAD_FIELDS + 2);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->received, 2);
}

/* The gateway removes those that are not for trailers, as it does with chunks of HTTP/1.1. */
static void trailers_of_a_request_follow_its_body(void **state)
{
        const nghttp2_nv trailers[] = { H2_CONST_HEADER("x-sum", "1"), H2_CONST_HEADER("x-mark", "a b") };

        (void)state;
        the->trailers = trailers;
        the->trailer_count = ARRAY_LEN(trailers);
        request("wiki.example.com", 3);
        if (!str_ends_with(buf_str(&the->gateways[0]->ear.received), STR("\r\n\r\n3\r\nuuu\r\n0\r\nx-sum: 1\r\nx-mark: a b\r\n\r\n")))
                fail_msg("%s", buf_c(&the->gateways[0]->ear.received));
        respond(0, OK_HEAD "ok");
        assert_int_equal(the->status, 200);
        assert_int_equal(the->code, NGHTTP2_NO_ERROR);
}

static void trailers_that_are_too_long_end_their_stream(void **state)
{
        static char value[LIMIT_HTTP_TRAILER / 8];
        nghttp2_nv trailers[9];

        (void)state;
        memset(value, 'v', sizeof value);
        for (size_t i = 0; i < ARRAY_LEN(trailers); i++)
                trailers[i] = h2_header(STR("x-long"), str_of_bytes(value, sizeof value), NGHTTP2_NV_FLAG_NONE);
        the->trailers = trailers;
        the->trailer_count = ARRAY_LEN(trailers);
        request("wiki.example.com", 3);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_true(the->gateways[0]->is_closed);
        the->trailers = NULL;
        request("wiki.example.com", 0);
        respond(1, OK_HEAD "ok");
        assert_int_equal(the->code, NGHTTP2_NO_ERROR);
}

/* The browser must not take the part that came for the whole. */
static void a_response_that_breaks_off_ends_its_stream_with_an_error(void **state)
{
        static const char *const begun[] = { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
                                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: ", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(begun); i++) {
                request("wiki.example.com", 0);
                respond(i, begun[i]);
                assert_int_equal(the->ended, i);
                app_gateway_close(the->gateways[i]);
                run();
                assert_int_equal(the->ended, i + 1);
                assert_int_equal(the->code, NGHTTP2_INTERNAL_ERROR);
                assert_int_equal(the->received, 2 * (i + 1));
        }
}

static void a_drained_connection_ends_after_its_streams(void **state)
{
        (void)state;
        request("wiki.example.com", 0);
        app_h2_drain(the->h2);
        run();
        assert_int_equal(the->goaways, 1);
        assert_non_null(the->h2);
        respond(0, OK_HEAD "ok");
        assert_int_equal(the->received, 2);
        assert_int_equal(the->ended, 1);
        assert_null(the->h2);
        assert_null(the->browser);
}

static void a_connection_may_end_in_the_middle_of_its_streams(void **state)
{
        (void)state;
        close_window();
        request("wiki.example.com", 0);
        request("files.example.com", 0);
        respond_long(0);
        stream_close(the->browser);
        the->browser = NULL;
        run();
        assert_null(the->h2);
        assert_true(the->gateways[0]->is_closed && the->gateways[1]->is_closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        const struct CMUnitTest tests[] = {
                TEST(each_host_has_channels_of_its_own_which_are_kept),
                TEST(requests_at_the_same_time_have_channels_of_their_own),
                TEST(many_hosts_keep_few_channels),
                TEST(a_head_that_is_too_long_is_answered_by_a_page),
                TEST(a_page_that_is_not_read_ends),
                TEST(requests_beyond_the_memory_of_unknown_users_are_refused),
                TEST(a_connection_has_room_for_one_request),
                TEST(requests_of_a_user_are_not_charged),
                TEST(a_reset_within_a_body_closes_its_channel_only),
                TEST(a_gateway_is_not_read_while_the_browser_is_behind),
                TEST(a_browser_sends_one_window_ahead_of_its_gateway),
                TEST(a_browser_that_exceeds_its_window_loses_the_stream),
                TEST(a_stream_of_a_browser_that_reads_nothing_is_reset),
                TEST(a_browser_that_reads_slowly_is_served),
                TEST(a_head_of_nearly_64_kib_is_sent),
                TEST(trailers_of_a_request_follow_its_body),
                TEST(trailers_that_are_too_long_end_their_stream),
                TEST(a_response_that_breaks_off_ends_its_stream_with_an_error),
                TEST(a_drained_connection_ends_after_its_streams),
                TEST(a_connection_may_end_in_the_middle_of_its_streams),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
