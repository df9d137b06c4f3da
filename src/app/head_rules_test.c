/* SPDX-License-Identifier: Apache-2.0 */
#include "app/head_rules.h"

#include "base/error_testing.h"
#include "base/mem.h"

static const struct head_rules rules = { .client_ip = "203.0.113.7", .host_name = "web" };

#define FORWARDED(host, port)                                                                                          \
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: " host "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: " port                        \
        "\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Server: web\r\nX-Real-Ip: 203.0.113.7\r\n"

static void assert_request(const struct head_rules *with, const char *in, const char *out)
{
        AUTO(http_request) r = { 0 };
        AUTO(buf) put = BUF_MAX(64 * KiB);

        assert_null(http_request_parse(str_of(in), &r));
        assert_null(head_rules_request(with, &r));
        http_request_put(&put, &r);
        assert_string_equal(buf_c(&put), out);
}

static void requests_tell_their_origin(void **state)
{
        (void)state;
        assert_request(&rules, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example.com\r\n" FORWARDED("a.example.com", "443") "\r\n");
        assert_request(&rules, "GET / HTTP/1.1\r\nHost: a:8443\r\n\r\n", "GET / HTTP/1.1\r\nHost: a:8443\r\n" FORWARDED("a:8443", "8443") "\r\n");
        assert_request(&rules, "GET / HTTP/1.1\r\nHost: [::1]:84\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:84\r\n" FORWARDED("[::1]:84", "84") "\r\n");
        assert_request(&rules, "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]\r\n" FORWARDED("[::1]", "443") "\r\n");
}

static void a_user_cannot_set_fields_of_the_gateway(void **state)
{
        (void)state;
        assert_request(&rules,
                       "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nx_forwarded_for: 2\r\nTeleport-Jwt-Assertion: 3\r\nX-REAL-IP: 4\r\nForwarded: 5\r\n"
                       "Cf-Access-Token: 6\r\nX-Teleport-Api-Error: 7\r\nCookie: __Host-session=8; a=b\r\nConnection: x-forwarded-host\r\n\r\n",
                       "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n" FORWARDED("a", "443") "\r\n");
}

static void assert_response(const struct head_rules *with, const char *in, const char *out)
{
        AUTO(http_response) r = { 0 };
        AUTO(buf) put = BUF_MAX(64 * KiB);

        assert_null(http_response_parse(str_of(in), false, &r));
        assert_null(head_rules_response(with, STR("app.example.com:3080"), &r));
        http_response_put(&put, &r, (struct http_send){ .body = r.body });
        assert_string_equal(buf_c(&put), out);
}

static void a_backend_cannot_set_fields_of_the_gateway(void **state)
{
        (void)state;
        assert_response(&rules,
                        "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Domain=example.com; Path=/\r\nSet-Cookie: __Host-grv_app_session=x\r\nX-Teleport-Api-Error: x\r\nAlt-Svc: h3=\":1\"\r\n"
                        "Content-Length: 0\r\n\r\n",
                        "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_tell_their_origin),
                cmocka_unit_test(a_user_cannot_set_fields_of_the_gateway),
                cmocka_unit_test(a_backend_cannot_set_fields_of_the_gateway),
        };

        return cmocka_run_group_tests_name("app_head_rules", tests, NULL, NULL);
}
