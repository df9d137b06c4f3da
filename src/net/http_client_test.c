/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/http_testing.h"

struct fixture {
        struct loop loop;
        struct http_peer peer;
        struct http_client *client;
        char *seen; /* the last request */
        const char *scripted;
        bool closes;
        /* what came */
        unsigned done;
        int status;
        char *body, *wanted[2];
        enum error_code code;
        char *sent;
};

static bool answer(void *ctx, struct str request, struct buf *out)
{
        struct fixture *f = ctx;

        free(f->seen);
        f->seen = str_dup(request);
        buf_put_c(out, f->scripted);
        return !f->closes;
}

static void on_done(void *ctx, const struct http_answer *got, struct error *err)
{
        struct fixture *f = ctx;

        f->done++;
        free(f->body);
        free(f->sent);
        free(f->wanted[0]);
        free(f->wanted[1]);
        f->body = f->sent = f->wanted[0] = f->wanted[1] = NULL;
        f->code = 0;
        if (err != NULL) {
                f->code = err->code;
                f->sent = str_dup(str_of(err->what));
                error_free(err);
                return;
        }
        f->status = got->status;
        f->body = str_dup(got->body);
        for (size_t i = 0; i < 2; i++)
                f->wanted[i] = str_dup(got->wanted[i]);
}

static void setup(struct fixture *f, unsigned keep)
{
        *f = (struct fixture){ .scripted = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" };
        assert_null(loop_init(&f->loop, NULL));
        http_peer_start(&f->peer, &f->loop, answer, f);
        f->client = http_client_new(&f->loop, (struct http_client_options){ .keep = keep });
}

static void teardown(struct fixture *f)
{
        http_client_free(f->client);
        http_peer_stop(&f->peer);
        loop_run(&f->loop);
        loop_release(&f->loop);
        free(f->seen);
        free(f->body);
        free(f->sent);
        free(f->wanted[0]);
        free(f->wanted[1]);
}

static struct http_request request_to(const struct fixture *f)
{
        return (struct http_request){ .method = "GET",
                                      .url = f->peer.url,
                                      .allow_http = true,
                                      .connect_within = SECONDS(5),
                                      .within = SECONDS(5),
                                      .limit = 4 * KiB };
}

/* Until `count` answers were received. */
static void run_until(struct fixture *f, unsigned count)
{
        while (f->done < count)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
}

static void send_request(struct fixture *f, const struct http_request *r)
{
        struct http_call *call = http_call_start(f->client, r, on_done, f);
        unsigned before = f->done;

        (void)call;
        run_until(f, before + 1);
}

static void sends_a_request_and_keeps_the_wanted_headers(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        const char *const headers[] = { "X-One: 1", NULL };
        struct http_request r = request_to(&f);

        r.headers = headers;
        r.wanted[0] = "date";
        r.wanted[1] = "x-amzn-requestid";
        f.scripted = "HTTP/1.1 100 Continue\r\nDate: never\r\n\r\n"
                     "HTTP/1.1 403 Forbidden\r\nDATE:  Sun, 06 Nov 1994 08:49:37 GMT \r\nDate: second\r\n"
                     "Content-Length: 5\r\n\r\nhello";
        send_request(&f, &r);
        assert_int_equal(f.status, 403);
        assert_string_equal(f.body, "hello");
        assert_string_equal(f.wanted[0], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_string_equal(f.wanted[1], "");
        assert_non_null(strstr(f.seen, "GET / HTTP/1.1\r\n"));
        assert_non_null(strstr(f.seen, "\r\nX-One: 1\r\n"));
        assert_null(strstr(f.seen, "Accept-Encoding"));
        teardown(&f);
}

static void puts_and_posts_bodies_with_their_length(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        r.method = "PUT";
        send_request(&f, &r);
        assert_non_null(strstr(f.seen, "PUT / HTTP/1.1\r\n"));
        assert_non_null(strstr(f.seen, "Content-Length: 0\r\n"));
        assert_null(strstr(f.seen, "Content-Type"));
        r.method = "POST";
        r.body = STR("a=b");
        send_request(&f, &r);
        assert_non_null(strstr(f.seen, "Content-Length: 3\r\n"));
        assert_non_null(strstr(f.seen, "\r\n\r\na=b"));
        assert_null(strstr(f.seen, "Expect"));
        teardown(&f);
}

static void follows_no_redirect(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        f.scripted = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
        send_request(&f, &r);
        assert_int_equal(f.status, 302);
        assert_int_equal(f.peer.requests, 1);
        teardown(&f);
}

static void refuses_plain_http_unless_allowed(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        r.allow_http = false;
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_INVALID_ARGUMENT);
        r.allow_http = true;
        r.url = "file:///etc/passwd";
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_INVALID_ARGUMENT);
        assert_int_equal(f.peer.requests, 0);
        teardown(&f);
}

