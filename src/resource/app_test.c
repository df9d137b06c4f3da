/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/names.h"

static void reads_host_and_port(void **state)
{
        static const struct {
                const char *uri, *target;
        } rows[] = { { "tcp://127.0.0.1:5432", "127.0.0.1:5432" }, { "tcp://db.internal:1", "db.internal:1" }, { "tcp://[::1]:65535", "[::1]:65535" } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) arena = arena_new(1 * KiB);
                const char *target = NULL;

                assert_null(app_uri_parse(arena, str_of(rows[i].uri), &target));
                assert_string_equal(target, rows[i].target);
        }
}

static void refuses_other_uris(void **state)
{
        static const char *const rows[] = {
                "", "tcp", "tcp://", "tcp://:80", "tcp://a", "tcp://a:", "tcp://a:0", "tcp://0.0.0.0:0", "tcp://a:65536", "tcp://a:-1", "tcp://a:1/", "tcp://a:1?x", "tcp://u@a:1",
                "TCP://a:1", "http://a:1", "a:1", "tcp://a b:1", "tcp://a\n:1", "tcp://[::1]", "tcp://[::1:1", "tcp://a:1 ", "tcp:///a:1", "unix:///run/x",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) arena = arena_new(1 * KiB);
                const char *target = NULL;
                AUTO_PTR(error) err = app_uri_parse(arena, str_of(rows[i]), &target);

                if (err == NULL)
                        print_message("accepted: %s\n", rows[i]);
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_non_null(err->hint);
        }
}

static void a_name_is_a_label_of_the_dns(void **state)
{
        static const char *const good[] = { "a", "grafana", "a-1", "x0" };
        static const char *const bad[] = { "", "-a", "a-", "1a", "A", "a.b", "a_b", "a b", "\xc3\xa4", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                assert_null(app_check_name(str_of(good[i]), "name"));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                AUTO_PTR(error) err = app_check_name(str_of(bad[i]), "name");

                assert_non_null(err);
                assert_non_null(err->hint);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_host_and_port),
                cmocka_unit_test(refuses_other_uris),
                cmocka_unit_test(a_name_is_a_label_of_the_dns),
        };

        return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
