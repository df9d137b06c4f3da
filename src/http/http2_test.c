/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http2.h"

#include "base/error_testing.h"
#include "base/limits.h"

#define PSEUDO ":method\0GET\0:scheme\0https\0:path\0/\0:authority\0a\0"
#define POST   ":method\0POST\0:scheme\0https\0:path\0/\0:authority\0a\0"
#define GET    "GET / HTTP/1.1\r\nHost: a\r\n"

/* Names and values, each ended by NUL; the request as it is sent on, or the code of the error. */
static const struct {
        const char *name, *fields, *output;
        int code;
        bool has_body;
} requests[] = {
        { "a request", ":method\0GET\0:scheme\0https\0:path\0/a?b=c\0:authority\0app.example.com:8443\0accept\0x\0",
          "GET /a?b=c HTTP/1.1\r\nHost: app.example.com:8443\r\naccept: x\r\n\r\n", 0, false },
        { "pseudo-header fields in another order", ":path\0/\0:authority\0a\0:method\0PUT\0:scheme\0https\0", "PUT / HTTP/1.1\r\nHost: a\r\n\r\n", 0, false },
        { "the target of all", ":method\0OPTIONS\0:scheme\0https\0:path\0*\0:authority\0a\0", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, false },
        { "Host in place of :authority", ":method\0GET\0:scheme\0https\0:path\0/\0host\0a\0", GET "\r\n", 0, false },
        { "Host that is :authority", PSEUDO "host\0A\0", GET "\r\n", 0, false },
        { "cookies are joined", PSEUDO "cookie\0a=1\0x\0y\0cookie\0b=2\0cookie\0c=3; d=4\0", GET "x: y\r\ncookie: a=1; b=2; c=3; d=4\r\n\r\n", 0, false },
        { "a body of known length", POST "content-length\0005\0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0, true },
        { "a body of unknown length", POST, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0, true },
        { "an empty body", POST "content-length\0000\0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0, false },
        { "trailers are welcome", PSEUDO "te\0trailers\0", GET "TE: trailers\r\nConnection: TE\r\n\r\n", 0, false },
        { "an empty value", PSEUDO "x\0\0", GET "x: \r\n\r\n", 0, false },

        { "CR LF in a value", PSEUDO "x\0a\r\nTransfer-Encoding: chunked\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "LF in a value", PSEUDO "x\0a\nb\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "CR in a value", PSEUDO "x\0a\rb\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "LF in a cookie", PSEUDO "cookie\0a=1\nx: y\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "CR LF in a name", PSEUDO "x: y\r\nz\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a colon in a name", PSEUDO "x:y\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a blank in a name", PSEUDO "content-length \0005\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "a name in upper case", PSEUDO "Content-Length\0005\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "a blank before a value", PSEUDO "x\0 a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a tab after a value", PSEUDO "x\0a\t\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "Transfer-Encoding", POST "transfer-encoding\0chunked\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "Transfer-Encoding with a length", POST "content-length\0005\0transfer-encoding\0chunked\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "Connection", PSEUDO "connection\0close\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "Connection that drops a field", PSEUDO "connection\0x-forwarded-for\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "Keep-Alive", PSEUDO "keep-alive\0timeout=5\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "Proxy-Connection", PSEUDO "proxy-connection\0close\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "Upgrade", PSEUDO "upgrade\0websocket\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "Upgrade to HTTP/2", PSEUDO "http2-settings\0AAAA\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "another TE", PSEUDO "te\0gzip\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "two lengths", POST "content-length\0005\0content-length\0006\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "a list of lengths", POST "content-length\0005, 5\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "a length with a sign", POST "content-length\0+5\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "a length in the words of CGI", POST "content_length\0005\0", NULL, ERROR_INVALID_ARGUMENT, true },
        { "a length without a body", POST "content-length\0005\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a blank in the method", ":method\0GET /x HTTP/1.1\0:scheme\0https\0:path\0/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a line in the method", ":method\0GET / HTTP/1.1\r\nX:\0:scheme\0https\0:path\0/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "no token as method", ":method\0G@T\0:scheme\0https\0:path\0/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "CONNECT", ":method\0CONNECT\0:scheme\0https\0:path\0/\0:authority\0a:1\0", NULL, ERROR_UNIMPLEMENTED, false },
        { "extended CONNECT", ":method\0CONNECT\0:protocol\0websocket\0:scheme\0https\0:path\0/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a blank in the path", ":method\0GET\0:scheme\0https\0:path\0/ HTTP/1.1\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a line in the path", ":method\0GET\0:scheme\0https\0:path\0/ HTTP/1.1\r\nX: y\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a fragment in the path", ":method\0GET\0:scheme\0https\0:path\0/a#b\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "an absolute target as path", ":method\0GET\0:scheme\0https\0:path\0https://b/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a star with GET", ":method\0GET\0:scheme\0https\0:path\0*\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "bytes beyond ASCII in the path", ":method\0GET\0:scheme\0https\0:path\0/\xc3\xa9\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "an empty path", ":method\0GET\0:scheme\0https\0:path\0\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "no path", ":method\0GET\0:scheme\0https\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "no method", ":scheme\0https\0:path\0/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "no scheme", ":method\0GET\0:path\0/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "another scheme", ":method\0GET\0:scheme\0http\0:path\0/\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "no host", ":method\0GET\0:scheme\0https\0:path\0/\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "another Host than :authority", PSEUDO "host\0b\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "two Hosts", PSEUDO "host\0a\0host\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "an authority with a user", ":method\0GET\0:scheme\0https\0:path\0/\0:authority\0b@a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "an authority with a path", ":method\0GET\0:scheme\0https\0:path\0/\0:authority\0a/b\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a line in the authority", ":method\0GET\0:scheme\0https\0:path\0/\0:authority\0a\r\nX: y\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a path twice", PSEUDO ":path\0/\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "a pseudo-header field that follows a field", ":method\0GET\0:scheme\0https\0:path\0/\0x\0y\0:authority\0a\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "the status of a response", PSEUDO ":status\000200\0", NULL, ERROR_INVALID_ARGUMENT, false },
        { "an expectation", POST "expect\0x\0", NULL, ERROR_FAILED_PRECONDITION, true },
};

/* Adds the fields, and parses the request. */
static struct error *parse(const char *fields, bool has_body, struct http_request *ret)
{
        AUTO(http2_request) head = { 0 };
        struct error *err = NULL;

        for (const char *name = fields, *value; err == NULL && *name != 0; name = value + strlen(value) + 1) {
                value = name + strlen(name) + 1;
                err = http2_request_add(&head, str_of(name), str_of(value));
        }
        return err == NULL ? http2_request_parse(&head, !has_body, ret) : err;
}

static void requests_become_those_of_http1_or_are_refused(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                AUTO(http_request) r = { 0 };
                AUTO(buf) out = BUF_MAX(4 * KiB);
                AUTO_PTR(error) err = parse(requests[i].fields, requests[i].has_body, &r);

                if ((err == NULL ? 0 : (int)err->code) != requests[i].code)
                        fail_msg("%s: %s", requests[i].name, err == NULL ? "it is accepted" : err->what);
                if (err != NULL)
                        continue;
                http_request_put(&out, &r);
                if (strcmp(buf_c(&out), requests[i].output) != 0)
                        fail_msg("%s: %s", requests[i].name, buf_c(&out));
        }
}

static void nul_bytes_and_an_empty_name_are_refused(void **state)
{
        AUTO(http2_request) r = { 0 };

        (void)state;
        assert_code(http2_request_add(&r, STR("x"), str_of_bytes("a\0b", 3)), ERROR_INVALID_ARGUMENT);
        assert_code(http2_request_add(&r, str_of_bytes("x\0y", 3), STR("a")), ERROR_INVALID_ARGUMENT);
        assert_code(http2_request_add(&r, STR(""), STR("a")), ERROR_INVALID_ARGUMENT);
}

static void a_head_has_a_longest_length(void **state)
{
        AUTO(http2_request) fields = { 0 }, cookies = { 0 };
        char value[1000];
        struct error *err = NULL;
        size_t added = 0;

        (void)state;
        memset(value, 'a', sizeof value);
        for (; err == NULL && added < LIMIT_HTTP2_HEADER_LIST; added += sizeof value)
                err = http2_request_add(&fields, STR("x"), str_of_bytes(value, sizeof value));
        assert_code(err, ERROR_RESOURCE_EXHAUSTED);
        err = NULL;
        for (size_t i = 0; err == NULL && i < LIMIT_HTTP2_HEADER_LIST; i++)
                err = http2_request_add(&cookies, STR("cookie"), STR(""));
        assert_code(err, ERROR_RESOURCE_EXHAUSTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_become_those_of_http1_or_are_refused),
                cmocka_unit_test(nul_bytes_and_an_empty_name_are_refused),
                cmocka_unit_test(a_head_has_a_longest_length),
        };

        return cmocka_run_group_tests_name("http2", tests, NULL, NULL);
}
