/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a host to the gateway that is its client: good ones, and all others. */
#include "proxy/apps/app_bare.h"

#include "base/limits.h"
#include "cluster/app_status.h"
#include "net/memory_stream.h"
#include "net/tls_testing.h"

#define REFUSAL "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

static const char *const protocols[] = { APP_ALPN_BARE, APP_ALPN_HTTP, NULL };

/* The gateway, which waits for an answer. */
struct gateway {
        struct app_bare *bare; /* NULL: it has ended, or was freed */
        struct stream *lower;  /* of its TLS; the host has the other end */
        struct ear ear;
        int calls;
        struct error *err;
};

static void on_answer(void *ctx, struct stream *s, struct error *err)
{
        struct gateway *g = ctx;

        g->bare = NULL;
        g->calls++;
        g->err = err;
        assert_true((s == NULL) == (err != NULL));
        if (s == NULL)
                return;
        ear_listen(&g->ear, s);
        stream_read(s, true);
}

static void given_gateway(struct fixture *f, struct gateway *g)
{
        struct stream *host;

        f->server_options.alpn = protocols;
        given_contexts(f);
        memory_stream_pair(&f->loop, &g->lower, &host);
        start(f, &f->at_server, host);
        start(f, &f->at_client, g->lower);
        tls_offer(f->at_client.handshake, protocols);
        RUN_UNTIL(&f->loop, f->at_server.done && f->at_client.done);
        assert_null(f->at_client.err);
        assert_true(str_equal(tls_alpn(f->at_client.ear.stream), STR(APP_ALPN_BARE)));
        g->bare = app_bare_new(&f->loop, f->at_client.ear.stream, on_answer, g);
        f->at_client.ear.stream = NULL;
}

/* Of a round of a test: each has its own fixture; that of round 0 is there already. */
static struct fixture *given_gateway_of_round(void **state, size_t round, struct gateway *g)
{
        if (round > 0)
                again(state);
        *g = (struct gateway){ 0 };
        given_gateway(*state, g);
        return *state;
}

static void gateway_release(struct gateway *g)
{
        app_bare_free(g->bare);
        ear_release(&g->ear);
        error_free(g->err);
}

/* The host's end of the tunnel, which it has left TLS for. */
static void leave_tls(struct ear *host)
{
        struct stream *plain = tls_leave(host->stream, STR("\0"));

        assert_non_null(plain);
        ear_listen(host, plain);
        stream_read(plain, true);
}

static void requests_follow_without_tls_after_a_byte_0(void **state)
{
        struct fixture *f = *state;
        struct gateway g = { 0 };
        struct ear *host = &f->at_server.ear;

        given_gateway(f, &g);
        leave_tls(host);
        RUN_UNTIL(&f->loop, g.calls > 0);
        assert_null(g.err);
        assert_true(g.ear.stream == g.lower);
        stream_write(g.ear.stream, STR("request"));
        stream_write(host->stream, STR("response"));
        RUN_UNTIL(&f->loop, host->received.len == 7 && g.ear.received.len == 8);
        assert_received(host, "request");
        assert_received(&g.ear, "response");
        stream_shutdown(host->stream);
        RUN_UNTIL(&f->loop, g.ear.ends);
        assert_null(g.ear.err);
        gateway_release(&g);
}

/* What the tunnel does if it is lost in a response: its end is an error, and not the end of the response. */
static void a_tunnel_that_is_lost_is_no_end_of_a_response(void **state)
{
        struct fixture *f = *state;
        struct gateway g = { 0 };
        struct ear *host = &f->at_server.ear;

        given_gateway(f, &g);
        leave_tls(host);
        RUN_UNTIL(&f->loop, g.calls > 0);
        stream_write(host->stream, STR("half"));
        RUN_UNTIL(&f->loop, g.ear.received.len == 4);
        memory_stream_break(g.lower);
        RUN_UNTIL(&f->loop, g.ear.ends && host->ends);
        assert_non_null(g.ear.err);
        assert_non_null(host->err);
        gateway_release(&g);
}

static void a_refusal_stays_in_tls(void **state)
{
        static const char *const answers[] = { REFUSAL, "\1", "\377\0", "H" };

        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                struct gateway g;
                struct fixture *f = given_gateway_of_round(state, i, &g);
                struct ear *host = &f->at_server.ear;

                stream_write(host->stream, str_of(answers[i]));
                RUN_UNTIL(&f->loop, g.calls > 0);
                assert_null(g.err);
                assert_true(g.ear.stream != g.lower);
                stream_read(host->stream, true);
                stream_write(g.ear.stream, STR("request")); /* as the gateway sends it to a host without the protocol */
                stream_write(host->stream, STR("rest"));
                RUN_UNTIL(&f->loop, host->received.len == 7 && g.ear.received.len == strlen(answers[i]) + 4);
                stream_close(host->stream);
                host->stream = NULL;
                RUN_UNTIL(&f->loop, g.ear.ends);
                assert_null(g.ear.err); /* by close_notify */
                gateway_release(&g);
        }
}

