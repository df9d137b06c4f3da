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

static void rewritten_headers_take_the_place_of_the_users(void **state)
{
        char *headers[] = { unconst("X-Static: s"), unconst("X-Groups: g-{{external.groups}}"), unconst("X-None: {{internal.none}}"), unconst("Host: inner:81"), unconst("X-Bad: {{internal.bad}}") };
        char *groups[] = { unconst("dev"), unconst("ops") };
        Cteleport__V1__AppTrait trait = CTELEPORT__V1__APP_TRAIT__INIT;
        Cteleport__V1__AppTrait *traits[] = { &trait };
        Cteleport__V1__AppPermits permits = CTELEPORT__V1__APP_PERMITS__INIT;
        Cteleport__V1__AppRewriteConfig rewrite = CTELEPORT__V1__APP_REWRITE_CONFIG__INIT;
        struct head_rules with = rules;

        (void)state;
        trait.name = unconst("groups");
        trait.values = groups;
        trait.n_values = ARRAY_LEN(groups);
        permits.traits = traits;
        permits.n_traits = 1;
        rewrite.headers = headers;
        rewrite.n_headers = ARRAY_LEN(headers);
        with.rewrite = &rewrite;
        with.permits = &permits;
        assert_request(&with, "GET / HTTP/1.1\r\nHost: a\r\nx_groups: root\r\nX-Groups: root\r\nX-None: root\r\nX-Static: root\r\nX.Static: root\r\n\r\n",
                       "GET / HTTP/1.1\r\nHost: inner:81\r\n" FORWARDED("a", "443") "X-Static: s\r\nX-Groups: g-dev\r\nX-Groups: g-ops\r\n\r\n");
        groups[0] = unconst("dev\r\nX-Admin: yes");
        AUTO(http_request) r = { 0 };
        assert_null(http_request_parse(STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), &r));
        assert_code(head_rules_request(&with, &r), ERROR_INVALID_ARGUMENT);
}

/* {{internal.jwt}} is no trait, and two headers of one name are both sent. */
static void a_rewritten_header_may_have_the_token(void **state)
{
        char *headers[] = { unconst("Authorization: Bearer {{internal.jwt}}"), unconst("X-A: 1"), unconst("X-A: 2"), unconst("X-Trait: {{external.jwt}}") };
        Cteleport__V1__AppRewriteConfig rewrite = CTELEPORT__V1__APP_REWRITE_CONFIG__INIT;
        struct head_rules with = rules;

        (void)state;
        rewrite.headers = headers;
        rewrite.n_headers = ARRAY_LEN(headers);
        with.rewrite = &rewrite;
        with.assertion = STR("a.b.c");
        assert_request(&with, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic x\r\nX-A: 0\r\n\r\n",
                       "GET / HTTP/1.1\r\nHost: a\r\n" FORWARDED("a", "443") "Teleport-Jwt-Assertion: a.b.c\r\nAuthorization: Bearer a.b.c\r\nX-A: 1\r\nX-A: 2\r\n\r\n");
}

static void redirects_to_the_listed_hosts_lead_back(void **state)
{
        static const struct {
                const char *location, *expected;
        } rows[] = {
                { "http://inner/x?y", "https://app.example.com:3080/x?y" },
                { "https://INNER:8080", "https://app.example.com:3080" },
                { "http://inner?x", "https://app.example.com:3080?x" },
                { "http://other/x", "http://other/x" },
                { "http://inner.evil/x", "http://inner.evil/x" },
                { "http://inner@evil/x", "http://inner@evil/x" },
                { "/x", "/x" },
                { "//inner/x", "//inner/x" },
                { "ftp://inner/x", "ftp://inner/x" },
        };
        char *hosts[] = { unconst("inner") };
        Cteleport__V1__AppRewriteConfig rewrite = CTELEPORT__V1__APP_REWRITE_CONFIG__INIT;
        struct head_rules with = rules;

        (void)state;
        rewrite.redirect = hosts;
        rewrite.n_redirect = 1;
        with.rewrite = &rewrite;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *in = mem_printf("HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", rows[i].location);
                AUTO_MEM char *out = mem_printf("HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", rows[i].expected);
                AUTO_MEM char *no_redirect = mem_printf("HTTP/1.1 201 Created\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", rows[i].location);

                assert_response(&with, in, out);
                assert_response(&with, no_redirect, no_redirect);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_tell_their_origin),
                cmocka_unit_test(a_user_cannot_set_fields_of_the_gateway),
                cmocka_unit_test(a_backend_cannot_set_fields_of_the_gateway),
                cmocka_unit_test(rewritten_headers_take_the_place_of_the_users),
                cmocka_unit_test(a_rewritten_header_may_have_the_token),
                cmocka_unit_test(redirects_to_the_listed_hosts_lead_back),
        };

        return cmocka_run_group_tests_name("app_head_rules", tests, NULL, NULL);
}
