/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error_testing.h"

static void reads_name_value_and_template(void **state)
{
        static const struct {
                const char *text, *name, *before, *trait, *after;
        } rows[] = {
                { "X-A: b", "X-A", "b", "", "" },
                { "X-A:b: c", "X-A", "b: c", "", "" },
                { "X-A:", "X-A", "", "", "" },
                { "Host: internal.example.com", "Host", "internal.example.com", "", "" },
                { "X-Groups: {{external.groups}}", "X-Groups", "", "groups", "" },
                { "X-A: pre {{ internal.logins }}!", "X-A", "pre ", "logins", "!" },
                { "Authorization: Basic dTpw", "Authorization", "Basic dTpw", "", "" },
                { "X-A: {b}", "X-A", "{b}", "", "" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct app_header h = { 0 };

                assert_null(app_header_parse(str_of(rows[i].text), &h));
                assert_str(h.name, rows[i].name);
                assert_str(h.before, rows[i].before);
                assert_str(h.trait, rows[i].trait);
                assert_str(h.after, rows[i].after);
        }
}

static void refuses_other_entries(void **state)
{
        static const char *const rows[] = {
                "", "X-A", ": b", "X A: b", "X-A : b", "X-A: b\r\nX-B: c", "X-A: \x01", "X-A: {{external.groups", "X-A: external.groups}}", "X-A: {{groups}}", "X-A: {{other.groups}}",
                "X-A: {{external.}}", "X-A: {{external.a b}}", "X-A: {{external.a}} {{external.b}}", "X-A: }}{{", "X-A: {{}}",
                "Teleport-Jwt-Assertion: x", "teleport_jwt_assertion: x", "Cf-Access-Token: x", "X-Forwarded-For: x", "X-Forwarded-Host: x", "X-Forwarded-Proto: x", "X-Forwarded-Port: x",
                "X-Forwarded-Server: x", "X-Forwarded-Ssl: x", "X-Real-Ip: x", "X-Teleport-Anything: x", "x_real_ip: x",
                "Connection: close", "Content-Length: 5", "Transfer-Encoding: chunked", "Upgrade: x", "TE: trailers", "Content_Length: 5",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct app_header h = { 0 };
                AUTO_PTR(error) err = app_header_parse(str_of(rows[i]), &h);

                if (err == NULL)
                        fail_msg("accepted: %s", rows[i]);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_non_null(err->hint);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_name_value_and_template),
                cmocka_unit_test(refuses_other_entries),
        };

        return cmocka_run_group_tests_name("app_header", tests, NULL, NULL);
}
