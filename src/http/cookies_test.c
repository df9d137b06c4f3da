/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cookies.h"

#include "base/error_testing.h"

static bool is_ours(struct str name)
{
        return str_starts_with(name, STR("__Host-grv"));
}

static struct http_fields fields_of(const char *name, const char *first, const char *second)
{
        struct http_fields f = { 0 };

        assert_null(http_fields_add(&f, str_of(name), str_of(first)));
        if (second != NULL)
                assert_null(http_fields_add(&f, str_of(name), str_of(second)));
        return f;
}

static const struct {
        const char *first, *second, *out;
} requests[] = {
        { "a=b", NULL, "Cookie: a=b\r\n" },
        { "a=b; c=d", NULL, "Cookie: a=b; c=d\r\n" },
        { "__Host-grv=x", NULL, "" },
        { "a=b; __Host-grv=x; c=d", NULL, "Cookie: a=b; c=d\r\n" },
        { "__Host-grv=x;a=b;__Host-grv2=y", NULL, "Cookie: a=b\r\n" },
        { "  __Host-grv  = x ;; a=b", NULL, "Cookie: a=b\r\n" },
        { "__Host-grv", NULL, "" },
        { "a=\"b; __Host-grv=x\"", NULL, "Cookie: a=\"b\r\n" },
        { "a=b; __Host-grv=x", "__Host-grv=y; c=d", "Cookie: a=b\r\nCookie: c=d\r\n" },
        { "__Host-grv=x", "c=d", "Cookie: c=d\r\n" },
        { "__Host-grv=x", "__Host-grv=x", "" },
        { "", NULL, "" },
        { "; ;", NULL, "" },
        { "a=__Host-grv=x", NULL, "Cookie: a=__Host-grv=x\r\n" },
};

static void cookies_of_the_gateway_are_removed_from_requests(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
                AUTO(http_fields) f = fields_of("Cookie", requests[i].first, requests[i].second);
                AUTO(buf) out = BUF_MAX(1 * KiB);

                assert_null(http_cookies_remove(&f, is_ours));
                http_fields_put(&out, &f);
                if (!str_equal(buf_str(&out), str_of(requests[i].out)))
                        fail_msg("%s: %.*s", requests[i].first, STR_ARG(buf_str(&out)));
        }
}

static const struct {
        const char *in, *out;
} responses[] = {
        { "a=b", "Set-Cookie: a=b\r\n" },
        { "a=b; Path=/; Secure; HttpOnly", "Set-Cookie: a=b; Path=/; Secure; HttpOnly\r\n" },
        { "a=b; Domain=example.com; Path=/", "Set-Cookie: a=b; Path=/\r\n" },
        { "a=b; domain = .example.com ;Path=/", "Set-Cookie: a=b; Path=/\r\n" },
        { "a=b; Path=/; DOMAIN", "Set-Cookie: a=b; Path=/\r\n" },
        { "a=b;\tDomain=example.com", "Set-Cookie: a=b\r\n" },
        { "a=b; Domain=x; Domain=example.com", "Set-Cookie: a=b\r\n" },
        { "a=Domain=example.com", "Set-Cookie: a=Domain=example.com\r\n" },
        { "a=\"b; Domain=example.com\"", "Set-Cookie: a=\"b\r\n" },
        { "a=", "Set-Cookie: a=\r\n" },
        { "__Host-grv=x; Path=/", "" },
        { " __Host-grv =x", "" },
        { "=__Host-grv=x", "" },
        { "__Host-grv", "" },
        { "value", "" },
        { "; Domain=x", "" },
        { "", "" },
};

static void cookies_of_a_backend_stay_with_its_host(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
                AUTO(http_fields) f = fields_of("Set-Cookie", responses[i].in, NULL);
                AUTO(buf) out = BUF_MAX(1 * KiB);

                assert_null(http_cookies_confine(&f, is_ours));
                http_fields_put(&out, &f);
                if (!str_equal(buf_str(&out), str_of(responses[i].out)))
                        fail_msg("%s: %.*s", responses[i].in, STR_ARG(buf_str(&out)));
        }
}

static void cookies_of_the_gateway_are_known(void **state)
{
        static const char *const ours[] = { "__Host-session", "__host-session", "__Host-grv_app_session", "__Host-grv_app_auth_state_1", "__HOST-GRV_x" };
        static const char *const others[] = { "", "session", "__Host-sessions", "__Host-grv", "__Secure-session", "grv_app_session", "__Host-" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(ours); i++)
                assert_true(http_cookie_is_of_gateway(str_of(ours[i])));
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
                assert_false(http_cookie_is_of_gateway(str_of(others[i])));
}

static void a_cookie_is_found_by_its_name(void **state)
{
        AUTO(http_fields) f = fields_of("Cookie", "a=b; aa=c; e", "d = x=y ; a=2");

        (void)state;
        assert_true(str_equal(http_cookie_get(&f, STR("a")), STR("b")));
        assert_true(str_equal(http_cookie_get(&f, STR("d")), STR("x=y")));
        assert_null(http_cookie_get(&f, STR("e")).ptr);
        assert_null(http_cookie_get(&f, STR("A")).ptr);
        assert_null(http_cookie_get(&f, STR("")).ptr);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(cookies_of_the_gateway_are_removed_from_requests),
                cmocka_unit_test(cookies_of_a_backend_stay_with_its_host),
                cmocka_unit_test(cookies_of_the_gateway_are_known),
                cmocka_unit_test(a_cookie_is_found_by_its_name),
        };

        return cmocka_run_group_tests_name("http_cookies", tests, NULL, NULL);
}
