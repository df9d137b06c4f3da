/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to preflight requests: by the setting, and never more than it allows. */
#include "base/error_testing.h"
#include "base/text.h"
#include "proxy/apps/app_preflight.h"

#define HEAD "OPTIONS /x HTTP/1.1\r\nHost: a.example.com\r\n"
#define ASKS "Access-Control-Request-Method: PUT\r\n"

static void request_of(const char *text, struct http_request *ret)
{
        *ret = (struct http_request){ 0 };
        assert_null(http_request_parse(str_of(text), ret));
}

static void knows_preflight_requests(void **state)
{
        static const struct {
                const char *head;
                bool is_one;
        } rows[] = {
                { HEAD "Origin: https://b\r\n" ASKS "\r\n", true },
                { HEAD ASKS "\r\n", false },
                { HEAD "Origin: https://b\r\n\r\n", false },
                { HEAD "Origin: \r\n" ASKS "\r\n", false },
                { "GET /x HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n" ASKS "\r\n", false },
                { "options /x HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n" ASKS "\r\n", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct http_request r;

                request_of(rows[i].head, &r);
                assert_int_equal(app_preflight_is(&r), rows[i].is_one);
                http_request_release(&r);
        }
}

static char *const methods[] = { (char *)(uintptr_t)"PUT", (char *)(uintptr_t)"DELETE" };

static void answers_by_the_setting(void **state)
{
        Cteleport__V1__AppCors cors = CTELEPORT__V1__APP_CORS__INIT;
        char *origins[] = { (char *)(uintptr_t)"https://b.example.com" };
        struct http_fields fields = { 0 };
        struct http_request r;
        struct error *err;

        (void)state;
        cors.allowed_origins = origins;
        cors.n_allowed_origins = 1;
        cors.allowed_methods = (char **)(uintptr_t)methods;
        cors.n_allowed_methods = 2;
        cors.allow_credentials = true;
        cors.max_age = 60;
        request_of(HEAD "Origin: https://b.example.com\r\n" ASKS "\r\n", &r);
        assert_true(app_preflight_put(&cors, &r, &fields, &err));
        assert_true(str_equal(http_fields_get(&fields, "Access-Control-Allow-Origin"), STR("https://b.example.com")));
        assert_true(str_equal(http_fields_get(&fields, "Access-Control-Allow-Methods"), STR("PUT, DELETE")));
        assert_true(str_equal(http_fields_get(&fields, "Access-Control-Allow-Credentials"), STR("true")));
        assert_true(str_equal(http_fields_get(&fields, "Access-Control-Max-Age"), STR("60")));
        assert_true(str_equal(http_fields_get(&fields, "Vary"), STR("Origin")));
        assert_true(str_is_empty(http_fields_get(&fields, "Access-Control-Allow-Headers")));
        http_fields_release(&fields);
        http_request_release(&r);

        request_of(HEAD "Origin: https://evil.example.com\r\n" ASKS "\r\n", &r);
        fields = (struct http_fields){ 0 };
        assert_false(app_preflight_put(&cors, &r, &fields, &err));
        assert_null(err);
        assert_int_equal(fields.count, 0);
        origins[0] = (char *)(uintptr_t)"*"; /* of a captured host: no page gets credentials by it */
        assert_false(app_preflight_put(&cors, &r, &fields, &err));
        cors.allow_credentials = false;
        assert_true(app_preflight_put(&cors, &r, &fields, &err));
        assert_true(str_equal(http_fields_get(&fields, "Access-Control-Allow-Origin"), STR("*")));
        assert_true(str_is_empty(http_fields_get(&fields, "Access-Control-Allow-Credentials")));
        http_fields_release(&fields);
        http_request_release(&r);
}

static void values_that_end_a_field_are_refused(void **state)
{
        Cteleport__V1__AppCors cors = CTELEPORT__V1__APP_CORS__INIT;
        char *origins[] = { (char *)(uintptr_t)"*" }, *bad[] = { (char *)(uintptr_t)"X\r\nSet-Cookie: a=b" };
        struct http_fields fields = { 0 };
        struct http_request r;
        struct error *err;

        (void)state;
        cors.allowed_origins = origins;
        cors.n_allowed_origins = 1;
        cors.allowed_headers = bad;
        cors.n_allowed_headers = 1;
        request_of(HEAD "Origin: https://b\r\n" ASKS "\r\n", &r);
        assert_false(app_preflight_put(&cors, &r, &fields, &err));
        assert_non_null(err);
        error_free(err);
        http_fields_release(&fields);
        http_request_release(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(knows_preflight_requests),
                cmocka_unit_test(answers_by_the_setting),
                cmocka_unit_test(values_that_end_a_field_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