static void more_than_a_byte_0_is_no_answer(void **state)
{
        static const struct str answers[] = { STR_INIT("\0\0"), STR_INIT("\0HTTP/1.1 200 OK\r\n\r\n") };

        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                struct gateway g;
                struct fixture *f = given_gateway_of_round(state, i, &g);

                stream_write(f->at_server.ear.stream, answers[i]);
                RUN_UNTIL(&f->loop, g.calls > 0);
                assert_sent(g.err, ERROR_INVALID_ARGUMENT, "there is more behind its end of TLS");
                gateway_release(&g);
        }
}

/* Records that arrive together with the byte 0: of bytes, and of the end of TLS. */
static void records_behind_a_byte_0_are_no_answer(void **state)
{
        for (size_t is_end = 0; is_end < 2; is_end++) {
                struct gateway g;
                struct fixture *f = given_gateway_of_round(state, is_end, &g);
                struct ear *host = &f->at_server.ear;

                stream_write(host->stream, STR("\0"));
                if (is_end)
                        stream_shutdown(host->stream);
                else
                        stream_write(host->stream, STR("HTTP/1.1 200 OK\r\n\r\n"));
                RUN_UNTIL(&f->loop, g.calls > 0);
                assert_non_null(g.err);
                assert_int_equal(g.err->code, ERROR_INVALID_ARGUMENT);
                gateway_release(&g);
        }
}

/* Bytes of the tunnel that are taken for no record. */
static void bytes_outside_of_tls_are_no_answer(void **state)
{
        static const struct str answers[] = { STR_INIT("\0"), STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") };

        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                struct gateway g;
                struct fixture *f = given_gateway_of_round(state, i, &g);
                struct ear *host = &f->at_server.ear;

                struct stream *plain = tls_leave(host->stream, STR(""));
                assert_non_null(plain);
                ear_listen(host, plain);
                stream_write(plain, answers[i]);
                stream_shutdown(plain);
                RUN_UNTIL(&f->loop, g.calls > 0);
                assert_non_null(g.err);
                gateway_release(&g);
        }
}

static void an_end_without_an_answer_is_reported(void **state)
{
        enum { CLOSE_NOTIFY, CUT, LOST, WAYS };

        for (size_t way = 0; way < WAYS; way++) {
                struct gateway g;
                struct fixture *f = given_gateway_of_round(state, way, &g);
                struct ear *host = &f->at_server.ear;

                if (way == CLOSE_NOTIFY) {
                        stream_shutdown(host->stream);
                } else if (way == LOST) {
                        memory_stream_break(g.lower);
                } else {
                        stream_close(tls_leave(host->stream, STR("")));
                        host->stream = NULL;
                }
                RUN_UNTIL(&f->loop, g.calls > 0);
                assert_non_null(g.err);
                assert_int_equal(g.err->code, ERROR_UNAVAILABLE);
                gateway_release(&g);
        }
}

static void a_silent_host_meets_the_deadline(void **state)
{
        struct fixture *f = *state;
        struct gateway g = { 0 };

        given_gateway(f, &g);
        run_a_while(&f->loop);
        loop_advance(&f->loop, &f->clock, MILLISECONDS(TIMEOUT_HTTP_RESPONSE - 1));
        run_a_while(&f->loop);
        assert_int_equal(g.calls, 0);
        loop_advance(&f->loop, &f->clock, MILLISECONDS(1));
        RUN_UNTIL(&f->loop, g.calls > 0);
        assert_sent(g.err, ERROR_DEADLINE_EXCEEDED, "did not answer in time");
        gateway_release(&g);
}

/* A browser that leaves while the host decides: the host, which has left TLS meanwhile, must not take an alert for a request. */
static void a_gateway_that_gives_up_sends_nothing(void **state)
{
        struct fixture *f = *state;
        struct gateway g = { 0 };
        struct ear *host = &f->at_server.ear;

        given_gateway(f, &g);
        app_bare_free(g.bare);
        g.bare = NULL;
        leave_tls(host);
        RUN_UNTIL(&f->loop, host->ends);
        assert_int_equal(host->received.len, 0);
        assert_null(host->err);
        assert_int_equal(g.calls, 0);
        app_bare_free(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(requests_follow_without_tls_after_a_byte_0),
                TEST(a_tunnel_that_is_lost_is_no_end_of_a_response),
                TEST(a_refusal_stays_in_tls),
                TEST(more_than_a_byte_0_is_no_answer),
                TEST(records_behind_a_byte_0_are_no_answer),
                TEST(bytes_outside_of_tls_are_no_answer),
                TEST(an_end_without_an_answer_is_reported),
                TEST(a_silent_host_meets_the_deadline),
                TEST(a_gateway_that_gives_up_sends_nothing),
        };
#undef TEST

        return cmocka_run_group_tests(tests, make_all, release_all);
}