static void stops_at_the_limit_of_bytes(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);
        AUTO(buf) big = BUF_MAX(64 * KiB);

        buf_put_c(&big, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
        memset(buf_extend(&big, 5000), 'x', 5000);
        f.scripted = buf_c(&big);
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_RESOURCE_EXHAUSTED);

        AUTO(buf) head = BUF_MAX(64 * KiB);
        buf_put_c(&head, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        for (int i = 0; i < 500; i++)
                buf_put_c(&head, "X-Pad: 0123456789\r\n");
        buf_put_c(&head, "\r\n");
        f.scripted = buf_c(&head);
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_RESOURCE_EXHAUSTED);
        teardown(&f);
}

static void distinguishes_a_silent_from_an_absent_peer(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        f.scripted = "";
        r.within = MILLISECONDS(50);
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_DEADLINE_EXCEEDED);
        f.closes = true;
        r.within = SECONDS(5);
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_UNAVAILABLE);
        r.url = "http://127.0.0.1:1/";
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_UNAVAILABLE);
        f.closes = false;
        f.scripted = "SSH-2.0-OpenSSH\r\n";
        r = request_to(&f);
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_INTERNAL);
        teardown(&f);
}

static void connects_to_another_address_on_request(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        r.url = "http://sts.example.invalid/";
        r.connect_to = f.peer.address;
        send_request(&f, &r);
        assert_int_equal(f.status, 200);
        assert_non_null(strstr(f.seen, "Host: sts.example.invalid\r\n"));
        teardown(&f);
}

static void keeps_connections_only_when_asked(void **state)
{
        struct fixture f;
        (void)state;
        for (unsigned keep = 0; keep < 2; keep++) {
                setup(&f, keep * 4);
                struct http_request r = request_to(&f);
                send_request(&f, &r);
                send_request(&f, &r);
                assert_int_equal(f.peer.requests, 2);
                assert_int_equal(f.peer.connections, keep == 0 ? 2 : 1);
                teardown(&f);
        }
}

/* The classic error of connection reuse: an unsolicited answer is read as the answer of the next request. */
static void never_reuses_a_connection_on_which_the_peer_spoke_unasked(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 4);
        struct http_request r = request_to(&f);

        send_request(&f, &r);
        http_peer_send_unsolicited(&f.peer, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
        send_request(&f, &r);
        assert_string_equal(f.body, "hi");
        assert_int_equal(f.peer.connections, 2);

        f.scripted = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
        send_request(&f, &r);
        send_request(&f, &r);
        assert_string_equal(f.body, "hi");
        assert_int_equal(f.peer.connections, 3);
        teardown(&f);
}

static void sends_no_second_request_when_a_kept_connection_dies(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 4);
        struct http_request r = request_to(&f);

        send_request(&f, &r);
        f.scripted = ""; /* it takes the second one and hangs up */
        f.closes = true;
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(f.sent, "broke"));
        assert_int_equal(f.peer.requests, 2);
        f.scripted = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        r.is_fresh = true;
        send_request(&f, &r);
        assert_string_equal(f.body, "hi");
        teardown(&f);
}

