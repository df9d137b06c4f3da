/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/cookie.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ID     "0123456789abcdef0123456789abcdef"
#define SECRET ID ID

static void finds_a_cookie_by_its_whole_name(void **state)
{
        static const struct {
                const char *field, *found;
        } rows[] = {
                { "", "" },
                { "__Host-session=a", "a" },
                { "a=b; __Host-session=c=d; e=f", "c=d" },
                { "a=b;__Host-session=c", "c" },
                { "__Host-session=first; __Host-session=second", "first" },
                { "x__Host-session=a", "" },
                { "__Host-sessionx=a", "" },
                { "__host-session=a", "" },
                { "__Host-session", "" },
                { "__Host-session=", "" },
                { "; ; =;__Host-session", "" },
                { "a=\"b; __Host-session=c\"", "c\"" }, /* quotes have no meaning here (RFC 6265 section 5.4) */
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct str found = cookie_find(str_of(rows[i].field), SESSION_COOKIE);

                print_message("  %s\n", rows[i].field);
                assert_true(str_equal(found, str_of(rows[i].found)));
        }
}

static void splits_the_cookie_of_a_session_and_no_other_form(void **state)
{
        static const char *const bad[] = { "", ".", ID, ID ".", ID "." ID, ID SECRET "0", ID "." SECRET "0", ID "-" SECRET, "0123456789ABCDEF0123456789abcdef." SECRET,
                                           ID ".g123456789abcdef0123456789abcdef" ID };
        struct str id, secret;

        (void)state;
        assert_true(session_cookie_split(STR(ID "." SECRET), &id, &secret));
        assert_true(str_equal(id, STR(ID)));
        assert_true(str_equal(secret, STR(SECRET)));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(session_cookie_split(str_of(bad[i]), &id, &secret));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_a_cookie_by_its_whole_name),
                cmocka_unit_test(splits_the_cookie_of_a_session_and_no_other_form),
        };

        return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
