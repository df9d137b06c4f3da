/* SPDX-License-Identifier: Apache-2.0 */
#include "client/node_tunnel.h"

#include "net/net_testing.h"

struct requested {
        struct loop loop;
        struct ear proxy; /* the other end */
        struct ear node;  /* the arguments of done */
        struct node_tunnel *tunnel;
        struct error *err;
        int done;
};

static void on_done(void *ctx, struct stream *s, struct error *err)
{
        struct requested *a = ctx;

        assert_true((s == NULL) == (err != NULL));
        a->done++;
        a->err = err;
        a->tunnel = NULL;
        if (s == NULL)
                return;
        ear_listen(&a->node, s);
        stream_read(s, true);
}

static void begin_with(struct requested *a, struct duration within, const struct node_tunnel_target *target)
{
        struct stream *here, *there;

        *a = (struct requested){ 0 };
        assert_null(loop_init(&a->loop, NULL));
        connected_pair(&a->loop, &here, &there);
        ear_listen(&a->proxy, there);
        stream_read(there, true);
        a->tunnel = node_tunnel_start(&a->loop, here, target, within, on_done, a);
        assert_int_equal(a->done, 0);
}

static void begin(struct requested *a, struct duration within)
{
        begin_with(a, within, &(struct node_tunnel_target){ .name = "web-1", .login = "root" });
}

static void end(struct requested *a)
{
        ear_release(&a->proxy);
        ear_release(&a->node);
        error_free(a->err);
        loop_release(&a->loop);
}

static void requests_the_node_and_forwards_the_bytes_that_follow(void **state)
{
        struct requested a;

        (void)state;
        begin(&a, SECONDS(10));
        RUN_UNTIL(&a.loop, a.proxy.received.len >= 4 && str_ends_with(buf_str(&a.proxy.received), STR("\r\n\r\n")));
        assert_received(&a.proxy, "CONNECT web-1:0 HTTP/1.1\r\nHost: web-1:0\r\nX-Teleport-Login: root\r\n\r\n");
        stream_write(a.proxy.stream, STR("HTTP/1.1 200 OK\r\nX-Teleport-Host-Id: 1\r\n"));
        run_a_while(&a.loop);
        assert_int_equal(a.done, 0);
        stream_write(a.proxy.stream, STR("\r\nSSH-2.0-node\r\n"));
        RUN_UNTIL(&a.loop, a.node.received.len > 0);
        assert_received(&a.node, "SSH-2.0-node\r\n");
        assert_int_equal(a.done, 1);
        end(&a);
}

static void requests_one_of_the_ports_of_an_application(void **state)
{
        static const char *const heads[] = { "CONNECT queue:0 HTTP/1.1\r\nHost: queue:0\r\nX-Teleport-Kind: app\r\n\r\n",
                                             "CONNECT queue:5432 HTTP/1.1\r\nHost: queue:5432\r\nX-Teleport-Kind: app\r\nX-Teleport-Tried: a,b\r\n\r\n" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
                struct requested a;

                begin_with(&a, SECONDS(10), &(struct node_tunnel_target){ .name = "queue", .login = "", .is_app = true, .port = i == 0 ? 0 : 5432, .tried = i == 0 ? "" : "a,b" });
                RUN_UNTIL(&a.loop, a.proxy.received.len >= 4 && str_ends_with(buf_str(&a.proxy.received), STR("\r\n\r\n")));
                assert_received(&a.proxy, heads[i]);
                node_tunnel_cancel(a.tunnel);
                RUN_UNTIL(&a.loop, a.done == 1);
                end(&a);
        }
}

static const struct {
        const char *answer;
        enum error_code code;
        const char *what, *hint;
        bool is_ended; /* by the proxy */
} refused[] = {
        { "HTTP/1.1 403 Forbidden\r\nContent-Length: 45\r\n\r\nno role lets alice be root\nhint: ask for one\n\n", ERROR_PERMISSION_DENIED,
          "no role lets alice be root", "ask for one", false },
        { "HTTP/1.1 404 Not Found\r\n\r\nno node is called web-1\n", ERROR_NOT_FOUND, "no node is called web-1", NULL, true },
        { "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", ERROR_FAILED_PRECONDITION,
          "ambiguous host could match multiple nodes", NULL, false },
        { "HTTP/1.1 502 Bad Gateway\r\ncontent-length:3\r\n\r\nx\x1by", ERROR_UNAVAILABLE, "x\\x1by", NULL, false },
        { "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", ERROR_UNAVAILABLE, "the host cannot be reached", NULL, false },
        { "HTTP/1.1 503 Busy\r\nContent-Length: 99999999999999999999\r\n\r\ngone", ERROR_UNAVAILABLE, "gone", NULL, true },
        { "SSH-2.0-OpenSSH\r\n\r\n", ERROR_UNAVAILABLE, "the proxy's answer makes no sense", NULL, false },
        { "", ERROR_UNAVAILABLE, "the proxy ended the connection without an answer", NULL, true },
};

static void reports_the_reason_of_a_refusal(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
                struct requested a;

                begin(&a, SECONDS(10));
                stream_write(a.proxy.stream, str_of(refused[i].answer));
                if (refused[i].is_ended)
                        stream_shutdown(a.proxy.stream);
                RUN_UNTIL(&a.loop, a.done);
                assert_int_equal(a.err->code, refused[i].code);
                if (!str_starts_with(str_of(a.err->what), str_of(refused[i].what)))
                        fail_msg("'%s' instead of '%s'", a.err->what, refused[i].what);
                assert_int_equal(a.err->hint != NULL, refused[i].hint != NULL);
                if (refused[i].hint != NULL)
                        assert_string_equal(a.err->hint, refused[i].hint);
                end(&a);
        }
}

static void stops_reading_at_the_content_length(void **state)
{
        struct requested a;

        (void)state;
        begin(&a, MILLISECONDS(5));
        RUN_UNTIL(&a.loop, a.done);
        assert_int_equal(a.err->code, ERROR_DEADLINE_EXCEEDED);
        end(&a);
}

static void can_be_cancelled(void **state)
{
        struct requested a;

        (void)state;
        begin(&a, SECONDS(10));
        node_tunnel_cancel(a.tunnel);
        node_tunnel_cancel(a.tunnel);
        assert_int_equal(a.done, 0);
        RUN_UNTIL(&a.loop, a.done);
        assert_int_equal(a.err->code, ERROR_CANCELLED);
        end(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_the_node_and_forwards_the_bytes_that_follow),
                cmocka_unit_test(requests_one_of_the_ports_of_an_application),
                cmocka_unit_test(reports_the_reason_of_a_refusal),
                cmocka_unit_test(stops_reading_at_the_content_length),
                cmocka_unit_test(can_be_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
