/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_fetch.h"

#include <stdlib.h>

#include "net/net_testing.h"

enum { MORE = 0, LIMIT = 32, REFUSED = -ERROR_UNAVAILABLE, LARGE = -ERROR_RESOURCE_EXHAUSTED };

/* The body of an answer, or the outcome. */
static const struct {
        const char *name, *answer, *body;
        int otherwise;
        bool is_ended;
} answers[] = {
        { "a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 0, false },
        { "nothing", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", 0, false },
        { "bytes behind it", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", "abc", 0, false },
        { "without a length, up to the end", "HTTP/1.0 200 OK\r\n\r\nabc", "abc", 0, true },
        { "without a length", "HTTP/1.0 200 OK\r\n\r\nabc", NULL, MORE, false },
        { "after an interim answer", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "a", 0, false },
        { "in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", "abc", 0, false },
        { "with a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n", "0123456789", 0, false },
        { "a head that is not complete", "HTTP/1.1 200 OK\r\nContent-Len", NULL, MORE, false },
        { "a body that is not complete", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", NULL, MORE, false },
        { "a chunk that is not complete", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabc", NULL, MORE, false },
        { "a trailer that is not complete", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n", NULL, MORE, false },
        { "no answer", "", NULL, REFUSED, true },
        { "a cut head", "HTTP/1.1 200 OK\r\n", NULL, REFUSED, true },
        { "a cut body", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", NULL, REFUSED, true },
        { "cut chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", NULL, REFUSED, true },
        { "another status", "HTTP/1.1 404 Not Found\r\nServer: nginx\r\n\r\n", NULL, REFUSED, false },
        { "a redirect", "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", NULL, REFUSED, false },
        { "no content", "HTTP/1.1 204 No Content\r\n\r\n", NULL, REFUSED, false },
        { "SSH", "SSH-2.0-OpenSSH_9.2\r\n", NULL, REFUSED, false },
        { "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NULL, REFUSED, false },
        { "a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", NULL, REFUSED, false },
        { "a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", NULL, REFUSED, false },
        { "a length beyond every number", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", NULL, REFUSED, false },
        { "chunks and a length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", NULL, REFUSED, false },
        { "another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", NULL, REFUSED, false },
        { "a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", NULL, REFUSED, false },
        { "a chunk with a sign", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", NULL, REFUSED, false },
        { "a chunk that is longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", NULL, REFUSED, false },
        { "a chunk beyond every number", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", NULL, REFUSED, false },
        { "too long", "HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n", NULL, LARGE, false },
        { "too long without a length", "HTTP/1.0 200 OK\r\n\r\n0123456789012345678901234567890123", NULL, LARGE, false },
        { "too long a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n", NULL, LARGE, false },
        { "too many chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n11\r\n", NULL, LARGE, false },
};

static void reads_answers_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
                AUTO(buf) body = BUF_MAX(LIMIT);
                bool is_complete = false;
                struct error *err = http_fetch_parse(str_of(answers[i].answer), answers[i].is_ended, &body, &is_complete);
                int outcome = err != NULL ? -(int)err->code : is_complete ? 1 : MORE;

                if (outcome != (answers[i].body != NULL ? 1 : answers[i].otherwise))
                        fail_msg("%s: %d (%s)", answers[i].name, outcome, err == NULL ? "" : err->what);
                if (is_complete && !str_equal(buf_str(&body), str_of(answers[i].body)))
                        fail_msg("%s: '%s'", answers[i].name, buf_c(&body));
                error_free(err);
        }
}

/* ---- over a stream ------------------------------------------------------------------------------------------ */

struct fixture {
        struct loop loop;
        struct ear server;
        struct http_fetch *fetch;
        struct buf body;
        struct error *err;
        int done;
};

static void on_page(void *ctx, struct str body, struct error *err)
{
        struct fixture *f = ctx;

        f->done++;
        f->err = err;
        buf_put(&f->body, body);
}

static void set_up(struct fixture *f, struct duration within)
{
        struct stream *near, *far;

        *f = (struct fixture){ .body = BUF_MAX(LIMIT) };
        assert_null(loop_init(&f->loop, NULL));
        connected_pair(&f->loop, &near, &far);
        ear_listen(&f->server, far);
        stream_read(far, true);
        f->fetch = http_fetch_start(&f->loop, near,
                                    &(struct http_fetch_request){ .host = "lb.example.com", .path = "/page?x=y", .limit = LIMIT, .within = within },
                                    on_page, f);
        assert_int_equal(f->done, 0);
}

static void tear_down(struct fixture *f)
{
        assert_int_equal(f->done, 1);
        ear_release(&f->server);
        run_a_while(&f->loop);
        loop_release(&f->loop);
        error_free(f->err);
        buf_release(&f->body);
}

static void a_page_is_requested_and_read(void **state)
{
        (void)state;
        struct fixture f;

        set_up(&f, SECONDS(60));
        RUN_UNTIL(&f.loop, str_ends_with(buf_str(&f.server.received), STR("\r\n\r\n")));
        assert_received(&f.server, "GET /page?x=y HTTP/1.1\r\nHost: lb.example.com\r\nConnection: close\r\n\r\n");
        stream_write(f.server.stream, STR("HTTP/1.1 200 OK\r\nContent-Le"));
        run_a_while(&f.loop);
        stream_write(f.server.stream, STR("ngth: 4\r\n\r\npage"));
        RUN_UNTIL(&f.loop, f.done == 1);
        assert_null(f.err);
        assert_string_equal(buf_c(&f.body), "page");
        tear_down(&f);
}

static void a_refusal_names_the_server(void **state)
{
        (void)state;
        struct fixture f;

        set_up(&f, SECONDS(60));
        stream_write(f.server.stream, STR("HTTP/1.1 404 Not Found\r\nServer: awselb/2.0\r\nContent-Length: 9\r\n\r\n"));
        RUN_UNTIL(&f.loop, f.done == 1);
        assert_string_equal(f.err->what, "the server there ('awselb/2.0') answered 404 Not Found");
        tear_down(&f);
}

static void a_server_that_is_silent_is_left(void **state)
{
        (void)state;
        struct fixture f;

        set_up(&f, MILLISECONDS(1));
        RUN_UNTIL(&f.loop, f.done == 1);
        assert_int_equal(f.err->code, ERROR_DEADLINE_EXCEEDED);
        tear_down(&f);
}

static void a_cancelled_request_says_so_once(void **state)
{
        (void)state;
        struct fixture f;

        set_up(&f, SECONDS(60));
        http_fetch_cancel(f.fetch);
        http_fetch_cancel(f.fetch);
        stream_write(f.server.stream, STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        RUN_UNTIL(&f.loop, f.done == 1);
        assert_int_equal(f.err->code, ERROR_CANCELLED);
        tear_down(&f);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_answers_as_the_table_says), cmocka_unit_test(a_page_is_requested_and_read),
                cmocka_unit_test(a_refusal_names_the_server),      cmocka_unit_test(a_server_that_is_silent_is_left),
                cmocka_unit_test(a_cancelled_request_says_so_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
