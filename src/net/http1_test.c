/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http1.h"

#include "base/buf.h"
#include "base/error_testing.h"

#define OK 0
#define MORE (-1)

enum { BODY_MAX = 8192 };

static const struct {
        const char *name;
        const char *input;
        int outcome; /* OK, MORE or an error code */
} cases[] = {
        { "a request", "GET /webapi/find HTTP/1.1\r\nHost: a\r\n\r\n", OK },
        { "a request with a query", "GET /webapi/find?group=x HTTP/1.1\r\nHost: a\r\n\r\n", OK },
        { "HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", OK },
        { "what follows is not looked at", "GET / HTTP/1.0\r\n\r\nanything\n", OK },
        { "a length of nothing", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", OK },
        { "a way to a node", "CONNECT web-1:0 HTTP/1.1\r\nHost: web-1:0\r\nX-Teleport-Login: root\r\n\r\nSSH-2.0-", OK },
        { "a way to a path", "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a way without a port", "CONNECT web-1 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a port that is none", "CONNECT web-1:65536 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a way to an option", "CONNECT -oProxyCommand=x:0 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a way to a shell", "CONNECT a;b:0 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a way to nowhere", "CONNECT :0 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "two logins", "CONNECT a:0 HTTP/1.1\r\nHost: a\r\nX-Teleport-Login: a\r\nX-Teleport-Login: b\r\n\r\n",
          ERROR_INVALID_ARGUMENT },
        { "a way with a body", "CONNECT a:0 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", ERROR_UNIMPLEMENTED },
        { "nothing yet", "", MORE },
        { "half a line", "GET /webapi", MORE },
        { "half a line end", "GET / HTTP/1.1\r", MORE },
        { "no blank line yet", "GET / HTTP/1.1\r\nHost: a\r\n", MORE },
        { "HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a bare CR", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a folded line", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a field without a colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a control byte in a value", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a blank at the end of the line", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "another version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a malformed method", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "TLS", "\x16\x03\x01\x02\r\n", ERROR_INVALID_ARGUMENT },
        { "a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", OK },
        { "the longest body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8192\r\n\r\n", OK },
        { "a body that is too long", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8193\r\n\r\n", ERROR_UNIMPLEMENTED },
        { "a length beyond numbers", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
          ERROR_UNIMPLEMENTED },
        { "a body where none belongs", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", ERROR_UNIMPLEMENTED },
        { "a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", ERROR_INVALID_ARGUMENT },
        { "a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", ERROR_INVALID_ARGUMENT },
        { "an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nx", ERROR_INVALID_ARGUMENT },
        { "two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
          ERROR_INVALID_ARGUMENT },
        { "a length and chunks", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          ERROR_UNIMPLEMENTED },
        { "lines of a list", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: a\r\nUpgrade: b\r\nX-Teleport-Upgrade: b\r\n\r\n", OK },
        { "lines of two lists", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: a\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n", OK },
        { "more lines of a list than are parsed", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: 1\r\nUpgrade: 2\r\nUpgrade: 3\r\nUpgrade: 4\r\n"
          "X-Teleport-Upgrade: 5\r\nX-Teleport-Upgrade: 6\r\nX-Teleport-Upgrade: 7\r\nUpgrade: 8\r\nUpgrade: 9\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "two keys of WebSocket", "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a body by chunks with GET", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERROR_UNIMPLEMENTED },
        { "a length of nothing and chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", ERROR_UNIMPLEMENTED },
        { "a body by an unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", ERROR_UNIMPLEMENTED },
        { "a blank before the colon of a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\nx", ERROR_INVALID_ARGUMENT },
        { "a length with a tab inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\t1\r\n\r\nx", ERROR_INVALID_ARGUMENT },
        { "a length in hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", ERROR_INVALID_ARGUMENT },
        { "a bare LF at the end of the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", ERROR_INVALID_ARGUMENT },
        { "a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a folded list", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive,\r\n\tUpgrade\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a blank line before the request", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "the target of OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a target with a fragment of TLS", "GET /\x16 HTTP/1.1\r\nHost: a\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "HTTP/0.9", "GET /\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "two origins", "POST / HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nOrigin: https://b\r\n\r\n", ERROR_INVALID_ARGUMENT },
        { "a body by chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", ERROR_UNIMPLEMENTED },
};

static void judges_each_case_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct http1_request request;
                size_t head = 0;
                struct error *err = http1_parse(str_of(cases[i].input), BODY_MAX, &request, &head);
                int outcome = err != NULL ? (int)err->code : head == 0 ? MORE : OK;
                error_free(err);
                if (outcome != cases[i].outcome)
                        fail_msg("%s: %d instead of %d", cases[i].name, outcome, cases[i].outcome);
        }
}

static void parses_the_address_of_a_node(void **state)
{
        (void)state;
        struct http1_request r;
        size_t head;
        assert_null(http1_parse(STR("CONNECT queue:65535 HTTP/1.1\r\nHost: queue:65535\r\n\r\n"), BODY_MAX, &r, &head));
        assert_int_equal(r.port, 65535);
        assert_null(http1_parse(STR("CONNECT web-1:0 HTTP/1.1\r\nHost: web-1:0\r\nx-teleport-login: root\r\n\r\n"), BODY_MAX, &r, &head));
        assert_int_equal(r.port, 0);
        assert_true(str_equal(r.authority, STR("web-1")));
        assert_true(str_equal(r.login, STR("root")));
        assert_true(str_is_empty(r.path));
}

static void takes_a_request_apart(void **state)
{
        (void)state;
        struct http1_request r;
        size_t head;
        struct str input = STR("POST /a/b?c=d?e HTTP/1.1\r\nX: y\r\nHOST:  proxy:443 \r\nContent-Length: 4\r\n"
                               "content-type: text/plain\r\nOrigin: null\r\nSec-Fetch-Site: same-origin\r\n\r\nrest");
        assert_null(http1_parse(input, BODY_MAX, &r, &head));
        assert_true(str_equal(r.method, STR("POST")));
        assert_int_equal(r.body, 4);
        assert_true(str_equal(r.content_type, STR("text/plain")));
        assert_true(str_equal(r.origin, STR("null")));
        assert_true(str_equal(r.fetch_site, STR("same-origin")));
        assert_true(str_equal(r.path, STR("/a/b")));
        assert_true(str_equal(r.query, STR("c=d?e")));
        assert_true(str_equal(r.host, STR("proxy:443")));
        assert_int_equal(r.minor, 1);
        assert_int_equal(head, input.len - 4);
}

static void reads_a_list_of_several_lines(void **state)
{
        (void)state;
        struct http1_request r;
        size_t head;

        assert_null(http1_parse(STR("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c,, WebSocket\r\nx-teleport-upgrade:\r\nUPGRADE: alpn\r\n\r\n"), BODY_MAX, &r, &head));
        assert_int_equal(r.upgrade.count, 3);
        assert_true(http1_lines_have(&r.upgrade, "websocket"));
        assert_true(http1_lines_have(&r.upgrade, "alpn"));
        assert_false(http1_lines_have(&r.upgrade, "alp"));
        assert_string_equal(http1_lines_choose(&r.upgrade, (const char *const[]){ "alpn", "websocket", NULL }), "websocket");
        assert_null(http1_lines_choose(&r.websocket_protocol, (const char *const[]){ "alpn", NULL }));
        assert_null(http1_parse(STR("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2, 192.0.2.3\r\n\r\n"), BODY_MAX, &r, &head));
        assert_int_equal(r.forwarded_for.count, 2);
        assert_true(str_equal(r.forwarded_for.values[1], STR("192.0.2.2, 192.0.2.3")));
}

static void asserts_code(struct str input, enum error_code code)
{
        struct http1_request r;
        size_t head;

        assert_code(http1_parse(input, BODY_MAX, &r, &head), code);
}

static void refuses_a_head_that_never_ends(void **state)
{
        (void)state;
        AUTO(buf) b = BUF_MAX(2 * LIMIT_HTTP1_HEADER);
        buf_put_c(&b, "GET / HTTP/1.1\r\nX: ");
        while (b.len < LIMIT_HTTP1_HEADER)
                buf_put_char(&b, 'a');
        asserts_code(buf_str(&b), ERROR_RESOURCE_EXHAUSTED);
        buf_put_c(&b, "\r\nHost: a\r\n\r\n");
        asserts_code(buf_str(&b), ERROR_RESOURCE_EXHAUSTED);
}

static void refuses_too_many_fields_and_a_long_target(void **state)
{
        (void)state;
        AUTO(buf) b = BUF_MAX(LIMIT_HTTP1_HEADER);
        buf_put_c(&b, "GET / HTTP/1.1\r\n");
        for (int i = 0; i <= HTTP1_HEADERS_MAX; i++)
                buf_put_c(&b, "X: y\r\n");
        asserts_code(buf_str(&b), ERROR_RESOURCE_EXHAUSTED);

        buf_clear(&b);
        buf_put_c(&b, "GET /");
        for (int i = 0; i < HTTP1_TARGET_MAX; i++)
                buf_put_char(&b, 'a');
        buf_put_c(&b, " HTTP/1.1\r\n");
        asserts_code(buf_str(&b), ERROR_RESOURCE_EXHAUSTED);
}

static void refuses_a_nul_in_a_line(void **state)
{
        (void)state;
        asserts_code(STR("GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n"), ERROR_INVALID_ARGUMENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(judges_each_case_as_the_table_says),
                cmocka_unit_test(takes_a_request_apart),
                cmocka_unit_test(parses_the_address_of_a_node),
                cmocka_unit_test(reads_a_list_of_several_lines),
                cmocka_unit_test(refuses_a_head_that_never_ends),
                cmocka_unit_test(refuses_too_many_fields_and_a_long_target),
                cmocka_unit_test(refuses_a_nul_in_a_line),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
