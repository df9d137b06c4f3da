/* SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include "base/error_testing.h"
#include "base/limits.h"
#include "base/mem.h"

#define H "Host: a\r\n"

/* The request as it is sent on, or the code of the error. */
static const struct {
        const char *name, *input, *output;
        int code;
} requests[] = {
        { "a request", "GET /a?b=c HTTP/1.1\r\nHost: app.example.com\r\nAccept: x\r\n\r\n", "GET /a?b=c HTTP/1.1\r\nHost: app.example.com\r\nAccept: x\r\n\r\n", 0 },
        { "any method", "PROPFIND / HTTP/1.1\r\n" H "\r\n", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "blanks around a value", "GET / HTTP/1.1\r\n" H "X: \t a b \t\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: a b\r\n\r\n", 0 },
        { "an empty value", "GET / HTTP/1.1\r\n" H "X:\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n", 0 },
        { "repeated fields in their order", "GET / HTTP/1.1\r\nX: 1\r\n" H "Y: 2\r\nX: 3\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nX: 3\r\n\r\n", 0 },
        { "HTTP/1.0", "GET / HTTP/1.0\r\n" H "\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "the target of all", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "an absolute target replaces Host", "GET http://b:80/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y HTTP/1.1\r\nHost: b:80\r\n\r\n", 0 },
        { "an absolute target without a path", "GET HTTPS://b HTTP/1.1\r\n" H "\r\n", "GET / HTTP/1.1\r\nHost: b\r\n\r\n", 0 },
        { "an absolute target without Host", "GET http://b/ HTTP/1.1\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "an absolute target with a user", "GET http://a@b/ HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "an absolute target without a host", "GET http:///x HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a query in place of a path", "GET http://b?x HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "another scheme", "GET file:///etc/passwd HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a relative target", "GET a HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a star with GET", "GET * HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "bytes beyond ASCII in a target", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "CONNECT", "CONNECT a:1 HTTP/1.1\r\n" H "\r\n", NULL, ERROR_UNIMPLEMENTED },
        { "no target", "GET HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "two blanks", "GET  / HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a blank at the end", "GET / HTTP/1.1 \r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a tab for a blank", "GET\t/ HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a malformed method", "G@T / HTTP/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "HTTP/0.9", "GET /\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a version in small letters", "GET / http/1.1\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "an empty line first", "\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "no Host", "GET / HTTP/1.1\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "two Hosts", "GET / HTTP/1.1\r\n" H "host: b\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "Host with an underscore", "GET / HTTP/1.1\r\n" H "Ho_st: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHo_st: b\r\n\r\n", 0 },
        { "an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a host with a user", "GET / HTTP/1.1\r\nHost: b@a\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a port without digits", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a port with letters", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "an IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0 },
        { "an IPv4 address in brackets", "GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a blank before the colon", "GET / HTTP/1.1\r\n" H "X : b\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a folded line", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a folded line at first", "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a field without a colon", "GET / HTTP/1.1\r\n" H "X\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a field without a name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a control byte in a value", "GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a length", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0 },
        { "a length of nothing", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0 },
        { "a length with zeros", "POST / HTTP/1.1\r\n" H "Content-Length: 005\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0 },
        { "the longest length", "POST / HTTP/1.1\r\n" H "Content-Length: 999999999999999999\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999\r\n\r\n", 0 },
        { "a length that is too long", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "two equal lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a hexadecimal length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "an empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a length in another spelling", "POST / HTTP/1.1\r\n" H "Content_Length: 5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "chunks", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
        { "chunks and a length", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "chunks twice", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "chunks in another spelling", "POST / HTTP/1.1\r\n" H "Transfer_Encoding: chunked\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "another coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", NULL, ERROR_UNIMPLEMENTED },
        { "chunks after the identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", NULL, ERROR_UNIMPLEMENTED },
        { "a coding in quotes", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n", NULL, ERROR_UNIMPLEMENTED },
        { "a coding with a vertical tab", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b" "chunked\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "a coding with a parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;x=y\r\n\r\n", NULL, ERROR_UNIMPLEMENTED },
        { "chunks in HTTP/1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT },
        { "fields of the connection", "GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nHTTP2-Settings: x\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "fields that Connection names", "GET / HTTP/1.1\r\n" H "X-Hop: 1\r\nConnection: x-hop , y\r\nY: 2\r\nZ: 3\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nZ: 3\r\n\r\n", 0 },
        { "Connection names fields of the message",
          "POST / HTTP/1.1\r\n" H "Connection: host, cookie, authorization, content-length, content-type, x-forwarded-for, teleport-jwt-assertion\r\nCookie: a=b\r\n"
          "Authorization: x\r\nContent-Length: 5\r\nContent-Type: t\r\nX-Forwarded-For: 1\r\nTeleport-Jwt-Assertion: x\r\n\r\n",
          "POST / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nAuthorization: x\r\nContent-Type: t\r\nX-Forwarded-For: 1\r\nTeleport-Jwt-Assertion: x\r\nContent-Length: 5\r\n\r\n", 0 },
        { "a WebSocket", "GET / HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0 },
        { "an upgrade that Connection does not name", "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "an upgrade to HTTP/2 without TLS", "GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, x/1\r\nHTTP2-Settings: x\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n\r\n", 0 },
        { "an upgrade with a body", "POST / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0 },
        { "an upgrade in HTTP/1.0", "GET / HTTP/1.0\r\n" H "Connection: Upgrade\r\nUpgrade: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "an expectation", "POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 0 },
        { "an expectation without a body", "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
        { "another expectation", "POST / HTTP/1.1\r\n" H "Expect: x\r\n\r\n", NULL, ERROR_FAILED_PRECONDITION },
        { "trailers are accepted", "GET / HTTP/1.1\r\n" H "Connection: TE\r\nTE: trailers, deflate\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n", 0 },
};

static void requests_are_sent_on_as_they_were_understood(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                AUTO(http_request) r = { 0 };
                AUTO(buf) out = BUF_MAX(64 * KiB);
                size_t scanned = 0, len;
                struct str input = str_of(requests[i].input);
                struct error *err = http_head_find_end(input, &scanned, &len);

                if (err == NULL) {
                        assert_true(len > 0);
                        err = http_request_parse(str_slice(input, 0, len), &r);
                }
                if ((err == NULL ? 0 : (int)err->code) != requests[i].code)
                        fail_msg("%s: %s", requests[i].name, err == NULL ? "accepted" : err->what);
                error_free(err);
                if (requests[i].output == NULL)
                        continue;
                http_request_put(&out, &r);
                if (!str_equal(buf_str(&out), str_of(requests[i].output)))
                        fail_msg("%s: %.*s", requests[i].name, STR_ARG(buf_str(&out)));
        }
}

static const struct {
        const char *name, *input, *output;
        int code;
        bool is_head;
        enum http_body_kind kind;
} responses[] = {
        { "a response", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n", "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n", 0, false, HTTP_BODY_LENGTH },
        { "no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 0, false, HTTP_BODY_LENGTH },
        { "chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, false, HTTP_BODY_CHUNKED },
        { "a body until the end", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", 0, false, HTTP_BODY_UNTIL_CLOSE },
        { "a response to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0, true, HTTP_BODY_NONE },
        { "chunks to HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", 0, true, HTTP_BODY_NONE },
        { "no content", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", 0, false, HTTP_BODY_NONE },
        { "not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0, false, HTTP_BODY_NONE },
        { "interim", "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 0, false, HTTP_BODY_NONE },
        { "another protocol", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0, false, HTTP_BODY_NONE },
        { "fields of the connection", "HTTP/1.1 200 OK\r\nConnection: X, Set-Cookie\r\nX: 1\r\nSet-Cookie: a=b\r\nKeep-Alive: x\r\nUpgrade: h2\r\nContent-Length: 0\r\n\r\n",
          "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", 0, false, HTTP_BODY_LENGTH },
        { "a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "two equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", NULL, ERROR_UNIMPLEMENTED, false, 0 },
        { "a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "a status that is none", "HTTP/1.1 099 OK\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "a status with a sign", "HTTP/1.1 +20 OK\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "a status beyond", "HTTP/1.1 600 OK\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "two blanks", "HTTP/1.1  200 OK\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "a control byte in the reason", "HTTP/1.1 200 O\x01\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "HTTP/0.9", "<html>\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "HTTP/2", "HTTP/2 200 OK\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
        { "a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", NULL, ERROR_INVALID_ARGUMENT, false, 0 },
};

static void responses_are_sent_on_as_they_were_understood(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
                AUTO(http_response) r = { 0 };
                AUTO(buf) out = BUF_MAX(64 * KiB);
                struct error *err = http_response_parse(str_of(responses[i].input), responses[i].is_head, &r);

                if ((err == NULL ? 0 : (int)err->code) != responses[i].code)
                        fail_msg("%s: %s", responses[i].name, err == NULL ? "accepted" : err->what);
                error_free(err);
                if (responses[i].output == NULL)
                        continue;
                assert_int_equal(r.body.kind, responses[i].kind);
                http_response_put(&out, &r, (struct http_send){ .body = r.body });
                if (!str_equal(buf_str(&out), str_of(responses[i].output)))
                        fail_msg("%s: %.*s", responses[i].name, STR_ARG(buf_str(&out)));
        }
}

static void a_head_ends_at_its_blank_line(void **state)
{
        static const struct {
                const char *input;
                size_t len;
                int code;
        } cases[] = {
                { "", 0, 0 },
                { "GET / HTTP/1.1\r\nHost: a\r\n", 0, 0 },
                { "GET / HTTP/1.1\r\nHost: a\r\n\r", 0, 0 },
                { "GET / HTTP/1.1\r\nHost: a\r\n\r\nX\n\n", 27, 0 },
                { "GET / HTTP/1.1\nHost: a\n\n", 0, ERROR_INVALID_ARGUMENT },
                { "GET / HTTP/1.1\r\nHost: a\n", 0, ERROR_INVALID_ARGUMENT },
                { "GET / HTTP/1.1\r\nHost: a\r\n\n", 0, ERROR_INVALID_ARGUMENT },
                { "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 0, ERROR_INVALID_ARGUMENT },
                { "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 0, ERROR_INVALID_ARGUMENT },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                size_t scanned = 0, len = 0;
                struct str whole = str_of(cases[i].input);
                struct error *err = NULL;

                for (size_t n = 0; n <= whole.len && len == 0 && err == NULL; n++)
                        err = http_head_find_end(str_slice(whole, 0, n), &scanned, &len);
                assert_int_equal(err == NULL ? 0 : (int)err->code, cases[i].code);
                assert_int_equal(len, cases[i].len);
                error_free(err);
        }
}

static void a_head_has_a_longest_length_and_most_fields(void **state)
{
        AUTO(buf) head = BUF_MAX(1 * MiB);
        AUTO(http_request) r = { 0 };
        size_t scanned = 0, len;

        (void)state;
        while (head.len < LIMIT_HTTP_HEAD)
                buf_put_c(&head, "X: y\r\n");
        assert_code(http_head_find_end(buf_str(&head), &scanned, &len), ERROR_RESOURCE_EXHAUSTED);
        buf_clear(&head);
        buf_put_c(&head, "GET / HTTP/1.1\r\n" H);
        for (int i = 1; i <= LIMIT_HTTP_FIELDS; i++)
                buf_put_c(&head, "X: y\r\n");
        buf_put_c(&head, "\r\n");
        assert_code(http_request_parse(buf_str(&head), &r), ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(r.fields.count, 0);
}

static void a_host_can_be_replaced_by_a_proper_one(void **state)
{
        AUTO(http_request) r = { 0 };
        AUTO(buf) out = BUF_MAX(1 * KiB);

        (void)state;
        assert_null(http_request_parse(STR("GET / HTTP/1.1\r\n" H "\r\n"), &r));
        assert_code(http_request_set_host(&r, STR("b\r\nX: y")), ERROR_INVALID_ARGUMENT);
        assert_code(http_request_set_host(&r, STR("")), ERROR_INVALID_ARGUMENT);
        assert_null(http_request_set_host(&r, STR("b:8080")));
        http_request_put(&out, &r);
        assert_string_equal(buf_c(&out), "GET / HTTP/1.1\r\nHost: b:8080\r\n\r\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_are_sent_on_as_they_were_understood), cmocka_unit_test(responses_are_sent_on_as_they_were_understood),
                cmocka_unit_test(a_head_ends_at_its_blank_line),                cmocka_unit_test(a_head_has_a_longest_length_and_most_fields),
                cmocka_unit_test(a_host_can_be_replaced_by_a_proper_one),
        };

        return cmocka_run_group_tests_name("http_head", tests, NULL, NULL);
}
