/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of cors: the good ones, and those that would allow other things than written. */
#include "resource/app_cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/limits.h"

static Cteleport__V1__AppCors cors_of(char **origin, char **method, bool has_credentials)
{
        Cteleport__V1__AppCors cors = CTELEPORT__V1__APP_CORS__INIT;

        cors.allowed_origins = origin;
        cors.n_allowed_origins = 1;
        cors.allowed_methods = method;
        cors.n_allowed_methods = 1;
        cors.allow_credentials = has_credentials;
        return cors;
}

static void reads_origins_as_browsers_write_them(void **state)
{
        static const struct {
                const char *origin;
                bool is_valid, is_valid_with_credentials;
        } rows[] = {
                { "https://a.example.com", true, true },
                { "https://a.example.com:8443", true, true },
                { "http://127.0.0.1:3000", true, true },
                { "https://[::1]:3000", true, true },
                { "http://a:443", true, true },
                { "*", true, false },
                { "", false, false },
                { "null", false, false },
                { "https://", false, false },
                { "https://:80", false, false },
                { "https://a:", false, false },
                { "https://a:443", false, false },
                { "http://a:80", false, false },
                { "https://A.example.com", false, false },
                { "https://a.example.com/", false, false },
                { "https://a.example.com/x", false, false },
                { "https://*.example.com", false, false },
                { "https://a b", false, false },
                { "https://a\r\nX: y", false, false },
                { "https://u@a", false, false },
                { "ftp://a", false, false },
                { "a.example.com", false, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                for (int has_credentials = 0; has_credentials < 2; has_credentials++) {
                        char *origin = (char *)(uintptr_t)rows[i].origin, *method = (char *)(uintptr_t)"PUT";
                        Cteleport__V1__AppCors cors = cors_of(&origin, &method, has_credentials);
                        AUTO_PTR(error) err = app_cors_check(&cors, STR("http://a"));

                        if ((err == NULL) != (has_credentials ? rows[i].is_valid_with_credentials : rows[i].is_valid))
                                print_message("%s\n", rows[i].origin);
                        assert_int_equal(err == NULL, has_credentials ? rows[i].is_valid_with_credentials : rows[i].is_valid);
                }
}

static void refuses_other_methods_and_settings(void **state)
{
        static const char *const bad[] = { "", "PUT, POST", "P T", "PUT\r\nX: y", "PUT\n", "\xc3\xa4" };
        char *origin = (char *)(uintptr_t)"https://a", *method = (char *)(uintptr_t)"*";

        (void)state;
        Cteleport__V1__AppCors cors = cors_of(&origin, &method, false);
        assert_null(app_cors_check(&cors, STR("http://a")));
        cors.max_age = LIMIT_APP_CORS_SECONDS;
        assert_null(app_cors_check(&cors, STR("http://a")));
        cors.max_age++;
        AUTO_PTR(error) too_old = app_cors_check(&cors, STR("http://a"));
        assert_non_null(too_old);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                method = (char *)(uintptr_t)bad[i];
                cors = cors_of(&origin, &method, false);
                AUTO_PTR(error) err = app_cors_check(&cors, STR("http://a"));
                assert_non_null(err);
        }
        method = (char *)(uintptr_t)"*";
        cors = cors_of(&origin, &method, true);
        AUTO_PTR(error) starred = app_cors_check(&cors, STR("http://a"));
        assert_non_null(strstr(starred->what, "allowed_methods has '*' together with allow_credentials"));
        AUTO_PTR(error) tcp = app_cors_check(&cors, STR("tcp://a:1"));
        assert_non_null(strstr(tcp->what, "http and https"));
        cors.n_allowed_origins = 0;
        AUTO_PTR(error) none = app_cors_check(&cors, STR("http://a"));
        assert_non_null(strstr(none->what, "no allowed_origins"));
        assert_null(app_cors_check(NULL, STR("tcp://a:1")));
}

static void permits_the_listed_origins(void **state)
{
        char *origin = (char *)(uintptr_t)"https://a.example.com", *method = (char *)(uintptr_t)"PUT";
        Cteleport__V1__AppCors cors = cors_of(&origin, &method, true);
        bool is_any;

        (void)state;
        assert_true(app_cors_permits(&cors, STR("https://a.example.com"), &is_any));
        assert_false(is_any);
        assert_false(app_cors_permits(&cors, STR("https://a.example.com.evil.org"), &is_any));
        assert_false(app_cors_permits(&cors, STR("https://a.example.co"), &is_any));
        assert_false(app_cors_permits(&cors, STR("null"), &is_any));
        assert_false(app_cors_permits(&cors, STR(""), &is_any));
        assert_false(app_cors_permits(NULL, STR("https://a.example.com"), &is_any));
        origin = (char *)(uintptr_t)"*";
        assert_false(app_cors_permits(&cors, STR("https://a.example.com"), &is_any)); /* of an older or a captured host */
        cors.allow_credentials = false;
        assert_true(app_cors_permits(&cors, STR("null"), &is_any));
        assert_true(is_any);
        assert_false(app_cors_permits(&cors, STR(""), &is_any));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_origins_as_browsers_write_them),
                cmocka_unit_test(refuses_other_methods_and_settings),
                cmocka_unit_test(permits_the_listed_origins),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