static void refuses_an_answer_with_ambiguous_framing(void **state)
{
        static const char *const answers[] = {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\nhi",
                "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\ncontent-encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
        };
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                f.scripted = answers[i];
                send_request(&f, &r);
                assert_int_equal(f.code, ERROR_INTERNAL);
                assert_non_null(strstr(f.sent, "given twice"));
        }
        teardown(&f);
}

static void reads_headers_in_the_head_only(void **state)
{
        static const char *const unsaid[] = {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Type: application/json\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nHTTP/1.1: 200\r\nContent-Type: application/json\r\n\r\n",
        };
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        r.wanted[0] = "content-type";
        for (size_t i = 0; i < ARRAY_LEN(unsaid); i++) {
                f.scripted = unsaid[i];
                send_request(&f, &r);
                assert_string_equal(f.body, "hi");
                assert_string_equal(f.wanted[0], "");
        }
        f.scripted = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nHTTP/1.1: 200\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\nhi";
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_INTERNAL);
        f.scripted = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        send_request(&f, &r);
        assert_int_equal(f.code, ERROR_INTERNAL);
        assert_non_null(strstr(f.sent, "encoding"));
        teardown(&f);
}

static void believes_no_answer_that_was_cut_off(void **state)
{
        static const char *const answers[] = {
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
                "HTTP/1.1 200 OK\r\nContent-Le",
        };
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);

        f.closes = true;
        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                f.scripted = answers[i];
                send_request(&f, &r);
                assert_int_equal(f.code, ERROR_UNAVAILABLE);
        }
        teardown(&f);
}

static void calls_done_once_when_cancelled(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, 0);
        struct http_request r = request_to(&f);
        struct http_call *call = http_call_start(f.client, &r, on_done, &f);

        assert_int_equal(f.done, 0);
        http_call_cancel(call);
        assert_int_equal(f.done, 0);
        run_until(&f, 1);
        assert_int_equal(f.code, ERROR_CANCELLED);
        f.scripted = "";
        call = http_call_start(f.client, &r, on_done, &f);
        while (f.peer.requests == 0)
                uv_run(&f.loop.uv, UV_RUN_ONCE);
        http_call_cancel(call);
        http_call_cancel(call);
        run_until(&f, 2);
        assert_int_equal(f.code, ERROR_CANCELLED);
        teardown(&f);
        assert_int_equal(f.done, 2);
}

static void works_with_one_client_after_the_other(void **state)
{
        struct fixture f;
        (void)state;
        for (int i = 0; i < 3; i++) {
                setup(&f, 0);
                struct http_request r = request_to(&f);
                send_request(&f, &r);
                assert_int_equal(f.status, 200);
                teardown(&f);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(works_with_one_client_after_the_other),
                cmocka_unit_test(sends_a_request_and_keeps_the_wanted_headers),
                cmocka_unit_test(puts_and_posts_bodies_with_their_length),
                cmocka_unit_test(follows_no_redirect),
                cmocka_unit_test(refuses_plain_http_unless_allowed),
                cmocka_unit_test(stops_at_the_limit_of_bytes),
                cmocka_unit_test(distinguishes_a_silent_from_an_absent_peer),
                cmocka_unit_test(connects_to_another_address_on_request),
                cmocka_unit_test(keeps_connections_only_when_asked),
                cmocka_unit_test(never_reuses_a_connection_on_which_the_peer_spoke_unasked),
                cmocka_unit_test(sends_no_second_request_when_a_kept_connection_dies),
                cmocka_unit_test(refuses_an_answer_with_ambiguous_framing),
                cmocka_unit_test(reads_headers_in_the_head_only),
                cmocka_unit_test(believes_no_answer_that_was_cut_off),
                cmocka_unit_test(calls_done_once_when_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
